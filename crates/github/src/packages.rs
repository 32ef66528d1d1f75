//! Packages of the caller, a user or an organization: the same under `/user`, `/users/{username}` and `/orgs/{org}`.

use crate::call::Call;
use crate::error::ApiError;
use crate::respond::Answer;
use crate::simple::{MinimalRepository, SimpleUser, time};
use crate::urls::{Urls, segment};
use packhouse_service::{
    AccountKind, Namespace, PackageError, PackageRecord, PackagesAsked, Visibility, Window,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The types that GitHub knows. Only containers are kept here, so the others are always empty.
pub(crate) const TYPES: &[&str] = &["npm", "maven", "rubygems", "docker", "nuget", "container"];
const CONTAINER: &str = "container";

/// GitHub's `package`, with what it keeps to itself besides.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package")]
pub(crate) struct Package {
    id: i64,
    name: String,
    package_type: &'static str,
    owner: SimpleUser,
    /// Versions that are no parts of others.
    version_count: u64,
    visibility: &'static str,
    url: String,
    html_url: String,
    created_at: String,
    updated_at: String,
    /// Set on those that can be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
    /// Absent when there is none, or none that the caller may see.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<MinimalRepository>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    licenses: Option<String>,
    /// Whether its access is the repository's.
    inherits_access: bool,
    /// How often its manifests were fetched.
    download_count: u64,
    /// Versions that are parts of others: children of indexes and referrers.
    part_count: u64,
    /// Versions with a tag.
    tagged_version_count: u64,
}

/// The path of a package below the API or the pages, without the type: `/orgs/acme/packages`.
pub(crate) fn family(package: &PackageRecord) -> String {
    let family = match package.owner.kind {
        AccountKind::Organization => "orgs",
        AccountKind::User | AccountKind::Robot => "users",
    };
    format!("/{family}/{}/packages", segment(&package.owner.login))
}

impl Package {
    fn new(package: &PackageRecord, urls: &Urls) -> Self {
        let (family, name) = (family(package), segment(package.name()));
        Package {
            id: package.id.0,
            name: package.name().to_owned(),
            package_type: CONTAINER,
            owner: SimpleUser::new(&package.owner, urls),
            version_count: package.version_count,
            visibility: package.visibility.as_str(),
            url: urls.api(&format!("{family}/{CONTAINER}/{name}")),
            html_url: urls.web(&format!("{family}/{CONTAINER}/package/{name}")),
            created_at: time(package.created_at.0),
            updated_at: time(package.updated_at.0),
            deleted_at: package.deleted_at.map(|at| time(at.0)),
            repository: package.repository.as_ref().map(|linked| MinimalRepository::new(linked, urls)),
            description: package.description.clone(),
            licenses: package.licenses.clone(),
            inherits_access: package.inherits,
            download_count: package.downloads,
            part_count: package.part_count,
            tagged_version_count: package.tagged_count,
        }
    }
}

/// What changes of a package; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "package-change")]
pub(crate) struct PackageChange {
    /// `public`, `private` or `internal`.
    #[serde(default)]
    visibility: Option<String>,
    /// Its new name, with inner slashes.
    #[serde(default)]
    name: Option<String>,
    /// Its new owner.
    #[serde(default)]
    owner: Option<String>,
}

/// What an error of the rules is to a client.
pub(crate) fn refused(error: &PackageError) -> ApiError {
    match error {
        PackageError::Denied(denied) => ApiError::denied(denied, "Package"),
        PackageError::VersionUnknown => ApiError::not_found("Package version"),
        PackageError::TagUnknown => ApiError::not_found("Tag"),
        PackageError::Part { part, whole } => {
            let tags = match whole.tags.as_slice() {
                [] => "which has no tag".to_owned(),
                [tag] => format!("tagged {tag}"),
                [first, rest @ ..] => format!("tagged {first} and {} more", rest.len()),
            };
            ApiError::unprocessable(format!(
                "Version {} is a part of version {} ({}, {tags}) and is deleted with it: delete that one instead.",
                part.id, whole.id, whole.digest
            ))
        }
        PackageError::LastTagged => ApiError::bad_request(
            "You cannot delete the last tagged version of a package. You must delete the package instead.",
        ),
        PackageError::LastVersion => ApiError::bad_request(
            "You cannot delete the last version of a package. You must delete the package instead.",
        ),
        PackageError::Downloaded { limit } => ApiError::bad_request(format!(
            "Publicly visible packages with a version with more than {limit} downloads cannot be deleted. The operator \
             can raise deleted_downloads_max, or make the package private first."
        )),
        PackageError::PushedAgain => ApiError::unprocessable(
            "The same manifest was pushed again since this version was deleted, so it can no longer be restored.",
        ),
        PackageError::Expired => {
            ApiError::not_found("The time to restore this version is over: package version")
        }
        PackageError::TagHeld(held) => ApiError::held(held),
        PackageError::NameTaken(name) => ApiError::unprocessable(format!(
            "The name {name} is taken by another package; rename or delete that one first."
        )),
        PackageError::Fault(fault) => ApiError::fault(fault),
    }
}

impl Call<'_> {
    /// Whose packages the path is about.
    pub(crate) async fn owner(&self) -> Result<packhouse_oci::AccountName, ApiError> {
        let asked = match (self.param("org"), self.param("username")) {
            ("", "") => Namespace::Own,
            ("", name) => Namespace::Named(name.to_owned()),
            (name, _) => Namespace::Organization(name.to_owned()),
        };
        self.service.namespace(&self.shown, asked).await.map_err(|error| match error {
            PackageError::Denied(denied) => ApiError::denied(&denied, ""),
            error => refused(&error),
        })
    }

    /// The package that the path names.
    pub(crate) async fn package(&self) -> Result<packhouse_oci::PackageName, ApiError> {
        let not_found = || ApiError::not_found("Package");
        let owner = self.owner().await?;
        match self.param("package_type") {
            CONTAINER => format!("{owner}/{}", self.param("package_name")).parse().map_err(|_| not_found()),
            _ => Err(not_found()),
        }
    }
}

