//! One session's file: bytes are hashed while they are written, and go to the disk while more of them come.

use super::{blocking, sync_folder};
use crate::driver::{Kept, Sink, Start, Work};
use crate::{BlobError, Claim};
use bytes::Bytes;
use packhouse_oci::{Digest, Hasher};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_blocking};

/// How much is read at once when bytes are hashed again.
const REHASH_BYTES: usize = 1 << 20;
/// Shorter pieces are written and hashed by one thread: waking a second one costs as much.
const APART_BYTES: usize = 256 << 10;
/// How much is written before the disk is made to take it. The last sync, which the client waits for, then has little
/// left to do.
const BEHIND_BYTES: u64 = 32 << 20;
/// The end of the name of a file that gets its own name when it is whole.
pub(super) const PART: &str = "part";

/// Moves into the blocking task that works on it, and its claim with it: a request whose client goes away drops its
/// future, but not the thread that writes.
#[derive(Debug)]
pub(super) struct FileSink {
    file: Arc<File>,
    path: PathBuf,
    key: String,
    new: bool,
    /// The name that it gets when it is finished.
    becomes: Option<PathBuf>,
    /// Bytes that were written since the disk was last made to take them.
    behind: u64,
    /// A sync that goes on beside the writing. The system tells an error of the disk once: whoever would ask again is
    /// told that all is well. So its outcome is always looked at.
    syncing: Option<JoinHandle<io::Result<()>>>,
    _claim: Claim,
}

impl FileSink {
    /// For what no row names: nothing has the name `path` before it is whole.
    pub(super) fn aside(path: PathBuf, from: Start) -> Result<Self, BlobError> {
        let mut sink = FileSink::open(path.with_extension(PART), from)?;
        sink.becomes = Some(path);
        Ok(sink)
    }

    pub(super) fn open(path: PathBuf, from: Start) -> Result<Self, BlobError> {
        let failed = |doing| BlobError::file(doing, &path);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("opening"))?;
        let found = file.metadata().map_err(failed("looking at"))?.len();
        let received = from.received;
        if found < received {
            let place = path.display().to_string();
            return Err(BlobError::Length { place, expected: received, found });
        }
        if found > received {
            file.set_len(received).map_err(failed("cutting"))?;
        }
        file.seek(SeekFrom::Start(received)).map_err(failed("seeking in"))?;
        // With nothing acknowledged the file may be new, and its name not yet on disk.
        Ok(FileSink {
            file: Arc::new(file),
            path,
            key: from.key,
            new: received == 0,
            becomes: None,
            behind: 0,
            syncing: None,
            _claim: from.claim,
        })
    }

    pub(super) fn append(&mut self, chunks: &[Bytes]) -> Result<(), BlobError> {
        for chunk in chunks {
            (&*self.file).write_all(chunk).map_err(BlobError::file("writing", &self.path))?;
            self.behind += chunk.len() as u64;
        }
        Ok(())
    }

    /// Lets the disk take what was written, beside what is written next. One sync at a time.
    async fn catch_up(&mut self) -> Result<(), BlobError> {
        if self.syncing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.caught_up().await?;
        }
        if self.behind >= BEHIND_BYTES && self.syncing.is_none() {
            self.behind = 0;
            let file = Arc::clone(&self.file);
            self.syncing = Some(spawn_blocking(move || file.sync_data()));
        }
        Ok(())
    }

    /// Waits for the sync beside the writing, if there is one.
    async fn caught_up(&mut self) -> Result<(), BlobError> {
        let Some(syncing) = self.syncing.take() else { return Ok(()) };
        syncing.await.map_err(|_| BlobError::Ended)?.map_err(BlobError::file("syncing", &self.path))
    }

    pub(super) fn sync_file(&mut self) -> Result<Kept, BlobError> {
        self.file.sync_data().map_err(BlobError::file("syncing", &self.path))?;
        if self.new {
            if let Some(folder) = self.path.parent() {
                sync_folder(folder)?;
            }
            self.new = false;
        }
        Ok(Kept { state: Vec::new(), key: self.key.clone(), left: Vec::new() })
    }

    /// Gives a file its name that had none while it was written.
    fn name(&mut self) -> Result<(), BlobError> {
        if let Some(path) = self.becomes.take() {
            std::fs::rename(&self.path, &path).map_err(BlobError::file("naming", &path))?;
            self.path = path;
            self.path.parent().map_or(Ok(()), sync_folder)?;
        }
        Ok(())
    }

    pub(super) fn hash(&mut self, hasher: &mut Hasher) -> Result<(), BlobError> {
        let mut buffer = vec![0_u8; REHASH_BYTES];
        (&*self.file).seek(SeekFrom::Start(0)).map_err(BlobError::file("seeking in", &self.path))?;
        loop {
            let read = (&*self.file).read(&mut buffer).map_err(BlobError::file("reading", &self.path))?;
            if read == 0 {
                return Ok(());
            }
            hasher.update(&buffer[..read]);
        }
    }
}

