//! Damage: blobs whose bytes are not what they should be. They answer as if they were not there, so that clients push
//! them again, and whoever does puts whole bytes in their place for all packages. Manifests likewise
//! (`scrub_manifests.rs`).

use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{Collect, Granted, Scrub};
use packhouse_oci::Digest;

/// What is wrong with a blob's bytes. Numbers in the catalog; never given a new meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobDamage {
    /// There are none.
    Missing,
    /// There are more or fewer.
    Length,
    /// They hash to something else.
    Bytes,
    /// The disk does not give them.
    Unreadable,
}

impl BlobDamage {
    const ALL: [BlobDamage; 4] =
        [BlobDamage::Missing, BlobDamage::Length, BlobDamage::Bytes, BlobDamage::Unreadable];

    fn number(self) -> i64 {
        match self {
            BlobDamage::Missing => 1,
            BlobDamage::Length => 2,
            BlobDamage::Bytes => 3,
            BlobDamage::Unreadable => 4,
        }
    }

    fn from_number(number: i64) -> Result<BlobDamage, CatalogError> {
        let found = BlobDamage::ALL.into_iter().find(|damage| damage.number() == number);
        found.ok_or(CatalogError::Corrupt("damage"))
    }
}

/// A blob as a scrub finds it in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubbedBlob {
    /// Its digest.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// Where they lie.
    pub key: String,
    /// What an earlier scrub found.
    pub damage: Option<BlobDamage>,
    /// No package has it, none can get it back, and no review waits to find that out.
    pub orphan: bool,
}

/// How much is quarantined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DamageTotal {
    /// Blobs.
    pub blobs: u64,
    /// Manifests.
    pub manifests: u64,
}

statement!(
    DAMAGED_BLOB,
    "SELECT storage_key, size FROM blobs WHERE digest = $1 AND damage IS NOT NULL {lock}"
);
statement!(
    HEAL_BLOB,
    "UPDATE blobs SET size = $2, storage_key = $3, damage = NULL, damaged_at = NULL WHERE digest = $1"
);
statement!(
    SCRUB_BLOBS,
    "SELECT b.digest, b.size, b.storage_key, COALESCE(b.damage, 0),
       CAST(CASE WHEN EXISTS (SELECT 1 FROM package_blobs l WHERE l.digest = b.digest)
           OR EXISTS (SELECT 1 FROM package_blobs_unlinked l WHERE l.digest = b.digest)
           OR EXISTS (SELECT 1 FROM reviews r WHERE r.package_id = 0 AND r.kind = 6 AND r.item = 0
             AND r.digest = b.digest) THEN 0 ELSE 1 END AS BIGINT)
     FROM blobs b WHERE b.digest > $1 ORDER BY b.digest LIMIT $2"
);
statement!(
    ORPHAN_BLOB,
    "SELECT b.digest FROM blobs b WHERE b.digest = $1
       AND NOT EXISTS (SELECT 1 FROM package_blobs l WHERE l.digest = b.digest)
       AND NOT EXISTS (SELECT 1 FROM package_blobs_unlinked l WHERE l.digest = b.digest)
       AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.package_id = 0 AND r.kind = 6 AND r.item = 0
         AND r.digest = b.digest)"
);
statement!(BLOB_LIES_AT, "SELECT digest FROM blobs WHERE digest = $1 AND storage_key = $2");
// By its key: a blob that was healed or pushed again since is another one's business.
statement!(
    MARK_BLOB,
    "UPDATE blobs SET damage = $3, damaged_at = COALESCE(damaged_at, $4) WHERE digest = $1 AND storage_key = $2"
);
statement!(
    UNMARK_BLOB,
    "UPDATE blobs SET damage = NULL, damaged_at = NULL, size = $3 WHERE digest = $1 AND storage_key = $2"
);
statement!(
    PACKAGES_OF_BLOB,
    "SELECT p.path FROM package_blobs l JOIN packages p ON p.id = l.package_id
     WHERE l.digest = $1 ORDER BY l.package_id LIMIT $2"
);
statement!(
    DAMAGED_OF_SIZE,
    "SELECT digest FROM blobs WHERE damage IS NOT NULL AND size = $1 ORDER BY digest LIMIT $2"
);
statement!(
    DAMAGED_BLOBS,
    "SELECT digest, size, storage_key, damage FROM blobs WHERE damage IS NOT NULL AND size >= 0
     ORDER BY size, digest LIMIT $1"
);
statement!(DAMAGED_BLOBS_TOTAL, "SELECT COUNT(*) FROM blobs WHERE damage IS NOT NULL");
statement!(DAMAGED_MANIFESTS_TOTAL, "SELECT COUNT(*) FROM manifests WHERE damaged_at IS NOT NULL");

