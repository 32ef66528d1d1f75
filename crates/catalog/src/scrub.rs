//! A scrub's look at the catalog itself: rows that point to nothing, counters, and what is noted twice.
//!
//! What is looked at is a range of numbers of one table, on one snapshot, where all of this is consistent: whoever changes
//! one of two rows changes both in one transaction. What is repaired is locked before, package first, as pushes do, and
//! each repair asks again in its own statement, so that what changed meanwhile is left alone.

use crate::collection::{
    END_VERSION_BLOBS, END_VERSION_CHILDREN, END_VERSION_TAGS, END_VERSIONS, LOCK_PACKAGE_BY_ID,
    REVIEW_LINKS_OF,
};
use crate::reviews::soonest;
use crate::scrub_usage::{COUNT_LINK_AGAIN, LINKS_MISCOUNTED, STORAGE_MISCOUNTED};
use crate::sql::{Row, Statement, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{AccountId, Granted, PackageId, Scrub};
use packhouse_oci::{Digest, Manifest};

/// Findings of one kind in one range that one look gives at the most.
pub const SCRUB_ROWS_MAX: usize = 1_000;

/// What is walked, in the order in which one repair makes the next thing right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrubTable {
    /// What manifests name; whether something holds them. Their bytes are looked at by
    /// [`ReadTx::scrub_manifests`] before.
    Manifests,
    /// Versions, and what they name.
    Versions,
    /// Tags.
    Tags,
    /// Which versions are parts of others.
    Parts,
    /// Counters of packages.
    Packages,
    /// Which blobs are readable in packages.
    Links,
    /// Counters of accounts.
    Accounts,
    /// Counters of teams.
    Teams,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inconsistent {
    /// A word for its kind.
    pub kind: &'static str,
    /// What is wrong.
    pub what: &'static str,
    /// With what.
    pub place: String,
    check: usize,
    item: i64,
    package: i64,
    digest: Vec<u8>,
}

impl Inconsistent {
    /// Whether its repair may need a storage key that was never used.
    pub fn needs_key(&self) -> bool {
        matches!(CHECKS[self.check].repair, Repair::Link)
    }
}

/// One question, and what is done about it.
struct Check {
    table: ScrubTable,
    kind: &'static str,
    what: &'static str,
    /// Of the range `$1 < number <= $2`: the thing's number, its package or 0, its place, its digest or nothing.
    find: &'static Statement,
    repair: Repair,
}

#[derive(Clone, Copy)]
enum Repair {
    /// By the number.
    Item(&'static Statement),
    /// By the number, and the time.
    ItemNow(&'static Statement),
    /// By the number, whose row is locked by another statement before.
    Counters(&'static Statement, &'static Statement),
    /// By package and digest.
    Digest(&'static Statement),
    /// By package and digest, and the time.
    DigestNow(&'static Statement),
    /// What a version names is noted again.
    Named(&'static Statement, &'static Statement),
    /// A version goes for good.
    Version,
    /// A link without a blob.
    Link,
    /// What an account stores is counted again.
    Storage,
}

macro_rules! check {
    ($table:ident, $kind:literal, $what:literal, $find:ident, $repair:expr) => {
        Check { table: ScrubTable::$table, kind: $kind, what: $what, find: &$find, repair: $repair }
    };
}

static CHECKS: &[Check] = &[
    check!(
        Manifests,
        "manifest-refs",
        "what a manifest names is noted, and there is no such manifest",
        REFS_OF_NONE,
        Repair::Item(&END_REFS_OF_NONE)
    ),
    check!(
        Manifests,
        "manifest-orphan",
        "no version holds this manifest, and the collector does not know",
        MANIFESTS_FORGOTTEN,
        Repair::ItemNow(&REVIEW_FORGOTTEN_MANIFEST)
    ),
    check!(
        Versions,
        "version-lost",
        "a version whose manifest, or package, is gone",
        VERSIONS_LOST,
        Repair::Version
    ),
    check!(
        Versions,
        "version-digest",
        "the digest or subject of a version is not its manifest's",
        VERSIONS_MISNAMED,
        Repair::Item(&NAME_VERSION)
    ),
    check!(
        Versions,
        "version-children",
        "what is noted of an index's children is not what its manifest says",
        CHILDREN_WRONG,
        Repair::Named(&END_VERSION_CHILDREN, &CHILDREN_AGAIN)
    ),
    check!(
        Versions,
        "version-blobs",
        "what is noted of a version's blobs is not what its manifest says",
        BLOBS_WRONG,
        Repair::Named(&END_VERSION_BLOBS, &BLOBS_AGAIN)
    ),
    check!(
        Versions,
        "version-named",
        "what a version names is noted, and there is no such version",
        NAMED_BY_NONE,
        Repair::Item(&END_NAMED_BY_NONE)
    ),
    check!(
        Versions,
        "version-named",
        "children of a version are noted, and there is no such version",
        CHILDREN_OF_NONE,
        Repair::Item(&END_CHILDREN_OF_NONE)
    ),
    check!(
        Versions,
        "version-review",
        "a deleted version that the collector does not know of",
        VERSIONS_FORGOTTEN,
        Repair::ItemNow(&REVIEW_FORGOTTEN_VERSION)
    ),
    check!(
        Tags,
        "tag-dangling",
        "a tag of a version that is not there",
        TAGS_OF_NONE,
        Repair::Item(&END_TAG_OF_NONE)
    ),
    check!(
        Tags,
        "tag-deleted",
        "a tag points at a deleted version",
        TAGS_OF_DELETED_VERSIONS,
        Repair::Item(&CLOSE_TAG_OF_DELETED)
    ),
    check!(
        Parts,
        "version-part",
        "a version is wrongly shown, or wrongly not shown, as a part of another",
        PARTS_WRONG,
        Repair::Item(&TURN_PART)
    ),
    check!(
        Packages,
        "package-counters",
        "the counters of a package's versions are wrong",
        PACKAGES_MISCOUNTED,
        Repair::Counters(&LOCK_PACKAGE_BY_ID, &COUNT_PACKAGE_AGAIN)
    ),
    check!(
        Packages,
        "package-review",
        "a deleted package that the collector does not know of",
        PACKAGES_FORGOTTEN,
        Repair::ItemNow(&REVIEW_FORGOTTEN_PACKAGE)
    ),
    check!(Links, "link-stale", "a package has a blob of which there is no row", LINKS_STALE, Repair::Link),
    check!(
        Links,
        "link-package",
        "a blob is linked to a package that is not there",
        LINKS_OF_NO_PACKAGE,
        Repair::Digest(&END_LINK_OF_NO_PACKAGE)
    ),
    check!(
        Links,
        "link-review",
        "nothing names this blob in the package, and the collector does not know",
        LINKS_FORGOTTEN,
        Repair::DigestNow(&REVIEW_FORGOTTEN_LINK)
    ),
    check!(
        Links,
        "unlinked-review",
        "a blob was taken out of the package, and the collector does not know",
        UNLINKED_FORGOTTEN,
        Repair::DigestNow(&REVIEW_FORGOTTEN_UNLINKED)
    ),
    check!(
        Links,
        "link-names",
        "how many versions name a blob of the package is wrong",
        LINKS_MISCOUNTED,
        Repair::Digest(&COUNT_LINK_AGAIN)
    ),
    check!(
        Accounts,
        "account-storage",
        "what an account stores is counted wrong",
        STORAGE_MISCOUNTED,
        Repair::Storage
    ),
    check!(
        Accounts,
        "account-counters",
        "the counters of an account's packages or repositories are wrong",
        ACCOUNTS_MISCOUNTED,
        Repair::Counters(&LOCK_ACCOUNT_BY_ID, &COUNT_ACCOUNT_AGAIN)
    ),
    check!(
        Teams,
        "team-counters",
        "the counters of a team are wrong",
        TEAMS_MISCOUNTED,
        Repair::Counters(&LOCK_TEAM_BY_ID, &COUNT_TEAM_AGAIN)
    ),
];

statement!(END_OF_MANIFESTS, "SELECT id FROM manifests WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2");
statement!(END_OF_VERSIONS, "SELECT id FROM versions WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2");
statement!(END_OF_TAGS, "SELECT id FROM tags WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2");
statement!(END_OF_PACKAGES, "SELECT id FROM packages WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2");
statement!(END_OF_ACCOUNTS, "SELECT id FROM accounts WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2");
statement!(END_OF_TEAMS, "SELECT id FROM teams WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2");

statement!(
    REFS_OF_NONE,
    "SELECT DISTINCT r.manifest_id, CAST(0 AS BIGINT), 'manifest ' || r.manifest_id, {empty} FROM manifest_refs r
     WHERE r.manifest_id > $1 AND r.manifest_id <= $2
       AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.id = r.manifest_id) ORDER BY r.manifest_id LIMIT 1000"
);
statement!(
    END_REFS_OF_NONE,
    "DELETE FROM manifest_refs WHERE manifest_id = $1
       AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.id = manifest_refs.manifest_id)"
);
statement!(
    MANIFESTS_FORGOTTEN,
    "SELECT m.id, CAST(0 AS BIGINT), '', m.digest FROM manifests m WHERE m.id > $1 AND m.id <= $2
       AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.manifest_id = m.id)
       AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.package_id = 0 AND r.kind = 5 AND r.item = m.id)
     ORDER BY m.id LIMIT 1000"
);
statement!(
    REVIEW_FORGOTTEN_MANIFEST,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at)
         SELECT 5, 0, m.id, {empty}, CAST($2 AS BIGINT) FROM manifests m WHERE m.id = $1
           AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.manifest_id = m.id)",
        soonest!()
    )
);
statement!(
    VERSIONS_LOST,
    "SELECT v.id, v.package_id, COALESCE(p.path, 'package ' || v.package_id), v.digest FROM versions v
     LEFT JOIN packages p ON p.id = v.package_id WHERE v.id > $1 AND v.id <= $2
       AND (p.id IS NULL OR NOT EXISTS (SELECT 1 FROM manifests m WHERE m.id = v.manifest_id))
     ORDER BY v.id LIMIT 1000"
);
statement!(
    VERSION_LOST,
    "SELECT v.id FROM versions v WHERE v.id = $1
       AND (NOT EXISTS (SELECT 1 FROM packages p WHERE p.id = v.package_id)
         OR NOT EXISTS (SELECT 1 FROM manifests m WHERE m.id = v.manifest_id))"
);
statement!(
    VERSIONS_MISNAMED,
    "SELECT v.id, v.package_id, p.path, m.digest FROM versions v JOIN packages p ON p.id = v.package_id
     JOIN manifests m ON m.id = v.manifest_id WHERE v.id > $1 AND v.id <= $2
       AND (v.digest <> m.digest OR COALESCE(v.subject, {empty}) <> COALESCE(m.subject, {empty}))
     ORDER BY v.id LIMIT 1000"
);
statement!(
    NAME_VERSION,
    "UPDATE versions SET digest = (SELECT m.digest FROM manifests m WHERE m.id = versions.manifest_id),
       subject = (SELECT m.subject FROM manifests m WHERE m.id = versions.manifest_id)
     WHERE id = $1 AND EXISTS (SELECT 1 FROM manifests m WHERE m.id = versions.manifest_id
         AND (m.digest <> versions.digest OR COALESCE(versions.subject, {empty}) <> COALESCE(m.subject, {empty})))
       AND NOT EXISTS (SELECT 1 FROM versions o JOIN manifests m ON m.digest = o.digest
         WHERE m.id = versions.manifest_id AND o.package_id = versions.package_id AND o.id <> versions.id
           AND o.deleted_at IS NULL AND versions.deleted_at IS NULL)"
);
statement!(
    CHILDREN_WRONG,
    "SELECT v.id, v.package_id, p.path, v.digest FROM versions v JOIN packages p ON p.id = v.package_id
     WHERE v.id > $1 AND v.id <= $2
       AND (EXISTS (SELECT 1 FROM manifest_refs r WHERE r.manifest_id = v.manifest_id AND r.kind = 3
           AND NOT EXISTS (SELECT 1 FROM version_children k
             WHERE k.package_id = v.package_id AND k.digest = r.digest AND k.version_id = v.id))
         OR EXISTS (SELECT 1 FROM version_children k WHERE k.version_id = v.id
           AND (k.package_id <> v.package_id OR NOT EXISTS (SELECT 1 FROM manifest_refs r
             WHERE r.manifest_id = v.manifest_id AND r.kind = 3 AND r.digest = k.digest))))
       AND EXISTS (SELECT 1 FROM manifests m WHERE m.id = v.manifest_id AND m.damaged_at IS NULL)
     ORDER BY v.id LIMIT 1000"
);
statement!(
    CHILDREN_AGAIN,
    "INSERT INTO version_children (package_id, digest, version_id)
     SELECT v.package_id, r.digest, v.id FROM versions v
     JOIN manifest_refs r ON r.manifest_id = v.manifest_id AND r.kind = 3 WHERE v.id = $1"
);
statement!(
    BLOBS_WRONG,
    "SELECT v.id, v.package_id, p.path, v.digest FROM versions v JOIN packages p ON p.id = v.package_id
     WHERE v.id > $1 AND v.id <= $2
       AND (EXISTS (SELECT 1 FROM manifest_refs r WHERE r.manifest_id = v.manifest_id AND r.kind IN (1, 2)
           AND NOT EXISTS (SELECT 1 FROM version_blobs k WHERE k.version_id = v.id AND k.digest = r.digest
             AND k.package_id = v.package_id))
         OR EXISTS (SELECT 1 FROM version_blobs k WHERE k.version_id = v.id
           AND (k.package_id <> v.package_id OR NOT EXISTS (SELECT 1 FROM manifest_refs r
             WHERE r.manifest_id = v.manifest_id AND r.kind IN (1, 2) AND r.digest = k.digest))))
       AND EXISTS (SELECT 1 FROM manifests m WHERE m.id = v.manifest_id AND m.damaged_at IS NULL)
     ORDER BY v.id LIMIT 1000"
);
statement!(
    BLOBS_AGAIN,
    "INSERT INTO version_blobs (version_id, digest, package_id)
     SELECT DISTINCT v.id, r.digest, v.package_id FROM versions v
     JOIN manifest_refs r ON r.manifest_id = v.manifest_id AND r.kind IN (1, 2) WHERE v.id = $1"
);
statement!(
    NAMED_BY_NONE,
    "SELECT DISTINCT k.version_id, CAST(0 AS BIGINT), 'version ' || k.version_id, {empty} FROM version_blobs k
     WHERE k.version_id > $1 AND k.version_id <= $2
       AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.id = k.version_id) ORDER BY k.version_id LIMIT 1000"
);
statement!(
    END_NAMED_BY_NONE,
    "DELETE FROM version_blobs WHERE version_id = $1
       AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.id = version_blobs.version_id)"
);
statement!(
    CHILDREN_OF_NONE,
    "SELECT DISTINCT k.version_id, CAST(0 AS BIGINT), 'version ' || k.version_id, {empty} FROM version_children k
     WHERE k.version_id > $1 AND k.version_id <= $2
       AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.id = k.version_id) ORDER BY k.version_id LIMIT 1000"
);
statement!(
    END_CHILDREN_OF_NONE,
    "DELETE FROM version_children WHERE version_id = $1
       AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.id = version_children.version_id)"
);
statement!(
    VERSIONS_FORGOTTEN,
    "SELECT v.id, v.package_id, p.path, v.digest FROM versions v JOIN packages p ON p.id = v.package_id
     WHERE v.id > $1 AND v.id <= $2 AND v.deleted_at IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.package_id = v.package_id AND r.kind = 2 AND r.item = v.id)
     ORDER BY v.id LIMIT 1000"
);
statement!(
    REVIEW_FORGOTTEN_VERSION,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at)
         SELECT 2, package_id, id, {empty}, CAST($2 AS BIGINT) FROM versions WHERE id = $1 AND deleted_at IS NOT NULL",
        soonest!()
    )
);
statement!(
    TAGS_OF_NONE,
    "SELECT t.id, t.package_id, COALESCE(p.path, 'package ' || t.package_id) || ':' || t.name, {empty} FROM tags t
     LEFT JOIN packages p ON p.id = t.package_id WHERE t.id > $1 AND t.id <= $2
       AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.id = t.version_id AND v.package_id = t.package_id)
     ORDER BY t.id LIMIT 1000"
);
statement!(
    END_TAG_OF_NONE,
    "DELETE FROM tags WHERE id = $1 AND NOT EXISTS (
       SELECT 1 FROM versions v WHERE v.id = tags.version_id AND v.package_id = tags.package_id)"
);
statement!(
    TAGS_OF_DELETED_VERSIONS,
    "SELECT t.id, t.package_id, p.path || ':' || t.name, v.digest FROM tags t JOIN versions v ON v.id = t.version_id
     JOIN packages p ON p.id = t.package_id
     WHERE t.id > $1 AND t.id <= $2 AND t.valid_to IS NULL AND v.deleted_at IS NOT NULL ORDER BY t.id LIMIT 1000"
);
// As if it had been closed by the deletion: restoring the version brings it back.
statement!(
    CLOSE_TAG_OF_DELETED,
    "UPDATE tags SET valid_to = (SELECT v.deleted_at FROM versions v WHERE v.id = tags.version_id)
     WHERE id = $1 AND valid_to IS NULL
       AND EXISTS (SELECT 1 FROM versions v WHERE v.id = tags.version_id AND v.deleted_at IS NOT NULL)"
);

