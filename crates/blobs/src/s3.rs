//! Bytes in a bucket, through the S3 API, which several nodes may use at once.
//!
//! What lies there, below the prefix:
//!
//! - `identity`: the store's name.
//! - `blobs/<2 hex>/<32 hex>`: a blob that came in parts, under its session's own key.
//! - `blobs/<2 hex>/<32 hex>.<number>`: bytes of a session that fit in one part, written by the request that held the
//!   lease of that number: a whole blob, or the tail of a session, too short to be a part, that goes on.
//!
//! - `catalogs/<time>`, maybe with a number: copies of the catalog.
//!
//! No object is ever written twice with other bytes. A node that lost its lease, and whose requests arrive late, has
//! numbers of its own, for small objects and for parts; and of two that complete an upload in parts, the bucket lets
//! the first.
//!
//! What is left out: conditional writes, which not every engine has; versions and locks of objects; listing, except for
//! who compares the store with the catalog.

mod complete;
mod settings;
mod sink;
mod source;
mod state;

pub use settings::{S3Keys, S3Settings};

use crate::driver::{Driver, Extent, Removal, Sink, Source, Start, Stored, Work};
use crate::{BlobError, key};
use bytes::Bytes;
use complete::Completer;
use object_store::aws::AmazonS3;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt, PutPayload};
use sink::S3Sink;
use source::S3Source;
use state::State;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

const IDENTITY: &str = "identity";
/// Copies of the catalog that are looked at; there are a few dozen.
const CATALOGS_MAX: usize = 10_000;
/// Longest name that is believed to be one of ours.
const IDENTITY_BYTES_MAX: u64 = 64;

/// A bucket, or what lies in it below a prefix. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Waits as long as bytes move.
    reads: AmazonS3,
    /// Has a time for the whole of a request, which grows with the size of parts.
    writes: AmazonS3,
    completer: Completer,
    prefix: String,
    part_bytes: u64,
    redirect: Option<Duration>,
}

impl Bucket {
    /// Asks nobody yet.
    pub(crate) fn open(settings: &S3Settings) -> Result<Self, BlobError> {
        let part_bytes = settings.part_bytes()?;
        let inner = Inner {
            reads: settings.reads()?,
            writes: settings.writes(part_bytes)?,
            completer: Completer::new(settings)?,
            prefix: settings.prefix()?,
            part_bytes,
            redirect: settings.redirect,
        };
        Ok(Bucket { inner: Arc::new(inner) })
    }

    fn path(&self, key: &str) -> Result<Path, BlobError> {
        let name = key::object(&self.inner.prefix, key)?;
        Path::parse(name).map_err(|_| BlobError::Key(key.to_owned()))
    }

    fn identity_path(&self) -> Path {
        Path::from(format!("{}{IDENTITY}", self.inner.prefix))
    }

    /// Sends bytes under a key. Signing hashes them once more, which connections must not wait for.
    async fn put(&self, key: &str, bytes: Vec<Bytes>) -> Result<(), BlobError> {
        let (path, bucket) = (self.path(key)?, self.clone());
        let failed = BlobError::bucket("putting", key);
        driven(async move { bucket.inner.writes.put(&path, payload(bytes)).await })
            .await?
            .map(drop)
            .map_err(failed)
    }

    async fn create_multipart(&self, key: &str) -> Result<String, BlobError> {
        let path = self.path(key)?;
        self.inner.writes.create_multipart(&path).await.map_err(BlobError::bucket("beginning", key))
    }

