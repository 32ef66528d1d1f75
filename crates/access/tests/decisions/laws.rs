//! Laws that hold for every case there is. The space is small, so it is walked and not drawn from.

use crate::ask::{ASKER, Ask, NAMESPACE, PACKAGE};
use packhouse_access::{
    AccountId, Actions, Chosen, Given, Limit, PackageId, Policy, RepositoryId, RepositoryRole, Role, Scopes,
    Standing, TeamId, Visibility, Who,
};

const ACTIONS: [&str; 10] =
    ["pull", "see", "push", "delete", "restore", "administer", "create", "close", "keep-inside", "open"];
const SCOPES: [Scopes; 3] = [Scopes::READ, Scopes::WRITE, Scopes::DELETE];
const BEARER: [Actions; 3] = [Actions::PULL, Actions::PUSH, Actions::DELETE];
const ROLES: [Role; 3] = [Role::Read, Role::Write, Role::Admin];
const STANDINGS: [Standing; 4] = [Standing::Stranger, Standing::Robot, Standing::Member, Standing::Owner];
const VISIBILITIES: [Visibility; 3] = [Visibility::Private, Visibility::Internal, Visibility::Public];

/// Every role that there is, each from every fact that gives one.
fn givens() -> Vec<Given> {
    let by_role = ROLES
        .into_iter()
        .flat_map(|role| [Given::Account(role), Given::Team(TeamId(1), role), Given::Robot(role)]);
    let in_repository = [
        RepositoryRole::Read,
        RepositoryRole::Triage,
        RepositoryRole::Write,
        RepositoryRole::Maintain,
        RepositoryRole::Admin,
    ];
    let inherited = in_repository.map(|role| Given::Repository(RepositoryId(1), role));
    by_role.chain(inherited).collect()
}

/// Who asks, with each set of scopes, what they are to the owner, and about what; nothing is given.
fn cases_without_a_role() -> Vec<Ask> {
    let mut cases = Vec::new();
    let account = |site_admin| Who::Account { id: ASKER, site_admin };
    for who in [Who::Anonymous, account(false), account(true), Who::Operator, Who::Worker] {
        for set in 0..8 {
            let scopes = (0..3)
                .filter(|bit| set & (1 << bit) != 0)
                .fold(Scopes::NONE, |all, bit| all.with(SCOPES[bit]));
            for standing in STANDINGS {
                for package in [None].into_iter().chain(VISIBILITIES.map(Some)) {
                    let who = who.clone();
                    cases.push(Ask { who, scopes, standing, package, ..Ask::stranger() });
                }
            }
        }
    }
    assert_eq!(cases.len(), 5 * 8 * 4 * 4);
    cases
}

/// Every case, without a bearer token and limits.
fn cases() -> Vec<Ask> {
    let with_roles = |ask: Ask| {
        let with = givens().into_iter().map({
            let ask = ask.clone();
            move |given| Ask { given: vec![given], ..ask.clone() }
        });
        std::iter::once(ask).chain(with).collect::<Vec<_>>()
    };
    let cases: Vec<_> = cases_without_a_role().into_iter().flat_map(with_roles).collect();
    assert_eq!(cases.len(), 5 * 8 * 4 * 4 * 15);
    cases
}

/// Every case of an account with all scopes: where a token's own kind does not matter.
fn cases_of_accounts() -> impl Iterator<Item = Ask> {
    let account = |ask: &Ask| matches!(ask.who, Who::Account { .. });
    cases().into_iter().filter(move |ask| account(ask) && ask.scopes == Scopes::NONE).map(|ask| {
        let policy = Some(Policy::default());
        ask.with_scopes(Scopes::ALL).under(policy)
    })
}

