//! Writing a session into a bucket, in parts of one size.
//!
//! One part is gathered while the one before is sent, so a session takes the room of two. What is recorded comes before
//! what it names: the upload's id and the numbers of its parts before bytes go out, the parts and the tail when they
//! are acknowledged.

use super::state::{Part, State, Tail};
use super::{Bucket, driven};
use crate::driver::{Extent, Journal, Kept, Sink, Start, Work};
use crate::{BlobError, Claim, key};
use bytes::{Bytes, BytesMut};
use packhouse_oci::{Digest, Hasher};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_blocking};

#[derive(Debug)]
pub(super) struct S3Sink {
    bucket: Bucket,
    key: String,
    epoch: u64,
    journal: Arc<dyn Journal>,
    claim: Arc<Claim>,
    /// What was acknowledged, with what was noted since.
    recorded: State,
    /// The parts of this request, behind those that were acknowledged.
    sent: Vec<Part>,
    /// The last number that was used.
    used: u32,
    sending: Option<JoinHandle<Result<Part, BlobError>>>,
    /// Whether this request has written, or read the tail to go on behind it.
    went_on: bool,
    gathered: VecDeque<Bytes>,
    gathered_bytes: u64,
    /// Whether the bytes lie under the session's key, complete.
    completed: bool,
}

impl S3Sink {
    pub(super) fn open(bucket: Bucket, from: Start) -> Result<Self, BlobError> {
        let recorded = State::read(&from.state, bucket.inner.part_bytes)?;
        if recorded.bytes() != from.received {
            return Err(BlobError::Parts);
        }
        Ok(S3Sink {
            bucket,
            key: from.key,
            epoch: from.epoch,
            journal: from.journal,
            claim: Arc::new(from.claim),
            used: recorded.spent,
            recorded,
            sent: Vec::new(),
            sending: None,
            went_on: false,
            gathered: VecDeque::new(),
            gathered_bytes: 0,
            completed: false,
        })
    }

    async fn append(&mut self, chunks: Vec<Bytes>) -> Result<(), BlobError> {
        if chunks.iter().all(Bytes::is_empty) {
            return Ok(());
        }
        self.go_on().await?;
        for chunk in chunks {
            self.gathered_bytes += chunk.len() as u64;
            self.gathered.push_back(chunk);
        }
        while self.gathered_bytes >= self.recorded.part_bytes {
            let part = self.take(self.recorded.part_bytes);
            self.send(part).await?;
        }
        Ok(())
    }

    /// Takes the tail back into memory, to write behind it.
    async fn go_on(&mut self) -> Result<(), BlobError> {
        if self.went_on {
            return Ok(());
        }
        self.went_on = true;
        if let Some(tail) = self.recorded.tail {
            let extent = Extent {
                key: key::leased(&self.key, tail.epoch),
                size: tail.bytes,
                first: 0,
                end: tail.bytes,
            };
            let mut source = self.bucket.open_source(extent).await?;
            while let Some(piece) = source.piece().await? {
                self.gathered_bytes += piece.len() as u64;
                self.gathered.push_back(piece);
            }
            if self.gathered_bytes != tail.bytes {
                return Err(BlobError::Promise);
            }
        }
        Ok(())
    }

    /// The first `bytes` of what was gathered.
    fn take(&mut self, bytes: u64) -> Vec<Bytes> {
        let mut taken = Vec::new();
        let mut left = bytes.min(self.gathered_bytes);
        self.gathered_bytes -= left;
        while left > 0
            && let Some(mut chunk) = self.gathered.pop_front()
        {
            let length = usize::try_from(left).unwrap_or(usize::MAX);
            if chunk.len() > length {
                self.gathered.push_front(chunk.split_off(length));
            }
            left -= chunk.len() as u64;
            taken.push(chunk);
        }
        taken
    }

