//! The one decision function for each kind of thing, and the proofs that only it can make.

use crate::brand::Invariant;
use crate::facts::{Caller, Given, Limit, PackageFacts, Standing, Who};
use crate::reason::{Because, Refusal, Refused};
use crate::scope::{Actions, Role, Scopes, Visibility};
use crate::{AccountId, PackageId, RepositoryId, TeamId, TokenId};
use std::marker::PhantomData;

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// An action on a package. The list is closed: a new action is a new row here and in the tests' tables.
pub trait Action: sealed::Sealed {
    /// The verb in refusals; the protocol's own name where it has one.
    const NAME: &'static str;
    /// The least role.
    const ROLE: Role;
    /// What a personal access token must hold.
    const SCOPES: Scopes;
    /// What a bearer token must carry.
    const BEARER: Actions;
    /// Whether everyone may do it with what is public, without a token and whatever its scopes.
    const OPEN: bool;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $verb:literal, $role:ident, $scopes:expr, $bearer:ident, $open:literal;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}
            impl sealed::Sealed for $name {}
            impl Action for $name {
                const NAME: &'static str = $verb;
                const ROLE: Role = Role::$role;
                const SCOPES: Scopes = $scopes;
                const BEARER: Actions = Actions::$bearer;
                const OPEN: bool = $open;
            }
        )+
    };
}

actions! {
    /// Read manifests, blobs, tags and referrers.
    Pull: "pull", Read, Scopes::READ, PULL, true;
    /// Read what the API tells of a package and its versions. GitHub asks for a token with `read:packages` for
    /// public ones too.
    See: "get", Read, Scopes::READ, PULL, false;
    /// Upload blobs, put manifests, move tags.
    Push: "push", Write, Scopes::WRITE, PUSH, false;
    /// Delete tags, manifests and blobs. GitHub's text: `delete:packages` *and* `read:packages`, role admin.
    Delete: "delete", Admin, Scopes::DELETE.with_read(), DELETE, false;
    /// Bring back what was deleted. GitHub's text: `write:packages` and `read:packages`, role admin.
    Restore: "restore", Admin, Scopes::WRITE, ALL, false;
    /// Change visibility, grant roles, link, rename.
    Administer: "administer", Admin, Scopes::WRITE, ALL, false;
}

impl Scopes {
    const fn with_read(self) -> Scopes {
        Scopes::from_bits(self.bits() | Scopes::READ.bits())
    }
}

/// Creating a package in a namespace.
#[derive(Debug)]
pub enum Create {}
/// Giving a package a visibility.
#[derive(Debug)]
pub enum Publish {}
/// Giving a package another path, in its namespace or in another.
#[derive(Debug)]
pub enum Move {}
/// Listing the packages one may pull.
#[derive(Debug)]
pub enum List {}
/// Operating the site: accounts and tokens of others.
#[derive(Debug)]
pub enum Operate {}
/// Being told why somebody else may do something.
#[derive(Debug)]
pub enum Explain {}
/// Removing what has expired.
#[derive(Debug)]
pub enum Collect {}
/// Ending versions of a package that a retention policy drops.
#[derive(Debug)]
pub enum Prune {}
/// Comparing the catalog with itself and with the bytes, and repairing what is provable.
#[derive(Debug)]
pub enum Scrub {}

/// Proof that a caller may do `A` in transaction `'tx`. Made by this crate only.
#[derive(Debug)]
pub struct Granted<'tx, A> {
    pub(crate) on: On,
    pub(crate) path: String,
    pub(crate) account: Option<AccountId>,
    /// Of a fine-grained token: it bounds the rows of lists.
    pub(crate) limited: Option<TokenId>,
    pub(crate) because: Because,
    pub(crate) _of: Invariant<'tx>,
    pub(crate) _may: PhantomData<fn() -> A>,
}

/// What a proof is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct On {
    pub(crate) package: Option<PackageId>,
    pub(crate) namespace: Option<AccountId>,
    pub(crate) repository: Option<RepositoryId>,
    pub(crate) team: Option<TeamId>,
    /// The caller's role on the package, within what their token was given: what rules about tags ask.
    pub(crate) role: Option<Role>,
    /// What a package is, or will be ([`Create`], [`Publish`]).
    pub(crate) visibility: Option<Visibility>,
    /// What a token is made with: of [`crate::MakeToken`], like the two that follow.
    pub(crate) token: Option<TokenId>,
    /// What it is for.
    pub(crate) limits: Vec<Limit>,
    /// What it may at most do.
    pub(crate) scopes: Scopes,
}

