//! Which request a thread works on just now, for the lines that it logs.
//!
//! In place of a span of `tracing`, which costs a look-up, a registration and its fields written out for each request,
//! whether anybody logs or not. Tasks and threads that a handler starts are nobody's, as they were with the span.

use super::request_id::RequestId;
use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

thread_local! {
    static CURRENT: RefCell<Option<RequestId>> = const { RefCell::new(None) };
}

/// Runs with the id of the request at work, if there is one.
pub(super) fn with<R>(act: impl FnOnce(Option<&RequestId>) -> R) -> R {
    CURRENT.with(|current| match current.try_borrow() {
        Ok(current) => act(current.as_ref()),
        Err(_) => act(None),
    })
}

/// Work for a request until it is dropped; whatever was at work before goes on then.
pub(super) struct Entered(Option<RequestId>);

/// Begins to work for a request.
pub(super) fn enter(id: RequestId) -> Entered {
    Entered(CURRENT.with(|current| current.replace(Some(id))))
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(self.0.take()));
    }
}

/// A future that works for a request whenever it is polled.
pub(super) struct Within<F> {
    id: RequestId,
    future: F,
}

impl<F> Within<F> {
    pub(super) fn new(id: RequestId, future: F) -> Self {
        Self { id, future }
    }
}

impl<F: Future + Unpin> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = enter(self.id.clone());
        Pin::new(&mut self.future).poll(cx)
    }
}