/// Whether the live version `v` is a part: see `parts.rs`.
macro_rules! is_part {
    ($v:literal) => {
        concat!(
            "CASE WHEN NOT EXISTS (SELECT 1 FROM tags t WHERE t.version_id = ",
            $v,
            ".id AND t.valid_to IS NULL) AND (EXISTS (SELECT 1 FROM version_children k JOIN versions w
               ON w.id = k.version_id WHERE k.package_id = ",
            $v,
            ".package_id AND k.digest = ",
            $v,
            ".digest AND w.deleted_at IS NULL)
             OR EXISTS (SELECT 1 FROM versions s WHERE s.package_id = ",
            $v,
            ".package_id AND s.digest = ",
            $v,
            ".subject AND s.deleted_at IS NULL)) THEN 1 ELSE 0 END"
        )
    };
}

statement!(
    PARTS_WRONG,
    concat!(
        "SELECT v.id, v.package_id, p.path, v.digest FROM versions v JOIN packages p ON p.id = v.package_id
         WHERE v.id > $1 AND v.id <= $2 AND v.deleted_at IS NULL AND p.deleted_at IS NULL AND v.part <> ",
        is_part!("v"),
        " ORDER BY v.id LIMIT 1000"
    )
);
statement!(
    TURN_PART,
    concat!(
        "UPDATE versions SET part = 1 - part WHERE id = $1 AND deleted_at IS NULL AND part <> ",
        is_part!("versions")
    )
);
statement!(
    PACKAGES_MISCOUNTED,
    "SELECT p.id, p.id, p.path, {empty} FROM packages p
     WHERE p.id > $1 AND p.id <= $2 AND p.deleted_at IS NULL
       AND (p.version_count <> (SELECT COUNT(*) FROM versions v
             WHERE v.package_id = p.id AND v.part = 0 AND v.deleted_at IS NULL)
         OR p.part_count <> (SELECT COUNT(*) FROM versions v
             WHERE v.package_id = p.id AND v.part = 1 AND v.deleted_at IS NULL)
         OR p.tagged_count <> (SELECT COUNT(DISTINCT t.version_id) FROM tags t
             WHERE t.package_id = p.id AND t.valid_to IS NULL)
         OR p.held <> CASE WHEN EXISTS (SELECT 1 FROM versions v
             WHERE v.package_id = p.id AND v.deleted_at IS NULL) THEN 1 ELSE 0 END)
     ORDER BY p.id LIMIT 1000"
);
statement!(
    COUNT_PACKAGE_AGAIN,
    "UPDATE packages SET
       version_count = (SELECT COUNT(*) FROM versions v
         WHERE v.package_id = packages.id AND v.part = 0 AND v.deleted_at IS NULL),
       part_count = (SELECT COUNT(*) FROM versions v
         WHERE v.package_id = packages.id AND v.part = 1 AND v.deleted_at IS NULL),
       tagged_count = (SELECT COUNT(DISTINCT t.version_id) FROM tags t
         WHERE t.package_id = packages.id AND t.valid_to IS NULL),
       held = CASE WHEN EXISTS (SELECT 1 FROM versions v
         WHERE v.package_id = packages.id AND v.deleted_at IS NULL) THEN 1 ELSE 0 END
     WHERE id = $1 AND deleted_at IS NULL"
);
statement!(
    PACKAGES_FORGOTTEN,
    "SELECT p.id, p.id, p.path, {empty} FROM packages p
     WHERE p.id > $1 AND p.id <= $2 AND p.deleted_at IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.package_id = p.id AND r.kind = 1) ORDER BY p.id LIMIT 1000"
);
statement!(
    REVIEW_FORGOTTEN_PACKAGE,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at)
         SELECT 1, id, 0, {empty}, CAST($2 AS BIGINT) FROM packages WHERE id = $1 AND deleted_at IS NOT NULL",
        soonest!()
    )
);
statement!(
    LINKS_STALE,
    "SELECT l.package_id, l.package_id, COALESCE(p.path, 'package ' || l.package_id), l.digest FROM package_blobs l
     LEFT JOIN packages p ON p.id = l.package_id WHERE l.package_id > $1 AND l.package_id <= $2
       AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = l.digest)
     ORDER BY l.package_id, l.digest LIMIT 1000"
);
statement!(
    END_STALE_LINK,
    "DELETE FROM package_blobs WHERE package_id = $1 AND digest = $2
       AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = package_blobs.digest) RETURNING counted"
);
// The newest manifest of the package that names it, for its size. What it was called when it was pushed is right.
statement!(
    NAMES_BLOB,
    "SELECT m.media_type, m.payload FROM version_blobs k JOIN versions v ON v.id = k.version_id
     JOIN manifests m ON m.id = v.manifest_id
     WHERE k.package_id = $1 AND k.digest = $2 AND m.damaged_at IS NULL ORDER BY k.version_id DESC LIMIT 1"
);
// A blob of which there is nothing but its name: it waits to be pushed again, or for its bytes to be found in the store.
statement!(
    INSERT_LOST_BLOB,
    "INSERT INTO blobs (digest, size, storage_key, created_at, damage, damaged_at)
     VALUES ($1, $2, $3, $4, 1, $4) ON CONFLICT DO NOTHING"
);
statement!(
    LINKS_OF_NO_PACKAGE,
    "SELECT l.package_id, CAST(0 AS BIGINT), 'package ' || l.package_id, l.digest FROM package_blobs l
     WHERE l.package_id > $1 AND l.package_id <= $2
       AND NOT EXISTS (SELECT 1 FROM packages p WHERE p.id = l.package_id)
     ORDER BY l.package_id, l.digest LIMIT 1000"
);
statement!(
    END_LINK_OF_NO_PACKAGE,
    "DELETE FROM package_blobs WHERE package_id = $1 AND digest = $2
       AND NOT EXISTS (SELECT 1 FROM packages p WHERE p.id = package_blobs.package_id)"
);
statement!(
    LINKS_FORGOTTEN,
    "SELECT l.package_id, l.package_id, p.path, l.digest FROM package_blobs l JOIN packages p ON p.id = l.package_id
     WHERE l.package_id > $1 AND l.package_id <= $2
       AND NOT EXISTS (SELECT 1 FROM version_blobs v WHERE v.package_id = l.package_id AND v.digest = l.digest)
       AND NOT EXISTS (SELECT 1 FROM version_children v WHERE v.package_id = l.package_id AND v.digest = l.digest)
       AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.package_id = l.package_id AND r.kind = 4 AND r.item = 0
         AND r.digest = l.digest)
     ORDER BY l.package_id, l.digest LIMIT 1000"
);
statement!(
    REVIEW_FORGOTTEN_LINK,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at)
         SELECT 4, l.package_id, 0, l.digest,
           CASE WHEN l.pinned_until > CAST($3 AS BIGINT) THEN l.pinned_until ELSE CAST($3 AS BIGINT) END
         FROM package_blobs l WHERE l.package_id = $1 AND l.digest = $2",
        soonest!()
    )
);
statement!(
    UNLINKED_FORGOTTEN,
    "SELECT l.package_id, l.package_id, p.path, l.digest FROM package_blobs_unlinked l
     JOIN packages p ON p.id = l.package_id WHERE l.package_id > $1 AND l.package_id <= $2
       AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.package_id = l.package_id AND r.kind = 3 AND r.item = 0
         AND r.digest = l.digest)
     ORDER BY l.package_id, l.digest LIMIT 1000"
);
statement!(
    REVIEW_FORGOTTEN_UNLINKED,
    concat!(
        "INSERT INTO reviews (kind, package_id, item, digest, due_at)
         SELECT 3, l.package_id, 0, l.digest, CAST($3 AS BIGINT) FROM package_blobs_unlinked l
         WHERE l.package_id = $1 AND l.digest = $2",
        soonest!()
    )
);
statement!(LOCK_ACCOUNT_BY_ID, "SELECT id FROM accounts WHERE id = $1 {lock}");
statement!(
    ACCOUNTS_MISCOUNTED,
    "SELECT a.id, CAST(0 AS BIGINT), a.name, {empty} FROM accounts a WHERE a.id > $1 AND a.id <= $2
       AND (a.package_count <> (SELECT COUNT(*) FROM packages p WHERE p.owner_id = a.id AND p.deleted_at IS NULL)
         OR a.public_package_count <> (SELECT COUNT(*) FROM packages p
             WHERE p.owner_id = a.id AND p.visibility = 2 AND p.deleted_at IS NULL)
         OR a.repository_count <> (SELECT COUNT(*) FROM repositories r WHERE r.owner_id = a.id)
         OR a.public_repository_count <> (SELECT COUNT(*) FROM repositories r
             WHERE r.owner_id = a.id AND r.visibility = 2))
     ORDER BY a.id LIMIT 1000"
);
statement!(
    COUNT_ACCOUNT_AGAIN,
    "UPDATE accounts SET
       package_count = (SELECT COUNT(*) FROM packages p WHERE p.owner_id = accounts.id AND p.deleted_at IS NULL),
       public_package_count = (SELECT COUNT(*) FROM packages p
         WHERE p.owner_id = accounts.id AND p.visibility = 2 AND p.deleted_at IS NULL),
       repository_count = (SELECT COUNT(*) FROM repositories r WHERE r.owner_id = accounts.id),
       public_repository_count = (SELECT COUNT(*) FROM repositories r
         WHERE r.owner_id = accounts.id AND r.visibility = 2)
     WHERE id = $1"
);
statement!(LOCK_TEAM_BY_ID, "SELECT id FROM teams WHERE id = $1 {lock}");
statement!(
    TEAMS_MISCOUNTED,
    "SELECT m.id, CAST(0 AS BIGINT), a.name || '/' || m.slug, {empty} FROM teams m
     JOIN accounts a ON a.id = m.organization_id WHERE m.id > $1 AND m.id <= $2
       AND (m.member_count <> (SELECT COUNT(*) FROM team_members t WHERE t.team_id = m.id)
         OR m.repository_count <> (SELECT COUNT(*) FROM repository_teams r WHERE r.team_id = m.id))
     ORDER BY m.id LIMIT 1000"
);
statement!(
    COUNT_TEAM_AGAIN,
    "UPDATE teams SET
       member_count = (SELECT COUNT(*) FROM team_members t WHERE t.team_id = teams.id),
       repository_count = (SELECT COUNT(*) FROM repository_teams r WHERE r.team_id = teams.id) WHERE id = $1"
);

