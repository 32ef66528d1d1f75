//! Builders: who asks, about what. A test states only what matters to it.

use packhouse_access::{
    AccountId, Action, Actions, Administer, Because, Bound, Caller, Create, Delete, Given, Granted, Limit,
    PackageFacts, PackageId, Policy, Pull, Push, Refusal, Refused, Restore, Role, Scopes, See, Standing,
    TokenId, Visibility, Who, decide, decide_create, decide_publish, with_brand,
};

/// The account that asks, when it is one.
pub(crate) const ASKER: AccountId = AccountId(7);
/// Who owns the namespace of [`PATH`].
pub(crate) const NAMESPACE: AccountId = AccountId(10);
/// The package that is asked about, when there is one.
pub(crate) const PACKAGE: PackageId = PackageId(100);
/// Its path.
pub(crate) const PATH: &str = "acme/tool";

/// All that a decision looks at.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) who: Who,
    pub(crate) scopes: Scopes,
    pub(crate) bound: Option<Bound>,
    /// Of a fine-grained token.
    pub(crate) limits: Option<Vec<Limit>>,
    pub(crate) standing: Standing,
    pub(crate) package: Option<Visibility>,
    pub(crate) namespace: Option<AccountId>,
    pub(crate) granted: Option<Role>,
    /// Roles that are not the caller's by name.
    pub(crate) given: Vec<Given>,
    pub(crate) policy: Option<Policy>,
}

impl Ask {
    /// Signed in with all scopes, and nothing to the namespace.
    pub(crate) fn stranger() -> Ask {
        Ask {
            who: Who::Account { id: ASKER, site_admin: false },
            scopes: Scopes::ALL,
            bound: None,
            limits: None,
            standing: Standing::Stranger,
            package: Some(Visibility::Private),
            namespace: Some(NAMESPACE),
            granted: None,
            given: Vec::new(),
            policy: None,
        }
    }

    /// One of the kinds of caller that the tables name.
    pub(crate) fn of(kind: &str) -> Ask {
        let stranger = Ask::stranger();
        let with_role = |role| Ask { granted: Some(role), ..Ask::stranger() };
        match kind {
            "anonymous" => Ask { who: Who::Anonymous, scopes: Scopes::NONE, ..stranger },
            "stranger" => stranger,
            "member" => Ask { standing: Standing::Member, ..stranger },
            "reader" => with_role(Role::Read),
            "writer" => with_role(Role::Write),
            "admin" => with_role(Role::Admin),
            "owner" => Ask { standing: Standing::Owner, ..stranger },
            "site-admin" => Ask { who: Who::Account { id: ASKER, site_admin: true }, ..stranger },
            "operator" => Ask { who: Who::Operator, ..stranger },
            "worker" => Ask { who: Who::Worker, scopes: Scopes::NONE, ..stranger },
            other => panic!("no such kind of caller: {other}"),
        }
    }

    /// About a package of this visibility, or about none.
    pub(crate) fn about(self, package: &str) -> Ask {
        let package = match package {
            "absent" => None,
            visibility => Some(visibility.parse().unwrap()),
        };
        Ask { package, ..self }
    }

    pub(crate) fn with_scopes(self, scopes: Scopes) -> Ask {
        Ask { scopes, ..self }
    }

    /// In the namespace of an organization with this policy.
    pub(crate) fn under(self, policy: Option<Policy>) -> Ask {
        Ask { policy, ..self }
    }

    /// Through a bearer token that carries these actions on [`PATH`].
    pub(crate) fn bearing(self, actions: Actions) -> Ask {
        self.bearing_on(PATH, actions)
    }

    /// Through a bearer token that carries these actions on some path.
    pub(crate) fn bearing_on(self, path: &str, actions: Actions) -> Ask {
        Ask {
            bound: Some(Bound { packages: vec![(path.to_owned(), actions)].into(), catalog: false }),
            ..self
        }
    }

