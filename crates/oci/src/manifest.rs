//! Manifests and indexes (image-spec, manifest.md and image-index.md; Docker's schema 2 and manifest list).
//!
//! A registry keeps a manifest's bytes as they came, because its digest is over them. What is read here is only
//! what the registry acts on: what the manifest is, what it refers to, and what is said about it to people.
//!
//! Left out: Docker's schema 1, which is recognised and refused; the artifact manifest of the image-spec's
//! release candidates, which is an unsupported type; meaning of any annotation. Whether the blobs exist is not
//! for this crate.
//!
//! Surprises: unknown fields are skipped, but a known field given twice is refused, since two readers could
//! take different ones (CVE-2021-41190 is of that family); for the same reason a body with both `layers` and
//! `manifests` is refused whatever its type says. Children of an index need not be manifests: BuildKit puts
//! cache layers there.

mod error;
mod raw;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::error::ManifestError;
pub(crate) use self::raw::Object;
use self::raw::RawManifest;
use crate::descriptor::artifact_type;
use crate::{Descriptor, MediaType};

/// Most descriptors in one manifest, all lists together. Docker stops at 127 layers; the largest indexes known
/// have some hundreds of children.
pub const DESCRIPTORS_MAX: u64 = 10_000;
/// Deepest nesting of JSON in a manifest, in the parts that are skipped too: whoever reads it next may recurse.
pub const NESTING_MAX: usize = 100;

/// What a manifest is in structure, whatever family it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ManifestKind {
    /// Config and layers: an image or any other artifact.
    Image,
    /// A list of other content.
    Index,
}

/// A checked manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Image or index.
    pub kind: ManifestKind,
    /// The type to serve it with.
    pub media_type: MediaType,
    /// `artifactType` as written; see also [`referrer_artifact_type`](Self::referrer_artifact_type).
    pub artifact_type: Option<String>,
    /// Of an image, always there; of an index, never.
    pub config: Option<Descriptor>,
    /// Of an image, in order, the same one possibly more than once.
    pub layers: Vec<Descriptor>,
    /// Of an index, in order, the same one possibly more than once.
    pub manifests: Vec<Descriptor>,
    /// What this is a referrer of. It need not exist.
    pub subject: Option<Descriptor>,
    /// Free notes.
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a manifest that was sent as `content_type`.
    ///
    /// Without a content type, that of the body counts; without either, the OCI type that fits the shape.
    /// Memory is bounded by a small multiple of `bytes`, so the caller bounds those.
    ///
    /// # Errors
    ///
    /// See [`ManifestError`]; each says what to do.
    pub fn parse(content_type: Option<&MediaType>, bytes: &[u8]) -> Result<Self, ManifestError> {
        if content_type.is_some_and(MediaType::is_schema1) {
            return Err(ManifestError::Schema1);
        }
        let raw = raw::read(bytes);
        if let Some(found) = content_type.filter(|given| !is_supported(given)) {
            // Ancient clients send schema 1 as `application/json`; that answer helps them more.
            return Err(match raw {
                Ok(raw) if raw.is_schema1() => ManifestError::Schema1,
                _ => ManifestError::UnsupportedMediaType { found: found.clone() },
            });
        }
        let raw = raw?;
        if raw.is_schema1() {
            return Err(ManifestError::Schema1);
        }
        raw.require_schema_2()?;
        let media_type = media_type(content_type, &raw)?;
        check(media_type, raw)
    }

    /// `artifactType` of the descriptor that represents this manifest in a list of referrers: its own, or for
    /// images without one the config's media type (distribution-spec, "Listing Referrers").
    pub fn referrer_artifact_type(&self) -> Option<&str> {
        let config_type = || self.config.as_ref().map(|config| config.media_type.as_str());
        self.artifact_type.as_deref().or_else(config_type)
    }

    /// The blobs of an image: its config, then its layers in order. Nothing for an index.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(&self.layers)
    }
}

fn is_supported(media_type: &MediaType) -> bool {
    media_type.is_image_manifest() || media_type.is_index()
}

fn media_type(content_type: Option<&MediaType>, raw: &RawManifest) -> Result<MediaType, ManifestError> {
    let body = raw.media_type()?;
    match (content_type, body) {
        (Some(content_type), Some(body)) if *content_type != body => {
            Err(ManifestError::MediaTypeMismatch { content_type: content_type.clone(), body })
        }
        (Some(content_type), _) => Ok(content_type.clone()),
        (None, Some(body)) if is_supported(&body) => Ok(body),
        (None, Some(found)) => Err(ManifestError::UnsupportedMediaType { found }),
        (None, None) if raw.manifests.is_some() => Ok(MediaType::OCI_INDEX),
        (None, None) if raw.has_image_fields() => Ok(MediaType::OCI_MANIFEST),
        (None, None) => Err(ManifestError::Shapeless),
    }
}

fn check(media_type: MediaType, raw: RawManifest) -> Result<Manifest, ManifestError> {
    if raw.manifests.is_some() && raw.has_image_fields() {
        return Err(ManifestError::Mixed);
    }
    let missing = |field| ManifestError::Missing { field, media_type: media_type.clone() };
    let kind = if media_type.is_index() {
        if raw.manifests.is_none() {
            return Err(missing("manifests"));
        }
        ManifestKind::Index
    } else {
        if raw.config.is_none() {
            return Err(missing("config"));
        }
        if raw.layers.is_none() {
            return Err(missing("layers"));
        }
        ManifestKind::Image
    };
    let count = raw.descriptors();
    if count > DESCRIPTORS_MAX {
        return Err(ManifestError::TooManyDescriptors { count });
    }
    Ok(Manifest {
        kind,
        media_type,
        artifact_type: artifact_type(raw.artifact_type).ok_or(ManifestError::ArtifactTypeTooLong)?,
        config: raw::one("config", raw.config)?,
        layers: raw::all("layers", raw.layers)?,
        manifests: raw::all("manifests", raw.manifests)?,
        subject: raw::one("subject", raw.subject)?,
        annotations: raw.annotations.unwrap_or_default(),
    })
}
