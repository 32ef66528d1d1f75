//! The one rendering of errors: the specification's JSON, with a message that says what to do next.
//!
//! Where people search for one of ghcr.io's texts, that text stands in the message. Causes go to the log; a
//! client is told nothing of ours.

use crate::body::Body;
use crate::challenge::{Challenge, Problem};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use packhouse_oci::{
    ContentRangeError, DigestError, ErrorCode, ManifestError, MediaTypeError, NameError, ReferenceError,
    TagError,
};
use packhouse_service::{
    DeleteError, Denied, Fault, Limited, ListError, PullError, PushError, Refusal, Refused, Role, TagHeld,
    TokenError, UploadError, Visibility,
};

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct OciError {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    detail: Option<String>,
    headers: HeaderMap,
}

impl OciError {
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        OciError { status, code, message: message.into(), detail: None, headers: HeaderMap::new() }
    }

    fn detail(mut self, detail: &impl ToString) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn bad_request(code: ErrorCode, message: impl Into<String>) -> Self {
        OciError::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn no_such_endpoint() -> Self {
        let message = "there is no such endpoint; paths are `/v2/<namespace>/<name>/` and `manifests`, `blobs`, \
                       `tags/list` or `referrers`";
        OciError::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, message)
    }

    pub(crate) fn method(allowed: &str) -> Self {
        let message = format!("The operation is unsupported. This path takes {allowed}");
        OciError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message).header(ALLOW, allowed)
    }

    pub(crate) fn too_large(what: &str, max: u64) -> Self {
        let message = format!("{what} may have at most {max} bytes on this server");
        OciError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid, message)
    }

    pub(crate) fn unauthorized(challenge: &Challenge<'_>) -> Self {
        let error =
            OciError::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, "authentication required");
        error.header(WWW_AUTHENTICATE, &challenge.render(None))
    }

    pub(crate) fn render(self) -> Response<Body> {
        let mut entry = serde_json::json!({ "code": self.code.as_str(), "message": self.message });
        if let Some(detail) = self.detail {
            entry["detail"] = detail.into();
        }
        let body = serde_json::json!({ "errors": [entry] }).to_string();
        let mut response = Response::new(Body::from(Bytes::from(body)));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    pub(crate) fn denied(denied: &Denied, challenge: &Challenge<'_>) -> Self {
        match denied {
            Denied::Credential => {
                let message = "unauthenticated: User cannot be authenticated with the token provided. It is unknown, \
                               expired or revoked: log in again with a working token";
                OciError::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message)
                    .header(WWW_AUTHENTICATE, &challenge.render(Some(Problem::InvalidToken)))
            }
            Denied::Refused(refused) => OciError::refused(refused, challenge),
            // Clients print the message of a DENIED and do not try again.
            Denied::OverQuota(over) => OciError::forbidden(format!(
                "quota_exceeded: {over}; delete what is not needed, or ask the operator for a larger plan"
            )),
        }
    }

    fn refused(refused: &Refused, challenge: &Challenge<'_>) -> Self {
        let path = &refused.path;
        match &refused.refusal {
            Refusal::Authenticate => {
                let message = "authentication required: log in with a token that may do this";
                OciError::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message)
                    .header(WWW_AUTHENTICATE, &challenge.render(Some(Problem::InsufficientScope)))
            }
            Refusal::BearerTooNarrow => {
                let message = "the bearer token does not carry what this takes: fetch one for the scope in the challenge";
                OciError::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message)
                    .header(WWW_AUTHENTICATE, &challenge.render(Some(Problem::InsufficientScope)))
            }
            Refusal::Scope(scope, held) => OciError::forbidden(format!(
                "permission_denied: The token provided does not match expected scopes: token lacks {scope} (it has {}); \
                 log in with one that has it",
                held.describe(),
            )),
            Refusal::NotFound if refused.creating => OciError::new(
                StatusCode::NOT_FOUND,
                ErrorCode::NameUnknown,
                format!(
                    "permission_denied: create_package: there is no package `{path}` that you may push to, and you may \
                     not create one in its namespace; push to your own namespace or to an organization of yours"
                ),
            ),
            Refusal::NotFound => OciError::new(
                StatusCode::NOT_FOUND,
                ErrorCode::NameUnknown,
                format!(
                    "there is no package `{path}` that you may see; check its name and the account you logged in with"
                ),
            ),
            Refusal::Role { has, needs } => OciError::forbidden(format!(
                "permission_denied: {}_package: your role on `{path}` is {has}, this takes {needs}; an admin of the \
                 package can give it to you",
                if refused.action == "push" { "write" } else { refused.action },
            )),
            Refusal::Limit { has, needs } => OciError::forbidden(format!(
                "permission_denied: the fine-grained token was given {} on `{path}`, this takes {needs}; make one that \
                 was given more",
                has.map_or("nothing", Role::as_str),
            )),
            Refusal::Policy(visibility) => OciError::forbidden(format!(
                "permission_denied: create_package: the organization does not let its members have {} packages; an \
                 owner of the organization can change that, or push first",
                visibility.map_or("such", Visibility::as_str),
            )),
            Refusal::NoInternal => {
                OciError::forbidden("only packages of an organization can be internal".to_owned())
            }
            Refusal::Standing => OciError::forbidden(format!("this takes an owner or an admin of `{path}`")),
            Refusal::Caller => OciError::forbidden("this is not for you".to_owned()),
        }
    }

    fn forbidden(message: String) -> Self {
        OciError::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message)
    }

    /// A rule holds a tag. Clients print the message of a DENIED and do not try again.
    fn held(held: &TagHeld) -> Self {
        OciError::forbidden(format!("permission_denied: {held}")).detail(&held.tag)
    }

    /// Too many requests.
    pub(crate) fn limited(limited: &Limited) -> Self {
        let (Limited::Hour { retry_seconds, .. } | Limited::Pace { retry_seconds, .. }) = limited;
        let message = format!("too many requests: try again in {retry_seconds} s");
        OciError::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message)
            .header(RETRY_AFTER, &retry_seconds.to_string())
    }

    /// Ours: the log gets the chain, the client a sentence.
    pub(crate) fn fault(fault: &Fault) -> Self {
        tracing::error!(error = fault.chain(), "a request failed");
        if fault.passes() {
            let message = "the server cannot do this right now; try again in a moment";
            OciError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
                .header(RETRY_AFTER, "2")
        } else {
            let message =
                "the server failed; its operator finds the cause in the log under this answer's X-Request-Id";
            OciError::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, message)
        }
    }

    pub(crate) fn pull(error: &PullError, challenge: &Challenge<'_>) -> Self {
        match error {
            PullError::Denied(denied) => OciError::denied(denied, challenge),
            PullError::ManifestUnknown(reference) => manifest_unknown(reference),
            PullError::BlobUnknown(digest) => blob_unknown(digest),
            PullError::Fault(fault) => OciError::fault(fault),
        }
    }

    pub(crate) fn push(error: &PushError, challenge: &Challenge<'_>) -> Self {
        match error {
            PushError::Denied(denied) => OciError::denied(denied, challenge),
            PushError::Manifest(error) => error.into(),
            PushError::Digest { asked, found } => OciError::bad_request(
                ErrorCode::DigestInvalid,
                format!("the manifest's bytes have the digest `{found}`, not `{asked}`: push them under their own digest"),
            ),
            PushError::MissingBlobs { first, count } => OciError::bad_request(
                ErrorCode::ManifestBlobUnknown,
                format!(
                    "blob unknown to registry: the manifest names {count} blob(s) that this package does not have, \
                     first `{first}`; push or mount the blobs, then the manifest"
                ),
            )
            .detail(first),
            PushError::TagHeld(held) => OciError::held(held),
            PushError::Fault(fault) => OciError::fault(fault),
        }
    }

    pub(crate) fn delete(error: &DeleteError, challenge: &Challenge<'_>) -> Self {
        match error {
            DeleteError::Denied(denied) => OciError::denied(denied, challenge),
            DeleteError::ManifestUnknown(reference) => manifest_unknown(reference),
            DeleteError::BlobUnknown(digest) => blob_unknown(digest),
            DeleteError::TagHeld(held) => OciError::held(held),
            DeleteError::Fault(fault) => OciError::fault(fault),
        }
    }

    pub(crate) fn list(error: &ListError, challenge: &Challenge<'_>) -> Self {
        match error {
            ListError::Denied(denied) => OciError::denied(denied, challenge),
            ListError::NameUnknown => OciError::new(
                StatusCode::NOT_FOUND,
                ErrorCode::NameUnknown,
                "repository name not known to registry: nothing was pushed to this package yet",
            ),
            ListError::Fault(fault) => OciError::fault(fault),
        }
    }

    pub(crate) fn token(error: &TokenError, challenge: &Challenge<'_>) -> Self {
        match error {
            TokenError::Denied(denied) => OciError::denied(denied, challenge),
            TokenError::Fault(fault) => OciError::fault(fault),
        }
    }

    pub(crate) fn upload(error: &UploadError, name: &str, challenge: &Challenge<'_>) -> Self {
        let invalid = |status, message: String| OciError::new(status, ErrorCode::BlobUploadInvalid, message);
        match error {
            UploadError::Denied(denied) => OciError::denied(denied, challenge),
            UploadError::Unknown => OciError::new(
                StatusCode::NOT_FOUND,
                ErrorCode::BlobUploadUnknown,
                "there is no such upload session of yours in this package: it expired, ended, or belongs to another \
                 package or account; start a new one with POST",
            ),
            // 416, not 400: a chunk out of order is a state to resume from (distribution-spec, "Pushing a blob in
            // chunks"), not a broken request.
            UploadError::OutOfOrder { id, received } => invalid(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format!("the part does not continue the upload: it has {received} bytes, so the next one starts there"),
            )
            .header(LOCATION, &crate::respond::upload_path(name, id))
            .header(RANGE, &crate::respond::received_range(*received)),
            UploadError::TooLarge { max } => OciError::too_large("a layer", *max),
            UploadError::Size { expected, found } => OciError::bad_request(
                ErrorCode::SizeInvalid,
                format!("the part has {found} bytes, but its Content-Range says {expected}; nothing of it was taken"),
            ),
            UploadError::Digest { asked, found } => OciError::bad_request(
                ErrorCode::DigestInvalid,
                format!(
                    "provided digest did not match uploaded content: the bytes have the digest `{found}`, not `{asked}`; \
                     nothing was stored and the session has ended: push the blob again"
                ),
            ),
            UploadError::Busy => invalid(
                StatusCode::CONFLICT,
                "another request is writing this upload session; when it has ended, GET tells how far it came".to_owned(),
            )
            .header(RETRY_AFTER, "1"),
            UploadError::Interrupted => invalid(
                StatusCode::BAD_REQUEST,
                "the body broke off; GET tells how far it came, go on from there".to_owned(),
            ),
            UploadError::Fault(fault) => OciError::fault(fault),
        }
    }
}

