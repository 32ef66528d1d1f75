//! What is not about one package: listing, operating, collecting.

use crate::ask::{Ask, cell};
use packhouse_access::{
    AccountId, Because, Bound, Caller, Granted, PackageFacts, PackageId, Refused, Scopes, Standing,
    Visibility, Who, decide_collect, decide_explain, decide_list, decide_operate, decide_prune, with_brand,
};

fn deciding<R>(ask: &Ask, decide: impl for<'tx> FnOnce(&Caller<'tx>) -> R) -> R {
    with_brand(|brand| decide(&Caller::new(&brand, ask.who.clone(), None, ask.scopes, ask.bound.clone())))
}

fn because<A>(granted: Result<Granted<'_, A>, Refused>) -> Result<Because, Refused> {
    granted.map(|granted| granted.because())
}

#[test]
fn who_may_list_operate_and_collect() {
    let table = [
        // caller, list, operate, collect
        ("anonymous", "!sign-in", "!caller", "!caller"),
        ("stranger", "member", "!caller", "!caller"),
        // Administering the site is no operating: that is for who has the machine.
        ("site-admin", "site-admin", "!caller", "!caller"),
        ("operator", "member", "operator", "operator"),
        ("worker", "!read:packages", "!caller", "worker"),
    ];
    for (kind, list, operate, collect) in table {
        let ask = Ask::of(kind);
        assert_eq!(deciding(&ask, |caller| cell(&because(decide_list(caller)))), list, "{kind}");
        assert_eq!(deciding(&ask, |caller| cell(&because(decide_operate(caller)))), operate, "{kind}");
        assert_eq!(deciding(&ask, |caller| cell(&because(decide_collect(caller)))), collect, "{kind}");
    }
}

/// Retention is the worker's alone, on a package that is there.
#[test]
fn who_prunes() {
    for (kind, exists, wanted) in [
        ("worker", true, "worker"),
        ("worker", false, "!none"),
        ("anonymous", true, "!caller"),
        ("owner", true, "!caller"),
        ("site-admin", true, "!caller"),
        ("operator", true, "!caller"),
    ] {
        let pruned = with_brand(|brand| {
            let ask = Ask::of(kind);
            let caller = Caller::new(&brand, ask.who.clone(), None, ask.scopes, ask.bound.clone());
            let package = exists.then_some((PackageId(7), Visibility::Public));
            let facts = PackageFacts::new(&brand, &caller, "mona/app", None, Standing::Owner, package, None);
            cell(&because(decide_prune(&facts)))
        });
        assert_eq!(pruned, wanted, "{kind} {exists}");
    }
}

#[test]
fn who_is_told_why_others_may() {
    let explain = |ask: &Ask| deciding(ask, |caller| cell(&because(decide_explain(caller))));
    for (kind, told) in [
        ("anonymous", "!sign-in"),
        ("stranger", "!none"),
        ("owner", "!none"),
        ("site-admin", "site-admin"),
        ("operator", "operator"),
        ("worker", "!none"),
    ] {
        assert_eq!(explain(&Ask::of(kind)), told, "{kind}");
    }
    assert_eq!(explain(&Ask::of("site-admin").with_scopes(Scopes::ADMIN_ORG)), "!site_admin");
    let through_a_bearer_token = Ask { bound: Some(Bound::default()), ..Ask::of("site-admin") };
    assert_eq!(explain(&through_a_bearer_token), "!none");
}

#[test]
fn listing_takes_read_packages_and_a_bearer_token_for_the_catalog() {
    let list = |ask: &Ask| deciding(ask, |caller| cell(&because(decide_list(caller))));
    assert_eq!(list(&Ask::stranger().with_scopes(Scopes::NONE)), "!read:packages");
    assert_eq!(list(&Ask::stranger().with_scopes(Scopes::DELETE)), "!read:packages");
    assert_eq!(list(&Ask::of("site-admin").with_scopes(Scopes::NONE)), "!read:packages");
    let narrow = Ask { bound: Some(Bound::default()), ..Ask::stranger() };
    assert_eq!(list(&narrow), "!bearer");
    let wide = Ask { bound: Some(Bound { packages: [].into(), catalog: true }), ..Ask::stranger() };
    assert_eq!(list(&wide), "member");
    // The bearer token of nobody opens no list, whatever it says.
    assert_eq!(list(&Ask { bound: wide.bound, ..Ask::of("anonymous") }), "!sign-in");
}

#[test]
fn a_proof_over_the_site_names_its_account_and_no_package() {
    let account = deciding(&Ask::stranger(), |caller| {
        let may = decide_list(caller).unwrap();
        assert_eq!(may.path(), "");
        may.account()
    });
    assert_eq!(account, Some(AccountId(7)));
    assert_eq!(deciding(&Ask::of("operator"), |caller| decide_operate(caller).unwrap().account()), None);
    assert_eq!(deciding(&Ask::of("worker"), |caller| decide_collect(caller).unwrap().account()), None);
}

#[test]
fn a_caller_says_who_they_are() {
    let known =
        |ask: &Ask| deciding(ask, |caller| (caller.is_anonymous(), caller.is_site_admin(), caller.account()));
    assert_eq!(known(&Ask::of("anonymous")), (true, false, None));
    assert_eq!(known(&Ask::stranger()), (false, false, Some(AccountId(7))));
    assert_eq!(known(&Ask::of("site-admin")), (false, true, Some(AccountId(7))));
    // Neither of these two is an administrator of the site: nothing is theirs by a role.
    assert_eq!(known(&Ask { who: Who::Operator, ..Ask::stranger() }), (false, false, None));
    assert_eq!(known(&Ask { who: Who::Worker, ..Ask::stranger() }), (false, false, None));
}
