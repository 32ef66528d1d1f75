//! Why something is allowed or refused.

use crate::{RepositoryId, RepositoryRole, Role, Scopes, TeamId, Visibility};

/// The fact that decided in favour of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// Anyone who can see the package at this visibility may read it.
    Visible(Visibility),
    /// A role was granted to the caller.
    Granted(Role),
    /// A role was granted to a team of the caller's.
    Team(TeamId, Role),
    /// The caller's role in the linked repository, whose access the package inherits.
    Repository(RepositoryId, RepositoryRole),
    /// The caller is a robot with a role on all packages of its organization.
    Robot(Role),
    /// The thing is the caller's own account.
    Own,
    /// The namespace is the caller's own, or its organization's and the caller owns it.
    OwnsNamespace,
    /// The caller is a member of the organization.
    Member,
    /// The caller administers the site.
    SiteAdmin,
    /// The caller operates the site.
    Operator,
    /// The caller is a worker.
    Worker,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody signed in. The same for what is private and what does not exist.
    Authenticate,
    /// The bearer token is narrower than its holder's rights: a wider one would do.
    BearerTooNarrow,
    /// The token lacks this scope; it has those. Decided before looking at the package, so it tells nothing about it.
    Scope(&'static str, Scopes),
    /// There is no such package, or the caller may not know that there is.
    NotFound,
    /// The caller sees the package, but their role is too small.
    Role {
        /// What they have.
        has: Role,
        /// What it takes.
        needs: Role,
    },
    /// The fine-grained token was given less on this.
    Limit {
        /// What it was given.
        has: Option<Role>,
        /// What it takes.
        needs: Role,
    },
    /// The organization's policy does not let members have packages of this visibility; of none, when it is not
    /// said.
    Policy(Option<Visibility>),
    /// Only packages of organizations can be internal.
    NoInternal,
    /// The caller sees the organization, team or repository, but this takes more: an owner or an admin.
    Standing,
    /// Not this kind of caller.
    Caller,
}

/// A refused action, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("may not {action} `{path}`: {refusal:?}")]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The action, as the distribution protocol names it (`pull`, `push`, `delete`), or another verb.
    pub action: &'static str,
    /// The package's path; for what is not about a package, a word for it.
    pub path: String,
    /// Whether the package was created by this act, had it been allowed.
    pub creating: bool,
}
