//! Blobs: what is stored, and in which packages it is readable.

use crate::sql::{Row, Value, statement};
use crate::tags::about_the_same;
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{BlobEnd, Collect, Delete, Granted, Pull, Push};
use packhouse_oci::Digest;
use std::collections::HashSet;

/// A blob that a caller was found to be allowed to read. It is all that the blob store opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadableBlob {
    digest: Digest,
    size: u64,
    key: String,
}

impl ReadableBlob {
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
}

/// Bytes that no row needs any more. It is all that the blob store removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashedKey(String);

impl TrashedKey {
    /// Where they lie; for the blob store only.
    pub fn storage_key(&self) -> &str {
        &self.0
    }
}

statement!(
    READABLE_BLOB,
    "SELECT b.digest, b.size, b.storage_key FROM package_blobs l JOIN blobs b ON b.digest = l.digest
     WHERE l.package_id = $1 AND l.digest = $2"
);
statement!(LINKED, "SELECT digest FROM package_blobs WHERE package_id = $1 AND digest IN {list $2}");
statement!(
    LINK,
    "INSERT INTO package_blobs (package_id, digest, linked_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
);
statement!(UNLINK, "DELETE FROM package_blobs WHERE package_id = $1 AND digest = $2");
statement!(
    REMEMBER_UNLINKED,
    "INSERT INTO package_blobs_unlinked (package_id, digest, unlinked_at) VALUES ($1, $2, $3)
     ON CONFLICT (package_id, digest) DO UPDATE SET unlinked_at = excluded.unlinked_at"
);
statement!(LOCK_BLOB, "SELECT digest, size, storage_key FROM blobs WHERE digest = $1 {share}");
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
statement!(PUT_TRASH, "INSERT INTO trash (storage_key, not_before) VALUES ($1, $2) ON CONFLICT DO NOTHING");
statement!(TRASH_DUE, "SELECT storage_key FROM trash WHERE not_before <= $1 ORDER BY not_before LIMIT $2");
statement!(REMOVE_TRASH, "DELETE FROM trash WHERE storage_key = $1");

fn blob(row: &Row<'_>) -> Result<ReadableBlob, CatalogError> {
    Ok(ReadableBlob { digest: row.digest(0)?, size: row.size(1)?, key: row.text(2)? })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// A blob of the package.
    pub fn blob(
        &mut self,
        may: &Granted<'tx, Pull>,
        digest: &Digest,
    ) -> Result<Option<ReadableBlob>, CatalogError> {
        let digest = digest.to_bytes();
        self.row(&READABLE_BLOB, &[may.package().0.into(), (&digest).into()], blob)
    }

    /// Those of `digests` that the package does not have, in their order.
    pub fn missing_blobs(
        &mut self,
        may: &Granted<'tx, Push>,
        digests: &[Digest],
    ) -> Result<Vec<Digest>, CatalogError> {
        let asked: Vec<Vec<u8>> = digests.iter().map(Digest::to_bytes).collect();
        let values = [may.package().0.into(), Value::List(&asked)];
        let linked: HashSet<Vec<u8>> = self.rows(&LINKED, &values, |row| row.bytes(0))?.into_iter().collect();
        Ok(digests
            .iter()
            .zip(&asked)
            .filter(|(_, bytes)| !linked.contains(*bytes))
            .map(|(digest, _)| *digest)
            .collect())
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

    /// Bytes to remove now.
    pub fn trash_due(
        &mut self,
        _may: &Granted<'tx, Collect>,
        now: Micros,
        limit: u32,
    ) -> Result<Vec<TrashedKey>, CatalogError> {
        self.rows(&TRASH_DUE, &[now.0.into(), Value::Int(limit.into())], |row| row.text(0).map(TrashedKey))
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Makes a blob of one package readable in another; whether the first has it.
    pub fn mount_blob(
        &mut self,
        into: &Granted<'tx, Push>,
        from: &Granted<'tx, Pull>,
        digest: &Digest,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let digest = digest.to_bytes();
        // The blob's row first, so that what collects blobs and this cannot pass each other. Both statements run
        // whatever the first finds: a blob that only others may read takes as long as none (CVE-2024-39897).
        let locked = self.row(&LOCK_BLOB, &[(&digest).into()], blob)?;
        let held = self.row(&READABLE_BLOB, &[from.package().0.into(), (&digest).into()], blob)?;
        if locked.is_none() || held.is_none() {
            return Ok(false);
        }
        self.execute(&LINK, &[into.package().0.into(), (&digest).into(), now.0.into()])?;
        Ok(true)
    }

    /// Makes a blob that no held tag leads to unreadable in the package; whether it was there.
    /// It is remembered: a version that is restored may get it back.
    pub fn unlink_blob(
        &mut self,
        may: &Granted<'tx, Delete>,
        end: &BlobEnd<'tx>,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        about_the_same(may.package(), end.package())?;
        let values = [may.package().0.into(), end.digest().into()];
        let unlinked = self.execute(&UNLINK, &values)? > 0;
        if unlinked {
            self.execute(&REMEMBER_UNLINKED, &[values[0], values[1], now.0.into()])?;
        }
        Ok(unlinked)
    }

    /// Forgets bytes that were removed.
    pub fn forget_trash(
        &mut self,
        _may: &Granted<'tx, Collect>,
        keys: &[TrashedKey],
    ) -> Result<(), CatalogError> {
        for key in keys {
            self.execute(&REMOVE_TRASH, &[key.0.as_str().into()])?;
        }
        Ok(())
    }

    pub(crate) fn put_trash(&mut self, key: &str, not_before: Micros) -> Result<(), CatalogError> {
        self.execute(&PUT_TRASH, &[key.into(), not_before.0.into()]).map(drop)
    }

    /// Makes verified bytes a blob of the package. When the same blob is there already, the newcomer's key is
    /// the one that goes to the trash.
    pub(crate) fn keep_blob(
        &mut self,
        may: &Granted<'tx, Push>,
        digest: &Digest,
        size: u64,
        key: &str,
        now: Micros,
        trash_at: Micros,
    ) -> Result<(), CatalogError> {
        let digest = digest.to_bytes();
        let size = i64::try_from(size).map_err(|_| CatalogError::Corrupt("size"))?;
        let values = [(&digest).into(), size.into(), key.into(), now.0.into()];
        if self.execute(&INSERT_BLOB, &values)? == 0 {
            self.row(&LOCK_BLOB, &[(&digest).into()], blob)?.ok_or(CatalogError::Corrupt("blob"))?;
            self.put_trash(key, trash_at)?;
        }
        self.execute(&LINK, &[may.package().0.into(), (&digest).into(), now.0.into()]).map(drop)
    }
}
