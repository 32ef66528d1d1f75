//! GitHub's API as its own description has it: every operation that concerns packages is served, and its answers
//! validate.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

mod description;
mod explain;
mod growth;
mod idor;
mod left_out;
mod multi_arch;
mod schemathesis;
mod scripts;
mod story;

use description::Description;
use packhouse_tests::{Catalog, House};
use std::collections::BTreeSet;

/// Tags of the operations that the API is about.
const TAGS: &[&str] = &["packages", "users", "orgs", "teams", "repos", "meta", "rate-limit", "billing"];

fn walk(catalog: Catalog) {
    let description = Description::load();
    let house = House::builder()
        .catalog(catalog)
        .env("PACKHOUSE_RATE_API_TOKEN_HOUR", "5000")
        .env("PACKHOUSE_RATE_API_ADDRESS_HOUR", "60")
        .start();
    let mut wrong = Vec::new();
    let mut served = BTreeSet::new();
    for seen in story::tell(&house) {
        let operation = format!("{} {}", seen.method, seen.form);
        if seen.status != seen.expected {
            wrong.push(format!(
                "{operation} as {}: {}, not {}: {}",
                seen.who, seen.status, seen.expected, seen.body
            ));
            continue;
        }
        match description.validate(&seen) {
            Ok(()) => {
                if seen.status < 300 {
                    served.insert(operation);
                }
            }
            Err(error) => wrong.push(format!("{operation} as {}: {error}\n    {}", seen.who, seen.body)),
        }
    }
    let mut counted = 0;
    for operation in description.operations(TAGS) {
        let left_out = left_out::reason(&operation);
        match (served.contains(&operation), left_out) {
            (true, None) => counted += 1,
            (true, Some(reason)) => wrong.push(format!("{operation} is served, and left out: {reason}")),
            (false, None) => wrong.push(format!("{operation} is neither served nor left out")),
            (false, Some(_)) => {}
        }
    }
    for stale in left_out::stale(&description.operations(TAGS)) {
        wrong.push(format!("nothing in the description has the form {stale}"));
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    println!("{counted} operations of the description are served");
}

#[test]
fn every_operation_of_the_description_is_served_as_described_on_sqlite() {
    walk(Catalog::Sqlite);
}

#[test]
fn every_operation_of_the_description_is_served_as_described_on_postgres() {
    walk(Catalog::Postgres);
}
