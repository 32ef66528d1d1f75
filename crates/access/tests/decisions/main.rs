//! The decision against tables kept by hand. What a cell says was written down by a person, from GitHub's text
//! and the design; nothing here is computed by the code under test.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod ask;
mod bearer;
mod create;
mod laws;
mod matrix;
mod order;
mod permissions;
mod rules;
mod scopes;
mod site;
mod words;
