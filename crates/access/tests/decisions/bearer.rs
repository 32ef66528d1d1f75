//! A bearer token is an upper bound: the facts of now must allow as well.

use crate::ask::{ASKER, Ask, NAMESPACE, PATH, cell, compare};
use packhouse_access::{
    Actions, Bound, Caller, PackageFacts, PackageId, Pull, Push, Scopes, Standing, Visibility, Who, decide,
    with_brand,
};

fn actions(words: &str) -> Actions {
    words.split('+').fold(Actions::NONE, |set, word| {
        set.with(match word {
            "none" => Actions::NONE,
            "all" => Actions::ALL,
            "pull" => Actions::PULL,
            "push" => Actions::PUSH,
            "delete" => Actions::DELETE,
            other => panic!("no such action: {other}"),
        })
    })
}

#[test]
fn a_bearer_token_bounds_its_holder() {
    let cells = compare(include_str!("bearer.txt"), 3, |case| {
        Ask::of(case[1]).about(case[0]).bearing(actions(case[2]))
    });
    assert_eq!(cells, 13 * 4, "a row was lost");
}

#[test]
fn a_bearer_token_for_another_package_is_none_for_this_one() {
    // Each is a path that a sloppy comparison would take for `acme/tool`.
    for path in [
        "acme/tool2",
        "acme/too",
        "acme",
        "acme/",
        "acme/tool/",
        "acme/*",
        "*",
        "",
        "ACME/tool",
        "acme/tool/x",
    ] {
        let ask = Ask::of("owner").bearing_on(path, Actions::ALL);
        assert_eq!(cell(&ask.may("pull")), "!bearer", "{path}");
    }
}

#[test]
fn actions_of_two_entries_are_not_added_up() {
    // The token service writes one entry for a package; two that share the work are not one that has it all.
    let packages = vec![(PATH.to_owned(), Actions::PULL), (PATH.to_owned(), Actions::PUSH)];
    let ask = Ask { bound: Some(Bound { packages: packages.into(), catalog: false }), ..Ask::of("owner") };
    assert_eq!(cell(&ask.may("pull")), "owns");
    assert_eq!(cell(&ask.may("push")), "owns");
    assert_eq!(cell(&ask.may("administer")), "!bearer");
}

#[test]
fn a_bearer_token_does_not_lift_the_scopes_behind_it() {
    let ask = Ask::of("owner").with_scopes(Scopes::READ).bearing(Actions::ALL);
    assert_eq!(cell(&ask.may("pull")), "owns");
    assert_eq!(cell(&ask.may("push")), "!write:packages");
}

#[test]
fn unbound_takes_the_bearers_limit_away_and_nothing_else() {
    with_brand(|brand| {
        let who = Who::Account { id: ASKER, site_admin: false };
        let caller = Caller::new(&brand, who, None, Scopes::READ, Some(Bound::default()));
        let package = Some((PackageId(1), Visibility::Private));
        let facts = PackageFacts::new(&brand, &caller, PATH, Some(NAMESPACE), Standing::Owner, package, None);
        assert_eq!(cell(&decide::<Pull>(&facts).map(|may| may.because())), "!bearer");
        let wider = facts.unbound();
        assert_eq!(cell(&decide::<Pull>(&wider).map(|may| may.because())), "owns");
        assert_eq!(cell(&decide::<Push>(&wider).map(|may| may.because())), "!write:packages");
        assert_eq!(caller.unbound().account(), Some(ASKER));
        assert_eq!(caller.unbound().scopes(), Scopes::READ);
    });
}
