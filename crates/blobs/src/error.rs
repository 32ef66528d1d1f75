//! What can go wrong with bytes.

use std::io;
use std::path::PathBuf;

/// The store could not do its work. Paths are for the log, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// An operation on a file or folder failed.
    #[error("{doing} `{}`", path.display())]
    File {
        /// What we were doing.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Bytes are not as many as their row says: they were cut or replaced behind our back.
    #[error("`{place}` has {found} bytes in place of {expected}")]
    Length {
        /// Which.
        place: String,
        /// What the catalog says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// More or fewer bytes came than the length that was checked before.
    #[error("an open blob changed its length")]
    Promise,
    /// Another request writes the same upload session.
    #[error("another request writes this upload session")]
    Claimed,
    /// The stored state of the hash cannot be read.
    #[error("the hash state of an upload session is unreadable")]
    HashState,
    /// The random number generator of the system failed.
    #[error("the system gives no random numbers")]
    Random,
    /// A storage key that this program does not make.
    #[error("`{0}` is not a storage key")]
    Key(String),
    /// What had to be recorded before bytes went out was not.
    #[error("recording where bytes go")]
    Journal(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread that did it is gone.
    #[error("a blocking task ended early")]
    Ended,
}

impl BlobError {
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> BlobError {
        let path = path.into();
        move |source| BlobError::File { doing, path, source }
    }

    /// Whether the disk, or the account's share of it, is full.
    pub fn is_full(&self) -> bool {
        match self {
            BlobError::File { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            BlobError::Length { .. }
            | BlobError::Promise
            | BlobError::Claimed
            | BlobError::HashState
            | BlobError::Random
            | BlobError::Key(_)
            | BlobError::Journal(_)
            | BlobError::Ended => false,
        }
    }
}
