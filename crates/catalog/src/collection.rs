//! Collection: what a worker does with the reviews it has claimed.
//!
//! Each function here is the whole of one transaction: it locks what the claimed reviews are about, looks at it in
//! statements of their own (one that locks and looks at once would see what was before the lock), removes what nothing
//! needs, and enqueues what may have lost its last reason by that. Nothing is scanned: the rows that are read are those
//! of the reviews and of what they lead to.

use crate::reviews::{Claimed, Held, Kind, Review, soonest};
use crate::sql::{Value, statement};
use crate::{CatalogError, Micros, WriteTx};
use packhouse_access::{Collect, Granted, ManifestId, PackageId, VersionId};
use packhouse_oci::Digest;

/// Versions of a package that is ending which one transaction removes.
const VERSIONS_AT_ONCE: u32 = 500;
/// Links of such a package likewise.
const LINKS_AT_ONCE: u32 = 2_000;

/// What is garbage now.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {
    /// The time.
    pub now: Micros,
    /// What was deleted before can be restored no more.
    pub restorable_since: Micros,
    /// When the bytes of a blob that is collected now may go.
    pub trash_at: Micros,
}

impl Judgement {
    /// When what was deleted at `deleted` can be restored no more.
    fn end_of(&self, deleted: Micros) -> Micros {
        let kept = self.now.0.saturating_sub(self.restorable_since.0);
        Micros(deleted.0.saturating_add(kept).saturating_add(1))
    }
}

/// Something that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A deleted package, with its name, roles and history.
    Package {
        /// Its path when it was deleted.
        path: String,
    },
    /// A deleted version.
    Version {
        /// Its package's path.
        path: String,
        /// Its manifest's digest.
        digest: Digest,
    },
    /// A blob is not readable in a package any more, or not to be brought back there.
    Link {
        /// The package's path.
        path: String,
        /// The blob.
        digest: Digest,
    },
    /// The bytes of a manifest.
    Manifest {
        /// Its digest.
        digest: Digest,
        /// How many.
        size: u64,
    },
    /// A blob: its bytes lie in the trash now.
    Blob {
        /// Its digest.
        digest: Digest,
        /// How many.
        size: u64,
    },
}

