//! `/v2/<name>/blobs/uploads/` (end-4, end-5, end-6, end-11, end-13, end-14).

use crate::body::Body;
use crate::edge::Call;
use crate::error::OciError;
use crate::request::{content_length, refuse_encoding};
use crate::respond::Answer;
use bytes::Bytes;
use http::header::CONTENT_RANGE;
use http::{Response, StatusCode};
use packhouse_oci::{Algorithm, Digest, ErrorCode, PackageName};
use packhouse_service::{Mounted, Part, Session, UploadError};

const ACTIONS: &str = "pull,push";

/// POST: with `mount` a mount, with `digest` a whole blob, otherwise a new session.
pub(crate) async fn begin<B>(call: Call<'_, B>, name: &PackageName) -> Result<Response<Body>, OciError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    let challenge = call.challenge.package(name.as_str(), ACTIONS);
    if let Some(digest) = call.query.get("mount") {
        let digest: Digest = digest.parse()?;
        let from: Option<PackageName> = call.query.get("from").map(str::parse).transpose()?;
        let challenge = match &from {
            Some(from) => challenge.and(&format!("repository:{from}:pull")),
            None => challenge,
        };
        let mounted = call.service.mount(&call.shown, name, digest, from).await;
        return match mounted.map_err(|error| OciError::upload(&error, name.as_str(), &challenge))? {
            Mounted::Mounted => Ok(created(name, &digest)),
            Mounted::Session(session) => Ok(accepted(name, &session)),
        };
    }
    let failed = |error: UploadError| OciError::upload(&error, name.as_str(), &challenge);
    let hint: Option<Algorithm> = call.query.get("digest-algorithm").map(str::parse).transpose()?;
    if let Some(digest) = call.query.get("digest") {
        let digest: Digest = digest.parse()?;
        refuse_encoding(&call.parts.headers)?;
        let length = content_length(&call.parts.headers);
        call.service.put_blob(&call.shown, name, digest, length, call.body).await.map_err(failed)?;
        return Ok(created(name, &digest));
    }
    let algorithm = hint.unwrap_or(Algorithm::Sha256);
    let session = call.service.begin_upload(&call.shown, name, algorithm).await.map_err(failed)?;
    Ok(accepted(name, &session))
}

/// GET: where the session stands.
pub(crate) async fn status<B>(
    call: Call<'_, B>,
    name: &PackageName,
    id: &str,
) -> Result<Response<Body>, OciError> {
    let challenge = call.challenge.package(name.as_str(), ACTIONS);
    let session = call.service.upload(&call.shown, name, id).await;
    let session = session.map_err(|error| OciError::upload(&error, name.as_str(), &challenge))?;
    Ok(Answer::new(StatusCode::NO_CONTENT).session(name.as_str(), &session).done())
}

/// PATCH: a part, at its range or behind the last one. 202 means that the bytes are on disk.
pub(crate) async fn append<B>(
    call: Call<'_, B>,
    name: &PackageName,
    id: &str,
) -> Result<Response<Body>, OciError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    let challenge = call.challenge.package(name.as_str(), ACTIONS);
    let part = part(&call)?;
    let session = call.service.append(&call.shown, name, id, part, call.body).await;
    let session = session.map_err(|error| OciError::upload(&error, name.as_str(), &challenge))?;
    Ok(accepted(name, &session))
}

/// PUT: the last part, if there is one, and the digest. 201 means that the blob is verified and on disk.
pub(crate) async fn finish<B>(
    call: Call<'_, B>,
    name: &PackageName,
    id: &str,
) -> Result<Response<Body>, OciError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    let challenge = call.challenge.package(name.as_str(), ACTIONS);
    let Some(digest) = call.query.get("digest") else {
        let message = "the digest is missing: end an upload with `?digest=` and the digest of all its bytes";
        return Err(OciError::bad_request(ErrorCode::DigestInvalid, message));
    };
    let digest: Digest = digest.parse()?;
    let part = part(&call)?;
    let done = call.service.finish_upload(&call.shown, name, id, digest, part, call.body).await;
    done.map_err(|error| OciError::upload(&error, name.as_str(), &challenge))?;
    Ok(created(name, &digest))
}

/// DELETE: ends the session.
pub(crate) async fn cancel<B>(
    call: Call<'_, B>,
    name: &PackageName,
    id: &str,
) -> Result<Response<Body>, OciError> {
    let challenge = call.challenge.package(name.as_str(), ACTIONS);
    let cancelled = call.service.cancel_upload(&call.shown, name, id).await;
    cancelled.map_err(|error| OciError::upload(&error, name.as_str(), &challenge))?;
    Ok(Answer::new(StatusCode::NO_CONTENT).done())
}

fn part<B>(call: &Call<'_, B>) -> Result<Part, OciError> {
    let headers = &call.parts.headers;
    refuse_encoding(headers)?;
    let range =
        headers.get(CONTENT_RANGE).map(|value| value.to_str().unwrap_or_default().parse()).transpose()?;
    Ok(Part { range, length: content_length(headers) })
}

fn accepted(name: &PackageName, session: &Session) -> Response<Body> {
    Answer::new(StatusCode::ACCEPTED).session(name.as_str(), session).done()
}

fn created(name: &PackageName, digest: &Digest) -> Response<Body> {
    Answer::new(StatusCode::CREATED).digest(digest).location(&format!("/v2/{name}/blobs/{digest}")).done()
}
