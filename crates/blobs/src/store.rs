//! The one door to bytes: it opens, writes and removes what the catalog says may be.

use crate::driver::{Driver, Extent, Journal, Removal, Start, Stored};
use crate::files::Files;
use crate::s3::{Bucket, S3Settings};
use crate::{BlobError, Reader, Writer};
use packhouse_catalog::{ReadableBlob, StoreWalk, TrashedKey, Upload};
use packhouse_oci::Hasher;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Most keys of one page of a list.
pub const LIST_MAX: usize = 1_000;

/// Blobs, wherever they lie. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlobStore {
    driver: Arc<dyn Driver>,
    claims: Claims,
}

/// The upload sessions that a request writes now. One at a time: two would interleave their bytes.
type Claims = Arc<Mutex<HashSet<String>>>;

/// The right to write one session in this process; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    upload: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.upload);
    }
}

impl BlobStore {
    /// On files below `root`, which this process alone uses. Makes its folders when they are not there. Blocks.
    pub fn files(root: &Path) -> Result<Self, BlobError> {
        Ok(BlobStore::of(Arc::new(Files::open(root)?)))
    }

    /// On a driver.
    pub fn of(driver: Arc<dyn Driver>) -> Self {
        BlobStore { driver, claims: Claims::default() }
    }

    /// In a bucket, which several processes may use.
    pub fn s3(settings: &S3Settings) -> Result<Self, BlobError> {
        Ok(BlobStore::of(Arc::new(Bucket::open(settings)?)))
    }

    /// A name that this store keeps for ever, so that a catalog can tell that its blobs are here; none before the
    /// first start.
    pub async fn identity(&self) -> Result<Option<String>, BlobError> {
        self.driver.identity().await
    }

    /// Gives the store its name.
    pub async fn adopt(&self, identity: &str) -> Result<(), BlobError> {
        self.driver.adopt(identity.to_owned()).await
    }

    /// Whether the store can be reached now.
    pub async fn ready(&self) -> Result<(), BlobError> {
        self.driver.ready().await
    }

    /// Whether several processes may use the store at once. Upload sessions are then leased in the catalog.
    pub fn is_shared(&self) -> bool {
        self.driver.is_shared()
    }

    /// A storage key for a new upload session.
    pub fn new_key(&self) -> Result<String, BlobError> {
        self.driver.new_key()
    }

    /// Takes the right to write an upload session, by its identifier; [`BlobError::Claimed`] when another request
    /// has it. Taken *before* the session's row is read: whoever writes then knows all that was acknowledged.
    pub fn claim(&self, upload: &str) -> Result<Claim, BlobError> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if !claims.insert(upload.to_owned()) {
            return Err(BlobError::Claimed);
        }
        Ok(Claim { claims: Arc::clone(&self.claims), upload: upload.to_owned() })
    }

    /// Opens a session for writing after what was acknowledged; bytes beyond that, of a request that was cut
    /// off, are dropped.
    pub async fn writer(
        &self,
        upload: &Upload,
        claim: Claim,
        journal: Arc<dyn Journal>,
    ) -> Result<Writer, BlobError> {
        if claim.upload != upload.id {
            return Err(BlobError::Claimed);
        }
        let hasher = Hasher::resume(&upload.hash_state).map_err(|_| BlobError::HashState)?;
        let from = Start {
            key: upload.storage_key().to_owned(),
            received: upload.received,
            state: upload.store_state().to_vec(),
            epoch: upload.epoch(),
            journal,
            claim,
        };
        Ok(Writer::new(self.driver.write(from).await?, hasher, upload.received))
    }

    /// Opens a blob for reading bytes `first..end`. Its length is checked before a byte is promised.
    pub async fn reader(&self, blob: &ReadableBlob, first: u64, end: u64) -> Result<Reader, BlobError> {
        let (key, size) = (blob.storage_key().to_owned(), blob.size());
        let end = end.min(size);
        let source = self.driver.read(Extent { key, size, first, end }).await?;
        Ok(Reader::new(source, end.saturating_sub(first)))
    }

    /// An address where a client reads the blob itself for some seconds, if the store has such a thing.
    pub async fn address(&self, blob: &ReadableBlob) -> Result<Option<String>, BlobError> {
        self.driver.address(blob.storage_key()).await
    }

    /// How long such an address works: what is to be removed stays as long.
    pub fn address_life(&self) -> Duration {
        self.driver.address_life()
    }

    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// Removes bytes for good; what is not there is removed. Durable when it returns, so the row may go.
    pub async fn remove(&self, trashed: &TrashedKey) -> Result<(), BlobError> {
        let (key, state) = (trashed.storage_key().to_owned(), trashed.store_state().to_vec());
        self.driver.remove(Removal { key, state, epoch: trashed.epoch() }).await
    }

    /// What lies in the store behind the key `after`, in byte order, at most [`LIST_MAX`]; fewer only at the end. A
    /// bucket may list what was removed a moment ago (some engines ask nodes that have not heard of it): [`Self::stat`]
    /// tells.
    /// For who compares the store with the catalog, never for a request.
    pub async fn list(
        &self,
        _may: &StoreWalk,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Stored>, BlobError> {
        self.driver.list(after.map(str::to_owned), limit.clamp(1, LIST_MAX)).await
    }

    /// Opens bytes `first..end` of something that was listed, whatever it is. For who compares, never for a request.
    pub async fn read_listed(
        &self,
        _may: &StoreWalk,
        listed: &Stored,
        first: u64,
        end: u64,
    ) -> Result<Reader, BlobError> {
        let (key, size) = (listed.key.clone(), listed.size);
        let end = end.min(size);
        let source = self.driver.read(Extent { key, size, first, end }).await?;
        Ok(Reader::new(source, end.saturating_sub(first)))
    }

    /// How many bytes lie under a key, if it is there. For who compares, never for a request.
    pub async fn stat(&self, _may: &StoreWalk, key: &str) -> Result<Option<u64>, BlobError> {
        self.driver.stat(key.to_owned()).await
    }
}
