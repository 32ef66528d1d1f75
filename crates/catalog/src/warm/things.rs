//! The kinds of things that are remembered: their keys, and what ends them.

use super::stamps::{About, Shard, Stamps};
use super::{Memory, Warm};
use crate::blobs::ReadableBlob;
use crate::facts::{CallerRow, FactsRow, Place};
use crate::glance::Fetched;
use crate::manifests::ManifestRow;
use crate::storage::OwnerLimits;
use packhouse_access::{AccountId, PackageId, TokenId};
use packhouse_oci::{Digest, Reference};
use quick_cache::Equivalent;
use std::hash::Hash;
use std::sync::Arc;

/// A kind of thing that is remembered.
pub(crate) trait Thing: Sized + Send + Sync + 'static {
    type Key: Eq + Hash + Send + Sync;

    /// The key as it is asked for, with nothing copied. It hashes as the key does.
    type Asked<'k>: Copy + Hash + Equivalent<Self::Key>;

    /// The key, to be kept.
    fn key(asked: Self::Asked<'_>) -> Self::Key;

    /// A change of any of these ends it.
    fn shards(stamps: &Stamps, key: &Self::Key, value: &Self) -> [Shard; 3];

    /// Bytes that it takes with its key, about.
    fn bytes(&self, key: &Self::Key) -> u64;

    fn memory(warm: &Warm) -> &Memory<Self>;

    /// What the one statement brought: `None`, it did not ask that.
    fn fetched(fetched: &Fetched, asked: Self::Asked<'_>) -> Option<Option<Arc<Self>>>;
}

/// What a caller is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// A [`FactsKey`] that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FactsAsked<'k> {
    pub(crate) account: i64,
    pub(crate) path: &'k str,
    pub(crate) follow: bool,
}

impl Equivalent<FactsKey> for FactsAsked<'_> {
    fn equivalent(&self, key: &FactsKey) -> bool {
        let FactsKey { account, path, follow } = key;
        *self == FactsAsked { account: *account, path, follow: *follow }
    }
}

/// A namespace, as somebody stands to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlaceKey {
    /// The account; -1 for nobody.
    pub(crate) account: i64,
    pub(crate) namespace: Box<str>,
}

/// A [`PlaceKey`] that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlaceAsked<'k> {
    pub(crate) account: i64,
    pub(crate) namespace: &'k str,
}

impl Equivalent<PlaceKey> for PlaceAsked<'_> {
    fn equivalent(&self, key: &PlaceKey) -> bool {
        let PlaceKey { account, namespace } = key;
        *self == PlaceAsked { account: *account, namespace }
    }
}

/// A manifest of a package, as somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ManifestKey {
    pub(crate) package: PackageId,
    pub(crate) reference: Reference,
}

/// A [`ManifestKey`] that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ManifestAsked<'k> {
    pub(crate) package: PackageId,
    pub(crate) reference: &'k Reference,
}

impl Equivalent<ManifestKey> for ManifestAsked<'_> {
    fn equivalent(&self, key: &ManifestKey) -> bool {
        self.package == key.package && *self.reference == key.reference
    }
}

pub(crate) type BlobKey = (PackageId, Digest);

impl Thing for CallerRow {
    type Key = CallerKey;
    type Asked<'k> = CallerKey;

    fn key(asked: CallerKey) -> CallerKey {
        asked
    }
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
    fn fetched(fetched: &Fetched, asked: CallerKey) -> Option<Option<Arc<Self>>> {
        fetched.caller(asked)
    }
}

impl Thing for FactsRow {
    type Key = FactsKey;
    type Asked<'k> = FactsAsked<'k>;

    fn key(asked: FactsAsked<'_>) -> FactsKey {
        FactsKey { account: asked.account, path: asked.path.into(), follow: asked.follow }
    }
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
    fn fetched(fetched: &Fetched, asked: FactsAsked<'_>) -> Option<Option<Arc<Self>>> {
        fetched.facts(asked)
    }
}

impl Thing for Place {
    type Key = PlaceKey;
    type Asked<'k> = PlaceAsked<'k>;

    fn key(asked: PlaceAsked<'_>) -> PlaceKey {
        PlaceKey { account: asked.account, namespace: asked.namespace.into() }
    }
    fn shards(stamps: &Stamps, _key: &PlaceKey, _value: &Self) -> [Shard; 3] {
        [stamps.shard(About::Places); 3]
    }
    fn bytes(&self, key: &PlaceKey) -> u64 {
        (size_of::<Self>() + key.namespace.len()) as u64
    }
    fn memory(warm: &Warm) -> &Memory<Self> {
        &warm.places
    }
    /// It comes as a part of the facts.
    fn fetched(_fetched: &Fetched, _asked: PlaceAsked<'_>) -> Option<Option<Arc<Self>>> {
        None
    }
}

fn inside(stamps: &Stamps, package: PackageId) -> [Shard; 3] {
    let package = stamps.shard(About::Package(package.0));
    [package, package, stamps.shard(About::Contents)]
}

impl Thing for ManifestRow {
    type Key = ManifestKey;
    type Asked<'k> = ManifestAsked<'k>;

    fn key(asked: ManifestAsked<'_>) -> ManifestKey {
        ManifestKey { package: asked.package, reference: asked.reference.clone() }
    }
    fn shards(stamps: &Stamps, key: &ManifestKey, _value: &Self) -> [Shard; 3] {
        inside(stamps, key.package)
    }
    fn bytes(&self, _key: &ManifestKey) -> u64 {
        (size_of::<Self>()
            + size_of::<ManifestKey>()
            + self.media_type.len()
            + self.quoted_digest.len()
            + self.payload.len()) as u64
    }
    fn memory(warm: &Warm) -> &Memory<Self> {
        &warm.manifests
    }
    fn fetched(fetched: &Fetched, asked: ManifestAsked<'_>) -> Option<Option<Arc<Self>>> {
        fetched.manifest(asked)
    }
}

impl Thing for ReadableBlob {
    type Key = BlobKey;
    type Asked<'k> = BlobKey;

    fn key(asked: BlobKey) -> BlobKey {
        asked
    }
    fn shards(stamps: &Stamps, key: &BlobKey, _value: &Self) -> [Shard; 3] {
        inside(stamps, key.0)
    }
    fn bytes(&self, _key: &BlobKey) -> u64 {
        (size_of::<Self>() + size_of::<BlobKey>() + self.storage_key().len()) as u64
    }
    fn memory(warm: &Warm) -> &Memory<Self> {
        &warm.blobs
    }
    fn fetched(fetched: &Fetched, asked: BlobKey) -> Option<Option<Arc<Self>>> {
        fetched.blob(asked)
    }
}

impl Thing for OwnerLimits {
    type Key = AccountId;
    type Asked<'k> = AccountId;

    fn key(asked: AccountId) -> AccountId {
        asked
    }
    fn shards(stamps: &Stamps, _key: &AccountId, _value: &Self) -> [Shard; 3] {
        [stamps.shard(About::Plans); 3]
    }
    fn bytes(&self, _key: &AccountId) -> u64 {
        size_of::<Self>() as u64 + 64
    }
    fn memory(warm: &Warm) -> &Memory<Self> {
        &warm.owners
    }
    fn fetched(fetched: &Fetched, asked: AccountId) -> Option<Option<Arc<Self>>> {
        fetched.owner(asked)
    }
}
