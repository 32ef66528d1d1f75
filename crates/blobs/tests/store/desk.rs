//! A store with a catalog beside it: only the catalog makes what the store opens and removes.

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use packhouse_access::{
    Granted, Pull, Push, Refused, Scopes, decide, decide_collect, decide_create, decide_operate,
};
use packhouse_blobs::driver::Work;
use packhouse_blobs::{BlobError, BlobStore, Journal, Kept, S3Keys, S3Settings, Stored, Writer, new_key};
use packhouse_catalog::{
    AccountKind, Catalog, CatalogError, Finished, Leased, Micros, NewToken, Options, Place, Placed,
    Presented, ReadTx, ReadableBlob, StoreCopy, StoreWalk, TokenKind, TrashedKey, Upload, WriteTx,
};
use packhouse_oci::{Algorithm, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const NOW: Micros = Micros(1_000_000);
const LATER: Micros = Micros(9_000_000_000_000);
const MONA: Presented = Presented::Token { hash: [7; 32], or: None };
const PACKAGE: &str = "mona/app";

#[derive(Debug)]
#[expect(dead_code, reason = "shown by Debug when a test fails")]
pub(crate) enum Trouble {
    Catalog(CatalogError),
    Refused(Refused),
}

impl From<CatalogError> for Trouble {
    fn from(error: CatalogError) -> Self {
        Trouble::Catalog(error)
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Trouble::Refused(refused)
    }
}

/// Stamps one test per clause and store: `read::files::the_empty_blob_is_a_blob`.
macro_rules! on_every_store {
    ($($clause:ident),+ $(,)?) => {
        mod files {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $clause() { super::$clause(&mut $crate::desk::Desk::files().await).await; })+
        }
        mod s3 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $clause() {
                if let Some(mut desk) = $crate::desk::Desk::s3().await {
                    super::$clause(&mut desk).await;
                }
            })+
        }
    };
}
pub(crate) use on_every_store;

pub(crate) struct Desk {
    pub(crate) store: BlobStore,
    catalog: Catalog,
    folder: TempDir,
    bucket: Option<S3Settings>,
}

/// Parts as small as S3 takes them.
pub(crate) const PART_BYTES: usize = 5 << 20;

/// A prefix of its own in the bucket that `cargo xtask test` made. None at a desk without one; in CI it must be there.
fn bucket() -> Option<S3Settings> {
    let variable = |name: &str| std::env::var(format!("PACKHOUSE_TEST_S3_{name}"));
    let Ok(endpoint) = variable("ENDPOINT") else {
        assert!(std::env::var_os("CI").is_none(), "PACKHOUSE_TEST_S3_ENDPOINT names no engine");
        return None;
    };
    let name = new_key().unwrap();
    Some(S3Settings {
        endpoint: Some(endpoint),
        bucket: variable("BUCKET").unwrap(),
        region: variable("REGION").unwrap(),
        prefix: format!("{}/", name.rsplit_once('/').unwrap().1),
        keys: Some(S3Keys {
            access_key: variable("ACCESS_KEY").unwrap(),
            secret_key: variable("SECRET_KEY").unwrap(),
        }),
        path_style: true,
        redirect: Some(Duration::from_secs(60)),
        part_bytes: 1,
        layer_bytes_max: 1 << 30,
    })
}

/// A session being written, as a request sees it.
pub(crate) struct Pen {
    pub(crate) upload: Upload,
    pub(crate) writer: Writer,
}

impl Pen {
    pub(crate) async fn write(self, bytes: impl Into<Bytes>) -> Pen {
        self.write_all(vec![bytes.into()]).await
    }

    pub(crate) async fn write_all(self, chunks: Vec<Bytes>) -> Pen {
        Pen { upload: self.upload, writer: self.writer.write(chunks).await.unwrap() }
    }
}

/// What the service does when a store must know that something is recorded before it goes on.
#[derive(Clone)]
struct DeskJournal {
    catalog: Catalog,
    upload: Upload,
}

impl std::fmt::Debug for DeskJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeskJournal")
    }
}

