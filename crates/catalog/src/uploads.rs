//! Upload sessions. A session belongs to one package and one account; for everyone else it does not exist.

use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{AccountId, Collect, Granted, PackageId, Push};
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
    store_state: Vec<u8>,
    epoch: u64,
}

impl Upload {
    /// Where its bytes lie; for the blob store only.
    pub fn storage_key(&self) -> &str {
        &self.key
    }
    /// What the blob store asked to be recorded with the bytes.
    pub fn store_state(&self) -> &[u8] {
        &self.store_state
    }
    /// The number of the lease under which it was read; 0 when it was never leased.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A key that the blob store formed for this session: no session names another one's bytes.
    fn own<'k>(&self, key: &'k str) -> Result<&'k str, CatalogError> {
        match key.strip_prefix(self.key.as_str()) {
            Some(rest) if rest.is_empty() || rest.starts_with('.') => Ok(key),
            Some(_) | None => Err(CatalogError::Corrupt("storage key")),
        }
    }

    /// The session, whose bytes came to lie under a key of its own that the blob store chose.
    pub fn placed_at(mut self, key: &str) -> Result<Self, CatalogError> {
        self.own(key)?.clone_into(&mut self.key);
        Ok(self)
    }
}

/// A session that was just begun, and what is to be known to give it out without reading it: for the process that alone
/// changes it.
#[derive(Clone, Debug)]
pub struct BegunUpload {
    upload: Upload,
    package: PackageId,
    account: Option<AccountId>,
    expires_at: Micros,
}

impl BegunUpload {
    /// `upload` was begun by this proof and to this end.
    pub fn new(may: &Granted<'_, Push>, upload: Upload, expires_at: Micros) -> Self {
        BegunUpload { upload, package: may.package(), account: may.account(), expires_at }
    }
    /// Its identifier.
    pub fn id(&self) -> &str {
        &self.upload.id
    }
    /// The session as it began.
    pub fn upload(&self) -> &Upload {
        &self.upload
    }
    /// The session, if it is the caller's own and has not expired; as [`ReadTx::upload`] finds it. What a commit in doubt
    /// may have changed of it was asked for by who took it first.
    pub fn of(&self, may: &Granted<'_, Push>, now: Micros) -> Option<&Upload> {
        let own = self.package == may.package() && self.account == may.account();
        (own && self.expires_at > now).then_some(&self.upload)
    }
}

/// What the blob store made durable, to be recorded in the transaction that acknowledges it.
#[derive(Clone, Debug)]
pub struct Placed {
    /// For the blob store, when it goes on.
    pub store_state: Vec<u8>,
    /// Where a finished session's bytes lie: the session's own key, or one that begins with it and a dot.
    pub key: String,
    /// Keys of the session, formed likewise, whose bytes are no longer needed.
    pub left: Vec<String>,
}

/// What taking a lease came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    /// The session is the caller's to write.
    Taken(Upload),
    /// It has become a blob.
    Finished(Upload),
    /// Another request writes it.
    Held,
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
    "INSERT INTO uploads
       (id, package_id, account_id, storage_key, received, hash_state, created_at, expires_at, owner_id)
     VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8)"
);
statement!(
    UPLOAD,
    "SELECT id, storage_key, received, hash_state, digest, store_state, lease_epoch FROM uploads
     WHERE id = $1 AND package_id = $2 AND account_id = $3 AND expires_at > $4"
);
// Compared and swapped: of two that write one session, one wins and the other learns it.
statement!(
    RECORD_PART,
    "UPDATE uploads SET received = $5, hash_state = $6, expires_at = $7, lease_until = 0
     WHERE id = $1 AND package_id = $2 AND account_id = $3 AND received = $4 AND digest IS NULL AND lease_epoch = $8"
);
statement!(
    FINISH_UPLOAD,
    "UPDATE uploads SET received = $5, digest = $6, expires_at = $7, lease_until = 0
     WHERE id = $1 AND package_id = $2 AND account_id = $3 AND received = $4 AND digest IS NULL AND lease_epoch = $8"
);
statement!(
    REMOVE_UPLOAD,
    "DELETE FROM uploads WHERE id = $1 AND package_id = $2 AND account_id = $3 AND digest IS NULL AND lease_epoch = $4
     RETURNING storage_key, store_state, lease_epoch"
);
// One request at a time, over all nodes, by one clock. A lease that has run out is anyone's: the number tells its holder.
statement!(
    TAKE_LEASE,
    "UPDATE uploads SET lease_epoch = lease_epoch + 1, lease_until = {clock $5} + $6
     WHERE id = $1 AND package_id = $2 AND account_id = $3 AND expires_at > $4 AND digest IS NULL
       AND lease_until <= {clock $5}"
);
statement!(
    RENEW_LEASE,
    "UPDATE uploads SET lease_until = {clock $3} + $4, expires_at = $5
     WHERE id = $1 AND lease_epoch = $2 AND lease_until > 0 AND digest IS NULL"
);
statement!(
    RELEASE_LEASE,
    "UPDATE uploads SET lease_until = 0, lease_epoch = lease_epoch - $3
     WHERE id = $1 AND lease_epoch = $2 AND lease_until > 0 AND digest IS NULL"
);
statement!(
    KEEP_STATE,
    "UPDATE uploads SET store_state = $5
     WHERE id = $1 AND package_id = $2 AND account_id = $3 AND lease_epoch = $4"
);
statement!(EXPIRED, "SELECT id FROM uploads WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2");
// The time is asked of the row itself as well: a part may just have put its end off.
statement!(
    REMOVE_EXPIRED,
    "DELETE FROM uploads WHERE id = $1 AND expires_at <= $2 RETURNING storage_key, digest, store_state, lease_epoch"
);
statement!(KEEP_IN_TRASH, "UPDATE trash SET store_state = $2, lease_epoch = $3 WHERE storage_key = $1");

