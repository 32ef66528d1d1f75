//! Tags. Rows are closed, never changed, which gives the history.

use crate::parts::Change;
use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{Delete, Granted, PackageId, Pull, Push, See, TagEnd, TagMove, VersionId};
use packhouse_oci::{Digest, Tag};

statement!(
    TAGS,
    "SELECT name FROM tags WHERE package_id = $1 AND valid_to IS NULL AND name > $2 ORDER BY name LIMIT $3"
);
statement!(CLOSE_TAG, "UPDATE tags SET valid_to = $2 WHERE id = $1");
statement!(CLOSE_TAGS_OF, "UPDATE tags SET valid_to = $2 WHERE version_id = $1 AND valid_to IS NULL");
// A version of another package is none here: its number alone must not open it.
statement!(
    INSERT_TAG,
    "INSERT INTO tags (package_id, name, version_id, valid_from, moved_by)
     SELECT package_id, CAST($2 AS TEXT), id, CAST($4 AS BIGINT), CAST($5 AS BIGINT) FROM versions
     WHERE id = $3 AND package_id = $1 AND deleted_at IS NULL"
);
statement!(HAS_VERSION, "SELECT id FROM versions WHERE package_id = $1 AND deleted_at IS NULL LIMIT 1");

statement!(
    TAG_HISTORY,
    "SELECT t.id, t.name, v.id, v.digest, t.valid_from, t.valid_to, a.login FROM tags t
     JOIN versions v ON v.id = t.version_id LEFT JOIN accounts a ON a.id = t.moved_by
     WHERE t.package_id = $1 AND t.name = $2 AND t.id < $3 ORDER BY t.id DESC LIMIT $4"
);
statement!(
    TAGS_OPEN,
    "SELECT t.id, t.name, v.id, v.digest, t.valid_from, t.valid_to, a.login, d.downloads, d.last_pulled_at
     FROM tags t
     JOIN versions v ON v.id = t.version_id LEFT JOIN accounts a ON a.id = t.moved_by
     LEFT JOIN tag_downloads d ON d.package_id = t.package_id AND d.name = t.name
     WHERE t.package_id = $1 AND t.valid_to IS NULL AND t.name > $2 ORDER BY t.name LIMIT $3"
);

// At an instant when it moved, it points where it moved to.
statement!(
    TAG_AS_OF,
    "SELECT t.id, t.name, v.id, v.digest, t.valid_from, t.valid_to, a.login FROM tags t
     JOIN versions v ON v.id = t.version_id LEFT JOIN accounts a ON a.id = t.moved_by
     WHERE t.package_id = $1 AND t.name = $2 AND t.valid_from <= $3 AND (t.valid_to IS NULL OR t.valid_to > $3)
     ORDER BY t.id DESC LIMIT 1"
);
statement!(
    TAG_PAST,
    "SELECT t.id, t.name, v.id, v.digest, t.valid_from, t.valid_to, a.login,
       CAST(CASE WHEN v.deleted_at IS NULL THEN 1 ELSE 0 END AS BIGINT)
     FROM tags t JOIN versions v ON v.id = t.version_id LEFT JOIN accounts a ON a.id = t.moved_by
     WHERE t.package_id = $1 AND t.name = $2 ORDER BY t.id DESC LIMIT 2"
);

/// Where a tag pointed, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRow {
    /// The key of the page that follows, in a history.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The version.
    pub version: VersionId,
    /// Its digest.
    pub digest: Digest,
    /// Since when.
    pub valid_from: Micros,
    /// Until when; none: it points there now.
    pub valid_to: Option<Micros>,
    /// Who made it point there, by the name as it was written.
    pub moved_by: Option<String>,
}

/// How often something was pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulls {
    /// So often.
    pub count: u64,
    /// When last.
    pub last_at: Option<Micros>,
}

/// A proof about another package than the one at hand opens nothing.
pub(crate) fn about_the_same(package: PackageId, proven: PackageId) -> Result<(), CatalogError> {
    if package == proven { Ok(()) } else { Err(CatalogError::Corrupt("proof")) }
}