    /// Sends a part; its number begins at 1. Returns what the bucket calls it.
    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        bytes: Vec<Bytes>,
    ) -> Result<String, BlobError> {
        let (path, bucket, upload) = (self.path(key)?, self.clone(), upload.to_owned());
        let failed = BlobError::bucket("putting a part of", key);
        let index = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        let put = async move { bucket.inner.writes.put_part(&path, &upload, index, payload(bytes)).await };
        driven(put).await?.map(|part| part.content_id).map_err(failed)
    }

    async fn complete(&self, key: &str, upload: &str, parts: &[state::Part]) -> Result<(), BlobError> {
        let path = self.path(key)?;
        let completed = self.inner.completer.complete(self, &path, upload, parts).await;
        completed.map_err(BlobError::bucket("completing", key))
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<(), BlobError> {
        let path = self.path(key)?;
        let aborted = self.inner.writes.abort_multipart(&path, &upload.to_owned()).await;
        unless_absent(aborted.map_err(BlobError::bucket("aborting", key)))
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let path = self.path(key)?;
        unless_absent(self.inner.writes.delete(&path).await.map_err(BlobError::bucket("removing", key)))
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, BlobError> {
        let path = self.path(key)?;
        match self.inner.reads.head(&path).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(BlobError::bucket("looking at", key)(error)),
        }
    }

    /// Opens a range that is not empty, of an object that must have so many bytes.
    async fn get(&self, what: &Extent) -> Result<GetResult, BlobError> {
        let path = self.path(&what.key)?;
        let whole = what.first == 0 && what.end == what.size;
        let range = (!whole).then_some(GetRange::Bounded(what.first..what.end));
        let options = GetOptions { range, ..GetOptions::default() };
        let found = match self.inner.reads.get_opts(&path, options).await {
            Ok(got) if got.meta.size == what.size => return Ok(got),
            Ok(got) => got.meta.size,
            // A range outside of the object is refused, which may mean that it is shorter than it should be.
            Err(error @ object_store::Error::Generic { .. }) if !whole => match self.size(&what.key).await? {
                Some(found) if found != what.size => found,
                Some(_) | None => return Err(BlobError::bucket("reading", &what.key)(error)),
            },
            Err(error) => return Err(BlobError::bucket("reading", &what.key)(error)),
        };
        Err(BlobError::Length { place: what.key.clone(), expected: what.size, found })
    }

    async fn open_source(&self, what: Extent) -> Result<S3Source, BlobError> {
        if what.first >= what.end {
            // There is no empty range in HTTP; the length is looked at all the same.
            return match self.size(&what.key).await? {
                Some(found) if found == what.size => Ok(S3Source::empty()),
                Some(found) => Err(BlobError::Length { place: what.key, expected: what.size, found }),
                None => Err(BlobError::Gone),
            };
        }
        let got = self.get(&what).await?;
        Ok(S3Source::new(what.key, got))
    }

    async fn remove_session(&self, what: &Removal) -> Result<(), BlobError> {
        let state = State::read(&what.state, self.inner.part_bytes)?;
        if let Some(upload) = &state.multipart {
            self.abort(&what.key, upload).await?;
        }
        for key in state.small_objects(&what.key, what.epoch) {
            self.delete(&key).await?;
        }
        Ok(())
    }

    async fn catalogs(&self) -> Result<Vec<Stored>, BlobError> {
        let prefix = format!("{}{}", self.inner.prefix, key::CATALOGS);
        let mut listed: Vec<Stored> = Vec::new();
        let mut page_token = None;
        loop {
            let options = PaginatedListOptions { page_token, ..PaginatedListOptions::default() };
            let page = self.inner.reads.list_paginated(Some(&prefix), options).await;
            let page = page.map_err(BlobError::bucket("listing", &prefix))?;
            listed.extend(page.result.objects.into_iter().filter_map(|object| {
                let key = object.location.as_ref().strip_prefix(self.inner.prefix.as_str())?.to_owned();
                Some(Stored { key, size: object.size })
            }));
            page_token = page.page_token;
            if page_token.is_none() || listed.len() >= CATALOGS_MAX {
                return Ok(listed);
            }
        }
    }

    async fn read_identity(&self) -> Result<Option<String>, BlobError> {
        let failed = || BlobError::bucket("reading", IDENTITY);
        let got = match self.inner.reads.get(&self.identity_path()).await {
            Ok(got) if got.meta.size <= IDENTITY_BYTES_MAX => got,
            Ok(_) => return Err(BlobError::BucketSettings("its `identity` is none of ours".to_owned())),
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed()(error)),
        };
        let bytes = got.bytes().await.map_err(failed())?;
        Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
    }
}

