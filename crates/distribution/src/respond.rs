//! Answers that went well.

use crate::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LINK, LOCATION, RANGE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use packhouse_oci::{Digest, MediaType};
use packhouse_service::Session;

pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(crate) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// Headers of an answer, with those that are set further out.
const HEADERS_USUAL: usize = 12;

/// An answer being put together. A header value that could not be sent is left out: all of ours can.
pub(crate) struct Answer(Response<Body>);

impl Answer {
    pub(crate) fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = status;
        // At once, or the map grows and is sorted anew on the way.
        response.headers_mut().reserve(HEADERS_USUAL);
        Answer(response)
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    /// The value's own bytes are sent.
    pub(crate) fn shared(mut self, name: HeaderName, value: Bytes) -> Self {
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    pub(crate) fn media_type(mut self, media_type: &MediaType) -> Self {
        match media_type.as_static() {
            Some(text) => {
                self.0.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(text));
                self
            }
            None => self.header(CONTENT_TYPE, media_type.as_str()),
        }
    }

    pub(crate) fn digest(self, digest: &Digest) -> Self {
        let mut text = String::new();
        digest.push_to(&mut text);
        self.shared(DOCKER_CONTENT_DIGEST, text.into())
    }

    pub(crate) fn location(self, path: &str) -> Self {
        self.header(LOCATION, path)
    }

    /// Says that there is a next page. Relative: clients check that it stays on their host.
    pub(crate) fn next(self, target: &str) -> Self {
        self.header(LINK, &format!("<{target}>; rel=\"next\""))
    }

    /// With a body, whose length is sent with it; for HEAD the same headers without it.
    pub(crate) fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        *self.0.body_mut() = Body::from(bytes.into());
        self
    }

    /// As [`Answer::body`], of a type that is not stored with it.
    pub(crate) fn typed(self, media_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        self.header(CONTENT_TYPE, media_type).body(bytes)
    }

    pub(crate) fn stream(mut self, body: Body) -> Self {
        *self.0.body_mut() = body;
        self
    }

    pub(crate) fn json(self, value: &serde_json::Value) -> Self {
        self.typed("application/json", value.to_string())
    }

    /// Where an upload is and how far it came.
    pub(crate) fn session(self, name: &str, session: &Session) -> Self {
        self.location(&upload_path(name, &session.id))
            .header(DOCKER_UPLOAD_UUID, &session.id)
            .header(RANGE, &received_range(session.received))
    }

    pub(crate) fn done(self) -> Response<Body> {
        self.0
    }
}

pub(crate) fn upload_path(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// `0-<last>`; with nothing received `0-0`, since docker reads two numbers and `0--1` is none.
pub(crate) fn received_range(received: u64) -> String {
    format!("0-{}", received.saturating_sub(1))
}