statement!(LOCK_PACKAGE_BY_ID, "SELECT path, deleted_at FROM packages WHERE id = $1 {lock}");
statement!(
    VERSIONS_ENDED,
    "SELECT v.id, v.digest FROM {numbers $2} AS asked CROSS JOIN versions v
     WHERE v.id = asked.item AND v.package_id = $1 AND v.deleted_at < $3 ORDER BY v.id"
);
statement!(
    VERSIONS_DELETED_AT,
    "SELECT v.id, v.deleted_at FROM {numbers $2} AS asked CROSS JOIN versions v
     WHERE v.id = asked.item AND v.package_id = $1 AND v.deleted_at IS NOT NULL"
);
statement!(VERSIONS_OF, "SELECT id, digest FROM versions WHERE package_id = $1 LIMIT $2");
statement!(
    REVIEW_LINKS_OF,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at)
         SELECT 4, l.package_id, 0, l.digest, CAST($3 AS BIGINT) FROM (
           SELECT b.digest FROM {numbers $2} AS asked CROSS JOIN version_blobs b WHERE b.version_id = asked.item
           UNION SELECT k.digest FROM {numbers $2} AS asked CROSS JOIN version_children k
             WHERE k.version_id = asked.item) AS named
         CROSS JOIN package_blobs l WHERE l.package_id = $1 AND l.digest = named.digest ORDER BY l.digest",
        soonest!()
    )
);
statement!(
    REVIEW_MANIFESTS_OF,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at)
         SELECT 5, 0, manifest_id, {empty}, CAST($2 AS BIGINT) FROM (
           SELECT DISTINCT v.manifest_id FROM {numbers $1} AS asked CROSS JOIN versions v WHERE v.id = asked.item) AS held
         WHERE true ORDER BY manifest_id",
        soonest!()
    )
);
statement!(END_VERSION_BLOBS, "DELETE FROM version_blobs WHERE version_id IN {numbers $1}");
statement!(END_VERSION_CHILDREN, "DELETE FROM version_children WHERE version_id IN {numbers $1}");
statement!(END_VERSION_TAGS, "DELETE FROM tags WHERE version_id IN {numbers $1}");
statement!(END_VERSIONS, "DELETE FROM versions WHERE id IN {numbers $1}");
statement!(
    LINKS_PINNED,
    "SELECT l.digest, l.pinned_until FROM {list $2} AS asked CROSS JOIN package_blobs l
     WHERE l.package_id = $1 AND l.digest = asked.item AND l.pinned_until > $3"
);
statement!(
    UNLINKED_AT,
    "SELECT u.digest, u.unlinked_at FROM {list $2} AS asked CROSS JOIN package_blobs_unlinked u
     WHERE u.package_id = $1 AND u.digest = asked.item"
);
// Its sessions end with the next sweep, and their bytes with them.
statement!(EXPIRE_UPLOADS_OF, "UPDATE uploads SET expires_at = $2 WHERE package_id = $1");
statement!(END_GRANTS_OF, "DELETE FROM package_grants WHERE package_id = $1");
statement!(END_TEAM_GRANTS_OF, "DELETE FROM package_teams WHERE package_id = $1");
statement!(END_WORKFLOW_GRANTS_OF, "DELETE FROM package_repositories WHERE package_id = $1");
statement!(END_REDIRECTS_TO, "DELETE FROM redirects WHERE package_id = $1");
statement!(END_LIMITS_OF, "DELETE FROM token_limits WHERE package_id = $1");
statement!(END_RULES_OF, "DELETE FROM tag_rules WHERE package_id = $1");
statement!(END_RETENTION_OF, "DELETE FROM retention WHERE package_id = $1");
statement!(END_TAG_DOWNLOADS_OF, "DELETE FROM tag_downloads WHERE package_id = $1");
statement!(END_PACKAGE, "DELETE FROM packages WHERE id = $1");
statement!(LOCK_MANIFESTS, "SELECT id FROM manifests WHERE id IN {numbers $1} ORDER BY id {lock}");
statement!(
    END_MANIFEST_REFS,
    "DELETE FROM manifest_refs WHERE manifest_id IN (
       SELECT m.id FROM {numbers $1} AS asked CROSS JOIN manifests m WHERE m.id = asked.item
         AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.manifest_id = m.id))"
);
statement!(
    END_MANIFESTS,
    "DELETE FROM manifests WHERE id IN {numbers $1}
       AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.manifest_id = manifests.id) RETURNING digest, size"
);
statement!(LOCK_BLOBS, "SELECT digest FROM blobs WHERE digest IN {list $1} ORDER BY digest {lock}");
statement!(
    END_BLOBS,
    "DELETE FROM blobs WHERE digest IN {list $1}
       AND NOT EXISTS (SELECT 1 FROM package_blobs l WHERE l.digest = blobs.digest)
       AND NOT EXISTS (SELECT 1 FROM package_blobs_unlinked l WHERE l.digest = blobs.digest)
     RETURNING digest, size"
);
statement!(
    COUNT_COLLECTED,
    "INSERT INTO collected (name, things, bytes) VALUES ($1, $2, $3)
     ON CONFLICT (name) DO UPDATE SET things = collected.things + excluded.things,
       bytes = collected.bytes + excluded.bytes"
);
statement!(COLLECTED, "SELECT name, things, bytes FROM collected ORDER BY name");

impl WriteTx<'_, '_> {
    /// A version holds the same bytes under another media type: what it named before is forgotten, and reviewed.
    pub(crate) fn forget_named(
        &mut self,
        package: PackageId,
        version: VersionId,
        held: ManifestId,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let ids = [version.0];
        let ids = Value::Numbers(&ids);
        self.execute(&REVIEW_LINKS_OF, &[package.0.into(), ids, now.0.into()])?;
        self.execute(&END_VERSION_BLOBS, &[ids])?;
        self.execute(&END_VERSION_CHILDREN, &[ids])?;
        self.review(&Review::of_manifest(held), now)
    }

