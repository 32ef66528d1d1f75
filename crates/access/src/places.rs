//! Decisions about what is no package: organizations, teams, repositories, and one's own account.

use crate::decide::{Granted, On, grant, lacking, owns, sealed};
use crate::facts::{Caller, NamespaceFacts, RepositoryFacts, Standing, TeamFacts, Who};
use crate::reason::{Because, Refusal, Refused};
use crate::scope::{RepositoryRole, Role, Scopes, Visibility};
use crate::{AccountId, RepositoryId, TeamId};

/// An action on an account that owns things: an organization or, where it makes sense, a user.
pub trait NamespaceAction: sealed::Sealed {
    /// The verb in refusals.
    const NAME: &'static str;
    /// The least standing.
    const STANDING: Standing;
    /// What a classic token must hold.
    const SCOPES: Scopes;
    /// What does as well, if anything.
    const OR: Scopes = Self::SCOPES;
    /// What it must hold in place of both when the account is a user.
    const SCOPES_OF_USER: Scopes = Self::SCOPES;
}

/// An action on a repository.
pub trait RepositoryAction: sealed::Sealed {
    /// The verb in refusals.
    const NAME: &'static str;
    /// The least role.
    const ROLE: RepositoryRole;
    /// What a classic token must hold when the repository is public.
    const SCOPES_PUBLIC: Scopes;
    /// What it must hold when it is not.
    const SCOPES: Scopes;
    /// Whether it is part of a push: a bearer token for packages does it, as far as it may push.
    const BY_PUSH: bool = false;
}

macro_rules! actions {
    ($trait:ident: $($(#[$doc:meta])* $name:ident { $($const:ident: $type:ty = $value:expr),+ };)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}
            impl sealed::Sealed for $name {}
            impl $trait for $name { $(const $const: $type = $value;)+ }
        )+
    };
}

actions! { NamespaceAction:
    /// See members, teams and settings of an organization.
    Inspect { NAME: &'static str = "read", STANDING: Standing = Standing::Member, SCOPES: Scopes = Scopes::READ_ORG };
    /// Make teams.
    ManageTeams {
        NAME: &'static str = "manage the teams of", STANDING: Standing = Standing::Owner, SCOPES: Scopes = Scopes::WRITE_ORG
    };
    /// Change members, robots and settings of an organization.
    Govern { NAME: &'static str = "govern", STANDING: Standing = Standing::Owner, SCOPES: Scopes = Scopes::ADMIN_ORG };
    /// Make and change the rules about tags, and the retention policy, of all packages of an account.
    ManageRules {
        NAME: &'static str = "change the rules of", STANDING: Standing = Standing::Owner, SCOPES: Scopes = Scopes::ADMIN_ORG,
        SCOPES_OF_USER: Scopes = Scopes::WRITE
    };
    /// See what an account uses. GitHub: `admin:org` or `repo`, and `user` for a user.
    SeeUsage {
        NAME: &'static str = "see the usage of", STANDING: Standing = Standing::Owner, SCOPES: Scopes = Scopes::ADMIN_ORG,
        OR: Scopes = Scopes::REPO, SCOPES_OF_USER: Scopes = Scopes::USER
    };
}

actions! { RepositoryAction:
    /// Read its record.
    SeeRepository {
        NAME: &'static str = "read", ROLE: RepositoryRole = RepositoryRole::Read,
        SCOPES_PUBLIC: Scopes = Scopes::NONE, SCOPES: Scopes = Scopes::REPO
    };
    /// See who else has a role in it.
    ListCollaborators {
        NAME: &'static str = "list the collaborators of", ROLE: RepositoryRole = RepositoryRole::Write,
        SCOPES_PUBLIC: Scopes = Scopes::PUBLIC_REPO, SCOPES: Scopes = Scopes::REPO
    };
    /// Change its record, its collaborators and its teams.
    EditRepository {
        NAME: &'static str = "administer", ROLE: RepositoryRole = RepositoryRole::Admin,
        SCOPES_PUBLIC: Scopes = Scopes::PUBLIC_REPO, SCOPES: Scopes = Scopes::REPO
    };
    /// Delete its record.
    DeleteRepository {
        NAME: &'static str = "delete", ROLE: RepositoryRole = RepositoryRole::Admin,
        SCOPES_PUBLIC: Scopes = Scopes::DELETE_REPO, SCOPES: Scopes = Scopes::DELETE_REPO
    };
    /// Link a package to it. Tokens that push hold scopes for packages, and the link is about the package.
    LinkRepository {
        NAME: &'static str = "link to", ROLE: RepositoryRole = RepositoryRole::Admin,
        SCOPES_PUBLIC: Scopes = Scopes::WRITE, SCOPES: Scopes = Scopes::WRITE, BY_PUSH: bool = true
    };
}

/// Making a repository.
#[derive(Debug)]
pub enum CreateRepository {}
/// Listing the packages of one account.
#[derive(Debug)]
pub enum ListIn {}
/// Listing the repositories of one account.
#[derive(Debug)]
pub enum ListRepositories {}
/// Seeing a team.
#[derive(Debug)]
pub enum SeeTeam {}
/// Changing a team and its members.
#[derive(Debug)]
pub enum EditTeam {}
/// Acting on one's own account.
#[derive(Debug)]
pub enum Own {}

/// -1, which no row has, stands for the impossible: each proof has what it is about.
fn certain<T>(id: Option<T>, none: T) -> T {
    id.unwrap_or(none)
}

macro_rules! about_a_namespace {
    ($($action:ident),+) => {$(
        impl Granted<'_, $action> {
            /// The account.
            pub fn namespace(&self) -> AccountId {
                certain(self.on.namespace, AccountId(-1))
            }
        }
    )+};
}
about_a_namespace!(
    Inspect,
    ManageTeams,
    Govern,
    ManageRules,
    SeeUsage,
    CreateRepository,
    ListIn,
    ListRepositories,
    SeeTeam,
    EditTeam
);

impl<A: RepositoryAction> Granted<'_, A> {
    /// The repository.
    pub fn repository(&self) -> RepositoryId {
        certain(self.on.repository, RepositoryId(-1))
    }
    /// Who owns it.
    pub fn repository_owner(&self) -> AccountId {
        certain(self.on.namespace, AccountId(-1))
    }
}

macro_rules! about_a_team {
    ($($action:ident),+) => {$(
        impl Granted<'_, $action> {
            /// The team.
            pub fn team(&self) -> TeamId {
                certain(self.on.team, TeamId(-1))
            }
        }
    )+};
}
about_a_team!(SeeTeam, EditTeam);

