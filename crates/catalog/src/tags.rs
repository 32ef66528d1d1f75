//! Tags. Rows are closed, never changed, which gives the history.

use crate::parts::Change;
use crate::sql::{Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{Delete, Granted, Pull, Push, VersionId};
use packhouse_oci::Tag;

statement!(
    TAGS,
    "SELECT name FROM tags WHERE package_id = $1 AND valid_to IS NULL AND name > $2 ORDER BY name LIMIT $3"
);
statement!(
    OPEN_TAG,
    "SELECT id, version_id FROM tags WHERE package_id = $1 AND name = $2 AND valid_to IS NULL"
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

impl<'tx> ReadTx<'_, 'tx> {
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
    /// Points a tag at a live version of the package; another's is an error.
    pub fn move_tag(
        &mut self,
        may: &Granted<'tx, Push>,
        tag: &Tag,
        version: VersionId,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let package = may.package();
        let name = Value::Text(tag.as_str());
        let open =
            self.row(&OPEN_TAG, &[package.0.into(), name], |row| Ok((row.int(0)?, VersionId(row.int(1)?))))?;
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

    /// Takes a tag away; whether it was there. Its version stays.
    pub fn delete_tag(
        &mut self,
        may: &Granted<'tx, Delete>,
        tag: &Tag,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let package = may.package();
        let values = [package.0.into(), tag.as_str().into()];
        let open = self.row(&OPEN_TAG, &values, |row| Ok((row.int(0)?, VersionId(row.int(1)?))))?;
        let Some((id, left)) = open else { return Ok(false) };
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
