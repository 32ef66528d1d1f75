//! A scrub's look at manifests: their bytes against their digests, and what is noted of them against their bytes.

use crate::manifests::{DROP_REFS, kind_number, named};
use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Done, Micros, ReadTx, WriteTx};
use packhouse_access::{Granted, Scrub};
use packhouse_oci::{Digest, Manifest};
use std::ops::ControlFlow;

/// Bytes of manifests that one look holds.
const BYTES_MAX: usize = 8 << 20;

/// What is wrong with a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestDamage {
    /// Its bytes hash to something else.
    Bytes,
    /// Its bytes are right, though it is marked as damaged.
    Marked,
    /// What is noted of its bytes (what it names, its size, kind, type, subject) is not what they say.
    Noted,
}

/// A manifest that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedManifest {
    /// Its number.
    id: i64,
    /// Its digest.
    pub digest: Digest,
    /// What is wrong.
    pub damage: ManifestDamage,
    /// Paths of packages that hold it, some of them.
    pub paths: Vec<String>,
}

statement!(
    SCRUB_MANIFESTS,
    "SELECT id, digest, media_type, payload, size, kind, artifact_type, subject, COALESCE(damaged_at, 0)
     FROM manifests WHERE id > $1 ORDER BY id LIMIT $2"
);
statement!(
    LOCK_MANIFEST,
    "SELECT id, digest, media_type, payload, size, kind, artifact_type, subject, COALESCE(damaged_at, 0)
     FROM manifests WHERE id = $1 {lock}"
);
statement!(REFS_OF, "SELECT kind, digest FROM manifest_refs WHERE manifest_id = $1 ORDER BY kind, digest");
statement!(
    PACKAGES_OF_MANIFEST,
    "SELECT DISTINCT p.path FROM versions v JOIN packages p ON p.id = v.package_id
     WHERE v.manifest_id = $1 ORDER BY p.path LIMIT $2"
);
statement!(TWINS, "SELECT payload FROM manifests WHERE digest = $1 AND id <> $2");
statement!(MARK_MANIFEST, "UPDATE manifests SET damaged_at = COALESCE(damaged_at, $2) WHERE id = $1");
statement!(
    REPAIR_MANIFEST,
    "UPDATE manifests SET payload = $2, size = $3, kind = $4, artifact_type = $5, subject = $6, damaged_at = NULL
     WHERE id = $1"
);
statement!(
    DAMAGED_MANIFESTS,
    "SELECT id, digest FROM manifests WHERE damaged_at IS NOT NULL AND id > 0 ORDER BY id LIMIT $1"
);

/// A row of a manifest.
struct Stored {
    id: i64,
    digest: Digest,
    media_type: String,
    payload: Vec<u8>,
    size: u64,
    kind: i64,
    artifact_type: Option<String>,
    subject: Option<Vec<u8>>,
    marked: bool,
}

fn stored(row: &Row<'_>) -> Result<Stored, CatalogError> {
    Ok(Stored {
        id: row.int(0)?,
        digest: row.digest(1)?,
        media_type: row.text(2)?,
        payload: row.bytes(3)?,
        size: row.size(4)?,
        kind: row.int(5)?,
        artifact_type: row.text_or_null(6)?,
        subject: row.bytes_or_null(7)?,
        marked: row.int(8)? != 0,
    })
}

impl Stored {
    fn is_whole(&self) -> bool {
        is(&self.payload, &self.digest)
    }

    /// What the bytes say; none when this program cannot read them.
    fn parsed(&self) -> Option<Manifest> {
        Manifest::parse(Some(&self.media_type.parse().ok()?), &self.payload).ok()
    }
}

fn is(payload: &[u8], digest: &Digest) -> bool {
    Digest::of(digest.algorithm(), payload) == *digest
}

fn subject_of(parsed: &Manifest) -> Option<Vec<u8>> {
    parsed.subject.as_ref().map(|subject| subject.digest.to_bytes())
}

