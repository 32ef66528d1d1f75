//! Damage: each kind is planted in a whole house by other doors than the code under test (the files themselves, and rows
//! behind the back of foreign keys), and is found, named, and repaired or quarantined as docs/verify.md says.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[allow(dead_code, reason = "the other half is for the catalog's suite")]
#[path = "../../../catalog/tests/suite/database.rs"]
mod database;
mod gates;
mod house;
mod runs;
