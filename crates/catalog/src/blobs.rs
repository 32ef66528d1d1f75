//! Blobs: what is stored. In which packages it is readable is in `links.rs`.

use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{Granted, PackageId, Pull, Push};
use packhouse_oci::Digest;
use std::sync::Arc;

/// Tries to insert a blob that a collector removes again and again.
const TRIES_MAX: u32 = 4;

/// A blob that a caller was found to be allowed to read. It is all that the blob store opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadableBlob {
    digest: Digest,
    size: u64,
    key: Arc<str>,
    pinned_until: Micros,
}

impl ReadableBlob {
    /// One that a copy of the catalog names.
    pub(crate) fn to_copy(digest: Digest, size: u64, key: String) -> Self {
        ReadableBlob::of(digest, size, key, Micros(0))
    }
    pub(crate) fn of(digest: Digest, size: u64, key: String, pinned_until: Micros) -> Self {
        ReadableBlob { digest, size, key: key.into(), pinned_until }
    }
    /// What its bytes hash to.
    pub fn digest(&self) -> Digest {
        self.digest
    }
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
    /// Where it lies; for the blob store only.
    pub fn storage_key(&self) -> &str {
        &self.key
    }
    /// Until when it stays readable in the package though nothing there may name it ([`WriteTx::pin_blob`]).
    pub fn pinned_until(&self) -> Micros {
        self.pinned_until
    }
}

statement!(
    READABLE_BLOB,
    "SELECT b.digest, b.size, b.storage_key, l.pinned_until FROM package_blobs l CROSS JOIN blobs b
     WHERE l.package_id = $1 AND l.digest = $2 AND b.digest = l.digest AND b.damage IS NULL"
);
statement!(LOCK_BLOB, "SELECT size FROM blobs WHERE digest = $1 AND damage IS NULL {share}");
statement!(
    INSERT_BLOB,
    "INSERT INTO blobs (digest, size, storage_key, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
);
// Only a first look for a place to mount from: whether the caller may read there is decided by its facts.
statement!(
    HOLDER,
    "WITH RECURSIVE mine (id) AS (
       SELECT team_id FROM team_members WHERE account_id = $2
       UNION SELECT t.parent_id FROM teams t JOIN mine ON mine.id = t.id WHERE t.parent_id IS NOT NULL)
     SELECT p.path FROM package_blobs l JOIN packages p ON p.id = l.package_id
     WHERE l.digest = $1 AND p.deleted_at IS NULL
       AND (p.visibility = 2 OR p.owner_id = $2
         OR EXISTS (SELECT 1 FROM memberships m WHERE m.organization_id = p.owner_id AND m.account_id = $2
                    AND (m.owner = 1 OR p.visibility = 1))
         OR EXISTS (SELECT 1 FROM accounts b WHERE b.id = $2 AND b.organization_id = p.owner_id
                    AND (b.role IS NOT NULL OR p.visibility = 1))
         OR (p.inherits = 0 AND (
           EXISTS (SELECT 1 FROM package_grants g WHERE g.package_id = p.id AND g.account_id = $2)
           OR EXISTS (SELECT 1 FROM mine CROSS JOIN package_teams g
                      WHERE g.package_id = p.id AND g.team_id = mine.id)))
         OR (p.inherits = 1 AND (
           EXISTS (SELECT 1 FROM repository_accounts c
                   WHERE c.repository_id = p.repository_id AND c.account_id = $2)
           OR EXISTS (SELECT 1 FROM mine CROSS JOIN repository_teams c
                      WHERE c.repository_id = p.repository_id AND c.team_id = mine.id)
           OR EXISTS (SELECT 1 FROM repositories r
                      JOIN memberships m ON m.organization_id = r.owner_id AND m.account_id = $2
                      LEFT JOIN policies o ON o.organization_id = r.owner_id
                      WHERE r.id = p.repository_id AND COALESCE(o.base_role, 1) > 0))))
     LIMIT 1"
);
fn blob(row: &Row<'_>) -> Result<ReadableBlob, CatalogError> {
    Ok(ReadableBlob::of(row.digest(0)?, row.size(1)?, row.text(2)?, Micros(row.int(3)?)))
}

impl<'tx> ReadTx<'_, 'tx> {
    /// A blob of the package.
    pub fn blob(
        &mut self,
        may: &Granted<'tx, Pull>,
        digest: &Digest,
    ) -> Result<Option<ReadableBlob>, CatalogError> {
        let (package, digest) = (may.package(), *digest);
        let found = self.recall((package, digest), |tx| tx.readable(package, &digest.to_bytes()))?;
        Ok(found.map(|found| ReadableBlob::clone(&found)))
    }

    /// The path of a package that holds the blob and that the account may be able to read; its facts decide.
    pub fn holder(
        &mut self,
        digest: &Digest,
        account: Option<packhouse_access::AccountId>,
    ) -> Result<Option<String>, CatalogError> {
        let digest = digest.to_bytes();
        let account = account.map_or(-1, |id| id.0);
        self.row(&HOLDER, &[(&digest).into(), account.into()], |row| row.text(0))
    }

    /// A blob of a package.
    pub(crate) fn readable(
        &mut self,
        package: PackageId,
        digest: &Vec<u8>,
    ) -> Result<Option<ReadableBlob>, CatalogError> {
        self.row(&READABLE_BLOB, &[package.0.into(), digest.into()], blob)
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Holds a blob's row, so that what collects blobs waits; whether there is such a blob, and not damaged.
    pub(crate) fn lock_blob(&mut self, digest: &Vec<u8>) -> Result<bool, CatalogError> {
        Ok(self.row(&LOCK_BLOB, &[digest.into()], |_| Ok(()))?.is_some())
    }

    /// Makes verified bytes a blob of the package, which stays until `pinned_until` though nothing may name it. When
    /// the same blob is there already, the newcomer's key is the one that goes to the trash; when that one is damaged,
    /// the newcomer takes its place in all packages.
    pub(crate) fn keep_blob(
        &mut self,
        may: &Granted<'tx, Push>,
        digest: &Digest,
        size: u64,
        key: &str,
        now: Micros,
        pinned_until: Micros,
    ) -> Result<(), CatalogError> {
        let digest = digest.to_bytes();
        let stored = i64::try_from(size).map_err(|_| CatalogError::Corrupt("size"))?;
        let values = [(&digest).into(), stored.into(), key.into(), now.0.into()];
        if !self.insert_blob(&digest, &values, pinned_until)? {
            self.put_trash(key, size, now, now)?;
        }
        self.link(may.package(), &digest, now, pinned_until)
    }

    /// Whether it was inserted, or healed a damaged one; if not, the one that is there is locked. One that was there may
    /// be collected between the statements: then it is inserted after all.
    fn insert_blob(
        &mut self,
        digest: &Vec<u8>,
        values: &[Value<'_>],
        trash_at: Micros,
    ) -> Result<bool, CatalogError> {
        for _ in 0..TRIES_MAX {
            if self.execute(&INSERT_BLOB, values)? > 0 || self.heal_blob(values, trash_at)? {
                return Ok(true);
            }
            if self.lock_blob(digest)? {
                return Ok(false);
            }
        }
        Err(CatalogError::Busy)
    }
}
