//! Words and numbers: what is written on the command line and kept in the catalog.

use packhouse_access::{AccountId, Actions, Role, Scopes, Visibility};

#[test]
fn numbers_in_the_catalog_never_change_their_meaning() {
    let roles = [(1, "read", Role::Read), (2, "write", Role::Write), (3, "admin", Role::Admin)];
    for (number, word, role) in roles {
        assert_eq!((role.number(), role.to_string().as_str()), (number, word));
        assert_eq!((Role::from_number(number), word.parse()), (Some(role), Ok(role)));
    }
    let visibilities = [
        (0, "private", Visibility::Private),
        (1, "internal", Visibility::Internal),
        (2, "public", Visibility::Public),
    ];
    for (number, word, visibility) in visibilities {
        assert_eq!((visibility.number(), visibility.to_string().as_str()), (number, word));
        assert_eq!((Visibility::from_number(number), word.parse()), (Some(visibility), Ok(visibility)));
    }
    for number in [-1, 0, 4, i64::MAX] {
        assert_eq!(Role::from_number(number), None);
    }
    assert_eq!(Visibility::from_number(3), None);
    assert_eq!((Scopes::READ.number(), Scopes::WRITE.number(), Scopes::DELETE.number()), (1, 3, 4));
}

#[test]
fn an_unknown_word_is_repeated_in_part_with_the_allowed_ones() {
    let error = "owner".parse::<Role>().unwrap_err();
    assert_eq!(error.to_string(), "`owner` is not a role; use one of: read, write, admin");
    let error = "Public".parse::<Visibility>().unwrap_err();
    assert_eq!(error.to_string(), "`Public` is not a visibility; use one of: private, internal, public");
    let long = "x".repeat(10_000).parse::<Role>().unwrap_err().to_string();
    assert!(long.len() < 120, "{long}");
    let error = Scopes::from_names(["read:packages", "packages"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`packages` is not a scope; for packages use read:packages, write:packages or delete:packages"
    );
}

#[test]
fn scopes_have_names_and_write_holds_read() {
    let names = |scopes: Scopes| scopes.names().collect::<Vec<_>>();
    assert_eq!(names(Scopes::NONE), Vec::<&str>::new());
    assert_eq!(names(Scopes::WRITE), ["read:packages", "write:packages"]);
    let packages = Scopes::WRITE.with(Scopes::DELETE);
    assert_eq!(names(packages), ["read:packages", "write:packages", "delete:packages"]);
    assert_eq!(packages.normalized(), ["delete:packages", "write:packages"]);
    assert_eq!(Scopes::from_names(["delete:packages", "write:packages"]), Ok(packages));
    let gh = Scopes::from_names(["repo", "read:org", "gist"]).unwrap();
    assert_eq!(gh.normalized(), ["gist", "read:org", "repo"]);
    assert!(gh.contains(Scopes::PUBLIC_REPO) && !gh.contains(Scopes::WRITE_ORG));
    assert_eq!(Scopes::from_number(gh.number()), gh);
    assert_eq!(Scopes::from_names([]), Ok(Scopes::NONE));
    // A scope of a newer program takes nothing but itself.
    assert_eq!(Scopes::from_number(1 | 1 << 60), Scopes::READ);
    assert_eq!(Scopes::from_number(-1), Scopes::ALL);
}

#[test]
fn actions_have_the_protocols_names() {
    let names = |actions: Actions| actions.names().collect::<Vec<_>>();
    assert_eq!(names(Actions::ALL), ["pull", "push", "delete"]);
    assert_eq!(Actions::from_name("*"), Actions::ALL);
    for unknown in ["", "Pull", "pull ", "administer", "pull,push"] {
        assert!(Actions::from_name(unknown).is_empty(), "{unknown}");
    }
    assert_eq!(
        Actions::from_name("pull").with(Actions::from_name("push")),
        Actions::PULL.with(Actions::PUSH)
    );
    assert!(Actions::ALL.contains(Actions::DELETE) && !Actions::PULL.contains(Actions::PUSH));
}

#[test]
fn an_identifier_is_written_as_its_number() {
    assert_eq!(AccountId(42).to_string(), "42");
}
