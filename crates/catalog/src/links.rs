//! Links: in which packages a blob is readable, and until when a link stays that nothing needs yet.
//!
//! A link is needed by every version of its package that names the blob, deleted ones that can be restored too
//! (`version_blobs`, `version_children`), and until its pin ends by whoever was told that the blob is there. A link
//! that nothing names always has a review waiting ([`crate::reviews`]). Every link is made and taken in this file.

use crate::reviews::{Kind, Review};
use crate::sql::{Value, statement};
use crate::tags::about_the_same;
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{BlobEnd, Delete, Granted, PackageId, Pull, Push, VersionId};
use packhouse_oci::Digest;
use std::collections::HashSet;

statement!(
    LINKED,
    "SELECT digest FROM package_blobs WHERE package_id = $1 AND digest IN {list $2}
       AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = package_blobs.digest AND b.damage IS NOT NULL)"
);
// How many live versions of the package $1 name a blob.
macro_rules! live_names {
    ($digest:literal) => {
        concat!(
            "(SELECT COUNT(*) FROM (
               SELECT b.version_id FROM version_blobs b CROSS JOIN versions v
                 WHERE b.package_id = $1 AND b.digest = ",
            $digest,
            " AND v.id = b.version_id AND v.deleted_at IS NULL
               UNION SELECT k.version_id FROM version_children k CROSS JOIN versions v
                 WHERE k.package_id = $1 AND k.digest = ",
            $digest,
            " AND v.id = k.version_id AND v.deleted_at IS NULL) AS names)"
        )
    };
}
statement!(
    LINK,
    concat!(
        "INSERT INTO package_blobs (package_id, digest, linked_at, pinned_until, named, counted)
         VALUES ($1, $2, $3, $4, ",
        live_names!("$2"),
        ", 1) ON CONFLICT DO NOTHING RETURNING digest"
    )
);
statement!(
    COUNT_LINK,
    "UPDATE package_blobs SET counted = 1 WHERE package_id = $1 AND digest = $2 AND counted = 0 RETURNING digest"
);
// The time is asked of the row itself, which a collector may hold: then this waits, and finds it gone or not.
statement!(
    PIN_LINK,
    "UPDATE package_blobs SET pinned_until = CASE WHEN pinned_until < $3 THEN $3 ELSE pinned_until END
     WHERE package_id = $1 AND digest = $2"
);
statement!(UNLINK, "DELETE FROM package_blobs WHERE package_id = $1 AND digest = $2 RETURNING counted");
statement!(
    REMEMBER_UNLINKED,
    "INSERT INTO package_blobs_unlinked (package_id, digest, unlinked_at) VALUES ($1, $2, $3)
     ON CONFLICT (package_id, digest) DO UPDATE SET unlinked_at = excluded.unlinked_at"
);
// Only what was linked here once: a manifest may name blobs that were never readable in this package.
// (A plus before a column keeps SQLite from choosing an index by it: the package has many versions, the whole few.)
statement!(
    LINK_AGAIN,
    concat!(
        "INSERT INTO package_blobs (package_id, digest, linked_at, named, counted)
     SELECT DISTINCT u.package_id, u.digest, CAST($3 AS BIGINT), ",
        live_names!("u.digest"),
        ", 1
     FROM (SELECT id FROM versions WHERE id = $2 AND package_id = $1
           UNION ALL SELECT id FROM versions WHERE deleted_with = $2 AND +package_id = $1
             AND deleted_at IS NULL) AS whole
     CROSS JOIN version_blobs r CROSS JOIN package_blobs_unlinked u CROSS JOIN blobs b
     WHERE r.version_id = whole.id
       AND u.package_id = $1 AND u.digest = r.digest AND b.digest = u.digest
     ON CONFLICT DO NOTHING RETURNING digest"
    )
);
statement!(
    FORGET_UNLINKED,
    "DELETE FROM package_blobs_unlinked WHERE package_id = $1 AND digest IN (
       SELECT r.digest FROM (SELECT id FROM versions WHERE id = $2 AND package_id = $1
           UNION ALL SELECT id FROM versions WHERE deleted_with = $2 AND +package_id = $1
             AND deleted_at IS NULL) AS whole
       CROSS JOIN version_blobs r CROSS JOIN package_blobs l
       WHERE r.version_id = whole.id
         AND l.package_id = $1 AND l.digest = r.digest)"
);
statement!(
    DROP_LINKS,
    "DELETE FROM package_blobs WHERE package_id = $1 AND digest IN {list $2} AND pinned_until <= $3
       AND NOT EXISTS (SELECT 1 FROM version_blobs v
                       WHERE v.package_id = package_blobs.package_id AND v.digest = package_blobs.digest)
       AND NOT EXISTS (SELECT 1 FROM version_children v
                       WHERE v.package_id = package_blobs.package_id AND v.digest = package_blobs.digest)
     RETURNING digest, counted"
);
statement!(
    DROP_LINKS_OF,
    "DELETE FROM package_blobs WHERE package_id = $1 AND digest IN (
       SELECT digest FROM package_blobs WHERE package_id = $1 ORDER BY digest LIMIT $2) RETURNING digest"
);
statement!(
    DROP_UNLINKED,
    "DELETE FROM package_blobs_unlinked WHERE package_id = $1 AND digest IN {list $2} AND unlinked_at < $3
     RETURNING digest"
);
statement!(
    DROP_UNLINKED_OF,
    "DELETE FROM package_blobs_unlinked WHERE package_id = $1 AND digest IN (
       SELECT digest FROM package_blobs_unlinked WHERE package_id = $1 ORDER BY digest LIMIT $2) RETURNING digest"
);

