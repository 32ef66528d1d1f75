//! Parts of a whole, and the counters of a package.
//!
//! A version is a part when no tag points at it and a live version of the same package names it: an index as its
//! child, or it names that one as its subject. Parts are not offered as "untagged", and follow their whole.
//! Everything here runs in the transaction of the change, with the package's row locked before.

use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{PackageId, VersionId};
use packhouse_oci::Digest;
use std::collections::HashSet;

/// Levels of parts of parts that are followed. An image with its attestations and their signatures has three.
const LEVELS_MAX: usize = 32;
/// Parts that go with one whole. What is beyond becomes ordinary versions.
const TAKEN_MAX: usize = 20_000;

// $1 is a version; those that were deleted with it, or are just being restored with it, are meant too.
statement!(
    BECOME_PARTS,
    "WITH whole (id, package_id, digest) AS (
       SELECT id, package_id, digest FROM versions WHERE id = $1
       UNION ALL SELECT id, package_id, digest FROM versions WHERE deleted_with = $1)
     UPDATE versions SET part = 1 WHERE part = 0 AND deleted_at IS NULL AND id IN (
       SELECT id FROM whole
       UNION ALL SELECT c.id FROM whole CROSS JOIN version_children k CROSS JOIN versions c
         WHERE k.version_id = whole.id AND c.package_id = whole.package_id AND c.digest = k.digest
           AND c.deleted_at IS NULL
       UNION ALL SELECT r.id FROM whole CROSS JOIN versions r
         WHERE r.package_id = whole.package_id AND r.subject = whole.digest AND r.deleted_at IS NULL)
       AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.version_id = versions.id AND t.valid_to IS NULL)
       AND (EXISTS (SELECT 1 FROM version_children k JOIN versions w ON w.id = k.version_id
              WHERE k.package_id = versions.package_id AND k.digest = versions.digest AND w.deleted_at IS NULL)
         OR EXISTS (SELECT 1 FROM versions s WHERE s.package_id = versions.package_id
              AND s.digest = versions.subject AND s.deleted_at IS NULL))"
);
statement!(
    BE_PARTS_NO_MORE,
    "WITH whole (id, package_id, digest) AS (
       SELECT id, package_id, digest FROM versions WHERE id = $1
       UNION ALL SELECT id, package_id, digest FROM versions WHERE deleted_with = $1)
     UPDATE versions SET part = 0 WHERE part = 1 AND deleted_at IS NULL AND id IN (
       SELECT c.id FROM whole CROSS JOIN version_children k CROSS JOIN versions c
         WHERE k.version_id = whole.id AND c.package_id = whole.package_id AND c.digest = k.digest
           AND c.deleted_at IS NULL
       UNION ALL SELECT r.id FROM whole CROSS JOIN versions r
         WHERE r.package_id = whole.package_id AND r.subject = whole.digest AND r.deleted_at IS NULL)
       AND NOT EXISTS (SELECT 1 FROM version_children k JOIN versions w ON w.id = k.version_id
              WHERE k.package_id = versions.package_id AND k.digest = versions.digest AND w.deleted_at IS NULL)
       AND NOT EXISTS (SELECT 1 FROM versions s WHERE s.package_id = versions.package_id
              AND s.digest = versions.subject AND s.deleted_at IS NULL)"
);
// Whether it is a part, has a tag, and is named by a live version.
statement!(
    STATE,
    "SELECT v.part,
       CAST(CASE WHEN EXISTS (SELECT 1 FROM tags t WHERE t.version_id = v.id AND t.valid_to IS NULL)
         THEN 1 ELSE 0 END AS BIGINT),
       CAST(CASE WHEN EXISTS (SELECT 1 FROM version_children k JOIN versions w ON w.id = k.version_id
              WHERE k.package_id = v.package_id AND k.digest = v.digest AND w.deleted_at IS NULL)
           OR EXISTS (SELECT 1 FROM versions s WHERE s.package_id = v.package_id
              AND s.digest = v.subject AND s.deleted_at IS NULL)
         THEN 1 ELSE 0 END AS BIGINT)
     FROM versions v WHERE v.id = $2 AND v.package_id = $1 AND v.deleted_at IS NULL"
);
statement!(SET_PART, "UPDATE versions SET part = $2, updated_at = $3 WHERE id = $1");
statement!(
    COUNT_VERSIONS,
    "UPDATE packages SET version_count = version_count + $2, part_count = part_count + $3,
       tagged_count = tagged_count + $4, updated_at = $5 WHERE id = $1
     RETURNING held, version_count + part_count"
);
// By itself, and only when it changes: `held` is in four indexes, and an UPDATE that names it writes them all.
statement!(
    SET_HELD,
    "UPDATE packages SET held = CASE WHEN EXISTS (SELECT 1 FROM versions v
       WHERE v.package_id = packages.id AND v.deleted_at IS NULL) THEN 1 ELSE 0 END WHERE id = $1"
);
// The parts below some versions, one level of them. (`+part`: not all parts of the package by their index.)
statement!(
    PARTS_BELOW,
    "SELECT c.digest FROM {list $2} AS above CROSS JOIN versions w CROSS JOIN version_children k
       CROSS JOIN versions c
     WHERE w.package_id = $1 AND w.digest = above.item AND w.deleted_at IS NULL AND k.version_id = w.id
       AND c.package_id = $1 AND c.digest = k.digest AND c.deleted_at IS NULL AND +c.part = 1
     UNION SELECT r.digest FROM {list $2} AS above CROSS JOIN versions r
     WHERE r.package_id = $1 AND r.subject = above.item AND r.deleted_at IS NULL AND +r.part = 1"
);
// Of some parts, those that a live version names that is not among them.
statement!(
    PARTS_HELD,
    "SELECT c.digest FROM {list $2} AS below CROSS JOIN versions c
     WHERE c.package_id = $1 AND c.digest = below.item AND c.deleted_at IS NULL
       AND (EXISTS (SELECT 1 FROM version_children k JOIN versions w ON w.id = k.version_id
              WHERE k.package_id = $1 AND k.digest = c.digest AND w.deleted_at IS NULL
                AND w.digest NOT IN {list $3})
         OR EXISTS (SELECT 1 FROM versions s WHERE s.package_id = $1 AND s.digest = c.subject
              AND s.deleted_at IS NULL AND s.digest NOT IN {list $3}))"
);
// The wholes of some parts, one for each part: the newest index that names it, or its subject.
statement!(
    WHOLES,
    "SELECT found.part, v.id, v.digest FROM (
       SELECT part, MAX(id) AS id FROM (
         SELECT c.id AS part, k.version_id AS id FROM {numbers $2} AS asked CROSS JOIN versions c
           CROSS JOIN version_children k CROSS JOIN versions w
         WHERE c.id = asked.item AND c.package_id = $1 AND k.package_id = $1 AND k.digest = c.digest
           AND w.id = k.version_id AND w.deleted_at IS NULL
         UNION ALL SELECT c.id, s.id FROM {numbers $2} AS asked CROSS JOIN versions c CROSS JOIN versions s
         WHERE c.id = asked.item AND c.package_id = $1 AND s.package_id = $1 AND s.digest = c.subject
           AND s.deleted_at IS NULL) AS named GROUP BY part) AS found
     CROSS JOIN versions v WHERE v.id = found.id"
);

