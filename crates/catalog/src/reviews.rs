//! Reviews: things that may have become garbage, and when to look at them.
//!
//! Whatever can orphan a thing enqueues exactly that thing in its own transaction. A worker claims due reviews in a
//! transaction of its own, which makes them due again later should the worker die, and then looks at each under the
//! locks that those who enqueue hold, the review's own row among them. So a thing is either seen as it is after the
//! change, or enqueued again behind the worker's commit: no review is lost.
//!
//! The order of locks: package, its reviews, reviews of blobs and manifests, blobs and manifests.

use crate::sql::{Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{AccountId, Collect, Granted, ManifestId, PackageId, VersionId};

/// What is reviewed. Numbers in the catalog; never given a new meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A deleted package, whose time to restore may be over.
    Package,
    /// A deleted version likewise.
    Version,
    /// A blob that was taken out of a package, and that a restored version may get back.
    Unlinked,
    /// A link that no version may need any more.
    Link,
    /// The bytes of a manifest that no version may hold any more.
    Manifest,
    /// A blob that no package may have any more.
    Blob,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::Package, Kind::Version, Kind::Unlinked, Kind::Link, Kind::Manifest, Kind::Blob];

    /// A word for it, in lists and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Package => "package",
            Kind::Version => "version",
            Kind::Unlinked => "unlinked",
            Kind::Link => "link",
            Kind::Manifest => "manifest",
            Kind::Blob => "blob",
        }
    }

    pub(crate) fn number(self) -> i64 {
        match self {
            Kind::Package => 1,
            Kind::Version => 2,
            Kind::Unlinked => 3,
            Kind::Link => 4,
            Kind::Manifest => 5,
            Kind::Blob => 6,
        }
    }

    fn from_number(number: i64) -> Result<Kind, CatalogError> {
        Kind::ALL.into_iter().find(|kind| kind.number() == number).ok_or(CatalogError::Corrupt("review"))
    }
}

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Review<'d> {
    kind: Kind,
    package: i64,
    item: i64,
    digest: &'d [u8],
}

impl<'d> Review<'d> {
    pub(crate) fn of_package(package: PackageId) -> Review<'static> {
        Review { kind: Kind::Package, package: package.0, item: 0, digest: &[] }
    }
    pub(crate) fn of_manifest(manifest: ManifestId) -> Review<'static> {
        Review { kind: Kind::Manifest, package: 0, item: manifest.0, digest: &[] }
    }
    pub(crate) fn of_blob(kind: Kind, package: PackageId, digest: &'d [u8]) -> Review<'d> {
        Review { kind, package: package.0, item: 0, digest }
    }
}

/// A review that a worker has claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claimed {
    /// What it is about.
    pub kind: Kind,
    /// Of which package; none: of things that packages share.
    pub package: Option<PackageId>,
    /// Its number.
    pub(crate) id: i64,
}

/// A claimed review as it is under its lock.
pub(crate) struct Held {
    pub(crate) id: i64,
    pub(crate) kind: Kind,
    pub(crate) item: i64,
    pub(crate) digest: Vec<u8>,
}

/// How many reviews of a kind wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The kind.
    pub kind: Kind,
    /// How many.
    pub count: u64,
    /// How many of them are due.
    pub due: u64,
    /// When the first one is due.
    pub first: Micros,
}

/// Of two times for one review the earlier one holds. The row is changed in any case, so that a worker who holds it is
/// waited for.
macro_rules! soonest {
    () => {
        " ON CONFLICT (package_id, kind, item, digest) DO UPDATE
          SET due_at = CASE WHEN reviews.due_at > excluded.due_at THEN excluded.due_at ELSE reviews.due_at END"
    };
}
pub(crate) use soonest;

statement!(
    REVIEW,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at) VALUES ($1, $2, $3, $4, $5)",
        soonest!()
    )
);
// In one order, so that two that enqueue the same never wait in a circle.
statement!(
    REVIEW_BLOBS,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at)
         SELECT 6, 0, 0, item, CAST($2 AS BIGINT) FROM {list $1} AS gone WHERE true ORDER BY item",
        soonest!()
    )
);
// A version and the parts that were deleted with it.
statement!(
    REVIEW_VERSIONS,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at)
         SELECT 2, package_id, id, {empty}, CAST($2 AS BIGINT) FROM (
           SELECT id, package_id FROM versions WHERE id = $1
           UNION SELECT id, package_id FROM versions WHERE deleted_with = $1) AS gone WHERE true ORDER BY id",
        soonest!()
    )
);
statement!(
    REVIEW_PACKAGES_OF,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at)
         SELECT 1, id, 0, {empty}, CAST($2 AS BIGINT) FROM packages
         WHERE owner_id = $1 AND deleted_at IS NOT NULL ORDER BY id",
        soonest!()
    )
);
// What a newer program enqueues is left to it.
statement!(
    CLAIM_REVIEWS,
    "UPDATE reviews SET due_at = $2
     WHERE id IN (SELECT id FROM reviews WHERE due_at <= $1 AND kind BETWEEN 1 AND 6
       ORDER BY due_at LIMIT $3 {skip})
     RETURNING id, kind, package_id"
);
statement!(
    LOCK_REVIEWS,
    "SELECT id, kind, item, digest FROM reviews WHERE id IN {numbers $1} AND package_id = $2 ORDER BY id {lock}"
);
statement!(REVIEWED, "DELETE FROM reviews WHERE id IN {numbers $1}");
statement!(
    POSTPONE_REVIEWS,
    "UPDATE reviews SET due_at = later.count FROM {counted $1} AS later WHERE reviews.id = later.id"
);
statement!(DROP_REVIEWS_OF, "DELETE FROM reviews WHERE package_id = $1");
statement!(NEXT_REVIEW, "SELECT due_at FROM reviews WHERE due_at >= 0 ORDER BY due_at LIMIT 1");
statement!(
    REVIEWS_WAITING,
    "SELECT kind, COUNT(*), CAST(COALESCE(SUM(CASE WHEN due_at <= $1 THEN 1 ELSE 0 END), 0) AS BIGINT), MIN(due_at)
     FROM reviews WHERE kind BETWEEN 1 AND 6 GROUP BY kind ORDER BY kind"
);

