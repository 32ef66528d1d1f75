//! Every byte against its digest.

use super::rows::located;
use super::{PATHS_MAX, State, Step};
use crate::error::Fault;
use packhouse_blobs::{BlobError, Reader, Stored};
use packhouse_catalog::{BlobDamage, Done, ScrubbedBlob};
use packhouse_oci::{Algorithm, Digest, Hasher};
use serde::{Deserialize, Serialize};

/// Blobs of one look.
const BLOBS: u32 = 50;
/// Bytes that are hashed at once, on a thread of their own.
const PIECE_BYTES: usize = 1 << 20;

/// Something that is hashed over several steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hashing {
    pub(super) key: String,
    pub(super) size: u64,
    offset: u64,
    /// The states of its hashes, in hex.
    states: Vec<String>,
}

impl Hashing {
    pub(super) fn new(stored: &Stored, algorithms: &[Algorithm]) -> Hashing {
        let states = algorithms.iter().map(|algorithm| hex(&Hasher::new(*algorithm).state())).collect();
        Hashing { key: stored.key.clone(), size: stored.size, offset: 0, states }
    }

    fn hashers(&self) -> Result<Vec<Hasher>, BlobError> {
        let resume = |state: &String| Hasher::resume(&unhex(state)?).ok();
        self.states.iter().map(|state| resume(state).ok_or(BlobError::HashState)).collect()
    }
}

/// What the bytes of a blob turned out to be.
enum Verdict {
    /// Right, and so many.
    Right(u64),
    Wrong(BlobDamage),
}

impl Step<'_> {
    /// Hashes on, as far as the step's bytes reach; the digests at the end.
    pub(super) async fn hash(
        &mut self,
        state: &mut State,
        hashing: &mut Hashing,
    ) -> Result<Option<Vec<Digest>>, BlobError> {
        let mut hashers = hashing.hashers()?;
        let take = self.budget.min(hashing.size - hashing.offset);
        if take > 0 {
            let stored = Stored { key: hashing.key.clone(), size: hashing.size };
            let end = hashing.offset + take;
            let mut reader = self.service.store.read_listed(&self.walk, &stored, hashing.offset, end).await?;
            while let Some(piece) = piece(&mut reader).await? {
                hashers = hashed(hashers, piece).await?;
            }
            hashing.offset = end;
            self.budget -= take;
            state.read += take;
        }
        if hashing.offset < hashing.size {
            hashing.states = hashers.iter().map(|hasher| hex(&hasher.state())).collect();
            return Ok(None);
        }
        Ok(Some(hashers.into_iter().map(Hasher::finish).collect()))
    }

    /// Whether it was the last of them.
    pub(super) async fn look_at_blobs(&mut self, state: &mut State) -> Result<bool, Fault> {
        let after: Option<Digest> = state.text.parse().ok();
        let blobs =
            self.service.scrub_read(move |tx, may| tx.scrub_blobs(may, after.as_ref(), BLOBS)).await?;
        let ended = blobs.len() < BLOBS as usize;
        for blob in blobs {
            // The last byte of a step's share may be the last one of a blob.
            if self.is_spent() {
                return Ok(false);
            }
            self.cost += 1;
            let Some(verdict) = self.judge(state, &blob).await? else { return Ok(false) };
            state.text = blob.digest.to_string();
            state.blobs += 1;
            state.bytes = state.bytes.saturating_add(blob.size);
            self.settle_blob(state, blob, verdict).await?;
        }
        Ok(ended)
    }

    /// What the blob's bytes are; none when the step's share ended before they did.
    async fn judge(&mut self, state: &mut State, blob: &ScrubbedBlob) -> Result<Option<Verdict>, Fault> {
        let kept = state.hashing.take().filter(|hashing| hashing.key == blob.key);
        let mut hashing = match kept {
            Some(hashing) => hashing,
            None => match self.service.store.stat(&self.walk, &blob.key).await {
                Ok(Some(size)) => {
                    Hashing::new(&Stored { key: blob.key.clone(), size }, &[blob.digest.algorithm()])
                }
                Ok(None) => return Ok(Some(Verdict::Wrong(BlobDamage::Missing))),
                // No bytes can lie under such a name.
                Err(error) if error.is_foreign() => return Ok(Some(Verdict::Wrong(BlobDamage::Missing))),
                Err(error) => return Err(error.into()),
            },
        };
        let verdict = match self.hash(state, &mut hashing).await {
            Ok(None) => {
                state.hashing = Some(hashing);
                return Ok(None);
            }
            Ok(Some(digests)) if digests.contains(&blob.digest) => Verdict::Right(hashing.size),
            Ok(Some(_)) if hashing.size != blob.size => Verdict::Wrong(BlobDamage::Length),
            Ok(Some(_)) => Verdict::Wrong(BlobDamage::Bytes),
            Err(error) if error.is_absent() => Verdict::Wrong(BlobDamage::Missing),
            Err(error) if error.is_length() => Verdict::Wrong(BlobDamage::Length),
            Err(error) if error.is_unreadable() => Verdict::Wrong(BlobDamage::Unreadable),
            // The store is away: the run goes on here when it is back.
            Err(error) => return Err(error.into()),
        };
        Ok(Some(verdict))
    }

    async fn settle_blob(
        &self,
        state: &mut State,
        blob: ScrubbedBlob,
        verdict: Verdict,
    ) -> Result<(), Fault> {
        let (repair, now) = (state.repair, self.service.clock.now());
        let place = blob.digest.to_string();
        if blob.orphan {
            let what = "no package has this blob, and the collector does not know".to_owned();
            let digest = blob.digest;
            self.settle(state, ("blob-orphan", what, place.clone()), move |tx, may| {
                let orphan = tx.review_orphan(may, &digest, repair, now)?;
                Ok(orphan.then_some(if repair { Done::Repaired } else { Done::Nothing }))
            })
            .await?;
        }
        let (kind, what) = match (&verdict, blob.damage) {
            (Verdict::Right(size), None) if *size == blob.size => return Ok(()),
            (Verdict::Right(size), Some(_)) if *size == blob.size => {
                ("blob-whole", "a quarantined blob whose bytes are right")
            }
            (Verdict::Right(_), _) => {
                ("blob-size", "the catalog has another length of a blob than its bytes")
            }
            (Verdict::Wrong(damage), _) => word(*damage),
        };
        let digest = blob.digest;
        let paths =
            self.service.scrub_read(move |tx, may| tx.packages_of_blob(may, &digest, PATHS_MAX)).await?;
        self.settle(state, (kind, located(what, &paths), place), move |tx, may| {
            // Collected, or pushed again, since it was looked at.
            if !tx.is_still_there(may, &blob)? {
                return Ok(None);
            }
            match &verdict {
                _ if !repair => Ok(Some(Done::Nothing)),
                Verdict::Right(size) => Ok(tx.blob_is_whole(may, &blob, *size)?.then_some(Done::Repaired)),
                Verdict::Wrong(damage) => {
                    Ok(tx.quarantine_blob(may, &blob, *damage, now)?.then_some(Done::Quarantined))
                }
            }
        })
        .await?;
        Ok(())
    }
}

