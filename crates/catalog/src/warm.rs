//! What the process that owns its SQLite file remembers of it, so that a warm pull does no I/O: callers, the facts of
//! packages, manifests, where blobs lie, and the plans of owners.
//!
//! Exact, not nearly: whoever asks after a change was acknowledged is answered by it.
//!
//! - **Nobody has to remember to forget.** Triggers on the writer's own connection ([`watch`]) see each change of what is
//!   remembered, whatever statement makes it, and mark *shards*: a token, a path, a package, or all places. A test asks
//!   SQLite which columns the remembered statements read and compares them with the triggers.
//! - **Times, not messages.** [`stamps`]: a commit's marks are announced before it and published between it and its
//!   acknowledgement; in between, what is remembered of the marked shards holds for nobody, since the database may show the
//!   commit to others already. What is remembered carries the time *before* its snapshot was taken, so what was read beside
//!   a commit counts as older than it. It holds while none of its shards was marked later.
//! - **Check and use are one moment.** A transaction on what is remembered ([`Known`]) runs the same closure as one on the
//!   database, with a brand of its own. When it is over, everything that it used must still hold: so it saw what all
//!   acknowledged changes left, at the moment when it ended. Otherwise, or when anything is missing, it never happened,
//!   and the closure runs on the database.
//!
//! On PostgreSQL other nodes write too, so nothing that changes is remembered: one statement brings it all
//! ([`crate::glance`]), and the closure runs on its rows. Only the bytes of manifests, which never change, are kept.
//!
//! Nothing is remembered from a transaction that writes: it may still be rolled back.

pub(crate) mod stamps;
mod things;
pub(crate) mod watch;

pub(crate) use things::{BlobKey, CallerKey, FactsAsked, ManifestAsked, PlaceAsked, Thing};

use crate::CatalogError;
use crate::glance::Fetched;
use crate::transaction::{ReadTx, knowing};
use ahash::RandomState;
use packhouse_oci::Digest;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};
use stamps::{Shard, Stamps};
use std::hash::Hash;
use std::sync::Arc;

/// Things that one transaction uses of what is remembered; a pull has at most four.
const USES_MAX: usize = 8;

/// Bytes that are remembered, of keys and values, when nobody says otherwise.
pub(crate) const BYTES_DEFAULT: u64 = 32 << 20;

/// What an entry takes beside its own bytes, about.
const ENTRY_BYTES: u64 = 200;
/// What an entry takes on an average, for the size of the tables.
const ENTRY_BYTES_USUAL: u64 = 1024;

/// Something remembered, with the time it is from and what may end it.
pub(crate) struct Entry<T> {
    as_of: u64,
    shards: [Shard; 3],
    value: Arc<T>,
}

/// A cache of one kind of thing, bounded by bytes.
pub(crate) struct Memory<T: Thing>(Cache<T::Key, Arc<Entry<T>>, Weight, RandomState>);

#[derive(Clone)]
pub(crate) struct Weight;

impl<T: Thing> Weighter<T::Key, Arc<Entry<T>>> for Weight {
    fn weight(&self, key: &T::Key, entry: &Arc<Entry<T>>) -> u64 {
        ENTRY_BYTES + entry.value.bytes(key)
    }
}

#[derive(Clone)]
struct Length;

impl Weighter<Digest, bytes::Bytes> for Length {
    fn weight(&self, _key: &Digest, payload: &bytes::Bytes) -> u64 {
        ENTRY_BYTES + payload.len() as u64
    }
}

fn cache<K: Eq + Hash, V: Clone, W: Weighter<K, V> + Clone>(
    bytes: u64,
    weighter: W,
) -> Cache<K, V, W, RandomState> {
    let items = usize::try_from(bytes / ENTRY_BYTES_USUAL).unwrap_or(usize::MAX).max(16);
    let mut options = OptionsBuilder::new();
    options.estimated_items_capacity(items).weight_capacity(bytes);
    // Two or three threads come here; each part of the cache has the smallest size that holds a manifest.
    options.shards(4);
    match options.build() {
        Ok(options) => Cache::with_options(options, weighter, RandomState::new(), Default::default()),
        Err(_) => Cache::with(items, bytes, weighter, RandomState::new(), Default::default()),
    }
}

impl<T: Thing> Memory<T> {
    fn new(bytes: u64) -> Self {
        Memory(cache(bytes, Weight))
    }
}

/// All that is remembered. Shared by the connections of one catalog.
pub(crate) struct Warm {
    stamps: Stamps,
    pub(crate) callers: Memory<crate::facts::CallerRow>,
    pub(crate) facts: Memory<crate::facts::FactsRow>,
    pub(crate) manifests: Memory<crate::manifests::ManifestRow>,
    pub(crate) blobs: Memory<crate::blobs::ReadableBlob>,
    pub(crate) owners: Memory<crate::storage::OwnerLimits>,
    pub(crate) places: Memory<crate::facts::Place>,
    payloads: Cache<Digest, bytes::Bytes, Length, RandomState>,
}

impl Warm {
    /// Room for so many bytes. `exact`: this process alone writes, and its changes are watched; else only bytes of
    /// manifests are remembered.
    pub(crate) fn new(bytes: u64, exact: bool) -> Self {
        let (rows, payloads) = if exact { (bytes, 0) } else { (0, bytes) };
        Warm {
            stamps: Stamps::new(),
            callers: Memory::new(rows / 16),
            facts: Memory::new(rows / 4),
            manifests: Memory::new(rows / 2),
            blobs: Memory::new(rows / 8),
            owners: Memory::new(rows / 32),
            places: Memory::new(rows / 32),
            payloads: cache(payloads, Length),
        }
    }

