//! A house made of a snapshot of its lost catalog, beside the store that it belongs to. Nothing is copied.

use super::restore::{RestoreTarget, Restored, Say, next_piece, none_such};
use super::snapshots::HOLD;
use super::{CopyError, blocking, time_of};
use packhouse_blobs::{BlobStore, Snapshot};
use packhouse_catalog::{Catalog, CatalogError, DumpReader, LoadInto, StoreCopy, Vacant};
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tokio::runtime::Handle;

/// The catalog's copy from the store, while it is read.
const SCRATCH: &str = "restore.part";

pub(super) async fn of_snapshot(
    target: RestoreTarget,
    name: Option<String>,
    say: Say,
) -> Result<Restored, CopyError> {
    let runtime = Handle::current();
    let loaded = {
        let target = target.clone();
        blocking(move || load_snapshot(&target, name.as_deref(), &runtime, &say)).await?
    };
    let (name, blobs) = loaded;
    Ok(Restored { made_at: time_of(&name), catalog: name, blobs, missing: Vec::new() })
}

/// Loads the catalog from the store; its name, its blobs and their bytes.
fn load_snapshot(
    target: &RestoreTarget,
    wanted: Option<&str>,
    runtime: &Handle,
    say: &Say,
) -> Result<(String, (u64, u64)), CopyError> {
    let vacant = Vacant::open(&target.catalog.place).map_err(|error| match error {
        CatalogError::NotEmpty => CopyError::Wrong(
            "there is a catalog already; a snapshot is for a store whose catalog was lost: move what is left of it away first"
                .to_owned(),
        ),
        error => error.into(),
    })?;
    let may = vacant.store_copy();
    let Some(store) = runtime.block_on(target.store.identity())? else {
        return Err(CopyError::Wrong("this blob store was never used: it has no snapshot".to_owned()));
    };
    let there = runtime.block_on(target.store.snapshots(&may))?;
    let mut tried =
        there.iter().rev().filter(|snapshot| wanted.is_none_or(|wanted| snapshot.name() == wanted));
    let scratch = target.scratch.join(SCRATCH);
    let copy = loop {
        let Some(snapshot) = tried.next() else {
            return Err(none_such("snapshot", wanted, there.iter().map(Snapshot::name)));
        };
        let file = runtime.block_on(fetch(&target.store, &may, snapshot, &scratch))?;
        match DumpReader::open(file) {
            Ok(copy) => break (snapshot.name().to_owned(), copy),
            Err(CatalogError::NoCopy(why)) if wanted.is_none() => {
                tracing::warn!(
                    snapshot = snapshot.name(),
                    why,
                    "a snapshot is not whole; the one before it is tried"
                );
            }
            Err(error) => return Err(error.into()),
        }
    };
    let (name, copy) = copy;
    if copy.store() != store {
        return Err(CopyError::Wrong(format!(
            "the snapshot belongs to the store `{}`, this one is `{store}`",
            copy.store()
        )));
    }
    let into = LoadInto::SameStore { now: target.clock.now(), hold: HOLD };
    let all = copy.rows();
    vacant.load(copy, into, &mut |rows| {
        say(super::RestoreProgress { rows: (all, rows), ..Default::default() });
    })?;
    // Nothing but a file of ours; a next try writes over it.
    let _ = std::fs::remove_file(&scratch);
    let catalog = Catalog::open(&target.catalog)?;
    let total = runtime.block_on(catalog.read(|tx| Ok::<_, CopyError>(tx.blobs_total()?)))?;
    Ok((name, total))
}

async fn fetch(
    store: &BlobStore,
    may: &StoreCopy,
    snapshot: &Snapshot,
    path: &Path,
) -> Result<File, CopyError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).map_err(CatalogError::Copy)?;
    let mut bytes = store.snapshot_reader(may, snapshot).await?;
    while let Some(piece) = next_piece(&mut bytes).await? {
        file.write_all(&piece).map_err(CatalogError::Copy)?;
    }
    file.rewind().map_err(CatalogError::Copy)?;
    Ok(file)
}