impl Granted<'_, CreateRepository> {
    /// Who may see it.
    pub fn visibility(&self) -> Visibility {
        self.on.visibility.unwrap_or(Visibility::Private)
    }
}

impl Granted<'_, ListRepositories> {
    /// Whether the token shows more than what is public.
    pub fn shows_private(&self) -> bool {
        self.on.visibility == Some(Visibility::Private)
    }
}

impl Granted<'_, Own> {
    /// The account; -1, which no row has, stands for the impossible.
    pub fn own(&self) -> AccountId {
        certain(self.account, AccountId(-1))
    }
}

/// The standing with what stands above it: the operator and site administrators own everything.
fn standing(caller: &Caller<'_>, standing: Standing) -> Standing {
    if owns(caller, standing) { Standing::Owner } else { standing }
}

fn because(caller: &Caller<'_>, standing: Standing) -> Because {
    match (&caller.who, standing) {
        (Who::Operator, _) => Because::Operator,
        (_, Standing::Owner) => Because::OwnsNamespace,
        _ if caller.is_site_admin() => Because::SiteAdmin,
        (_, Standing::Robot | Standing::Member) => Because::Member,
        (_, Standing::Stranger) => Because::Visible(Visibility::Public),
    }
}

/// What a token keeps its holder from; fine-grained ones are for packages only, and bearer tokens for what they
/// carry, which is nothing here.
fn limited(caller: &Caller<'_>, scopes: Scopes) -> Option<Refusal> {
    if caller.bound.is_some() && !caller.is_anonymous() {
        return Some(Refusal::BearerTooNarrow);
    }
    limited_by_token(caller, scopes)
}

fn limited_by_token(caller: &Caller<'_>, scopes: Scopes) -> Option<Refusal> {
    match caller.who {
        Who::Anonymous => Some(Refusal::Authenticate),
        Who::Worker => Some(Refusal::Caller),
        Who::Operator => None,
        Who::Account { .. } if scopes == Scopes::NONE => None,
        Who::Account { .. } if caller.is_limited() => Some(Refusal::Limit { has: None, needs: Role::Admin }),
        Who::Account { .. } => {
            lacking(caller.scopes, scopes).map(|scope| Refusal::Scope(scope, caller.scopes))
        }
    }
}

