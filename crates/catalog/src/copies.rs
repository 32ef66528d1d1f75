//! Copies of the catalog: for backups, for snapshots in the blob store, for moving to another database or store.
//!
//! A copy holds every table in a form that both databases read ([`ReadTx::dump`]); it goes into a place in which there
//! is no catalog yet ([`Vacant`]). Whoever makes one commits a hold first ([`WriteTx::hold`]), so that the bytes it
//! names stay until they are copied too.
//!
//! A house that was restored elsewhere is marked until its last blob is there; it does not open meanwhile.

mod format;
mod load;
mod reader;
mod tables;

use crate::sql::{Value, statement};
use crate::{CatalogError, Micros, ReadTx, ReadableBlob, WriteTx};
use format::{ColumnKind, Encoder, Head, Held, Table};
pub use load::{Into as LoadInto, Loaded, Vacant};
use packhouse_access::{Collect, Granted};
use packhouse_oci::Digest;
pub use reader::{DumpReader, DumpedBlobs};
use std::io::Write;
use std::ops::ControlFlow;

/// The setting of a house that is still being restored: what it is restored from.
const RESTORING: &str = "restoring";
/// The setting that says up to which digest its blobs are there.
const RESTORED_TO: &str = "restored_to";
/// The setting that names the blob store a catalog belongs to.
const STORE: &str = "blob_store";
/// The setting that says that the store is yet to be given that name.
const NAMING: &str = "blob_store_naming";

/// The right to copy what the store holds, to fill an empty one, and to keep copies of the catalog there. No request of
/// a client has it.
#[derive(Clone, Debug)]
pub struct StoreCopy(());

/// What a copy holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dumped {
    /// Rows in all tables.
    pub rows: u64,
    /// Blobs that it names.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// The digest of its rows: the same as another copy's when nothing was changed in between.
    pub content: Digest,
}

/// A house that is still being restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoring {
    /// What it is restored from.
    pub from: String,
    /// The name that its store will have.
    pub store: String,
    /// Blobs up to this digest are there; as text, empty before the first.
    pub restored_to: Option<Digest>,
    /// How many there are in all.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
}

statement!(
    BLOBS_TO_COPY,
    "SELECT digest, size, storage_key FROM blobs WHERE digest > $1 ORDER BY digest LIMIT $2"
);
statement!(PLACE_BLOB, "UPDATE blobs SET storage_key = $2 WHERE digest = $1");
statement!(BLOBS_TOTAL, "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blobs");
statement!(END_SETTING, "DELETE FROM settings WHERE name = $1");

impl<'tx> ReadTx<'_, 'tx> {
    /// Lets a worker copy the store.
    pub fn store_copy(&mut self, _may: &Granted<'tx, Collect>) -> StoreCopy {
        StoreCopy(())
    }

    /// Writes a copy of all tables, as they stand in this transaction, with bounded memory; without `out` it only says
    /// what the copy would hold. Blocks the thread of this connection, and no other, for as long as it takes. The
    /// closure may run again: what was written before is to be dropped then.
    ///
    /// # Errors
    /// [`CatalogError::Copy`]: it cannot be written.
    pub fn dump(
        &mut self,
        _may: &Granted<'tx, Collect>,
        made_at: Micros,
        out: Option<&mut dyn Write>,
    ) -> Result<Dumped, CatalogError> {
        let store = self.setting(STORE)?.unwrap_or_default();
        let (blobs, blob_bytes) = self.blobs_total()?;
        let connection = self.connection()?;
        let mut tables = tables::carried(connection)?;
        for table in &mut tables {
            let text = format!("SELECT COUNT(*) FROM {}", tables::quoted(&table.name));
            connection.query_text("count rows", &text, &mut |row| {
                table.rows = row.size(0)?;
                Ok(ControlFlow::Break(()))
            })?;
        }
        let migrations = crate::schema::done(connection)?;
        let head = Head { migrations, store, made_at: made_at.0, tables };
        let mut encoder = Encoder::begin(out, &head)?;
        for table in &head.tables {
            let order = if table.name == tables::BLOBS { " ORDER BY digest" } else { "" };
            let columns: Vec<_> = table.columns.iter().map(|column| tables::quoted(&column.name)).collect();
            let text = format!("SELECT {} FROM {}{order}", columns.join(", "), tables::quoted(&table.name));
            connection.query_text("copy rows", &text, &mut |row| {
                encoder.row(table.columns.iter().enumerate().map(|(at, column)| {
                    Ok(match column.kind {
                        ColumnKind::Int => row.int_or_null(at)?.map_or(Held::Null, Held::Int),
                        ColumnKind::Text => row.text_or_null(at)?.map_or(Held::Null, Held::Text),
                        ColumnKind::Bytes => row.bytes_or_null(at)?.map_or(Held::Null, Held::Bytes),
                    })
                }))?;
                Ok(ControlFlow::Continue(()))
            })?;
            encoder.end_of_table()?;
        }
        let rows = head.tables.iter().map(|table: &Table| table.rows).sum();
        Ok(Dumped { rows, blobs, blob_bytes, content: encoder.end()? })
    }

    /// How many blobs there are, and their bytes. Reads all of them.
    pub fn blobs_total(&mut self) -> Result<(u64, u64), CatalogError> {
        let total = self.row(&BLOBS_TOTAL, &[], |row| Ok((row.size(0)?, row.size(1)?)))?;
        Ok(total.unwrap_or_default())
    }

    /// Whether this house is still being restored; then it must not open.
    pub fn restoring(&mut self) -> Result<Option<Restoring>, CatalogError> {
        let Some(from) = self.setting(RESTORING)? else { return Ok(None) };
        let (blobs, blob_bytes) = self.blobs_total()?;
        let restored_to = self.setting(RESTORED_TO)?.and_then(|text| text.parse().ok());
        let store = self.setting(STORE)?.unwrap_or_default();
        Ok(Some(Restoring { from, store, restored_to, blobs, blob_bytes }))
    }

    /// Blobs behind a digest, in the order of their digests.
    pub fn blobs_to_copy(
        &mut self,
        _may: &Granted<'tx, Collect>,
        after: Option<&Digest>,
        limit: u32,
    ) -> Result<Vec<ReadableBlob>, CatalogError> {
        let after = after.map(Digest::to_bytes).unwrap_or_default();
        self.rows(&BLOBS_TO_COPY, &[(&after).into(), Value::Int(limit.into())], |row| {
            Ok(ReadableBlob::to_copy(row.digest(0)?, row.size(1)?, row.text(2)?))
        })
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Records that the blobs up to a digest are in the store of a house that is being restored, and where those lie
    /// whose bytes lie elsewhere than was meant.
    pub fn restored_to(
        &mut self,
        _may: &Granted<'tx, Collect>,
        digest: &Digest,
        placed: &[(Digest, String)],
    ) -> Result<(), CatalogError> {
        for (digest, key) in placed {
            let digest = digest.to_bytes();
            self.execute(&PLACE_BLOB, &[(&digest).into(), key.as_str().into()])?;
        }
        self.put_setting(RESTORED_TO, &digest.to_string())
    }

    /// Opens a house that was restored: its store has its name.
    pub fn end_restoring(&mut self, _may: &Granted<'tx, Collect>) -> Result<(), CatalogError> {
        for name in [RESTORED_TO, NAMING, RESTORING] {
            self.execute(&END_SETTING, &[name.into()])?;
        }
        Ok(())
    }
}
