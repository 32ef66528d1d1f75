//! `/v2/`, `/v2/_catalog`, tags and referrers (end-1, end-8, end-12).

use crate::body::Body;
use crate::edge::Call;
use crate::error::OciError;
use crate::query::page_size;
use crate::respond::Answer;
use http::{HeaderName, Response, StatusCode};
use packhouse_oci::{Digest, ErrorCode, PackageName, Tag};
use packhouse_service::{Service, Shown};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;

/// Tags on a page; also without `n`, since clients that read no `Link` would miss the rest.
const TAGS_MAX: u32 = 10_000;
/// Packages on a page.
const PACKAGES_MAX: u32 = 1000;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// `GET /v2/`. Anonymous callers get the challenge even though public packages need no login: docker never
/// sends its credentials to a server that did not ask for them here.
pub(crate) async fn base<B>(call: Call<'_, B>) -> Result<Response<Body>, OciError> {
    if call.shown == Shown::Nothing {
        return Err(OciError::unauthorized(&call.challenge));
    }
    let checked = call.service.check_credential(&call.shown).await;
    checked.map_err(|error| OciError::list(&error, &call.challenge))?;
    Ok(Answer::new(StatusCode::OK).json(&serde_json::json!({})).done())
}

/// `GET /v2/_catalog`: the packages that the caller may pull.
pub(crate) async fn catalog<B>(call: Call<'_, B>) -> Result<Response<Body>, OciError> {
    let n = page_size(&call.query, PACKAGES_MAX)?;
    let last = call.query.get("last").unwrap_or_default();
    if !last.is_empty() {
        last.parse::<PackageName>()?;
    }
    let page = call.service.packages(&call.shown, last.to_owned(), n).await;
    let page = page.map_err(|error| OciError::list(&error, &call.challenge.catalog()))?;
    let mut answer = Answer::new(StatusCode::OK).json(&serde_json::json!({ "repositories": page.names }));
    if let Some(last) = page.names.last().filter(|_| page.more) {
        answer =
            answer.next(&format!("/v2/_catalog?n={n}&last={}", utf8_percent_encode(last, NON_ALPHANUMERIC)));
    }
    Ok(answer.done())
}

/// `GET /v2/<name>/tags/list`, in the order of bytes.
pub(crate) async fn tags<B>(call: Call<'_, B>, name: &PackageName) -> Result<Response<Body>, OciError> {
    let n = page_size(&call.query, TAGS_MAX)?;
    let last = call.query.get("last").unwrap_or_default();
    if !last.is_empty() {
        last.parse::<Tag>()?;
    }
    let page = call.service.tags(&call.shown, name, last.to_owned(), n).await;
    let page =
        page.map_err(|error| OciError::list(&error, &call.challenge.package(name.as_str(), "pull")))?;
    let mut answer =
        Answer::new(StatusCode::OK).json(&serde_json::json!({ "name": name, "tags": page.names }));
    if let Some(last) = page.names.last().filter(|_| page.more) {
        let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
        answer = answer.next(&format!("/v2/{name}/tags/list?n={n}&last={last}"));
    }
    Ok(answer.done())
}

/// A descriptor in the index of referrers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferrerDescriptor<'r> {
    media_type: &'r str,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'r RawValue>,
}

/// `GET /v2/<name>/referrers/<digest>`: 200 with an index, empty for a digest that nobody refers to.
pub(crate) async fn referrers<B>(
    call: Call<'_, B>,
    name: &PackageName,
    last: &str,
) -> Result<Response<Body>, OciError> {
    let subject: Digest = last.parse()?;
    let types = artifact_types(&call)?;
    let after = match call.query.get("after") {
        None => 0,
        Some(text) => text.parse::<i64>().ok().filter(|after| *after >= 0).ok_or_else(|| {
            OciError::bad_request(
                ErrorCode::PaginationNumberInvalid,
                "`after` comes from the `Link` of the page before",
            )
        })?,
    };
    let page = call.service.referrers(&call.shown, name, subject, types.clone(), after).await;
    let page =
        page.map_err(|error| OciError::list(&error, &call.challenge.package(name.as_str(), "pull")))?;
    let descriptors: Vec<ReferrerDescriptor<'_>> = page
        .referrers
        .iter()
        .map(|referrer| ReferrerDescriptor {
            media_type: &referrer.media_type,
            digest: referrer.digest.to_string(),
            size: referrer.size,
            artifact_type: referrer.artifact_type.as_deref(),
            annotations: referrer.annotations.as_deref().and_then(|json| serde_json::from_str(json).ok()),
        })
        .collect();
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors });
    let mut answer = Answer::new(StatusCode::OK).typed(OCI_INDEX, index.to_string());
    if !types.is_empty() {
        answer = answer.header(OCI_FILTERS_APPLIED, "artifactType");
    }
    if let Some(next) = page.next {
        let filter: String = types
            .iter()
            .map(|wanted| format!("&artifactType={}", utf8_percent_encode(wanted, NON_ALPHANUMERIC)))
            .collect();
        answer = answer.next(&format!("/v2/{name}/referrers/{subject}?after={next}{filter}"));
    }
    Ok(answer.done())
}

fn artifact_types<B>(call: &Call<'_, B>) -> Result<Vec<String>, OciError> {
    let mut types: Vec<String> = Vec::new();
    for wanted in call.query.all("artifactType") {
        // Artifact types are media types by convention only; what cannot be one at all is a mistake.
        let odd = wanted.is_empty()
            || wanted.len() > 255
            || wanted.chars().any(|c| c.is_control() || c.is_whitespace());
        if odd {
            let message = "`artifactType` is a media type, such as `application/vnd.example+json`";
            return Err(OciError::bad_request(ErrorCode::Unsupported, message));
        }
        if !types.iter().any(|known| known == wanted) {
            types.push(wanted.to_owned());
        }
    }
    if types.len() > Service::ARTIFACT_TYPES_MAX {
        let message = format!("filter by at most {} artifact types at once", Service::ARTIFACT_TYPES_MAX);
        return Err(OciError::bad_request(ErrorCode::Unsupported, message));
    }
    Ok(types)
}