/// What a fine-grained token can be made for, as far as one package and its owner can tell it.
fn limits() -> Vec<Limit> {
    let chosen = [
        Chosen::Owner(NAMESPACE),
        Chosen::Package(PACKAGE),
        Chosen::Owner(AccountId(11)),
        Chosen::Package(PackageId(101)),
        // The account that asks is not the owner of what it asks about.
        Chosen::Owner(ASKER),
    ];
    chosen.into_iter().flat_map(|chosen| ROLES.map(|role| Limit { chosen, role })).collect()
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
        let unbound = ACTIONS.map(|action| ask.may(action));
        for set in 0..8 {
            let carried = (0..3)
                .filter(|bit| set & (1 << bit) != 0)
                .fold(Actions::NONE, |all, bit| all.with(BEARER[bit]));
            let bound = ask.clone().bearing(carried);
            for (action, unbound) in ACTIONS.into_iter().zip(&unbound) {
                if set == 7 {
                    assert_eq!(&bound.may(action), unbound, "all that there is bounds nothing");
                } else if unbound.is_err() {
                    assert!(!allowed(&bound, action), "{action}: {ask:?} with {carried:?}");
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

#[test]
fn a_limit_never_gives_what_its_holder_lacks() {
    for ask in cases_of_accounts() {
        for limit in limits() {
            let limited = Ask { limits: Some(vec![limit]), ..ask.clone() };
            for action in ACTIONS {
                assert!(!allowed(&limited, action) || allowed(&ask, action), "{action}: {ask:?} {limit:?}");
            }
        }
    }
}

#[test]
fn a_further_limit_never_takes_a_right_away() {
    for ask in cases_of_accounts() {
        for first in limits() {
            let one = Ask { limits: Some(vec![first]), ..ask.clone() };
            let held: Vec<_> = ACTIONS.into_iter().filter(|action| allowed(&one, action)).collect();
            // The least is the one that could.
            for second in limits().into_iter().filter(|limit| limit.role == Role::Read) {
                let two = Ask { limits: Some(vec![second, first]), ..ask.clone() };
                for action in &held {
                    assert!(allowed(&two, action), "{action}: {ask:?} {first:?} and {second:?}");
                }
            }
        }
    }
}

#[test]
fn a_fine_grained_token_reaches_nothing_but_what_it_was_made_for_and_public_reading() {
    let elsewhere =
        |limit: &Limit| ![Chosen::Owner(NAMESPACE), Chosen::Package(PACKAGE)].contains(&limit.chosen);
    for ask in cases_of_accounts() {
        let reach =
            |limits: Vec<Limit>, action| allowed(&Ask { limits: Some(limits), ..ask.clone() }, action);
        for action in ACTIONS {
            let reads = matches!(action, "pull" | "see") && ask.package == Some(Visibility::Public);
            let beyond: Vec<_> = limits().into_iter().filter(elsewhere).collect();
            assert!(reads || !reach(beyond, action), "{action}: {ask:?}");
            assert!(reads || !reach(Vec::new(), action), "{action}: {ask:?}");
            // No more than the role that was chosen, either.
            let least = match action {
                "pull" | "see" => Role::Read,
                "push" | "create" => Role::Write,
                _ => Role::Admin,
            };
            for limit in limits().into_iter().filter(|limit| limit.role < least) {
                assert!(reads || !reach(vec![limit], action), "{action}: {ask:?} {limit:?}");
            }
        }
    }
}

#[test]
fn what_one_was_not_made_for_is_as_if_it_were_not_there() {
    for ask in cases_of_accounts().filter(|ask| ask.package != Some(Visibility::Public)) {
        for limits in [vec![], vec![Limit { chosen: Chosen::Owner(AccountId(11)), role: Role::Admin }]] {
            let unlisted = Ask { limits: Some(limits), ..ask.clone() };
            let absent = Ask { package: None, ..unlisted.clone() };
            for action in ["pull", "see", "push", "delete", "restore", "administer"] {
                assert_eq!(unlisted.may(action), absent.may(action), "{action}: {ask:?}");
            }
        }
    }
}

#[test]
fn private_and_none_at_all_are_alike_to_everyone_without_a_role() {
    for ask in cases_without_a_role() {
        let standing_counts = ask.standing == Standing::Owner && ask.who != Who::Anonymous;
        let above = ask.who == Who::Operator || matches!(ask.who, Who::Account { site_admin: true, .. });
        if above || (standing_counts && ask.who != Who::Worker) {
            continue;
        }
        for limits in [None, Some(vec![]), Some(vec![limits()[2]])] {
            // Who has no token has no limits.
            if limits.is_some() && !matches!(ask.who, Who::Account { .. }) {
                continue;
            }
            let private = Ask { package: Some(Visibility::Private), limits, ..ask.clone() };
            let absent = Ask { package: None, ..private.clone() };
            for action in ACTIONS.into_iter().filter(|action| *action != "create") {
                assert_eq!(private.may(action), absent.may(action), "{action}: {ask:?}");
            }
        }
    }
}

#[test]
fn nobody_but_who_is_listed_gets_anything_on_what_is_private() {
    let mut refused = 0;
    for ask in cases().into_iter().filter(|ask| ask.package == Some(Visibility::Private)) {
        let account = matches!(ask.who, Who::Account { .. });
        let listed = (account && (!ask.given.is_empty() || ask.standing == Standing::Owner))
            || ask.who == (Who::Account { id: ASKER, site_admin: true })
            || ask.who == Who::Operator;
        if !listed {
            for action in ACTIONS {
                assert!(!allowed(&ask, action), "{action}: {ask:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 1_000, "only {refused}");
}

#[test]
fn what_is_internal_is_for_the_organizations_own() {
    for ask in cases_without_a_role().into_iter().filter(|ask| ask.package == Some(Visibility::Internal)) {
        let inside = matches!(ask.who, Who::Account { .. }) && ask.standing >= Standing::Robot;
        let above = ask.who == Who::Operator || ask.who == (Who::Account { id: ASKER, site_admin: true });
        let ask = ask.with_scopes(Scopes::ALL);
        assert_eq!(allowed(&ask, "pull"), inside || above, "{ask:?}");
    }
}

#[test]
fn roles_do_not_add_up() {
    // Two facts give what the higher of them gives.
    let ask = |given: &[Given]| Ask { given: given.to_vec(), ..Ask::stranger() };
    for one in givens() {
        for other in givens() {
            for action in ["pull", "see", "push", "delete", "restore", "administer"] {
                let apart = allowed(&ask(&[one]), action) || allowed(&ask(&[other]), action);
                assert_eq!(allowed(&ask(&[one, other]), action), apart, "{action}: {one:?} {other:?}");
            }
        }
    }
}

#[test]
fn a_policy_never_binds_owners() {
    for ask in cases_of_accounts() {
        for policy in policies() {
            let over =
                ask.standing == Standing::Owner || ask.who == (Who::Account { id: ASKER, site_admin: true });
            let bound = ask.clone().under(Some(policy));
            // What is no act of giving a visibility is nothing to a policy at all.
            let acts = ACTIONS
                .into_iter()
                .filter(|action| over || !matches!(*action, "create" | "close" | "keep-inside" | "open"));
            for action in acts {
                assert_eq!(allowed(&bound, action), allowed(&ask, action), "{action}: {ask:?} {policy:?}");
            }
        }
    }
}

#[test]
fn a_policy_never_gives_anything() {
    for ask in cases_of_accounts() {
        for policy in policies() {
            let bound = ask.clone().under(Some(policy));
            for action in ACTIONS {
                assert!(!allowed(&bound, action) || allowed(&ask, action), "{action}: {ask:?} {policy:?}");
            }
        }
    }
}

/// Each of the eight, with each default.
fn policies() -> Vec<Policy> {
    let of = |set: u8, default| {
        let (private, internal, public) = (set & 1 != 0, set & 2 != 0, set & 4 != 0);
        Policy { private, internal, public, default }
    };
    (0..8).flat_map(|set| VISIBILITIES.map(|default| of(set, default))).collect()
}
