//! Content descriptors (image-spec, descriptor.md): a media type, a digest and a size, by which one content
//! refers to another.
//!
//! Left out: `data` is not decoded and `urls` are not kept; a registry passes both on inside the manifest's
//! own bytes and acts on neither. Of `platform`, what tools select by is read, and not checked against any
//! list: BuildKit writes `unknown/unknown` for attestations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, DigestError, MediaType, MediaTypeError};

/// Longest `artifactType` in characters: that of a media type, which it should be.
pub const ARTIFACT_TYPE_CHARS_MAX: usize = 255;

/// A checked descriptor. Serialises as one, without `urls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: MediaType,
    /// Its name.
    pub digest: Digest,
    /// Its size in bytes, at most `i64::MAX`.
    pub size: u64,
    /// What the content is for, where its media type does not say it. Any text of at most 255 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Free notes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whether it names other places to fetch the content from.
    #[serde(skip)]
    pub has_urls: bool,
    /// In an index: what the image runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What an image runs on; texts are empty where the descriptor does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// `linux`, `windows`, …
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a descriptor is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// One of `mediaType`, `digest` and `size` is not there.
    #[error("it has no `{field}`, which every descriptor must have")]
    Missing {
        /// Which one.
        field: &'static str,
    },
    /// `mediaType` is none.
    #[error("its `mediaType`: {0}")]
    MediaType(#[from] MediaTypeError),
    /// `digest` is none, or not of ours.
    #[error("its `digest`: {0}")]
    Digest(#[from] DigestError),
    /// `size` is negative, broken or above `i64::MAX`.
    #[error("its `size` must be a whole number of bytes from 0 to {}", i64::MAX)]
    Size,
    /// `artifactType` is longer than any media type.
    #[error("its `artifactType` has more than {ARTIFACT_TYPE_CHARS_MAX} characters; shorten it")]
    ArtifactTypeTooLong,
}

/// A descriptor as it is written; `null` is taken as absent, as Go's clients mean it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawDescriptor {
    media_type: Option<String>,
    digest: Option<String>,
    size: Option<serde_json::Number>,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    urls: Option<Vec<String>>,
    platform: Option<crate::manifest::Object<Platform>>,
}

impl RawDescriptor {
    pub(crate) fn check(self) -> Result<Descriptor, DescriptorError> {
        let media_type = self.media_type.ok_or(DescriptorError::Missing { field: "mediaType" })?.parse()?;
        let digest = self.digest.ok_or(DescriptorError::Missing { field: "digest" })?.parse()?;
        let size = self.size.ok_or(DescriptorError::Missing { field: "size" })?;
        // Clients and catalogs count in signed 64 bits.
        let size = size.as_u64().filter(|&size| i64::try_from(size).is_ok()).ok_or(DescriptorError::Size)?;
        Ok(Descriptor {
            media_type,
            digest,
            size,
            artifact_type: artifact_type(self.artifact_type).ok_or(DescriptorError::ArtifactTypeTooLong)?,
            annotations: self.annotations.unwrap_or_default(),
            has_urls: self.urls.is_some_and(|urls| !urls.is_empty()),
            platform: self.platform.map(|platform| platform.0),
        })
    }
}

/// An empty `artifactType` is none; one too long is an outer `None`.
///
/// The grammar is not enforced: an artifact type is compared and shown, never parsed, and tools take free text.
pub(crate) fn artifact_type(text: Option<String>) -> Option<Option<String>> {
    match text {
        Some(text) if text.len() > ARTIFACT_TYPE_CHARS_MAX => None,
        text => Some(text.filter(|text| !text.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn check(json: &str) -> Result<Descriptor, DescriptorError> {
        serde_json::from_str::<RawDescriptor>(json).unwrap().check()
    }

    fn with_size(size: &str) -> Result<u64, DescriptorError> {
        check(&format!(r#"{{"mediaType":"a/b","digest":"{EMPTY}","size":{size}}}"#)).map(|found| found.size)
    }

    #[test]
    fn a_full_descriptor_is_read_and_written() {
        let json = format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{EMPTY}","size":2,"artifactType":"a/b","annotations":{{"k":"v"}},"platform":{{"os":"linux","architecture":"arm","variant":"v7"}}}}"#
        );
        let descriptor = check(&json).unwrap();
        assert!(!descriptor.has_urls);
        assert_eq!(serde_json::to_string(&descriptor).unwrap(), json);
    }

    #[test]
    fn null_and_unknown_fields_are_as_if_absent() {
        let descriptor = check(&format!(
            r#"{{"mediaType":"a/b","digest":"{EMPTY}","size":2,"annotations":null,"urls":null,"platform":null,
                "artifactType":"","data":"not base64!","x":[1]}}"#
        ));
        let json = serde_json::to_string(&descriptor.unwrap()).unwrap();
        assert_eq!(json, format!(r#"{{"mediaType":"a/b","digest":"{EMPTY}","size":2}}"#));
    }

    #[test]
    fn sizes_are_whole_numbers_up_to_the_largest_signed_one() {
        assert_eq!(with_size("0"), Ok(0));
        assert_eq!(with_size("9223372036854775807"), Ok(i64::MAX as u64));
        for size in ["9223372036854775808", "99999999999999999999999999", "-1", "-0.5", "1.5", "1e30"] {
            assert_eq!(with_size(size), Err(DescriptorError::Size), "{size}");
        }
        assert_eq!(with_size("null"), Err(DescriptorError::Missing { field: "size" }));
    }

    #[test]
    fn a_foreign_algorithm_can_be_told_from_nonsense() {
        let error = check(r#"{"mediaType":"a/b","digest":"md5:00","size":2}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "its `digest`: digest algorithm `md5` is not supported; use `sha256` or `sha512`"
        );
    }

    #[test]
    fn an_endless_artifact_type_is_refused() {
        let long = "a".repeat(256);
        let json = format!(r#"{{"mediaType":"a/b","digest":"{EMPTY}","size":2,"artifactType":"{long}"}}"#);
        assert_eq!(check(&json), Err(DescriptorError::ArtifactTypeTooLong));
    }
}
