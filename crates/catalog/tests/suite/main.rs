//! The catalog on every database it runs on. One clause is one function; each is a test of its own on SQLite and on
//! PostgreSQL, and asserts effects: what is answered, and what rows there are.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod blobs;
mod collection;
mod copies;
mod database;
mod devices;
mod facts;
mod house;
mod manifests;
mod migrations;
mod package_records;
mod packages;
mod paused;
mod people;
mod permissions;
mod postgres_only;
mod referrers;
mod retention;
mod robots;
mod rules;
mod storage;
mod tags;
mod tokens;
mod transactions;
mod uploads;
mod versions;
