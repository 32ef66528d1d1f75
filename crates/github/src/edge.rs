//! Dispatch: from a request to a handler and back, with the headers that all answers have.

use crate::call::Call;
use crate::error::ApiError;
use crate::meta::{VERSION, VERSIONS};
use crate::query::Query;
use crate::rate_limit;
use crate::respond::Answer;
use crate::route::{self, Found, Route};
use crate::urls::Urls;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, LINK, USER_AGENT, VARY,
};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use packhouse_service::{ApiAct, Identity, ListError, Rate, Service, Shown};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 1 << 20;

const OAUTH_SCOPES: HeaderName = HeaderName::from_static("x-oauth-scopes");
const ACCEPTED_OAUTH_SCOPES: HeaderName = HeaderName::from_static("x-accepted-oauth-scopes");
const MEDIA_TYPE: HeaderName = HeaderName::from_static("x-github-media-type");
const API_VERSION: HeaderName = HeaderName::from_static("x-github-api-version");
const API_VERSION_SELECTED: HeaderName = HeaderName::from_static("x-github-api-version-selected");
const EXPOSED: &str = "ETag, Link, Location, Retry-After, X-GitHub-OTP, X-RateLimit-Limit, X-RateLimit-Remaining, \
                       X-RateLimit-Used, X-RateLimit-Resource, X-RateLimit-Reset, X-OAuth-Scopes, \
                       X-Accepted-OAuth-Scopes, X-Poll-Interval, X-GitHub-Media-Type, X-GitHub-SSO, \
                       X-GitHub-Request-Id, Deprecation, Sunset";

/// Where a request came in: which part of its path is the API's, and how links are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes at the beginning of the path that are not the API's (`/api/v3`).
    prefix: usize,
    urls: Urls,
}

impl Space {
    /// The path of the REST API on the main host.
    pub const REST: &'static str = "/api/v3";
    /// The path of the GraphQL API on the main host.
    pub const GRAPHQL: &'static str = "/api/graphql";

    /// The API below `/api/v3` of the main host, if the path is there.
    #[must_use]
    pub fn below(path: &str, external_url: &str) -> Option<Self> {
        // GraphQL is beside REST on the main host, and below the root of the API's own.
        if path == Self::GRAPHQL {
            return Some(Space { prefix: "/api".len(), urls: Urls::below(external_url) });
        }
        let rest = path.strip_prefix(Self::REST)?;
        (rest.is_empty() || rest.starts_with('/'))
            .then(|| Space { prefix: Self::REST.len(), urls: Urls::below(external_url) })
    }

    /// The API at the root of the host `api.<host>`, where `api_url` is its URL and `external_url` that of the pages.
    #[must_use]
    pub fn beside(external_url: &str, api_url: &str) -> Self {
        Space { prefix: 0, urls: Urls::beside(external_url, api_url) }
    }
}

/// The edge over the service. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    pub(crate) service: Service,
}

/// An answer, and the name of the route that gave it.
pub type Named = (&'static str, Response<Full<Bytes>>);

impl Edge {
    /// The edge over a service.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Edge { service }
    }

    /// Answers a request, with the name of its route for metrics.
    pub async fn handle<B>(&self, request: Request<B>, space: &Space, client: IpAddr) -> Named
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        let (parts, body) = request.into_parts();
        let mut about = About::default();
        let answer = self.dispatch(&parts, body, space, client, &mut about).await;
        let mut answer = answer.unwrap_or_else(ApiError::render);
        about.label(&parts, &mut answer);
        if answer.response().status() == StatusCode::NOT_MODIFIED
            && let (Some(client), Some(_)) = (about.client, about.rate)
        {
            about.rate = self.service.give_back_api(about.identity.token, client);
        }
        if let Some(rate) = about.rate {
            let resource = about.route.map_or("core", Route::resource);
            rate_limit::label(rate, resource, answer.response().headers_mut());
        }
        let mut response = answer.done();
        if parts.method == Method::HEAD {
            let length = response.body().size_hint_exact();
            if let Ok(length) = HeaderValue::from_str(&length.to_string()) {
                response.headers_mut().insert(http::header::CONTENT_LENGTH, length);
            }
            *response.body_mut() = Full::default();
        }
        (about.route.map_or("none", |route| route.name), response)
    }

    async fn dispatch<B>(
        &self,
        parts: &Parts,
        body: B,
        space: &Space,
        client: IpAddr,
        about: &mut About,
    ) -> Result<Answer, ApiError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        if parts.method == Method::OPTIONS {
            return Ok(preflight());
        }
        about.version = version(parts)?;
        // GitHub asks for it; a client without one cannot be told apart in the log.
        if parts.headers.get(USER_AGENT).is_none_or(HeaderValue::is_empty) {
            return Err(ApiError::forbidden(
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
            ));
        }
        let path = parts.uri.path().get(space.prefix..).unwrap_or_default();
        let path = if path.is_empty() { "/" } else { path };
        let (route, params) = match route::find(&parts.method, path) {
            Found::Route(route, params) => (route, params),
            Found::Method(allowed) => return Err(ApiError::method(&allowed)),
            Found::Nothing => return Err(ApiError::not_found("")),
        };
        about.route = Some(route);
        let shown = Shown::parse(parts.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes));
        let (identity, known) = match self.service.identify(&shown).await {
            Ok(identity) => (identity, true),
            Err(ListError::Fault(fault)) => return Err(ApiError::fault(&fault)),
            Err(ListError::Denied(_) | ListError::NameUnknown) => (Identity::default(), false),
        };
        about.identity = identity.clone();
        about.client = Some(client);
        // A credential that is refused counts for its address, and is told so only while that has requests left.
        let free = route.name == rate_limit::FREE;
        let act = match parts.method {
            Method::GET | Method::HEAD => ApiAct::Read,
            _ if route.reads() => ApiAct::Read,
            Method::DELETE => ApiAct::Delete,
            _ => ApiAct::Write,
        };
        let _running = if free && known {
            about.rate = self.service.api_rate(identity.token, client);
            None
        } else {
            let begun = self.service.begin_api(identity.token, client, act).map_err(|limited| {
                about.rate = limited.rate();
                rate_limit::exceeded(&limited, &identity, client)
            });
            let pass = begun?;
            about.rate = pass.rate;
            Some(pass)
        };
        if !known {
            return Err(ApiError::bad_credentials());
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let body = read(parts, body).await?;
        let call = Call {
            service: &self.service,
            headers: &parts.headers,
            url: space.urls.api(path),
            params,
            query,
            shown,
            identity,
            urls: &space.urls,
            body,
            client,
        };
        (route.handler)(call).await
    }
}

