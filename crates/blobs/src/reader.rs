//! Reading a blob.

use crate::BlobError;
use crate::driver::{Source, Way};
use bytes::Bytes;
use std::task::{Context, Poll, ready};

/// The bytes of an open blob, in pieces. A blob that turns out shorter or longer than promised is an error, so the
/// connection ends instead of sending something else.
#[derive(Debug)]
pub struct Reader {
    source: Box<dyn Source>,
    remaining: u64,
}

impl Reader {
    pub(crate) fn new(source: Box<dyn Source>, length: u64) -> Self {
        Reader { source, remaining: length }
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Lets the rest of the bytes come by another way when they lie in a file: the kernel can send those without anybody
    /// reading them. What is promised and counted here stays the same.
    pub fn reroute(&mut self, way: &mut Way<'_>) {
        if let Some(source) = self.source.file().and_then(way) {
            self.source = source;
        }
    }

    /// The next piece; `None` at the end.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BlobError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let piece = match ready!(self.source.poll_piece(context)) {
            Some(Ok(piece)) => match self.remaining.checked_sub(piece.len() as u64) {
                Some(left) => {
                    self.remaining = left;
                    return Poll::Ready(Some(Ok(piece)));
                }
                None => Err(BlobError::Promise),
            },
            Some(Err(error)) => Err(error),
            None => Err(BlobError::Promise),
        };
        self.remaining = 0;
        Poll::Ready(Some(piece))
    }
}
