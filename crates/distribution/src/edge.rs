//! Dispatch: from a request to an endpoint and back.

use crate::body::Body;
use crate::challenge::Challenge;
use crate::error::OciError;
use crate::query::Query;
use crate::route::{self, Endpoint, Pattern, RouteName};
use crate::{blobs, lists, manifests, request, token, uploads};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use packhouse_oci::{PackageName, V2Path};
use packhouse_service::{Service, Shown};
use std::net::IpAddr;

/// What requests may bring.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a manifest.
    pub manifest_bytes_max: u64,
}

/// The edge over the service. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    service: Service,
    limits: Limits,
}

/// A request with its parts parsed as far as every endpoint needs them.
pub(crate) struct Call<'r, B> {
    pub(crate) service: &'r Service,
    pub(crate) limits: &'r Limits,
    pub(crate) parts: &'r Parts,
    pub(crate) query: Query<'r>,
    pub(crate) shown: Shown,
    pub(crate) challenge: Challenge<'r>,
    pub(crate) body: B,
}

impl<B> Call<'_, B> {
    pub(crate) fn is_head(&self) -> bool {
        self.parts.method == Method::HEAD
    }
}

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

impl Edge {
    /// The edge over a service.
    pub fn new(service: Service, limits: Limits) -> Self {
        Edge { service, limits }
    }

    /// Whether a path is this edge's.
    pub fn serves(path: &str) -> bool {
        path == "/token" || path == "/v2" || path.starts_with("/v2/")
    }

    /// Answers a request, and names the route that did. `external_url` is how the client reaches this server: scheme,
    /// host and port; `client` its address, where it is known.
    pub async fn handle<B>(
        &self,
        request: Request<B>,
        external_url: &str,
        client: Option<IpAddr>,
    ) -> (RouteName, Response<Body>)
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        let (parts, body) = request.into_parts();
        let shown = request::shown(&self.service, &parts.headers);
        let (name, mut response) = match self.service.admit(&shown, client, writes(&parts)) {
            Ok(admission) => {
                let (name, answer) = self.dispatch(&parts, body, shown, external_url).await;
                let response = answer.unwrap_or_else(OciError::render);
                self.service.settle(&admission, is_known(name, response.status()));
                (name, response)
            }
            Err(limited) => (RouteName("limited"), OciError::limited(&limited).render()),
        };
        response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        if parts.method == Method::HEAD {
            // The headers say how long the body of a GET would be.
            if let Some(length) = http_body::Body::size_hint(response.body()).exact() {
                let length = HeaderValue::from(length);
                response.headers_mut().entry(http::header::CONTENT_LENGTH).or_insert(length);
            }
            *response.body_mut() = Body::Empty;
        }
        (name, response)
    }

    async fn dispatch<B>(
        &self,
        parts: &Parts,
        body: B,
        shown: Shown,
        external_url: &str,
    ) -> (RouteName, Result<Response<Body>, OciError>)
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        let none = RouteName("none");
        let path = parts.uri.path();
        let (pattern, path) = match V2Path::parse(path) {
            Some(parsed) => (Pattern::of(&parsed), parsed),
            None if path == "/token" => (Pattern::Token, V2Path::Base),
            None => return (none, Err(OciError::no_such_endpoint())),
        };
        let Some(route) = route::find(&parts.method, pattern) else {
            return (none, Err(OciError::method(&route::allowed(pattern))));
        };
        let query = match Query::parse(parts.uri.query().unwrap_or_default()) {
            Ok(query) => query,
            Err(error) => return (route.name, Err(error)),
        };
        let challenge = Challenge::new(external_url, shown.is_bearer());
        let call =
            Call { service: &self.service, limits: &self.limits, parts, query, shown, challenge, body };
        (route.name, run(route.endpoint, path, call).await)
    }
}

/// Whether a request is counted as one that changes something. Fetching a token changes nothing.
fn writes(parts: &Parts) -> bool {
    !matches!(parts.method, Method::GET | Method::HEAD) && parts.uri.path() != "/token"
}

/// Whether the answer shows that the credential is one: it came as far as the service, and was not refused there.
fn is_known(name: RouteName, status: StatusCode) -> bool {
    let refused = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PAYLOAD_TOO_LARGE
    );
    name.0 != "none" && !refused
}

/// Each endpoint is boxed by itself: what is awaited here lies in the future of each request, which is moved several times
/// on its way, and a box for all of them would be as large as the largest.
async fn run<B>(endpoint: Endpoint, path: V2Path<'_>, call: Call<'_, B>) -> Result<Response<Body>, OciError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    match endpoint {
        Endpoint::Token => return Box::pin(token::get(call)).await,
        Endpoint::TokenPost => return Box::pin(token::post(call)).await,
        Endpoint::Base => return Box::pin(lists::base(call)).await,
        Endpoint::Catalog => return Box::pin(lists::catalog(call)).await,
        Endpoint::Tags
        | Endpoint::Manifest
        | Endpoint::PutManifest
        | Endpoint::DeleteManifest
        | Endpoint::Blob
        | Endpoint::DeleteBlob
        | Endpoint::BeginUpload
        | Endpoint::Upload
        | Endpoint::AppendUpload
        | Endpoint::FinishUpload
        | Endpoint::CancelUpload
        | Endpoint::Referrers => {}
    }
    let name: PackageName = path.name().unwrap_or_default().parse()?;
    let last = match &path {
        V2Path::Manifest { reference: last, .. }
        | V2Path::Blob { digest: last, .. }
        | V2Path::Upload { id: last, .. }
        | V2Path::Referrers { digest: last, .. } => last.as_ref(),
        V2Path::Base | V2Path::Catalog | V2Path::TagsList { .. } | V2Path::Uploads { .. } => "",
    };
    match endpoint {
        Endpoint::Tags => Box::pin(lists::tags(call, &name)).await,
        Endpoint::Manifest => Box::pin(manifests::get(call, &name, last)).await,
        Endpoint::PutManifest => Box::pin(manifests::put(call, &name, last)).await,
        Endpoint::DeleteManifest => Box::pin(manifests::delete(call, &name, last)).await,
        Endpoint::Blob => Box::pin(blobs::get(call, &name, last)).await,
        Endpoint::DeleteBlob => Box::pin(blobs::delete(call, &name, last)).await,
        Endpoint::BeginUpload => Box::pin(uploads::begin(call, &name)).await,
        Endpoint::Upload => Box::pin(uploads::status(call, &name, last)).await,
        Endpoint::AppendUpload => Box::pin(uploads::append(call, &name, last)).await,
        Endpoint::FinishUpload => Box::pin(uploads::finish(call, &name, last)).await,
        Endpoint::CancelUpload => Box::pin(uploads::cancel(call, &name, last)).await,
        Endpoint::Referrers => Box::pin(lists::referrers(call, &name, last)).await,
        Endpoint::Token | Endpoint::TokenPost | Endpoint::Base | Endpoint::Catalog => {
            Err(OciError::no_such_endpoint())
        }
    }
}
