//! Laws that hold for every case there is. The space is small, so it is walked and not drawn from.

use crate::ask::{ASKER, Ask, NAMESPACE};
use packhouse_access::{Actions, Role, Scopes, Standing, Visibility, Who};

const ACTIONS: [&str; 5] = ["pull", "push", "delete", "administer", "create"];
const SCOPES: [Scopes; 3] = [Scopes::READ, Scopes::WRITE, Scopes::DELETE];
const BEARER: [Actions; 3] = [Actions::PULL, Actions::PUSH, Actions::DELETE];

/// Every case, without a bearer token.
fn cases() -> Vec<Ask> {
    let mut cases = Vec::new();
    let account = |site_admin| Who::Account { id: ASKER, site_admin };
    for who in [Who::Anonymous, account(false), account(true), Who::Operator, Who::Worker] {
        for set in 0..8 {
            for standing in [Standing::Stranger, Standing::Member, Standing::Owner] {
                for package in
                    [None, Some(Visibility::Private), Some(Visibility::Internal), Some(Visibility::Public)]
                {
                    for granted in [None, Some(Role::Read), Some(Role::Write), Some(Role::Admin)] {
                        let scopes = (0..3)
                            .filter(|bit| set & (1 << bit) != 0)
                            .fold(Scopes::NONE, |all, bit| all.with(SCOPES[bit]));
                        let (who, namespace) = (who.clone(), Some(NAMESPACE));
                        cases.push(Ask { who, scopes, bound: None, standing, package, namespace, granted });
                    }
                }
            }
        }
    }
    assert_eq!(cases.len(), 5 * 8 * 3 * 4 * 4);
    cases
}

fn allowed(ask: &Ask, action: &str) -> bool {
    ask.may(action).is_ok()
}

#[test]
fn a_further_scope_never_takes_a_right_away() {
    for ask in cases() {
        for scope in SCOPES {
            let wider = ask.clone().with_scopes(ask.scopes.with(scope));
            for action in ACTIONS {
                assert!(!allowed(&ask, action) || allowed(&wider, action), "{action}: {ask:?} and {scope:?}");
            }
        }
    }
}

#[test]
fn a_higher_role_never_takes_a_right_away() {
    for ask in cases() {
        let higher = Ask { granted: Some(Role::Admin), ..ask.clone() };
        for action in ACTIONS {
            assert!(!allowed(&ask, action) || allowed(&higher, action), "{action}: {ask:?}");
        }
    }
}

#[test]
fn opening_a_package_never_takes_a_right_away() {
    for ask in cases().into_iter().filter(|ask| ask.package.is_some()) {
        let public = Ask { package: Some(Visibility::Public), ..ask.clone() };
        for action in ACTIONS {
            assert!(!allowed(&ask, action) || allowed(&public, action), "{action}: {ask:?}");
        }
    }
}

#[test]
fn a_bearer_token_never_gives_what_its_holder_lacks() {
    for ask in cases() {
        for set in 0..8 {
            let carried = (0..3)
                .filter(|bit| set & (1 << bit) != 0)
                .fold(Actions::NONE, |all, bit| all.with(BEARER[bit]));
            let bound = ask.clone().bearing(carried);
            for action in ACTIONS {
                assert!(
                    !allowed(&bound, action) || allowed(&ask, action),
                    "{action}: {ask:?} with {carried:?}"
                );
                if set == 7 {
                    assert_eq!(bound.may(action), ask.may(action), "all that there is bounds nothing");
                }
            }
        }
    }
}

#[test]
fn what_does_not_exist_gives_nobody_anything() {
    for ask in cases().into_iter().filter(|ask| ask.package.is_none()) {
        for action in ["pull", "push", "delete", "administer"] {
            assert!(!allowed(&ask, action), "{action}: {ask:?}");
        }
    }
}

#[test]
fn nobody_changes_anything_without_signing_in() {
    for ask in cases().into_iter().filter(|ask| ask.who == Who::Anonymous) {
        for action in ["push", "delete", "administer", "create"] {
            assert!(!allowed(&ask, action), "{action}: {ask:?}");
        }
    }
}
