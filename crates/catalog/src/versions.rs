//! Versions as GitHub's API knows them: a manifest in a package, with a number.

use crate::parts::{Change, count};
use crate::sql::{Row, Value, statement};
use crate::tags::about_the_same;
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{Delete, EndsVersions, Granted, Restore, See, TagsBack, VersionEnd, VersionId};
use packhouse_oci::{Digest, Tag};
use std::collections::HashMap;

/// A version of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub id: VersionId,
    /// Its manifest's digest.
    pub digest: Digest,
    /// Its manifest's media type.
    pub media_type: String,
    /// Bytes of its manifest.
    pub size: u64,
    /// Its artifact type, or the media type of its config.
    pub artifact_type: Option<String>,
    /// When it was pushed first.
    pub created_at: Micros,
    /// When it was pushed, or a tag came or went.
    pub updated_at: Micros,
    /// Set on those in their time to restore.
    pub deleted_at: Option<Micros>,
    /// How often its manifest was fetched.
    pub downloads: u64,
    /// When it was fetched last.
    pub last_pulled_at: Option<Micros>,
    /// Whether it is a part of another version: an untagged child or referrer.
    pub part: bool,
    /// The version whose deletion took it along.
    pub deleted_with: Option<VersionId>,
    /// The tags that point at it; of a deleted one, those that did when it was deleted.
    pub tags: Vec<String>,
    /// Of a part: a live version that it is a part of.
    pub whole: Option<(VersionId, Digest)>,
}

/// Which versions of a package a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Live ones, without the parts of others.
    Active,
    /// Live ones, all.
    WithParts,
    /// Deleted ones that can be restored: deleted at this time or later.
    Deleted {
        /// The time.
        since: Micros,
    },
}

/// A place in a list that goes from the newest to the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Only versions with a smaller number.
    pub before: Option<VersionId>,
    /// So many of them are passed over.
    pub skip: u32,
    /// At most so many are given.
    pub limit: u32,
}

/// Tags of one page of versions.
const TAGS_MAX: i64 = 10_000;

