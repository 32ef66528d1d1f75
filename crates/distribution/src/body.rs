//! Bodies of answers.

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use packhouse_blobs::{BlobError, Reader};
use std::pin::Pin;
use std::task::{Context, Poll};

/// An answer's body.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Some bytes.
    Full(Option<Bytes>),
    /// A blob's bytes.
    Blob(Reader),
}

impl Body {
    /// The blob that the answer is, if it is one.
    pub fn blob_mut(&mut self) -> Option<&mut Reader> {
        match self {
            Body::Blob(reader) => Some(reader),
            Body::Empty | Body::Full(_) => None,
        }
    }
}

/// The blob could not be read to its end; the connection ends with it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BodyError(#[from] BlobError);

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Body::Empty } else { Body::Full(Some(bytes)) }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Body::Empty => Poll::Ready(None),
            Body::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Blob(reader) => reader.poll_piece(cx).map(|piece| {
                piece.map(|piece| {
                    piece.map(Frame::data).map_err(|error| {
                        tracing::error!(error = packhouse_service::chain(&error), "a blob could not be read");
                        BodyError(error)
                    })
                })
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty | Body::Full(None) => true,
            Body::Full(Some(_)) => false,
            Body::Blob(reader) => reader.remaining() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Body::Empty | Body::Full(None) => 0,
            Body::Full(Some(bytes)) => bytes.len() as u64,
            Body::Blob(reader) => reader.remaining(),
        })
    }
}
