//! Pushing manifests (distribution-spec, "Pushing manifests", end-7).

use crate::access::{caller, decide_push, may_push};
use crate::held::tag_pushed;
use crate::identity::Shown;
use crate::linking::follow;
use crate::{PushError, Service};
use packhouse_access::decide_create;
use packhouse_catalog::NewManifest;
use packhouse_oci::{Algorithm, Digest, Manifest, MediaType, PackageName, Reference, Tag};

/// Bytes of JSON that are read where the request is served.
pub(crate) const INLINE_BYTES_MAX: usize = 16 << 10;

/// A manifest to store.
#[derive(Clone, Debug)]
pub struct PutManifest {
    /// Under which tag, or with which digest.
    pub reference: Reference,
    /// More tags for it (`?tag=` of end-7b). The edge bounds how many.
    pub tags: Vec<Tag>,
    /// What the request says it is.
    pub media_type: Option<MediaType>,
    /// Its bytes. The edge bounds how many.
    pub bytes: Vec<u8>,
    /// Host and port by which the client reaches this server: its own repositories count as sources.
    pub host: Option<String>,
}

/// A manifest that is stored: all of it is on disk.
#[derive(Clone, Debug)]
pub struct ManifestPut {
    /// Its digest.
    pub digest: Digest,
    /// What it names as its subject.
    pub subject: Option<Digest>,
    /// The tags that point at it by this push.
    pub tags: Vec<Tag>,
}

impl Service {
    /// Whether the caller may push to the package now, or create it. Asked before megabytes are read; asked for
    /// real in the transaction that stores them.
    pub async fn may_push(&self, shown: &Shown, name: &PackageName) -> Result<(), PushError> {
        let presented = self.presented(shown)?;
        let (name, now) = (name.clone(), self.clock.now());
        self.catalog
            .read_remembered(move |tx| {
                let caller = caller::<PushError>(tx, &presented, now)?;
                let facts = tx.facts(&caller, name.as_str())?;
                if facts.exists() {
                    decide_push(&facts)?;
                } else {
                    decide_create(&facts)?;
                }
                Ok(())
            })
            .await
    }

    /// Stores a manifest and moves its tags, in one transaction.
    pub async fn put_manifest(
        &self,
        shown: &Shown,
        name: &PackageName,
        put: PutManifest,
    ) -> Result<ManifestPut, PushError> {
        let presented = self.presented(shown)?;
        let asked = match &put.reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => None,
        };
        let algorithm = asked.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let media_type = put.media_type;
        let bytes = put.bytes;
        let put_bytes = bytes.len();
        let parse = move || parse(algorithm, asked, media_type.as_ref(), bytes);
        // Some megabytes are to be hashed and parsed: not on a thread that serves connections. With a few kilobytes, which
        // are the usual, another thread would be longer awake than at work.
        let new = if put_bytes <= INLINE_BYTES_MAX {
            parse()?
        } else {
            tokio::task::spawn_blocking(parse).await.map_err(|_| crate::Fault::Ended)??
        };
        let mut tags: Vec<Tag> = match put.reference {
            Reference::Tag(tag) => vec![tag],
            Reference::Digest(_) => Vec::new(),
        };
        for tag in put.tags {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let answer = ManifestPut {
            digest: new.digest,
            subject: new.parsed.subject.as_ref().map(|subject| subject.digest),
            tags: tags.clone(),
        };
        let said = self.said(&presented, name, &new.parsed, !tags.is_empty(), put.host.as_deref()).await;
        let rule = self.settings.create_repositories;
        let needed = needed_blobs(&new.parsed);
        let sparse = self.settings.sparse_manifests;
        let (name, now) = (name.clone(), self.clock.now());
        self.catalog
            .write(move |tx| {
                let may = may_push::<PushError>(tx, &presented, &name, now)?;
                if !sparse {
                    let missing = tx.missing_blobs(&may, &needed)?;
                    if let Some(first) = missing.first() {
                        return Err(PushError::MissingBlobs { first: *first, count: missing.len() });
                    }
                }
                // Asked before there is one by this push.
                let first = !said.is_nothing() && !tx.ever_had_a_version(&may)?;
                let pushed = tx.put_manifest(&may, &new, now)?;
                tag_pushed::<PushError>(tx, &may, &new, &pushed, &tags, now)?;
                if !said.is_nothing() && (first || !tags.is_empty()) {
                    let caller = caller::<PushError>(tx, &presented, now)?;
                    follow(tx, &caller, &may, &said, rule, first, now)?;
                }
                Ok(())
            })
            .await?;
        Ok(answer)
    }
}

fn parse(
    algorithm: Algorithm,
    asked: Option<Digest>,
    media_type: Option<&MediaType>,
    bytes: Vec<u8>,
) -> Result<NewManifest, PushError> {
    let digest = Digest::of(algorithm, &bytes);
    if let Some(asked) = asked.filter(|asked| *asked != digest) {
        return Err(PushError::Digest { asked, found: digest });
    }
    let parsed = Manifest::parse(media_type, &bytes)?;
    // A map of strings always serialises.
    let annotations = (!parsed.annotations.is_empty())
        .then(|| serde_json::to_string(&parsed.annotations).unwrap_or_default());
    Ok(NewManifest { digest, payload: bytes, parsed, annotations })
}

/// What must be in the package: the config and the layers. Children of an index and the subject may come later
/// or never, and layers that may not be distributed are kept elsewhere.
fn needed_blobs(manifest: &Manifest) -> Vec<Digest> {
    let layers = manifest.layers.iter().filter(|layer| !layer.media_type.is_non_distributable());
    let mut needed: Vec<Digest> = manifest.config.iter().chain(layers).map(|blob| blob.digest).collect();
    needed.sort_unstable();
    needed.dedup();
    needed
}
