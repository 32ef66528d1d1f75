//! Why a manifest is refused.

use crate::descriptor::ARTIFACT_TYPE_CHARS_MAX;
use crate::{DescriptorError, MediaType, MediaTypeError};

use super::{DESCRIPTORS_MAX, NESTING_MAX};

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Docker's schema 1, by its content type or its body.
    #[error(
        "manifests of schema 1 are not supported; push with a current client, or with `docker` 1.10 or later"
    )]
    Schema1,
    /// No type of manifest that this registry knows.
    #[error(
        "manifests of type `{found}` are not supported; send an OCI or Docker manifest with its own type as \
         `Content-Type`"
    )]
    UnsupportedMediaType {
        /// From the header or, without one, from the body.
        found: MediaType,
    },
    /// Header and body disagree; the clients that read it later would believe one or the other.
    #[error(
        "`Content-Type` is `{content_type}` but `mediaType` in the manifest is `{body}`; send the manifest with \
         its own type"
    )]
    MediaTypeMismatch {
        /// From the header.
        content_type: MediaType,
        /// From the body.
        body: MediaType,
    },
    /// `mediaType` of the body is no media type.
    #[error("`mediaType` of the manifest: {0}")]
    MediaType(#[from] MediaTypeError),
    /// Nothing was sent.
    #[error("the manifest is empty; send its JSON as the body of the request")]
    Empty,
    /// A byte order mark in front.
    #[error("the manifest starts with a byte order mark; save it as UTF-8 without one")]
    ByteOrderMark,
    /// Not UTF-8, which JSON must be (RFC 8259 §8.1).
    #[error("the manifest is not UTF-8; its first bad byte is at {position}; JSON must be UTF-8")]
    NotUtf8 {
        /// Where, in bytes from 0.
        position: usize,
    },
    /// Not JSON, cut short, or with something after its end.
    #[error("the manifest is not JSON; correct it and push again: {detail}")]
    NotJson {
        /// What the parser says, with line and column.
        detail: String,
    },
    /// JSON, but not an object.
    #[error("the manifest is not a JSON object; it must start with `{{`")]
    NotObject,
    /// Nested deeper than anyone should have to read.
    #[error("the manifest is nested more than {NESTING_MAX} levels deep; flatten it")]
    TooDeep,
    /// A known field of the wrong JSON type, or given twice.
    #[error("the manifest has a wrong field; correct it and push again: {detail}")]
    Field {
        /// What the parser says, with line and column.
        detail: String,
    },
    /// `schemaVersion` is missing or neither 1 nor 2.
    #[error("`schemaVersion` of a manifest must be 2")]
    SchemaVersion,
    /// Parts of an image and of an index in one body.
    #[error(
        "the manifest has `manifests` and also `config` or `layers`; it must be either an index or an image"
    )]
    Mixed,
    /// Nothing of either, and no type to tell.
    #[error(
        "the manifest has neither `config` and `layers` nor `manifests`; it must be an image or an index"
    )]
    Shapeless,
    /// A field that its type must have.
    #[error("the manifest has no `{field}`, which `{media_type}` must have; a list without entries is `[]`")]
    Missing {
        /// `config`, `layers` or `manifests`.
        field: &'static str,
        /// The type it was read as.
        media_type: MediaType,
    },
    /// One of its descriptors is wrong.
    #[error("`{place}` is not a valid descriptor; {source}")]
    Descriptor {
        /// `config`, `subject`, `layers[3]`, …
        place: String,
        /// What is wrong with it.
        source: DescriptorError,
    },
    /// More descriptors than a manifest may have.
    #[error("the manifest has {count} descriptors; at most {DESCRIPTORS_MAX} are allowed, so split it")]
    TooManyDescriptors {
        /// In all lists together.
        count: u64,
    },
    /// `artifactType` is longer than any media type.
    #[error("`artifactType` has more than {ARTIFACT_TYPE_CHARS_MAX} characters; shorten it")]
    ArtifactTypeTooLong,
}