    /// Looks at claimed reviews of one package, and removes what is over.
    pub fn collect_in_package<'tx>(
        &mut self,
        _may: &Granted<'tx, Collect>,
        package: PackageId,
        claimed: &[Claimed],
        judgement: &Judgement,
    ) -> Result<Vec<Removed>, CatalogError> {
        let found = self.row(&LOCK_PACKAGE_BY_ID, &[package.0.into()], |row| {
            Ok((row.text(0)?, row.int_or_null(1)?.map(Micros)))
        })?;
        let held = self.lock_reviews(Some(package), claimed)?;
        let Some((path, deleted_at)) = found else {
            let ids: Vec<i64> = held.iter().map(|review| review.id).collect();
            self.reviewed(&ids)?;
            return Ok(Vec::new());
        };
        let mut desk = Desk { package, path, judgement: *judgement, removed: Vec::new() };
        let of = |kind| held.iter().filter(move |review| review.kind == kind).collect::<Vec<&Held>>();
        for review in of(Kind::Package) {
            if desk.end_package(self, review, deleted_at)? {
                return Ok(desk.removed);
            }
        }
        desk.end_versions(self, &of(Kind::Version))?;
        desk.end_unlinked(self, &of(Kind::Unlinked))?;
        desk.end_links(self, &of(Kind::Link))?;
        Ok(desk.removed)
    }

    /// Looks at claimed reviews of manifests, and removes those that no version holds.
    pub fn collect_manifests<'tx>(
        &mut self,
        _may: &Granted<'tx, Collect>,
        claimed: &[Claimed],
    ) -> Result<Vec<Removed>, CatalogError> {
        let held = self.lock_reviews(None, claimed)?;
        let manifests: Vec<i64> =
            held.iter().filter(|review| review.kind == Kind::Manifest).map(|review| review.item).collect();
        let ids: Vec<i64> =
            held.iter().filter(|review| review.kind == Kind::Manifest).map(|review| review.id).collect();
        if manifests.is_empty() {
            return Ok(Vec::new());
        }
        let values = [Value::Numbers(&manifests)];
        self.rows(&LOCK_MANIFESTS, &values, |_| Ok(()))?;
        self.execute(&END_MANIFEST_REFS, &values)?;
        let removed = self.rows(&END_MANIFESTS, &values, |row| {
            Ok(Removed::Manifest { digest: row.digest(0)?, size: row.size(1)? })
        })?;
        self.reviewed(&ids)?;
        Ok(removed)
    }

    /// Looks at claimed reviews of blobs, and removes those that no package has. Their bytes go to the trash.
    pub fn collect_blobs<'tx>(
        &mut self,
        _may: &Granted<'tx, Collect>,
        claimed: &[Claimed],
        judgement: &Judgement,
    ) -> Result<Vec<Removed>, CatalogError> {
        let held = self.lock_reviews(None, claimed)?;
        let blobs: Vec<&Held> = held.iter().filter(|review| review.kind == Kind::Blob).collect();
        if blobs.is_empty() {
            return Ok(Vec::new());
        }
        let mut digests: Vec<Vec<u8>> = blobs.iter().map(|review| review.digest.clone()).collect();
        digests.sort_unstable();
        let values = [Value::List(&digests)];
        self.rows(&LOCK_BLOBS, &values, |_| Ok(()))?;
        self.trash_blobs(&digests, judgement.now, judgement.trash_at)?;
        let removed = self.rows(&END_BLOBS, &values, |row| {
            Ok(Removed::Blob { digest: row.digest(0)?, size: row.size(1)? })
        })?;
        let ids: Vec<i64> = blobs.iter().map(|review| review.id).collect();
        self.reviewed(&ids)?;
        Ok(removed)
    }

    /// Adds to what was collected since the first start: a name of the caller's, how many things, how many bytes. The
    /// last thing of a transaction: all workers share these rows. In the order of names, so that none waits in a
    /// circle.
    pub fn count_collected<'tx>(
        &mut self,
        _may: &Granted<'tx, Collect>,
        sums: &[(&'static str, u64, u64)],
    ) -> Result<(), CatalogError> {
        let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let mut sums = sums.to_vec();
        sums.sort_unstable();
        for (name, things, bytes) in sums {
            self.execute(&COUNT_COLLECTED, &[name.into(), number(things), number(bytes)])?;
        }
        Ok(())
    }
}

