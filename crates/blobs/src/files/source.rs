//! Reading a file: the next piece is read while the last one is sent.

use crate::BlobError;
use crate::driver::{FileRange, Source};
use bytes::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes of one piece. A connection holds two: the one being sent and the one being read.
const PIECE_BYTES: u64 = 256 << 10;

#[derive(Debug)]
pub(crate) struct FileSource {
    file: Arc<File>,
    next: u64,
    end: u64,
    ahead: Option<JoinHandle<std::io::Result<Bytes>>>,
}

impl FileSource {
    pub(crate) fn new(file: File, first: u64, end: u64) -> Self {
        FileSource { file: Arc::new(file), next: first, end, ahead: None }
    }
}

impl Source for FileSource {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BlobError>>> {
        if self.next >= self.end {
            return Poll::Ready(None);
        }
        let ahead = match &mut self.ahead {
            Some(ahead) => ahead,
            none => none.insert(read(&self.file, self.next, self.end)),
        };
        let piece = match ready!(Pin::new(ahead).poll(context)) {
            Ok(piece) => piece.map_err(BlobError::file("reading", PathBuf::from("an open blob"))),
            Err(_) => Err(BlobError::Ended),
        };
        self.ahead = None;
        if let Ok(bytes) = &piece {
            self.next += bytes.len() as u64;
            if self.next < self.end {
                self.ahead = Some(read(&self.file, self.next, self.end));
            }
        }
        Poll::Ready(Some(piece))
    }

    fn file(&self) -> Option<FileRange> {
        Some(FileRange { file: Arc::clone(&self.file), first: self.next, end: self.end })
    }
}

fn read(file: &Arc<File>, first: u64, end: u64) -> JoinHandle<std::io::Result<Bytes>> {
    let file = Arc::clone(file);
    let length = end.saturating_sub(first).min(PIECE_BYTES);
    spawn_blocking(move || {
        let mut piece = vec![0_u8; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut piece, first)?;
        Ok(Bytes::from(piece))
    })
}
