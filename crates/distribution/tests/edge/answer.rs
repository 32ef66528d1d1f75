//! An answer, read to its end, with what must be true of every one of them checked on the way in.

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt as _;
use packhouse_distribution::{Body, RouteName};
use serde_json::Value;
use std::fmt;

/// Words that would tell a client how the house is built. None may stand in an error.
const OURS: [&str; 9] =
    ["SELECT", "sqlite", "SQL", "/tmp", "/dev/shm", "blobs/", "panicked", "src/", "RowNotFound"];

/// An answer.
#[derive(Clone)]
pub(crate) struct Answer {
    /// The route's name, for metrics and logs.
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn read(method: &Method, response: Response<Body>) -> Self {
        let (mut parts, body) = response.into_parts();
        // As the server does with a body that knows its length.
        let length = http_body::Body::size_hint(&body).exact();
        if let Some(length) = length.filter(|_| parts.status == 200) {
            parts.headers.entry("content-length").or_insert(length.into());
        }
        let RouteName(route) = *parts.extensions.get().expect("a route's name with every answer");
        let body = body.collect().await.expect("the body can be read to its end").to_bytes();
        let answer = Answer { route, status: parts.status.as_u16(), headers: parts.headers, body };
        answer.keeps_the_house_rules(method);
        answer
    }

    fn keeps_the_house_rules(&self, method: &Method) {
        assert_eq!(self.header("docker-distribution-api-version"), Some("registry/2.0"), "{self}");
        let length = self.header("content-length").map(|length| length.parse::<usize>().unwrap());
        if method == Method::HEAD {
            assert!(self.body.is_empty(), "HEAD with a body: {self}");
            return;
        }
        if let Some(length) = length {
            assert_eq!(length, self.body.len(), "{self}");
        }
        if self.status < 400 {
            return;
        }
        assert_eq!(self.header("content-type"), Some("application/json"), "{self}");
        let json = self.json();
        let errors = json["errors"].as_array().expect("`errors` is a list");
        assert_eq!(errors.len(), 1, "{self}");
        let message = errors[0]["message"].as_str().expect("a message");
        assert!(message.len() > 15, "a message says something: {self}");
        assert!(!message.ends_with('.'), "no final stop: {self}");
        for word in OURS {
            assert!(!message.contains(word), "`{word}` is ours alone: {self}");
        }
        assert_eq!(
            self.status == 401,
            self.header("www-authenticate").is_some(),
            "a challenge with each 401 and with nothing else: {self}"
        );
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers are text"))
    }

    /// A header that must be there.
    pub(crate) fn the(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no `{name}` in {self}"))
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self}"))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The code of an error; nothing for what went well, and for HEAD.
    pub(crate) fn code(&self) -> String {
        if self.status < 400 || self.body.is_empty() {
            return String::new();
        }
        self.json()["errors"][0]["code"].as_str().expect("a code").to_owned()
    }

    /// The message of an error.
    pub(crate) fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().expect("a message").to_owned()
    }

    /// The status, and the code of an error: `404 NAME_UNKNOWN`.
    pub(crate) fn says(&self) -> String {
        format!("{} {}", self.status, self.code()).trim_end().to_owned()
    }

    /// The entries of a list: `tags`, `repositories`, or digests of `manifests`.
    pub(crate) fn list(&self, field: &str) -> Vec<String> {
        assert_eq!(self.status, 200, "{self}");
        let json = self.json();
        let entries = json[field].as_array().unwrap_or_else(|| panic!("`{field}` is no list in {self}"));
        let name = |entry: &Value| entry.as_str().or(entry["digest"].as_str()).expect("a name").to_owned();
        entries.iter().map(name).collect()
    }

    /// The target of `Link: <…>; rel="next"`.
    pub(crate) fn next(&self) -> Option<String> {
        let link = self.header("link")?;
        let target = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        Some(target.unwrap_or_else(|| panic!("an odd link: {link}")).to_owned())
    }

    /// All that a client could tell one answer from another by.
    pub(crate) fn seen(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        write!(f, "\n{}", String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