impl<'tx> ReadTx<'_, 'tx> {
    /// Those of `digests` that the package does not have, or only damaged, in their order.
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
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Makes a blob of one package readable in another, and keeps it there until `pinned_until`; whether the first
    /// has it.
    pub fn mount_blob(
        &mut self,
        into: &Granted<'tx, Push>,
        from: &Granted<'tx, Pull>,
        digest: &Digest,
        now: Micros,
        pinned_until: Micros,
    ) -> Result<bool, CatalogError> {
        let digest = digest.to_bytes();
        // The blob's row first, so that what collects blobs and this cannot pass each other. Both statements run
        // whatever the first finds: a blob that only others may read takes as long as none (CVE-2024-39897).
        let locked = self.lock_blob(&digest)?;
        let held = self.readable(from.package(), &digest)?;
        if !locked || held.is_none() {
            return Ok(false);
        }
        self.link(into.package(), &digest, now, pinned_until)?;
        Ok(true)
    }

    /// Keeps a blob readable in the package until a time, though nothing may name it; whether it is there. Who is
    /// told that a blob is there may build on it.
    pub fn pin_blob(
        &mut self,
        may: &Granted<'tx, Push>,
        digest: &Digest,
        until: Micros,
    ) -> Result<bool, CatalogError> {
        let digest = digest.to_bytes();
        Ok(self.execute(&PIN_LINK, &[may.package().0.into(), (&digest).into(), until.0.into()])? > 0)
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
        let digest = end.digest();
        let values = [may.package().0.into(), digest.into()];
        let Some(counted) = self.row(&UNLINK, &values, |row| Ok(row.int(0)? != 0))? else { return Ok(false) };
        self.execute(&REMEMBER_UNLINKED, &[values[0], values[1], now.0.into()])?;
        self.review(&Review::of_blob(Kind::Unlinked, may.package(), digest), now)?;
        if counted {
            self.uncount_links(may.package(), &[digest.to_vec()])?;
        }
        Ok(true)
    }

    /// Makes a blob, whose row is locked, readable in the package.
    pub(crate) fn link(
        &mut self,
        package: PackageId,
        digest: &Vec<u8>,
        now: Micros,
        pinned_until: Micros,
    ) -> Result<(), CatalogError> {
        let values = [package.0.into(), digest.into(), now.0.into(), pinned_until.0.into()];
        let mut counted = self.rows(&LINK, &values, |row| row.bytes(0))?;
        if counted.is_empty() {
            self.execute(&PIN_LINK, &[values[0], values[1], values[3]])?;
            counted = self.rows(&COUNT_LINK, &values[..2], |row| row.bytes(0))?;
        }
        self.review(&Review::of_blob(Kind::Link, package, digest), pinned_until)?;
        self.count_links(package, &counted)
    }

    /// Gives a version that was restored, and what came back with it, the blobs that were taken out of the package.
    pub(crate) fn link_again(
        &mut self,
        package: PackageId,
        version: VersionId,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let values = [package.0.into(), version.0.into(), now.0.into()];
        let linked = self.rows(&LINK_AGAIN, &values, |row| row.bytes(0))?;
        self.execute(&FORGET_UNLINKED, &values[..2])?;
        self.count_links(package, &linked)
    }

    /// Takes the links that nothing names and nobody pins; returns their blobs, which are reviewed next. The
    /// package's row is locked: nobody names a blob meanwhile.
    pub(crate) fn drop_links(
        &mut self,
        package: PackageId,
        digests: &[Vec<u8>],
        now: Micros,
    ) -> Result<Vec<Vec<u8>>, CatalogError> {
        let values = [package.0.into(), Value::List(digests), now.0.into()];
        let dropped = self.rows(&DROP_LINKS, &values, |row| Ok((row.bytes(0)?, row.int(1)? != 0)))?;
        let counted: Vec<Vec<u8>> =
            dropped.iter().filter(|(_, counted)| *counted).map(|(digest, _)| digest.clone()).collect();
        let dropped: Vec<Vec<u8>> = dropped.into_iter().map(|(digest, _)| digest).collect();
        self.review_blobs(&dropped, now)?;
        self.uncount_links(package, &counted)?;
        Ok(dropped)
    }

    /// Forgets blobs that were taken out of the package before `since`; returns them.
    pub(crate) fn drop_unlinked(
        &mut self,
        package: PackageId,
        digests: &[Vec<u8>],
        since: Micros,
        now: Micros,
    ) -> Result<Vec<Vec<u8>>, CatalogError> {
        let values = [package.0.into(), Value::List(digests), since.0.into()];
        let dropped = self.rows(&DROP_UNLINKED, &values, |row| row.bytes(0))?;
        self.review_blobs(&dropped, now)?;
        Ok(dropped)
    }

    /// Takes at most `limit` links of a package that is ending, whatever they are for, and what is remembered of
    /// those that were; returns how many.
    pub(crate) fn drop_links_of(
        &mut self,
        package: PackageId,
        limit: u32,
        now: Micros,
    ) -> Result<usize, CatalogError> {
        let values = [package.0.into(), Value::Int(limit.into())];
        let mut dropped = self.rows(&DROP_LINKS_OF, &values, |row| row.bytes(0))?;
        dropped.extend(self.rows(&DROP_UNLINKED_OF, &values, |row| row.bytes(0))?);
        dropped.sort_unstable();
        dropped.dedup();
        self.review_blobs(&dropped, now)?;
        Ok(dropped.len())
    }
}
