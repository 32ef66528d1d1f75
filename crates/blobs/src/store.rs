//! The store's folder: where files are made, opened and removed.

use crate::{BlobError, Reader, Writer, key};
use packhouse_catalog::{ReadableBlob, TrashedKey, Upload};
use packhouse_oci::Hasher;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::spawn_blocking;

/// Blobs on files below a data folder that this process alone uses. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FileStore {
    root: Arc<PathBuf>,
    claims: Claims,
}

/// The upload sessions that a request writes now. One at a time: two would interleave their bytes.
type Claims = Arc<Mutex<HashSet<String>>>;

/// The right to write one session's file; given back when dropped.
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

impl FileStore {
    /// Opens the store below `root`, making its folders when they are not there. Blocks.
    pub fn open(root: &Path) -> Result<Self, BlobError> {
        let blobs = root.join("blobs");
        make_folder(&blobs)?;
        for fan in 0..=255_u8 {
            make_folder(&blobs.join(format!("{fan:02x}")))?;
        }
        sync_folder(&blobs)?;
        sync_folder(root)?;
        Ok(FileStore { root: Arc::new(root.to_owned()), claims: Claims::default() })
    }

    /// A name that this store keeps for ever, so that a catalog can tell that its blobs are here. Blocks.
    pub fn identity(&self) -> Result<String, BlobError> {
        let path = self.root.join("blobs").join("identity");
        match fs::read_to_string(&path) {
            Ok(identity) => return Ok(identity.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(BlobError::file("reading", path)(source)),
        }
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|_| BlobError::Random)?;
        let identity = format!("{:032x}", u128::from_be_bytes(random));
        let unfinished = path.with_extension("new");
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(identity.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        };
        write().map_err(BlobError::file("writing", &path))?;
        sync_folder(&self.root.join("blobs"))?;
        Ok(identity)
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
    pub async fn writer(&self, upload: &Upload, claim: Claim) -> Result<Writer, BlobError> {
        if claim.upload != upload.id {
            return Err(BlobError::Claimed);
        }
        let path = key::path(&self.root, upload.storage_key())?;
        let hasher = Hasher::resume(&upload.hash_state).map_err(|_| BlobError::HashState)?;
        let received = upload.received;
        blocking(move || Writer::open(path, hasher, received, claim)).await
    }

    /// Opens a blob for reading bytes `first..end`. Its length is checked before a byte is promised.
    pub async fn reader(&self, blob: &ReadableBlob, first: u64, end: u64) -> Result<Reader, BlobError> {
        let path = key::path(&self.root, blob.storage_key())?;
        let expected = blob.size();
        let file = blocking(move || {
            let file = File::open(&path).map_err(BlobError::file("opening", &path))?;
            let found = file.metadata().map_err(BlobError::file("looking at", &path))?.len();
            if found != expected { Err(BlobError::Length { path, expected, found }) } else { Ok(file) }
        })
        .await?;
        Ok(Reader::new(file, first, end.min(expected)))
    }

    /// Removes bytes for good; what is not there is removed. Durable when it returns, so the row may go.
    pub async fn remove(&self, trashed: &TrashedKey) -> Result<(), BlobError> {
        let path = key::path(&self.root, trashed.storage_key())?;
        blocking(move || remove_file(&path)).await
    }
}

fn remove_file(path: &Path) -> Result<(), BlobError> {
    match fs::remove_file(path) {
        Ok(()) => {}
        // An earlier try may have ended before its folder was synced: without that the name could come back after
        // its row is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(BlobError::file("removing", path)(source)),
    }
    path.parent().map_or(Ok(()), sync_folder)
}

fn make_folder(path: &Path) -> Result<(), BlobError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(BlobError::file("making", path)(source)),
    }
}

/// A file's name is on disk only when its folder is.
pub(crate) fn sync_folder(path: &Path) -> Result<(), BlobError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(BlobError::file("syncing", path))
}

/// Disk work never runs on the threads that serve connections.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    spawn_blocking(work).await.unwrap_or(Err(BlobError::Ended))
}