trait SizeHint {
    fn size_hint_exact(&self) -> u64;
}

impl SizeHint for Full<Bytes> {
    fn size_hint_exact(&self) -> u64 {
        http_body::Body::size_hint(self).exact().unwrap_or(0)
    }
}

/// What the headers of an answer tell of its request.
#[derive(Default)]
struct About {
    route: Option<&'static Route>,
    identity: Identity,
    version: &'static str,
    client: Option<IpAddr>,
    /// How the hour stands; none: it was not asked, or is not limited.
    rate: Option<Rate>,
}

impl About {
    fn label(&self, parts: &Parts, answer: &mut Answer) {
        let signed_in = self.identity.account.is_some();
        if !self.identity.fine_grained
            && signed_in
            && let Ok(value) = HeaderValue::from_str(&self.identity.scopes.normalized().join(", "))
        {
            answer.response().headers_mut().insert(OAUTH_SCOPES, value);
            let accepted = self.route.map_or("", |route| route.scopes);
            answer.response().headers_mut().insert(ACCEPTED_OAUTH_SCOPES, HeaderValue::from_static(accepted));
        }
        let response = answer.response();
        let fresh = parts.method == Method::GET || parts.method == Method::HEAD;
        if fresh && response.status() == StatusCode::OK && !response.body().is_empty() {
            conditional(parts, response, signed_in);
        }
        let headers = response.headers_mut();
        headers.insert(MEDIA_TYPE, HeaderValue::from_static("github.v3; format=json"));
        let version = if self.version.is_empty() { VERSION } else { self.version };
        headers.insert(API_VERSION_SELECTED, HeaderValue::from_static(version));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(VARY, HeaderValue::from_static("Accept, Authorization"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static(if fresh && signed_in {
            "private, max-age=0"
        } else {
            "no-cache"
        }));
    }
}

/// `ETag`, and 304 without a body when the client has this answer (RFC 9110 §13.1.2). The tag is of the body and of
/// the links to other pages, for one caller.
fn conditional(parts: &Parts, response: &mut Response<Bytes>, signed_in: bool) {
    let mut hash = Sha256::new();
    hash.update(response.body());
    hash.update(response.headers().get(LINK).map_or(b"".as_slice(), HeaderValue::as_bytes));
    hash.update([u8::from(signed_in)]);
    let hex: String = hash.finalize().iter().take(32).map(|byte| format!("{byte:02x}")).collect();
    let Ok(tag) = HeaderValue::from_str(&format!("W/\"{hex}\"")) else { return };
    let known =
        parts.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|list| {
            list.split(',')
                .map(str::trim)
                .any(|one| one == "*" || one.trim_start_matches("W/").trim_matches('"') == hex)
        });
    response.headers_mut().insert(ETAG, tag);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Bytes::new();
        response.headers_mut().remove(CONTENT_TYPE);
    }
}

/// The version of the API that is asked for.
fn version(parts: &Parts) -> Result<&'static str, ApiError> {
    let Some(asked) = parts.headers.get(API_VERSION) else { return Ok(VERSION) };
    let known = VERSIONS.iter().find(|known| known.as_bytes() == asked.as_bytes());
    known.copied().ok_or_else(|| {
        ApiError::bad_request(format!(
            "The API version in X-GitHub-Api-Version is not supported; use one of: {}.",
            VERSIONS.join(", ")
        ))
    })
}

/// Browsers ask before they send a token to another host.
fn preflight() -> Answer {
    Answer::no_content()
        .header(http::header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, PUT, DELETE")
        .header(
            http::header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since, \
             Accept-Encoding, X-GitHub-OTP, X-Requested-With, User-Agent, X-GitHub-Api-Version",
        )
        .header(http::header::ACCESS_CONTROL_MAX_AGE, "86400")
}

pub(crate) async fn read<B>(parts: &Parts, body: B) -> Result<Bytes, ApiError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(Bytes::new());
    }
    let too_large = || {
        let message = format!("The body may have at most {BODY_BYTES_MAX} bytes.");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(ApiError::bad_request("The body broke off; send it again.")),
    }
}
