//! What is known about a caller and a package, read in one transaction.

use crate::brand::{Brand, Invariant};
use crate::{
    AccountId, Actions, PackageId, RepositoryId, RepositoryRole, Role, Scopes, TeamId, TokenId, Visibility,
};
use std::marker::PhantomData;
use std::sync::Arc;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody signed in.
    Anonymous,
    /// A user.
    Account {
        /// Their account.
        id: AccountId,
        /// Whether they administer the whole site.
        site_admin: bool,
    },
    /// Whoever may open the operator's socket or the catalog itself.
    Operator,
    /// A background worker.
    Worker,
}

/// What a signed bearer token may at most do: what its own holder was granted when it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Actions by package path. Shared: each request hands it on a few times.
    pub packages: Arc<[(String, Actions)]>,
    /// Whether the list of packages may be read (`registry:catalog:*`).
    pub catalog: bool,
}

impl Bound {
    pub(crate) fn allows(&self, path: &str, actions: Actions) -> bool {
        self.packages.iter().any(|(name, held)| name == path && held.contains(actions))
    }
}

/// What a fine-grained token was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// All packages of an account, those to come too.
    Owner(AccountId),
    /// One package.
    Package(PackageId),
}

/// One of the limits of a fine-grained token: on what is chosen it may at most what the role allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// On what.
    pub chosen: Chosen,
    /// At most.
    pub role: Role,
}

/// A caller as the catalog knows them *now*, in transaction `'tx`.
#[derive(Clone, Debug)]
pub struct Caller<'tx> {
    pub(crate) who: Who,
    token: Option<TokenId>,
    pub(crate) scopes: Scopes,
    pub(crate) bound: Option<Bound>,
    /// Of a fine-grained token, which has no scopes; none: a classic one.
    pub(crate) limits: Option<Vec<Limit>>,
    _of: Invariant<'tx>,
}

impl<'tx> Caller<'tx> {
    /// A caller read in the transaction of `brand`: `token` is what they signed in with, directly or through a
    /// bearer token, whose `scopes` limit them; `bound` is the bearer token's own limit.
    pub fn new(
        _brand: &Brand<'tx>,
        who: Who,
        token: Option<TokenId>,
        scopes: Scopes,
        bound: Option<Bound>,
    ) -> Self {
        Caller { who, token, scopes, bound, limits: None, _of: PhantomData }
    }

    /// The same caller with a fine-grained token: its limits take the place of scopes.
    #[must_use]
    pub fn limited(self, _brand: &Brand<'tx>, limits: Vec<Limit>) -> Self {
        Caller { limits: Some(limits), scopes: Scopes::NONE, ..self }
    }

    /// Whether their token is a fine-grained one.
    pub fn is_limited(&self) -> bool {
        self.limits.is_some()
    }

    /// What a fine-grained token may at most do on a package; nothing on what it was not made for.
    pub(crate) fn limit_on(&self, owner: Option<AccountId>, package: Option<PackageId>) -> Option<Role> {
        let chosen = |limit: &&Limit| match limit.chosen {
            Chosen::Owner(id) => Some(id) == owner,
            Chosen::Package(id) => Some(id) == package,
        };
        self.limits.iter().flatten().filter(chosen).map(|limit| limit.role).max()
    }

    /// The account, if it is one.
    pub fn account(&self) -> Option<AccountId> {
        match self.who {
            Who::Account { id, .. } => Some(id),
            Who::Anonymous | Who::Operator | Who::Worker => None,
        }
    }

    /// The personal access token behind them.
    pub fn token(&self) -> Option<TokenId> {
        self.token
    }

    /// Whether nobody signed in.
    pub fn is_anonymous(&self) -> bool {
        self.who == Who::Anonymous
    }

    /// Whether they administer the whole site.
    pub fn is_site_admin(&self) -> bool {
        matches!(self.who, Who::Account { site_admin: true, .. })
    }

    /// The token's scopes.
    pub fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// The same caller without the limit of their bearer token, which says what a *wider* token could do.
    ///
    /// Used for what the protocol's scope strings cannot name: the source of a mount is judged by the
    /// account and its token's scopes (ARCHITECTURE.md, "Mounts").
    #[must_use]
    pub fn unbound(&self) -> Self {
        Caller { bound: None, ..self.clone() }
    }
}

/// What the caller is to a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing to it.
    Stranger,
    /// A robot of the organization: sees what its members see, and creates only what it was given a role for.
    Robot,
    /// A member of the organization.
    Member,
    /// The user whose namespace it is, or an owner of the organization.
    Owner,
}

/// A role that the caller has on a package, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Granted to the account by name.
    Account(Role),
    /// Granted to a team that the account is in, itself or through a team below it.
    Team(TeamId, Role),
    /// Given to a robot on all packages of its organization.
    Robot(Role),
    /// Inherited from the linked repository: the account's role there.
    Repository(RepositoryId, RepositoryRole),
}

impl Given {
    /// The role on the package.
    pub fn role(self) -> Role {
        match self {
            Given::Account(role) | Given::Team(_, role) | Given::Robot(role) => role,
            Given::Repository(_, role) => role.on_package(),
        }
    }
}

/// What members of an organization may create and which visibility they may choose (GitHub: "Package creation").
/// Owners are not bound by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Visibilities that members may give to a package.
    pub private: bool,
    /// See `private`.
    pub internal: bool,
    /// See `private`.
    pub public: bool,
    /// What a package is when it is made.
    pub default: Visibility,
}

impl Default for Policy {
    /// GitHub's: everything may be created, and is private first.
    fn default() -> Self {
        Policy { private: true, internal: true, public: true, default: Visibility::Private }
    }
}

