//! The token endpoint: distribution's token specification (GET) and its OAuth 2 form (POST).

use crate::body::Body;
use crate::challenge::Challenge;
use crate::edge::Call;
use crate::error::OciError;
use crate::query::Query;
use crate::request;
use crate::respond::Answer;
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{Response, StatusCode};
use packhouse_oci::ErrorCode;
use packhouse_service::{Actions, Grant, GrantedToken, ScopeAsked, Service, Shown, TokenRequest};

/// Scopes that one token may be asked for.
const SCOPES_MAX: usize = 100;
/// Bytes of a form.
const FORM_BYTES_MAX: u64 = 64 << 10;

/// GET, with Basic or without.
pub(crate) async fn get<B>(call: Call<'_, B>) -> Result<Response<Body>, OciError> {
    // docker would keep a refresh token in place of the password, and kubelets do not read those: a secret made
    // from its config.json would not pull. ghcr.io gives docker none either.
    let docker = call.query.get("client_id") == Some("docker");
    let offline = call.query.get("offline_token") == Some("true") && !docker;
    let scopes = scopes(&call.query)?;
    let request = TokenRequest { grant: Grant::Shown(call.shown.clone()), scopes, offline };
    answer(call.service, &call.challenge, request).await
}

/// POST: `grant_type=password` or `grant_type=refresh_token`.
pub(crate) async fn post<B>(call: Call<'_, B>) -> Result<Response<Body>, OciError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let form = request::read(&call.parts.headers, call.body, "a form", FORM_BYTES_MAX).await?;
    let form = std::str::from_utf8(&form).unwrap_or_default();
    let form = Query::parse(form)?;
    let missing =
        |what: &str| OciError::bad_request(ErrorCode::Unsupported, format!("the form has no `{what}`"));
    let grant = match form.get("grant_type") {
        Some("password") => Grant::Shown(Shown::Basic {
            user: form.get("username").unwrap_or_default().to_owned(),
            password: form.get("password").ok_or_else(|| missing("password"))?.to_owned(),
        }),
        Some("refresh_token") => {
            Grant::Refresh(form.get("refresh_token").ok_or_else(|| missing("refresh_token"))?.to_owned())
        }
        Some(_) | None => {
            let message = "`grant_type` is `password` or `refresh_token`";
            return Err(OciError::bad_request(ErrorCode::Unsupported, message));
        }
    };
    let offline = form.get("access_type") == Some("offline");
    let request = TokenRequest { grant, scopes: scopes(&form)?, offline };
    answer(call.service, &call.challenge, request).await
}

async fn answer(
    service: &Service,
    challenge: &Challenge<'_>,
    request: TokenRequest,
) -> Result<Response<Body>, OciError> {
    let granted = service.token(request).await;
    let granted = granted.map_err(|error| OciError::token(&error, challenge))?;
    Ok(Answer::new(StatusCode::OK).json(&body(&granted)).header(CACHE_CONTROL, "no-store").done())
}

/// `token` for some clients, `access_token` for others, both the same.
fn body(granted: &GrantedToken) -> serde_json::Value {
    let mut body = serde_json::json!({
        "token": granted.token,
        "access_token": granted.token,
        "expires_in": granted.expires_in,
        "issued_at": jiff::Timestamp::from_second(granted.issued_at).unwrap_or_default().to_string(),
    });
    if let Some(refresh) = &granted.refresh_token {
        body["refresh_token"] = refresh.as_str().into();
    }
    body
}

/// Several `scope`s, each maybe of several joined by blanks. What cannot be read is not granted, and no error:
/// clients bring placeholders.
fn scopes(query: &Query<'_>) -> Result<Vec<ScopeAsked>, OciError> {
    let mut asked = Vec::new();
    for (count, scope) in query.all("scope").flat_map(|scopes| scopes.split_ascii_whitespace()).enumerate() {
        if count >= SCOPES_MAX {
            let message = format!("ask for at most {SCOPES_MAX} scopes at once");
            return Err(OciError::bad_request(ErrorCode::Unsupported, message));
        }
        asked.extend(self::scope(scope));
    }
    Ok(asked)
}

/// `repository:<name>:<actions>` or `registry:catalog:*`.
fn scope(text: &str) -> Option<ScopeAsked> {
    let (kind, rest) = text.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    // `repository(plugin)`: the class is a hint that nobody needs.
    match kind.split('(').next()? {
        "repository" => {
            let actions = actions.split(',').map(Actions::from_name).fold(Actions::NONE, Actions::with);
            Some(ScopeAsked::Package(name.parse().ok()?, actions))
        }
        "registry" if name == "catalog" => Some(ScopeAsked::Catalog),
        _ => None,
    }
}
