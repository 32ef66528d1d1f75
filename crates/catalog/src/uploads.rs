//! Upload sessions. A session belongs to one package and one account; for everyone else it does not exist.

use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{Collect, Granted, Push};
use packhouse_oci::Digest;

/// A session as it was last acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its identifier, random.
    pub id: String,
    /// Where its bytes lie.
    key: String,
    /// Bytes that are on disk and hashed.
    pub received: u64,
    /// The state of the hash after them.
    pub hash_state: Vec<u8>,
    /// The blob it became, once it is finished.
    pub finished: Option<Digest>,
}

impl Upload {
    /// Where its bytes lie; for the blob store only.
    pub fn storage_key(&self) -> &str {
        &self.key
    }
}

/// Bytes that were received, hashed, synced and found to be what the client said.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// Their digest.
    pub digest: Digest,
    /// How many.
    pub size: u64,
}

statement!(
    INSERT_UPLOAD,
    "INSERT INTO uploads (id, package_id, account_id, storage_key, received, hash_state, created_at, expires_at)
     VALUES ($1, $2, $3, $4, 0, $5, $6, $7)"
);
statement!(
    UPLOAD,
    "SELECT id, storage_key, received, hash_state, digest FROM uploads
     WHERE id = $1 AND package_id = $2 AND account_id = $3 AND expires_at > $4"
);
// Compared and swapped: of two that write one session, one wins and the other learns it.
statement!(
    RECORD_PART,
    "UPDATE uploads SET received = $5, hash_state = $6, expires_at = $7
     WHERE id = $1 AND package_id = $2 AND account_id = $3 AND received = $4 AND digest IS NULL"
);
statement!(
    FINISH_UPLOAD,
    "UPDATE uploads SET received = $5, digest = $6, expires_at = $7
     WHERE id = $1 AND package_id = $2 AND account_id = $3 AND received = $4 AND digest IS NULL"
);
statement!(
    REMOVE_UPLOAD,
    "DELETE FROM uploads WHERE id = $1 AND package_id = $2 AND account_id = $3 AND digest IS NULL
     RETURNING storage_key"
);
// The time is asked of the row itself as well: PostgreSQL looks again at one that it had to wait for, but not at what
// the inner SELECT found, and a part may just have put its end off.
statement!(
    REMOVE_EXPIRED,
    "DELETE FROM uploads WHERE expires_at <= $1
       AND id IN (SELECT id FROM uploads WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)
     RETURNING storage_key, digest"
);

fn upload(row: &Row<'_>) -> Result<Upload, CatalogError> {
    let finished = row.bytes_or_null(4)?.map(|bytes| Digest::from_bytes(&bytes));
    Ok(Upload {
        id: row.text(0)?,
        key: row.text(1)?,
        received: row.size(2)?,
        hash_state: row.bytes(3)?,
        finished: finished.map(|digest| digest.ok_or(CatalogError::Corrupt("digest"))).transpose()?,
    })
}

fn count(bytes: u64) -> Result<Value<'static>, CatalogError> {
    i64::try_from(bytes).map(Value::Int).map_err(|_| CatalogError::Corrupt("size"))
}

impl<'tx> ReadTx<'_, 'tx> {
    /// The session of that name, if it is the caller's own and has not expired. Who has it may change its bytes.
    pub fn upload(
        &mut self,
        may: &Granted<'tx, Push>,
        id: &str,
        now: Micros,
    ) -> Result<Option<Upload>, CatalogError> {
        self.beyond_doubt()?;
        self.row(&UPLOAD, &[id.into(), may.package().0.into(), owner(may), now.0.into()], upload)
    }
}

fn owner(may: &Granted<'_, Push>) -> Value<'static> {
    Value::Int(may.account().map_or(-1, |id| id.0))
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Starts a session. Its storage key is fixed here, before the digest is known, and is never used again.
    pub fn begin_upload(
        &mut self,
        may: &Granted<'tx, Push>,
        id: &str,
        key: &str,
        hash_state: &[u8],
        now: Micros,
        expires_at: Micros,
    ) -> Result<Upload, CatalogError> {
        let values = [
            id.into(),
            may.package().0.into(),
            owner(may),
            key.into(),
            Value::Bytes(hash_state),
            now.0.into(),
            expires_at.0.into(),
        ];
        self.execute(&INSERT_UPLOAD, &values)?;
        Ok(Upload {
            id: id.to_owned(),
            key: key.to_owned(),
            received: 0,
            hash_state: hash_state.to_vec(),
            finished: None,
        })
    }

    /// Acknowledges bytes that are on disk. `false`: another request moved the session on.
    pub fn record_part(
        &mut self,
        may: &Granted<'tx, Push>,
        before: &Upload,
        received: u64,
        hash_state: &[u8],
        expires_at: Micros,
    ) -> Result<bool, CatalogError> {
        let values = [
            before.id.as_str().into(),
            may.package().0.into(),
            owner(may),
            count(before.received)?,
            count(received)?,
            Value::Bytes(hash_state),
            expires_at.0.into(),
        ];
        Ok(self.execute(&RECORD_PART, &values)? == 1)
    }

    /// Makes the session's bytes a blob of the package. `false`: another request moved the session on.
    pub fn finish_upload(
        &mut self,
        may: &Granted<'tx, Push>,
        before: &Upload,
        finished: &Finished,
        now: Micros,
        expires_at: Micros,
    ) -> Result<bool, CatalogError> {
        let digest = finished.digest.to_bytes();
        let values = [
            before.id.as_str().into(),
            may.package().0.into(),
            owner(may),
            count(before.received)?,
            count(finished.size)?,
            (&digest).into(),
            expires_at.0.into(),
        ];
        if self.execute(&FINISH_UPLOAD, &values)? != 1 {
            return Ok(false);
        }
        self.keep_blob(may, &finished.digest, finished.size, &before.key, now, now)?;
        Ok(true)
    }

    /// Ends a session that is not finished; whether it was there. Its bytes go to the trash.
    pub fn cancel_upload(
        &mut self,
        may: &Granted<'tx, Push>,
        id: &str,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let values = [id.into(), may.package().0.into(), owner(may)];
        let key = self.row(&REMOVE_UPLOAD, &values, |row| row.text(0))?;
        if let Some(key) = &key {
            self.put_trash(key, now)?;
        }
        Ok(key.is_some())
    }

    /// Ends at most `limit` sessions that have expired, finished or not; returns how many.
    pub fn end_expired_uploads(
        &mut self,
        _may: &Granted<'tx, Collect>,
        now: Micros,
        limit: u32,
    ) -> Result<usize, CatalogError> {
        let ended = self.rows(&REMOVE_EXPIRED, &[now.0.into(), Value::Int(limit.into())], |row| {
            Ok((row.text(0)?, row.bytes_or_null(1)?.is_some()))
        })?;
        for (key, finished) in &ended {
            // A finished session's bytes are a blob, or went to the trash when they turned out to be one already.
            if !finished {
                self.put_trash(key, now)?;
            }
        }
        Ok(ended.len())
    }
}
