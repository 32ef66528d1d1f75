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
    /// A file is not as long as its row says: it was cut or replaced behind our back.
    #[error("`{}` has {found} bytes in place of {expected}", path.display())]
    Length {
        /// Which.
        path: PathBuf,
        /// What the catalog says.
        expected: u64,
        /// What is there.
        found: u64,
    },
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
    /// The thread that did it is gone.
    #[error("a blocking task ended early")]
    Ended,
}

impl BlobError {
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> BlobError {
        let path = path.into();
        move |source| BlobError::File { doing, path, source }
    }

    /// Whether this process, or the whole system, has no file descriptor left.
    pub fn is_out_of_files(&self) -> bool {
        // ENFILE and EMFILE, for which the standard library has no kind.
        matches!(self, BlobError::File { source, .. } if matches!(source.raw_os_error(), Some(23 | 24)))
    }

    /// Whether the disk, or the account's share of it, is full.
    pub fn is_full(&self) -> bool {
        match self {
            BlobError::File { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            BlobError::Length { .. }
            | BlobError::Claimed
            | BlobError::HashState
            | BlobError::Random
            | BlobError::Key(_)
            | BlobError::Ended => false,
        }
    }
}
