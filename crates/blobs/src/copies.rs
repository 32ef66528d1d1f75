//! What copies need of a store: bytes put into an empty one, and copies of the catalog kept beside the blobs.
//!
//! A copy of the catalog lies under `catalogs/<time>`, where no blob is, and no list of blobs shows it. On files that
//! is in the folder of the blobs, so that it is on their disk and not on the catalog's, should those be two.

use crate::driver::{Extent, Journal, Removal, Start, Work};
use crate::{BlobError, BlobStore, Reader, Writer, key};
use packhouse_catalog::{ReadableBlob, StoreCopy};
use packhouse_oci::{Algorithm, Hasher};
use std::sync::Arc;

/// A copy of the catalog in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    key: String,
    size: u64,
}

impl Snapshot {
    /// Its name, which orders it by time.
    pub fn name(&self) -> &str {
        key::snapshot_name(&self.key).unwrap_or_default()
    }
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Nothing is recorded: who puts the same again begins at the first byte. What a process that died left of an upload in
/// parts is the bucket's own rule's to abort.
#[derive(Debug)]
struct NoJournal;

impl Journal for NoJournal {
    fn note(&self, _state: Vec<u8>) -> Work<'static, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl BlobStore {
    /// Writes the bytes of a blob of a house that is being restored; once finished, they lie where [`Writer::finish`]
    /// says. The same blob may be written again after an interruption.
    pub async fn copy_writer(&self, _may: &StoreCopy, blob: &ReadableBlob) -> Result<Writer, BlobError> {
        // An interrupted try may have had another place recorded: the session's own key is before the dot.
        let key = blob.storage_key().split('.').next().unwrap_or_default();
        self.writer_of(key, blob.digest().algorithm()).await
    }

    /// Writes a copy of the catalog under that name. It is there, whole, once it is finished, and not before.
    pub async fn snapshot_writer(&self, _may: &StoreCopy, name: &str) -> Result<Writer, BlobError> {
        self.writer_of(&key::snapshot(name)?, Algorithm::Sha256).await
    }

    async fn writer_of(&self, key: &str, algorithm: Algorithm) -> Result<Writer, BlobError> {
        let claim = self.claim(key)?;
        let (journal, state) = (Arc::new(NoJournal), Vec::new());
        let from = Start { key: key.to_owned(), received: 0, state, epoch: 1, journal, claim };
        Ok(Writer::new(self.driver().write(from).await?, Hasher::new(algorithm), 0))
    }

    /// The copies of the catalog that are kept here, the oldest first; as with [`BlobStore::list`], one that was removed a
    /// moment ago may be among them.
    pub async fn snapshots(&self, _may: &StoreCopy) -> Result<Vec<Snapshot>, BlobError> {
        let listed = self.driver().list_catalogs().await?;
        let ours = listed.into_iter().filter(|stored| key::snapshot_name(&stored.key).is_some());
        let mut found: Vec<_> = ours.map(|stored| Snapshot { key: stored.key, size: stored.size }).collect();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// Opens a copy of the catalog for reading.
    pub async fn snapshot_reader(&self, _may: &StoreCopy, snapshot: &Snapshot) -> Result<Reader, BlobError> {
        let (key, size) = (snapshot.key.clone(), snapshot.size);
        let source = self.driver().read(Extent { key, size, first: 0, end: size }).await?;
        Ok(Reader::new(source, size))
    }

    /// Removes a copy of the catalog.
    pub async fn remove_snapshot(&self, _may: &StoreCopy, snapshot: &Snapshot) -> Result<(), BlobError> {
        self.driver().remove(Removal { key: snapshot.key.clone(), state: Vec::new(), epoch: 0 }).await
    }

    /// Whether nothing lies in the store: neither a name, nor blobs, nor copies of a catalog.
    pub async fn is_empty(&self, _may: &StoreCopy) -> Result<bool, BlobError> {
        Ok(self.identity().await?.is_none()
            && self.driver().list(None, 1).await?.is_empty()
            && self.driver().list_catalogs().await?.is_empty())
    }
}
