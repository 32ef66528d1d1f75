//! `/v2/<name>/blobs/<digest>` (end-2, end-10).

use crate::body::Body;
use crate::edge::Call;
use crate::error::OciError;
use crate::respond::Answer;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use http::{Response, StatusCode};
use packhouse_oci::{Digest, ErrorCode, PackageName, Requested, requested};

/// GET and HEAD, with one range. Never compressed: a layer's length and ranges are those of its bytes.
pub(crate) async fn get<B>(
    call: Call<'_, B>,
    name: &PackageName,
    last: &str,
) -> Result<Response<Body>, OciError> {
    let digest: Digest = last.parse()?;
    let failed = |error| OciError::pull(&error, &call.challenge.package(name.as_str(), "pull"));
    let found = if call.is_head() {
        call.service.blob_head(&call.shown, name, digest).await
    } else {
        call.service.blob(&call.shown, name, digest).await
    };
    let found = found.map_err(failed)?;
    let (size, tag) = (found.size(), format!("\"{digest}\""));
    let headers = &call.parts.headers;
    let same = headers.get(IF_RANGE).is_none_or(|known| known.as_bytes() == tag.as_bytes());
    // What cannot be read as text is no range either, and is ignored as RFC 9110 asks.
    let range = headers.get(RANGE).filter(|_| same && !call.is_head()).and_then(|value| value.to_str().ok());
    let answer = |status| {
        Answer::new(status)
            .digest(&digest)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(ACCEPT_RANGES, "bytes")
            .header(ETAG, &tag)
    };
    let (answer, first, end) = match requested(range, size) {
        Requested::Whole => (answer(StatusCode::OK).header(CONTENT_LENGTH, &size.to_string()), 0, size),
        Requested::Part { first, last } => {
            let answer = answer(StatusCode::PARTIAL_CONTENT)
                .header(CONTENT_RANGE, &format!("bytes {first}-{last}/{size}"))
                .header(CONTENT_LENGTH, &(last - first + 1).to_string());
            (answer, first, last + 1)
        }
        Requested::Unsatisfiable => {
            let message = format!("the blob has {size} bytes; the range lies outside of it");
            let error = OciError::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::SizeInvalid, message);
            let mut response = error.render();
            if let Ok(range) = format!("bytes */{size}").parse() {
                response.headers_mut().insert(CONTENT_RANGE, range);
            }
            return Ok(response);
        }
    };
    if call.is_head() {
        return Ok(answer.done());
    }
    if let Some(address) = call.service.blob_address(&found, first, end).await.map_err(failed)? {
        // The client asks there again, with its range. The address holds a signature, so nobody keeps the answer.
        let answer = Answer::new(StatusCode::TEMPORARY_REDIRECT).digest(&digest).location(&address);
        return Ok(answer.header(CACHE_CONTROL, "no-store").done());
    }
    let reader = call.service.read_blob(&found, first, end).await.map_err(failed)?;
    Ok(answer.stream(Body::Blob(reader)).done())
}

/// DELETE. 202 means that the package does not have it any more.
pub(crate) async fn delete<B>(
    call: Call<'_, B>,
    name: &PackageName,
    last: &str,
) -> Result<Response<Body>, OciError> {
    let digest: Digest = last.parse()?;
    call.service
        .delete_blob(&call.shown, name, digest)
        .await
        .map_err(|error| OciError::delete(&error, &call.challenge.package(name.as_str(), "delete")))?;
    Ok(Answer::new(StatusCode::ACCEPTED).done())
}
