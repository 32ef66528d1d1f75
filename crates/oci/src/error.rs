//! Error codes of the distribution-spec ("Error Codes") and the few that every registry adds to them.
//!
//! Only the words are here. Which failure gets which code and status is the edge's business.

use std::fmt;

/// The `code` of an entry in an OCI error answer.
///
/// Clients act on some of them, so they are not decoration: podman pushes again in another manifest format
/// after `MANIFEST_INVALID` and `TAG_INVALID`; ORAS takes a 404 with `NAME_UNKNOWN` as an error where any other
/// 404 means "no referrers API".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// code-1: blob unknown to the registry.
    BlobUnknown,
    /// code-2: blob upload invalid.
    BlobUploadInvalid,
    /// code-3: blob upload unknown to the registry.
    BlobUploadUnknown,
    /// code-4: the digest does not match the content, or is none.
    DigestInvalid,
    /// code-5: the manifest names a manifest or blob that the registry does not have.
    ManifestBlobUnknown,
    /// code-6: manifest invalid.
    ManifestInvalid,
    /// code-7: manifest unknown to the registry.
    ManifestUnknown,
    /// code-8: invalid package name.
    NameInvalid,
    /// code-9: package name not known to the registry.
    NameUnknown,
    /// code-10: the length does not match the content.
    SizeInvalid,
    /// code-11: authentication required.
    Unauthorized,
    /// code-12: access denied.
    Denied,
    /// code-13: the operation is unsupported.
    Unsupported,
    /// code-14: too many requests.
    TooManyRequests,
    /// A failure of the server; not in the specification, but in every registry.
    Unknown,
    /// The server cannot answer now and may later; not in the specification.
    Unavailable,
    /// A tag outside its grammar; of Docker's registry, understood by clients.
    TagInvalid,
    /// `n` of a listing is not a number; of Docker's registry.
    PaginationNumberInvalid,
}

impl ErrorCode {
    /// Every code, those of the specification first and in its order.
    pub const ALL: [Self; 18] = [
        Self::BlobUnknown,
        Self::BlobUploadInvalid,
        Self::BlobUploadUnknown,
        Self::DigestInvalid,
        Self::ManifestBlobUnknown,
        Self::ManifestInvalid,
        Self::ManifestUnknown,
        Self::NameInvalid,
        Self::NameUnknown,
        Self::SizeInvalid,
        Self::Unauthorized,
        Self::Denied,
        Self::Unsupported,
        Self::TooManyRequests,
        Self::Unknown,
        Self::Unavailable,
        Self::TagInvalid,
        Self::PaginationNumberInvalid,
    ];

    /// The code as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unknown => "UNKNOWN",
            Self::Unavailable => "UNAVAILABLE",
            Self::TagInvalid => "TAG_INVALID",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_in_the_form_the_specification_asks_for() {
        // "The code field MUST be a unique identifier, containing only uppercase alphabetic characters and
        // underscores."
        let codes: BTreeSet<_> = ErrorCode::ALL.map(ErrorCode::as_str).into();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')));
    }
}