/// Whether the caller may do `A` to the account of `facts`.
pub fn decide_namespace<'tx, A: NamespaceAction>(
    facts: &NamespaceFacts<'tx>,
) -> Result<Granted<'tx, A>, Refused> {
    let refused = |refusal| Refused { refusal, action: A::NAME, path: facts.name.clone(), creating: false };
    // Only organizations have a policy.
    let (scopes, or) = match facts.policy {
        Some(_) => (A::SCOPES, A::OR),
        None => (A::SCOPES_OF_USER, A::SCOPES_OF_USER),
    };
    let lacks = limited(&facts.caller, scopes).filter(|_| limited(&facts.caller, or).is_some());
    if let Some(refusal) = lacks {
        return Err(refused(refusal));
    }
    let has = standing(&facts.caller, facts.standing);
    if facts.namespace.is_none() || has == Standing::Stranger {
        return Err(refused(Refusal::NotFound));
    }
    if has < A::STANDING {
        return Err(refused(Refusal::Standing));
    }
    // Owners of an account are admins of its packages.
    let role = (has == Standing::Owner).then_some(Role::Admin);
    let on = On { namespace: facts.namespace, role, ..On::default() };
    Ok(grant(&facts.caller, on, &facts.name, because(&facts.caller, facts.standing)))
}

/// Whether the caller may list the packages of an account: anyone with a token that reads packages. Which ones
/// they see is the catalog's query, by [`Granted::because`].
pub fn decide_list_in<'tx>(facts: &NamespaceFacts<'tx>) -> Result<Granted<'tx, ListIn>, Refused> {
    let refused = |refusal| Refused { refusal, action: "list", path: facts.name.clone(), creating: false };
    let caller = &facts.caller;
    let scopes = if caller.is_limited() { Scopes::NONE } else { Scopes::READ };
    if let Some(refusal) = limited(caller, scopes) {
        return Err(refused(refusal));
    }
    if facts.namespace.is_none() {
        return Err(refused(Refusal::NotFound));
    }
    let on = On { namespace: facts.namespace, ..On::default() };
    Ok(grant(caller, on, &facts.name, because(caller, facts.standing)))
}

/// Whether the caller may list the repositories of an account: everyone may, those that are public. Which others
/// they see is the catalog's query, if the token is for them.
pub fn decide_list_repositories<'tx>(
    facts: &NamespaceFacts<'tx>,
) -> Result<Granted<'tx, ListRepositories>, Refused> {
    let caller = &facts.caller;
    if facts.namespace.is_none() || caller.who == Who::Worker {
        let path = facts.name.clone();
        return Err(Refused { refusal: Refusal::NotFound, action: "list", path, creating: false });
    }
    let all = limited(caller, Scopes::REPO).is_none();
    let visibility = Some(if all { Visibility::Private } else { Visibility::Public });
    let on = On { namespace: facts.namespace, visibility, ..On::default() };
    Ok(grant(caller, on, &facts.name, because(caller, facts.standing)))
}

/// Whether the caller may make a repository: in one's own namespace, or in an organization that lets its members.
pub fn decide_create_repository<'tx>(
    facts: &NamespaceFacts<'tx>,
    visibility: Visibility,
) -> Result<Granted<'tx, CreateRepository>, Refused> {
    let refused = |refusal| Refused {
        refusal,
        action: "create repositories in",
        path: facts.name.clone(),
        creating: false,
    };
    let caller = &facts.caller;
    let scopes = if visibility == Visibility::Public { Scopes::PUBLIC_REPO } else { Scopes::REPO };
    if let Some(refusal) = limited(caller, scopes) {
        return Err(refused(refusal));
    }
    create_repository(facts, visibility, &refused)
}

/// The same for a repository that a push mentions first, with a token that holds scopes for packages; a fine-grained
/// one must be for all that the account has, since nothing new is on its list otherwise.
pub fn decide_mention_repository<'tx>(
    facts: &NamespaceFacts<'tx>,
) -> Result<Granted<'tx, CreateRepository>, Refused> {
    let refused = |refusal| Refused {
        refusal,
        action: "create repositories in",
        path: facts.name.clone(),
        creating: false,
    };
    let caller = &facts.caller;
    let has = caller.limit_on(facts.namespace, None);
    let refusal = match caller.is_limited() {
        true if has >= Some(Role::Write) => None,
        true => Some(Refusal::Limit { has, needs: Role::Write }),
        false => limited_by_token(caller, Scopes::WRITE),
    };
    if let Some(refusal) = refusal {
        return Err(refused(refusal));
    }
    create_repository(facts, Visibility::Private, &refused)
}

fn create_repository<'tx>(
    facts: &NamespaceFacts<'tx>,
    visibility: Visibility,
    refused: &impl Fn(Refusal) -> Refused,
) -> Result<Granted<'tx, CreateRepository>, Refused> {
    let has = standing(&facts.caller, facts.standing);
    if facts.namespace.is_none() || has <= Standing::Robot {
        return Err(refused(Refusal::NotFound));
    }
    if has < Standing::Owner && !facts.members_create_repositories {
        return Err(refused(Refusal::Standing));
    }
    if visibility == Visibility::Internal && facts.policy.is_none() {
        return Err(refused(Refusal::NoInternal));
    }
    let on = On { namespace: facts.namespace, visibility: Some(visibility), ..On::default() };
    Ok(grant(&facts.caller, on, &facts.name, because(&facts.caller, facts.standing)))
}