    /// Sends a part while the next is gathered.
    async fn send(&mut self, bytes: Vec<Bytes>) -> Result<(), BlobError> {
        self.sent_all().await?;
        let number = self.used.saturating_add(1);
        if self.recorded.multipart.is_none() || number > self.recorded.spent {
            let mut noted = self.recorded.clone();
            if noted.multipart.is_none() {
                noted.multipart = Some(self.bucket.create_multipart(&self.key).await?);
            }
            noted.spent = noted.reserve(self.used)?;
            self.journal.note(noted.write()?).await?;
            self.recorded = noted;
        }
        let upload = self.recorded.multipart.clone().ok_or(BlobError::Parts)?;
        self.used = number;
        let (bucket, key, claim) = (self.bucket.clone(), self.key.clone(), Arc::clone(&self.claim));
        self.sending = Some(tokio::spawn(async move {
            let tag = bucket.put_part(&key, &upload, number, bytes).await;
            drop(claim);
            Ok(Part { number, tag: tag? })
        }));
        Ok(())
    }

    async fn sent_all(&mut self) -> Result<(), BlobError> {
        if let Some(sending) = self.sending.take() {
            let part = sending.await.unwrap_or(Err(BlobError::Ended)).map_err(gone)?;
            self.sent.push(part);
        }
        Ok(())
    }

    /// Makes durable what was written: full parts are sent already, what is behind them becomes the tail.
    async fn keep(&mut self) -> Result<Kept, BlobError> {
        self.sent_all().await?;
        let mut state = self.recorded.clone();
        let mut left = state.small_objects(&self.key, self.epoch.saturating_sub(1));
        if self.went_on {
            state.tail = None;
            if self.gathered_bytes > 0 {
                let bytes = self.gathered_bytes;
                let chunks = self.take(bytes);
                self.bucket.put(&key::leased(&self.key, self.epoch), chunks).await?;
                state.tail = Some(Tail { epoch: self.epoch, bytes });
            }
        } else if let Some(tail) = state.tail {
            left.retain(|key| *key != key::leased(&self.key, tail.epoch));
        }
        state.parts.append(&mut self.sent);
        state.spent = self.used;
        state.epoch = self.epoch;
        Ok(Kept { state: state.write()?, key: self.key.clone(), left })
    }

    /// Makes all of it one object.
    async fn finish_all(&mut self, whole: Digest) -> Result<Kept, BlobError> {
        let left = self.recorded.small_objects(&self.key, self.epoch.saturating_sub(1));
        let state = self.recorded.write()?;
        if !self.in_parts() {
            let key = self.finish_small().await?;
            let left = left.into_iter().filter(|other| *other != key).collect();
            return Ok(Kept { state, key, left });
        }
        match self.complete().await {
            Err(BlobError::Gone) => self.completed_before(whole).await?,
            done => done?,
        }
        Ok(Kept { state, key: self.key.clone(), left })
    }

    fn in_parts(&self) -> bool {
        self.recorded.multipart.is_some() || self.sending.is_some() || !self.sent.is_empty()
    }

    /// All of it fits in one part. A tail that nothing follows is the blob.
    async fn finish_small(&mut self) -> Result<String, BlobError> {
        if let Some(tail) = self.recorded.tail.filter(|_| !self.went_on) {
            return Ok(key::leased(&self.key, tail.epoch));
        }
        let key = key::leased(&self.key, self.epoch);
        let bytes = self.take(self.gathered_bytes);
        self.bucket.put(&key, bytes).await?;
        Ok(key)
    }

    async fn complete(&mut self) -> Result<(), BlobError> {
        if self.completed {
            return Ok(());
        }
        self.go_on().await?;
        if self.gathered_bytes > 0 {
            let last = self.take(self.gathered_bytes);
            self.send(last).await?;
        }
        self.sent_all().await?;
        let upload = self.recorded.multipart.clone().ok_or(BlobError::Parts)?;
        let parts: Vec<Part> = self.recorded.parts.iter().chain(&self.sent).cloned().collect();
        if !parts.is_sorted_by_key(|part| part.number) || parts.is_empty() {
            return Err(BlobError::Parts);
        }
        self.bucket.complete(&self.key, &upload, &parts).await.map_err(gone)?;
        self.completed = true;
        Ok(())
    }

