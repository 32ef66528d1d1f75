//! Writing one upload: bytes are hashed as they are written.

use crate::BlobError;
use crate::store::{Claim, blocking, sync_folder};
use bytes::Bytes;
use packhouse_oci::{Algorithm, Digest, Hasher};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// How much is read at once when bytes are hashed again.
const REHASH_BYTES: usize = 1 << 20;

/// An upload being written. Its session is claimed as long as this lives, in a blocking task too.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    hasher: Hasher,
    received: u64,
    new: bool,
    _claim: Claim,
}

impl Writer {
    pub(crate) fn open(
        path: PathBuf,
        hasher: Hasher,
        received: u64,
        claim: Claim,
    ) -> Result<Self, BlobError> {
        let failed = |doing| BlobError::file(doing, &path);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("opening"))?;
        let found = file.metadata().map_err(failed("looking at"))?.len();
        if found < received {
            return Err(BlobError::Length { path, expected: received, found });
        }
        if found > received {
            file.set_len(received).map_err(failed("cutting"))?;
        }
        file.seek(SeekFrom::Start(received)).map_err(failed("seeking in"))?;
        // With nothing acknowledged the file may be new, and its name not yet on disk.
        Ok(Writer { file, path, hasher, received, new: received == 0, _claim: claim })
    }

    /// Bytes written so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The state of the hash after them.
    pub fn hash_state(&self) -> Vec<u8> {
        self.hasher.state()
    }

    /// The algorithm that hashes while receiving.
    pub fn algorithm(&self) -> Algorithm {
        self.hasher.algorithm()
    }

    /// Hashes with another algorithm from here on; only before the first byte.
    #[must_use]
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        if self.received == 0 && algorithm != self.hasher.algorithm() {
            self.hasher = Hasher::new(algorithm);
        }
        self
    }

    /// Writes and hashes bytes on a blocking thread.
    pub async fn write(mut self, chunks: Vec<Bytes>) -> Result<Self, BlobError> {
        blocking(move || {
            for chunk in &chunks {
                self.file.write_all(chunk).map_err(BlobError::file("writing", &self.path))?;
                self.hasher.update(chunk);
                self.received += chunk.len() as u64;
            }
            Ok(self)
        })
        .await
    }

    /// Ends the writing and drops all bytes after the first `received`: what was refused takes no disk.
    pub async fn cut(self, received: u64) -> Result<(), BlobError> {
        blocking(move || self.file.set_len(received).map_err(BlobError::file("cutting", &self.path))).await
    }

    /// Puts all of it on disk: the file, and its folder when the file may be new.
    pub async fn sync(mut self) -> Result<Self, BlobError> {
        blocking(move || {
            self.file.sync_data().map_err(BlobError::file("syncing", &self.path))?;
            if self.new {
                if let Some(folder) = self.path.parent() {
                    sync_folder(folder)?;
                }
                self.new = false;
            }
            Ok(self)
        })
        .await
    }

    /// The digest of all bytes. Reads them again when the algorithm is not the one that hashed while receiving.
    pub async fn digest(mut self, algorithm: Algorithm) -> Result<(Self, Digest), BlobError> {
        if algorithm == self.hasher.algorithm() {
            let digest = self.hasher.clone().finish();
            return Ok((self, digest));
        }
        blocking(move || {
            let digest = self.rehash(algorithm)?;
            Ok((self, digest))
        })
        .await
    }

    fn rehash(&mut self, algorithm: Algorithm) -> Result<Digest, BlobError> {
        let mut hasher = Hasher::new(algorithm);
        let mut buffer = vec![0_u8; REHASH_BYTES];
        self.file.seek(SeekFrom::Start(0)).map_err(BlobError::file("seeking in", &self.path))?;
        loop {
            let read = self.file.read(&mut buffer).map_err(BlobError::file("reading", &self.path))?;
            if read == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(&buffer[..read]);
        }
    }
}
