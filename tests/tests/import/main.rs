//! Moving in and out: from Debian's docker-registry by its folder and by its address, from and to OCI layouts.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

mod from_registry;
mod from_tree;
mod layouts;
mod old;
mod scene;
