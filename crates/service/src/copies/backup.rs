//! A backup of a house into a folder, beside everything else: a copy of the catalog, and each blob it names that the
//! folder does not have yet.
//!
//! The order: a hold, so that nothing the copy names is removed; the copy; the blobs; `backup.json`, which names the
//! copy; then what was to be pruned; the end of the hold. Interrupted, the same command goes on: it makes a new copy,
//! and the blobs that are there stay there.

use super::merge::Named;
use super::{CopyError, blocking, name_of, read, store_copy, write};
use crate::Service;
use packhouse_blobs::{BackupFolder, BlobStore, KeptCatalog};
use packhouse_catalog::{CatalogError, DumpReader, Dumped, Micros, Presented, ReadableBlob, StoreCopy};
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

/// A hold that nobody renews ends after this.
const HOLD_SECONDS: u64 = 3_600;
/// Between two renewals.
const RENEW: Duration = Duration::from_secs(60);
/// Blobs at once.
const AT_ONCE: usize = 16;
/// Blobs of one batch.
const BATCH: usize = 500;
/// Damaged blobs that are named; with more, something else is wrong.
const MISSING_MAX: usize = 10_000;
/// How long an answer waits for something to tell.
const STEP: Duration = Duration::from_millis(500);

/// How far a backup is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupProgress {
    /// What is done now, in a word for people.
    pub phase: &'static str,
    /// Blobs that the copy names, and how many of them are in the folder.
    pub blobs: (u64, u64),
    /// Their bytes.
    pub bytes: (u64, u64),
    /// How many were copied now, and their bytes; the others were there.
    pub copied: (u64, u64),
    /// The copy's name, when it is done.
    pub catalog: Option<String>,
    /// Rows in it.
    pub rows: u64,
    /// Blobs that are damaged or gone in the store; all others are in the folder.
    pub missing: Vec<String>,
    /// Blobs that no kept copy names any more and that were removed, and their bytes.
    pub pruned: (u64, u64),
    /// Whether it has ended.
    pub ended: bool,
    /// Why it ended without having been done.
    pub failed: Option<String>,
}

/// The backups that run in this process, by their folder.
#[derive(Debug, Default)]
pub struct Backups(Mutex<HashMap<PathBuf, Running>>);

#[derive(Clone, Debug)]
struct Running {
    run: u64,
    progress: watch::Receiver<BackupProgress>,
}

impl Service {
    /// Begins a backup, or joins the one that runs in that folder, and says how far it is; `run` is what an earlier
    /// answer said. It goes on when nobody asks any more.
    pub(crate) async fn backup_step(
        &self,
        folder: &Path,
        keep: Option<u32>,
        run: Option<u64>,
    ) -> Result<(u64, BackupProgress), CopyError> {
        if !folder.is_absolute() {
            return Err(CopyError::Wrong("name the folder by its whole path".to_owned()));
        }
        let Running { run, mut progress } = self.running(folder, keep, run);
        let changed = async {
            while !progress.borrow_and_update().ended {
                if progress.changed().await.is_err() {
                    return;
                }
            }
        };
        // What matters is where it is then, not whether it has ended.
        let _ = tokio::time::timeout(STEP, changed).await;
        let now = progress.borrow().clone();
        Ok((run, now))
    }

    fn running(&self, folder: &Path, keep: Option<u32>, run: Option<u64>) -> Running {
        let mut all = self.backups.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = all.get(folder) {
            let ended = there.progress.borrow().ended;
            if run == Some(there.run) || (run.is_none() && !ended) {
                return there.clone();
            }
        }
        let (say, progress) = watch::channel(BackupProgress { phase: "beginning", ..Default::default() });
        let run = u64::try_from(self.clock.now().0).unwrap_or(0);
        let running = Running { run, progress };
        all.retain(|_, other| !other.progress.borrow().ended);
        all.insert(folder.to_owned(), running.clone());
        let (service, folder) = (self.clone(), folder.to_owned());
        tokio::spawn(async move {
            let done = service.back_up(&folder, keep, &say).await;
            say.send_modify(|progress| {
                progress.ended = true;
                progress.failed = done.err().map(|error| error.chain());
            });
        });
        running
    }