impl<'tx> crate::ReadTx<'_, 'tx> {
    /// What was collected since the first start: names, things, bytes.
    pub fn collected(
        &mut self,
        _may: &Granted<'tx, Collect>,
    ) -> Result<Vec<(String, u64, u64)>, CatalogError> {
        self.rows(&COLLECTED, &[], |row| Ok((row.text(0)?, row.size(1)?, row.size(2)?)))
    }
}

/// One package under its lock.
struct Desk {
    package: PackageId,
    path: String,
    judgement: Judgement,
    removed: Vec<Removed>,
}

impl Desk {
    /// Removes a deleted package whose time is over, piece by piece; whether it is deleted and so nothing else of it
    /// is to be looked at.
    fn end_package(
        &mut self,
        tx: &mut WriteTx<'_, '_>,
        review: &Held,
        deleted_at: Option<Micros>,
    ) -> Result<bool, CatalogError> {
        let Judgement { now, restorable_since, .. } = self.judgement;
        let Some(deleted_at) = deleted_at else {
            // It was restored.
            tx.reviewed(&[review.id])?;
            return Ok(false);
        };
        if deleted_at >= restorable_since {
            tx.postpone_reviews(&[(review.id, self.judgement.end_of(deleted_at))])?;
            return Ok(false);
        }
        let package = Value::Int(self.package.0);
        let versions = tx.rows(&VERSIONS_OF, &[package, Value::Int(VERSIONS_AT_ONCE.into())], |row| {
            Ok((row.int(0)?, row.digest(1)?))
        })?;
        self.remove_versions(tx, &versions)?;
        let links = tx.drop_links_of(self.package, LINKS_AT_ONCE, now)?;
        let uploads = tx.execute(&EXPIRE_UPLOADS_OF, &[package, now.0.into()])?;
        if versions.len() == VERSIONS_AT_ONCE as usize || links >= LINKS_AT_ONCE as usize {
            tx.postpone_reviews(&[(review.id, now)])?;
            return Ok(true);
        }
        if uploads > 0 {
            tx.postpone_reviews(&[(review.id, now.plus_seconds(1))])?;
            return Ok(true);
        }
        for statement in [
            &END_GRANTS_OF,
            &END_TEAM_GRANTS_OF,
            &END_WORKFLOW_GRANTS_OF,
            &END_REDIRECTS_TO,
            &END_LIMITS_OF,
            &END_TAG_DOWNLOADS_OF,
            &END_RULES_OF,
            &END_RETENTION_OF,
            &END_PACKAGE,
        ] {
            tx.execute(statement, &[package])?;
        }
        tx.drop_reviews_of(self.package)?;
        self.removed.push(Removed::Package { path: self.path.clone() });
        Ok(true)
    }

    fn end_versions(&mut self, tx: &mut WriteTx<'_, '_>, reviews: &[&Held]) -> Result<(), CatalogError> {
        if reviews.is_empty() {
            return Ok(());
        }
        let versions: Vec<i64> = reviews.iter().map(|review| review.item).collect();
        let values = [self.package.0.into(), Value::Numbers(&versions)];
        let since = self.judgement.restorable_since.0.into();
        let ended = tx
            .rows(&VERSIONS_ENDED, &[values[0], values[1], since], |row| Ok((row.int(0)?, row.digest(1)?)))?;
        self.remove_versions(tx, &ended)?;
        let waiting = tx.rows(&VERSIONS_DELETED_AT, &values, |row| Ok((row.int(0)?, Micros(row.int(1)?))))?;
        let due = |review: &Held| {
            let at = waiting.iter().find(|(version, _)| *version == review.item)?.1;
            Some(self.judgement.end_of(at))
        };
        settle(tx, reviews, due)
    }

