//! `/v2/<name>/manifests/<reference>` (end-3, end-7, end-9).

use crate::body::Body;
use crate::edge::Call;
use crate::error::OciError;
use crate::request;
use crate::respond::{Answer, DOCKER_CONTENT_DIGEST};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderName, Response, StatusCode};
use packhouse_oci::{ErrorCode, MediaType, PackageName, Reference, Tag};
use packhouse_service::PutManifest;

/// Tags that one push may set by `?tag=`; the specification asks for ten at least.
const TAGS_MAX: usize = 100;

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// GET and HEAD. The type a manifest was pushed with is served whatever `Accept` says: refusing on a missing
/// match breaks clients that list only some types, and there is no conversion.
pub(crate) async fn get<B>(
    call: Call<'_, B>,
    name: &PackageName,
    last: &str,
) -> Result<Response<Body>, OciError> {
    let reference: Reference = last.parse()?;
    let found = if call.is_head() {
        call.service.manifest_head(&call.shown, name, &reference).await
    } else {
        call.service.manifest(&call.shown, name, &reference).await
    };
    let found =
        found.map_err(|error| OciError::pull(&error, &call.challenge.package(name.as_str(), "pull")))?;
    let tag = found.quoted_digest;
    let digest = tag.slice(1..tag.len().saturating_sub(1).max(1));
    let unchanged = call.parts.headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag);
    let status = if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let answer = Answer::new(status).shared(DOCKER_CONTENT_DIGEST, digest).shared(ETAG, tag);
    if unchanged {
        return Ok(answer.done());
    }
    if call.is_head() {
        let answer = answer.media_type(&found.media_type);
        return Ok(answer.header(CONTENT_LENGTH, &found.size.to_string()).done());
    }
    Ok(answer.media_type(&found.media_type).body(found.payload).done())
}

/// PUT. 201 means that all of it is on disk.
pub(crate) async fn put<B>(
    call: Call<'_, B>,
    name: &PackageName,
    last: &str,
) -> Result<Response<Body>, OciError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let reference: Reference = last.parse()?;
    let tags: Vec<Tag> = call.query.all("tag").map(str::parse).collect::<Result<_, _>>()?;
    if tags.len() > TAGS_MAX {
        let message = format!("a push may set at most {TAGS_MAX} tags; push the manifest again for more");
        return Err(OciError::new(StatusCode::URI_TOO_LONG, ErrorCode::Unsupported, message));
    }
    let headers = &call.parts.headers;
    request::refuse_encoding(headers)?;
    let media_type = headers
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default().parse::<MediaType>())
        .transpose()?;
    let failed = |error| OciError::push(&error, &call.challenge.package(name.as_str(), "pull,push"));
    call.service.may_push(&call.shown, name).await.map_err(failed)?;
    let by_query = !tags.is_empty();
    let bytes = request::read(headers, call.body, "a manifest", call.limits.manifest_bytes_max).await?;
    let host = call.challenge.host().map(str::to_owned);
    let put = PutManifest { reference, tags, media_type, bytes: bytes.into(), host };
    let done = call.service.put_manifest(&call.shown, name, put).await.map_err(failed)?;
    let mut answer = Answer::new(StatusCode::CREATED)
        .digest(&done.digest)
        .location(&format!("/v2/{name}/manifests/{}", done.digest));
    if let Some(subject) = &done.subject {
        answer = answer.header(OCI_SUBJECT, &subject.to_string());
    }
    if by_query {
        let tags: Vec<&str> = done.tags.iter().map(Tag::as_str).collect();
        answer = answer.header(OCI_TAG, &tags.join(", "));
    }
    Ok(answer.done())
}

/// DELETE: of a tag takes the tag away, of a digest deletes the manifest. 202 means that it is gone.
pub(crate) async fn delete<B>(
    call: Call<'_, B>,
    name: &PackageName,
    last: &str,
) -> Result<Response<Body>, OciError> {
    let reference: Reference = last.parse()?;
    call.service
        .delete_manifest(&call.shown, name, &reference)
        .await
        .map_err(|error| OciError::delete(&error, &call.challenge.package(name.as_str(), "delete")))?;
    Ok(Answer::new(StatusCode::ACCEPTED).done())
}