impl Sink for FileSink {
    fn write(
        mut self: Box<Self>,
        chunks: Vec<Bytes>,
        mut hasher: Hasher,
    ) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(async move {
            let bytes: usize = chunks.iter().map(Bytes::len).sum();
            let hash = move |chunks: &[Bytes]| {
                chunks.iter().for_each(|chunk| hasher.update(chunk));
                hasher
            };
            let (mut sink, hasher) = if bytes < APART_BYTES {
                let written = blocking(move || {
                    self.append(&chunks)?;
                    Ok((self, hash(&chunks)))
                });
                written.await?
            } else {
                // Spawned, so that it goes on beside the writing.
                let hashing = spawn_blocking({
                    let chunks = chunks.clone();
                    move || hash(&chunks)
                });
                let written = blocking(move || self.append(&chunks).map(|()| self)).await?;
                (written, hashing.await.map_err(|_| BlobError::Ended)?)
            };
            sink.catch_up().await?;
            Ok((sink as Box<dyn Sink>, hasher))
        })
    }

    fn rehash(mut self: Box<Self>, mut hasher: Hasher) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(blocking(move || {
            self.hash(&mut hasher)?;
            Ok((self as Box<dyn Sink>, hasher))
        }))
    }

    fn sync(mut self: Box<Self>) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(async move {
            self.caught_up().await?;
            let synced = blocking(move || {
                let kept = self.sync_file()?;
                Ok((self as Box<dyn Sink>, kept))
            });
            synced.await
        })
    }

    fn finish(mut self: Box<Self>, _whole: Digest) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(async move {
            self.caught_up().await?;
            let finished = blocking(move || {
                let kept = self.sync_file()?;
                self.name()?;
                Ok((self as Box<dyn Sink>, kept))
            });
            finished.await
        })
    }

    fn cut(self: Box<Self>, received: u64) -> Work<'static, ()> {
        Box::pin(blocking(move || {
            self.file.set_len(received).map_err(BlobError::file("cutting", &self.path))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobStore;
    use crate::driver::Journal;
    use packhouse_oci::Algorithm;

    #[derive(Debug)]
    struct NoJournal;

    impl Journal for NoJournal {
        fn note(&self, _: Vec<u8>) -> Work<'static, ()> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    /// A session in which a sync beside the writing has found that the disk fails.
    fn failed(folder: &std::path::Path) -> Box<FileSink> {
        let claim = BlobStore::files(folder).unwrap().claim("a session").unwrap();
        let (key, journal) = ("blobs/00/x".to_owned(), Arc::new(NoJournal));
        let start = Start { key, received: 0, state: Vec::new(), epoch: 0, journal, claim };
        let mut sink = FileSink::open(folder.join("x"), start).unwrap();
        sink.syncing = Some(spawn_blocking(|| Err(io::Error::from_raw_os_error(5))));
        Box::new(sink)
    }

    /// The system tells it to that sync and to nobody else: all later ones would succeed.
    #[tokio::test]
    async fn what_a_sync_beside_the_writing_found_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::of(Algorithm::Sha256, b"");
        let says = |error: BlobError| error.to_string();
        assert!(says(failed(folder.path()).sync().await.unwrap_err()).contains("syncing"));
        assert!(says(failed(folder.path()).finish(digest).await.unwrap_err()).contains("syncing"));
        // While more comes, as soon as it is known.
        let sink = failed(folder.path());
        while sink.syncing.as_ref().is_some_and(|syncing| !syncing.is_finished()) {
            tokio::task::yield_now().await;
        }
        let (chunks, hasher) = (vec![Bytes::from_static(b"more")], Hasher::new(Algorithm::Sha256));
        assert!(says((sink as Box<dyn Sink>).write(chunks, hasher).await.unwrap_err()).contains("syncing"));
    }
}
