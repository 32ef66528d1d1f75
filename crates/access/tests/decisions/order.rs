//! The order of refusals: what is wrong is taken away one by one, and the next refusal shows.

use crate::ask::{Ask, cell};
use packhouse_access::{Actions, Role, Scopes, Standing, Visibility, Who};

#[test]
fn anonymous_comes_before_scope_before_existence_before_role_before_bearer() {
    let all_is_wrong = Ask {
        who: Who::Anonymous,
        scopes: Scopes::NONE,
        standing: Standing::Stranger,
        package: None,
        granted: None,
        ..Ask::stranger().bearing_on("acme/other", Actions::ALL)
    };
    assert_eq!(cell(&all_is_wrong.may("push")), "!sign-in");

    let signed_in = Ask { who: Ask::stranger().who, ..all_is_wrong };
    assert_eq!(cell(&signed_in.may("push")), "!write:packages");

    let scoped = signed_in.with_scopes(Scopes::WRITE);
    assert_eq!(cell(&scoped.may("push")), "!none");

    let private = scoped.about("private");
    assert_eq!(cell(&private.may("push")), "!none");

    let readable = Ask { granted: Some(Role::Read), ..private };
    assert_eq!(cell(&readable.may("push")), "!read<write");

    let writable = Ask { granted: Some(Role::Write), ..readable };
    assert_eq!(cell(&writable.may("push")), "!bearer");

    let carried = writable.bearing(Actions::PUSH);
    assert_eq!(cell(&carried.may("push")), "granted-write");
}

#[test]
fn creating_refuses_in_the_same_order() {
    let all_is_wrong = Ask {
        who: Who::Anonymous,
        scopes: Scopes::NONE,
        package: None,
        ..Ask::stranger().bearing_on("acme/other", Actions::ALL)
    };
    assert_eq!(cell(&all_is_wrong.create()), "!sign-in");
    let signed_in = Ask { who: Ask::stranger().who, ..all_is_wrong };
    assert_eq!(cell(&signed_in.create()), "!write:packages");
    let scoped = signed_in.with_scopes(Scopes::WRITE);
    assert_eq!(cell(&scoped.create()), "!none");
    let member = Ask { standing: Standing::Member, ..scoped };
    assert_eq!(cell(&member.create()), "!bearer");
    assert_eq!(cell(&member.bearing(Actions::PUSH).create()), "member");
}

#[test]
fn a_refusal_says_what_was_asked_and_of_what() {
    let refused = Ask::stranger().may("push").unwrap_err();
    assert_eq!((refused.action, refused.path.as_str(), refused.creating), ("push", "acme/tool", false));
    let refused = Ask::stranger().about("absent").create().unwrap_err();
    assert_eq!((refused.action, refused.path.as_str(), refused.creating), ("push", "acme/tool", true));
    let public = Ask { package: Some(Visibility::Public), ..Ask::of("anonymous") };
    assert_eq!(public.may("delete").unwrap_err().action, "delete");
}
