//! Edge: GitHub's REST API.
//!
//! The layout is GitHub Enterprise Server's: REST below `/api/v3`, and the same at the root of the host
//! `api.<host>`. A request is matched against [`ROUTES`], the only list of routes; its parts are parsed into types;
//! one service function is called; what it gives is rendered as GitHub's API description says. Every error ends in
//! the one rendering of [`error`].
//!
//! What is deliberately absent: this crate sees no transaction and no role, and decides nothing.

mod access;
mod billing;
mod call;
mod edge;
mod error;
mod graphql;
mod manage;
mod meta;
mod node_id;
mod openapi;
mod orgs;
mod packages;
mod page;
mod path;
mod query;
mod rate_limit;
mod repos;
mod respond;
mod route;
mod rules;
mod sign_in;
mod simple;
mod teams;
mod tokens;
mod urls;
mod users;
mod versions;

pub use edge::{Edge, Named, Space};
pub use route::{Parameter, ROUTES, Route};
pub use urls::Urls;