    /// The upload is gone. When a request completed it whose answer or commit was lost, its bytes lie under the key;
    /// that they are the same as these is seen by hashing them, for the client may have sent others this time.
    async fn completed_before(&mut self, whole: Digest) -> Result<(), BlobError> {
        let mut hasher = Hasher::new(whole.algorithm());
        if !self.hash_object(&mut hasher).await? || hasher.finish() != whole {
            return Err(BlobError::Gone);
        }
        self.completed = true;
        Ok(())
    }

    /// Hashes what lies under the session's key, if it is there.
    async fn hash_object(&self, hasher: &mut Hasher) -> Result<bool, BlobError> {
        let Some(size) = self.bucket.size(&self.key).await? else { return Ok(false) };
        let extent = Extent { key: self.key.clone(), size, first: 0, end: size };
        let source = self.bucket.open_source(extent).await?;
        let mut working = hasher.clone();
        *hasher = driven(async move {
            let mut source = source;
            while let Some(piece) = source.piece().await? {
                working.update(&piece);
            }
            Ok::<Hasher, BlobError>(working)
        })
        .await??;
        Ok(true)
    }

    /// Parts cannot be read before they are one object, so they are completed first: a session whose bytes turn out to
    /// be others is ended with its object.
    async fn hash_again(&mut self, hasher: &mut Hasher) -> Result<(), BlobError> {
        if self.in_parts() {
            match self.complete().await {
                // Completed for a request before; whether with the same bytes is what is asked here.
                Ok(()) | Err(BlobError::Gone) => {}
                Err(error) => return Err(error),
            }
            self.completed = self.hash_object(hasher).await?;
            return if self.completed { Ok(()) } else { Err(BlobError::Gone) };
        }
        self.go_on().await?;
        for chunk in &self.gathered {
            hasher.update(chunk);
        }
        Ok(())
    }
}

/// An upload in parts that is not there: completed, or removed by the bucket's own rules.
fn gone(error: BlobError) -> BlobError {
    if error.is_not_found() { BlobError::Gone } else { error }
}

impl Sink for S3Sink {
    fn write(
        mut self: Box<Self>,
        chunks: Vec<Bytes>,
        mut hasher: Hasher,
    ) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(async move {
            // Copied into one: a body in chunks of one byte would otherwise be kept in a million of them.
            let hashed = spawn_blocking(move || {
                let mut piece = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
                for chunk in &chunks {
                    hasher.update(chunk);
                    piece.extend_from_slice(chunk);
                }
                (piece.freeze(), hasher)
            });
            let (piece, hasher) = hashed.await.map_err(|_| BlobError::Ended)?;
            self.append(vec![piece]).await?;
            Ok((self as Box<dyn Sink>, hasher))
        })
    }

    fn rehash(mut self: Box<Self>, mut hasher: Hasher) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(async move {
            self.hash_again(&mut hasher).await?;
            Ok((self as Box<dyn Sink>, hasher))
        })
    }

    fn sync(mut self: Box<Self>) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(async move {
            let kept = self.keep().await?;
            Ok((self as Box<dyn Sink>, kept))
        })
    }

    fn finish(mut self: Box<Self>, whole: Digest) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(async move {
            let kept = self.finish_all(whole).await?;
            Ok((self as Box<dyn Sink>, kept))
        })
    }

    /// What was not acknowledged is in no state, so nothing is taken back; a part that is on its way is waited for, so
    /// that an abort comes behind it.
    fn cut(mut self: Box<Self>, _received: u64) -> Work<'static, ()> {
        Box::pin(async move {
            let _ = self.sent_all().await;
            Ok(())
        })
    }
}
