//! What is known about a caller and a package, read in one transaction.

use crate::brand::{Brand, Invariant};
use crate::{AccountId, Actions, PackageId, Role, Scopes, TokenId, Visibility};
use std::marker::PhantomData;

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
    /// Actions by package path.
    pub packages: Vec<(String, Actions)>,
    /// Whether the list of packages may be read (`registry:catalog:*`).
    pub catalog: bool,
}

impl Bound {
    pub(crate) fn allows(&self, path: &str, actions: Actions) -> bool {
        self.packages.iter().any(|(name, held)| name == path && held.contains(actions))
    }
}

/// A caller as the catalog knows them *now*, in transaction `'tx`.
#[derive(Clone, Debug)]
pub struct Caller<'tx> {
    pub(crate) who: Who,
    token: Option<TokenId>,
    pub(crate) scopes: Scopes,
    pub(crate) bound: Option<Bound>,
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
        Caller { who, token, scopes, bound, _of: PhantomData }
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

/// What the caller is to the namespace of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing to it.
    Stranger,
    /// A member of the organization.
    Member,
    /// The user whose namespace it is, or an owner of the organization.
    Owner,
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
    pub(crate) granted: Option<Role>,
}

impl<'tx> PackageFacts<'tx> {
    /// Facts read in the transaction of `brand`. `granted` is the highest role granted to the caller by name.
    pub fn new(
        _brand: &Brand<'tx>,
        caller: &Caller<'tx>,
        path: &str,
        namespace: Option<AccountId>,
        standing: Standing,
        package: Option<(PackageId, Visibility)>,
        granted: Option<Role>,
    ) -> Self {
        PackageFacts { caller: caller.clone(), path: path.to_owned(), namespace, standing, package, granted }
    }

    /// Whether there is such a package, for the choice between pushing and creating. Not for an answer.
    pub fn exists(&self) -> bool {
        self.package.is_some()
    }

    /// The same facts without the limit of the bearer token; see [`Caller::unbound`].
    #[must_use]
    pub fn unbound(&self) -> Self {
        PackageFacts { caller: self.caller.unbound(), ..self.clone() }
    }
}