impl<'tx> ReadTx<'_, 'tx> {
    /// Looks at manifests behind a number, at most `limit` and some megabytes. Returns the last one's number, none when
    /// there was none, and those that are not as they should be.
    pub fn scrub_manifests(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        after: i64,
        limit: u32,
    ) -> Result<(Option<i64>, u64, Vec<DamagedManifest>), CatalogError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        self.each(&SCRUB_MANIFESTS, &[after.into(), Value::Int(limit.into())], &mut |row| {
            let row = stored(row)?;
            bytes += row.payload.len();
            found.push(row);
            Ok(if bytes < BYTES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        let mut wrong = Vec::new();
        for row in &found {
            if let Some(damage) = self.look_at_manifest(row)? {
                let paths =
                    self.rows(&PACKAGES_OF_MANIFEST, &[row.id.into(), 6.into()], |row| row.text(0))?;
                wrong.push(DamagedManifest { id: row.id, digest: row.digest, damage, paths });
            }
        }
        Ok((found.last().map(|row| row.id), found.len() as u64, wrong))
    }

    fn look_at_manifest(&mut self, row: &Stored) -> Result<Option<ManifestDamage>, CatalogError> {
        if !row.is_whole() {
            return Ok(Some(ManifestDamage::Bytes));
        }
        if row.marked {
            return Ok(Some(ManifestDamage::Marked));
        }
        let noted = match row.parsed() {
            None => row.size == row.payload.len() as u64,
            Some(parsed) => {
                let refs = self.rows(&REFS_OF, &[row.id.into()], |row| Ok((row.int(0)?, row.bytes(1)?)))?;
                let says = named(&parsed).into_iter();
                let says =
                    says.flat_map(|(kind, digests)| digests.into_iter().map(move |digest| (kind, digest)));
                row.size == row.payload.len() as u64
                    && matches!(kind_number(parsed.kind), Value::Int(kind) if kind == row.kind)
                    && row.artifact_type.as_deref() == parsed.referrer_artifact_type()
                    && row.subject == subject_of(&parsed)
                    && says.eq(refs)
            }
        };
        Ok((!noted).then_some(ManifestDamage::Noted))
    }

    /// Digests of damaged manifests, at most `limit`.
    pub fn damaged_manifests(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        limit: u32,
    ) -> Result<Vec<Digest>, CatalogError> {
        self.rows(&DAMAGED_MANIFESTS, &[Value::Int(limit.into())], |row| row.digest(1))
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Looks at a manifest again, and repairs what its own bytes, or the same bytes under another media type, prove; what
    /// nothing proves is treated as not there until it is pushed again. None: there is nothing wrong with it any more.
    pub fn repair_manifest(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        damaged: &DamagedManifest,
        now: Micros,
    ) -> Result<Option<Done>, CatalogError> {
        let Some(mut row) = self.row(&LOCK_MANIFEST, &[damaged.id.into()], stored)? else { return Ok(None) };
        if self.look_at_manifest(&row)?.is_none() {
            return Ok(None);
        }
        if !row.is_whole() {
            let digest = row.digest.to_bytes();
            let twins = self.rows(&TWINS, &[(&digest).into(), row.id.into()], |row| row.bytes(0))?;
            match twins.into_iter().find(|payload| is(payload, &row.digest)) {
                Some(payload) => row.payload = payload,
                None => {
                    self.execute(&MARK_MANIFEST, &[row.id.into(), now.0.into()])?;
                    return Ok(Some(Done::Quarantined));
                }
            }
        }
        let parsed = row.parsed();
        let subject = parsed.as_ref().map_or_else(|| row.subject.clone(), subject_of);
        let values = [
            row.id.into(),
            (&row.payload).into(),
            i64::try_from(row.payload.len()).unwrap_or(i64::MAX).into(),
            parsed.as_ref().map_or(Value::Int(row.kind), |parsed| kind_number(parsed.kind)),
            parsed.as_ref().map_or(row.artifact_type.as_deref(), Manifest::referrer_artifact_type).into(),
            subject.as_ref().into(),
        ];
        self.execute(&REPAIR_MANIFEST, &values)?;
        if let Some(parsed) = &parsed {
            self.execute(&DROP_REFS, &[row.id.into()])?;
            self.put_refs(row.id, parsed)?;
        }
        Ok(Some(Done::Repaired))
    }
}