impl<A> Granted<'_, A> {
    /// The account that acts; none for anonymous callers, the operator and workers.
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }
    /// The fine-grained token that the caller signed in with: lists show no more than it was made for.
    pub fn limited(&self) -> Option<TokenId> {
        self.limited
    }
    /// The fact that decided.
    pub fn because(&self) -> Because {
        self.because
    }
    /// The package's path (for [`Create`], the path it will have).
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl<A: Action> Granted<'_, A> {
    /// The package. A proof of an [`Action`] always has one; -1, which no row has, stands for the impossible.
    pub fn package(&self) -> PackageId {
        self.on.package.unwrap_or(PackageId(-1))
    }
    /// The account that owns it.
    pub fn owner(&self) -> AccountId {
        self.on.namespace.unwrap_or(AccountId(-1))
    }
    /// Whether everyone may read it.
    pub fn is_public(&self) -> bool {
        self.on.visibility == Some(Visibility::Public)
    }
}

impl Granted<'_, Prune> {
    /// The package; -1, which no row has, stands for the impossible.
    pub fn package(&self) -> PackageId {
        self.on.package.unwrap_or(PackageId(-1))
    }
    /// The account that owns it.
    pub fn owner(&self) -> AccountId {
        self.on.namespace.unwrap_or(AccountId(-1))
    }
}

impl Granted<'_, Create> {
    /// The namespace to create in; -1, which no row has, stands for the impossible.
    pub fn namespace(&self) -> AccountId {
        self.on.namespace.unwrap_or(AccountId(-1))
    }
    /// Who may read it without a role.
    pub fn visibility(&self) -> Visibility {
        self.on.visibility.unwrap_or(Visibility::Private)
    }
}

impl Granted<'_, Publish> {
    /// The package; -1, which no row has, stands for the impossible.
    pub fn package(&self) -> PackageId {
        self.on.package.unwrap_or(PackageId(-1))
    }
    /// Who may read it without a role from now on.
    pub fn visibility(&self) -> Visibility {
        self.on.visibility.unwrap_or(Visibility::Private)
    }
}

impl Granted<'_, Move> {
    /// The package; -1, which no row has, stands for the impossible. [`Granted::path`] is the path it will have.
    pub fn package(&self) -> PackageId {
        self.on.package.unwrap_or(PackageId(-1))
    }
    /// The namespace it will be in; -1, which no row has, stands for the impossible.
    pub fn namespace(&self) -> AccountId {
        self.on.namespace.unwrap_or(AccountId(-1))
    }
}

/// Every role that the caller has on the package now, with the fact it comes from.
fn roles(facts: &PackageFacts<'_>) -> impl Iterator<Item = (Role, Because)> {
    let signed_in = facts.caller.account().is_some();
    let visibility = facts.package.map(|(_, visibility)| visibility);
    let inside = signed_in && facts.standing >= Standing::Robot;
    let by_visibility = visibility
        .filter(|visibility| match visibility {
            Visibility::Public => true,
            Visibility::Internal => inside,
            Visibility::Private => false,
        })
        .map(|visibility| (Role::Read, Because::Visible(visibility)));
    let by_grant = facts.given.iter().filter(move |_| signed_in).map(|given| {
        let because = match *given {
            Given::Account(role) => Because::Granted(role),
            Given::Team(team, role) => Because::Team(team, role),
            Given::Robot(role) => Because::Robot(role),
            Given::Repository(repository, role) => Because::Repository(repository, role),
        };
        (given.role(), because)
    });
    let by_namespace =
        (signed_in && facts.standing == Standing::Owner).then_some((Role::Admin, Because::OwnsNamespace));
    let by_site = facts.caller.is_site_admin().then_some((Role::Admin, Because::SiteAdmin));
    let by_operator = (facts.caller.who == Who::Operator).then_some((Role::Admin, Because::Operator));
    let exists = facts.package.is_some();
    by_visibility
        .into_iter()
        .chain(by_grant)
        .chain(by_namespace)
        .chain(by_site)
        .chain(by_operator)
        .filter(move |_| exists)
}

