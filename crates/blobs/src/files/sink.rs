//! One session's file: bytes are hashed as they are written, on the same blocking thread.

use super::{blocking, sync_folder};
use crate::driver::{Kept, Sink, Start, Work};
use crate::{BlobError, Claim};
use bytes::Bytes;
use packhouse_oci::{Digest, Hasher};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// How much is read at once when bytes are hashed again.
const REHASH_BYTES: usize = 1 << 20;
/// The end of the name of a file that gets its own name when it is whole.
pub(super) const PART: &str = "part";

/// Moves into the blocking task that works on it, and its claim with it: a request whose client goes away drops its
/// future, but not the thread that writes.
#[derive(Debug)]
pub(super) struct FileSink {
    file: File,
    path: PathBuf,
    key: String,
    new: bool,
    /// The name that it gets when it is finished.
    becomes: Option<PathBuf>,
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
        Ok(FileSink { file, path, key: from.key, new: received == 0, becomes: None, _claim: from.claim })
    }

    fn sync_file(&mut self) -> Result<Kept, BlobError> {
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

    fn hash(&mut self, hasher: &mut Hasher) -> Result<(), BlobError> {
        let mut buffer = vec![0_u8; REHASH_BYTES];
        self.file.seek(SeekFrom::Start(0)).map_err(BlobError::file("seeking in", &self.path))?;
        loop {
            let read = self.file.read(&mut buffer).map_err(BlobError::file("reading", &self.path))?;
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
        Box::pin(blocking(move || {
            for chunk in &chunks {
                self.file.write_all(chunk).map_err(BlobError::file("writing", &self.path))?;
                hasher.update(chunk);
            }
            Ok((self as Box<dyn Sink>, hasher))
        }))
    }

    fn rehash(mut self: Box<Self>, mut hasher: Hasher) -> Work<'static, (Box<dyn Sink>, Hasher)> {
        Box::pin(blocking(move || {
            self.hash(&mut hasher)?;
            Ok((self as Box<dyn Sink>, hasher))
        }))
    }

    fn sync(mut self: Box<Self>) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(blocking(move || {
            let kept = self.sync_file()?;
            Ok((self as Box<dyn Sink>, kept))
        }))
    }

    fn finish(mut self: Box<Self>, _whole: Digest) -> Work<'static, (Box<dyn Sink>, Kept)> {
        Box::pin(blocking(move || {
            let kept = self.sync_file()?;
            self.name()?;
            Ok((self as Box<dyn Sink>, kept))
        }))
    }

    fn cut(self: Box<Self>, received: u64) -> Work<'static, ()> {
        Box::pin(blocking(move || {
            self.file.set_len(received).map_err(BlobError::file("cutting", &self.path))
        }))
    }
}
