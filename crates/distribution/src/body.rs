//! Bodies: what we send, and what is left of what we were sent.

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use packhouse_blobs::{BlobError, Reader};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

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

/// The blob could not be read to its end; the connection ends with it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BodyError(#[from] BlobError);

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() { Body::Empty } else { Body::Full(Some(Bytes::from(bytes))) }
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
                        tracing::error!(error = &error as &dyn std::error::Error, "a blob could not be read");
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

/// A refused request's body is read on for so long, and so far: a client that is still sending would otherwise
/// see a reset connection in place of the answer that says why.
const DRAIN: Duration = Duration::from_secs(10);
const DRAIN_BYTES: usize = 64 << 20;

/// A request's body. Dropped before its end, what is left of it is read and thrown away, within bounds.
pub(crate) struct Incoming<B: http_body::Body + Unpin + Send + 'static> {
    inner: Option<B>,
    /// Whether to read on. Not before a client that waits for `100 Continue` was told to send.
    drains: bool,
}

impl<B: http_body::Body + Unpin + Send + 'static> Incoming<B> {
    pub(crate) fn new(inner: B, waits_for_continue: bool) -> Self {
        Incoming { drains: !waits_for_continue && !inner.is_end_stream(), inner: Some(inner) }
    }
}

impl<B> http_body::Body for Incoming<B>
where
    B: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.drains = true;
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(inner).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}

impl<B: http_body::Body + Unpin + Send + 'static> Drop for Incoming<B> {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take().filter(|inner| self.drains && !inner.is_end_stream()) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let drain = async {
                let mut left = DRAIN_BYTES;
                while let Some(Ok(frame)) = http_body_util::BodyExt::frame(&mut inner).await {
                    let bytes = frame.data_ref().map_or(0, bytes::Buf::remaining);
                    left = left.saturating_sub(bytes);
                    if left == 0 {
                        break;
                    }
                }
            };
            // Whether it ended or the time did: nothing more is owed.
            let _ = tokio::time::timeout(DRAIN, drain).await;
        });
    }
}
