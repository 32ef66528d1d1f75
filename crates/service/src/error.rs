//! What can go wrong, as facts of our field. Each edge has one mapping for each of these, without a `_` arm.

use packhouse_access::{OverQuota, Refused, TagHeld};
use packhouse_blobs::BlobError;
use packhouse_catalog::CatalogError;
use packhouse_oci::{Digest, ManifestError, Reference};

/// Something of ours failed. Its text is for the log; a client is told that it is not their fault, no more.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The blob store.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// A bearer token could not be signed.
    #[error("signing a bearer token")]
    Signing(#[source] jsonwebtoken::errors::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// A task of ours ended early.
    #[error("a task ended early")]
    Ended,
}

impl Fault {
    /// What we were doing and why it failed, for one field of the log: its JSON form shows no sources by itself.
    pub fn chain(&self) -> String {
        packhouse_catalog::chain(self)
    }

    /// Whether the same request may succeed in a while.
    pub fn passes(&self) -> bool {
        match self {
            Fault::Catalog(
                CatalogError::Busy
                | CatalogError::Lost(_)
                | CatalogError::CommitUnknown
                | CatalogError::InDoubt,
            ) => true,
            Fault::Catalog(error) => error.is_full(),
            Fault::Blobs(error) => error.passes(),
            Fault::Signing(_) | Fault::Random | Fault::Ended => false,
        }
    }
}

/// The caller is not who they say, or may not do it.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// What was shown is no credential, or none that works now: unknown, revoked, expired, forged.
    #[error("the credential is not valid")]
    Credential,
    /// A rule says no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The plan of the package's owner has no room for it.
    #[error(transparent)]
    OverQuota(#[from] Box<OverQuota>),
}

/// An error of the catalog as one of a service function: the one that is not ours to answer for is a refusal.
pub(crate) fn of_catalog<E: From<Denied> + From<Fault>>(error: CatalogError) -> E {
    match error {
        CatalogError::OverQuota(over) => Denied::OverQuota(over).into(),
        error => Fault::Catalog(error).into(),
    }
}

/// Gives each error the facts and faults that any service function may end with.
macro_rules! common {
    ($($error:ident),+) => {$(
        impl From<Refused> for $error {
            fn from(refused: Refused) -> Self { Self::Denied(Denied::Refused(refused)) }
        }
        impl From<Denied> for $error {
            fn from(denied: Denied) -> Self { Self::Denied(denied) }
        }
        impl From<CatalogError> for $error {
            fn from(error: CatalogError) -> Self { of_catalog(error) }
        }
        impl From<Fault> for $error {
            fn from(fault: Fault) -> Self { Self::Fault(fault) }
        }
    )+};
}

common!(TokenError, PullError, PushError, UploadError, DeleteError, ListError);

/// A bearer token was not made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Not a valid credential.
    #[error(transparent)]
    Denied(Denied),
    /// Ours.
    #[error(transparent)]
    Fault(Fault),
}

/// A manifest or blob was not found or may not be read.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// May not.
    #[error(transparent)]
    Denied(Denied),
    /// The package has no such tag or manifest.
    #[error("no manifest `{0}`")]
    ManifestUnknown(Reference),
    /// The package has no such blob.
    #[error("no blob `{0}`")]
    BlobUnknown(Digest),
    /// Ours.
    #[error(transparent)]
    Fault(Fault),
}

/// A manifest was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// May not.
    #[error(transparent)]
    Denied(Denied),
    /// The bytes are no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// They hash to something else than the reference says.
    #[error("the manifest's digest is `{found}`, not `{asked}`")]
    Digest {
        /// What the reference says.
        asked: Digest,
        /// What they hash to.
        found: Digest,
    },
    /// The manifest names blobs that the package does not have.
    #[error("{count} blobs are missing; first: {first}")]
    MissingBlobs {
        /// The first of them.
        first: Digest,
        /// How many.
        count: usize,
    },
    /// A rule holds a tag.
    #[error(transparent)]
    TagHeld(#[from] TagHeld),
    /// Ours.
    #[error(transparent)]
    Fault(Fault),
}

/// Bytes were not received, or not made a blob.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// May not.
    #[error(transparent)]
    Denied(Denied),
    /// The caller has no such session in this package.
    #[error("no such upload session")]
    Unknown,
    /// The part does not start where the last one ended. A state to resume from, not a broken request.
    #[error("the part does not continue at byte {received}")]
    OutOfOrder {
        /// The session.
        id: String,
        /// Bytes that are there.
        received: u64,
    },
    /// More than a blob may have.
    #[error("more than {max} bytes")]
    TooLarge {
        /// What it may have.
        max: u64,
    },
    /// The part is not as long as its range says.
    #[error("{found} bytes in place of {expected}")]
    Size {
        /// What was said.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The bytes hash to something else. The session has ended.
    #[error("the digest is `{found}`, not `{asked}`")]
    Digest {
        /// What was said.
        asked: Digest,
        /// What they hash to.
        found: Digest,
    },
    /// Another request writes this session now.
    #[error("another request writes this session")]
    Busy,
    /// The body ended with an error. What came before it is kept.
    #[error("the body broke off")]
    Interrupted,
    /// Ours.
    #[error(transparent)]
    Fault(Fault),
}

impl From<BlobError> for UploadError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Claimed => UploadError::Busy,
            // Nothing can be added to it any more; another session can.
            BlobError::Gone => UploadError::Unknown,
            BlobError::Journal(error) => match error.downcast::<UploadError>() {
                Ok(error) => *error,
                Err(error) => UploadError::Fault(Fault::Blobs(BlobError::Journal(error))),
            },
            error => UploadError::Fault(Fault::Blobs(error)),
        }
    }
}

/// Something was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// May not.
    #[error(transparent)]
    Denied(Denied),
    /// The package has no such tag or manifest.
    #[error("no manifest `{0}`")]
    ManifestUnknown(Reference),
    /// The package has no such blob.
    #[error("no blob `{0}`")]
    BlobUnknown(Digest),
    /// A rule holds a tag.
    #[error(transparent)]
    TagHeld(#[from] TagHeld),
    /// Ours.
    #[error(transparent)]
    Fault(Fault),
}

/// A list was not given.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// May not.
    #[error(transparent)]
    Denied(Denied),
    /// The package holds nothing yet.
    #[error("no package of that name")]
    NameUnknown,
    /// Ours.
    #[error(transparent)]
    Fault(Fault),
}
