//! A house made of a backup, or of a snapshot of its lost catalog.
//!
//! Of a backup: the catalog is loaded in one transaction, which also marks the house as not whole; then the blobs are
//! copied, each hashed on its way; then the store gets its name, and the mark goes. A server does not start while the
//! mark is there. Interrupted, the same command goes on behind the last blobs that were recorded.
//!
//! Of a snapshot: see `lost.rs`.

use super::{CopyError, blocking, read, store_copy, write};
use crate::Clock;
use bytes::Bytes;
use packhouse_blobs::{BackupFolder, BackupIndex, BlobError, BlobStore, KeptCatalog, new_identity, new_key};
use packhouse_catalog::{
    Catalog, CatalogError, DumpReader, LoadInto, Micros, Options, Presented, ReadableBlob, Restoring,
    StoreCopy, Vacant,
};
use packhouse_oci::Digest;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Blobs of one page, after which it is recorded how far it is.
const PAGE: u32 = 500;
/// Blobs at once.
const AT_ONCE: usize = 16;

/// What a house is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreFrom {
    /// The folder of a backup.
    Backup {
        /// Where it is.
        folder: PathBuf,
        /// Which copy of the catalog; the newest, if nobody says.
        catalog: Option<String>,
        /// Whether to go on though some blobs are not in it.
        without_missing: bool,
    },
    /// A snapshot in the store.
    Snapshot {
        /// Which; the newest that is whole, if nobody says.
        name: Option<String>,
    },
}

