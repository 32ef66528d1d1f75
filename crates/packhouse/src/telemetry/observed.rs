//! The handler around the handler: id, counts, and an answer even when the inner one panics.

use super::body::{Counted, Sent};
use super::current::Within;
use super::exchange::Exchange;
use super::metrics::Metrics;
use super::request_id::RequestId;
use crate::origin::{Origins, Peer};
use crate::transport::{FileBody, Handle, RequestBody};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use hyper::body::Incoming;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tracing::error;

/// What answers requests, below the telemetry.
pub trait Inner: Send + Sync + 'static {
    /// The body of answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + FileBody
        + Send
        + Unpin
        + 'static;

    /// Answers one request. Its `X-Request-Id` header is the id it has here, whatever the client sent.
    fn answer(
        &self,
        request: Request<Counted<RequestBody<Incoming>>>,
        peer: Peer,
    ) -> impl Future<Output = Answered<Self::Body>> + Send;
}

/// An answer, and the name of the route that gave it.
#[derive(Debug)]
pub struct Answered<B> {
    /// For metrics and logs, out of a fixed list.
    pub route: &'static str,
    /// The answer.
    pub response: Response<B>,
}

/// A handler with telemetry around it.
#[derive(Debug)]
pub struct Observed<H> {
    /// What answers.
    pub inner: H,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// Whose request ids and forwarded addresses are believed.
    pub origins: Arc<Origins>,
}

impl<H: Inner> Handle for Observed<H> {
    type Body = Sent<H::Body>;

    async fn handle(&self, mut request: Request<RequestBody<Incoming>>, peer: Peer) -> Response<Self::Body> {
        let id = self.id(&request, peer);
        let id_value = id.header_value();
        request.headers_mut().insert(RequestId::HEADER, id_value.clone());
        let client = self.origins.client(request.headers(), peer);
        let (method, path) = (request.method().clone(), request.uri().path());
        let mut exchange = Exchange::begin(self.metrics.requests(), id.clone(), method, path, client);

        // What has no body needs no count of it.
        exchange.received = (!request.body().is_end_stream()).then(Arc::default);
        let received = exchange.received.clone();
        let request = request.map(|body| Counted::new(body, received));
        let answered = {
            let answer = pin!(self.inner.answer(request, peer));
            Within::new(id.clone(), Caught(answer)).await
        };
        let mut response = if let Some(Answered { route, response }) = answered {
            exchange.route = route;
            exchange.status = Some(response.status());
            response.map(|body| Sent::new(body, exchange))
        } else {
            exchange.status = Some(StatusCode::INTERNAL_SERVER_ERROR);
            apology(&id, exchange)
        };
        // GitHub's name for the same, on its registry's answers too.
        response.headers_mut().insert(RequestId::GITHUB_HEADER, id_value.clone());
        response.headers_mut().insert(RequestId::HEADER, id_value);
        response
    }
}

impl<H> Observed<H> {
    fn id<B>(&self, request: &Request<B>, peer: Peer) -> RequestId {
        let from_proxy =
            self.origins.trusts(peer.address.ip()).then(|| RequestId::from_proxy(request.headers()));
        from_proxy.flatten().unwrap_or_else(RequestId::random)
    }
}

/// A future; none if it panicked. A type of its own and no `async fn`, which would have room for the future twice: as what
/// it was given, and as what it awaits. The panic's own words are logged by the hook that [`super::logs`] sets.
///
/// What a panic leaves behind is not looked at again: the future and the request are dropped, and what is
/// shared between requests is not held across an await with its invariants broken.
struct Caught<'f, F>(Pin<&'f mut F>);

impl<F: Future> Future for Caught<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => {
                error!("a request's handler panicked; its client gets a 500");
                Poll::Ready(None)
            }
        }
    }
}

fn apology<B: Body<Data = Bytes>>(id: &RequestId, exchange: Exchange) -> Response<Sent<B>> {
    // The form of the distribution specification, which is what most clients here can show.
    let text = format!(
        "{{\"errors\":[{{\"code\":\"UNKNOWN\",\"message\":\"the server failed; its log has the reason under the \
         request id {id}\"}}]}}\n"
    );
    let mut response = Response::new(Sent::apology(text, exchange));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
