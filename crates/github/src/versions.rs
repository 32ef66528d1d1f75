//! Versions and tags of a package.

use crate::call::Call;
use crate::error::ApiError;
use crate::packages::{family, refused, set_visibility};
use crate::respond::Answer;
use crate::simple::time;
use crate::urls::{Urls, segment};
use packhouse_service::{PackageRecord, Pulls, TagRow, Version as Found, VersionsShown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// GitHub's `package-version`, with what it keeps to itself besides.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-version")]
pub(crate) struct Version {
    id: i64,
    /// The digest of the manifest.
    name: String,
    url: String,
    package_html_url: String,
    html_url: String,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
    metadata: Metadata,
    media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    /// Bytes of the manifest.
    size: u64,
    /// How often the manifest was fetched.
    download_count: u64,
    /// When it was fetched last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_pulled_at: Option<String>,
    /// The version that it is deleted and restored with.
    #[serde(skip_serializing_if = "Option::is_none")]
    part_of: Option<Whole>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-version-metadata")]
struct Metadata {
    package_type: &'static str,
    container: Container,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-version-container")]
struct Container {
    tags: Vec<String>,
}

/// A version that another one is a part of.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-version-whole")]
struct Whole {
    id: i64,
    name: String,
    url: String,
}

impl Version {
    fn new(version: &Found, package: &PackageRecord, urls: &Urls) -> Self {
        let (family, name) = (family(package), segment(package.name()));
        let url = |id: i64| urls.api(&format!("{family}/container/{name}/versions/{id}"));
        Version {
            id: version.id.0,
            name: version.digest.to_string(),
            url: url(version.id.0),
            package_html_url: urls.web(&format!("{family}/container/package/{name}")),
            html_url: urls.web(&format!("{family}/container/{name}/{}", version.id.0)),
            created_at: time(version.created_at.0),
            updated_at: time(version.updated_at.0),
            deleted_at: version.deleted_at.map(|at| time(at.0)),
            metadata: Metadata {
                package_type: "container",
                container: Container { tags: version.tags.clone() },
            },
            media_type: version.media_type.clone(),
            artifact_type: version.artifact_type.clone(),
            size: version.size,
            download_count: version.downloads,
            last_pulled_at: version.last_pulled_at.map(|at| time(at.0)),
            part_of: version.whole.map(|(id, digest)| Whole {
                id: id.0,
                name: digest.to_string(),
                url: url(id.0),
            }),
        }
    }
}

/// The form of the visibility that GitHub's own guides guess.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "package-version-change")]
pub(crate) struct VersionChange {
    /// Of the whole package: `public`, `private` or `internal`.
    visibility: String,
}

/// A tag, where it points, and since when.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-tag")]
pub(crate) struct Tag {
    name: String,
    version: TagVersion,
    /// Since when it points there.
    valid_from: String,
    /// Until when; absent: it does now.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_to: Option<String>,
    /// Who made it point there.
    moved_by: Option<String>,
    /// How often it was pulled, wherever it pointed.
    #[serde(skip_serializing_if = "Option::is_none")]
    download_count: Option<u64>,
    /// When it was pulled last, wherever it pointed.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_pulled_at: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-tag-version")]
struct TagVersion {
    id: i64,
    name: String,
}

impl Tag {
    pub(crate) fn new(row: &TagRow, pulls: Option<Pulls>) -> Self {
        Tag {
            name: row.name.clone(),
            version: TagVersion { id: row.version.0, name: row.digest.to_string() },
            valid_from: time(row.valid_from.0),
            valid_to: row.valid_to.map(|at| time(at.0)),
            moved_by: row.moved_by.clone(),
            download_count: pulls.map(|pulls| pulls.count),
            last_pulled_at: pulls.and_then(|pulls| pulls.last_at).map(|at| time(at.0)),
        }
    }
}

/// Which versions the query asks for.
fn wanted(call: &Call<'_>) -> Result<VersionsShown, ApiError> {
    let tag = call.query.word("tag", |word| word.parse().ok())?;
    let digest = call.query.word("digest", |word| word.parse().ok())?;
    let deleted = call.query.word("state", |word| match word {
        "active" => Some(false),
        "deleted" => Some(true),
        _ => None,
    })?;
    let parts = call.query.word("include", |word| (word == "parts").then_some(()))?;
    match (tag, digest, deleted.unwrap_or(false), parts) {
        (None, None, true, None) => Ok(VersionsShown::Deleted),
        (None, None, false, Some(())) => Ok(VersionsShown::WithParts),
        (None, None, false, None) => Ok(VersionsShown::Active),
        (Some(tag), None, false, _) => Ok(VersionsShown::Tagged(tag)),
        (None, Some(digest), false, _) => Ok(VersionsShown::Digest(digest)),
        _ => Err(ApiError::unprocessable(
            "Ask for one thing at a time: tag, digest, include=parts or state=deleted.",
        )),
    }
}

/// `GET …/versions`.
pub(crate) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let (wanted, asked) = (wanted(&call)?, call.page()?);
    let before = match &asked.after {
        Some(key) => Some(key.parse().map_err(|_| ApiError::bad_request("The key of the page is not one."))?),
        None => None,
    };
    let name = call.package().await?;
    let package = call.service.package(&call.shown, &name).await.map_err(|error| refused(&error))?;
    let page =
        call.service.versions(&call.shown, &name, wanted, before, asked.offset(), asked.per_page).await;
    let page = page.map_err(|error| refused(&error))?;
    let next = page.versions.last().filter(|_| page.more).map(|last| last.id.to_string());
    let versions: Vec<Version> =
        page.versions.iter().map(|one| Version::new(one, &package, call.urls)).collect();
    Ok(call.list(&versions, &asked, next.as_deref(), page.total))
}

/// `GET …/versions/{package_version_id}`.
pub(crate) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    let id = call.id("package_version_id", "Package version")?;
    let package = call.service.package(&call.shown, &name).await.map_err(|error| refused(&error))?;
    let version = call.service.version(&call.shown, &name, id).await.map_err(|error| refused(&error))?;
    Ok(Answer::ok(&Version::new(&version, &package, call.urls)))
}

/// `DELETE …/versions/{package_version_id}`.
pub(crate) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    let id = call.id("package_version_id", "Package version")?;
    call.service.delete_version(&call.shown, &name, id).await.map_err(|error| refused(&error))?;
    Ok(Answer::no_content())
}

/// `POST …/versions/{package_version_id}/restore`.
pub(crate) async fn restore(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    let id = call.id("package_version_id", "Package version")?;
    call.service.restore_version(&call.shown, &name, id).await.map_err(|error| refused(&error))?;
    Ok(Answer::no_content())
}

/// `PATCH …/versions/{package_version_id}`: visibility is the package's, so this changes that of all versions.
pub(crate) async fn change(call: Call<'_>) -> Result<Answer, ApiError> {
    let wanted: VersionChange = call.json("PackageVersion")?;
    let visibility = wanted.visibility.parse().map_err(|_| {
        ApiError::unprocessable("The visibility of a package is one of public, private, internal.")
    })?;
    let name = call.package().await?;
    let id = call.id("package_version_id", "Package version")?;
    let version = call.service.version(&call.shown, &name, id).await.map_err(|error| refused(&error))?;
    set_visibility(&call, &name, visibility).await?;
    let package = call.service.package(&call.shown, &name).await.map_err(|error| refused(&error))?;
    Ok(Answer::ok(&Version::new(&version, &package, call.urls)))
}

/// `GET …/tags`.
pub(crate) async fn tags(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    if asked.offset() > 0 {
        return Err(ApiError::bad_request("Follow the links of the pages: tags are paged by key."));
    }
    let name = call.package().await?;
    let after = asked.after.clone().unwrap_or_default();
    let rows = call.service.tags_of(&call.shown, &name, after, asked.per_page + 1).await;
    let mut rows = rows.map_err(|error| refused(&error))?;
    let more = rows.len() > asked.per_page as usize;
    rows.truncate(asked.per_page as usize);
    let next = rows.last().filter(|_| more).map(|(row, _)| row.name.as_str());
    let tags: Vec<Tag> = rows.iter().map(|(row, pulls)| Tag::new(row, Some(*pulls))).collect();
    Ok(call.list(&tags, &asked, next, None))
}

/// `GET …/tags/{tag}/history`.
pub(crate) async fn history(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    if asked.offset() > 0 {
        return Err(ApiError::bad_request("Follow the links of the pages: a history is paged by key."));
    }
    let before = match &asked.after {
        Some(key) => Some(key.parse().map_err(|_| ApiError::bad_request("The key of the page is not one."))?),
        None => None,
    };
    let name = call.package().await?;
    let tag = call.param("tag").parse().map_err(|_| ApiError::not_found("Tag"))?;
    let rows = call.service.tag_history(&call.shown, &name, &tag, before, asked.per_page + 1).await;
    let mut rows = rows.map_err(|error| refused(&error))?;
    let more = rows.len() > asked.per_page as usize;
    rows.truncate(asked.per_page as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let tags: Vec<Tag> = rows.iter().map(|row| Tag::new(row, None)).collect();
    Ok(call.list(&tags, &asked, next.as_deref(), None))
}

/// `DELETE …/tags/{tag}`.
pub(crate) async fn delete_tag(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    let tag = call.param("tag").parse().map_err(|_| ApiError::not_found("Tag"))?;
    call.service.delete_tag(&call.shown, &name, &tag).await.map_err(|error| refused(&error))?;
    Ok(Answer::no_content())
}
