//! One suite for every store: what is written, kept, resumed, read, listed and removed. Each test has a store of its own.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test's failure is a panic")]

mod bucket;
mod copies;
mod desk;
mod keep;
mod model;
mod read;
mod resume;
