//! One session's file: a piece is written while it and the next one are hashed, and goes to the disk while more come.

use super::{blocking, sync_folder};
use crate::driver::{Kept, Sink, Start, Work};
use crate::{BlobError, Claim};
use bytes::Bytes;
use packhouse_oci::{Digest, Hasher};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_blocking};

/// How much is read at once when bytes are hashed again.
const REHASH_BYTES: usize = 1 << 20;
/// Shorter pieces are written and hashed by one thread: waking a second one costs as much.
const APART_BYTES: usize = 256 << 10;
/// Slices of one call: the system takes 1,024.
const SLICES_MAX: usize = 1024;
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
    /// The piece that is being written while the next one is hashed, so that neither waits for the slower of each pair.
    /// Nobody was promised anything about it: whatever comes next waits for it and looks at its outcome.
    writing: Option<JoinHandle<Result<(), BlobError>>>,
    /// A sync that goes on beside the writing. The system tells an error of the disk once: whoever would ask again is
    /// told that all is well. So its outcome is always looked at.
    syncing: Option<JoinHandle<io::Result<()>>>,
    /// A thread that writes has it too: the next request cuts the file, which nobody may be writing then.
    claim: Arc<Claim>,
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
            writing: None,
            syncing: None,
            claim: Arc::new(from.claim),
        })
    }

    /// Writes behind what is there. Blocks.
    pub(super) fn append(&mut self, chunks: &[Bytes]) -> Result<(), BlobError> {
        append(&self.file, &self.path, chunks)?;
        self.behind += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Waits for the piece that is being written, if there is one.
    async fn written(&mut self) -> Result<(), BlobError> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        writing.await.map_err(|_| BlobError::Ended)?
    }

    /// Lets the disk take what was written, beside what is written next. One sync at a time.
    async fn catch_up(&mut self, bytes: usize) -> Result<(), BlobError> {
        self.behind += bytes as u64;
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
            // Only now: what is written goes to where the piece before has ended.
            self.written().await?;
            let (mut sink, hasher) = if bytes < APART_BYTES {
                let written = blocking(move || {
                    append(&self.file, &self.path, &chunks)?;
                    Ok((self, hash(&chunks)))
                });
                written.await?
            } else {
                let hashing = spawn_blocking({
                    let chunks = chunks.clone();
                    move || hash(&chunks)
                });
                let (file, path, claim) =
                    (Arc::clone(&self.file), self.path.clone(), Arc::clone(&self.claim));
                self.writing = Some(spawn_blocking(move || {
                    let written = append(&file, &path, &chunks);
                    drop(claim);
                    written
                }));
                (self, hashing.await.map_err(|_| BlobError::Ended)?)
            };
            sink.catch_up(bytes).await?;
            Ok((sink as Box<dyn Sink>, hasher))
        })
    }

    fn rehash(mut self: Box<Self>, mut hasher: Hasher) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(async move {
            self.written().await?;
            let hashed = blocking(move || {
                self.hash(&mut hasher)?;
                Ok((self as Box<dyn Sink>, hasher))
            });
            hashed.await
        })
    }

    fn sync(mut self: Box<Self>) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(async move {
            self.written().await?;
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
            self.written().await?;
            self.caught_up().await?;
            let finished = blocking(move || {
                let kept = self.sync_file()?;
                self.name()?;
                Ok((self as Box<dyn Sink>, kept))
            });
            finished.await
        })
    }

    fn cut(mut self: Box<Self>, received: u64) -> Work<'static, ()> {
        Box::pin(async move {
            // Whatever became of it: it is cut.
            let _ = self.written().await;
            blocking(move || self.file.set_len(received).map_err(BlobError::file("cutting", &self.path)))
                .await
        })
    }
}

/// Writes pieces where the file's last write has ended, in few calls.
fn append(mut file: &File, path: &Path, chunks: &[Bytes]) -> Result<(), BlobError> {
    let failed = |error| BlobError::file("writing", path)(error);
    let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut left = &mut slices[..];
    // Empty ones are passed over.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(&left[..left.len().min(SLICES_MAX)]) {
            Ok(0) => return Err(failed(io::ErrorKind::WriteZero.into())),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
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

    /// An empty session.
    fn session(folder: &Path) -> FileSink {
        let claim = BlobStore::files(folder).unwrap().claim("a session").unwrap();
        let (key, journal) = ("blobs/00/x".to_owned(), Arc::new(NoJournal));
        let start = Start { key, received: 0, state: Vec::new(), epoch: 0, journal, claim };
        FileSink::open(folder.join("x"), start).unwrap()
    }

    /// A session in which a sync beside the writing has found that the disk fails.
    fn failed(folder: &Path) -> Box<FileSink> {
        let mut sink = session(folder);
        sink.syncing = Some(spawn_blocking(|| Err(io::Error::from_raw_os_error(5))));
        Box::new(sink)
    }

    /// One in which a piece could not be written.
    fn unwritten(folder: &Path) -> Box<FileSink> {
        let mut sink = session(folder);
        let full = BlobError::file("writing", &sink.path)(io::Error::from_raw_os_error(28));
        sink.writing = Some(spawn_blocking(move || Err(full)));
        Box::new(sink)
    }

    #[tokio::test]
    async fn pieces_lie_one_behind_the_other_whatever_their_size() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink: Box<dyn Sink> = Box::new(session(folder.path()));
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut expected = Vec::new();
        for (place, length) in [APART_BYTES, 10, 3 * APART_BYTES, APART_BYTES, 0, 1].into_iter().enumerate() {
            let bytes = vec![place as u8; length];
            expected.extend_from_slice(&bytes);
            // Frames, some of which are empty, and once more than the system takes in one call.
            let mut chunks: Vec<Bytes> = bytes.chunks(97).map(Bytes::copy_from_slice).collect();
            chunks.insert(0, Bytes::new());
            (sink, hasher) = sink.write(chunks, hasher).await.unwrap();
        }
        let (sink, hashed) = sink.rehash(Hasher::new(Algorithm::Sha256)).await.unwrap();
        assert_eq!(hashed.state(), hasher.state());
        sink.sync().await.unwrap();
        assert!(std::fs::read(folder.path().join("x")).unwrap() == expected);
    }

    #[tokio::test]
    async fn a_piece_that_could_not_be_written_fails_whatever_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::of(Algorithm::Sha256, b"");
        let says = |error: BlobError| assert!(error.to_string().contains("writing"), "{error}");
        let hasher = || Hasher::new(Algorithm::Sha256);
        says(unwritten(folder.path()).sync().await.unwrap_err());
        says(unwritten(folder.path()).finish(digest).await.unwrap_err());
        says(unwritten(folder.path()).rehash(hasher()).await.unwrap_err());
        says(unwritten(folder.path()).write(vec![Bytes::from_static(b"more")], hasher()).await.unwrap_err());
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
