//! A decision in the words of `permissions.txt`.

// Each of those who share it uses a part.
#![allow(dead_code, reason = "each test that shares this file uses another part of it")]

use packhouse_access::{
    AccountId, Actions, Because, Bound, Limit, PackageId, Policy, Refusal, Refused, Role, Scopes, Visibility,
};

use super::table::{self, Carries, Kind};

/// The least role for an action, as GitHub's table of roles says it.
pub(crate) fn needs(action: &str) -> Role {
    match action {
        "pull" | "see" => Role::Read,
        "push" | "create" => Role::Write,
        "delete" | "restore" | "administer" => Role::Admin,
        other => panic!("no such action: {other}"),
    }
}

/// A role with the fact that gave it: `write/team`.
pub(crate) fn holds(because: Because) -> String {
    match because {
        Because::Visible(_) => "read/visible".to_owned(),
        Because::Granted(role) => format!("{role}/named"),
        Because::Team(_, role) => format!("{role}/team"),
        Because::Repository(_, role) => format!("{}/repository", role.on_package()),
        Because::Robot(role) => format!("{role}/robot"),
        Because::OwnsNamespace => "admin/owner".to_owned(),
        Because::SiteAdmin => "admin/site".to_owned(),
        Because::Operator => "admin/operator".to_owned(),
        Because::Own | Because::Member | Because::Worker => format!("{because:?}"),
    }
}

/// The word for a refusal. What it says of roles must be true: `has` is what the case holds.
pub(crate) fn refusal(refused: &Refused, action: &str, has: Option<Role>) -> String {
    match &refused.refusal {
        Refusal::Authenticate => "sign-in".to_owned(),
        Refusal::BearerTooNarrow => "bearer".to_owned(),
        Refusal::Scope(scope, _) => format!("-{}", scope.trim_end_matches(":packages")),
        Refusal::NotFound => "none".to_owned(),
        Refusal::Role { has: said, needs: least } => {
            assert_eq!((Some(*said), *least), (has, needs(action)), "{action}");
            "role".to_owned()
        }
        Refusal::Limit { .. } => "limit".to_owned(),
        Refusal::Policy(_) => "policy".to_owned(),
        Refusal::NoInternal => "no-internal".to_owned(),
        Refusal::Standing => "standing".to_owned(),
        Refusal::Caller => "caller".to_owned(),
    }
}

/// The scopes of a token, all of them where they do not count.
pub(crate) fn scopes(kind: &Kind) -> Scopes {
    match kind {
        Kind::Nobody | Kind::Worker => Scopes::NONE,
        Kind::Operator | Kind::All | Kind::Fine(_) => Scopes::ALL,
        Kind::Classic(names) => Scopes::from_names(names.iter().map(String::as_str)).unwrap(),
    }
}

/// What the words for limits stand for.
pub(crate) struct Ids {
    pub(crate) owner: AccountId,
    pub(crate) package: PackageId,
    pub(crate) other_owner: AccountId,
    pub(crate) other_package: PackageId,
}

/// The limits of a fine-grained token.
pub(crate) fn limits(kind: &Kind, ids: &Ids) -> Option<Vec<Limit>> {
    let Kind::Fine(chosen) = kind else { return None };
    let limit = |(chosen, role): &(table::Chosen, &str)| {
        let chosen = match chosen {
            table::Chosen::Owner => packhouse_access::Chosen::Owner(ids.owner),
            table::Chosen::Package => packhouse_access::Chosen::Package(ids.package),
            table::Chosen::OtherOwner => packhouse_access::Chosen::Owner(ids.other_owner),
            table::Chosen::OtherPackage => packhouse_access::Chosen::Package(ids.other_package),
        };
        Limit { chosen, role: role.parse().unwrap() }
    };
    Some(chosen.iter().map(limit).collect())
}

/// What a bearer token carries, when it is asked about this path.
pub(crate) fn bound(carries: &Carries, path: &str) -> Bound {
    let on = |path: String, actions| Bound { packages: vec![(path, actions)].into(), catalog: false };
    match carries {
        Carries::Here(names) if names.is_empty() => Bound::default(),
        Carries::Here(names) => {
            let actions = names.iter().fold(Actions::NONE, |all, name| all.with(Actions::from_name(name)));
            on(path.to_owned(), actions)
        }
        Carries::Other => on(format!("{path}-other"), Actions::ALL),
        Carries::Catalog => Bound { packages: [].into(), catalog: true },
    }
}

/// `private+public/internal`: what members may have, and what a package is first.
pub(crate) fn policy(words: &str) -> Option<Policy> {
    if words == "none" {
        return None;
    }
    let (allowed, default) = words.split_once('/').unwrap_or((words, "private"));
    let allows = |visibility: Visibility| allowed.split('+').any(|word| word == visibility.as_str());
    Some(Policy {
        private: allows(Visibility::Private),
        internal: allows(Visibility::Internal),
        public: allows(Visibility::Public),
        default: default.parse().unwrap(),
    })
}
