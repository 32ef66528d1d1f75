//! One story per real client: log in, push, pull by tag and by digest, several platforms, a public package
//! without credentials, a private one refused in words. What is pulled is, byte for byte, what was pushed.
//!
//! All clients are in one program, so that those which need no engine run beside those which do.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

mod buildah;
mod compose;
mod crane;
mod cri;
mod ctr;
mod docker;
mod helm;
mod oras;
mod podman;
mod scene;
mod skopeo;
mod tls;
