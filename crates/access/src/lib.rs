//! Who may do what. Facts in, a decision with its reason out; no I/O, no clock.
//!
//! [`decide`] and its siblings are the only makers of a [`Granted`], and a [`Granted`] is the only thing that
//! the catalog takes to touch a package. It is branded with the transaction its facts were read in, so it can
//! be neither kept, nor carried to another transaction, nor used for another action; see [`brand`].
//!
//! What is deliberately absent: nothing here knows HTTP, tokens' bytes or SQL. Roles and scopes are GitHub's
//! (docs.github.com, "About permissions for GitHub Packages").

pub mod brand;
mod decide;
mod facts;
mod ids;
mod reason;
mod scope;

pub use brand::{Brand, with_brand};
pub use decide::{
    Action, Administer, Collect, Create, Delete, Granted, List, Operate, Pull, Push, decide, decide_collect,
    decide_create, decide_list, decide_operate,
};
pub use facts::{Bound, Caller, PackageFacts, Standing, Who};
pub use ids::{AccountId, ManifestId, PackageId, TokenId, VersionId};
pub use reason::{Because, Refusal, Refused};
pub use scope::{Actions, Role, Scopes, UnknownScope, UnknownWord, Visibility};