fn manifest_unknown(reference: &impl std::fmt::Display) -> OciError {
    let message = format!("manifest unknown: this package has no `{reference}`");
    OciError::new(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, message).detail(reference)
}

fn blob_unknown(digest: &impl std::fmt::Display) -> OciError {
    let message = format!("blob unknown to registry: this package has no `{digest}`");
    OciError::new(StatusCode::NOT_FOUND, ErrorCode::BlobUnknown, message).detail(digest)
}

/// Parse errors: each says what is wrong, so it is the message.
macro_rules! parse_errors {
    ($($error:ty => $code:ident),+ $(,)?) => {$(
        impl From<$error> for OciError {
            fn from(error: $error) -> Self {
                OciError::bad_request(ErrorCode::$code, error.to_string())
            }
        }
    )+};
}

parse_errors! {
    NameError => NameInvalid,
    DigestError => DigestInvalid,
    TagError => TagInvalid,
    ContentRangeError => BlobUploadInvalid,
    MediaTypeError => ManifestInvalid,
}

impl From<&ManifestError> for OciError {
    fn from(error: &ManifestError) -> Self {
        OciError::bad_request(ErrorCode::ManifestInvalid, error.to_string())
    }
}

impl From<ReferenceError> for OciError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Digest(error) => error.into(),
            ReferenceError::Tag(error) => error.into(),
        }
    }
}