/// Where it is made.
#[derive(Clone)]
pub struct RestoreTarget {
    /// The catalog's place, which must be empty.
    pub catalog: Options,
    /// The store; for a backup it must be empty.
    pub store: BlobStore,
    /// A folder of ours alone, for what must be a file.
    pub scratch: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreProgress {
    /// Rows in all, and those that are loaded.
    pub rows: (u64, u64),
    /// Blobs in all, and those that are there.
    pub blobs: (u64, u64),
    /// Their bytes.
    pub bytes: (u64, u64),
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The copy of the catalog that it was made of.
    pub catalog: String,
    /// When that was made.
    pub made_at: Option<Micros>,
    /// Blobs that it has, and their bytes.
    pub blobs: (u64, u64),
    /// Blobs that it should have but that the backup does not.
    pub missing: Vec<String>,
}

/// Who is told how far it is.
pub(super) type Say = Arc<dyn Fn(RestoreProgress) + Send + Sync>;

/// Makes a house. Runs in the program that has the data folder's lock, since no server may run there.
///
/// # Errors
/// The target is not empty, or is being restored from something else; what it is made of is not whole. Interrupted, it
/// can be called again.
pub async fn restore(target: RestoreTarget, from: RestoreFrom, say: Say) -> Result<Restored, CopyError> {
    match from {
        RestoreFrom::Backup { folder, catalog, without_missing } => {
            let folder = blocking(move || BackupFolder::open(&folder)).await?;
            let folder = Arc::new(folder);
            of_backup(target, &folder, catalog, without_missing, say).await
        }
        RestoreFrom::Snapshot { name } => super::lost::of_snapshot(target, name, say).await,
    }
}

async fn of_backup(
    target: RestoreTarget,
    folder: &Arc<BackupFolder>,
    wanted: Option<String>,
    without_missing: bool,
    say: Say,
) -> Result<Restored, CopyError> {
    let opened = Arc::clone(folder);
    let index = blocking(move || opened.index()).await?.unwrap_or(BackupIndex {
        format: 0,
        store: String::new(),
        catalogs: Vec::new(),
    });
    let loading = {
        let (target, index, folder) = (target.clone(), index.clone(), Arc::clone(folder));
        let (runtime, say) = (Handle::current(), Arc::clone(&say));
        let load =
            move || load(&target, &index, &folder, (wanted.as_deref(), without_missing), &runtime, &say);
        blocking(load).await?
    };
    let options = target.catalog.clone();
    let catalog = blocking(move || Catalog::open(&options)).await?;
    let restoring = catalog.read(|tx| Ok::<_, CopyError>(tx.restoring()?)).await?;
    let restoring = restoring.ok_or_else(not_empty)?;
    let kept = loading;
    let filling = Filling { target: &target, catalog: &catalog, folder, say };
    let missing = filling.fill(&restoring, &kept).await?;
    filling.end(&restoring).await?;
    Ok(Restored {
        made_at: super::time_of(&kept.name),
        catalog: kept.name,
        blobs: (restoring.blobs - missing.len() as u64, restoring.blob_bytes),
        missing,
    })
}

fn not_empty() -> CopyError {
    CopyError::Wrong(
        "there is a catalog already; restore into an empty data folder or database, and an empty store"
            .to_owned(),
    )
}

/// Loads the catalog where there is none; where this very restoration was interrupted, it is loaded already.
fn load(
    target: &RestoreTarget,
    index: &BackupIndex,
    folder: &BackupFolder,
    (wanted, without_missing): (Option<&str>, bool),
    runtime: &Handle,
    say: &Say,
) -> Result<KeptCatalog, CopyError> {
    let vacant = match Vacant::open(&target.catalog.place) {
        Ok(vacant) => vacant,
        Err(CatalogError::NotEmpty) => return go_on(target, index, wanted, runtime),
        Err(error) => return Err(error.into()),
    };
    let kept = choose(index, wanted)?.clone();
    if !kept.missing.is_empty() && !without_missing {
        return Err(CopyError::Wrong(format!(
            "{} blobs were damaged or gone when this backup was made, the first is {}; restore an older one with \
             --catalog, or give --without-missing to have everything else",
            kept.missing.len(),
            kept.missing[0]
        )));
    }
    if !runtime.block_on(target.store.is_empty(&vacant.store_copy()))? {
        return Err(CopyError::Wrong("the blob store is not empty; restore into an empty one".to_owned()));
    }
    let copy = DumpReader::open(folder.catalog(&kept.name)?)?;
    let (from, store) = (from_of(&kept.name, index), new_identity()?);
    let mut keys = || new_key().ok();
    let into = LoadInto::Elsewhere { from: &from, store: &store, keys: &mut keys };
    let all = copy.rows();
    vacant.load(copy, into, &mut |rows| say(RestoreProgress { rows: (all, rows), ..Default::default() }))?;
    Ok(kept)
}

fn from_of(name: &str, index: &BackupIndex) -> String {
    format!("{name} of the store {}", index.store)
}

fn go_on(
    target: &RestoreTarget,
    index: &BackupIndex,
    wanted: Option<&str>,
    runtime: &Handle,
) -> Result<KeptCatalog, CopyError> {
    let catalog = Catalog::open(&target.catalog)?;
    let restoring = runtime.block_on(catalog.read(|tx| Ok::<_, CopyError>(tx.restoring()?)))?;
    let from = restoring.ok_or_else(not_empty)?.from;
    // The newest one may be another by now; it goes on with the one that it began with.
    let kept = index.catalogs.iter().find(|kept| from_of(&kept.name, index) == from);
    match kept {
        Some(kept) if wanted.is_none_or(|wanted| wanted == kept.name) => Ok(kept.clone()),
        Some(_) | None => Err(CopyError::Wrong(format!(
            "this house is being restored from {from}; go on with that one, or empty the place first"
        ))),
    }
}

fn choose<'i>(index: &'i BackupIndex, wanted: Option<&str>) -> Result<&'i KeptCatalog, CopyError> {
    let found = match wanted {
        Some(wanted) => index.catalogs.iter().find(|kept| kept.name == wanted),
        None => index.catalogs.last(),
    };
    found.ok_or_else(|| {
        let names = index.catalogs.iter().map(|kept| kept.name.as_str());
        none_such("copy of the catalog", wanted, names)
    })
}

pub(super) fn none_such<'n>(
    what: &str,
    wanted: Option<&str>,
    names: impl Iterator<Item = &'n str>,
) -> CopyError {
    let names: Vec<_> = names.collect();
    let there =
        if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) };
    let wanted = wanted.map(|wanted| format!("no {what} `{wanted}`; ")).unwrap_or_default();
    CopyError::Wrong(format!("{wanted}{there}"))
}

/// A house whose blobs are on their way.
struct Filling<'r> {
    target: &'r RestoreTarget,
    catalog: &'r Catalog,
    folder: &'r Arc<BackupFolder>,
    say: Say,
}

