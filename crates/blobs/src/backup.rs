//! The folder of a backup: blobs by their digest, copies of the catalog, and what of it is whole.
//!
//! - `blobs/<algorithm>/<2 hex>/<hex>`: a blob, named by its digest. Written under another name, hashed on the way,
//!   synced, renamed: what has such a name is whole, and need not be copied again.
//! - `catalogs/<time>`: a copy of the catalog.
//! - `backup.json`: the copies whose blobs are all here. Written last.
//!
//! One process works in it at a time. Everything here blocks, except where it is async.

use crate::files::source::FileSource;
use crate::files::{blocking, make_folder, sync_folder};
use crate::{BlobError, Reader};
use bytes::Bytes;
use packhouse_oci::{Algorithm, Digest, Hasher};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::future::poll_fn;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const INDEX: &str = "backup.json";
const CATALOGS: &str = "catalogs";
const BLOBS: &str = "blobs";
/// What is being written.
const PARTS: &str = "parts";
const LOCK: &str = "lock";
/// The form of what lies here.
const FORMAT: u32 = 1;
/// In the order of [`Digest::to_bytes`].
const ALGORITHMS: [(Algorithm, &str); 2] = [(Algorithm::Sha256, "sha256"), (Algorithm::Sha512, "sha512")];

/// What of a folder is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupIndex {
    /// The form of the folder; another program's is not touched.
    pub format: u32,
    /// The name of the blob store that was backed up.
    pub store: String,
    /// Copies of the catalog, the oldest first.
    pub catalogs: Vec<KeptCatalog>,
}

/// A copy of the catalog whose blobs are here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCatalog {
    /// Its name: its time.
    pub name: String,
    /// Rows in all tables.
    pub rows: u64,
    /// Blobs that it names.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Those that were damaged or gone when it was made, and are not here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// The folder, which nobody else works in while this exists.
#[derive(Debug)]
pub struct BackupFolder {
    root: PathBuf,
    _lock: File,
}