    async fn back_up(
        &self,
        path: &Path,
        keep: Option<u32>,
        say: &watch::Sender<BackupProgress>,
    ) -> Result<(), CopyError> {
        let (by, owned) = (Presented::Operator, path.to_owned());
        let folder = Arc::new(blocking(move || BackupFolder::make(&owned)).await?);
        let store = self.store.identity().await?.unwrap_or_default();
        let opened = Arc::clone(&folder);
        let index = blocking(move || opened.index()).await?;
        if let Some(other) = index.as_ref().filter(|index| index.store != store) {
            return Err(CopyError::Wrong(format!(
                "`{}` holds backups of another store (`{}`, this one is `{store}`); name another folder",
                path.display(),
                other.store
            )));
        }
        let kept = index.map(|index| index.catalogs).unwrap_or_default();
        let now = self.clock.now();
        let hold = Hold {
            service: self.clone(),
            name: format!("backup {}", path.display()),
            since: now,
            until: Arc::default(),
        };
        hold.renew().await?;
        let renewing = tokio::spawn(hold.clone().keep_up());
        let may = store_copy(&self.catalog, &by, now).await?;
        let backup = Backup { service: self, folder, may, hold: &hold, say };
        let done = backup.run(&store, kept, keep, now).await;
        renewing.abort();
        // Also of one that failed: the next one makes a copy of its own.
        let ended = hold.end().await;
        done.and(ended)
    }
}

/// What keeps all bytes in place that the copy names.
#[derive(Clone)]
struct Hold {
    service: Service,
    name: String,
    since: Micros,
    until: Arc<AtomicI64>,
}

impl Hold {
    async fn renew(&self) -> Result<(), CopyError> {
        let (service, name, since) = (&self.service, self.name.clone(), self.since);
        let now = service.clock.now();
        let until = now.plus_seconds(HOLD_SECONDS);
        write(&service.catalog, &Presented::Operator, now, move |tx, may| {
            Ok(tx.hold(may, &name, since, until)?)
        })
        .await?;
        self.until.store(until.0, Ordering::SeqCst);
        Ok(())
    }

    async fn keep_up(self) {
        loop {
            tokio::time::sleep(RENEW).await;
            if let Err(error) = self.renew().await {
                tracing::warn!(error = error.chain(), "a backup's hold was not renewed; it is tried again");
            }
        }
    }

    fn stands(&self) -> Result<(), CopyError> {
        if self.service.clock.now().0 < self.until.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(CopyError::Wrong("the catalog was away for too long: bytes may be gone; begin again".to_owned()))
    }

    async fn end(&self) -> Result<(), CopyError> {
        let (service, name) = (&self.service, self.name.clone());
        let now = service.clock.now();
        write(&service.catalog, &Presented::Operator, now, move |tx, may| Ok(tx.end_hold(may, &name)?))
            .await
            .map(drop)
    }
}

struct Backup<'s> {
    service: &'s Service,
    folder: Arc<BackupFolder>,
    may: StoreCopy,
    hold: &'s Hold,
    say: &'s watch::Sender<BackupProgress>,
}

