//! Filling an empty place with a copy of a catalog: all of it in one transaction, or nothing.

use super::format::{Held, Table};
use super::tables::{self, BLOBS, quoted};
use super::{DumpReader, NAMING, RESTORING, STORE, StoreCopy};
use crate::connection::{Connection, Database};
use crate::schema::{self, Dialect};
use crate::sql::Value;
use crate::{CatalogError, Micros, Place, postgres, sqlite};
use std::fmt;
use std::io::{BufWriter, Write};

/// Identifiers that the old house may have given out after the copy was made: none of them may come to name another
/// thing.
const IDS_SKIPPED: i64 = 1_000_000;
/// Rows between two words about how far it is.
const ROWS_SAID: u64 = 10_000;

/// Where a copy goes.
pub enum Into<'k> {
    /// Another house, whose blobs are yet to be copied.
    Elsewhere {
        /// What it is restored from, for who comes back after an interruption.
        from: &'k str,
        /// The name that its store will have.
        store: &'k str,
        /// Makes a storage key for each blob.
        keys: &'k mut dyn FnMut() -> Option<String>,
    },
    /// The store that the copy was made beside, whose catalog was lost.
    SameStore {
        /// The time.
        now: Micros,
        /// A hold on all that lies in the trash, which older copies in the store may name.
        hold: &'k str,
    },
}

/// What was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Rows.
    pub rows: u64,
}

/// A place for a catalog in which there is none. Nobody else makes one there while this is held. Blocks; not to be used
/// on a thread that drives a runtime.
pub struct Vacant {
    connection: Connection,
}

impl fmt::Debug for Vacant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vacant").finish_non_exhaustive()
    }
}

impl Vacant {
    /// Takes the place.
    ///
    /// # Errors
    /// [`CatalogError::NotEmpty`]: there is a catalog.
    pub fn open(place: &Place) -> Result<Self, CatalogError> {
        let mut connection = match place {
            Place::Sqlite(path) => sqlite::lone(path)?,
            Place::Postgres { url, .. } => postgres::lone(url)?,
        };
        match connection.dialect() {
            Dialect::Sqlite => connection.batch("begin", "PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE")?,
            Dialect::Postgres => schema::begin(&mut connection)?,
        }
        // Dropped, it rolls back what was not committed.
        let mut vacant = Vacant { connection };
        if tables::names(&mut vacant.connection)?.is_empty() {
            Ok(vacant)
        } else {
            Err(CatalogError::NotEmpty)
        }
    }

    /// The right to read and fill the store that the new catalog will belong to.
    pub fn store_copy(&self) -> StoreCopy {
        StoreCopy(())
    }

    /// Fills the place; `said` is told how many rows there are by now. When it returns, all of it is on disk.
    ///
    /// # Errors
    /// The copy is of a newer program, or broken; then nothing was changed.
    pub fn load(
        mut self,
        mut copy: DumpReader,
        mut into: Into<'_>,
        said: &mut dyn FnMut(u64),
    ) -> Result<Loaded, CatalogError> {
        let connection = &mut self.connection;
        schema::migrate_to(connection, &copy.head().migrations)?;
        let keys = tables::foreign_keys(connection)?;
        for (drop, _) in &keys {
            connection.batch("drop a foreign key", drop)?;
        }
        let here = tables::carried(connection)?;
        let mut rows = 0;
        for (at, there) in copy.head().tables.clone().iter().enumerate() {
            let Some(table) = here.iter().find(|table| table.name == there.name) else {
                return Err(CatalogError::NoCopy("it has a table that its schema does not have"));
            };
            if table.columns != there.columns {
                return Err(CatalogError::NoCopy("a table of it has other columns than its schema"));
            }
            let mut last = there.last_id.unwrap_or(0);
            let mut next = || loop {
                let Some(mut row) = copy.row_of(at)? else { return Ok(None) };
                rows += 1;
                if rows % ROWS_SAID == 0 {
                    said(rows);
                }
                last = last.max(id_of(table, &row));
                if changed(&mut into, table, &mut row)? {
                    return Ok(Some(row));
                }
            };
            insert(connection, table, &mut next)?;
            if table.last_id.is_some() {
                tables::advance(connection, &table.name, last.saturating_add(IDS_SKIPPED))?;
            }
        }
        for (_, make) in &keys {
            connection.batch("make a foreign key", make)?;
        }
        finish(connection, &into)?;
        schema::migrate_in_transaction(connection)?;
        check_foreign_keys(connection)?;
        connection.batch("commit", "COMMIT")?;
        if connection.dialect() == Dialect::Postgres {
            // Without knowing how many rows there are it plans as if there were none.
            connection.batch("analyze", "ANALYZE")?;
        }
        Ok(Loaded { rows })
    }
}

fn id_of(table: &Table, row: &[Held]) -> i64 {
    let at = table.columns.iter().position(|column| column.name == "id");
    match at.and_then(|at| row.get(at)) {
        Some(Held::Int(id)) => *id,
        _ => 0,
    }
}