impl Filling<'_> {
    async fn fill(&self, restoring: &Restoring, kept: &KeptCatalog) -> Result<Vec<String>, CopyError> {
        let (by, now) = (Presented::Operator, self.target.clock.now());
        let may = store_copy(self.catalog, &by, now).await?;
        let mut after = restoring.restored_to;
        let mut progress = RestoreProgress {
            blobs: (restoring.blobs, 0),
            bytes: (restoring.blob_bytes, 0),
            ..RestoreProgress::default()
        };
        let mut missing = Vec::new();
        loop {
            let page = read(self.catalog, &by, now, move |tx, may| {
                Ok(tx.blobs_to_copy(may, after.as_ref(), PAGE)?)
            })
            .await?;
            let Some(last) = page.last().map(ReadableBlob::digest) else { break };
            let mut placed = Vec::new();
            let mut running: JoinSet<Result<Put, CopyError>> = JoinSet::new();
            let mut coming = page.into_iter();
            loop {
                while running.len() < AT_ONCE {
                    let Some(blob) = coming.next() else { break };
                    if kept.missing.contains(&blob.digest().to_string()) {
                        missing.push(blob.digest().to_string());
                        continue;
                    }
                    let (store, folder, may) =
                        (self.target.store.clone(), Arc::clone(self.folder), may.clone());
                    running.spawn(async move { put(&store, &folder, &may, blob).await });
                }
                let Some(done) = running.join_next().await else { break };
                let put = done.unwrap_or(Err(CopyError::Ended))?;
                progress.blobs.1 += 1;
                progress.bytes.1 += put.size;
                placed.extend(put.elsewhere);
                (self.say)(progress);
            }
            write(self.catalog, &by, now, move |tx, may| Ok(tx.restored_to(may, &last, &placed)?)).await?;
            after = Some(last);
        }
        Ok(missing)
    }

    /// The store gets its name, and the house opens.
    async fn end(&self, restoring: &Restoring) -> Result<(), CopyError> {
        let (store, name) = (&self.target.store, restoring.store.as_str());
        if store.identity().await?.is_none() {
            store.adopt(name).await?;
        }
        if store.identity().await?.as_deref() != Some(name) {
            return Err(CopyError::Wrong(
                "another house has come to use this blob store meanwhile".to_owned(),
            ));
        }
        let now = self.target.clock.now();
        write(self.catalog, &Presented::Operator, now, |tx, may| Ok(tx.end_restoring(may)?)).await
    }
}

/// A blob that is in its store.
struct Put {
    size: u64,
    /// Where it lies, if not where its row says.
    elsewhere: Option<(Digest, String)>,
}

async fn put(
    store: &BlobStore,
    folder: &BackupFolder,
    may: &StoreCopy,
    blob: ReadableBlob,
) -> Result<Put, CopyError> {
    let digest = blob.digest();
    let wrong = |found: String| {
        CopyError::Wrong(format!(
            "the blob {digest} in the backup is damaged ({found}); put a good copy in its place and go on"
        ))
    };
    let mut bytes = match folder.read(&digest).await {
        Ok(bytes) if bytes.remaining() == blob.size() => bytes,
        Ok(bytes) => {
            return Err(wrong(format!("it has {} bytes in place of {}", bytes.remaining(), blob.size())));
        }
        Err(error) if error.is_damage() => return Err(wrong("it is not there".to_owned())),
        Err(error) => return Err(error.into()),
    };
    let mut writer = store.copy_writer(may, &blob).await?;
    while let Some(piece) = next_piece(&mut bytes).await? {
        writer = writer.write(vec![piece]).await?;
    }
    let (writer, found) = writer.digest(digest.algorithm()).await?;
    if found != digest {
        let _ = writer.cut(0).await;
        return Err(wrong(format!("its bytes are those of {found}")));
    }
    let (writer, kept) = writer.finish(digest).await?;
    drop(writer);
    let elsewhere = (kept.key != blob.storage_key()).then_some((digest, kept.key));
    Ok(Put { size: blob.size(), elsewhere })
}

pub(super) async fn next_piece(bytes: &mut packhouse_blobs::Reader) -> Result<Option<Bytes>, BlobError> {
    poll_fn(|context| bytes.poll_piece(context)).await.transpose()
}