/// Whether the caller may do `A` to the repository of `facts`. A private one and none at all are alike to who has
/// no role in it; reading a public one takes no token.
pub fn decide_repository<'tx, A: RepositoryAction>(
    facts: &RepositoryFacts<'tx>,
) -> Result<Granted<'tx, A>, Refused> {
    let refused = |refusal| Refused { refusal, action: A::NAME, path: facts.path.clone(), creating: false };
    let caller = &facts.caller;
    let visibility = facts.repository.map(|(_, visibility)| visibility);
    let inside = caller.account().is_some() && facts.standing >= Standing::Robot;
    let role = match visibility {
        None => None,
        Some(_) if owns(caller, facts.standing) => Some(RepositoryRole::Admin),
        Some(Visibility::Public) => facts.role.max(Some(RepositoryRole::Read)),
        Some(Visibility::Internal) if inside => facts.role.max(Some(RepositoryRole::Read)),
        Some(Visibility::Internal | Visibility::Private) => facts.role.filter(|_| caller.account().is_some()),
    };
    let open = visibility == Some(Visibility::Public);
    let scopes = if open { A::SCOPES_PUBLIC } else { A::SCOPES };
    let for_everyone = open && A::ROLE == RepositoryRole::Read;
    if !for_everyone {
        // A fine-grained token that may push may link; what it may do to the package was asked there.
        let refusal = if A::BY_PUSH { limited_by_token(caller, scopes) } else { limited(caller, scopes) };
        let refusal =
            refusal.filter(|refusal| !(scopes == Scopes::WRITE && matches!(refusal, Refusal::Limit { .. })));
        // The same for a private one and for none at all, so it tells nothing.
        if let Some(refusal) = refusal {
            return Err(refused(refusal));
        }
    }
    let Some(has) = role else { return Err(refused(Refusal::NotFound)) };
    if has < A::ROLE {
        return Err(refused(Refusal::Standing));
    }
    let on = On {
        repository: facts.repository.map(|(id, _)| id),
        namespace: facts.owner,
        visibility,
        ..On::default()
    };
    Ok(grant(caller, on, &facts.path, because(caller, facts.standing)))
}

/// Whether the caller may see a team: members of the organization see its teams, and a secret one who is in it.
pub fn decide_see_team<'tx>(facts: &TeamFacts<'tx>) -> Result<Granted<'tx, SeeTeam>, Refused> {
    let may = decide_namespace::<Inspect>(&facts.organization)?;
    let caller = &facts.organization.caller;
    let hidden = facts.secret && facts.member.is_none() && !owns(caller, facts.organization.standing);
    if facts.team.is_none() || hidden {
        return Err(Refused {
            refusal: Refusal::NotFound,
            action: "read",
            path: facts.organization.name.clone(),
            creating: false,
        });
    }
    Ok(grant(caller, On { team: facts.team, ..may.on }, &may.path, may.because))
}

/// Whether the caller may change a team: owners of the organization, and who maintains it.
pub fn decide_edit_team<'tx>(facts: &TeamFacts<'tx>) -> Result<Granted<'tx, EditTeam>, Refused> {
    let may = decide_see_team(facts)?;
    let caller = &facts.organization.caller;
    let refused = |refusal| Refused {
        refusal,
        action: "administer",
        path: facts.organization.name.clone(),
        creating: false,
    };
    if let Some(refusal) = limited(caller, Scopes::WRITE_ORG) {
        return Err(refused(refusal));
    }
    if facts.member != Some(true) && !owns(caller, facts.organization.standing) {
        return Err(refused(Refusal::Standing));
    }
    Ok(grant(caller, may.on, &may.path, may.because))
}

/// Whether the caller is somebody whose token holds `scopes`: for acts on one's own account. A fine-grained token
/// does them when they take no scope.
pub fn decide_own<'tx>(caller: &Caller<'tx>, scopes: Scopes) -> Result<Granted<'tx, Own>, Refused> {
    let refused = |refusal| Refused { refusal, action: "use", path: "user".to_owned(), creating: false };
    match limited(caller, scopes) {
        Some(refusal) => Err(refused(refusal)),
        None if caller.account().is_none() => Err(refused(Refusal::Caller)),
        None => Ok(grant(caller, On::default(), "user", Because::Own)),
    }
}
