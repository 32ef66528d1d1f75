//! The distribution edge from outside: requests go in, answers come out, nothing is mocked between them and the
//! disk. One program, so that it is linked once.
//!
//! [`house`] is a registry with its people, [`content`] what they push. Each other module is a story about one
//! part of the protocol; `matrix.txt` is the table of who may do what.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic; clippy sees only the functions marked as tests"
)]

mod alike;
mod answer;
mod bearer;
mod blobs;
mod bodies;
mod challenges;
mod collection;
mod content;
mod deletes;
mod doors;
mod fine_grained;
mod held;
mod house;
mod referrers;
mod renamed;
mod stored;

mod lessons;
mod limits;
mod linking;
mod lists;
mod malformed;
mod manifests;
mod matrix;
mod mounts;
mod permissions;
mod quotas;
mod token;
mod uploads;
