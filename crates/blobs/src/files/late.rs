//! A session whose file is not open yet: the first bytes stay in memory.
//!
//! A small blob is then hashed where its bytes are, and opened, written and synced in one visit to the pool in place of
//! three: each visit wakes a thread and is woken by it, which costs more than the work. What is larger goes to the file as it
//! comes.

use super::blocking;
use super::sink::FileSink;
use crate::driver::{Kept, Sink, Start, Work};
use crate::{BlobError, Claim};
use bytes::Bytes;
use packhouse_oci::{Digest, Hasher};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;

/// Bytes that stay in memory; as many as an upload gathers anyway.
const HELD_BYTES_MAX: usize = 64 << 10;
/// What a chunk counts for at least: many small ones cost more than their bytes.
const CHUNK_BYTES_MIN: usize = 256;

#[derive(Debug)]
pub(super) struct LateSink {
    path: PathBuf,
    from: Start,
    held: Vec<Bytes>,
    bytes: usize,
}

impl LateSink {
    pub(super) fn new(path: PathBuf, from: Start) -> Self {
        LateSink { path, from, held: Vec::new(), bytes: 0 }
    }

    /// Opens the file and writes what is held. Blocks.
    fn open(self) -> Result<FileSink, BlobError> {
        let mut sink = FileSink::open(self.path, self.from)?;
        sink.append(&self.held)?;
        Ok(sink)
    }

    /// All that is held is written and synced. Blocks.
    fn sync_file(self) -> Result<(Box<dyn Sink>, Kept), BlobError> {
        let mut sink = self.open()?;
        let kept = sink.sync_file()?;
        Ok((Box::new(sink), kept))
    }
}

impl Sink for LateSink {
    fn write(
        mut self: Box<Self>,
        chunks: Vec<Bytes>,
        mut hasher: Hasher,
    ) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(async move {
            let more: usize = chunks.iter().map(|chunk| chunk.len().max(CHUNK_BYTES_MIN)).sum();
            if self.bytes + more <= HELD_BYTES_MAX {
                self.bytes += more;
                chunks.iter().for_each(|chunk| hasher.update(chunk));
                self.held.extend(chunks);
                return Ok((self as Box<dyn Sink>, hasher));
            }
            let sink = blocking(move || self.open()).await?;
            (Box::new(sink) as Box<dyn Sink>).write(chunks, hasher).await
        })
    }

    fn rehash(self: Box<Self>, mut hasher: Hasher) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(blocking(move || {
            let mut sink = self.open()?;
            sink.hash(&mut hasher)?;
            Ok((Box::new(sink) as Box<dyn Sink>, hasher))
        }))
    }

    fn sync(self: Box<Self>) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(blocking(move || self.sync_file()))
    }

    fn finish(self: Box<Self>, _whole: Digest) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(blocking(move || self.sync_file()))
    }

    /// Nothing of this request is in the file, if there is one; an earlier one may have left something.
    fn cut(self: Box<Self>, received: u64) -> Work<'static, ()> {
        Box::pin(blocking(move || {
            let LateSink { path, from: Start { claim, .. }, .. } = *self;
            let cut = match OpenOptions::new().write(true).open(&path) {
                Ok(file) => cut(&file, received).map_err(BlobError::file("cutting", &path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(source) => Err(BlobError::file("opening", &path)(source)),
            };
            drop::<Claim>(claim);
            cut
        }))
    }
}

/// A file that is too short already is damaged, and must not look as if it were not.
fn cut(file: &File, received: u64) -> io::Result<()> {
    if file.metadata()?.len() > received { file.set_len(received) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobStore;
    use crate::driver::Journal;
    use packhouse_oci::Algorithm;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    #[derive(Debug)]
    struct NoJournal;

    impl Journal for NoJournal {
        fn note(&self, _: Vec<u8>) -> Work<'static, ()> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    fn begun(folder: &Path, received: u64) -> Box<dyn Sink> {
        let claim = BlobStore::files(folder).unwrap().claim("a session").unwrap();
        let (key, journal) = ("blobs/00/x".to_owned(), Arc::new(NoJournal));
        let start = Start { key, received, state: Vec::new(), epoch: 0, journal, claim };
        Box::new(LateSink::new(folder.join("x"), start))
    }

    async fn write(sink: Box<dyn Sink>, bytes: usize) -> (Box<dyn Sink>, Hasher) {
        let chunks = vec![Bytes::from(vec![7; bytes])];
        sink.write(chunks, Hasher::new(Algorithm::Sha256)).await.unwrap()
    }

    #[tokio::test]
    async fn few_bytes_wait_for_their_sync_and_many_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let digest = Digest::of(Algorithm::Sha256, &[7; 20_000]);
        let (sink, hasher) = write(begun(folder.path(), 0), 20_000).await;
        assert!(!file.exists() && hasher.finish() == digest);
        let (sink, _) = sink.rehash(Hasher::new(Algorithm::Sha512)).await.unwrap();
        sink.finish(digest).await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), [7; 20_000]);
        // Behind what was acknowledged, with what a request that broke off left.
        let (sink, _) = write(begun(folder.path(), 10_000), 60_000).await;
        assert_eq!(fs::metadata(&file).unwrap().len(), 20_000);
        let (sink, _) = write(sink, 60_000).await;
        assert_eq!(fs::metadata(&file).unwrap().len(), 130_000);
        sink.sync().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_refused_leaves_nothing_and_hides_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let (sink, _) = write(begun(folder.path(), 0), 100).await;
        sink.cut(0).await.unwrap();
        assert!(!file.exists());
        for (there, left) in [(50, 10), (10, 10), (5, 5)] {
            fs::write(&file, vec![1; there]).unwrap();
            let (sink, _) = write(begun(folder.path(), 10), 100).await;
            sink.cut(10).await.unwrap();
            assert_eq!(fs::metadata(&file).unwrap().len(), left);
        }
    }
}
