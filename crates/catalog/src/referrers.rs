//! Referrers: which versions of a package name another as their subject.

use crate::manifests::CHILD;
use crate::sql::{Value, statement};
use crate::{CatalogError, ReadTx};
use packhouse_access::{Granted, Pull, VersionId};
use packhouse_oci::{Digest, fallback_tag};
use std::ops::ControlFlow;

/// What an index of referrers says of one.
#[derive(Clone, Debug)]
pub struct Referrer {
    /// Its version: the key of the page that follows.
    pub version: VersionId,
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// Its artifact type, or the media type of its config.
    pub artifact_type: Option<String>,
    /// Its annotations as JSON.
    pub annotations: Option<String>,
}

impl ReadTx<'_, '_> {
    /// Artifact types that one request may filter by.
    pub const ARTIFACT_TYPES_MAX: usize = 4;
}

// Two ways to be a referrer: by `subject`, and, for what clients of OCI 1.0 registries left behind, by standing
// in the index under the subject's fallback tag. Each part reads its index in order and stops at the limit.
statement!(
    REFERRERS,
    "SELECT v.id, m.digest, m.media_type, m.size, m.artifact_type, m.annotations FROM (
       SELECT * FROM (SELECT v.id FROM versions v JOIN manifests m ON m.id = v.manifest_id
         WHERE v.package_id = $1 AND v.subject = $2 AND v.deleted_at IS NULL AND v.id > $3
           AND ($6 = 0 OR m.artifact_type IN ($7, $8, $9, $10))
         ORDER BY v.id LIMIT $4) AS by_subject
       UNION
       SELECT * FROM (SELECT v.id FROM tags t CROSS JOIN versions f CROSS JOIN manifest_refs r CROSS JOIN versions v
         CROSS JOIN manifests m
         WHERE f.id = t.version_id AND r.manifest_id = f.manifest_id AND r.kind = $11 AND v.package_id = $1
           AND v.digest = r.digest AND v.deleted_at IS NULL AND v.id > $3 AND m.id = v.manifest_id
           AND t.package_id = $1 AND t.name = $5 AND t.valid_to IS NULL
           AND ($6 = 0 OR m.artifact_type IN ($7, $8, $9, $10))
         ORDER BY v.id LIMIT $4) AS by_fallback_tag
     ) AS found JOIN versions v ON v.id = found.id JOIN manifests m ON m.id = v.manifest_id
     ORDER BY v.id LIMIT $4"
);

impl<'tx> ReadTx<'_, 'tx> {
    /// Referrers of `subject`, oldest first, after `after`; of the given artifact types, or of all when there
    /// are none. Stops at `limit` rows, or before `bytes_max` bytes of annotations (but not before one row).
    /// The second value says whether there may be more.
    ///
    /// At most [`ReadTx::ARTIFACT_TYPES_MAX`] artifact types are looked at.
    pub fn referrers(
        &mut self,
        may: &Granted<'tx, Pull>,
        subject: &Digest,
        artifact_types: &[String],
        after: VersionId,
        limit: u32,
        bytes_max: usize,
    ) -> Result<(Vec<Referrer>, bool), CatalogError> {
        let tag = fallback_tag(subject);
        let subject = subject.to_bytes();
        let wanted = |at: usize| Value::from(artifact_types.get(at).map(String::as_str));
        let values = [
            may.package().0.into(),
            (&subject).into(),
            after.0.into(),
            Value::Int(i64::from(limit) + 1),
            tag.as_str().into(),
            Value::Int(i64::from(!artifact_types.is_empty())),
            wanted(0),
            wanted(1),
            wanted(2),
            wanted(3),
            CHILD.into(),
        ];
        let mut found: Vec<Referrer> = Vec::new();
        let mut bytes = 0;
        let mut more = false;
        self.each(&REFERRERS, &values, &mut |row| {
            let annotations = row.text_or_null(5)?;
            bytes += annotations.as_ref().map_or(0, String::len);
            if found.len() >= limit as usize || (bytes > bytes_max && !found.is_empty()) {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            found.push(Referrer {
                version: VersionId(row.int(0)?),
                digest: row.digest(1)?,
                media_type: row.text(2)?,
                size: row.size(3)?,
                artifact_type: row.text_or_null(4)?,
                annotations,
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((found, more))
    }
}