/// The highest of them; of equal ones the first.
fn role(facts: &PackageFacts<'_>) -> Option<(Role, Because)> {
    roles(facts).reduce(|best, next| if next.0 > best.0 { next } else { best })
}

/// What `packhouse access explain` shows: every role of the caller's on the package with its reason, the highest
/// first.
pub fn explain_roles(facts: &PackageFacts<'_>) -> Vec<(Role, Because)> {
    let mut all: Vec<_> = roles(facts).collect();
    all.sort_by_key(|(role, _)| std::cmp::Reverse(*role));
    all
}

/// Whether the caller may do `A` on the package of `facts`.
///
/// The order decides what a refusal tells: first who asks (anonymous: sign in, for private and absent alike),
/// then the token's scopes (the same for every package that is not public), then whether the package may be
/// known at all, then the role, and last the bearer token's own limit, so that a client is only sent to fetch
/// a wider token when that would help.
pub fn decide<'tx, A: Action>(facts: &PackageFacts<'tx>) -> Result<Granted<'tx, A>, Refused> {
    let refused = |refusal| refused::<A>(facts, refusal);
    let caller = &facts.caller;
    let role = role(facts);
    let enough = role.filter(|(role, _)| *role >= A::ROLE);
    let for_everyone =
        A::OPEN && matches!(facts.package, Some((_, Visibility::Public))) && A::ROLE == Role::Read;

    if caller.is_anonymous() && (enough.is_none() || !for_everyone) {
        return Err(refused(Refusal::Authenticate));
    }
    let has_token = matches!(caller.who, Who::Account { .. }) && !for_everyone;
    if has_token
        && !caller.is_limited()
        && let Some(scope) = lacking(caller.scopes, A::SCOPES)
    {
        return Err(refused(Refusal::Scope(scope, caller.scopes)));
    }
    let Some((has, _)) = role else { return Err(refused(Refusal::NotFound)) };
    let package = facts.package.map(|(id, _)| id);
    let mut role = Some(has);
    if has_token && caller.is_limited() {
        let open = matches!(facts.package, Some((_, Visibility::Public)));
        let limit = caller.limit_on(facts.namespace, package);
        role = role.min(limit);
        match limit {
            Some(limit) if limit >= A::ROLE => {}
            // What it was not made for and is not public, it does not see.
            None if !open => return Err(refused(Refusal::NotFound)),
            None if A::ROLE == Role::Read => {}
            has => return Err(refused(Refusal::Limit { has, needs: A::ROLE })),
        }
    }
    let Some((_, because)) = enough else { return Err(refused(Refusal::Role { has, needs: A::ROLE })) };
    if let Some(bound) = &caller.bound
        && !bound.allows(&facts.path, A::BEARER)
    {
        return Err(refused(Refusal::BearerTooNarrow));
    }
    let visibility = facts.package.map(|(_, visibility)| visibility);
    let on = On { package, namespace: facts.namespace, role, visibility, ..On::default() };
    Ok(grant(caller, on, &facts.path, because))
}

/// Whether the caller may give the package of `facts` a visibility: who administers it, within the organization's
/// policy, which does not bind its owners.
pub fn decide_publish<'tx>(
    facts: &PackageFacts<'tx>,
    visibility: Visibility,
) -> Result<Granted<'tx, Publish>, Refused> {
    let may = decide::<Administer>(facts)?;
    let refused = |refusal| refused::<Administer>(facts, refusal);
    if visibility == Visibility::Internal && facts.policy.is_none() {
        return Err(refused(Refusal::NoInternal));
    }
    let free = owns(&facts.caller, facts.standing);
    if !free && facts.policy.is_some_and(|policy| !policy.allows(visibility)) {
        return Err(refused(Refusal::Policy(Some(visibility))));
    }
    let on = On { visibility: Some(visibility), ..may.on };
    Ok(grant(&facts.caller, on, &facts.path, may.because))
}

