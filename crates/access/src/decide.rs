//! The one decision function for each kind of thing, and the proofs that only it can make.

use crate::brand::Invariant;
use crate::facts::{Caller, PackageFacts, Standing, Who};
use crate::reason::{Because, Refusal, Refused};
use crate::scope::{Actions, Role, Scopes, Visibility};
use crate::{AccountId, PackageId};
use std::marker::PhantomData;

mod sealed {
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
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $verb:literal, $role:ident, $scopes:expr, $bearer:ident;)+) => {
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
            }
        )+
    };
}

actions! {
    /// Read manifests, blobs, tags and referrers.
    Pull: "pull", Read, Scopes::READ, PULL;
    /// Upload blobs, put manifests, move tags.
    Push: "push", Write, Scopes::WRITE, PUSH;
    /// Delete tags, manifests and blobs. GitHub's text: `delete:packages` *and* `read:packages`, role admin.
    Delete: "delete", Admin, Scopes::DELETE.with_read(), DELETE;
    /// Change visibility, grant roles.
    Administer: "administer", Admin, Scopes::WRITE, ALL;
}

impl Scopes {
    const fn with_read(self) -> Scopes {
        Scopes::from_bits(self.bits() | Scopes::READ.bits())
    }
}

/// Creating a package in a namespace.
#[derive(Debug)]
pub enum Create {}
/// Listing the packages one may pull.
#[derive(Debug)]
pub enum List {}
/// Operating the site: accounts and tokens of others.
#[derive(Debug)]
pub enum Operate {}
/// Removing what has expired.
#[derive(Debug)]
pub enum Collect {}

/// Proof that a caller may do `A` in transaction `'tx`. Made by this module only.
#[derive(Debug)]
pub struct Granted<'tx, A> {
    package: Option<PackageId>,
    namespace: Option<AccountId>,
    path: String,
    account: Option<AccountId>,
    because: Because,
    _of: Invariant<'tx>,
    _may: PhantomData<fn() -> A>,
}

impl<A> Granted<'_, A> {
    /// The account that acts; none for anonymous callers, the operator and workers.
    pub fn account(&self) -> Option<AccountId> {
        self.account
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
        self.package.unwrap_or(PackageId(-1))
    }
}

impl Granted<'_, Create> {
    /// The namespace to create in; -1, which no row has, stands for the impossible.
    pub fn namespace(&self) -> AccountId {
        self.namespace.unwrap_or(AccountId(-1))
    }
}

/// The caller's role on the package now, with the fact it comes from. The highest wins.
fn role(facts: &PackageFacts<'_>) -> Option<(Role, Because)> {
    let (_, visibility) = facts.package?;
    let signed_in = facts.caller.account().is_some();
    let by_visibility = match visibility {
        Visibility::Public => Some((Role::Read, Because::Visible(visibility))),
        Visibility::Internal if signed_in && facts.standing >= Standing::Member => {
            Some((Role::Read, Because::Visible(visibility)))
        }
        Visibility::Internal | Visibility::Private => None,
    };
    let by_grant = facts.granted.filter(|_| signed_in).map(|role| (role, Because::Granted(role)));
    let by_namespace =
        (signed_in && facts.standing == Standing::Owner).then_some((Role::Admin, Because::OwnsNamespace));
    let by_site = facts.caller.is_site_admin().then_some((Role::Admin, Because::SiteAdmin));
    let by_operator = (facts.caller.who == Who::Operator).then_some((Role::Admin, Because::Operator));
    [by_visibility, by_grant, by_namespace, by_site, by_operator]
        .into_iter()
        .flatten()
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
}

