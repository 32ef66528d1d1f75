//! What a place for bytes must be able to do. Files and S3 do it; tests bring one that fails on purpose.
//!
//! A driver knows keys and bytes, nothing of packages and nothing of rights: those who call it through
//! [`BlobStore`](crate::BlobStore) have shown that they may. Each step that may fail or take time is one call whose
//! future is awaited, so that a test can cut between any two of them; a driver that never blocks makes no thread.

use crate::{BlobError, Claim};
use bytes::Bytes;
use packhouse_oci::Hasher;
use std::fmt::Debug;
use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A step of a driver. Dropping it may leave the step half done, but never something that is not named by a row.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, BlobError>> + Send + 'a>>;

/// A place for bytes.
pub trait Driver: Debug + Send + Sync {
    /// A name that the place keeps for ever, so that a catalog can tell that its blobs are here; none when it was
    /// never used.
    fn identity(&self) -> Work<'_, Option<String>>;

    /// Gives the place its name; durable when it returns. Which name is decided by the catalog, so that of several
    /// first starts at once all give the same.
    fn adopt(&self, identity: String) -> Work<'_, ()>;

    /// Whether the place can be reached now and still has its name: one small question, without a list.
    fn ready(&self) -> Work<'_, ()>;

    /// Whether several processes may use the place at once. Sessions are then leased in the catalog.
    fn is_shared(&self) -> bool;

    /// A storage key that was never used and never will be. Random, so that nothing has to be asked; a simulation counts,
    /// so that one seed always gives the same run.
    fn new_key(&self) -> Result<String, BlobError> {
        crate::new_key()
    }

    /// Opens a session for writing after what was acknowledged; what lies beyond that is dropped.
    fn write(&self, from: Start) -> Work<'_, Box<dyn Sink>>;

    /// Opens bytes for reading. Their length is checked before one of them is promised.
    fn read(&self, what: Extent) -> Work<'_, Box<dyn Source>>;

    /// An address where a client reads the bytes itself, for some seconds; `None` when there is no such thing here.
    /// Asks nobody.
    fn address(&self, key: &str) -> Work<'_, Option<String>>;

    /// How long an address works: what is to be removed stays as long.
    fn address_life(&self) -> Duration {
        Duration::ZERO
    }

    /// Removes bytes; what is not there is removed. They cannot come back once it returns, so the row may go.
    fn remove(&self, what: Removal) -> Work<'_, ()>;

    /// Keys behind `after` in byte order, at most `limit`; fewer only at the end. What was removed a moment ago may be
    /// among them. Never on the way of a request.
    fn list(&self, after: Option<String>, limit: usize) -> Work<'_, Vec<Stored>>;

    /// Copies of the catalog that are kept here, under keys that begin with `catalogs/`; [`Driver::list`] shows none of
    /// them. There are a few dozen. A place that has no room for them has none.
    fn list_catalogs(&self) -> Work<'_, Vec<Stored>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// How many bytes lie under a key, if it is there. Never on the way of a request.
    fn stat(&self, key: String) -> Work<'_, Option<u64>>;
}

/// Where the writing of a session goes on.
#[derive(Debug)]
pub struct Start {
    /// The session's storage key.
    pub key: String,
    /// Bytes that were acknowledged.
    pub received: u64,
    /// What the driver asked to be recorded with them; empty before the first.
    pub state: Vec<u8>,
    /// The number of the lease that this request holds; grows with each request, and is 0 where there are none.
    pub epoch: u64,
    /// Records what must be known before bytes go out.
    pub journal: Arc<dyn Journal>,
    /// The right to write the session in this process, to be held until no more of it can be written.
    pub claim: Claim,
}

/// Records a driver's state while a body is still received.
pub trait Journal: Debug + Send + Sync {
    /// Records the state; durable when it returns. [`BlobError::Claimed`] when the session is another's by now.
    fn note(&self, state: Vec<u8>) -> Work<'static, ()>;
}

/// A session being written. Each step takes it and gives it back: after an error it is gone, and the session stands
/// where it was acknowledged last.
pub trait Sink: Debug + Send {
    /// Appends bytes, and hashes them where this costs the connections least.
    fn write(self: Box<Self>, chunks: Vec<Bytes>, hasher: Hasher) -> Work<'static, (Box<dyn Sink>, Hasher)>;

    /// Hashes all bytes of the session again, from its first.
    fn rehash(self: Box<Self>, hasher: Hasher) -> Work<'static, (Box<dyn Sink>, Hasher)>;

    /// Makes durable what was written; to be recorded before it is acknowledged.
    fn sync(self: Box<Self>) -> Work<'static, (Box<dyn Sink>, Kept)>;

    /// Makes what was written durable, and readable under the key it tells. `whole` is the digest of all of it.
    fn finish(self: Box<Self>, whole: packhouse_oci::Digest) -> Work<'static, (Box<dyn Sink>, Kept)>;

    /// Ends the writing and gives back the room of all bytes after the first `received`.
    fn cut(self: Box<Self>, received: u64) -> Work<'static, ()>;
}

/// What a driver asks to be recorded when it has made bytes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// For the next [`Start`]; at most a megabyte.
    pub state: Vec<u8>,
    /// The key under which a finished session's bytes lie.
    pub key: String,
    /// Keys of earlier bytes that are no longer needed once this is recorded.
    pub left: Vec<String>,
}

/// Bytes to read.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Where they lie.
    pub key: String,
    /// How many lie there by the catalog.
    pub size: u64,
    /// The first byte to read.
    pub first: u64,
    /// The byte behind the last one; at most `size`.
    pub end: u64,
}

/// Bytes being read.
pub trait Source: Debug + Send {
    /// The next piece, in order; `None` behind the last one. May work ahead by one piece.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BlobError>>>;

    /// Where the bytes that are still to come lie, when they lie in a file just as they are to be sent. Whoever takes
    /// them from there asks for no more pieces.
    fn file(&self) -> Option<FileRange> {
        None
    }
}

/// Brings bytes that lie in a file another way than by reading them; `None` leaves them to be read.
pub type Way<'a> = dyn FnMut(FileRange) -> Option<Box<dyn Source>> + 'a;

/// Some bytes of an open file.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The file; nothing else moves its cursor, and nobody should look at it.
    pub file: Arc<File>,
    /// The first byte.
    pub first: u64,
    /// The byte behind the last one.
    pub end: u64,
}

/// What to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Where bytes lie.
    pub key: String,
    /// What was recorded of a session that became no blob: it may have left more than its key. Empty for all else.
    pub state: Vec<u8>,
    /// The number of that session's last lease; 0 for all else.
    pub epoch: u64,
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where bytes lie.
    pub key: String,
    /// How many.
    pub size: u64,
}