/// Makes a row what it is in its new place; whether it is there at all.
fn changed(into: &mut Into<'_>, table: &Table, row: &mut [Held]) -> Result<bool, CatalogError> {
    let at = |name: &str| table.columns.iter().position(|column| column.name == name);
    match (table.name.as_str(), into) {
        // Whoever has the copy has these: what was signed with them is believed no more.
        ("signing_keys", _) => Ok(false),
        // Their bytes are of the old store, and no part of the copy.
        ("uploads" | "trash", Into::Elsewhere { .. }) => Ok(false),
        ("settings", Into::Elsewhere { .. }) => {
            let name = at("name").and_then(|at| row.get(at));
            Ok(!matches!(name, Some(Held::Text(name)) if [STORE, NAMING].contains(&name.as_str())))
        }
        (BLOBS, Into::Elsewhere { keys, .. }) => {
            let place = at("storage_key").and_then(|at| row.get_mut(at));
            let place = place.ok_or(CatalogError::Corrupt("storage key"))?;
            *place = Held::Text(keys().ok_or(CatalogError::NoCopy("no storage key could be made"))?);
            Ok(true)
        }
        _ => Ok(true),
    }
}

fn finish(connection: &mut Connection, into: &Into<'_>) -> Result<(), CatalogError> {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let text = match into {
        Into::Elsewhere { from, store, .. } => format!(
            "INSERT INTO settings (name, value) VALUES ('{STORE}', {}), ('{NAMING}', 'yes'), ('{RESTORING}', {})",
            literal(store),
            literal(from)
        ),
        // Sessions may have ended since, or gone on: what they wrote is known no more. The bytes of those that were
        // finished are blobs.
        Into::SameStore { now, hold } => format!(
            "INSERT INTO trash (storage_key, not_before, size, trashed_at, store_state, lease_epoch)
             SELECT storage_key, {0}, 0, {0}, store_state, lease_epoch FROM uploads WHERE digest IS NULL
             ON CONFLICT DO NOTHING;
             DELETE FROM uploads;
             INSERT INTO holds (name, since, until) VALUES ({1}, 0, {2})",
            now.0,
            literal(hold),
            i64::MAX
        ),
    };
    connection.batch("finish a copy", &text)
}

fn check_foreign_keys(connection: &mut Connection) -> Result<(), CatalogError> {
    if connection.dialect() == Dialect::Postgres {
        return Ok(());
    }
    let broken = tables::texts(
        connection,
        "check foreign keys",
        "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1",
    );
    if broken?.is_empty() {
        Ok(())
    } else {
        Err(CatalogError::NoCopy("rows of it name others that are not there"))
    }
}

fn insert(
    connection: &mut Connection,
    table: &Table,
    next: &mut dyn FnMut() -> Result<Option<Vec<Held>>, CatalogError>,
) -> Result<(), CatalogError> {
    let columns: Vec<_> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let (name, columns) = (quoted(&table.name), columns.join(", "));
    match connection.database() {
        Database::Sqlite(connection) => {
            let failed = |source| CatalogError::Sqlite { statement: "load a row", source };
            let places: Vec<_> = (1..=table.columns.len()).map(|at| format!("?{at}")).collect();
            let text = format!("INSERT INTO {name} ({columns}) VALUES ({})", places.join(", "));
            let mut prepared = connection.prepare(&text).map_err(failed)?;
            while let Some(row) = next()? {
                let values = row.iter().map(|held| match held {
                    Held::Null => Value::Null,
                    Held::Int(number) => Value::Int(*number),
                    Held::Text(text) => Value::Text(text),
                    Held::Bytes(bytes) => Value::Bytes(bytes),
                });
                prepared.execute(rusqlite::params_from_iter(values)).map_err(failed)?;
            }
            Ok(())
        }
        Database::Postgres { client, .. } => {
            let failed = |source| CatalogError::Postgres { statement: "load rows", source };
            let text = format!("COPY {name} ({columns}) FROM STDIN (FORMAT binary)");
            let mut out = BufWriter::new(client.copy_in(&text).map_err(failed)?);
            out.write_all(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0").map_err(CatalogError::Copy)?;
            while let Some(row) = next()? {
                put_tuple(&mut out, &row).map_err(CatalogError::Copy)?;
            }
            out.write_all(&(-1_i16).to_be_bytes()).map_err(CatalogError::Copy)?;
            let writer = out.into_inner().map_err(|error| CatalogError::Copy(error.into_error()))?;
            writer.finish().map(drop).map_err(failed)
        }
    }
}

/// A row as PostgreSQL's binary form of COPY has it.
fn put_tuple(out: &mut impl Write, row: &[Held]) -> std::io::Result<()> {
    let count = i16::try_from(row.len()).unwrap_or(i16::MAX);
    out.write_all(&count.to_be_bytes())?;
    for held in row {
        let bytes = match held {
            Held::Null => {
                out.write_all(&(-1_i32).to_be_bytes())?;
                continue;
            }
            Held::Int(number) => &number.to_be_bytes()[..],
            Held::Text(text) => text.as_bytes(),
            Held::Bytes(bytes) => bytes.as_slice(),
        };
        let length = i32::try_from(bytes.len()).map_err(std::io::Error::other)?;
        out.write_all(&length.to_be_bytes())?;
        out.write_all(bytes)?;
    }
    Ok(())
}