/// Whether the caller may do `A` on the package of `facts`.
///
/// The order decides what a refusal tells: first who asks (anonymous: sign in, for private and absent alike),
/// then the token's scopes (the same for every package that is not public), then whether the package may be
/// known at all, then the role, and last the bearer token's own limit, so that a client is only sent to fetch
/// a wider token when that would help.
pub fn decide<'tx, A: Action>(facts: &PackageFacts<'tx>) -> Result<Granted<'tx, A>, Refused> {
    let refused = |refusal| refused::<A>(facts, refusal);
    let role = role(facts);
    let enough = role.filter(|(role, _)| *role >= A::ROLE);
    let for_everyone = matches!(facts.package, Some((_, Visibility::Public))) && A::ROLE == Role::Read;

    if facts.caller.is_anonymous() && enough.is_none() {
        return Err(refused(Refusal::Authenticate));
    }
    let limited_by_scopes = matches!(facts.caller.who, Who::Account { .. }) && !for_everyone;
    if limited_by_scopes && let Some(scope) = lacking(facts.caller.scopes, A::SCOPES) {
        return Err(refused(Refusal::Scope(scope)));
    }
    let Some((has, _)) = role else { return Err(refused(Refusal::NotFound)) };
    let Some((_, because)) = enough else { return Err(refused(Refusal::Role { has, needs: A::ROLE })) };
    if let Some(bound) = &facts.caller.bound
        && !bound.allows(&facts.path, A::BEARER)
    {
        return Err(refused(Refusal::BearerTooNarrow));
    }
    Ok(Granted {
        package: facts.package.map(|(id, _)| id),
        namespace: facts.namespace,
        path: facts.path.clone(),
        account: facts.caller.account(),
        because,
        _of: PhantomData,
        _may: PhantomData,
    })
}

/// The scope to ask for when some of `needed` are not held. The last one that is missing is the one that says
/// what the act is about: who lacks `write:packages` need not hear of `read:packages`, which comes with it.
fn lacking(held: Scopes, needed: Scopes) -> Option<&'static str> {
    needed.names().filter(|name| !held.names().any(|known| known == *name)).last()
}

fn refused<A: Action>(facts: &PackageFacts<'_>, refusal: Refusal) -> Refused {
    Refused { refusal, action: A::NAME, path: facts.path.clone(), creating: false }
}

/// Whether the caller may create the package of `facts`, which does not exist.
///
/// One's own namespace, an organization one belongs to, or any that exists for a site administrator. To all
/// others the answer is the one for a private package: they cannot tell whether it exists.
pub fn decide_create<'tx>(facts: &PackageFacts<'tx>) -> Result<Granted<'tx, Create>, Refused> {
    let refused = |refusal| Refused { refusal, action: "push", path: facts.path.clone(), creating: true };
    if facts.caller.is_anonymous() {
        return Err(refused(Refusal::Authenticate));
    }
    if let Some(scope) = lacking(facts.caller.scopes, Scopes::WRITE) {
        return Err(refused(Refusal::Scope(scope)));
    }
    let because = match facts.standing {
        Standing::Owner => Because::OwnsNamespace,
        Standing::Member => Because::Member,
        Standing::Stranger if facts.caller.is_site_admin() => Because::SiteAdmin,
        Standing::Stranger => return Err(refused(Refusal::NotFound)),
    };
    if facts.exists() || facts.namespace.is_none() {
        return Err(refused(Refusal::NotFound));
    }
    if let Some(bound) = &facts.caller.bound
        && !bound.allows(&facts.path, Actions::PUSH)
    {
        return Err(refused(Refusal::BearerTooNarrow));
    }
    Ok(Granted {
        package: None,
        namespace: facts.namespace,
        path: facts.path.clone(),
        account: facts.caller.account(),
        because,
        _of: PhantomData,
        _may: PhantomData,
    })
}

/// Whether the caller may list packages: anyone who signed in with `read:packages`. Which ones they see is
/// the catalog's query.
pub fn decide_list<'tx>(caller: &Caller<'tx>) -> Result<Granted<'tx, List>, Refused> {
    let refused = |refusal| Refused { refusal, action: "list", path: "catalog".to_owned(), creating: false };
    if caller.is_anonymous() {
        return Err(refused(Refusal::Authenticate));
    }
    if let Some(scope) = lacking(caller.scopes, Scopes::READ) {
        return Err(refused(Refusal::Scope(scope)));
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

/// Whether the caller is a worker that removes what has expired.
pub fn decide_collect<'tx>(caller: &Caller<'tx>) -> Result<Granted<'tx, Collect>, Refused> {
    match caller.who {
        Who::Worker => Ok(site_grant(caller, Because::Worker)),
        Who::Anonymous | Who::Account { .. } | Who::Operator => Err(not_this_caller("collect")),
    }
}

fn not_this_caller(action: &'static str) -> Refused {
    Refused { refusal: Refusal::Caller, action, path: "site".to_owned(), creating: false }
}

fn site_grant<'tx, A>(caller: &Caller<'tx>, because: Because) -> Granted<'tx, A> {
    Granted {
        package: None,
        namespace: None,
        path: String::new(),
        account: caller.account(),
        because,
        _of: PhantomData,
        _may: PhantomData,
    }
}
