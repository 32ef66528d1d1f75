//! A token never gives more than its scopes.

use crate::ask::{Ask, cell, compare};
use packhouse_access::Scopes;

fn scopes(words: &str) -> Scopes {
    words.split('+').fold(Scopes::NONE, |set, word| {
        set.with(match word {
            "none" => Scopes::NONE,
            "read" => Scopes::READ,
            "write" => Scopes::WRITE,
            "delete" => Scopes::DELETE,
            other => panic!("no such scope: {other}"),
        })
    })
}

#[test]
fn an_owner_is_limited_by_their_token() {
    let cells = compare(include_str!("scopes.txt"), 2, |case| {
        Ask::of("owner").about(case[0]).with_scopes(scopes(case[1]))
    });
    assert_eq!(cells, 16 * 4, "a row was lost");
}

#[test]
fn a_site_admin_is_limited_by_their_token_too() {
    let ask = Ask::of("site-admin").with_scopes(Scopes::READ);
    assert_eq!(cell(&ask.may("pull")), "site-admin");
    assert_eq!(cell(&ask.may("push")), "!write:packages");
    assert_eq!(cell(&ask.may("delete")), "!delete:packages");
}

#[test]
fn a_missing_scope_is_said_alike_for_private_and_absent() {
    for action in ["pull", "push", "delete", "administer"] {
        let ask = Ask::stranger().with_scopes(Scopes::NONE);
        let private = ask.clone().about("private").may(action).unwrap_err();
        assert_eq!(private, ask.about("absent").may(action).unwrap_err(), "{action}");
    }
}

#[test]
fn the_operator_has_no_token_and_no_scopes_to_lack() {
    let ask = Ask::of("operator").with_scopes(Scopes::NONE);
    assert_eq!(cell(&ask.may("delete")), "operator");
}