fn upload(row: &Row<'_>) -> Result<Upload, CatalogError> {
    let finished = row.bytes_or_null(4)?.map(|bytes| Digest::from_bytes(&bytes));
    Ok(Upload {
        id: row.text(0)?,
        key: row.text(1)?,
        received: row.size(2)?,
        hash_state: row.bytes(3)?,
        finished: finished.map(|digest| digest.ok_or(CatalogError::Corrupt("digest"))).transpose()?,
        store_state: row.bytes_or_null(5)?.unwrap_or_default(),
        epoch: row.size(6)?,
    })
}

fn count(bytes: u64) -> Result<Value<'static>, CatalogError> {
    i64::try_from(bytes).map(Value::Int).map_err(|_| CatalogError::Corrupt("size"))
}

fn micros(seconds: u64) -> Value<'static> {
    Value::Int(Micros(0).plus_seconds(seconds).0)
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
            may.owner().0.into(),
        ];
        self.execute(&INSERT_UPLOAD, &values)?;
        Ok(Upload {
            id: id.to_owned(),
            key: key.to_owned(),
            received: 0,
            hash_state: hash_state.to_vec(),
            finished: None,
            store_state: Vec::new(),
            epoch: 0,
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
            count(before.epoch)?,
        ];
        Ok(self.execute(&RECORD_PART, &values)? == 1)
    }

    /// Records what the blob store says of the bytes that the same transaction acknowledges: its state, and what it no
    /// longer needs, which goes to the trash. `false`: the session is another's by now.
    pub fn keep_placed(
        &mut self,
        may: &Granted<'tx, Push>,
        before: &Upload,
        placed: &Placed,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        if !self.keep_state(may, before, &placed.store_state)? {
            return Ok(false);
        }
        for key in &placed.left {
            self.put_trash(before.own(key)?, 0, now, now)?;
        }
        Ok(true)
    }

    /// Records what the blob store must know before bytes go out. `false`: the session is another's by now.
    pub fn keep_state(
        &mut self,
        may: &Granted<'tx, Push>,
        before: &Upload,
        store_state: &[u8],
    ) -> Result<bool, CatalogError> {
        let values = [
            before.id.as_str().into(),
            may.package().0.into(),
            owner(may),
            count(before.epoch)?,
            Value::Bytes(store_state),
        ];
        Ok(self.execute(&KEEP_STATE, &values)? == 1)
    }

    /// Takes the lease of a session, which `seconds` later is anyone's again; none when the caller has no such session.
    pub fn lease_upload(
        &mut self,
        may: &Granted<'tx, Push>,
        id: &str,
        now: Micros,
        seconds: u64,
    ) -> Result<Option<Leased>, CatalogError> {
        let (package, owner) = (may.package().0.into(), owner(may));
        let values = [id.into(), package, owner, now.0.into(), now.0.into(), micros(seconds)];
        let taken = self.execute(&TAKE_LEASE, &values)? == 1;
        let found = self.upload(may, id, now)?;
        Ok(found.map(|upload| match (taken, upload.finished) {
            (true, _) => Leased::Taken(upload),
            (false, Some(_)) => Leased::Finished(upload),
            (false, None) => Leased::Held,
        }))
    }

    /// Holds the lease of a session for longer. `false`: it is another's by now, or was released. What was leased can be
    /// held on by who holds it, whatever became of the right to push: the bytes are judged when they are acknowledged.
    pub fn renew_lease(
        &mut self,
        held: &Upload,
        now: Micros,
        seconds: u64,
        expires_at: Micros,
    ) -> Result<bool, CatalogError> {
        let id = held.id.as_str().into();
        let values = [id, count(held.epoch)?, now.0.into(), micros(seconds), expires_at.0.into()];
        Ok(self.execute(&RENEW_LEASE, &values)? == 1)
    }

    /// Gives a lease back. With nothing written its number is given back too, so that refused requests leave no gaps.
    pub fn release_lease(&mut self, held: &Upload, wrote: bool) -> Result<(), CatalogError> {
        let values = [held.id.as_str().into(), count(held.epoch)?, Value::Int(i64::from(!wrote))];
        self.execute(&RELEASE_LEASE, &values).map(drop)
    }

    /// Makes the session's bytes a blob of the package, which stays until `pinned_until` though nothing may name it.
    /// `false`: another request moved the session on.
    pub fn finish_upload(
        &mut self,
        may: &Granted<'tx, Push>,
        before: &Upload,
        finished: &Finished,
        now: Micros,
        expires_at: Micros,
        pinned_until: Micros,
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
            count(before.epoch)?,
        ];
        if self.execute(&FINISH_UPLOAD, &values)? != 1 {
            return Ok(false);
        }
        self.keep_blob(may, &finished.digest, finished.size, &before.key, now, pinned_until)?;
        Ok(true)
    }

    /// Ends a session that is not finished, and still the caller's to write; whether it was there. Its bytes go to the
    /// trash.
    pub fn cancel_upload(
        &mut self,
        may: &Granted<'tx, Push>,
        held: &Upload,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let values = [held.id.as_str().into(), may.package().0.into(), owner(may), count(held.epoch)?];
        let ended =
            self.row(&REMOVE_UPLOAD, &values, |row| Ok((row.text(0)?, row.bytes_or_null(1)?, row.size(2)?)))?;
        if let Some((key, state, epoch)) = &ended {
            self.trash_session(key, state.as_deref(), *epoch, now)?;
        }
        Ok(ended.is_some())
    }

    /// The bytes of a session that became no blob, with all that the store needs to find them.
    pub(crate) fn trash_session(
        &mut self,
        key: &str,
        state: Option<&[u8]>,
        epoch: u64,
        now: Micros,
    ) -> Result<(), CatalogError> {
        self.put_trash(key, 0, now, now)?;
        if epoch > 0 {
            let state = state.map_or(Value::Null, Value::Bytes);
            self.execute(&KEEP_IN_TRASH, &[key.into(), state, count(epoch)?])?;
        }
        Ok(())
    }

    /// Ends at most `limit` sessions that have expired, finished or not, and that `free` takes the right to: one that a
    /// request works on now would write its bytes behind their removal. Returns how many.
    pub fn end_expired_uploads(
        &mut self,
        _may: &Granted<'tx, Collect>,
        now: Micros,
        limit: u32,
        free: &mut dyn FnMut(&str) -> bool,
    ) -> Result<usize, CatalogError> {
        let values = [now.0.into(), Value::Int(limit.into())];
        let expired = self.rows(&EXPIRED, &values, |row| row.text(0))?;
        let mut ended = Vec::new();
        for id in expired.iter().filter(|id| free(id)) {
            ended.extend(self.row(&REMOVE_EXPIRED, &[id.as_str().into(), now.0.into()], |row| {
                let finished = row.bytes_or_null(1)?.is_some();
                Ok((row.text(0)?, finished, row.bytes_or_null(2)?, row.size(3)?))
            })?);
        }
        // In the order of keys, not in that of the sessions' random names.
        ended.sort_unstable();
        for (key, finished, state, epoch) in &ended {
            // A finished session's bytes are a blob, or went to the trash when they turned out to be one already.
            if !finished {
                self.trash_session(key, state.as_deref(), *epoch, now)?;
            }
        }
        Ok(ended.len())
    }
}
