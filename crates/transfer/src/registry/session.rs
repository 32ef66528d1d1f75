//! Requests to a registry, with what authorizes them.

use super::address::is_loopback;
use crate::SourceError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For a connection to be made.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// For the next bytes to come.
const READ_TIME: Duration = Duration::from_secs(15);
const REDIRECTS_MAX: usize = 5;
/// Bytes of an error's answer that are looked at, and of a token's.
const SMALL_BYTES_MAX: u64 = 64 << 10;
/// Tokens that are kept.
const TOKENS_MAX: usize = 1000;

/// A user, who may have any name where only the token counts, and a password or token.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user.
    pub user: String,
    /// The password or token.
    pub password: String,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credential {
    fn header(&self) -> Option<HeaderValue> {
        let text = STANDARD.encode(format!("{}:{}", self.user, self.password));
        let mut value = HeaderValue::from_str(&format!("Basic {text}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    base: Url,
    credential: Option<Credential>,
    /// What was shown last with success, by scope.
    shown: Mutex<HashMap<String, HeaderValue>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Session {
    pub(super) fn new(base: Url, credential: Option<Credential>) -> Result<Self, SourceError> {
        // The client takes the TLS that the program installs; the first one to need it does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let secure = base.scheme() == "https";
        let redirects = Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS_MAX {
                attempt.error("too many redirects")
            } else if secure && attempt.url().scheme() != "https" {
                attempt.error("a redirect leads away from TLS")
            } else {
                attempt.follow()
            }
        });
        let built = Client::builder()
            .connect_timeout(CONNECT_TIME)
            .read_timeout(READ_TIME)
            .redirect(redirects)
            .user_agent(concat!("packhouse/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = built.map_err(|error| SourceError::Answer {
            what: "making a client for HTTP".to_owned(),
            why: chain(&error),
        })?;
        Ok(Self { client, base, credential, shown: Mutex::default() })
    }

    /// Gets a path. None: 404.
    pub(super) async fn get(
        &self,
        path: &str,
        what: &str,
        scope: &str,
        headers: &[(HeaderName, String)],
    ) -> Result<Option<Response>, SourceError> {
        let answer = |why: &str| SourceError::Answer { what: what.to_owned(), why: why.to_owned() };
        let url = self.base.join(path).map_err(|_| answer("its path is none"))?;
        if url.origin() != self.base.origin() {
            return Err(answer("it leads to another server"));
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, HeaderValue::from_str(value).map_err(|_| answer("a header cannot be sent"))?);
        }
        let kept = self.shown.lock().unwrap_or_else(PoisonError::into_inner).get(scope).cloned();
        let first = self.send(&url, &map, kept, what).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return finished(first, what).await;
        }
        let Some(authorization) = self.authorization(&first, scope, what).await? else {
            return finished(first, what).await;
        };
        let second = self.send(&url, &map, Some(authorization.clone()), what).await?;
        if second.status() != StatusCode::UNAUTHORIZED {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if shown.len() >= TOKENS_MAX {
                shown.clear();
            }
            shown.insert(scope.to_owned(), authorization);
        }
        finished(second, what).await
    }

    async fn send(
        &self,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<HeaderValue>,
        what: &str,
    ) -> Result<Response, SourceError> {
        let mut headers = headers.clone();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value);
        }
        let sent = self.client.get(url.clone()).headers(headers).send().await;
        sent.map_err(|error| unreachable(&error, what))
    }

    /// What the registry's challenge asks for. None: nothing that we have.
    async fn authorization(
        &self,
        answer: &Response,
        scope: &str,
        what: &str,
    ) -> Result<Option<HeaderValue>, SourceError> {
        let lines = answer.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut basic = false;
        for line in lines {
            if let Some(bearer) = after_scheme(line, "bearer") {
                return self.token(&parameters(bearer), scope, what).await.map(Some);
            }
            basic |= after_scheme(line, "basic").is_some();
        }
        Ok(self.credential.as_ref().filter(|_| basic).and_then(Credential::header))
    }

    async fn token(
        &self,
        challenge: &HashMap<String, String>,
        scope: &str,
        what: &str,
    ) -> Result<HeaderValue, SourceError> {
        let wrong = |why: &str| SourceError::Answer { what: what.to_owned(), why: why.to_owned() };
        let realm = challenge.get("realm").and_then(|realm| self.base.join(realm).ok());
        let mut url = realm.ok_or_else(|| wrong("the registry names no place that gives tokens"))?;
        if url.scheme() != "https"
            && (self.base.scheme() == "https" || url.origin() != self.base.origin())
            && !is_loopback(&url)
        {
            return Err(wrong("the place that gives tokens would be asked without TLS"));
        }
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = challenge.get("service") {
                query.append_pair("service", service);
            }
            query.append_pair("scope", challenge.get("scope").map_or(scope, String::as_str));
        }
        let mut headers = HeaderMap::new();
        if let Some(value) = self.credential.as_ref().and_then(Credential::header) {
            headers.insert(AUTHORIZATION, value);
        }
        let sent =
            self.client.get(url).headers(headers).send().await.map_err(|error| unreachable(&error, what))?;
        let asked = "asking for a token";
        let Some(answer) = finished(sent, asked).await? else {
            return Err(wrong("the place that gives tokens is not there (404)"));
        };
        let token: Token = json(answer, asked, SMALL_BYTES_MAX).await?;
        let token = token.token.or(token.access_token).ok_or_else(|| wrong("the answer holds no token"))?;
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = value.map_err(|_| wrong("the token cannot be sent"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

async fn finished(answer: Response, what: &str) -> Result<Option<Response>, SourceError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(Some(answer));
    }
    if status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let (what, code) = (what.to_owned(), status.as_u16());
    if status.is_server_error() && code != 501 || code == 429 || code == 408 {
        return Err(SourceError::Unreachable { what, why: format!("the registry answered {code}") });
    }
    let said = bytes(answer, &what, SMALL_BYTES_MAX).await.unwrap_or_default();
    Err(SourceError::Refused { what, status: code, said: message(&said) })
}