/// Whether the caller may move the package of `from` to the path of `to`, where there is none: who administers it
/// and could create it there, with the visibility that it has.
pub fn decide_move<'tx>(
    from: &PackageFacts<'tx>,
    to: &PackageFacts<'tx>,
) -> Result<Granted<'tx, Move>, Refused> {
    let may = decide::<Administer>(from)?;
    let create = decide_create(to)?;
    let refused = |refusal| Refused { refusal, action: "move", path: to.path.clone(), creating: true };
    if let (Some((_, visibility)), false) = (from.package, from.namespace == to.namespace) {
        if visibility == Visibility::Internal && to.policy.is_none() {
            return Err(refused(Refusal::NoInternal));
        }
        let free = owns(&to.caller, to.standing);
        if !free && to.policy.is_some_and(|policy| !policy.allows(visibility)) {
            return Err(refused(Refusal::Policy(Some(visibility))));
        }
    }
    let on = On { namespace: create.on.namespace, visibility: None, ..may.on };
    Ok(grant(&from.caller, on, &to.path, may.because))
}

/// Whether the caller is over the policies of a namespace.
pub(crate) fn owns(caller: &Caller<'_>, standing: Standing) -> bool {
    caller.who == Who::Operator
        || caller.is_site_admin()
        || (caller.account().is_some() && standing == Standing::Owner)
}

/// The scope to ask for when some of `needed` are not held. The last one that is missing is the one that says
/// what the act is about: who lacks `write:packages` need not hear of `read:packages`, which comes with it.
pub(crate) fn lacking(held: Scopes, needed: Scopes) -> Option<&'static str> {
    needed.names().filter(|name| !held.names().any(|known| known == *name)).last()
}

fn refused<A: Action>(facts: &PackageFacts<'_>, refusal: Refusal) -> Refused {
    Refused { refusal, action: A::NAME, path: facts.path.clone(), creating: false }
}

/// Whether the caller may create the package of `facts`, which does not exist.
///
/// One's own namespace, an organization one belongs to and whose policy lets its members, or any that exists for a
/// site administrator. To all others the answer is the one for a private package: they cannot tell whether it exists.
pub fn decide_create<'tx>(facts: &PackageFacts<'tx>) -> Result<Granted<'tx, Create>, Refused> {
    let refused = |refusal| Refused { refusal, action: "push", path: facts.path.clone(), creating: true };
    let caller = &facts.caller;
    if caller.is_anonymous() {
        return Err(refused(Refusal::Authenticate));
    }
    if !caller.is_limited()
        && let Some(scope) = lacking(caller.scopes, Scopes::WRITE)
    {
        return Err(refused(Refusal::Scope(scope, caller.scopes)));
    }
    let robot = facts.given.iter().find(|given| matches!(given, Given::Robot(role) if *role >= Role::Write));
    let because = match (facts.standing, robot) {
        (Standing::Owner, _) => Because::OwnsNamespace,
        (Standing::Member, _) => Because::Member,
        (Standing::Robot, Some(given)) => Because::Robot(given.role()),
        (Standing::Stranger, _) if caller.is_site_admin() => Because::SiteAdmin,
        (Standing::Stranger | Standing::Robot, _) => return Err(refused(Refusal::NotFound)),
    };
    if facts.exists() || facts.namespace.is_none() {
        return Err(refused(Refusal::NotFound));
    }
    if caller.is_limited() {
        match caller.limit_on(facts.namespace, None) {
            Some(limit) if limit >= Role::Write => {}
            None => return Err(refused(Refusal::NotFound)),
            has => return Err(refused(Refusal::Limit { has, needs: Role::Write })),
        }
    }
    let policy = facts.policy.unwrap_or_default();
    if !owns(caller, facts.standing) && !policy.allows(policy.default) {
        return Err(refused(Refusal::Policy(Some(policy.default))));
    }
    if let Some(bound) = &caller.bound
        && !bound.allows(&facts.path, Actions::PUSH)
    {
        return Err(refused(Refusal::BearerTooNarrow));
    }
    let visibility = Some(policy.default);
    Ok(grant(caller, On { namespace: facts.namespace, visibility, ..On::default() }, &facts.path, because))
}

/// Whether the caller may list packages: anyone who signed in with `read:packages`. Which ones they see is
/// the catalog's query.
pub fn decide_list<'tx>(caller: &Caller<'tx>) -> Result<Granted<'tx, List>, Refused> {
    let refused = |refusal| Refused { refusal, action: "list", path: "catalog".to_owned(), creating: false };
    if caller.is_anonymous() {
        return Err(refused(Refusal::Authenticate));
    }
    if !caller.is_limited()
        && let Some(scope) = lacking(caller.scopes, Scopes::READ)
    {
        return Err(refused(Refusal::Scope(scope, caller.scopes)));
    }
    if caller.bound.as_ref().is_some_and(|bound| !bound.catalog) {
        return Err(refused(Refusal::BearerTooNarrow));
    }
    let because = if caller.is_site_admin() { Because::SiteAdmin } else { Because::Member };
    Ok(site_grant(caller, because))
}

