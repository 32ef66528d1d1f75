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
    /// A request to the bucket failed.
    #[error("{doing} `{object}` in the bucket")]
    Bucket {
        /// What we were doing.
        doing: &'static str,
        /// With what.
        object: String,
        /// Why not.
        #[source]
        source: Box<object_store::Error>,
    },
    /// The bucket cannot be used as it is configured.
    #[error("the settings of the bucket do not work: {0}")]
    BucketSettings(String),
    /// What was recorded of a session's bytes cannot be read, or does not fit them.
    #[error("what was recorded of an upload session's parts does not fit its bytes")]
    Parts,
    /// A session has no number left for another part: too many requests that wrote it broke off.
    #[error("an upload session has used up its numbers of parts")]
    PartNumbers,
    /// The upload in parts of this session is not in the bucket any more: it was completed for a request whose answer
    /// was lost, with other bytes than these, or the bucket's own rules removed it.
    #[error("the parts of this upload session are gone")]
    Gone,
    /// What had to be recorded before bytes went out was not.
    #[error("recording where bytes go")]
    Journal(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The folder of a backup cannot be used.
    #[error("{0}")]
    Backup(String),
    /// The thread that did it is gone.
    #[error("a blocking task ended early")]
    Ended,
}

impl BlobError {
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> BlobError {
        let path = path.into();
        move |source| BlobError::File { doing, path, source }
    }

    pub(crate) fn bucket(
        doing: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(object_store::Error) -> BlobError {
        let object = object.into();
        move |source| BlobError::Bucket { doing, object, source: Box::new(source) }
    }

    /// Whether the bucket says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            BlobError::Bucket { source, .. } => matches!(**source, object_store::Error::NotFound { .. }),
            _ => false,
        }
    }

    /// Whether it is one blob that is not there, or not as it should be, and no trouble of the whole store.
    pub fn is_damage(&self) -> bool {
        match self {
            BlobError::Length { .. } | BlobError::Promise | BlobError::Gone | BlobError::Key(_) => true,
            // A sector that cannot be read, as well as a file that is gone.
            BlobError::File { doing, source, .. } => {
                *doing == "reading" || source.kind() == io::ErrorKind::NotFound
            }
            _ => self.is_not_found(),
        }
    }

    /// Whether there are no such bytes.
    pub fn is_absent(&self) -> bool {
        match self {
            BlobError::File { source, .. } => source.kind() == io::ErrorKind::NotFound,
            BlobError::Gone => true,
            _ => self.is_not_found(),
        }
    }

    /// Whether bytes are more or fewer than they should be.
    pub fn is_length(&self) -> bool {
        matches!(self, BlobError::Length { .. } | BlobError::Promise)
    }

    /// Whether the disk has bytes that it cannot give.
    pub fn is_unreadable(&self) -> bool {
        // EIO, for which the standard library has no kind; and a file that ended early under the reader.
        matches!(self, BlobError::File { source, .. }
            if source.raw_os_error() == Some(5) || source.kind() == io::ErrorKind::UnexpectedEof)
    }

    /// Whether a name is none that a blob can have.
    pub fn is_foreign(&self) -> bool {
        matches!(self, BlobError::Key(_))
    }

    /// Whether the same may succeed in a while: the disk was full, or the bucket could not be reached.
    pub fn passes(&self) -> bool {
        match self {
            // The others are what somebody said: no such thing, not allowed, not understood.
            BlobError::Bucket { source, .. } => matches!(**source, object_store::Error::Generic { .. }),
            _ => self.is_full() || self.is_out_of_files(),
        }
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
            | BlobError::Promise
            | BlobError::Claimed
            | BlobError::HashState
            | BlobError::Random
            | BlobError::Key(_)
            | BlobError::Bucket { .. }
            | BlobError::BucketSettings(_)
            | BlobError::Parts
            | BlobError::PartNumbers
            | BlobError::Gone
            | BlobError::Journal(_)
            | BlobError::Backup(_)
            | BlobError::Ended => false,
        }
    }
}