/// What an error of the protocol says, in one line and without what would move a terminal.
fn message(body: &[u8]) -> String {
    let value = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let first = value.pointer("/errors/0/message").or_else(|| value.pointer("/message"));
    let text = first.and_then(serde_json::Value::as_str).unwrap_or_default();
    text.chars().filter(|char| !char.is_control()).take(200).collect()
}

/// A whole body of at most `max` bytes.
pub(super) async fn bytes(mut answer: Response, what: &str, max: u64) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| unreachable(&error, what))? {
        if (bytes.len() + piece.len()) as u64 > max {
            return Err(SourceError::Large { what: format!("the answer to {what}"), max });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

pub(super) async fn json<T: DeserializeOwned>(
    answer: Response,
    what: &str,
    max: u64,
) -> Result<T, SourceError> {
    let bytes = bytes(answer, what, max).await?;
    let why =
        |error: serde_json::Error| SourceError::Answer { what: what.to_owned(), why: error.to_string() };
    serde_json::from_slice(&bytes).map_err(why)
}

fn unreachable(error: &reqwest::Error, what: &str) -> SourceError {
    let (what, why) = (what.to_owned(), chain(error));
    if error.is_redirect() || error.is_builder() {
        return SourceError::Answer { what, why };
    }
    SourceError::Unreachable { what, why }
}

/// An error with its causes, without the address: that of a redirect may hold a signature.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "the connection failed".to_owned() } else { text }
}

fn after_scheme<'a>(line: &'a str, scheme: &str) -> Option<&'a str> {
    let line = line.trim_start();
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    name.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// `a="b",c=d` (RFC 9110 §11.2); names in lower case.
pub(super) fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let mut value = String::new();
        let end = if let Some(quoted) = after.strip_prefix('"') {
            let mut escaped = false;
            let mut end = after.len();
            for (at, char) in quoted.char_indices() {
                match char {
                    _ if escaped => {
                        value.push(char);
                        escaped = false;
                    }
                    '\\' => escaped = true,
                    '"' => {
                        end = at + 2;
                        break;
                    }
                    char => value.push(char),
                }
            }
            end
        } else {
            let end = after.find(',').unwrap_or(after.len());
            value.push_str(after[..end].trim());
            end
        };
        found.entry(name).or_insert(value);
        rest = &after[end..];
    }
    found
}