fn tag_row(row: &Row<'_>) -> Result<TagRow, CatalogError> {
    Ok(TagRow {
        id: row.int(0)?,
        name: row.text(1)?,
        version: VersionId(row.int(2)?),
        digest: row.digest(3)?,
        valid_from: Micros(row.int(4)?),
        valid_to: row.int_or_null(5)?.map(Micros),
        moved_by: row.text_or_null(6)?,
    })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// Where a tag pointed, the newest first, before a key of [`TagRow::id`].
    pub fn tag_history(
        &mut self,
        may: &Granted<'tx, See>,
        tag: &Tag,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<TagRow>, CatalogError> {
        let before = before.unwrap_or(i64::MAX);
        let values = [may.package().0.into(), tag.as_str().into(), before.into(), Value::Int(limit.into())];
        self.rows(&TAG_HISTORY, &values, tag_row)
    }

    /// Where a tag pointed at some time.
    pub fn tag_as_of(
        &mut self,
        may: &Granted<'tx, See>,
        tag: &Tag,
        at: Micros,
    ) -> Result<Option<TagRow>, CatalogError> {
        let values = [may.package().0.into(), tag.as_str().into(), at.0.into()];
        self.row(&TAG_AS_OF, &values, tag_row)
    }

    /// The two last rows of a tag, the newest first, with whether their version is alive: what an undo goes by.
    pub fn tag_past(
        &mut self,
        may: &Granted<'tx, Push>,
        tag: &Tag,
    ) -> Result<Vec<(TagRow, bool)>, CatalogError> {
        let values = [may.package().0.into(), tag.as_str().into()];
        self.rows(&TAG_PAST, &values, |row| Ok((tag_row(row)?, row.int(7)? != 0)))
    }

    /// Tags with what they point at and how often they were pulled and when last, in the order of bytes, after
    /// `after`.
    pub fn tags_open(
        &mut self,
        may: &Granted<'tx, See>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(TagRow, Pulls)>, CatalogError> {
        let values = [may.package().0.into(), after.into(), Value::Int(limit.into())];
        self.rows(&TAGS_OPEN, &values, |row| {
            let count = u64::try_from(row.int_or_null(7)?.unwrap_or(0)).unwrap_or(0);
            Ok((tag_row(row)?, Pulls { count, last_at: row.int_or_null(8)?.map(Micros) }))
        })
    }

    /// Names of tags in the order of bytes, after `after`.
    pub fn tags(
        &mut self,
        may: &Granted<'tx, Pull>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, CatalogError> {
        let values = [may.package().0.into(), after.into(), Value::Int(limit.into())];
        self.rows(&TAGS, &values, |row| row.text(0))
    }

    /// Whether the package holds any version: before its first one, or after its last, it is but a name.
    pub fn has_versions(&mut self, may: &Granted<'tx, Pull>) -> Result<bool, CatalogError> {
        Ok(self.row(&HAS_VERSION, &[may.package().0.into()], |_| Ok(()))?.is_some())
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Points a tag that no rule holds at a live version of the package; another's is an error.
    pub fn move_tag(
        &mut self,
        may: &Granted<'tx, Push>,
        tag: &TagMove<'tx>,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let (package, version) = (may.package(), tag.to());
        about_the_same(package, tag.at().package())?;
        let name = Value::Text(tag.at().name());
        let open = tag.at().open();
        if open.is_some_and(|(_, at)| at == version) {
            return Ok(());
        }
        let before = self.state(package, version)?.ok_or(CatalogError::Corrupt("version"))?;
        let mut change = Change::default();
        if let Some((id, left)) = open {
            let tagged = self.state(package, left)?;
            self.execute(&CLOSE_TAG, &[id.into(), now.0.into()])?;
            if let Some(tagged) = tagged {
                self.settle_tag(package, left, tagged, &mut change, now)?;
            }
        }
        let by = may.account().map(|id| id.0);
        let values = [package.0.into(), name, version.0.into(), now.0.into(), by.into()];
        if self.execute(&INSERT_TAG, &values)? == 0 {
            return Err(CatalogError::Corrupt("version"));
        }
        self.settle_tag(package, version, before, &mut change, now)?;
        self.count_versions(package, change, now)
    }

    /// Takes a tag away that no rule holds; whether it was there. Its version stays.
    pub fn delete_tag(
        &mut self,
        may: &Granted<'tx, Delete>,
        tag: &TagEnd<'tx>,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let package = may.package();
        about_the_same(package, tag.at().package())?;
        let Some((id, left)) = tag.at().open() else { return Ok(false) };
        let before = self.state(package, left)?;
        self.execute(&CLOSE_TAG, &[id.into(), now.0.into()])?;
        let mut change = Change::default();
        if let Some(before) = before {
            self.settle_tag(package, left, before, &mut change, now)?;
        }
        self.count_versions(package, change, now)?;
        Ok(true)
    }

    pub(crate) fn close_tags_of(&mut self, version: VersionId, now: Micros) -> Result<(), CatalogError> {
        self.execute(&CLOSE_TAGS_OF, &[version.0.into(), now.0.into()]).map(drop)
    }
}
