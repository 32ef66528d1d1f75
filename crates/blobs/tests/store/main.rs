//! The store on files: what is written, kept, resumed, read and removed. Each test has a folder of its own.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test's failure is a panic")]

mod desk;
mod keep;
mod model;
mod read;
mod resume;
