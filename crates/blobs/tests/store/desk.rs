//! A store with a catalog beside it: only the catalog makes what the store opens and removes.

use bytes::Bytes;
use packhouse_access::{
    Granted, Pull, Push, Refused, Scopes, decide, decide_collect, decide_create, decide_operate,
};
use packhouse_blobs::{FileStore, Writer, new_key};
use packhouse_catalog::{
    AccountKind, Catalog, CatalogError, Finished, Micros, NewToken, Options, Place, Presented, ReadTx,
    ReadableBlob, TokenKind, TrashedKey, Upload, WriteTx,
};
use packhouse_oci::{Algorithm, Hasher};
use std::path::PathBuf;
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

pub(crate) struct Desk {
    pub(crate) store: FileStore,
    catalog: Catalog,
    folder: TempDir,
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
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
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
        Desk { store, catalog, folder }
    }

    /// As after a restart: nothing is in memory.
    pub(crate) fn reopen_store(&mut self) {
        self.store = FileStore::open(self.folder.path()).unwrap();
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

    pub(crate) async fn writer(&self, upload: &Upload) -> Writer {
        self.store.writer(upload, self.store.claim(&upload.id).unwrap()).await.unwrap()
    }

    /// What is acknowledged: synced, then in the row.
    pub(crate) async fn record(&self, upload: &Upload, writer: Writer) -> Upload {
        let writer = writer.sync().await.unwrap();
        let (received, state) = (writer.received(), writer.hash_state());
        let (before, stored) = (upload.clone(), state.clone());
        let moved = self
            .catalog
            .write(move |tx| {
                let may = push(tx)?;
                Ok::<_, Trouble>(tx.record_part(&may, &before, received, &stored, LATER)?)
            })
            .await
            .unwrap();
        assert!(moved);
        let mut after = upload.clone();
        (after.received, after.hash_state) = (received, state);
        after
    }

    pub(crate) async fn finish(&self, upload: &Upload, writer: Writer, algorithm: Algorithm) -> ReadableBlob {
        let (writer, digest) = writer.digest(algorithm).await.unwrap();
        let writer = writer.sync().await.unwrap();
        let finished = Finished { digest, size: writer.received() };
        let before = upload.clone();
        let done = self
            .catalog
            .write(move |tx| {
                let may = push(tx)?;
                Ok::<_, Trouble>(tx.finish_upload(&may, &before, &finished, NOW, LATER, LATER)?)
            })
            .await
            .unwrap();
        assert!(done);
        let found = self
            .catalog
            .read(move |tx| {
                let may = pull(tx)?;
                Ok::<_, Trouble>(tx.blob(&may, &digest)?)
            })
            .await
            .unwrap();
        found.expect("just linked")
    }

    pub(crate) async fn blob(&self, content: &[u8]) -> ReadableBlob {
        let upload = self.begin(Algorithm::Sha256).await;
        let writer = self.writer(&upload).await.write(vec![Bytes::copy_from_slice(content)]).await.unwrap();
        self.finish(&upload, writer, Algorithm::Sha256).await
    }

    pub(crate) async fn cancel(&self, upload: &Upload) -> Vec<TrashedKey> {
        let id = upload.id.clone();
        self.catalog
            .write(move |tx| {
                let may = push(tx)?;
                assert!(tx.cancel_upload(&may, &id, NOW)?);
                let worker = tx.caller(&Presented::Worker, NOW)?.expect("always");
                Ok::<_, Trouble>(tx.claim_trash(&decide_collect(&worker)?, NOW, LATER, 10)?)
            })
            .await
            .unwrap()
    }

    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(key)
    }

    pub(crate) fn root(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// All bytes of a range.
pub(crate) async fn read(store: &FileStore, blob: &ReadableBlob, first: u64, end: u64) -> Vec<u8> {
    let mut reader = store.reader(blob, first, end).await.unwrap();
    let mut read = Vec::new();
    while let Some(piece) = std::future::poll_fn(|cx| reader.poll_piece(cx)).await {
        read.extend_from_slice(&piece.unwrap());
    }
    read
}
