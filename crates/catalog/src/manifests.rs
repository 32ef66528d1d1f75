//! Manifests, and the versions that hold them in packages.

use crate::parts::Change;
use crate::sql::{Row, Value, statement};
use crate::tags::about_the_same;
use crate::warm::ManifestAsked;
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use bytes::Bytes;
use packhouse_access::{
    Delete, EndsVersions, Granted, ManifestId, PackageId, Pull, Push, VersionEnd, VersionId,
};
use packhouse_oci::{Descriptor, Digest, Manifest, ManifestKind, MediaType, Reference};
use std::sync::Arc;

/// A manifest to store.
#[derive(Clone, Debug)]
pub struct NewManifest {
    /// What its bytes hash to.
    pub digest: Digest,
    /// Its bytes as they came.
    pub payload: Vec<u8>,
    /// What they say.
    pub parsed: Manifest,
    /// Its annotations as JSON, for the descriptors of referrers; none when it has none.
    pub annotations: Option<String>,
}

/// A manifest in a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// The version that holds it.
    pub version: VersionId,
    /// Its digest, in the algorithm it was pushed by.
    pub digest: Digest,
    /// The media type it was pushed with.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// The bytes, unless only the rest was asked for.
    pub payload: Bytes,
    /// Until when retention rules leave it ([`WriteTx::pin_version`]).
    pub pinned_until: Micros,
    /// The digest as text, in quotes: made once, and sent in part or whole by each answer.
    pub quoted_digest: Bytes,
}

/// What a push of a manifest did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The version that holds it now.
    pub version: VersionId,
    /// Whether the package did not have it before.
    pub created: bool,
    /// The package has the same bytes under another media type. They stay what they are until
    /// [`WriteTx::retype_version`], which tags may forbid.
    pub retyped: Option<ManifestId>,
}

/// What a manifest names. Numbers in the catalog; never given a new meaning.
const CONFIG: i64 = 1;
const LAYER: i64 = 2;
pub(crate) const CHILD: i64 = 3;
const SUBJECT: i64 = 4;

/// Tries to insert a manifest that a collector removes again and again.
const TRIES_MAX: u32 = 4;

statement!(
    MANIFEST_BY_DIGEST,
    "SELECT v.id, m.digest, m.media_type, m.size, v.pinned_until, m.payload FROM versions v JOIN manifests m ON m.id = v.manifest_id
     WHERE v.package_id = $1 AND v.digest = $2 AND v.deleted_at IS NULL AND m.damaged_at IS NULL"
);
statement!(
    MANIFEST_BY_TAG,
    "SELECT v.id, m.digest, m.media_type, m.size, v.pinned_until, m.payload FROM tags t
     JOIN versions v ON v.id = t.version_id JOIN manifests m ON m.id = v.manifest_id
     WHERE t.package_id = $1 AND t.name = $2 AND t.valid_to IS NULL AND v.deleted_at IS NULL
       AND m.damaged_at IS NULL"
);
statement!(
    MANIFEST_HEAD_BY_DIGEST,
    "SELECT v.id, m.digest, m.media_type, m.size, v.pinned_until FROM versions v JOIN manifests m ON m.id = v.manifest_id
     WHERE v.package_id = $1 AND v.digest = $2 AND v.deleted_at IS NULL AND m.damaged_at IS NULL"
);
statement!(
    MANIFEST_HEAD_BY_TAG,
    "SELECT v.id, m.digest, m.media_type, m.size, v.pinned_until FROM tags t
     JOIN versions v ON v.id = t.version_id JOIN manifests m ON m.id = v.manifest_id
     WHERE t.package_id = $1 AND t.name = $2 AND t.valid_to IS NULL AND v.deleted_at IS NULL
       AND m.damaged_at IS NULL"
);
statement!(MANIFEST_ID, "SELECT id FROM manifests WHERE digest = $1 AND media_type = $2 {share}");
statement!(
    INSERT_MANIFEST,
    "INSERT INTO manifests (digest, media_type, kind, size, artifact_type, subject, annotations, payload)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id"
);
statement!(
    HEAL_MANIFEST,
    "UPDATE manifests SET kind = $3, size = $4, artifact_type = $5, subject = $6, annotations = $7, payload = $8,
       damaged_at = NULL
     WHERE digest = $1 AND media_type = $2 AND damaged_at IS NOT NULL RETURNING id"
);
statement!(DROP_REFS, "DELETE FROM manifest_refs WHERE manifest_id = $1");
statement!(
    INSERT_REFS,
    "INSERT INTO manifest_refs (manifest_id, kind, digest)
     SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), item FROM {list $3} AS items"
);
statement!(
    LIVE_VERSION,
    "SELECT id, manifest_id FROM versions WHERE package_id = $1 AND digest = $2 AND deleted_at IS NULL"
);
statement!(
    INSERT_VERSION,
    "INSERT INTO versions (package_id, manifest_id, digest, subject, created_at, updated_at, created_by)
     VALUES ($1, $2, $3, $4, $5, $5, $6) RETURNING id"
);
statement!(
    INSERT_CHILDREN,
    "INSERT INTO version_children (package_id, digest, version_id)
     SELECT CAST($1 AS BIGINT), digest, CAST($3 AS BIGINT) FROM manifest_refs WHERE manifest_id = $2 AND kind = $4"
);
statement!(
    INSERT_BLOBS,
    "INSERT INTO version_blobs (version_id, digest, package_id)
     SELECT DISTINCT CAST($3 AS BIGINT), digest, CAST($1 AS BIGINT) FROM manifest_refs
     WHERE manifest_id = $2 AND kind IN ($4, $5)"
);
statement!(
    PIN_VERSION,
    "UPDATE versions SET pinned_until = CASE WHEN pinned_until < $3 THEN $3 ELSE pinned_until END
     WHERE package_id = $1 AND id = $2 AND deleted_at IS NULL"
);
statement!(HELD_MANIFEST, "SELECT manifest_id FROM versions WHERE id = $1");
statement!(SET_VERSION_MANIFEST, "UPDATE versions SET manifest_id = $2, subject = $3 WHERE id = $1");
statement!(
    DELETE_VERSION,
    "UPDATE versions SET deleted_at = $3, deleted_by = $4, part = 0
     WHERE package_id = $1 AND id = $2 AND deleted_at IS NULL"
);

