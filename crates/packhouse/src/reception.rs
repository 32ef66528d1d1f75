//! Where requests arrive: the paths of the process itself are answered here, all others by their edge.

use crate::health::{Check, Health};
use crate::origin::{OriginError, Origins, Peer};
use crate::telemetry::{Answered, CONTENT_TYPE, Counted, Inner, Metrics};
use crate::transport::RequestBody;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use packhouse_distribution::{Edge, RouteName};
use packhouse_github::Space;
use std::sync::Arc;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_ROUTE: &str = "none";

/// The process's own paths: `/healthz`, `/readyz` and, where it is wanted, `/metrics`.
#[derive(Debug)]
pub struct Desk<C> {
    /// Behind `/readyz`.
    pub health: Health<C>,
    /// Behind `/metrics`; none: no such path.
    pub metrics: Option<Metrics>,
}

impl<C: Check> Desk<C> {
    /// Answers if the path is one of ours.
    async fn answer<B>(&self, request: &Request<B>) -> Option<Answered<Full<Bytes>>> {
        let route = match (request.uri().path(), &self.metrics) {
            ("/healthz", _) => "healthz",
            ("/readyz", _) => "readyz",
            ("/metrics", Some(_)) => "metrics",
            _ => return None,
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(Answered { route, response });
        }
        let mut response = match (route, &self.metrics) {
            ("metrics", Some(metrics)) => {
                let mut response = text(StatusCode::OK, metrics.render());
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
                response
            }
            ("readyz", _) => match self.health.ready().await {
                Ok(()) => text(StatusCode::OK, "ready\n".to_owned()),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
            },
            _ => text(StatusCode::OK, "ok\n".to_owned()),
        };
        // A cached answer about this moment is a wrong one.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(Answered { route, response })
    }
}

/// The main listener: the desk and the edges.
pub struct Reception<C> {
    /// The process's own paths.
    pub desk: Desk<C>,
    /// `/v2/` and `/token`.
    pub distribution: Edge,
    /// `/api/v3`, and all other paths of the API's own host.
    pub github: packhouse_github::Edge,
    /// Under which address clients know this server.
    pub origins: Arc<Origins>,
}

impl<C: Check> Inner for Reception<C> {
    type Body = Either<packhouse_distribution::Body, Full<Bytes>>;

    async fn answer(
        &self,
        request: Request<Counted<RequestBody<Incoming>>>,
        peer: Peer,
    ) -> Answered<Self::Body> {
        if let Some(Answered { route, response }) = self.desk.answer(&request).await {
            return Answered { route, response: response.map(Either::Right) };
        }
        let (parts, body) = request.into_parts();
        let origin = match self.origins.origin(&parts, peer) {
            Ok(origin) => origin,
            Err(error) => return Answered { route: NO_ROUTE, response: no_origin(error).map(Either::Right) },
        };
        if packhouse_github::Edge::signs_in(parts.uri.path()) {
            let request = Request::from_parts(parts, body);
            let signed_in = self.github.sign_in(request, &origin.external_url, origin.client);
            let (route, response) = Box::pin(signed_in).await;
            return Answered { route, response: response.map(Either::Right) };
        }
        if !Edge::serves(parts.uri.path()) {
            let space = Space::below(parts.uri.path(), &origin.external_url);
            let beside = origin.beside.as_ref().map(|(main, api)| Space::beside(main, api));
            let Some(space) = space.or(beside) else {
                return Answered { route: NO_ROUTE, response: nothing_here().map(Either::Right) };
            };
            let request = Request::from_parts(parts, body);
            // Boxed, as all that is not a pull: what is awaited here lies in the future of each request, which is moved
            // several times on its way.
            let (route, response) = Box::pin(self.github.handle(request, &space, origin.client)).await;
            return Answered { route, response: response.map(Either::Right) };
        }
        let request = Request::from_parts(parts, body);
        // Awaited at once: a future that is named first has two places in this one.
        let (RouteName(route), response) =
            self.distribution.handle(request, &origin.external_url, Some(origin.client)).await;
        Answered { route, response: response.map(Either::Left) }
    }
}

/// The listener of `metrics_listen`: the desk alone.
#[derive(Debug)]
pub struct BackDoor<C> {
    /// The process's own paths.
    pub desk: Desk<C>,
}

impl<C: Check> Inner for BackDoor<C> {
    type Body = Full<Bytes>;

    async fn answer(
        &self,
        request: Request<Counted<RequestBody<Incoming>>>,
        _: Peer,
    ) -> Answered<Full<Bytes>> {
        let none = || Answered { route: NO_ROUTE, response: nothing_here() };
        self.desk.answer(&request).await.unwrap_or_else(none)
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    response
}

fn nothing_here() -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, "nothing is here; the registry is below /v2/\n".to_owned())
}

/// In the form of the distribution specification: whoever sees it asked for a path of its.
fn no_origin(error: OriginError) -> Response<Full<Bytes>> {
    let message = format!("{error}; send one, or let the operator set `external_url`");
    let errors = serde_json::json!({ "errors": [{ "code": "UNSUPPORTED", "message": message }] });
    let mut response = text(StatusCode::BAD_REQUEST, errors.to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}
