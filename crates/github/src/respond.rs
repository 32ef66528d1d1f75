//! Answers being put together.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// JSON as GitHub labels it; Octokit parses no other type.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// An answer being put together. A header value that could not be sent is left out: all of ours can.
#[derive(Debug)]
pub(crate) struct Answer(Response<Bytes>);

impl Answer {
    pub(crate) fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Answer(response)
    }

    /// 200 with a body.
    pub(crate) fn ok(value: &impl Serialize) -> Self {
        Answer::new(StatusCode::OK).json(value)
    }

    /// 201 with a body.
    pub(crate) fn created(value: &impl Serialize) -> Self {
        Answer::new(StatusCode::CREATED).json(value)
    }

    /// 204.
    pub(crate) fn no_content() -> Self {
        Answer::new(StatusCode::NO_CONTENT)
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    /// The header of pages, if there is more than one.
    pub(crate) fn links(self, links: Option<String>) -> Self {
        match links {
            Some(links) => self.header(LINK, &links),
            None => self,
        }
    }

    pub(crate) fn json(mut self, value: &impl Serialize) -> Self {
        // Structs and maps with text for keys always serialise.
        *self.0.body_mut() = Bytes::from(serde_json::to_vec(value).unwrap_or_default());
        self.0.headers_mut().insert(CONTENT_TYPE, JSON);
        self
    }

    pub(crate) fn done(self) -> Response<Full<Bytes>> {
        self.0.map(Full::new)
    }

    pub(crate) fn response(&mut self) -> &mut Response<Bytes> {
        &mut self.0
    }
}