/// The kind of a manifest in the catalog.
pub(crate) fn kind_number(kind: ManifestKind) -> Value<'static> {
    Value::Int(match kind {
        ManifestKind::Image => 1,
        ManifestKind::Index => 2,
    })
}

/// What a manifest names, by its kind, each thing once.
pub(crate) fn named(parsed: &Manifest) -> [(i64, Vec<Vec<u8>>); 4] {
    // The same layer may be listed twice.
    fn once<'d>(parts: impl IntoIterator<Item = &'d Descriptor>) -> Vec<Vec<u8>> {
        let mut digests: Vec<Vec<u8>> = parts.into_iter().map(|part| part.digest.to_bytes()).collect();
        digests.sort_unstable();
        digests.dedup();
        digests
    }
    [
        (CONFIG, once(&parsed.config)),
        (LAYER, once(&parsed.layers)),
        (CHILD, once(&parsed.manifests)),
        (SUBJECT, once(&parsed.subject)),
    ]
}

/// A digest as text in quotes.
pub(crate) fn quoted(digest: &Digest) -> Bytes {
    let mut text = String::from("\"");
    digest.push_to(&mut text);
    text.push('"');
    text.into()
}

fn head(row: &Row<'_>) -> Result<ManifestRow, CatalogError> {
    let digest = row.digest(1)?;
    Ok(ManifestRow {
        version: VersionId(row.int(0)?),
        digest,
        media_type: row.text(2)?,
        size: row.size(3)?,
        payload: Bytes::new(),
        pinned_until: Micros(row.int(4)?),
        quoted_digest: quoted(&digest),
    })
}