impl ScrubTable {
    /// What comes after it.
    pub fn next(self) -> Option<ScrubTable> {
        match self {
            ScrubTable::Manifests => Some(ScrubTable::Versions),
            ScrubTable::Versions => Some(ScrubTable::Tags),
            ScrubTable::Tags => Some(ScrubTable::Parts),
            ScrubTable::Parts => Some(ScrubTable::Packages),
            ScrubTable::Packages => Some(ScrubTable::Links),
            ScrubTable::Links => Some(ScrubTable::Accounts),
            ScrubTable::Accounts => Some(ScrubTable::Teams),
            ScrubTable::Teams => None,
        }
    }

    /// The numbers that are walked, and how many of them at once.
    fn numbers(self) -> (&'static Statement, i64) {
        match self {
            ScrubTable::Manifests => (&END_OF_MANIFESTS, 500),
            ScrubTable::Versions | ScrubTable::Parts => (&END_OF_VERSIONS, 500),
            ScrubTable::Tags => (&END_OF_TAGS, 1_000),
            ScrubTable::Packages | ScrubTable::Links => (&END_OF_PACKAGES, 10),
            ScrubTable::Accounts => (&END_OF_ACCOUNTS, 100),
            ScrubTable::Teams => (&END_OF_TEAMS, 100),
        }
    }
}

