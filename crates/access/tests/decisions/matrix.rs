//! Kind of caller × visibility × action.

use crate::ask::{Ask, compare, table};
use packhouse_access::Role;

const MATRIX: &str = include_str!("matrix.txt");

#[test]
fn the_matrix_is_what_is_decided() {
    let cells = compare(MATRIX, 2, |case| Ask::of(case[1]).about(case[0]));
    assert_eq!(cells, 37 * 4, "a row was lost");
}

#[test]
fn the_matrix_has_a_row_for_each_kind_of_caller_and_each_visibility() {
    let (head, rows) = table(MATRIX);
    assert_eq!(head, ["package", "caller", "pull", "push", "delete", "administer"]);
    let kinds = [
        "anonymous",
        "stranger",
        "member",
        "reader",
        "writer",
        "admin",
        "owner",
        "site-admin",
        "operator",
        "worker",
    ];
    for package in ["private", "internal", "public", "absent"] {
        for kind in kinds {
            // Nobody has a role on what does not exist.
            if package == "absent" && ["reader", "writer", "admin"].contains(&kind) {
                continue;
            }
            let found = rows.iter().filter(|row| row[..2] == [package, kind]).count();
            assert_eq!(found, 1, "rows for {package} {kind}");
        }
    }
}

#[test]
fn a_stranger_cannot_tell_a_private_package_from_none() {
    for kind in ["anonymous", "stranger", "member", "worker"] {
        for action in ["pull", "push", "delete", "administer"] {
            let ask = Ask::of(kind);
            // The whole refusal is compared: what an edge renders can come from nothing else.
            let private = ask.clone().about("private").may(action).unwrap_err();
            assert_eq!(private, ask.clone().about("absent").may(action).unwrap_err(), "{kind} {action}");
            if kind != "member" {
                assert_eq!(private, ask.about("internal").may(action).unwrap_err(), "{kind} {action}");
            }
        }
    }
}

#[test]
fn the_highest_of_several_reasons_decides() {
    let reader_in_the_organization = Ask { granted: Some(Role::Read), ..Ask::of("member") };
    assert_eq!(
        crate::ask::cell(&reader_in_the_organization.clone().about("internal").may("pull")),
        "visible-internal"
    );
    let writer_in_the_organization = Ask { granted: Some(Role::Write), ..Ask::of("member") };
    assert_eq!(crate::ask::cell(&writer_in_the_organization.about("internal").may("push")), "granted-write");
    let owner_with_a_small_role = Ask { granted: Some(Role::Read), ..Ask::of("owner") };
    assert_eq!(crate::ask::cell(&owner_with_a_small_role.may("delete")), "owns");
}

#[test]
fn a_role_that_was_granted_means_nothing_to_who_has_not_signed_in() {
    // Facts that no statement makes; the decision does not rely on that.
    let ask = Ask { granted: Some(Role::Admin), ..Ask::of("anonymous") };
    assert_eq!(crate::ask::cell(&ask.clone().may("pull")), "!sign-in");
    assert_eq!(
        crate::ask::cell(&Ask { granted: Some(Role::Admin), ..Ask::of("worker") }.may("pull")),
        "!none"
    );
}