    pub(crate) fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// Runs a transaction on what is remembered. `None`: it is not enough, or changed meanwhile.
    pub(crate) fn attempt<R>(
        &self,
        body: &mut impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>) -> R,
    ) -> Option<R> {
        knowing(Known::of(self, None), body)
    }

    fn keep<T: Thing>(&self, as_of: u64, key: T::Key, value: &Arc<T>) {
        let shards = T::shards(&self.stamps, &key, value);
        T::memory(self).0.insert(key, Arc::new(Entry { as_of, shards, value: Arc::clone(value) }));
    }

    /// The bytes of a manifest, which are always the same for a digest.
    pub(crate) fn payload(&self, digest: &Digest) -> Option<bytes::Bytes> {
        self.payloads.get(digest)
    }

    /// Remembers the bytes of a manifest, if they are those.
    pub(crate) fn keep_payload(&self, digest: &Digest, payload: &bytes::Bytes) {
        // Damaged bytes would be served for as long as they are remembered.
        if Digest::of(digest.algorithm(), payload) == *digest {
            self.payloads.insert(*digest, payload.clone());
        }
    }
}

/// What a transaction used of what is remembered.
struct Uses {
    /// As of when, and what ends it; the first so many.
    used: [(u64, [Shard; 3]); USES_MAX],
    count: usize,
}

impl Uses {
    const NONE: Uses = Uses { used: [(0, [Shard::FIRST; 3]); USES_MAX], count: 0 };

    /// Notes one; `false`: there is no room for more.
    fn note<T>(&mut self, entry: &Entry<T>) -> bool {
        let Some(used) = self.used.get_mut(self.count) else { return false };
        *used = (entry.as_of, entry.shards);
        self.count += 1;
        true
    }

    /// Whether all of them hold now.
    fn stand(&self, stamps: &Stamps) -> bool {
        self.used[..self.count].iter().all(|(as_of, shards)| hold(stamps, *as_of, shards))
    }
}

/// Whether none of these was changed since a time.
fn hold(stamps: &Stamps, as_of: u64, shards: &[Shard; 3]) -> bool {
    shards.iter().all(|shard| stamps.unchanged(*shard, as_of))
}

/// What a connection that reads remembers things in, as of a time before its snapshot.
///
/// A transaction there may read callers, facts and places from memory *beside* the database. What is remembered is from
/// before the snapshot and holds when the transaction is over, so it is what the snapshot has, whenever between the two that
/// began. Otherwise the closure runs again, on the database alone.
pub(crate) struct Learning {
    warm: Arc<Warm>,
    as_of: u64,
    uses: Uses,
    /// Whether anything is taken from memory.
    pub(crate) beside: bool,
}

impl Learning {
    pub(crate) fn on(warm: &Arc<Warm>) -> Learning {
        Learning { warm: Arc::clone(warm), as_of: 0, uses: Uses::NONE, beside: false }
    }

    /// A snapshot begins soon.
    pub(crate) fn note_time(&mut self) {
        (self.as_of, self.uses.count) = (self.warm.stamps().now(), 0);
    }

    /// What is remembered under a key, if it was so at the snapshot.
    pub(crate) fn recall<T: Thing>(&mut self, asked: T::Asked<'_>) -> Option<Arc<T>> {
        if !self.beside {
            return None;
        }
        let entry = T::memory(&self.warm).0.get(&asked)?;
        // What others learned since may be newer than the snapshot.
        let usable = entry.as_of <= self.as_of && hold(self.warm.stamps(), entry.as_of, &entry.shards);
        (usable && self.uses.note(&entry)).then(|| Arc::clone(&entry.value))
    }

    /// Whether what was taken from memory holds now.
    pub(crate) fn stands(&self) -> bool {
        self.uses.stand(self.warm.stamps())
    }

    pub(crate) fn learn<T: Thing>(&self, asked: T::Asked<'_>, value: &Arc<T>) {
        self.warm.keep(self.as_of, T::key(asked), value);
    }
}

/// A transaction on what is known, in place of a database.
pub(crate) struct Known<'c> {
    warm: &'c Warm,
    fetched: Option<&'c Fetched>,
    uses: Uses,
    /// Something was asked that is not known.
    lacking: bool,
}

impl<'c> Known<'c> {
    pub(crate) fn of(warm: &'c Warm, fetched: Option<&'c Fetched>) -> Self {
        Known { warm, fetched, uses: Uses::NONE, lacking: false }
    }

    pub(crate) fn lacks(&mut self) -> CatalogError {
        self.lacking = true;
        CatalogError::Cold
    }

    /// Whether all was there, and holds now.
    pub(crate) fn stands(&self) -> bool {
        !self.lacking && self.uses.stand(&self.warm.stamps)
    }

    pub(crate) fn recall<T: Thing>(&mut self, asked: T::Asked<'_>) -> Result<Option<Arc<T>>, CatalogError> {
        if let Some(fetched) = self.fetched {
            return T::fetched(fetched, asked).ok_or_else(|| self.lacks());
        }
        let Some(entry) = T::memory(self.warm).0.get(&asked) else { return Err(self.lacks()) };
        // What uses more than there is room to remember is for the database.
        if !self.uses.note(&entry) {
            return Err(self.lacks());
        }
        Ok(Some(Arc::clone(&entry.value)))
    }

    /// The bytes of a manifest that was found.
    pub(crate) fn payload(&mut self, digest: &Digest) -> Result<bytes::Bytes, CatalogError> {
        self.warm.payload(digest).ok_or_else(|| self.lacks())
    }

    /// Whether the rows came without the bytes of manifests.
    pub(crate) fn is_fetched(&self) -> bool {
        self.fetched.is_some()
    }
}

#[cfg(test)]
mod tests;