/// How a version stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) part: bool,
    pub(crate) tagged: bool,
    /// A live version names it: without a tag it is a part.
    pub(crate) named: bool,
}

/// What a change does to a package's counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    /// Versions that are no parts.
    pub(crate) versions: i64,
    /// Parts.
    pub(crate) parts: i64,
    /// Versions with a tag.
    pub(crate) tagged: i64,
}

impl Change {
    /// So many versions have become parts; fewer than none: have ceased to be.
    pub(crate) fn became_parts(&mut self, count: i64) {
        self.parts += count;
        self.versions -= count;
    }
}

/// A number of rows as a number that is added.
pub(crate) fn count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

impl ReadTx<'_, '_> {
    pub(crate) fn state(
        &mut self,
        package: PackageId,
        version: VersionId,
    ) -> Result<Option<State>, CatalogError> {
        self.row(&STATE, &[package.0.into(), version.0.into()], |row| {
            let flag = |at| Ok::<_, CatalogError>(row.int(at)? != 0);
            Ok(State { part: flag(0)?, tagged: flag(1)?, named: flag(2)? })
        })
    }

    /// For each of some parts, a live version that it is a part of.
    pub(crate) fn wholes(
        &mut self,
        package: PackageId,
        parts: &[i64],
    ) -> Result<Vec<(VersionId, VersionId, Digest)>, CatalogError> {
        self.rows(&WHOLES, &[package.0.into(), Value::Numbers(parts)], |row: &Row<'_>| {
            Ok((VersionId(row.int(0)?), VersionId(row.int(1)?), row.digest(2)?))
        })
    }

    /// Digests of the parts that nothing but this version, and other parts of it, holds: those that go with it.
    /// Level by level, and with bounds on both; what is beyond them stays.
    pub(crate) fn parts_of_alone(
        &mut self,
        package: PackageId,
        whole: &Digest,
    ) -> Result<Vec<Vec<u8>>, CatalogError> {
        let whole = whole.to_bytes();
        let mut reached: HashSet<Vec<u8>> = HashSet::from([whole.clone()]);
        let mut level = vec![whole.clone()];
        for _ in 0..LEVELS_MAX {
            if level.is_empty() || reached.len() > TAKEN_MAX {
                break;
            }
            let values = [package.0.into(), Value::List(&level)];
            let below = self.rows(&PARTS_BELOW, &values, |row| row.bytes(0))?;
            level = below.into_iter().filter(|digest| reached.insert(digest.clone())).collect();
            level.sort_unstable();
        }
        // Those that something else holds stay, and what they hold, and so on, until nothing more stays.
        let mut going: Vec<Vec<u8>> = reached.into_iter().filter(|digest| *digest != whole).collect();
        going.sort_unstable();
        for _ in 0..=LEVELS_MAX {
            if going.is_empty() {
                return Ok(going);
            }
            let mut gone = going.clone();
            gone.push(whole.clone());
            let values = [package.0.into(), Value::List(&going), Value::List(&gone)];
            let held: HashSet<Vec<u8>> =
                self.rows(&PARTS_HELD, &values, |row| row.bytes(0))?.into_iter().collect();
            if held.is_empty() {
                return Ok(going);
            }
            going.retain(|digest| !held.contains(digest));
        }
        // Not settled within the bounds: nothing goes that may be held.
        Ok(Vec::new())
    }
}