/// A kind of damage in words.
fn word(damage: BlobDamage) -> (&'static str, &'static str) {
    match damage {
        BlobDamage::Missing => ("blob-missing", "the bytes of a blob are not there"),
        BlobDamage::Length => ("blob-length", "a blob has more or fewer bytes than it should"),
        BlobDamage::Bytes => ("blob-bytes", "the bytes of a blob do not hash to its digest"),
        BlobDamage::Unreadable => ("blob-unreadable", "the disk does not give the bytes of a blob"),
    }
}

/// The kinds of findings that bytes found elsewhere repair.
pub(super) const DAMAGED: [&str; 4] = ["blob-missing", "blob-length", "blob-bytes", "blob-unreadable"];

/// The next bytes, about a megabyte; none at the end.
async fn piece(reader: &mut Reader) -> Result<Option<Vec<bytes::Bytes>>, BlobError> {
    let (mut pieces, mut length) = (Vec::new(), 0);
    while length < PIECE_BYTES {
        match std::future::poll_fn(|context| reader.poll_piece(context)).await.transpose()? {
            Some(piece) => {
                length += piece.len();
                pieces.push(piece);
            }
            None => break,
        }
    }
    Ok(if pieces.is_empty() { None } else { Some(pieces) })
}

/// Not on a thread that serves connections.
async fn hashed(mut hashers: Vec<Hasher>, pieces: Vec<bytes::Bytes>) -> Result<Vec<Hasher>, BlobError> {
    let work = move || {
        for hasher in &mut hashers {
            pieces.iter().for_each(|piece| hasher.update(piece));
        }
        hashers
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| BlobError::Ended)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(digit).collect()
}
