//! Which tables there are, asked of the database itself: a table or column of a later migration is carried without
//! anybody having to think of it.

use super::format::{Column, ColumnKind, Table};
use crate::CatalogError;
use crate::connection::Connection;
use crate::schema::{self, Dialect};
use std::ops::ControlFlow;

/// What is of this house and this moment only: the schema's own record (it is made again), leases and running work,
/// who holds bytes for which copy, sign-ins that wait for their code.
const LEFT_OUT: [&str; 4] = ["migrations", "jobs", "holds", "device_codes"];

/// The table that comes first, in the order of its digests: who copies blobs reads only the head of a copy.
pub(super) const BLOBS: &str = "blobs";

/// A name in a statement. All come from the database's own list.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

/// The tables that a copy carries, without their rows counted.
pub(super) fn carried(connection: &mut Connection) -> Result<Vec<Table>, CatalogError> {
    let mut tables = names(connection)?;
    tables.retain(|name| !LEFT_OUT.contains(&name.as_str()));
    tables.sort_by_key(|name| (name != BLOBS, name.clone()));
    tables
        .into_iter()
        .map(|name| {
            let columns = columns(connection, &name)?;
            let last_id = last_id(connection, &name)?;
            Ok(Table { name, columns, rows: 0, last_id })
        })
        .collect()
}

/// Those of our tables that are there.
pub(super) fn names(connection: &mut Connection) -> Result<Vec<String>, CatalogError> {
    let ours = schema::tables();
    let text = match connection.dialect() {
        Dialect::Sqlite => {
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
        }
        Dialect::Postgres => {
            "SELECT table_name::text FROM information_schema.tables
             WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
        }
    };
    let mut names = texts(connection, "tables", text)?;
    names.retain(|name| ours.contains(&name.as_str()));
    Ok(names)
}

fn columns(connection: &mut Connection, table: &str) -> Result<Vec<Column>, CatalogError> {
    let table = literal(table);
    let text = match connection.dialect() {
        Dialect::Sqlite => format!("SELECT name, lower(type) FROM pragma_table_info({table})"),
        Dialect::Postgres => format!(
            "SELECT column_name::text, data_type::text FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = {table}"
        ),
    };
    let mut columns = Vec::new();
    connection.query_text("columns", &text, &mut |row| {
        let kind = match row.text(1)?.as_str() {
            "integer" | "bigint" => ColumnKind::Int,
            "text" => ColumnKind::Text,
            "blob" | "bytea" => ColumnKind::Bytes,
            _ => return Err(CatalogError::Corrupt("type of a column")),
        };
        columns.push(Column { name: row.text(0)?, kind });
        Ok(ControlFlow::Continue(()))
    })?;
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(columns)
}

/// The last identifier that a table gave out, also to rows that are gone; none where it gives none out.
fn last_id(connection: &mut Connection, table: &str) -> Result<Option<i64>, CatalogError> {
    let name = literal(table);
    let text = match connection.dialect() {
        Dialect::Sqlite => format!(
            "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = {name}), 0)
             FROM sqlite_schema WHERE type = 'table' AND name = {name} AND sql LIKE '%AUTOINCREMENT%'"
        ),
        Dialect::Postgres => {
            let identity = format!(
                "SELECT pg_get_serial_sequence({name}, column_name::text) FROM information_schema.columns
                 WHERE table_schema = current_schema() AND table_name = {name} AND is_identity = 'YES'"
            );
            let Some(sequence) = texts(connection, "sequence", &identity)?.pop() else { return Ok(None) };
            // It is no part of a snapshot: what was given out since is more, never less.
            format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")
        }
    };
    let mut last = None;
    connection.query_text("last identifier", &text, &mut |row| {
        last = Some(row.int(0)?);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(last)
}

/// Makes the table give out only identifiers behind `last`.
pub(super) fn advance(connection: &mut Connection, table: &str, last: i64) -> Result<(), CatalogError> {
    let name = literal(table);
    let text = match connection.dialect() {
        Dialect::Sqlite => format!(
            "DELETE FROM sqlite_sequence WHERE name = {name};
             INSERT INTO sqlite_sequence (name, seq) VALUES ({name}, {last});"
        ),
        Dialect::Postgres => format!(
            "SELECT setval(pg_get_serial_sequence({name}, column_name::text), {last}, true)
             FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = {name} AND is_identity = 'YES'"
        ),
    };
    connection.batch("advance identifiers", &text)
}

/// The foreign keys: what drops each, and what makes it again. On SQLite they are switched off instead.
pub(super) fn foreign_keys(connection: &mut Connection) -> Result<Vec<(String, String)>, CatalogError> {
    let mut keys = Vec::new();
    if connection.dialect() == Dialect::Sqlite {
        return Ok(keys);
    }
    let ours = schema::tables();
    let text = "SELECT c.relname::text, quote_ident(k.conname), pg_get_constraintdef(k.oid)
                FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
                WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace";
    connection.query_text("foreign keys", text, &mut |row| {
        let (table, name, definition) = (row.text(0)?, row.text(1)?, row.text(2)?);
        if ours.contains(&table.as_str()) {
            let table = quoted(&table);
            keys.push((
                format!("ALTER TABLE {table} DROP CONSTRAINT {name}"),
                format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"),
            ));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys)
}

pub(super) fn texts(
    connection: &mut Connection,
    name: &'static str,
    text: &str,
) -> Result<Vec<String>, CatalogError> {
    let mut found = Vec::new();
    connection.query_text(name, text, &mut |row| {
        found.push(row.text(0)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that escaped the list would be in no backup.
    #[test]
    fn every_table_of_the_schema_is_known() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let mut connection = Connection::sqlite(connection, None, Default::default());
        schema::migrate(&mut connection, Dialect::Sqlite).unwrap();
        let there =
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'sqlite_sequence' ORDER BY name";
        let there = texts(&mut connection, "all", there).unwrap();
        let mut known = schema::tables();
        known.sort_unstable();
        assert_eq!(there, known);
        assert_eq!(carried(&mut connection).unwrap().len(), there.len() - LEFT_OUT.len());
        assert_eq!(carried(&mut connection).unwrap()[0].name, BLOBS);
    }
}
