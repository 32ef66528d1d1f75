//! Parsing what comes: credentials and bounded bodies.

use crate::error::OciError;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use packhouse_oci::ErrorCode;
use packhouse_service::{Service, Shown};

/// What the caller shows.
pub(crate) fn shown(service: &Service, headers: &HeaderMap) -> Shown {
    service.shown(headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes))
}

/// The length that the request says its body has.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Bodies are stored as they come, so an encoding on top of them has no place.
pub(crate) fn refuse_encoding(headers: &HeaderMap) -> Result<(), OciError> {
    match headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(()),
        Some(_) => {
            let message =
                "send the body without a Content-Encoding: its digest is that of the bytes as they come";
            Err(OciError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::Unsupported, message))
        }
    }
}

/// Reads a body of at most `max` bytes.
pub(crate) async fn read<B>(headers: &HeaderMap, body: B, what: &str, max: u64) -> Result<Bytes, OciError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if content_length(headers).is_some_and(|length| length > max) {
        return Err(OciError::too_large(what, max));
    }
    let limit = usize::try_from(max).unwrap_or(usize::MAX);
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(OciError::too_large(what, max)),
        Err(_) => Err(OciError::bad_request(ErrorCode::SizeInvalid, "the body broke off; send it again")),
    }
}