/// Whether the caller operates the site.
pub fn decide_operate<'tx>(caller: &Caller<'tx>) -> Result<Granted<'tx, Operate>, Refused> {
    match caller.who {
        Who::Operator => Ok(site_grant(caller, Because::Operator)),
        Who::Anonymous | Who::Account { .. } | Who::Worker => Err(not_this_caller("operate")),
    }
}

/// Whether the caller may be told why somebody else may do something: the operator, and who administers the site with
/// a token that has `site_admin`.
pub fn decide_explain<'tx>(caller: &Caller<'tx>) -> Result<Granted<'tx, Explain>, Refused> {
    let refused = |refusal| Refused { refusal, ..not_this_caller("explain") };
    match caller.who {
        Who::Operator => Ok(site_grant(caller, Because::Operator)),
        Who::Anonymous => Err(refused(Refusal::Authenticate)),
        Who::Account { site_admin: true, .. } if caller.bound.is_none() => {
            match lacking(caller.scopes, Scopes::SITE_ADMIN) {
                Some(scope) => Err(refused(Refusal::Scope(scope, caller.scopes))),
                None => Ok(site_grant(caller, Because::SiteAdmin)),
            }
        }
        // To everybody else there is no such thing.
        Who::Account { .. } | Who::Worker => Err(refused(Refusal::NotFound)),
    }
}

/// Whether the caller removes what has expired: a worker, or the operator who does not want to wait for one.
pub fn decide_collect<'tx>(caller: &Caller<'tx>) -> Result<Granted<'tx, Collect>, Refused> {
    match caller.who {
        Who::Worker => Ok(site_grant(caller, Because::Worker)),
        Who::Operator => Ok(site_grant(caller, Because::Operator)),
        Who::Anonymous | Who::Account { .. } => Err(not_this_caller("collect")),
    }
}

/// Whether the caller looks through all of the catalog and the store: the operator, or a worker.
pub fn decide_scrub<'tx>(caller: &Caller<'tx>) -> Result<Granted<'tx, Scrub>, Refused> {
    match caller.who {
        Who::Worker => Ok(site_grant(caller, Because::Worker)),
        Who::Operator => Ok(site_grant(caller, Because::Operator)),
        Who::Anonymous | Who::Account { .. } => Err(not_this_caller("scrub")),
    }
}

/// Whether the caller is the worker that applies the retention policy of the package of `facts`. It has no role, so
/// every rule about tags binds it.
pub fn decide_prune<'tx>(facts: &PackageFacts<'tx>) -> Result<Granted<'tx, Prune>, Refused> {
    let refused = |refusal| Refused { refusal, action: "prune", path: facts.path.clone(), creating: false };
    match (&facts.caller.who, facts.package) {
        (Who::Worker, Some((id, _))) => {
            let on = On { package: Some(id), namespace: facts.namespace, ..On::default() };
            Ok(grant(&facts.caller, on, &facts.path, Because::Worker))
        }
        (Who::Worker, None) => Err(refused(Refusal::NotFound)),
        (Who::Anonymous | Who::Account { .. } | Who::Operator, _) => Err(refused(Refusal::Caller)),
    }
}

fn not_this_caller(action: &'static str) -> Refused {
    Refused { refusal: Refusal::Caller, action, path: "site".to_owned(), creating: false }
}

fn site_grant<'tx, A>(caller: &Caller<'tx>, because: Because) -> Granted<'tx, A> {
    grant(caller, On::default(), "", because)
}

/// The one place where proofs are made.
pub(crate) fn grant<'tx, A>(caller: &Caller<'tx>, on: On, path: &str, because: Because) -> Granted<'tx, A> {
    let (path, account) = (path.to_owned(), caller.account());
    let limited = caller.token().filter(|_| caller.is_limited());
    Granted { on, path, account, limited, because, _of: PhantomData, _may: PhantomData }
}