impl Journal for DeskJournal {
    fn note(&self, state: Vec<u8>) -> Work<'static, ()> {
        let DeskJournal { catalog, upload } = self.clone();
        Box::pin(async move {
            let noted = catalog
                .write(move |tx| {
                    let may = push(tx)?;
                    Ok::<_, Trouble>(tx.keep_state(&may, &upload, &state)?)
                })
                .await;
            if noted.unwrap() { Ok(()) } else { Err(BlobError::Claimed) }
        })
    }
}

fn push<'tx>(tx: &mut WriteTx<'_, 'tx>) -> Result<Granted<'tx, Push>, Trouble> {
    let mona = tx.caller(&MONA, NOW)?.expect("mona has a token");
    Ok(decide::<Push>(&tx.facts(&mona, PACKAGE)?)?)
}

fn pull<'tx>(tx: &mut ReadTx<'_, 'tx>) -> Result<Granted<'tx, Pull>, Trouble> {
    let mona = tx.caller(&MONA, NOW)?.expect("mona has a token");
    Ok(decide::<Pull>(&tx.facts(&mona, PACKAGE)?)?)
}

impl Desk {
    pub(crate) async fn files() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::files(folder.path()).unwrap();
        Desk::new(folder, store, None).await
    }

    pub(crate) async fn s3() -> Option<Self> {
        let settings = bucket()?;
        let store = BlobStore::s3(&settings).unwrap();
        Some(Desk::new(tempfile::tempdir().unwrap(), store, Some(settings)).await)
    }

    async fn new(folder: TempDir, store: BlobStore, bucket: Option<S3Settings>) -> Self {
        let catalog =
            Catalog::open(&Options::new(Place::Sqlite(folder.path().join("catalog.sqlite")))).unwrap();
        catalog
            .write(|tx| {
                let operator = tx.caller(&Presented::Operator, NOW)?.expect("always");
                let may = decide_operate(&operator)?;
                let account = tx.create_account(&may, "mona", AccountKind::User, false, NOW)?.expect("free");
                let token = NewToken {
                    account,
                    kind: TokenKind::Personal,
                    name: String::new(),
                    hash: [7; 32],
                    scopes: Scopes::ALL,
                    expires_at: None,
                };
                tx.create_token(&may, &token, NOW)?;
                let mona = tx.caller(&MONA, NOW)?.expect("just made");
                let facts = tx.facts(&mona, PACKAGE)?;
                Ok::<(), Trouble>(tx.create_package(&decide_create(&facts)?, NOW)?)
            })
            .await
            .unwrap();
        Desk { store, catalog, folder, bucket }
    }

    /// Another store of the same kind, with a catalog of its own.
    pub(crate) async fn another(&self) -> Self {
        match &self.bucket {
            None => Desk::files().await,
            Some(_) => Desk::s3().await.unwrap(),
        }
    }

    /// As another node sees the same: nothing is shared but the catalog and the place of the bytes.
    pub(crate) fn node(&self) -> BlobStore {
        match &self.bucket {
            None => BlobStore::files(self.folder.path()).unwrap(),
            Some(settings) => BlobStore::s3(settings).unwrap(),
        }
    }

    /// As after a restart: nothing is in memory.
    pub(crate) fn reopen_store(&mut self) {
        self.store = self.node();
    }

    pub(crate) async fn begin(&self, algorithm: Algorithm) -> Upload {
        let (key, state) = (new_key().unwrap(), Hasher::new(algorithm).state());
        let id = key.rsplit_once('/').unwrap().1.to_owned();
        self.catalog
            .write(move |tx| {
                let may = push(tx)?;
                Ok::<_, Trouble>(tx.begin_upload(&may, &id, &key, &state, NOW, LATER)?)
            })
            .await
            .unwrap()
    }

    /// As a request does: the claim of this process, the lease where several share the store, then the writer.
    pub(crate) async fn open(&self, upload: &Upload) -> Result<Pen, BlobError> {
        self.open_at(&self.store, upload).await
    }

    pub(crate) async fn open_at(&self, store: &BlobStore, upload: &Upload) -> Result<Pen, BlobError> {
        let claim = store.claim(&upload.id)?;
        let upload = if store.is_shared() { self.lease(upload).await? } else { upload.clone() };
        let writer = store.writer(&upload, claim, self.journal(&upload)).await?;
        Ok(Pen { upload, writer })
    }

    pub(crate) async fn pen(&self, upload: &Upload) -> Pen {
        self.open(upload).await.unwrap()
    }

    pub(crate) fn journal(&self, upload: &Upload) -> Arc<dyn Journal> {
        Arc::new(DeskJournal { catalog: self.catalog.clone(), upload: upload.clone() })
    }

    async fn lease(&self, upload: &Upload) -> Result<Upload, BlobError> {
        let id = upload.id.clone();
        let leased = self.catalog.write(move |tx| {
            let may = push(tx)?;
            // So short that the request before, which was cut off, has lost it.
            Ok::<_, Trouble>(tx.lease_upload(&may, &id, NOW, 0)?)
        });
        match leased.await.unwrap() {
            Some(Leased::Taken(upload)) => Ok(upload),
            Some(Leased::Finished(_) | Leased::Held) | None => Err(BlobError::Claimed),
        }
    }

    /// What is acknowledged: durable, then in the row.
    pub(crate) async fn record(&self, pen: Pen) -> Upload {
        self.try_record(pen).await.expect("the session is ours")
    }

    pub(crate) async fn try_record(&self, pen: Pen) -> Option<Upload> {
        let Pen { upload, writer } = pen;
        let (writer, kept) = writer.sync().await.unwrap();
        let (received, state) = (writer.received(), writer.hash_state());
        let moved = self.catalog.write(move |tx| {
            let may = push(tx)?;
            if !tx.record_part(&may, &upload, received, &state, LATER)? {
                return Ok(None);
            }
            assert!(tx.keep_placed(&may, &upload, &placed(&kept), NOW)?);
            Ok::<_, Trouble>(tx.upload(&may, &upload.id, NOW)?)
        });
        moved.await.unwrap()
    }

    pub(crate) async fn finish(&self, pen: Pen, algorithm: Algorithm) -> ReadableBlob {
        self.try_finish(pen, algorithm).await.expect("the session is ours")
    }

    pub(crate) async fn try_finish(&self, pen: Pen, algorithm: Algorithm) -> Option<ReadableBlob> {
        let (writer, digest) = pen.writer.digest(algorithm).await.unwrap();
        let (writer, kept) = writer.finish(digest).await.unwrap();
        let (size, before) = (writer.received(), pen.upload);
        let done = self.catalog.write(move |tx| {
            let may = push(tx)?;
            let finished = Finished { digest, size };
            let placed_at = before.clone().placed_at(&kept.key)?;
            if !tx.finish_upload(&may, &placed_at, &finished, NOW, LATER, LATER)? {
                return Ok(false);
            }
            Ok::<_, Trouble>(tx.keep_placed(&may, &before, &placed(&kept), NOW)?)
        });
        if !done.await.unwrap() {
            return None;
        }
        let found = self
            .catalog
            .read(move |tx| {
                let may = pull(tx)?;
                Ok::<_, Trouble>(tx.blob(&may, &digest)?)
            })
            .await
            .unwrap();
        Some(found.expect("just linked"))
    }

    pub(crate) async fn blob(&self, content: &[u8]) -> ReadableBlob {
        let upload = self.begin(Algorithm::Sha256).await;
        let pen = self.pen(&upload).await.write(content.to_vec()).await;
        self.finish(pen, Algorithm::Sha256).await
    }

    pub(crate) async fn cancel(&self, upload: &Upload) -> Vec<TrashedKey> {
        let id = upload.id.clone();
        self.catalog
            .write(move |tx| {
                let may = push(tx)?;
                let held = tx.upload(&may, &id, NOW)?.expect("the session is there");
                assert!(tx.cancel_upload(&may, &held, NOW)?);
                Ok::<_, Trouble>(())
            })
            .await
            .unwrap();
        self.trash().await
    }

    pub(crate) async fn trash(&self) -> Vec<TrashedKey> {
        self.catalog
            .write(move |tx| {
                let worker = tx.caller(&Presented::Worker, NOW)?.expect("always");
                // For no time at all, so that each question finds all of them.
                Ok::<_, Trouble>(tx.claim_trash(&decide_collect(&worker)?, NOW, NOW, 100)?)
            })
            .await
            .unwrap()
    }

    pub(crate) async fn store_copy(&self) -> StoreCopy {
        self.catalog
            .read(move |tx| {
                let worker = tx.caller(&Presented::Worker, NOW)?.expect("always");
                Ok::<_, Trouble>(tx.store_copy(&decide_collect(&worker)?))
            })
            .await
            .unwrap()
    }

    pub(crate) async fn walk(&self) -> StoreWalk {
        self.catalog
            .read(move |tx| {
                let worker = tx.caller(&Presented::Worker, NOW)?.expect("always");
                Ok::<_, Trouble>(tx.store_walk(&decide_collect(&worker)?))
            })
            .await
            .unwrap()
    }

    /// All keys that lie in the store, by its own list, `page` at a time. A bucket may still list what was removed a
    /// moment ago: the engine asks some of its nodes, and one of them may not have heard of it. Reading tells.
    pub(crate) async fn listed(&self, page: usize) -> Vec<Stored> {
        let walk = self.walk().await;
        let mut all: Vec<Stored> = Vec::new();
        loop {
            let after = all.last().map(|stored| stored.key.clone());
            let listed = self.store.list(&walk, after.as_deref(), page).await.unwrap();
            let last = listed.len() < page;
            all.extend(listed);
            if last {
                break;
            }
        }
        let mut there = Vec::new();
        for stored in all {
            if self.store.stat(&walk, &stored.key).await.unwrap().is_some() {
                there.push(stored);
            }
        }
        there
    }

    /// Replaces what lies under a key, behind the store's back.
    pub(crate) async fn overwrite(&self, key: &str, content: &[u8]) {
        match self.client() {
            None => std::fs::write(self.path(key), content).unwrap(),
            Some(client) => drop(client.put(&self.object(key), content.to_vec().into()).await.unwrap()),
        }
    }

    /// Removes what lies under a key, behind the store's back.
    pub(crate) async fn erase(&self, key: &str) {
        match self.client() {
            None => std::fs::remove_file(self.path(key)).unwrap(),
            Some(client) => client.delete(&self.object(key)).await.unwrap(),
        }
    }

    pub(crate) fn object(&self, key: &str) -> object_store::path::Path {
        format!("{}{key}", self.bucket.as_ref().unwrap().prefix).into()
    }

    /// The bucket without our store.
    pub(crate) fn client(&self) -> Option<AmazonS3> {
        let settings = self.bucket.as_ref()?;
        let keys = settings.keys.clone().unwrap();
        let client = AmazonS3Builder::new()
            .with_endpoint(settings.endpoint.clone().unwrap())
            .with_allow_http(true)
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_access_key_id(keys.access_key)
            .with_secret_access_key(keys.secret_key)
            .with_disable_bulk_delete(true);
        Some(client.build().unwrap())
    }

    /// Removes what lies in the trash, as the sweep does.
    pub(crate) async fn sweep(&self) {
        for trashed in self.trash().await {
            self.store.remove(&trashed).await.unwrap();
        }
    }

    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(key)
    }

    pub(crate) fn root(&self) -> &std::path::Path {
        self.folder.path()
    }
}

fn placed(kept: &Kept) -> Placed {
    Placed { store_state: kept.state.clone(), key: kept.key.clone(), left: kept.left.clone() }
}

/// All bytes of a range.
pub(crate) async fn read(store: &BlobStore, blob: &ReadableBlob, first: u64, end: u64) -> Vec<u8> {
    let mut reader = store.reader(blob, first, end).await.unwrap();
    let mut read = Vec::new();
    while let Some(piece) = std::future::poll_fn(|cx| reader.poll_piece(cx)).await {
        read.extend_from_slice(&piece.unwrap());
    }
    read
}