    fn remove_versions(
        &mut self,
        tx: &mut WriteTx<'_, '_>,
        versions: &[(i64, Digest)],
    ) -> Result<(), CatalogError> {
        if versions.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = versions.iter().map(|(id, _)| *id).collect();
        let (ids, now) = (Value::Numbers(&ids), Value::Int(self.judgement.now.0));
        tx.execute(&REVIEW_LINKS_OF, &[self.package.0.into(), ids, now])?;
        tx.execute(&REVIEW_MANIFESTS_OF, &[ids, now])?;
        for statement in [&END_VERSION_BLOBS, &END_VERSION_CHILDREN, &END_VERSION_TAGS, &END_VERSIONS] {
            tx.execute(statement, &[ids])?;
        }
        let path = &self.path;
        self.removed.extend(
            versions.iter().map(|(_, digest)| Removed::Version { path: path.clone(), digest: *digest }),
        );
        Ok(())
    }

    fn end_unlinked(&mut self, tx: &mut WriteTx<'_, '_>, reviews: &[&Held]) -> Result<(), CatalogError> {
        if reviews.is_empty() {
            return Ok(());
        }
        let digests = digests(reviews);
        let Judgement { now, restorable_since, .. } = self.judgement;
        let dropped = tx.drop_unlinked(self.package, &digests, restorable_since, now)?;
        self.note_links(&dropped)?;
        let values = [self.package.0.into(), Value::List(&digests)];
        let waiting = tx.rows(&UNLINKED_AT, &values, |row| Ok((row.bytes(0)?, Micros(row.int(1)?))))?;
        let due = |review: &Held| {
            let at = waiting.iter().find(|(digest, _)| *digest == review.digest)?.1;
            Some(self.judgement.end_of(at))
        };
        settle(tx, reviews, due)
    }

    fn end_links(&mut self, tx: &mut WriteTx<'_, '_>, reviews: &[&Held]) -> Result<(), CatalogError> {
        if reviews.is_empty() {
            return Ok(());
        }
        let digests = digests(reviews);
        let now = self.judgement.now;
        let dropped = tx.drop_links(self.package, &digests, now)?;
        self.note_links(&dropped)?;
        let values = [self.package.0.into(), Value::List(&digests), now.0.into()];
        let pinned = tx.rows(&LINKS_PINNED, &values, |row| Ok((row.bytes(0)?, Micros(row.int(1)?))))?;
        let due = |review: &Held| Some(pinned.iter().find(|(digest, _)| *digest == review.digest)?.1);
        settle(tx, reviews, due)
    }

    fn note_links(&mut self, dropped: &[Vec<u8>]) -> Result<(), CatalogError> {
        for digest in dropped {
            let digest = Digest::from_bytes(digest).ok_or(CatalogError::Corrupt("digest"))?;
            self.removed.push(Removed::Link { path: self.path.clone(), digest });
        }
        Ok(())
    }
}

fn digests(reviews: &[&Held]) -> Vec<Vec<u8>> {
    reviews.iter().map(|review| review.digest.clone()).collect()
}

/// Puts off those reviews that have a later time, and forgets the others.
fn settle(
    tx: &mut WriteTx<'_, '_>,
    reviews: &[&Held],
    due: impl Fn(&Held) -> Option<Micros>,
) -> Result<(), CatalogError> {
    let mut done = Vec::new();
    let mut later = Vec::new();
    for review in reviews {
        match due(review) {
            Some(due) => later.push((review.id, due)),
            None => done.push(review.id),
        }
    }
    tx.reviewed(&done)?;
    tx.postpone_reviews(&later)
}
