//! Edge: the distribution protocol under `/v2/`, and the token endpoint.
//!
//! Follows the main branch of the distribution specification ("1.1+dev") and distribution's token
//! specification. A request is matched against [`ROUTES`], the only list of routes; its parts are parsed into
//! types; one service function is called; what it gives is rendered. Every error ends in the one rendering of
//! [`error`].
//!
//! What is deliberately absent: this crate sees no transaction, no storage key and no role, and decides nothing.

mod blobs;
mod body;
mod challenge;
mod edge;
mod error;
mod lists;
mod manifests;
mod query;
mod request;
mod respond;
mod route;
mod token;
mod uploads;

pub use body::{Body, BodyError};
pub use edge::{Edge, Limits};
pub use route::{Endpoint, Pattern, ROUTES, Route, RouteName};
