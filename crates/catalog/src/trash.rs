//! Trash: storage keys whose bytes nothing names any more, and who keeps them a little longer.

use crate::sql::{Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{Collect, Granted};

/// Bytes that no row needs any more. It is all that the blob store removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashedKey {
    key: String,
    size: u64,
    store_state: Vec<u8>,
    epoch: u64,
}

impl TrashedKey {
    /// Where they lie; for the blob store only.
    pub fn storage_key(&self) -> &str {
        &self.key
    }
    /// What the blob store recorded of an upload that ended without a blob; empty for all else.
    pub fn store_state(&self) -> &[u8] {
        &self.store_state
    }
    /// The number of that upload's last lease; 0 for all else.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
    /// How many; 0 where it was never known, as of an upload that was given up.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// How much older than it says a transaction may be that is committed behind the beginning of a hold.
const HOLD_MARGIN_SECONDS: u64 = 300;

/// What lies in the trash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrashTotal {
    /// Keys.
    pub keys: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Keys that a kept or running copy of the catalog still names.
    pub held: u64,
}

statement!(
    PUT_TRASH,
    "INSERT INTO trash (storage_key, not_before, size, trashed_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
);
// Blobs that no package has, their rows locked.
statement!(
    TRASH_BLOBS,
    "INSERT INTO trash (storage_key, not_before, size, trashed_at)
     SELECT b.storage_key, CAST($2 AS BIGINT), b.size, CAST($3 AS BIGINT) FROM blobs b WHERE b.digest IN {list $1}
       AND NOT EXISTS (SELECT 1 FROM package_blobs l WHERE l.digest = b.digest)
       AND NOT EXISTS (SELECT 1 FROM package_blobs_unlinked l WHERE l.digest = b.digest)
     ON CONFLICT DO NOTHING"
);
statement!(
    CLAIM_TRASH,
    "UPDATE trash SET claimed_until = $2 WHERE storage_key IN (
       SELECT t.storage_key FROM trash t WHERE t.not_before <= $1 AND t.claimed_until <= $1 AND t.trashed_at < $3
       ORDER BY t.not_before LIMIT $4 {skip}) RETURNING storage_key, size, store_state, lease_epoch"
);
statement!(REMOVE_TRASH, "DELETE FROM trash WHERE storage_key = $1");
statement!(NEXT_TRASH, "SELECT not_before FROM trash WHERE not_before >= 0 ORDER BY not_before LIMIT 1");
statement!(
    TRASH_TOTAL,
    "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT),
       CAST(COALESCE(SUM(CASE WHEN trashed_at >= $1 THEN 1 ELSE 0 END), 0) AS BIGINT) FROM trash"
);
statement!(HELD_SINCE, "SELECT since FROM holds WHERE until > $1 ORDER BY since LIMIT 1");
statement!(
    PUT_HOLD,
    "INSERT INTO holds (name, since, until) VALUES ($1, $2, $3)
     ON CONFLICT (name) DO UPDATE SET since = excluded.since, until = excluded.until"
);
statement!(END_HOLD, "DELETE FROM holds WHERE name = $1");
statement!(END_EXPIRED_HOLDS, "DELETE FROM holds WHERE until <= $1");

impl<'tx> ReadTx<'_, 'tx> {
    /// When the next bytes in the trash may go.
    pub fn next_trash(&mut self, _may: &Granted<'tx, Collect>) -> Result<Option<Micros>, CatalogError> {
        self.row(&NEXT_TRASH, &[], |row| row.int(0).map(Micros))
    }

    /// What lies in the trash. Reads all of it.
    pub fn trash_total(
        &mut self,
        _may: &Granted<'tx, Collect>,
        now: Micros,
    ) -> Result<TrashTotal, CatalogError> {
        let held = self.held_since(now)?;
        let total = self.row(&TRASH_TOTAL, &[held.0.into()], |row| {
            Ok(TrashTotal { keys: row.size(0)?, bytes: row.size(1)?, held: row.size(2)? })
        })?;
        Ok(total.unwrap_or_default())
    }

    /// What was trashed then or later is named by a copy of the catalog that somebody keeps or makes.
    fn held_since(&mut self, now: Micros) -> Result<Micros, CatalogError> {
        let since = self.row(&HELD_SINCE, &[now.0.into()], |row| row.int(0))?;
        Ok(Micros(since.unwrap_or(i64::MAX)))
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Bytes to remove now. They are claimed until `until`, so that two workers do not do the same.
    pub fn claim_trash(
        &mut self,
        _may: &Granted<'tx, Collect>,
        now: Micros,
        until: Micros,
        limit: u32,
    ) -> Result<Vec<TrashedKey>, CatalogError> {
        self.execute(&END_EXPIRED_HOLDS, &[now.0.into()])?;
        let held = self.held_since(now)?;
        let values = [now.0.into(), until.0.into(), held.0.into(), Value::Int(limit.into())];
        self.rows(&CLAIM_TRASH, &values, |row| {
            let store_state = row.bytes_or_null(2)?.unwrap_or_default();
            Ok(TrashedKey { key: row.text(0)?, size: row.size(1)?, store_state, epoch: row.size(3)? })
        })
    }

    /// Forgets bytes that were removed.
    pub fn forget_trash(
        &mut self,
        _may: &Granted<'tx, Collect>,
        keys: &[TrashedKey],
    ) -> Result<(), CatalogError> {
        for key in keys {
            self.execute(&REMOVE_TRASH, &[key.key.as_str().into()])?;
        }
        Ok(())
    }

    /// Keeps all bytes that a copy of the catalog names until a time. Committed before the copy is made: none that are
    /// trashed from `since` on are removed before `until`.
    pub fn hold(
        &mut self,
        _may: &Granted<'tx, Collect>,
        name: &str,
        since: Micros,
        until: Micros,
    ) -> Result<(), CatalogError> {
        let since = since.minus_seconds(HOLD_MARGIN_SECONDS);
        self.execute(&PUT_HOLD, &[name.into(), since.0.into(), until.0.into()]).map(drop)
    }

    /// Ends a [`WriteTx::hold`]; whether there was one.
    pub fn end_hold(&mut self, _may: &Granted<'tx, Collect>, name: &str) -> Result<bool, CatalogError> {
        Ok(self.execute(&END_HOLD, &[name.into()])? > 0)
    }

    /// Bytes, so many if that is known, that nothing names from now on. They may go at `not_before`.
    pub(crate) fn put_trash(
        &mut self,
        key: &str,
        size: u64,
        now: Micros,
        not_before: Micros,
    ) -> Result<(), CatalogError> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let values = [key.into(), not_before.0.into(), size.into(), now.0.into()];
        self.execute(&PUT_TRASH, &values).map(drop)
    }

    /// The bytes of those blobs that no package has, whose rows are locked.
    pub(crate) fn trash_blobs(
        &mut self,
        digests: &[Vec<u8>],
        now: Micros,
        not_before: Micros,
    ) -> Result<(), CatalogError> {
        let values = [Value::List(digests), not_before.0.into(), now.0.into()];
        self.execute(&TRASH_BLOBS, &values).map(drop)
    }
}