    fn facts<R>(&self, then: impl for<'tx> FnOnce(PackageFacts<'tx>) -> R) -> R {
        with_brand(|brand| {
            let token = matches!(self.who, Who::Account { .. }).then_some(TokenId(1));
            let caller = Caller::new(&brand, self.who.clone(), token, self.scopes, self.bound.clone());
            let caller = match &self.limits {
                Some(limits) => caller.limited(&brand, limits.clone()),
                None => caller,
            };
            let package = self.package.map(|visibility| (PACKAGE, visibility));
            let (standing, granted) = (self.standing, self.granted);
            let facts = PackageFacts::new(&brand, &caller, PATH, self.namespace, standing, package, granted);
            let facts = facts.given(&brand, self.given.iter().copied());
            then(match self.policy {
                Some(policy) => facts.under(&brand, policy),
                None => facts,
            })
        })
    }

    /// The decision about an action, with what the proof says when there is one.
    pub(crate) fn decide<A: Action>(&self) -> Result<Because, Refused> {
        self.facts(|facts| decide::<A>(&facts).map(|granted| self.checked(&granted)))
    }

    fn checked<A: Action>(&self, granted: &Granted<'_, A>) -> Because {
        assert_eq!(granted.package(), PACKAGE);
        assert_eq!(granted.path(), PATH);
        let account = matches!(self.who, Who::Account { .. }).then_some(ASKER);
        assert_eq!(granted.account(), account);
        granted.because()
    }

    /// The decision about an action by its name in the tables.
    pub(crate) fn may(&self, action: &str) -> Result<Because, Refused> {
        match action {
            "pull" => self.decide::<Pull>(),
            "see" => self.decide::<See>(),
            "push" => self.decide::<Push>(),
            "delete" => self.decide::<Delete>(),
            "restore" => self.decide::<Restore>(),
            "administer" => self.decide::<Administer>(),
            "create" => self.create(),
            "close" => self.publish(Visibility::Private),
            "keep-inside" => self.publish(Visibility::Internal),
            "open" => self.publish(Visibility::Public),
            other => panic!("no such action: {other}"),
        }
    }

    fn publish(&self, visibility: Visibility) -> Result<Because, Refused> {
        self.facts(|facts| decide_publish(&facts, visibility).map(|may| may.because()))
    }

    pub(crate) fn create(&self) -> Result<Because, Refused> {
        self.facts(|facts| {
            decide_create(&facts).map(|granted: Granted<'_, Create>| {
                assert_eq!(Some(granted.namespace()), self.namespace);
                assert_eq!(granted.path(), PATH);
                granted.because()
            })
        })
    }
}

/// A decision in the words of the tables.
pub(crate) fn cell(decision: &Result<Because, Refused>) -> String {
    match decision {
        Ok(because) => match because {
            Because::Visible(visibility) => format!("visible-{visibility}"),
            Because::Granted(role) => format!("granted-{role}"),
            Because::Team(_, role) => format!("team-{role}"),
            Because::Repository(_, role) => format!("repository-{role}"),
            Because::Robot(role) => format!("robot-{role}"),
            Because::Own => "own".to_owned(),
            Because::OwnsNamespace => "owns".to_owned(),
            Because::Member => "member".to_owned(),
            Because::SiteAdmin => "site-admin".to_owned(),
            Because::Operator => "operator".to_owned(),
            Because::Worker => "worker".to_owned(),
        },
        Err(refused) => match &refused.refusal {
            Refusal::Authenticate => "!sign-in".to_owned(),
            Refusal::BearerTooNarrow => "!bearer".to_owned(),
            Refusal::Scope(scope, _) => format!("!{scope}"),
            Refusal::NotFound => "!none".to_owned(),
            Refusal::Role { has, needs } => format!("!{has}<{needs}"),
            Refusal::Limit { has, needs } => {
                format!("!limit-{}<{needs}", has.map_or("none", |role| role.as_str()))
            }
            Refusal::Policy(visibility) => {
                format!("!policy-{}", visibility.map_or("any", |visibility| visibility.as_str()))
            }
            Refusal::NoInternal => "!no-internal".to_owned(),
            Refusal::Standing => "!standing".to_owned(),
            Refusal::Caller => "!caller".to_owned(),
        },
    }
}

/// The rows of a table: words in columns, the first line names them, `#` begins a comment.
pub(crate) fn table(text: &str) -> (Vec<&str>, Vec<Vec<&str>>) {
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let rows: Vec<Vec<&str>> = lines.collect();
    for row in &rows {
        assert_eq!(row.len(), head.len(), "columns of {row:?}");
    }
    (head, rows)
}

/// Compares a table whose first columns name the case and whose others each name an action.
pub(crate) fn compare(text: &str, keys: usize, ask: impl Fn(&[&str]) -> Ask) -> usize {
    let (head, rows) = table(text);
    let mut wrong = Vec::new();
    let mut cells = 0;
    for row in &rows {
        for (action, expected) in head.iter().zip(row).skip(keys) {
            let found = cell(&ask(&row[..keys]).may(action));
            cells += 1;
            if found != *expected {
                wrong.push(format!(
                    "{} {action}: {found}, where the table says {expected}",
                    row[..keys].join(" ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    cells
}
