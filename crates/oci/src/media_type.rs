//! Media types: the grammar of RFC 6838 §4.2, and the names that registries deal in.
//!
//! Left out: parameters (`; charset=utf-8`) are dropped on reading, no type of ours has any. Case is kept and
//! compared: RFC 6838 says it does not matter, but clients choose their parser by comparing bytes, so a type
//! in another case would be stored and then served to clients that cannot read it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::text::serde_as_text;

/// Longest media type in characters: two names of 127 and a slash (RFC 6838 §4.2).
pub const MEDIA_TYPE_CHARS_MAX: usize = 255;
const RESTRICTED_NAME_CHARS_MAX: usize = 127;

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The empty JSON object, `{}`, in place of a config or layer.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// OCI layer, not compressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer, Zstandard.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// OCI layer that is fetched from elsewhere, not compressed.
pub const OCI_FOREIGN_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
/// OCI layer that is fetched from elsewhere, gzip.
pub const OCI_FOREIGN_LAYER_GZIP: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
/// OCI layer that is fetched from elsewhere, Zstandard.
pub const OCI_FOREIGN_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
/// Docker image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker layer, not compressed.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker layer that is fetched from elsewhere, gzip.
pub const DOCKER_FOREIGN_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
/// Docker layer that is fetched from elsewhere, not compressed.
pub const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
/// Docker image manifest, schema 1: refused.
pub const SCHEMA1_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// Docker image manifest, schema 1 with signatures: refused.
pub const SCHEMA1_SIGNED_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// Those above, which need no check and no copy.
const KNOWN: [&str; 19] = [
    OCI_MANIFEST,
    OCI_INDEX,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_FOREIGN_LAYER,
    OCI_FOREIGN_LAYER_GZIP,
    OCI_FOREIGN_LAYER_ZSTD,
    DOCKER_MANIFEST,
    DOCKER_LIST,
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER,
    DOCKER_FOREIGN_LAYER_GZIP,
    DOCKER_FOREIGN_LAYER,
    SCHEMA1_MANIFEST,
    SCHEMA1_SIGNED_MANIFEST,
];

/// A media type: `type/subtype`, without parameters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType {
    text: Cow<'static, str>,
}

impl MediaType {
    /// [`OCI_MANIFEST`].
    pub const OCI_MANIFEST: Self = Self::known(OCI_MANIFEST);
    /// [`OCI_INDEX`].
    pub const OCI_INDEX: Self = Self::known(OCI_INDEX);
    /// [`OCI_CONFIG`].
    pub const OCI_CONFIG: Self = Self::known(OCI_CONFIG);
    /// [`OCI_EMPTY`].
    pub const OCI_EMPTY: Self = Self::known(OCI_EMPTY);
    /// [`DOCKER_MANIFEST`].
    pub const DOCKER_MANIFEST: Self = Self::known(DOCKER_MANIFEST);
    /// [`DOCKER_LIST`].
    pub const DOCKER_LIST: Self = Self::known(DOCKER_LIST);
    /// [`DOCKER_CONFIG`].
    pub const DOCKER_CONFIG: Self = Self::known(DOCKER_CONFIG);

    const fn known(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text) }
    }

    /// `type/subtype`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, of one that is known here and needs no copy.
    pub fn as_static(&self) -> Option<&'static str> {
        match self.text {
            Cow::Borrowed(text) => Some(text),
            Cow::Owned(_) => None,
        }
    }

    /// An OCI index or a Docker manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self.as_str(), OCI_INDEX | DOCKER_LIST)
    }

    /// An OCI manifest or a Docker manifest of schema 2.
    pub fn is_image_manifest(&self) -> bool {
        matches!(self.as_str(), OCI_MANIFEST | DOCKER_MANIFEST)
    }

    /// A Docker manifest of schema 1, signed or not.
    pub fn is_schema1(&self) -> bool {
        matches!(self.as_str(), SCHEMA1_MANIFEST | SCHEMA1_SIGNED_MANIFEST)
    }

    /// A layer that its client fetches from elsewhere, so that a registry need not have it.
    pub fn is_non_distributable(&self) -> bool {
        matches!(
            self.as_str(),
            OCI_FOREIGN_LAYER
                | OCI_FOREIGN_LAYER_GZIP
                | OCI_FOREIGN_LAYER_ZSTD
                | DOCKER_FOREIGN_LAYER
                | DOCKER_FOREIGN_LAYER_GZIP
        )
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        if let Some(known) = KNOWN.iter().find(|known| **known == text) {
            return Ok(Self::known(known));
        }
        let essence = text.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
        if essence.is_empty() {
            return Err(MediaTypeError::Empty);
        }
        if essence.len() > MEDIA_TYPE_CHARS_MAX {
            return Err(MediaTypeError::TooLong);
        }
        let (kind, subtype) = essence.split_once('/').ok_or(MediaTypeError::Form)?;
        if is_restricted_name(kind) && is_restricted_name(subtype) {
            Ok(Self { text: Cow::Owned(essence.to_owned()) })
        } else {
            Err(MediaTypeError::Form)
        }
    }
}