impl WriteTx<'_, '_> {
    /// A version has become live, with those that are restored with it.
    pub(crate) fn settle_arrived(
        &mut self,
        version: VersionId,
        change: &mut Change,
    ) -> Result<(), CatalogError> {
        let became = self.execute(&BECOME_PARTS, &[version.0.into()])?;
        change.became_parts(count(became));
        Ok(())
    }

    /// A version has been deleted, with those that went with it.
    pub(crate) fn settle_gone(
        &mut self,
        version: VersionId,
        change: &mut Change,
    ) -> Result<(), CatalogError> {
        let freed = self.execute(&BE_PARTS_NO_MORE, &[version.0.into()])?;
        change.became_parts(-count(freed));
        Ok(())
    }

    /// A tag has come to a version, or has left it: `before` is how it stood then.
    pub(crate) fn settle_tag(
        &mut self,
        package: PackageId,
        version: VersionId,
        before: State,
        change: &mut Change,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let Some(after) = self.state(package, version)? else { return Ok(()) };
        let part = after.named && !after.tagged;
        change.tagged += i64::from(after.tagged) - i64::from(before.tagged);
        change.became_parts(i64::from(part) - i64::from(before.part));
        self.execute(&SET_PART, &[version.0.into(), i64::from(part).into(), now.0.into()]).map(drop)
    }

    /// Keeps the package's counters in step, and says that it has changed.
    pub(crate) fn count_versions(
        &mut self,
        package: PackageId,
        change: Change,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let Change { versions, parts, tagged } = change;
        let values = [package.0.into(), versions.into(), parts.into(), tagged.into(), now.0.into()];
        let counted = self.row(&COUNT_VERSIONS, &values, |row| Ok((row.int(0)? == 1, row.int(1)?)))?;
        let (arrived, Some((held, left))) = (versions + parts, counted) else { return Ok(()) };
        if (arrived > 0 && !held) || (arrived < 0 && left <= 0) {
            self.execute(&SET_HELD, &values[..1])?;
        }
        Ok(())
    }
}
