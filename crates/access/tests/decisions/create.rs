//! Creating a package by pushing to it.

use crate::ask::{Ask, cell, compare};
use packhouse_access::{Actions, Scopes};

#[test]
fn the_rules_of_creating() {
    let cells = compare(include_str!("create.txt"), 3, |case| {
        let ask = Ask::of(case[2]).about(case[1]);
        if case[0] == "absent" { Ask { namespace: None, ..ask } } else { ask }
    });
    assert_eq!(cells, 16, "a row was lost");
}

#[test]
fn creating_takes_write_packages() {
    let owner = Ask::of("owner").about("absent");
    for scopes in [Scopes::NONE, Scopes::READ, Scopes::DELETE, Scopes::READ.with(Scopes::DELETE)] {
        assert_eq!(cell(&owner.clone().with_scopes(scopes).create()), "!write:packages", "{scopes:?}");
    }
    assert_eq!(cell(&owner.with_scopes(Scopes::WRITE).create()), "owns");
}

#[test]
fn creating_takes_a_bearer_token_that_carries_push() {
    let owner = Ask::of("owner").about("absent");
    assert_eq!(cell(&owner.clone().bearing(Actions::PULL).create()), "!bearer");
    assert_eq!(cell(&owner.clone().bearing_on("acme/other", Actions::PUSH).create()), "!bearer");
    assert_eq!(cell(&owner.bearing(Actions::PUSH).create()), "owns");
}

#[test]
fn a_stranger_cannot_tell_a_namespace_from_none() {
    let foreign = Ask::stranger().about("absent");
    let none = Ask { namespace: None, ..foreign.clone() };
    assert_eq!(foreign.create().unwrap_err(), none.create().unwrap_err());
    assert_eq!(foreign.about("private").create().unwrap_err(), none.create().unwrap_err());
}