// The numbers are found in an index alone, so that passing over some reads no row.
statement!(
    VERSIONS_ACTIVE,
    "SELECT v.id, v.digest, m.media_type, m.size, m.artifact_type, v.created_at, v.updated_at, v.deleted_at,
       v.downloads, v.part, v.deleted_with, v.last_pulled_at
     FROM (SELECT id FROM versions WHERE package_id = $1 AND part = 0 AND deleted_at IS NULL AND id < $2
           ORDER BY id DESC LIMIT $3 OFFSET $4) AS page
     CROSS JOIN versions v CROSS JOIN manifests m WHERE v.id = page.id AND m.id = v.manifest_id
     ORDER BY v.id DESC"
);
statement!(
    VERSIONS_WITH_PARTS,
    "SELECT v.id, v.digest, m.media_type, m.size, m.artifact_type, v.created_at, v.updated_at, v.deleted_at,
       v.downloads, v.part, v.deleted_with, v.last_pulled_at
     FROM (SELECT id FROM versions WHERE package_id = $1 AND deleted_at IS NULL AND id < $2
           ORDER BY id DESC LIMIT $3 OFFSET $4) AS page
     CROSS JOIN versions v CROSS JOIN manifests m WHERE v.id = page.id AND m.id = v.manifest_id
     ORDER BY v.id DESC"
);
// Without those that were taken along by another, and those whose digest was pushed again later.
statement!(
    VERSIONS_DELETED,
    "SELECT v.id, v.digest, m.media_type, m.size, m.artifact_type, v.created_at, v.updated_at, v.deleted_at,
       v.downloads, v.part, v.deleted_with, v.last_pulled_at
     FROM (SELECT d.id FROM versions d WHERE d.package_id = $1 AND d.deleted_at IS NOT NULL AND d.id < $2
             AND d.deleted_at >= $5 AND d.deleted_with IS NULL
             AND NOT EXISTS (SELECT 1 FROM versions n WHERE n.package_id = d.package_id AND n.digest = d.digest
                             AND n.deleted_at IS NULL)
             AND NOT EXISTS (SELECT 1 FROM versions n WHERE n.package_id = d.package_id AND n.digest = d.digest
                             AND n.deleted_at IS NOT NULL AND n.id > d.id)
           ORDER BY d.id DESC LIMIT $3 OFFSET $4) AS page
     CROSS JOIN versions v CROSS JOIN manifests m WHERE v.id = page.id AND m.id = v.manifest_id
     ORDER BY v.id DESC"
);
statement!(
    VERSION_BY_ID,
    "SELECT v.id, v.digest, m.media_type, m.size, m.artifact_type, v.created_at, v.updated_at, v.deleted_at,
       v.downloads, v.part, v.deleted_with, v.last_pulled_at
     FROM versions v JOIN manifests m ON m.id = v.manifest_id
     WHERE v.id = $2 AND v.package_id = $1 AND v.deleted_at IS NULL"
);
statement!(
    VERSION_BY_DIGEST,
    "SELECT v.id, v.digest, m.media_type, m.size, m.artifact_type, v.created_at, v.updated_at, v.deleted_at,
       v.downloads, v.part, v.deleted_with, v.last_pulled_at
     FROM versions v JOIN manifests m ON m.id = v.manifest_id
     WHERE v.package_id = $1 AND v.digest = $2 AND v.deleted_at IS NULL"
);
statement!(
    VERSION_BY_TAG,
    "SELECT v.id, v.digest, m.media_type, m.size, m.artifact_type, v.created_at, v.updated_at, v.deleted_at,
       v.downloads, v.part, v.deleted_with, v.last_pulled_at
     FROM tags t JOIN versions v ON v.id = t.version_id JOIN manifests m ON m.id = v.manifest_id
     WHERE t.package_id = $1 AND t.name = $2 AND t.valid_to IS NULL AND v.deleted_at IS NULL"
);
statement!(
    VERSION_DELETED,
    "SELECT v.id, v.digest, m.media_type, m.size, m.artifact_type, v.created_at, v.updated_at, v.deleted_at,
       v.downloads, v.part, v.deleted_with, v.last_pulled_at
     FROM versions v JOIN manifests m ON m.id = v.manifest_id
     WHERE v.id = $2 AND v.package_id = $1 AND v.deleted_at IS NOT NULL"
);
statement!(
    TAGS_OF_VERSIONS,
    "SELECT t.version_id, t.name FROM {numbers $1} AS asked CROSS JOIN tags t
     WHERE t.version_id = asked.item AND t.valid_to IS NULL
     ORDER BY t.version_id, t.id LIMIT $2"
);
statement!(
    TAGS_OF_DELETED,
    "SELECT t.version_id, t.name FROM {numbers $1} AS asked CROSS JOIN versions v CROSS JOIN tags t
     WHERE v.id = asked.item AND t.version_id = v.id AND t.valid_to = v.deleted_at
     ORDER BY t.version_id, t.id LIMIT $2"
);
// Whether the same digest was pushed again after this version.
statement!(
    PUSHED_AGAIN,
    "SELECT n.id FROM versions v JOIN versions n ON n.package_id = v.package_id AND n.digest = v.digest
       AND n.deleted_at IS NULL
     WHERE v.id = $1 AND n.id <> v.id
     UNION ALL SELECT n.id FROM versions v JOIN versions n ON n.package_id = v.package_id
       AND n.digest = v.digest AND n.deleted_at IS NOT NULL AND n.id > v.id
     WHERE v.id = $1 LIMIT 1"
);
// (`+part`: not all parts of the package by their index.)
statement!(
    DELETE_PARTS,
    "UPDATE versions SET deleted_at = $3, deleted_by = $4, deleted_with = $5, part = 0
     WHERE package_id = $1 AND digest IN {list $2} AND deleted_at IS NULL AND +part = 1 RETURNING id"
);
statement!(
    RESTORE_VERSION,
    "UPDATE versions SET deleted_at = NULL, deleted_by = NULL, deleted_with = NULL, part = 0, updated_at = $3
     WHERE id = $2 AND package_id = $1 AND deleted_at IS NOT NULL"
);
// What was taken along, unless its digest was pushed again since.
statement!(
    RESTORE_PARTS,
    "UPDATE versions SET deleted_at = NULL, deleted_by = NULL, part = 0, updated_at = $3
     WHERE deleted_with = $2 AND package_id = $1 AND deleted_at IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM versions n WHERE n.package_id = versions.package_id
                       AND n.digest = versions.digest AND n.deleted_at IS NULL)
       AND NOT EXISTS (SELECT 1 FROM versions n WHERE n.package_id = versions.package_id
                       AND n.digest = versions.digest AND n.deleted_at IS NOT NULL AND n.id > versions.id)
     RETURNING id"
);
statement!(
    FORGET_TAKEN,
    "UPDATE versions SET deleted_with = NULL WHERE deleted_with = $1 AND deleted_at IS NULL"
);
// Rows are closed, never changed, so a tag that comes back is a new row.
statement!(
    REOPEN_TAGS,
    "INSERT INTO tags (package_id, name, version_id, valid_from, moved_by)
     SELECT t.package_id, t.name, t.version_id, CAST($3 AS BIGINT), CAST($4 AS BIGINT) FROM tags t
     WHERE t.version_id = $1 AND t.valid_to = $2
       AND NOT EXISTS (SELECT 1 FROM tags o WHERE o.package_id = t.package_id AND o.name = t.name
                       AND o.valid_to IS NULL)"
);
fn version(row: &Row<'_>) -> Result<Version, CatalogError> {
    Ok(Version {
        id: VersionId(row.int(0)?),
        digest: row.digest(1)?,
        media_type: row.text(2)?,
        size: row.size(3)?,
        artifact_type: row.text_or_null(4)?,
        created_at: Micros(row.int(5)?),
        updated_at: Micros(row.int_or_null(6)?.unwrap_or(row.int(5)?)),
        deleted_at: row.int_or_null(7)?.map(Micros),
        downloads: row.size(8)?,
        part: row.int(9)? != 0,
        deleted_with: row.int_or_null(10)?.map(VersionId),
        last_pulled_at: row.int_or_null(11)?.map(Micros),
        tags: Vec::new(),
        whole: None,
    })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// Versions of the package from the newest on, with their tags, and parts with their whole.
    pub fn versions(
        &mut self,
        may: &Granted<'tx, See>,
        listed: &Listed,
        place: Place,
    ) -> Result<Vec<Version>, CatalogError> {
        let before = place.before.map_or(i64::MAX, |id| id.0);
        let values = [
            may.package().0.into(),
            before.into(),
            Value::Int(place.limit.into()),
            Value::Int(place.skip.into()),
        ];
        let found = match listed {
            Listed::Active => self.rows(&VERSIONS_ACTIVE, &values, version)?,
            Listed::WithParts => self.rows(&VERSIONS_WITH_PARTS, &values, version)?,
            Listed::Deleted { since } => {
                let [package, before, limit, skip] = values;
                self.rows(&VERSIONS_DELETED, &[package, before, limit, skip, since.0.into()], version)?
            }
        };
        self.completed(may.package(), found)
    }

    /// A live version by its number.
    pub fn version(
        &mut self,
        may: &Granted<'tx, See>,
        id: VersionId,
    ) -> Result<Option<Version>, CatalogError> {
        let found = self.row(&VERSION_BY_ID, &[may.package().0.into(), id.0.into()], version)?;
        Ok(self.completed(may.package(), found.into_iter().collect())?.pop())
    }

    /// A live version by its digest.
    pub fn version_by_digest(
        &mut self,
        may: &Granted<'tx, See>,
        digest: &Digest,
    ) -> Result<Option<Version>, CatalogError> {
        let digest = digest.to_bytes();
        let found = self.row(&VERSION_BY_DIGEST, &[may.package().0.into(), (&digest).into()], version)?;
        Ok(self.completed(may.package(), found.into_iter().collect())?.pop())
    }

    /// The version that a tag points at.
    pub fn version_by_tag(
        &mut self,
        may: &Granted<'tx, See>,
        tag: &Tag,
    ) -> Result<Option<Version>, CatalogError> {
        let found = self.row(&VERSION_BY_TAG, &[may.package().0.into(), tag.as_str().into()], version)?;
        Ok(self.completed(may.package(), found.into_iter().collect())?.pop())
    }

    /// A live version, for who may delete it.
    pub fn version_to_delete(
        &mut self,
        may: &Granted<'tx, Delete>,
        id: VersionId,
    ) -> Result<Option<Version>, CatalogError> {
        let found = self.row(&VERSION_BY_ID, &[may.package().0.into(), id.0.into()], version)?;
        Ok(self.completed(may.package(), found.into_iter().collect())?.pop())
    }

    /// The whole that a part is in at last: the first above it that is no part itself. At most some levels up.
    pub fn whole_of(
        &mut self,
        may: &Granted<'tx, Delete>,
        part: &Version,
    ) -> Result<Option<Version>, CatalogError> {
        const LEVELS_MAX: usize = 32;
        let (mut at, mut found) = (part.id, None);
        for _ in 0..LEVELS_MAX {
            let above = self.wholes(may.package(), &[at.0])?.pop().map(|(_, above, _)| above);
            let Some(above) = above else { break };
            let Some(whole) = self.version_to_delete(may, above)? else { break };
            let done = !whole.part;
            at = whole.id;
            found = Some(whole);
            if done {
                break;
            }
        }
        Ok(found)
    }

    /// A deleted version, and whether its digest was pushed again since.
    pub fn version_to_restore(
        &mut self,
        may: &Granted<'tx, Restore>,
        id: VersionId,
    ) -> Result<Option<(Version, bool)>, CatalogError> {
        let found = self.row(&VERSION_DELETED, &[may.package().0.into(), id.0.into()], version)?;
        let Some(found) = self.completed(may.package(), found.into_iter().collect())?.pop() else {
            return Ok(None);
        };
        let again = self.row(&PUSHED_AGAIN, &[id.0.into()], |_| Ok(()))?.is_some();
        Ok(Some((found, again)))
    }

    /// Adds tags and wholes to a page: two more queries, whatever its length.
    fn completed(
        &mut self,
        package: packhouse_access::PackageId,
        mut page: Vec<Version>,
    ) -> Result<Vec<Version>, CatalogError> {
        if page.is_empty() {
            return Ok(page);
        }
        let ids = |wanted: &dyn Fn(&Version) -> bool| -> Vec<i64> {
            page.iter().filter(|version| wanted(version)).map(|version| version.id.0).collect()
        };
        let live = ids(&|version| version.deleted_at.is_none());
        let deleted = ids(&|version| version.deleted_at.is_some());
        let parts = ids(&|version| version.part);
        let mut tags: HashMap<VersionId, Vec<String>> = HashMap::new();
        for (statement, ids) in [(&TAGS_OF_VERSIONS, &live), (&TAGS_OF_DELETED, &deleted)] {
            if !ids.is_empty() {
                let rows = self.rows(statement, &[Value::Numbers(ids), TAGS_MAX.into()], |row| {
                    Ok((VersionId(row.int(0)?), row.text(1)?))
                })?;
                for (id, name) in rows {
                    tags.entry(id).or_default().push(name);
                }
            }
        }
        let wholes: HashMap<VersionId, (VersionId, Digest)> = match parts.as_slice() {
            [] => HashMap::new(),
            parts => {
                let wholes = self.wholes(package, parts)?;
                wholes.into_iter().map(|(part, whole, digest)| (part, (whole, digest))).collect()
            }
        };
        for version in &mut page {
            version.tags = tags.remove(&version.id).unwrap_or_default();
            version.whole = wholes.get(&version.id).copied();
        }
        Ok(page)
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Deletes a version that no rule holds with the parts that only it holds, and closes its tags. Returns how many
    /// went along.
    pub fn delete_whole(
        &mut self,
        may: &impl EndsVersions<'tx>,
        whole: (VersionId, &Digest),
        end: &VersionEnd<'tx>,
        now: Micros,
    ) -> Result<u64, CatalogError> {
        let (package, (id, digest)) = (may.package(), whole);
        if end.version() != id {
            return Err(CatalogError::Corrupt("proof"));
        }
        let parts = self.parts_of_alone(package, digest)?;
        let mut change = Change::default();
        self.end_version(may, end, now, &mut change)?;
        let mut gone = vec![id];
        if !parts.is_empty() {
            let by = may.account().map(|id| id.0);
            let values = [package.0.into(), Value::List(&parts), now.0.into(), by.into(), id.0.into()];
            gone.extend(self.rows(&DELETE_PARTS, &values, |row| row.int(0).map(VersionId))?);
        }
        let taken = gone.len() as u64 - 1;
        change.parts -= count(taken);
        self.settle_gone(id, &mut change)?;
        self.count_versions(package, change, now)?;
        self.uncount_names(package, &gone)?;
        self.review_versions(id, now)?;
        Ok(taken)
    }

    /// Brings a deleted version back with what its deletion took along: its tags where their names are free (and no
    /// rule keeps them from it), and
    /// the blobs of all of them that were taken out of the package and are still there. Returns how many versions
    /// came back with it.
    ///
    /// The caller has asked [`ReadTx::version_to_restore`] whether it can be.
    pub fn restore_version(
        &mut self,
        may: &Granted<'tx, Restore>,
        deleted: &Version,
        back: &TagsBack<'tx>,
        now: Micros,
    ) -> Result<u64, CatalogError> {
        let (package, id) = (may.package(), Value::Int(deleted.id.0));
        about_the_same(package, back.package())?;
        if back.version() != deleted.id {
            return Err(CatalogError::Corrupt("proof"));
        }
        let Some(deleted_at) = deleted.deleted_at else { return Ok(0) };
        let values = [package.0.into(), id, now.0.into()];
        if self.execute(&RESTORE_VERSION, &values)? == 0 {
            return Err(CatalogError::Corrupt("version"));
        }
        let mut back_again = self.rows(&RESTORE_PARTS, &values, |row| row.int(0).map(VersionId))?;
        let taken = back_again.len() as u64;
        back_again.push(deleted.id);
        let by = may.account().map(|id| id.0);
        let reopened = self.execute(&REOPEN_TAGS, &[id, deleted_at.0.into(), now.0.into(), by.into()])?;
        let mut change =
            Change { versions: 1 + count(taken), tagged: i64::from(reopened > 0), ..Change::default() };
        self.settle_arrived(deleted.id, &mut change)?;
        // What is linked again knows who names it: the names of what was linked all the time come before.
        self.count_names(package, &back_again)?;
        self.link_again(package, deleted.id, now)?;
        self.execute(&FORGET_TAKEN, &[id])?;
        self.count_versions(package, change, now)?;
        Ok(taken)
    }
}
