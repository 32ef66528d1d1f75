//! A scrub's questions about storage keys: which rows name them, and which should not.

use crate::sql::{Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{Granted, Scrub};

/// An upload session that has received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubbedUpload {
    /// Its identifier.
    pub id: String,
    /// Where its bytes lie.
    pub key: String,
    /// How many it has acknowledged.
    pub received: u64,
    /// Whether it is finished: then they are a blob's.
    pub finished: bool,
    /// Its package's path.
    pub path: String,
    epoch: u64,
}

/// What there is to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubTotal {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

// `$2` is the session's own key, of which `$1` may be an object of one of its leases. A finished session's bytes are a
// blob's or in the trash; one that ended without a blob has all its objects removed with its key.
statement!(
    KEY_NAMED,
    "SELECT 1 FROM blobs WHERE storage_key = $1
     UNION ALL SELECT 1 FROM uploads WHERE storage_key IN ($1, $2) AND digest IS NULL
     UNION ALL SELECT 1 FROM trash WHERE storage_key = $1
     UNION ALL SELECT 1 FROM trash WHERE storage_key = $2 AND lease_epoch > 0 LIMIT 1"
);
statement!(
    SCRUB_UPLOADS,
    "SELECT u.id, u.storage_key, u.received, CAST(CASE WHEN u.digest IS NULL THEN 0 ELSE 1 END AS BIGINT),
       COALESCE(p.path, ''), u.lease_epoch
     FROM uploads u LEFT JOIN packages p ON p.id = u.package_id WHERE u.id > $1 ORDER BY u.id LIMIT $2"
);
statement!(
    UPLOAD_STANDS,
    "SELECT id FROM uploads WHERE id = $1 AND received = $2 AND lease_epoch = $3 AND digest IS NULL"
);
statement!(
    END_LOST_UPLOAD,
    "DELETE FROM uploads WHERE id = $1 AND received = $2 AND lease_epoch = $3 AND digest IS NULL
     RETURNING storage_key, store_state, lease_epoch"
);
statement!(
    SCRUB_TRASH,
    "SELECT t.storage_key, CAST(CASE WHEN EXISTS (SELECT 1 FROM blobs b WHERE b.storage_key = t.storage_key)
         OR EXISTS (SELECT 1 FROM uploads u WHERE u.storage_key = t.storage_key AND u.digest IS NULL)
         THEN 1 ELSE 0 END AS BIGINT)
     FROM trash t WHERE t.storage_key > $1 ORDER BY t.storage_key LIMIT $2"
);
statement!(
    TAKE_OUT_OF_TRASH,
    "DELETE FROM trash WHERE storage_key = $1
       AND (EXISTS (SELECT 1 FROM blobs b WHERE b.storage_key = trash.storage_key)
         OR EXISTS (SELECT 1 FROM uploads u WHERE u.storage_key = trash.storage_key AND u.digest IS NULL))"
);
statement!(SCRUB_TOTAL, "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blobs");

impl<'tx> ReadTx<'_, 'tx> {
    /// What there is to look at. Reads all blobs' rows.
    pub fn scrub_total(&mut self, _may: &Granted<'tx, Scrub>) -> Result<ScrubTotal, CatalogError> {
        let total =
            self.row(&SCRUB_TOTAL, &[], |row| Ok(ScrubTotal { blobs: row.size(0)?, bytes: row.size(1)? }))?;
        Ok(total.unwrap_or_default())
    }

    /// Whether a row names a key of the store: a blob's, a session's or the trash's.
    pub fn is_key_named(&mut self, _may: &Granted<'tx, Scrub>, key: &str) -> Result<bool, CatalogError> {
        let session = key.split_once('.').map_or(key, |(session, _)| session);
        Ok(self.row(&KEY_NAMED, &[key.into(), session.into()], |_| Ok(()))?.is_some())
    }

    /// Sessions behind an identifier, in the order of identifiers, at most `limit`; fewer only at the end.
    pub fn scrub_uploads(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<ScrubbedUpload>, CatalogError> {
        self.rows(&SCRUB_UPLOADS, &[after.into(), Value::Int(limit.into())], |row| {
            Ok(ScrubbedUpload {
                id: row.text(0)?,
                key: row.text(1)?,
                received: row.size(2)?,
                finished: row.int(3)? != 0,
                path: row.text(4)?,
                epoch: row.size(5)?,
            })
        })
    }

    /// Whether a session is still as it was found.
    pub fn upload_stands(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        upload: &ScrubbedUpload,
    ) -> Result<bool, CatalogError> {
        Ok(self.row(&UPLOAD_STANDS, &state(upload)?, |_| Ok(()))?.is_some())
    }

    /// Keys in the trash behind one, in their order, with whether a blob or a running session names them; at most `limit`,
    /// fewer only at the end.
    pub fn scrub_trash(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, bool)>, CatalogError> {
        let values = [after.into(), Value::Int(limit.into())];
        self.rows(&SCRUB_TRASH, &values, |row| Ok((row.text(0)?, row.int(1)? != 0)))
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Ends a session whose acknowledged bytes are gone: its client begins again. `false`: it is another by now.
    pub fn end_lost_upload(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        upload: &ScrubbedUpload,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let ended = self.row(&END_LOST_UPLOAD, &state(upload)?, |row| {
            Ok((row.text(0)?, row.bytes_or_null(1)?, row.size(2)?))
        })?;
        if let Some((key, state, epoch)) = &ended {
            self.trash_session(key, state.as_deref(), *epoch, now)?;
        }
        Ok(ended.is_some())
    }

    /// Takes a key out of the trash that a blob or a running session names; whether it was there.
    pub fn take_out_of_trash(&mut self, _may: &Granted<'tx, Scrub>, key: &str) -> Result<bool, CatalogError> {
        Ok(self.execute(&TAKE_OUT_OF_TRASH, &[key.into()])? > 0)
    }

    /// Puts bytes into the trash that lie in the store and that no row names; `false` when one does by now.
    pub fn trash_unnamed(
        &mut self,
        may: &Granted<'tx, Scrub>,
        key: &str,
        size: u64,
        now: Micros,
        not_before: Micros,
    ) -> Result<bool, CatalogError> {
        if self.is_key_named(may, key)? {
            return Ok(false);
        }
        self.put_trash(key, size, now, not_before)?;
        Ok(true)
    }
}

fn state(upload: &ScrubbedUpload) -> Result<[Value<'_>; 3], CatalogError> {
    let number = |count: u64| i64::try_from(count).map_err(|_| CatalogError::Corrupt("size"));
    Ok([upload.id.as_str().into(), number(upload.received)?.into(), number(upload.epoch)?.into()])
}
