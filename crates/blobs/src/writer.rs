//! Writing one upload: bytes are hashed as they are written.

use crate::BlobError;
use crate::driver::{Kept, Sink};
use bytes::Bytes;
use packhouse_oci::{Algorithm, Digest, Hasher};

/// An upload being written. Its session is claimed as long as this lives, in a blocking task too.
#[derive(Debug)]
pub struct Writer {
    sink: Box<dyn Sink>,
    hasher: Hasher,
    received: u64,
}

impl Writer {
    pub(crate) fn new(sink: Box<dyn Sink>, hasher: Hasher, received: u64) -> Self {
        Writer { sink, hasher, received }
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

    /// Writes and hashes bytes.
    pub async fn write(self, chunks: Vec<Bytes>) -> Result<Self, BlobError> {
        let received = self.received + chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        let (sink, hasher) = self.sink.write(chunks, self.hasher).await?;
        Ok(Writer { sink, hasher, received })
    }

    /// Ends the writing and drops all bytes after the first `received`: what was refused takes no room.
    pub async fn cut(self, received: u64) -> Result<(), BlobError> {
        self.sink.cut(received).await
    }

    /// Makes all of it durable. What is told with it is to be recorded before anything is acknowledged.
    pub async fn sync(self) -> Result<(Self, Kept), BlobError> {
        let (sink, kept) = self.sink.sync().await?;
        Ok((Writer { sink, ..self }, kept))
    }

    /// Makes all of it durable, and readable once a row says so. `whole` is its digest.
    pub async fn finish(self, whole: Digest) -> Result<(Self, Kept), BlobError> {
        let (sink, kept) = self.sink.finish(whole).await?;
        Ok((Writer { sink, ..self }, kept))
    }

    /// The digest of all bytes. Reads them again when the algorithm is not the one that hashed while receiving.
    pub async fn digest(self, algorithm: Algorithm) -> Result<(Self, Digest), BlobError> {
        if algorithm == self.hasher.algorithm() {
            let digest = self.hasher.clone().finish();
            return Ok((self, digest));
        }
        let (sink, hasher) = self.sink.rehash(Hasher::new(algorithm)).await?;
        Ok((Writer { sink, ..self }, hasher.finish()))
    }
}