/// `restricted-name` of RFC 6838 §4.2.
fn is_restricted_name(text: &str) -> bool {
    text.len() <= RESTRICTED_NAME_CHARS_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl AsRef<str> for MediaType {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for MediaType {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for MediaType {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

serde_as_text!(MediaType, "a media type such as `application/json`");

/// Why a text is no media type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaTypeError {
    /// Nothing before the first `;`.
    #[error("the media type is empty; write `type/subtype`")]
    Empty,
    /// More than 255 characters.
    #[error("a media type has at most {MEDIA_TYPE_CHARS_MAX} characters")]
    TooLong,
    /// Outside the grammar.
    #[error("not a media type; write `type/subtype` in the characters of RFC 6838")]
    Form,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn media_type(text: &str) -> Result<MediaType, MediaTypeError> {
        text.parse()
    }

    #[test]
    fn parameters_and_surrounding_blanks_are_dropped() {
        for text in
            ["text/plain", " text/plain ", "text/plain;charset=utf-8", "text/plain ; a=b; c=d", "text/plain;"]
        {
            assert_eq!(media_type(text).unwrap(), "text/plain");
        }
    }

    #[test]
    fn texts_outside_the_grammar_are_refused() {
        for (text, error) in [
            ("", MediaTypeError::Empty),
            (" ; charset=utf-8", MediaTypeError::Empty),
            ("json", MediaTypeError::Form),
            ("/json", MediaTypeError::Form),
            ("application/", MediaTypeError::Form),
            ("a/b/c", MediaTypeError::Form),
            ("*/*", MediaTypeError::Form),
            ("a/b c", MediaTypeError::Form),
            ("a/+json", MediaTypeError::Form),
            ("a/b\n", MediaTypeError::Form),
            ("a/é", MediaTypeError::Form),
            (&format!("a/{}", "b".repeat(128)), MediaTypeError::Form),
            (&format!("a/{}", "b".repeat(300)), MediaTypeError::TooLong),
        ] {
            assert_eq!(media_type(text), Err(error), "{text:?}");
        }
        assert!(media_type(&format!("{0}/{0}", "b".repeat(127))).is_ok());
    }

    #[test]
    fn each_manifest_type_is_of_one_kind() {
        for (text, kinds) in [
            (OCI_MANIFEST, [true, false, false, false]),
            (DOCKER_MANIFEST, [true, false, false, false]),
            (OCI_INDEX, [false, true, false, false]),
            (DOCKER_LIST, [false, true, false, false]),
            (SCHEMA1_MANIFEST, [false, false, true, false]),
            (SCHEMA1_SIGNED_MANIFEST, [false, false, true, false]),
            (OCI_FOREIGN_LAYER_ZSTD, [false, false, false, true]),
            (DOCKER_FOREIGN_LAYER_GZIP, [false, false, false, true]),
            (OCI_LAYER_ZSTD, [false; 4]),
            (DOCKER_LAYER_GZIP, [false; 4]),
            ("application/vnd.OCI.image.manifest.v1+json", [false; 4]),
        ] {
            let known = media_type(text).unwrap();
            let found = [
                known.is_image_manifest(),
                known.is_index(),
                known.is_schema1(),
                known.is_non_distributable(),
            ];
            assert_eq!(found, kinds, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_prints_what_it_parsed(text in "[a-z]{1,9}/[a-z.+]{1,20}(; ?[a-z=]{0,9})?|.*") {
            if let Ok(parsed) = media_type(&text) {
                prop_assert!(text.contains(parsed.as_str()));
                prop_assert_eq!(media_type(parsed.as_str()), Ok(parsed));
            }
        }
    }
}