impl BackupFolder {
    /// Opens a folder to back up into, and makes what of it is not there, for its owner only: a copy of the catalog
    /// holds the hashes of tokens.
    pub fn make(root: &Path) -> Result<Self, BlobError> {
        let failed = |path: &Path| BlobError::file("making", path.to_owned());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed(root))?;
        let there = fs::read_dir(root).map_err(BlobError::file("listing", root))?.next().is_some();
        if there && !root.join(LOCK).exists() && !root.join(INDEX).exists() {
            return Err(BlobError::Backup(format!(
                "`{}` holds something else than a backup; name an empty folder, or one that does not exist",
                root.display()
            )));
        }
        let folder = BackupFolder::locked(root)?;
        for name in [CATALOGS, BLOBS, PARTS] {
            make_folder(&root.join(name))?;
        }
        for (_, algorithm) in ALGORITHMS {
            let above = root.join(BLOBS).join(algorithm);
            make_folder(&above)?;
            for fan in 0..=255_u8 {
                make_folder(&above.join(format!("{fan:02x}")))?;
            }
            sync_folder(&above)?;
        }
        sync_folder(&root.join(BLOBS))?;
        sync_folder(root)?;
        if let Some(parent) = root.parent() {
            // Not ours, so perhaps not to be read; then its own keeper syncs it.
            let _ = sync_folder(parent);
        }
        // What an interrupted run was writing.
        for entry in
            fs::read_dir(root.join(PARTS)).map_err(BlobError::file("listing", root.join(PARTS)))?.flatten()
        {
            fs::remove_file(entry.path()).map_err(BlobError::file("removing", entry.path()))?;
        }
        Ok(folder)
    }

    /// Opens a folder to restore from.
    pub fn open(root: &Path) -> Result<Self, BlobError> {
        if !root.join(INDEX).is_file() {
            return Err(BlobError::Backup(format!(
                "there is no whole backup in `{}`: it has no `{INDEX}`",
                root.display()
            )));
        }
        BackupFolder::locked(root)
    }

    fn locked(root: &Path) -> Result<Self, BlobError> {
        let path = root.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(BlobError::file("opening", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(BackupFolder { root: root.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(BlobError::Backup(format!("another backup or restore works in `{}`", root.display())))
            }
            Err(TryLockError::Error(source)) => Err(BlobError::file("locking", path)(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// What of it is whole; none before the first backup was.
    pub fn index(&self) -> Result<Option<BackupIndex>, BlobError> {
        let path = self.root.join(INDEX);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BlobError::file("reading", path)(source)),
        };
        let index: BackupIndex = serde_json::from_slice(&text)
            .map_err(|error| BlobError::Backup(format!("`{}` cannot be read: {error}", path.display())))?;
        if index.format != FORMAT {
            let found = index.format;
            return Err(BlobError::Backup(format!(
                "the folder has the form {found}, this program knows {FORMAT}"
            )));
        }
        Ok(Some(index))
    }

    /// Says what of it is whole: the last step. Copies of the catalog that it does not name go.
    pub fn keep(&self, store: &str, catalogs: Vec<KeptCatalog>) -> Result<(), BlobError> {
        let index = BackupIndex { format: FORMAT, store: store.to_owned(), catalogs };
        let mut text = serde_json::to_vec_pretty(&index)
            .map_err(|error| BlobError::Backup(format!("`{INDEX}` cannot be written: {error}")))?;
        text.push(b'\n');
        let (part, path) = (self.root.join(PARTS).join(INDEX), self.root.join(INDEX));
        let written = new_file(&part).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&part, &path)
        });
        written.map_err(BlobError::file("writing", &path))?;
        sync_folder(&self.root)?;
        let folder = self.root.join(CATALOGS);
        for entry in fs::read_dir(&folder).map_err(BlobError::file("listing", &folder))?.flatten() {
            let name = entry.file_name();
            if !index.catalogs.iter().any(|kept| name == *kept.name) {
                fs::remove_file(entry.path()).map_err(BlobError::file("removing", entry.path()))?;
            }
        }
        sync_folder(&folder)
    }

    /// A file for a copy of the catalog, empty whatever an earlier try wrote.
    pub fn begin_catalog(&self) -> Result<File, BlobError> {
        let path = self.root.join(PARTS).join("catalog");
        new_file(&path).map_err(BlobError::file("writing", path))
    }

    /// Gives the copy that was begun its name, once it is on disk.
    pub fn end_catalog(&self, name: &str) -> Result<(), BlobError> {
        let (part, path) = (self.root.join(PARTS).join("catalog"), self.catalog_path(name)?);
        let kept = File::open(&part).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&part, &path));
        kept.map_err(BlobError::file("writing", &path))?;
        sync_folder(&self.root.join(CATALOGS))
    }

    /// A copy of the catalog.
    pub fn catalog(&self, name: &str) -> Result<File, BlobError> {
        let path = self.catalog_path(name)?;
        File::open(&path).map_err(BlobError::file("opening", path))
    }

    fn catalog_path(&self, name: &str) -> Result<PathBuf, BlobError> {
        crate::key::snapshot(name)?;
        Ok(self.root.join(CATALOGS).join(name))
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let (_, algorithm) =
            ALGORITHMS.iter().find(|(known, _)| *known == digest.algorithm()).unwrap_or(&ALGORITHMS[0]);
        let hex = digest.hex();
        self.root.join(BLOBS).join(algorithm).join(&hex[..2]).join(hex)
    }

    /// Whether the blob is here.
    pub fn has(&self, digest: &Digest, size: u64) -> bool {
        fs::symlink_metadata(self.blob_path(digest)).is_ok_and(|found| found.is_file() && found.len() == size)
    }

    /// Copies a blob. `false`: its bytes are not what its digest says, and nothing was kept.
    pub async fn put(&self, digest: Digest, mut bytes: Reader) -> Result<bool, BlobError> {
        let (part, path) = (self.root.join(PARTS).join(digest.hex()), self.blob_path(&digest));
        let mut writing = blocking(move || Writing::begin(part, path, digest.algorithm())).await?;
        while let Some(piece) = poll_fn(|context| bytes.poll_piece(context)).await {
            let piece = piece?;
            writing = blocking(move || writing.write(&piece)).await?;
        }
        blocking(move || writing.end(digest)).await
    }

    /// Opens a blob for reading. What its bytes are is for the reader to see.
    pub async fn read(&self, digest: &Digest) -> Result<Reader, BlobError> {
        let path = self.blob_path(digest);
        blocking(move || {
            let file = File::open(&path).map_err(BlobError::file("opening", &path))?;
            let size = file.metadata().map_err(BlobError::file("looking at", &path))?.len();
            Ok(Reader::new(Box::new(FileSource::new(file, 0, size)), size))
        })
        .await
    }

    /// Removes all blobs but those named, which come in the order of [`Digest::to_bytes`]; how many, and their bytes.
    /// The names of one of 256 folders are in memory.
    pub fn prune<E: From<BlobError>>(
        &self,
        named: impl Iterator<Item = Result<Digest, E>>,
    ) -> Result<(u64, u64), E> {
        let (mut named, mut removed) = (named.peekable(), (0, 0));
        for (algorithm, name) in ALGORITHMS {
            for fan in 0..=255_u8 {
                let folder = self.root.join(BLOBS).join(name).join(format!("{fan:02x}"));
                let failed = || BlobError::file("listing", &folder);
                let mut there = Vec::new();
                for entry in fs::read_dir(&folder).map_err(failed())? {
                    let name = entry.map_err(failed())?.file_name();
                    there.extend(name.into_string().ok());
                }
                there.sort_unstable();
                let before = removed;
                for name in there {
                    let mut kept = false;
                    while let Some(next) = named.next_if(|next| {
                        next.as_ref().map_or(true, |next| {
                            (order(next.algorithm()), next.hex()) <= (order(algorithm), name.clone())
                        })
                    }) {
                        let next = next?;
                        kept |= next.algorithm() == algorithm && next.hex() == name;
                    }
                    if !kept {
                        let path = folder.join(name);
                        removed.1 += fs::symlink_metadata(&path).map_or(0, |found| found.len());
                        fs::remove_file(&path).map_err(BlobError::file("removing", &path))?;
                        removed.0 += 1;
                    }
                }
                if removed != before {
                    sync_folder(&folder)?;
                }
            }
        }
        Ok(removed)
    }
}

