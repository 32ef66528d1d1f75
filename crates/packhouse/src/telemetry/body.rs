//! Bodies that count what passes.

use super::exchange::Exchange;
use crate::transport::FileBody;
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use packhouse_blobs::driver::Way;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

/// A request's body; what was read of it is counted.
#[derive(Debug)]
pub struct Counted<B> {
    inner: B,
    bytes: Option<Arc<AtomicU64>>,
}

impl<B> Counted<B> {
    pub(super) fn new(inner: B, bytes: Option<Arc<AtomicU64>>) -> Self {
        Self { inner, bytes }
    }
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let (Some(Ok(frame)), Some(bytes)) = (&frame, &this.bytes) {
            bytes.fetch_add(frame.data_ref().map_or(0, |data| data.remaining() as u64), Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body; its end is the end of the exchange.
#[derive(Debug)]
pub struct Sent<B> {
    inner: Inner<B>,
    exchange: Exchange,
}

#[derive(Debug)]
enum Inner<B> {
    /// The handler's.
    Of(B),
    /// Ours, in place of an answer that never came.
    Apology(Full<Bytes>),
}

impl<B: Body<Data = Bytes>> Sent<B> {
    pub(super) fn new(inner: B, mut exchange: Exchange) -> Self {
        exchange.complete = inner.is_end_stream();
        Self { inner: Inner::Of(inner), exchange }
    }

    pub(super) fn apology(text: String, exchange: Exchange) -> Self {
        Self { inner: Inner::Apology(Full::from(text)), exchange }
    }
}

/// Counts frames whatever way their bytes go.
impl<B: FileBody> FileBody for Sent<B> {
    fn reroute(&mut self, way: &mut Way<'_>) {
        if let Inner::Of(inner) = &mut self.inner {
            inner.reroute(way);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Sent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = match &mut this.inner {
            Inner::Of(inner) => ready!(Pin::new(inner).poll_frame(cx)),
            Inner::Apology(inner) => ready!(Pin::new(inner).poll_frame(cx))
                .map(|frame| frame.map_err(|never: std::convert::Infallible| match never {})),
        };
        match &frame {
            Some(Ok(frame)) => {
                this.exchange.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                // hyper does not ask again after the last promised byte.
                this.exchange.complete = this.is_end_stream();
            }
            Some(Err(_)) => {}
            None => this.exchange.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Of(inner) => inner.is_end_stream(),
            Inner::Apology(inner) => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Of(inner) => inner.size_hint(),
            Inner::Apology(inner) => inner.size_hint(),
        }
    }
}
