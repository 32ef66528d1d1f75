//! The schema: numbered files, each run once, their checksums kept.

use crate::CatalogError;
use crate::connection::Connection;
use crate::sql::{Statement, Value, statement};
use packhouse_oci::{Algorithm, Digest};
use std::ops::ControlFlow;

/// Which spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// In order. A file that was released is never changed; what comes later is a new one.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("schema/0001_registry.sql")),
    (2, include_str!("schema/0002_people_and_packages.sql")),
    (3, include_str!("schema/0003_collection.sql")),
    (4, include_str!("schema/0004_storage.sql")),
    (5, include_str!("schema/0005_rules.sql")),
    (6, include_str!("schema/0006_usage.sql")),
    (7, include_str!("schema/0007_damage.sql")),
    (8, include_str!("schema/0008_held.sql")),
];

statement!(MIGRATIONS_DONE, "SELECT number, checksum FROM migrations ORDER BY number");
statement!(MIGRATION_DONE, "INSERT INTO migrations (number, checksum) VALUES ($1, $2)");

/// The tables that the migrations make, as they are written there. Others in the same database are not ours.
pub(crate) fn tables() -> Vec<&'static str> {
    let texts = MIGRATIONS.iter().flat_map(|(_, text)| text.split("CREATE TABLE ").skip(1));
    texts.filter_map(|made| made.split([' ', '(']).next()).chain(["migrations"]).collect()
}

/// Brings the schema up to date in one transaction.
pub(crate) fn migrate(connection: &mut Connection, dialect: Dialect) -> Result<(), CatalogError> {
    debug_assert_eq!(connection.dialect(), dialect);
    begin(connection)?;
    match migrate_in_transaction(connection) {
        Ok(()) => connection.batch("commit migrations", "COMMIT"),
        Err(error) => {
            // The error at hand says more than a failing rollback would.
            let _ = connection.batch("rollback migrations", "ROLLBACK");
            Err(error)
        }
    }
}

/// Begins a transaction that nobody else migrates in.
pub(crate) fn begin(connection: &mut Connection) -> Result<(), CatalogError> {
    let begin = match connection.dialect() {
        Dialect::Sqlite => "BEGIN IMMEDIATE",
        // Two nodes may start at once: the second waits here and finds it done.
        Dialect::Postgres => "BEGIN; SELECT pg_advisory_xact_lock(7061)",
    };
    connection.batch("begin migrations", begin)
}

/// The migrations that were run.
pub(crate) fn done(connection: &mut Connection) -> Result<Vec<(i64, Vec<u8>)>, CatalogError> {
    let mut done: Vec<(i64, Vec<u8>)> = Vec::new();
    let list: &'static Statement = &MIGRATIONS_DONE;
    connection.query(list, &[], &mut |row| {
        done.push((row.int(0)?, row.bytes(1)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(done)
}

/// Runs what was not run yet, in a transaction that is open.
pub(crate) fn migrate_in_transaction(connection: &mut Connection) -> Result<(), CatalogError> {
    make_table(connection)?;
    let done = done(connection)?;
    refuse_newer(&done)?;
    for &(number, text) in MIGRATIONS {
        match done.iter().find(|(known, _)| *known == number) {
            Some((_, known)) => same(number, text, known)?,
            None => run(connection, number, text)?,
        }
    }
    Ok(())
}

/// Makes the schema of a copy, in an empty place and in a transaction that is open: with these migrations and no later
/// ones, which are run over its rows.
pub(crate) fn migrate_to(connection: &mut Connection, there: &[(i64, Vec<u8>)]) -> Result<(), CatalogError> {
    refuse_newer(there)?;
    make_table(connection)?;
    for &(number, text) in MIGRATIONS {
        if let Some((_, known)) = there.iter().find(|(known, _)| *known == number) {
            same(number, text, known)?;
            run(connection, number, text)?;
        }
    }
    Ok(())
}

fn make_table(connection: &mut Connection) -> Result<(), CatalogError> {
    let text = "CREATE TABLE IF NOT EXISTS migrations (number {int} PRIMARY KEY, checksum {bytes} NOT NULL)";
    connection.batch("migrations table", &spelled(text, connection.dialect()))
}

fn refuse_newer(done: &[(i64, Vec<u8>)]) -> Result<(), CatalogError> {
    match done.iter().find(|(number, _)| !MIGRATIONS.iter().any(|(known, _)| known == number)) {
        Some((number, _)) => {
            Err(CatalogError::Schema { number: *number, hint: "a newer packhouse made it; start that one" })
        }
        None => Ok(()),
    }
}

fn checksum(text: &str) -> Vec<u8> {
    Digest::of(Algorithm::Sha256, text.as_bytes()).to_bytes()
}

fn same(number: i64, text: &str, known: &[u8]) -> Result<(), CatalogError> {
    if checksum(text) == known {
        return Ok(());
    }
    Err(CatalogError::Schema { number, hint: "it was made by a build that was never released" })
}

fn run(connection: &mut Connection, number: i64, text: &str) -> Result<(), CatalogError> {
    connection.batch("migration", &spelled(text, connection.dialect()))?;
    connection.execute(&MIGRATION_DONE, &[Value::Int(number), Value::Bytes(&checksum(text))]).map(drop)
}

/// The words in braces stand for what differs: identifiers that are never used again, column types, and an empty byte
/// string.
fn spelled(text: &str, dialect: Dialect) -> String {
    let words: [(&str, &str); 5] = match dialect {
        Dialect::Sqlite => [
            ("{id}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
            ("{int}", "INTEGER"),
            ("{text}", "TEXT"),
            ("{bytes}", "BLOB"),
            ("{empty}", "x''"),
        ],
        Dialect::Postgres => [
            ("{id}", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
            ("{int}", "BIGINT"),
            ("{text}", "TEXT COLLATE \"C\""),
            ("{bytes}", "BYTEA"),
            ("{empty}", "CAST('' AS BYTEA)"),
        ],
    };
    words.iter().fold(text.to_owned(), |text, (word, means)| text.replace(word, means))
}