fn scrubbed(row: &Row<'_>) -> Result<ScrubbedBlob, CatalogError> {
    let damage = Some(row.int(3)?).filter(|number| *number != 0);
    Ok(ScrubbedBlob {
        digest: row.digest(0)?,
        size: row.size(1)?,
        key: row.text(2)?,
        damage: damage.map(BlobDamage::from_number).transpose()?,
        orphan: false,
    })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// Blobs behind a digest in the order of digests, at most `limit`; fewer only at the end.
    pub fn scrub_blobs(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        after: Option<&Digest>,
        limit: u32,
    ) -> Result<Vec<ScrubbedBlob>, CatalogError> {
        let after = after.map(Digest::to_bytes).unwrap_or_default();
        self.rows(&SCRUB_BLOBS, &[(&after).into(), Value::Int(limit.into())], |row| {
            Ok(ScrubbedBlob { orphan: row.int(4)? != 0, ..scrubbed(row)? })
        })
    }

    /// Whether the blob is still there, and still lies where it lay.
    pub fn is_still_there(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        blob: &ScrubbedBlob,
    ) -> Result<bool, CatalogError> {
        let digest = blob.digest.to_bytes();
        Ok(self.row(&BLOB_LIES_AT, &[(&digest).into(), blob.key.as_str().into()], |_| Ok(()))?.is_some())
    }

    /// Paths of packages that have the blob, at most `limit`.
    pub fn packages_of_blob(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        digest: &Digest,
        limit: u32,
    ) -> Result<Vec<String>, CatalogError> {
        let digest = digest.to_bytes();
        self.rows(&PACKAGES_OF_BLOB, &[(&digest).into(), Value::Int(limit.into())], |row| row.text(0))
    }

    /// Digests of damaged blobs of that many bytes, at most `limit`.
    pub fn damaged_of_size(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        size: u64,
        limit: u32,
    ) -> Result<Vec<Digest>, CatalogError> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.rows(&DAMAGED_OF_SIZE, &[size.into(), Value::Int(limit.into())], |row| row.digest(0))
    }

    /// Damaged blobs, at most `limit`.
    pub fn damaged_blobs(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        limit: u32,
    ) -> Result<Vec<ScrubbedBlob>, CatalogError> {
        self.rows(&DAMAGED_BLOBS, &[Value::Int(limit.into())], scrubbed)
    }

    /// How much is quarantined. Reads a small index.
    pub fn damage_total(&mut self, _may: &Granted<'tx, Collect>) -> Result<DamageTotal, CatalogError> {
        let blobs = self.row(&DAMAGED_BLOBS_TOTAL, &[], |row| row.size(0))?.unwrap_or(0);
        let manifests = self.row(&DAMAGED_MANIFESTS_TOTAL, &[], |row| row.size(0))?.unwrap_or(0);
        Ok(DamageTotal { blobs, manifests })
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Treats a blob as not there until it is pushed again; `false` when it is not there any more, or lies elsewhere.
    pub fn quarantine_blob(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        blob: &ScrubbedBlob,
        damage: BlobDamage,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let digest = blob.digest.to_bytes();
        let values = [(&digest).into(), blob.key.as_str().into(), damage.number().into(), Value::Int(now.0)];
        Ok(self.execute(&MARK_BLOB, &values)? > 0)
    }

    /// Whether no package has a blob and no review waits to find that out; if so, and it is to be repaired, one does.
    pub fn review_orphan(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        digest: &Digest,
        repair: bool,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let digest = digest.to_bytes();
        if self.row(&ORPHAN_BLOB, &[(&digest).into()], |_| Ok(()))?.is_none() {
            return Ok(false);
        }
        if repair {
            self.review_blobs(&[digest], now)?;
        }
        Ok(true)
    }

    /// A blob whose bytes were found to be right, and so many.
    pub fn blob_is_whole(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        blob: &ScrubbedBlob,
        size: u64,
    ) -> Result<bool, CatalogError> {
        let digest = blob.digest.to_bytes();
        let size = i64::try_from(size).map_err(|_| CatalogError::Corrupt("size"))?;
        let values = [(&digest).into(), blob.key.as_str().into(), Value::Int(size)];
        Ok(self.execute(&UNMARK_BLOB, &values)? > 0)
    }

    /// Puts bytes that were found to be a damaged blob's, under a key that nothing names, in its place. `false`: it is
    /// whole by now, or the key is named.
    pub fn rescue_blob(
        &mut self,
        may: &Granted<'tx, Scrub>,
        digest: &Digest,
        size: u64,
        key: &str,
        now: Micros,
        trash_at: Micros,
    ) -> Result<bool, CatalogError> {
        if self.is_key_named(may, key)? {
            return Ok(false);
        }
        let digest = digest.to_bytes();
        let size = i64::try_from(size).map_err(|_| CatalogError::Corrupt("size"))?;
        self.heal_blob(&[(&digest).into(), size.into(), key.into(), now.0.into()], trash_at)
    }

    /// Gives a damaged blob whole bytes: digest, size, key and time as for a new one. Its old key goes to the trash, not
    /// to be removed before `trash_at`. `false`: there is no such blob, or it is not damaged.
    pub(crate) fn heal_blob(&mut self, values: &[Value<'_>], trash_at: Micros) -> Result<bool, CatalogError> {
        let &[digest, size, key, Value::Int(now)] = values else {
            return Err(CatalogError::Corrupt("blob"));
        };
        let found = self.row(&DAMAGED_BLOB, &[digest], |row| Ok((row.text(0)?, row.size(1)?)))?;
        let Some((old, bytes)) = found else { return Ok(false) };
        self.execute(&HEAL_BLOB, &[digest, size, key])?;
        self.put_trash(&old, bytes, Micros(now), trash_at)?;
        Ok(true)
    }
}