impl<'tx> ReadTx<'_, 'tx> {
    /// Looks at a range of a table behind a number. Returns where it ended, none at the end of the table, and what is not
    /// as it should be.
    pub fn scrub_range(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        table: ScrubTable,
        after: i64,
    ) -> Result<(Option<i64>, Vec<Inconsistent>), CatalogError> {
        let (numbers, count) = table.numbers();
        let until = self.row(numbers, &[after.into(), (count - 1).into()], |row| row.int(0))?;
        // Rows behind the last number may name things that are not there.
        let values = [after.into(), until.unwrap_or(i64::MAX).into()];
        let mut found = Vec::new();
        for (at, check) in CHECKS.iter().enumerate().filter(|(_, check)| check.table == table) {
            found.extend(self.rows(check.find, &values, |row| inconsistent(at, check, row))?);
        }
        Ok((until, found))
    }
}

fn inconsistent(at: usize, check: &Check, row: &Row<'_>) -> Result<Inconsistent, CatalogError> {
    let (place, digest) = (row.text(2)?, row.bytes(3)?);
    let named = Digest::from_bytes(&digest).map(|digest| digest.to_string());
    let place = match (place.is_empty(), named) {
        (_, None) => place,
        (true, Some(digest)) => digest,
        (false, Some(digest)) => format!("{place}@{digest}"),
    };
    let (kind, what) = (check.kind, check.what);
    Ok(Inconsistent { kind, what, place, check: at, item: row.int(0)?, package: row.int(1)?, digest })
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Repairs what is not as it should be, if it still is not; whether it was. `key` is a storage key that was never
    /// used.
    pub fn repair(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        found: &Inconsistent,
        key: &str,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let (item, package, digest) = (Value::Int(found.item), Value::Int(found.package), &found.digest);
        if found.package != 0 {
            self.row(&LOCK_PACKAGE_BY_ID, &[package], |_| Ok(()))?;
        }
        let changed = match CHECKS[found.check].repair {
            Repair::Item(repair) => self.execute(repair, &[item])?,
            Repair::ItemNow(repair) => self.execute(repair, &[item, now.0.into()])?,
            Repair::Counters(lock, repair) => {
                self.row(lock, &[item], |_| Ok(()))?;
                self.execute(repair, &[item])?
            }
            Repair::Digest(repair) => self.execute(repair, &[item, digest.into()])?,
            Repair::DigestNow(repair) => self.execute(repair, &[item, digest.into(), now.0.into()])?,
            Repair::Named(end, again) => {
                let ids = [found.item];
                self.execute(&REVIEW_LINKS_OF, &[package, Value::Numbers(&ids), now.0.into()])?;
                self.execute(end, &[Value::Numbers(&ids)])? + self.execute(again, &[item])?
            }
            Repair::Version => self.end_lost_version(found, now)?,
            Repair::Link => self.repair_link(found, key, now)?,
            Repair::Storage => self.count_storage_again(AccountId(found.item))?,
        };
        Ok(changed > 0)
    }

    /// Nothing can be read through such a version, and its tags lead nowhere: they go, and a push brings them back.
    fn end_lost_version(&mut self, found: &Inconsistent, now: Micros) -> Result<u64, CatalogError> {
        if self.row(&VERSION_LOST, &[found.item.into()], |_| Ok(()))?.is_none() {
            return Ok(0);
        }
        let ids = [found.item];
        let ids = Value::Numbers(&ids);
        self.execute(&REVIEW_LINKS_OF, &[found.package.into(), ids, now.0.into()])?;
        let mut ended = 0;
        for statement in [&END_VERSION_BLOBS, &END_VERSION_CHILDREN, &END_VERSION_TAGS, &END_VERSIONS] {
            ended = self.execute(statement, &[ids])?;
        }
        Ok(ended)
    }

    /// A link to a blob that no manifest of the package names is of no use. What a manifest names gets a row again, which
    /// says that its bytes are missing.
    fn repair_link(&mut self, found: &Inconsistent, key: &str, now: Micros) -> Result<u64, CatalogError> {
        let (package, digest) = (Value::Int(found.package), &found.digest);
        let named = self
            .row(&NAMES_BLOB, &[package, digest.into()], |row| Ok((row.text(0)?, row.bytes(1)?)))?
            .and_then(|(media_type, payload)| size_in(&media_type, &payload, digest));
        match named {
            Some(size) => {
                let values = [digest.into(), size.into(), key.into(), now.0.into()];
                self.execute(&INSERT_LOST_BLOB, &values)
            }
            None => {
                let ended =
                    self.rows(&END_STALE_LINK, &[package, digest.into()], |row| Ok(row.int(0)? != 0))?;
                if ended.contains(&true) {
                    self.uncount_links(PackageId(found.package), std::slice::from_ref(digest))?;
                }
                Ok(ended.len() as u64)
            }
        }
    }
}

/// How many bytes a manifest says that something has which it names.
fn size_in(media_type: &str, payload: &[u8], digest: &[u8]) -> Option<i64> {
    let parsed = Manifest::parse(Some(&media_type.parse().ok()?), payload).ok()?;
    let digest = Digest::from_bytes(digest)?;
    let mut parts = parsed.config.iter().chain(&parsed.layers);
    parts.find(|part| part.digest == digest).and_then(|part| i64::try_from(part.size).ok())
}