fn order(algorithm: Algorithm) -> usize {
    ALGORITHMS.iter().position(|(known, _)| *known == algorithm).unwrap_or(0)
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// A blob on its way into the folder.
struct Writing {
    file: File,
    part: PathBuf,
    path: PathBuf,
    hasher: Hasher,
}

impl Writing {
    fn begin(part: PathBuf, path: PathBuf, algorithm: Algorithm) -> Result<Self, BlobError> {
        let file = new_file(&part).map_err(BlobError::file("writing", &part))?;
        Ok(Writing { file, part, path, hasher: Hasher::new(algorithm) })
    }

    fn write(mut self, piece: &Bytes) -> Result<Self, BlobError> {
        self.file.write_all(piece).map_err(BlobError::file("writing", &self.part))?;
        self.hasher.update(piece);
        Ok(self)
    }

    fn end(self, digest: Digest) -> Result<bool, BlobError> {
        if self.hasher.finish() != digest {
            fs::remove_file(&self.part).map_err(BlobError::file("removing", &self.part))?;
            return Ok(false);
        }
        let kept = self.file.sync_data().and_then(|()| fs::rename(&self.part, &self.path));
        kept.map_err(BlobError::file("writing", &self.path))?;
        self.path.parent().map_or(Ok(()), sync_folder)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(content: &'static [u8]) -> Reader {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let size = content.len() as u64;
        Reader::new(Box::new(FileSource::new(file, 0, size)), size)
    }

    async fn put(folder: &BackupFolder, content: &'static [u8], algorithm: Algorithm) -> Digest {
        let digest = Digest::of(algorithm, content);
        assert!(!folder.has(&digest, content.len() as u64));
        assert!(folder.put(digest, reader(content)).await.unwrap());
        assert!(folder.has(&digest, content.len() as u64));
        digest
    }

    #[tokio::test]
    async fn what_has_a_digest_for_its_name_is_whole() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = BackupFolder::make(&temporary.path().join("some/backup")).unwrap();
        for content in [b"".as_slice(), b"layer"] {
            let digest = put(&folder, content, Algorithm::Sha256).await;
            assert!(!folder.has(&digest, 77));
            let mut back = folder.read(&digest).await.unwrap();
            let mut found = Vec::new();
            while let Some(piece) = poll_fn(|context| back.poll_piece(context)).await {
                found.extend_from_slice(&piece.unwrap());
            }
            assert_eq!(found, content);
        }
        let other = Digest::of(Algorithm::Sha256, b"what it should be");
        assert!(!folder.put(other, reader(b"what it is")).await.unwrap());
        assert!(!folder.has(&other, 10));
        assert_eq!(fs::read_dir(folder.path().join(PARTS)).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn pruning_keeps_what_is_named_and_nothing_else() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = BackupFolder::make(temporary.path()).unwrap();
        let mut digests = Vec::new();
        for content in [b"a".as_slice(), b"b", b"c", b"d", b"e"] {
            digests.push(put(&folder, content, Algorithm::Sha256).await);
            digests.push(put(&folder, content, Algorithm::Sha512).await);
        }
        digests.sort_by_key(Digest::to_bytes);
        // Every other one, one of them twice, and one that was never here.
        let mut named: Vec<_> = digests.iter().copied().step_by(2).collect();
        named.extend([digests[2], Digest::of(Algorithm::Sha256, b"never")]);
        named.sort_by_key(Digest::to_bytes);
        let removed = folder.prune(named.into_iter().map(Ok::<_, BlobError>)).unwrap();
        assert_eq!(removed, (5, 5));
        for (at, digest) in digests.iter().enumerate() {
            assert_eq!(folder.has(digest, 1), at % 2 == 0, "{at}");
        }
        assert_eq!(folder.prune(std::iter::empty::<Result<Digest, BlobError>>()).unwrap(), (5, 5));
    }

    #[test]
    fn one_at_a_time_and_nobody_elses_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("backup");
        assert!(BackupFolder::open(&path).unwrap_err().to_string().contains("no whole backup"));
        let first = BackupFolder::make(&path).unwrap();
        assert!(BackupFolder::make(&path).unwrap_err().to_string().contains("another backup"));
        assert_eq!(first.index().unwrap(), None);
        first.begin_catalog().unwrap().write_all(b"x").unwrap();
        let name = "20261125T231711-000001";
        first.end_catalog(name).unwrap();
        let kept = KeptCatalog { name: name.into(), rows: 1, blobs: 2, blob_bytes: 3, missing: Vec::new() };
        first.keep("store", vec![kept.clone()]).unwrap();
        drop(first);

        let again = BackupFolder::open(&path).unwrap();
        assert_eq!(again.index().unwrap().unwrap().catalogs, [kept]);
        again.catalog(name).unwrap();
        assert!(matches!(again.catalog("../../x"), Err(BlobError::Key(_))));
        again.keep("store", Vec::new()).unwrap();
        assert!(again.catalog(name).is_err(), "what is not named is gone");

        let home = temporary.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("letter"), "dear").unwrap();
        assert!(BackupFolder::make(&home).unwrap_err().to_string().contains("something else"));
    }
}