impl Policy {
    /// Whether members may have packages of this visibility.
    pub fn allows(&self, visibility: Visibility) -> bool {
        match visibility {
            Visibility::Private => self.private,
            Visibility::Internal => self.internal,
            Visibility::Public => self.public,
        }
    }
}

/// What the catalog knows about a caller and a package path, read in transaction `'tx`. A package that does
/// not exist has facts too: the same statements read them and the same decision refuses.
#[derive(Clone, Debug)]
pub struct PackageFacts<'tx> {
    pub(crate) caller: Caller<'tx>,
    pub(crate) path: String,
    pub(crate) namespace: Option<AccountId>,
    pub(crate) standing: Standing,
    pub(crate) package: Option<(PackageId, Visibility)>,
    pub(crate) given: Vec<Given>,
    /// Of the namespace, if it is an organization.
    pub(crate) policy: Option<Policy>,
}

impl<'tx> PackageFacts<'tx> {
    /// Facts read in the transaction of `brand`. `granted` is the role granted to the caller by name.
    pub fn new(
        _brand: &Brand<'tx>,
        caller: &Caller<'tx>,
        path: &str,
        namespace: Option<AccountId>,
        standing: Standing,
        package: Option<(PackageId, Visibility)>,
        granted: Option<Role>,
    ) -> Self {
        let given = granted.map(Given::Account).into_iter().collect();
        let path = path.to_owned();
        PackageFacts { caller: caller.clone(), path, namespace, standing, package, given, policy: None }
    }

    /// The same facts with more roles.
    #[must_use]
    pub fn given(mut self, _brand: &Brand<'tx>, more: impl IntoIterator<Item = Given>) -> Self {
        self.given.extend(more);
        self
    }

    /// The same facts in the namespace of an organization with this policy.
    #[must_use]
    pub fn under(self, _brand: &Brand<'tx>, policy: Policy) -> Self {
        PackageFacts { policy: Some(policy), ..self }
    }

    /// Whether there is such a package, for the choice between pushing and creating. Not for an answer.
    pub fn exists(&self) -> bool {
        self.package.is_some()
    }

    /// The caller.
    pub fn caller(&self) -> &Caller<'tx> {
        &self.caller
    }

    /// The same facts without the limit of the bearer token; see [`Caller::unbound`].
    #[must_use]
    pub fn unbound(&self) -> Self {
        PackageFacts { caller: self.caller.unbound(), ..self.clone() }
    }
}

/// What the catalog knows about a caller and an account that owns things: an organization or a user.
#[derive(Clone, Debug)]
pub struct NamespaceFacts<'tx> {
    pub(crate) caller: Caller<'tx>,
    pub(crate) name: String,
    pub(crate) namespace: Option<AccountId>,
    pub(crate) standing: Standing,
    pub(crate) policy: Option<Policy>,
    pub(crate) members_create_repositories: bool,
}

impl<'tx> NamespaceFacts<'tx> {
    /// Facts read in the transaction of `brand`; a `policy` only of organizations.
    pub fn new(
        _brand: &Brand<'tx>,
        caller: &Caller<'tx>,
        name: &str,
        namespace: Option<AccountId>,
        standing: Standing,
        policy: Option<Policy>,
        members_create_repositories: bool,
    ) -> Self {
        let (caller, name) = (caller.clone(), name.to_owned());
        NamespaceFacts { caller, name, namespace, standing, policy, members_create_repositories }
    }

    /// What the caller is to it.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether it is an organization.
    pub fn is_organization(&self) -> bool {
        self.policy.is_some()
    }

    /// The account, if there is one of that name.
    pub fn namespace(&self) -> Option<AccountId> {
        self.namespace
    }
}

/// What the catalog knows about a caller and a repository.
#[derive(Clone, Debug)]
pub struct RepositoryFacts<'tx> {
    pub(crate) caller: Caller<'tx>,
    pub(crate) path: String,
    pub(crate) owner: Option<AccountId>,
    pub(crate) standing: Standing,
    pub(crate) repository: Option<(RepositoryId, Visibility)>,
    /// The highest role: as a collaborator, through a team, or as a member.
    pub(crate) role: Option<RepositoryRole>,
}

impl<'tx> RepositoryFacts<'tx> {
    /// Facts read in the transaction of `brand`; `path` is `owner/name`.
    pub fn new(
        _brand: &Brand<'tx>,
        caller: &Caller<'tx>,
        path: &str,
        owner: Option<AccountId>,
        standing: Standing,
        repository: Option<(RepositoryId, Visibility)>,
        role: Option<RepositoryRole>,
    ) -> Self {
        let (caller, path) = (caller.clone(), path.to_owned());
        RepositoryFacts { caller, path, owner, standing, repository, role }
    }

    /// Whether there is such a repository. Not for an answer.
    pub fn exists(&self) -> bool {
        self.repository.is_some()
    }
}

/// What the catalog knows about a caller and a team.
#[derive(Clone, Debug)]
pub struct TeamFacts<'tx> {
    pub(crate) organization: NamespaceFacts<'tx>,
    pub(crate) team: Option<TeamId>,
    pub(crate) secret: bool,
    /// Whether the caller is in it, and maintains it.
    pub(crate) member: Option<bool>,
}

impl<'tx> TeamFacts<'tx> {
    /// Facts read in the transaction of `brand`. `member` says whether the caller is in the team, and if so whether
    /// as a maintainer.
    pub fn new(
        _brand: &Brand<'tx>,
        organization: NamespaceFacts<'tx>,
        team: Option<TeamId>,
        secret: bool,
        member: Option<bool>,
    ) -> Self {
        TeamFacts { organization, team, secret, member }
    }
}