fn whole(row: &Row<'_>) -> Result<ManifestRow, CatalogError> {
    Ok(ManifestRow { payload: row.bytes(5)?.into(), ..head(row)? })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// A manifest of the package with its bytes.
    pub fn manifest(
        &mut self,
        may: &Granted<'tx, Pull>,
        reference: &Reference,
    ) -> Result<Option<Arc<ManifestRow>>, CatalogError> {
        let package = may.package();
        let found =
            self.recall(ManifestAsked { package, reference }, |tx| tx.whole_manifest(package, reference))?;
        let Some(row) = found else { return Ok(None) };
        Ok(Some(match self.payload_apart(&row.digest)? {
            Some(payload) => Arc::new(ManifestRow { payload, ..ManifestRow::clone(&row) }),
            None => row,
        }))
    }

    fn whole_manifest(
        &mut self,
        package: PackageId,
        reference: &Reference,
    ) -> Result<Option<ManifestRow>, CatalogError> {
        let package = Value::Int(package.0);
        let found = match reference {
            Reference::Tag(tag) => self.row(&MANIFEST_BY_TAG, &[package, tag.as_str().into()], whole),
            Reference::Digest(digest) => {
                self.row(&MANIFEST_BY_DIGEST, &[package, (&digest.to_bytes()).into()], whole)
            }
        }?;
        if let (Some(found), Some(warm)) = (&found, self.connection()?.payloads()) {
            warm.keep_payload(&found.digest, &found.payload);
        }
        Ok(found)
    }

    /// As [`ReadTx::manifest`], for who needs no bytes: they may be missing.
    pub fn manifest_head(
        &mut self,
        may: &Granted<'tx, Pull>,
        reference: &Reference,
    ) -> Result<Option<Arc<ManifestRow>>, CatalogError> {
        let package = may.package();
        self.recall(ManifestAsked { package, reference }, |tx| {
            // Where it is remembered, the next one asks for the bytes.
            if tx.connection()?.learning().is_some() {
                return tx.whole_manifest(package, reference);
            }
            let package = Value::Int(package.0);
            match reference {
                Reference::Tag(tag) => tx.row(&MANIFEST_HEAD_BY_TAG, &[package, tag.as_str().into()], head),
                Reference::Digest(digest) => {
                    tx.row(&MANIFEST_HEAD_BY_DIGEST, &[package, (&digest.to_bytes()).into()], head)
                }
            }
        })
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Stores a manifest as a version of the package; the same bytes again are the same version.
    pub fn put_manifest(
        &mut self,
        may: &Granted<'tx, Push>,
        new: &NewManifest,
        now: Micros,
    ) -> Result<Pushed, CatalogError> {
        let package_id = may.package();
        let package = Value::Int(package_id.0);
        let digest = new.digest.to_bytes();
        let subject = new.parsed.subject.as_ref().map(|subject| subject.digest.to_bytes());
        let manifest = self.manifest_id(new, &digest, subject.as_ref())?;
        let live = self.row(&LIVE_VERSION, &[package, (&digest).into()], |row| {
            Ok((VersionId(row.int(0)?), ManifestId(row.int(1)?)))
        })?;
        if let Some((version, held)) = live {
            let retyped = (held != manifest).then_some(manifest);
            return Ok(Pushed { version, created: false, retyped });
        }
        let by = may.account().map(|id| id.0);
        let values =
            [package, manifest.0.into(), (&digest).into(), subject.as_ref().into(), now.0.into(), by.into()];
        let version = self.inserted(&INSERT_VERSION, &values)?.ok_or(CatalogError::Corrupt("version"))?;
        let version = VersionId(version);
        self.name(package_id, manifest, version)?;
        let mut change = Change { versions: 1, ..Change::default() };
        self.settle_arrived(version, &mut change)?;
        self.count_versions(may.package(), change, now)?;
        self.count_names(package_id, &[version])?;
        Ok(Pushed { version, created: true, retyped: None })
    }

    /// Keeps a version from retention rules until a time; whether it is there. Who is told that a manifest is there
    /// may build on it.
    pub fn pin_version(
        &mut self,
        may: &Granted<'tx, Push>,
        version: VersionId,
        until: Micros,
    ) -> Result<bool, CatalogError> {
        let values = [may.package().0.into(), version.0.into(), until.0.into()];
        Ok(self.execute(&PIN_VERSION, &values)? > 0)
    }

    /// Notes what a new version names, for the package's own questions.
    fn name(
        &mut self,
        package: PackageId,
        manifest: ManifestId,
        version: VersionId,
    ) -> Result<(), CatalogError> {
        let values = [package.0.into(), manifest.0.into(), version.0.into()];
        self.execute(&INSERT_CHILDREN, &[values[0], values[1], values[2], CHILD.into()])?;
        self.execute(&INSERT_BLOBS, &[values[0], values[1], values[2], CONFIG.into(), LAYER.into()]).map(drop)
    }

    /// The numbered bytes of a manifest, which are held from here on. Those that were there may be collected between
    /// the two statements: then they are inserted after all.
    fn manifest_id(
        &mut self,
        new: &NewManifest,
        digest: &Vec<u8>,
        subject: Option<&Vec<u8>>,
    ) -> Result<ManifestId, CatalogError> {
        let parsed = &new.parsed;
        let media_type = parsed.media_type.as_str();
        let values = [
            digest.into(),
            media_type.into(),
            kind_number(parsed.kind),
            i64::try_from(new.payload.len()).unwrap_or(i64::MAX).into(),
            parsed.referrer_artifact_type().into(),
            subject.into(),
            new.annotations.as_deref().into(),
            (&new.payload).into(),
        ];
        let mut tries = 0;
        let id = loop {
            if let Some(id) = self.inserted(&INSERT_MANIFEST, &values)? {
                break id;
            }
            // Bytes that are right take the place of damaged ones, in all packages.
            if let Some(id) = self.inserted(&HEAL_MANIFEST, &values)? {
                self.execute(&DROP_REFS, &[id.into()])?;
                break id;
            }
            if let Some(id) = self.row(&MANIFEST_ID, &[digest.into(), media_type.into()], |row| row.int(0))? {
                return Ok(ManifestId(id));
            }
            tries += 1;
            if tries == TRIES_MAX {
                return Err(CatalogError::Busy);
            }
        };
        self.put_refs(id, parsed)?;
        Ok(ManifestId(id))
    }

    /// What a manifest names, for one of which nothing is noted yet.
    pub(crate) fn put_refs(&mut self, id: i64, parsed: &Manifest) -> Result<(), CatalogError> {
        for (kind, digests) in named(parsed) {
            if !digests.is_empty() {
                self.execute(&INSERT_REFS, &[id.into(), kind.into(), Value::List(&digests)])?;
            }
        }
        Ok(())
    }

    /// Gives a version the media type that its bytes were pushed with last: the last push says what they are.
    pub fn retype_version(
        &mut self,
        may: &Granted<'tx, Push>,
        end: &VersionEnd<'tx>,
        retyped: ManifestId,
        new: &NewManifest,
        now: Micros,
    ) -> Result<(), CatalogError> {
        about_the_same(may.package(), end.package())?;
        let held = self.row(&HELD_MANIFEST, &[end.version().0.into()], |row| row.int(0))?;
        let held = held.map(ManifestId).ok_or(CatalogError::Corrupt("version"))?;
        let subject = new.parsed.subject.as_ref().map(|subject| subject.digest.to_bytes());
        let values = [end.version().0.into(), retyped.0.into(), subject.as_ref().into()];
        self.execute(&SET_VERSION_MANIFEST, &values)?;
        self.uncount_names(end.package(), &[end.version()])?;
        self.forget_named(end.package(), end.version(), held, now)?;
        self.name(end.package(), retyped, end.version())?;
        self.count_names(end.package(), &[end.version()])
    }

    /// The live version of that digest.
    pub fn live_version(
        &mut self,
        may: &Granted<'tx, Delete>,
        digest: &Digest,
    ) -> Result<Option<VersionId>, CatalogError> {
        let digest = digest.to_bytes();
        let values = [may.package().0.into(), (&digest).into()];
        self.row(&LIVE_VERSION, &values, |row| Ok(VersionId(row.int(0)?)))
    }

    /// Deletes a version that no rule holds and takes its tags away. Its parts stay: the protocol deletes what it was
    /// told to, and nothing else.
    pub fn delete_version(
        &mut self,
        may: &Granted<'tx, Delete>,
        end: &VersionEnd<'tx>,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let mut change = Change::default();
        self.end_version(may, end, now, &mut change)?;
        self.settle_gone(end.version(), &mut change)?;
        self.count_versions(may.package(), change, now)?;
        self.uncount_names(may.package(), &[end.version()])?;
        self.review_versions(end.version(), now)
    }

    /// Deletes one version and closes its tags; what it was whole of is not looked at yet.
    pub(crate) fn end_version(
        &mut self,
        may: &impl EndsVersions<'tx>,
        end: &VersionEnd<'tx>,
        now: Micros,
        change: &mut Change,
    ) -> Result<(), CatalogError> {
        let (package, version) = (may.package(), end.version());
        about_the_same(package, end.package())?;
        let Some(state) = self.state(package, version)? else { return Ok(()) };
        let by = may.account().map(|id| id.0);
        self.execute(&DELETE_VERSION, &[package.0.into(), version.0.into(), now.0.into(), by.into()])?;
        self.close_tags_of(version, now)?;
        change.tagged -= i64::from(state.tagged);
        if state.part {
            change.parts -= 1;
        } else {
            change.versions -= 1;
        }
        Ok(())
    }
}

/// So that callers need not import the type for a name only.
impl ManifestRow {
    /// The media type, parsed; what a newer program stored and this one cannot read is an error.
    pub fn media_type(&self) -> Result<MediaType, CatalogError> {
        self.media_type.parse().map_err(|_| CatalogError::Corrupt("media type"))
    }
}