impl Backup<'_> {
    async fn run(
        &self,
        store: &str,
        mut kept: Vec<KeptCatalog>,
        keep: Option<u32>,
        now: Micros,
    ) -> Result<(), CopyError> {
        let name = name_of(now);
        self.say.send_modify(|progress| progress.phase = "copying the catalog");
        let dumped = self.dump(&name, now).await?;
        self.say.send_modify(|progress| {
            progress.phase = "copying blobs";
            progress.blobs.1 = dumped.blobs;
            progress.bytes.1 = dumped.blob_bytes;
            progress.rows = dumped.rows;
        });
        let missing = self.copy_blobs(&name).await?;
        self.say.send_modify(|progress| progress.missing.clone_from(&missing));
        self.hold.stands()?;
        let Dumped { rows, blobs, blob_bytes, .. } = dumped;
        kept.retain(|other| other.name != name);
        kept.push(KeptCatalog { name: name.clone(), rows, blobs, blob_bytes, missing });
        if let Some(keep) = keep {
            let over = kept.len().saturating_sub(keep.max(1) as usize);
            kept.drain(..over);
        }
        let names: Vec<String> = kept.iter().map(|kept| kept.name.clone()).collect();
        let (folder, store) = (Arc::clone(&self.folder), store.to_owned());
        blocking(move || folder.keep(&store, kept)).await?;
        self.say.send_modify(|progress| progress.catalog = Some(name));
        if keep.is_some() {
            self.say.send_modify(|progress| progress.phase = "removing what no kept copy names");
            let pruned = self.prune(names).await?;
            self.say.send_modify(|progress| progress.pruned = pruned);
        }
        Ok(())
    }

    async fn dump(&self, name: &str, now: Micros) -> Result<Dumped, CopyError> {
        let folder = Arc::clone(&self.folder);
        let dumped = read(&self.service.catalog, &Presented::Operator, now, move |tx, may| {
            // The closure may run again: each time a new file.
            let mut file = BufWriter::new(folder.begin_catalog()?);
            let dumped = tx.dump(may, now, Some(&mut file))?;
            file.flush().map_err(CatalogError::Copy)?;
            Ok(dumped)
        })
        .await?;
        let (folder, name) = (Arc::clone(&self.folder), name.to_owned());
        blocking(move || folder.end_catalog(&name)).await?;
        Ok(dumped)
    }

    /// Copies what the folder does not have; the digests of those that are damaged or gone.
    async fn copy_blobs(&self, name: &str) -> Result<Vec<String>, CopyError> {
        let (batches, mut coming) = mpsc::channel(2);
        let (folder, may, name) = (Arc::clone(&self.folder), self.may.clone(), name.to_owned());
        let reading = tokio::task::spawn_blocking(move || {
            let blobs = DumpReader::open(folder.catalog(&name)?)?.blobs(&may);
            let mut batch = Batch::default();
            for blob in blobs {
                let blob = blob?;
                if folder.has(&blob.digest(), blob.size()) {
                    batch.there = (batch.there.0 + 1, batch.there.1 + blob.size());
                } else {
                    batch.wanted.push(blob);
                }
                if batch.there.0 as usize + batch.wanted.len() >= BATCH
                    && batches.blocking_send(std::mem::take(&mut batch)).is_err()
                {
                    // Who copies has ended, and says why.
                    return Ok(());
                }
            }
            let _ = batches.blocking_send(batch);
            Ok::<(), CopyError>(())
        });
        let mut missing = Vec::new();
        let mut running: JoinSet<Copied> = JoinSet::new();
        while let Some(batch) = coming.recv().await {
            self.hold.stands()?;
            self.say.send_modify(|progress| {
                progress.blobs.0 += batch.there.0;
                progress.bytes.0 += batch.there.1;
            });
            for blob in batch.wanted {
                if running.len() >= AT_ONCE {
                    self.copied(running.join_next().await, &mut missing)?;
                }
                let (store, folder) = (self.service.store.clone(), Arc::clone(&self.folder));
                running.spawn(async move {
                    let whole = copy(&store, &folder, &blob).await?;
                    Ok((blob, whole))
                });
            }
        }
        while let Some(done) = running.join_next().await {
            self.copied(Some(done), &mut missing)?;
        }
        reading.await.unwrap_or(Err(CopyError::Ended))?;
        Ok(missing)
    }

    fn copied(
        &self,
        done: Option<Result<Copied, JoinError>>,
        missing: &mut Vec<String>,
    ) -> Result<(), CopyError> {
        let Some(done) = done else { return Ok(()) };
        let (blob, whole) = done.unwrap_or(Err(CopyError::Ended))?;
        if !whole {
            missing.push(blob.digest().to_string());
            if missing.len() > MISSING_MAX {
                return Err(CopyError::Wrong(format!(
                    "more than {MISSING_MAX} blobs are damaged or gone: is this the right store?"
                )));
            }
            return Ok(());
        }
        self.say.send_modify(|progress| {
            progress.blobs.0 += 1;
            progress.bytes.0 += blob.size();
            progress.copied = (progress.copied.0 + 1, progress.copied.1 + blob.size());
        });
        Ok(())
    }

    async fn prune(&self, names: Vec<String>) -> Result<(u64, u64), CopyError> {
        let (folder, may) = (Arc::clone(&self.folder), self.may.clone());
        blocking(move || {
            let copies = names.iter().map(|name| Ok(DumpReader::open(folder.catalog(name)?)?.blobs(&may)));
            let copies = copies.collect::<Result<Vec<_>, CopyError>>()?;
            folder.prune(Named::of(copies))
        })
        .await
    }
}

/// A blob, and whether it was whole.
type Copied = Result<(ReadableBlob, bool), CopyError>;

/// Blobs that come next: those that the folder has, with their bytes, and those that it wants.
#[derive(Default)]
struct Batch {
    there: (u64, u64),
    wanted: Vec<ReadableBlob>,
}

/// Copies a blob; whether it was whole.
async fn copy(store: &BlobStore, folder: &BackupFolder, blob: &ReadableBlob) -> Result<bool, CopyError> {
    let copied = async {
        let bytes = store.reader(blob, 0, blob.size()).await?;
        folder.put(blob.digest(), bytes).await
    };
    match copied.await {
        Err(error) if error.is_damage() => {
            let digest = blob.digest();
            tracing::error!(%digest, error = &error as &dyn std::error::Error, "a blob cannot be copied");
            Ok(false)
        }
        done => Ok(done?),
    }
}