impl Driver for Bucket {
    fn identity(&self) -> Work<'_, Option<String>> {
        Box::pin(self.read_identity())
    }

    fn adopt(&self, identity: String) -> Work<'_, ()> {
        Box::pin(async move {
            let put = self.inner.writes.put(&self.identity_path(), identity.into()).await;
            put.map(drop).map_err(BlobError::bucket("putting", IDENTITY))
        })
    }

    fn ready(&self) -> Work<'_, ()> {
        Box::pin(async move {
            let looked = self.inner.reads.head(&self.identity_path()).await;
            looked.map(drop).map_err(BlobError::bucket("looking at", IDENTITY))
        })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn write(&self, from: Start) -> Work<'_, Box<dyn Sink>> {
        Box::pin(async move {
            self.path(&from.key)?;
            Ok(Box::new(S3Sink::open(self.clone(), from)?) as Box<dyn Sink>)
        })
    }

    fn read(&self, what: Extent) -> Work<'_, Box<dyn Source>> {
        Box::pin(async move { Ok(Box::new(self.open_source(what).await?) as Box<dyn Source>) })
    }

    fn address(&self, key: &str) -> Work<'_, Option<String>> {
        let key = key.to_owned();
        Box::pin(async move {
            let Some(life) = self.inner.redirect else { return Ok(None) };
            let path = self.path(&key)?;
            // What the proxy says of a blob's type, whatever the bucket keeps.
            let options =
                SignedUrlOptions::new().with_query([("response-content-type", "application/octet-stream")]);
            let signed = self.inner.reads.signed_url_opts(Method::GET, &path, life, &options).await;
            signed.map(|url| Some(url.into())).map_err(BlobError::bucket("signing an address of", key))
        })
    }

    fn address_life(&self) -> Duration {
        self.inner.redirect.unwrap_or_default()
    }

    fn remove(&self, what: Removal) -> Work<'_, ()> {
        Box::pin(async move {
            if what.epoch > 0 {
                self.remove_session(&what).await?;
            }
            self.delete(&what.key).await
        })
    }

    fn list(&self, after: Option<String>, limit: usize) -> Work<'_, Vec<Stored>> {
        Box::pin(async move {
            let prefix = format!("{}blobs/", self.inner.prefix);
            let mut listed: Vec<Stored> = Vec::new();
            let mut after = after;
            while listed.len() < limit {
                let options = PaginatedListOptions {
                    offset: after.as_deref().map(|after| format!("{}{after}", self.inner.prefix)),
                    max_keys: Some(limit - listed.len()),
                    ..PaginatedListOptions::default()
                };
                let page = self.inner.reads.list_paginated(Some(&prefix), options).await;
                let page = page.map_err(BlobError::bucket("listing", &prefix))?;
                listed.extend(page.result.objects.into_iter().filter_map(|object| {
                    let key = object.location.as_ref().strip_prefix(self.inner.prefix.as_str())?.to_owned();
                    Some(Stored { key, size: object.size })
                }));
                let last = listed.last().map(|stored| stored.key.clone());
                if page.page_token.is_none() || last == after {
                    break;
                }
                after = last;
            }
            Ok(listed)
        })
    }

    fn list_catalogs(&self) -> Work<'_, Vec<Stored>> {
        Box::pin(async move { self.catalogs().await })
    }

    fn stat(&self, key: String) -> Work<'_, Option<u64>> {
        Box::pin(async move { self.size(&key).await })
    }
}

fn payload(bytes: Vec<Bytes>) -> PutPayload {
    PutPayload::from_iter(bytes)
}

fn unless_absent(done: Result<(), BlobError>) -> Result<(), BlobError> {
    match done {
        Err(error) if error.is_not_found() => Ok(()),
        done => done,
    }
}

/// Polls a future on a blocking thread: between its waits it hashes megabytes.
async fn driven<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, BlobError> {
    let runtime = Handle::current();
    spawn_blocking(move || runtime.block_on(work)).await.map_err(|_| BlobError::Ended)
}
