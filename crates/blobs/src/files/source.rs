//! Reading a file: what is in memory is taken at once, what is not is read on the blocking pool.

use super::buffers::{Buffer, Buffers};
use crate::BlobError;
use crate::driver::{FileRange, Source};
use bytes::Bytes;
use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::{JoinHandle, spawn_blocking};

/// What the kernel is told to read behind a piece that was waited for, so that the disk works while the piece is sent.
const AHEAD_BYTES: u64 = 2 << 20;

#[derive(Debug)]
pub(crate) struct FileSource {
    file: Arc<File>,
    next: u64,
    end: u64,
    buffers: Buffers,
    waiting: Option<JoinHandle<io::Result<Buffer>>>,
}

impl FileSource {
    pub(crate) fn new(file: File, first: u64, end: u64) -> Self {
        FileSource { file: Arc::new(file), next: first, end, buffers: Buffers::default(), waiting: None }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Buffer>> {
        if self.waiting.is_none() {
            let mut buffer = self.buffers.take(self.end - self.next);
            let mut room = [IoSliceMut::new(buffer.room())];
            // A disk is never waited for here; a file system that cannot promise that is one.
            if let Ok(read) = preadv2(&*self.file, &mut room, self.next, ReadWriteFlags::NOWAIT) {
                return Poll::Ready(buffer.filled(read));
            }
            let (file, next, end) = (Arc::clone(&self.file), self.next, self.end);
            self.waiting = Some(spawn_blocking(move || read(&file, next, end, buffer)));
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Pending };
        let read = ready!(Pin::new(waiting).poll(context));
        self.waiting = None;
        Poll::Ready(read.unwrap_or_else(|ended| Err(io::Error::other(ended))))
    }
}

impl Source for FileSource {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BlobError>>> {
        if self.next >= self.end {
            return Poll::Ready(None);
        }
        let piece = ready!(self.poll_read(context)).map(Buffer::lend);
        if let Ok(bytes) = &piece {
            self.next += bytes.len() as u64;
        }
        Poll::Ready(Some(piece.map_err(BlobError::file("reading", PathBuf::from("an open blob")))))
    }

    fn file(&self) -> Option<FileRange> {
        Some(FileRange { file: Arc::clone(&self.file), first: self.next, end: self.end })
    }
}

/// Blocks.
fn read(file: &File, next: u64, end: u64, mut buffer: Buffer) -> io::Result<Buffer> {
    let behind = next.saturating_add(buffer.room().len() as u64);
    if let Some(ahead) = NonZeroU64::new(end.saturating_sub(behind).min(AHEAD_BYTES)) {
        // Only advice: without it the disk is slower and nothing else.
        let _ = fadvise(file, behind, Some(ahead), Advice::WillNeed);
    }
    file.read_exact_at(buffer.room(), next)?;
    let read = buffer.room().len();
    buffer.filled(read)
}