/// A visibility by its word.
fn visibility(word: &str) -> Option<Visibility> {
    word.parse().ok()
}

/// `GET …/packages`.
pub(crate) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let known = call.query.get("package_type").filter(|word| TYPES.contains(word));
    let Some(package_type) = known else {
        return Err(ApiError::bad_request(format!(
            "Invalid argument. package_type is needed; it is one of {}.",
            TYPES.join(", ")
        )));
    };
    let visibility = call.query.word("visibility", visibility)?;
    let deleted = call.query.word("state", |word| match word {
        "active" => Some(false),
        "deleted" => Some(true),
        _ => None,
    })?;
    let asked = call.page()?;
    let owner = call.owner().await?;
    if package_type != CONTAINER {
        return Ok(call.list(&Vec::<Package>::new(), &asked, None, None));
    }
    let window = Window {
        after: asked.after.clone().unwrap_or_default(),
        skip: asked.offset(),
        limit: asked.per_page,
    };
    let wanted = PackagesAsked { visibility, deleted: deleted.unwrap_or(false), window };
    let page =
        call.service.packages_in(&call.shown, &owner, wanted).await.map_err(|error| refused(&error))?;
    let next = page.packages.last().filter(|_| page.more).map(|last| last.path.as_str());
    let packages: Vec<Package> = page.packages.iter().map(|one| Package::new(one, call.urls)).collect();
    Ok(call.list(&packages, &asked, next, page.total))
}

/// `GET …/packages/{package_type}/{package_name}`.
pub(crate) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    let package = call.service.package(&call.shown, &name).await.map_err(|error| refused(&error))?;
    Ok(Answer::ok(&Package::new(&package, call.urls)))
}

/// `DELETE …/packages/{package_type}/{package_name}`.
pub(crate) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    call.service.delete_package(&call.shown, &name).await.map_err(|error| refused(&error))?;
    Ok(Answer::no_content())
}

/// `POST …/packages/{package_type}/{package_name}/restore`. GitHub's `token` parameter is taken and not needed.
pub(crate) async fn restore(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    call.service.restore_package(&call.shown, &name).await.map_err(|error| refused(&error))?;
    Ok(Answer::no_content())
}

/// `PATCH …/packages/{package_type}/{package_name}`: what GitHub has for its pages only.
pub(crate) async fn change(call: Call<'_>) -> Result<Answer, ApiError> {
    let wanted: PackageChange = call.json("Package")?;
    let mut name = call.package().await?;
    if wanted.visibility.is_some() && (wanted.name.is_some() || wanted.owner.is_some()) {
        // Two transactions could do one half.
        return Err(ApiError::unprocessable("Change the visibility and the name in two requests."));
    }
    if let Some(word) = &wanted.visibility {
        let visibility = self::visibility(word).ok_or_else(|| {
            ApiError::unprocessable("The visibility of a package is one of public, private, internal.")
        })?;
        set_visibility(&call, &name, visibility).await?;
    }
    if wanted.name.is_some() || wanted.owner.is_some() {
        let (owner, rest) = name.as_str().split_once('/').unwrap_or((name.as_str(), ""));
        let owner = wanted.owner.as_deref().unwrap_or(owner).to_lowercase();
        let rest = wanted.name.as_deref().unwrap_or(rest);
        let to: packhouse_oci::PackageName = format!("{owner}/{rest}").parse().map_err(|_| {
            ApiError::unprocessable(
                "A package's name has small letters and digits, with single separators (., _, __, - or /) between.",
            )
        })?;
        if to != name {
            call.service.move_package(&call.shown, &name, &to).await.map_err(|error| refused(&error))?;
            name = to;
        }
    }
    let package = call.service.package(&call.shown, &name).await.map_err(|error| refused(&error))?;
    Ok(Answer::ok(&Package::new(&package, call.urls)))
}

pub(crate) async fn set_visibility(
    call: &Call<'_>,
    name: &packhouse_oci::PackageName,
    visibility: Visibility,
) -> Result<(), ApiError> {
    let set = call.service.set_package_visibility(&call.shown, name, visibility).await;
    set.map_err(|error| refused(&error))
}

/// `GET …/docker/conflicts`: names that were in two of GitHub's registries at once. There was one registry here ever.
pub(crate) async fn conflicts(call: Call<'_>) -> Result<Answer, ApiError> {
    let owner = call.owner().await?;
    let wanted = PackagesAsked { window: Window::first(1), ..PackagesAsked::default() };
    call.service.packages_in(&call.shown, &owner, wanted).await.map_err(|error| refused(&error))?;
    Ok(Answer::ok(&Vec::<Package>::new()))
}
