//! The kinds of things that are remembered: their keys, and what ends them.

use super::stamps::{About, Shard, Stamps};
use super::{Memory, Warm};
use crate::blobs::ReadableBlob;
use crate::facts::{CallerRow, FactsRow};
use crate::glance::Fetched;
use crate::manifests::ManifestRow;
use crate::storage::OwnerLimits;
use packhouse_access::{AccountId, PackageId, TokenId};
use packhouse_oci::{Digest, Reference};
use std::hash::Hash;
use std::sync::Arc;

/// A kind of thing that is remembered.
pub(crate) trait Thing: Sized + Send + Sync + 'static {
    type Key: Clone + Eq + Hash + Send + Sync;

    /// A change of any of these ends it.
    fn shards(stamps: &Stamps, key: &Self::Key, value: &Self) -> [Shard; 3];

    /// Bytes that it takes with its key, about.
    fn bytes(&self, key: &Self::Key) -> u64;

    fn memory(warm: &Warm) -> &Memory<Self>;

    /// What the one statement brought: `None`, it did not ask that.
    fn fetched(fetched: &Fetched, key: &Self::Key) -> Option<Option<Arc<Self>>>;
}

/// What a caller is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallerKey {
    Token(TokenId),
    Hash([u8; 32]),
}

/// A path, as somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FactsKey {
    /// The account; -1 for nobody.
    pub(crate) account: i64,
    pub(crate) path: Box<str>,
    /// Whether a path that a package had before leads to it.
    pub(crate) follow: bool,
}

pub(crate) type ManifestKey = (PackageId, Reference);
pub(crate) type BlobKey = (PackageId, Digest);

impl Thing for CallerRow {
    type Key = CallerKey;

    fn shards(stamps: &Stamps, _key: &CallerKey, value: &Self) -> [Shard; 3] {
        let token = stamps.shard(About::Token(value.token.0));
        [token, token, stamps.shard(About::Places)]
    }
    fn bytes(&self, _key: &CallerKey) -> u64 {
        (size_of::<Self>() + self.limits.as_ref().map_or(0, |limits| size_of_val(limits.as_slice()))) as u64
    }
    fn memory(warm: &Warm) -> &Memory<Self> {
        &warm.callers
    }
    fn fetched(fetched: &Fetched, key: &CallerKey) -> Option<Option<Arc<Self>>> {
        fetched.caller(key)
    }
}

impl Thing for FactsRow {
    type Key = FactsKey;

    fn shards(stamps: &Stamps, key: &FactsKey, value: &Self) -> [Shard; 3] {
        let asked = stamps.shard(About::Path(&key.path));
        let real = value.real.as_deref().map_or(asked, |real| stamps.shard(About::Path(real)));
        [asked, real, stamps.shard(About::Places)]
    }
    fn bytes(&self, key: &FactsKey) -> u64 {
        let real = self.real.as_ref().map_or(0, String::len);
        (size_of::<Self>() + key.path.len() + real + size_of_val(self.given.as_slice())) as u64
    }
    fn memory(warm: &Warm) -> &Memory<Self> {
        &warm.facts
    }
    fn fetched(fetched: &Fetched, key: &FactsKey) -> Option<Option<Arc<Self>>> {
        fetched.facts(key)
    }
}

fn inside(stamps: &Stamps, package: PackageId) -> [Shard; 3] {
    let package = stamps.shard(About::Package(package.0));
    [package, package, stamps.shard(About::Contents)]
}

impl Thing for ManifestRow {
    type Key = ManifestKey;

    fn shards(stamps: &Stamps, key: &ManifestKey, _value: &Self) -> [Shard; 3] {
        inside(stamps, key.0)
    }
    fn bytes(&self, _key: &ManifestKey) -> u64 {
        (size_of::<Self>() + size_of::<ManifestKey>() + self.media_type.len() + self.payload.len()) as u64
    }
    fn memory(warm: &Warm) -> &Memory<Self> {
        &warm.manifests
    }
    fn fetched(fetched: &Fetched, key: &ManifestKey) -> Option<Option<Arc<Self>>> {
        fetched.manifest(key)
    }
}

impl Thing for ReadableBlob {
    type Key = BlobKey;

    fn shards(stamps: &Stamps, key: &BlobKey, _value: &Self) -> [Shard; 3] {
        inside(stamps, key.0)
    }
    fn bytes(&self, _key: &BlobKey) -> u64 {
        (size_of::<Self>() + size_of::<BlobKey>() + self.storage_key().len()) as u64
    }
    fn memory(warm: &Warm) -> &Memory<Self> {
        &warm.blobs
    }
    fn fetched(fetched: &Fetched, key: &BlobKey) -> Option<Option<Arc<Self>>> {
        fetched.blob(key)
    }
}

impl Thing for OwnerLimits {
    type Key = AccountId;

    fn shards(stamps: &Stamps, _key: &AccountId, _value: &Self) -> [Shard; 3] {
        [stamps.shard(About::Plans); 3]
    }
    fn bytes(&self, _key: &AccountId) -> u64 {
        size_of::<Self>() as u64 + 64
    }
    fn memory(warm: &Warm) -> &Memory<Self> {
        &warm.owners
    }
    fn fetched(fetched: &Fetched, key: &AccountId) -> Option<Option<Arc<Self>>> {
        fetched.owner(key)
    }
}
