//! Bodies that tell [`Progress`] whom they wait for.

use super::progress::{AwaitingClient, Progress, RunningRequest};
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A request's body. Polled without a result, it waits for the client.
#[derive(Debug)]
pub struct RequestBody<B: Body + Unpin> {
    inner: B,
    progress: Arc<Progress>,
    awaiting: Option<AwaitingClient>,
    /// Ended, or failed: there is nothing more to read.
    over: bool,
}

impl<B: Body + Unpin> RequestBody<B> {
    pub(super) fn new(inner: B, progress: Arc<Progress>) -> Self {
        Self { inner, progress, awaiting: None, over: false }
    }
}

impl<B: Body + Unpin> Body for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            this.awaiting.get_or_insert_with(|| this.progress.await_client());
            return Poll::Pending;
        };
        this.awaiting = None;
        this.over = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Body + Unpin> Drop for RequestBody<B> {
    fn drop(&mut self) {
        if !self.over && !self.inner.is_end_stream() {
            self.progress.left_a_body();
        }
    }
}

/// An answer's body. A frame that was handed over waits for the client until the next one is asked for.
#[derive(Debug)]
pub struct ResponseBody<B> {
    inner: B,
    progress: Arc<Progress>,
    awaiting: Option<AwaitingClient>,
    _running: RunningRequest,
}

impl<B: Body> ResponseBody<B> {
    pub(super) fn new(inner: B, progress: Arc<Progress>, running: RunningRequest) -> Self {
        Self { inner, progress, awaiting: None, _running: running }
    }
}

impl<B: Body + Unpin> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        this.awaiting = None;
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if matches!(frame, Some(Ok(_))) {
            this.awaiting = Some(this.progress.await_client());
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