impl<'tx> ReadTx<'_, 'tx> {
    /// When the next review is due.
    pub fn next_review(&mut self, _may: &Granted<'tx, Collect>) -> Result<Option<Micros>, CatalogError> {
        self.row(&NEXT_REVIEW, &[], |row| row.int(0).map(Micros))
    }

    /// How many reviews wait, by kind. Reads all of them: what waits is what there is to do.
    pub fn reviews_waiting(
        &mut self,
        _may: &Granted<'tx, Collect>,
        now: Micros,
    ) -> Result<Vec<Waiting>, CatalogError> {
        self.rows(&REVIEWS_WAITING, &[now.0.into()], |row| {
            let kind = Kind::from_number(row.int(0)?)?;
            Ok(Waiting { kind, count: row.size(1)?, due: row.size(2)?, first: Micros(row.int(3)?) })
        })
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Claims at most `limit` due reviews: they are due again at `until`, should this worker not come back. In the
    /// order of their locks.
    pub fn claim_reviews(
        &mut self,
        _may: &Granted<'tx, Collect>,
        now: Micros,
        until: Micros,
        limit: u32,
    ) -> Result<Vec<Claimed>, CatalogError> {
        let values = [now.0.into(), until.0.into(), Value::Int(limit.into())];
        let mut claimed = self.rows(&CLAIM_REVIEWS, &values, |row| {
            let package = Some(row.int(2)?).filter(|id| *id != 0).map(PackageId);
            Ok(Claimed { id: row.int(0)?, kind: Kind::from_number(row.int(1)?)?, package })
        })?;
        claimed.sort_unstable_by_key(|review| {
            (review.package.is_none(), review.package, review.kind, review.id)
        });
        Ok(claimed)
    }

    /// Asks for a review, not later than `due`.
    pub(crate) fn review(&mut self, review: &Review<'_>, due: Micros) -> Result<(), CatalogError> {
        let values = [
            review.kind.number().into(),
            review.package.into(),
            review.item.into(),
            Value::Bytes(review.digest),
            due.0.into(),
        ];
        self.execute(&REVIEW, &values).map(drop)
    }

    pub(crate) fn review_blobs(&mut self, digests: &[Vec<u8>], now: Micros) -> Result<(), CatalogError> {
        if digests.is_empty() {
            return Ok(());
        }
        self.execute(&REVIEW_BLOBS, &[Value::List(digests), now.0.into()]).map(drop)
    }

    /// A version was deleted, with those that went with it.
    pub(crate) fn review_versions(&mut self, version: VersionId, now: Micros) -> Result<(), CatalogError> {
        self.execute(&REVIEW_VERSIONS, &[version.0.into(), now.0.into()]).map(drop)
    }

    /// All deleted packages of an owner.
    pub(crate) fn review_packages_of(&mut self, owner: AccountId, now: Micros) -> Result<(), CatalogError> {
        self.execute(&REVIEW_PACKAGES_OF, &[owner.0.into(), now.0.into()]).map(drop)
    }

    /// Those of the claimed reviews that are still there, their rows locked.
    pub(crate) fn lock_reviews(
        &mut self,
        package: Option<PackageId>,
        claimed: &[Claimed],
    ) -> Result<Vec<Held>, CatalogError> {
        let ids: Vec<i64> = claimed.iter().map(|review| review.id).collect();
        let package = package.map_or(0, |package| package.0);
        self.rows(&LOCK_REVIEWS, &[Value::Numbers(&ids), package.into()], |row| {
            let kind = Kind::from_number(row.int(1)?)?;
            Ok(Held { id: row.int(0)?, kind, item: row.int(2)?, digest: row.bytes(3)? })
        })
    }

    /// Forgets reviews that were done.
    pub(crate) fn reviewed(&mut self, ids: &[i64]) -> Result<(), CatalogError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.execute(&REVIEWED, &[Value::Numbers(ids)]).map(drop)
    }

    /// Puts reviews off, each to its time.
    pub(crate) fn postpone_reviews(&mut self, later: &[(i64, Micros)]) -> Result<(), CatalogError> {
        if later.is_empty() {
            return Ok(());
        }
        let triples: Vec<String> = later.iter().map(|(id, due)| format!("[{id},null,{}]", due.0)).collect();
        self.execute(&POSTPONE_REVIEWS, &[Value::Text(&format!("[{}]", triples.join(",")))]).map(drop)
    }

    /// Forgets all reviews of a package that has ended.
    pub(crate) fn drop_reviews_of(&mut self, package: PackageId) -> Result<(), CatalogError> {
        self.execute(&DROP_REVIEWS_OF, &[package.0.into()]).map(drop)
    }
}
