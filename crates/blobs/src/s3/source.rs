//! Reading an object: the socket's buffer holds the next piece while the last is sent.

use crate::BlobError;
use crate::driver::Source;
use bytes::Bytes;
use futures_core::Stream;
use object_store::GetResult;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

type Pieces = Pin<Box<dyn Stream<Item = object_store::Result<Bytes>> + Send>>;

pub(super) struct S3Source {
    key: String,
    pieces: Option<Pieces>,
}

impl S3Source {
    pub(super) fn new(key: String, got: GetResult) -> Self {
        S3Source { key, pieces: Some(got.into_stream()) }
    }

    pub(super) fn empty() -> Self {
        S3Source { key: String::new(), pieces: None }
    }

    /// The next piece; none at the end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, BlobError> {
        std::future::poll_fn(|context| self.poll_piece(context)).await.transpose()
    }
}

impl fmt::Debug for S3Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Source").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Source for S3Source {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BlobError>>> {
        let Some(pieces) = &mut self.pieces else { return Poll::Ready(None) };
        pieces
            .as_mut()
            .poll_next(context)
            .map(|piece| piece.map(|piece| piece.map_err(BlobError::bucket("reading", self.key.clone()))))
    }
}
