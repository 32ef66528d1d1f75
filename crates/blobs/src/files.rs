//! Bytes on files below a data folder that this process alone uses.

mod buffers;
mod late;
mod sink;
pub(crate) mod source;

use crate::driver::{Driver, Extent, Removal, Sink, Source, Start, Stored, Work};
use crate::{BlobError, key};
use late::LateSink;
use sink::FileSink;
use source::FileSource;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::spawn_blocking;

#[derive(Clone, Debug)]
pub(crate) struct Files {
    root: Arc<PathBuf>,
}

impl Files {
    /// Opens the folders below `root`, making them when they are not there. Blocks.
    pub(crate) fn open(root: &Path) -> Result<Self, BlobError> {
        let blobs = root.join("blobs");
        make_folder(&blobs)?;
        for fan in 0..=255_u8 {
            make_folder(&blobs.join(format!("{fan:02x}")))?;
        }
        sync_folder(&blobs)?;
        sync_folder(root)?;
        Ok(Files { root: Arc::new(root.to_owned()) })
    }
}

impl Driver for Files {
    fn identity(&self) -> Work<'_, Option<String>> {
        let path = self.root.join("blobs").join("identity");
        Box::pin(blocking(move || match fs::read_to_string(&path) {
            Ok(identity) => Ok(Some(identity.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(BlobError::file("reading", path)(source)),
        }))
    }

    fn adopt(&self, identity: String) -> Work<'_, ()> {
        let root = Arc::clone(&self.root);
        Box::pin(blocking(move || adopt(&root, &identity)))
    }

    /// The folder's own file: a disk that went away does not have it.
    fn ready(&self) -> Work<'_, ()> {
        let path = self.root.join("blobs").join("identity");
        Box::pin(blocking(move || {
            fs::metadata(&path).map(drop).map_err(BlobError::file("looking at", &path))
        }))
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn new_key(&self) -> Result<String, BlobError> {
        key::new_key_of_now()
    }

    fn write(&self, from: Start) -> Work<'_, Box<dyn Sink>> {
        Box::pin(async move {
            let path = key::path(&self.root, &from.key)?;
            if from.key.starts_with(key::CATALOGS) {
                let root = Arc::clone(&self.root);
                return blocking(move || {
                    make_catalogs(&root)?;
                    Ok(Box::new(FileSink::aside(path, from)?) as Box<dyn Sink>)
                })
                .await;
            }
            Ok(Box::new(LateSink::new(path, from)) as Box<dyn Sink>)
        })
    }

    fn read(&self, what: Extent) -> Work<'_, Box<dyn Source>> {
        Box::pin(async move {
            let path = key::path(&self.root, &what.key)?;
            let expected = what.size;
            let file = blocking(move || {
                let file = File::open(&path).map_err(BlobError::file("opening", &path))?;
                let found = file.metadata().map_err(BlobError::file("looking at", &path))?.len();
                let place = path.display().to_string();
                if found != expected { Err(BlobError::Length { place, expected, found }) } else { Ok(file) }
            })
            .await?;
            Ok(Box::new(FileSource::new(file, what.first, what.end)) as Box<dyn Source>)
        })
    }

    fn address(&self, _key: &str) -> Work<'_, Option<String>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn remove(&self, what: Removal) -> Work<'_, ()> {
        Box::pin(async move {
            let path = key::path(&self.root, &what.key)?;
            blocking(move || remove_file(&path)).await
        })
    }

    fn list(&self, after: Option<String>, limit: usize) -> Work<'_, Vec<Stored>> {
        let root = Arc::clone(&self.root);
        Box::pin(blocking(move || list(&root, after.as_deref(), limit)))
    }

    fn list_catalogs(&self) -> Work<'_, Vec<Stored>> {
        let root = Arc::clone(&self.root);
        Box::pin(blocking(move || list_catalogs(&root)))
    }

    fn stat(&self, key: String) -> Work<'_, Option<u64>> {
        Box::pin(async move {
            let path = key::path(&self.root, &key)?;
            blocking(move || match fs::metadata(&path) {
                Ok(found) => Ok(Some(found.len())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(BlobError::file("looking at", path)(source)),
            })
            .await
        })
    }
}

fn adopt(root: &Path, identity: &str) -> Result<(), BlobError> {
    let path = root.join("blobs").join("identity");
    let unfinished = path.with_extension("new");
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(identity.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    write().map_err(BlobError::file("writing", &path))?;
    sync_folder(&root.join("blobs"))
}

/// Folder by folder, so that a page holds the names of one folder at the most.
fn list(root: &Path, after: Option<&str>, limit: usize) -> Result<Vec<Stored>, BlobError> {
    let first = after.and_then(key::fan).unwrap_or(0);
    let mut listed = Vec::new();
    for fan in first..=255_u8 {
        if listed.len() >= limit {
            break;
        }
        let folder = root.join("blobs").join(format!("{fan:02x}"));
        let failed = || BlobError::file("listing", &folder);
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed())? {
            // Names that are no text are none of ours, and cannot be told from one another.
            let name = entry.map_err(failed())?.file_name().into_string();
            let key = name.map(|name| format!("blobs/{fan:02x}/{name}"));
            names.extend(key.ok().filter(|key| after.is_none_or(|after| key.as_str() > after)));
        }
        names.sort_unstable();
        for key in names.into_iter().take(limit - listed.len()) {
            match fs::symlink_metadata(root.join(&key)) {
                Ok(found) => listed.push(Stored { size: found.len(), key }),
                // Removed since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(BlobError::file("looking at", root.join(&key))(source)),
            }
        }
    }
    Ok(listed)
}

/// The folder for copies of the catalog, made with the first; what an interrupted one left goes. One is written at a
/// time.
fn make_catalogs(root: &Path) -> Result<(), BlobError> {
    let folder = catalogs(root);
    make_folder(&folder)?;
    sync_folder(&root.join("blobs"))?;
    for entry in fs::read_dir(&folder).map_err(BlobError::file("listing", &folder))?.flatten() {
        if entry.path().extension().is_some_and(|end| end == sink::PART) {
            fs::remove_file(entry.path()).map_err(BlobError::file("removing", entry.path()))?;
        }
    }
    Ok(())
}

fn list_catalogs(root: &Path) -> Result<Vec<Stored>, BlobError> {
    let folder = catalogs(root);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(BlobError::file("listing", folder)(source)),
    };
    let mut listed = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().into_string();
        let Ok(key) = name.map(|name| format!("{}{name}", key::CATALOGS)) else { continue };
        if key::path(root, &key).is_ok() {
            let size = entry.metadata().map_err(BlobError::file("looking at", entry.path()))?.len();
            listed.push(Stored { key, size });
        }
    }
    Ok(listed)
}

fn catalogs(root: &Path) -> PathBuf {
    root.join("blobs").join("catalogs")
}

fn remove_file(path: &Path) -> Result<(), BlobError> {
    match fs::remove_file(path) {
        Ok(()) => {}
        // An earlier try may have ended before its folder was synced: without that the name could come back after
        // its row is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(BlobError::file("removing", path)(source)),
    }
    path.parent().map_or(Ok(()), sync_folder)
}

pub(crate) fn make_folder(path: &Path) -> Result<(), BlobError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(BlobError::file("making", path)(source)),
    }
}

/// A file's name is on disk only when its folder is.
pub(crate) fn sync_folder(path: &Path) -> Result<(), BlobError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(BlobError::file("syncing", path))
}

/// Disk work never runs on the threads that serve connections.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    spawn_blocking(work).await.unwrap_or(Err(BlobError::Ended))
}
