//! Who has a role on a package, and the repository it is linked to. GitHub has this on its pages only; the manner is
//! that of its API.

use crate::call::Call;
use crate::error::{ApiError, Field};
use crate::manage;
use crate::respond::Answer;
use crate::simple::{MinimalRepository, SimpleUser};
use crate::teams::{TeamListed, team_listed};
use packhouse_service::{Grantee, ManageError, PackageAccess, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A role on a package.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RoleWord {
    Read,
    Write,
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Read => Role::Read,
            RoleWord::Write => Role::Write,
            RoleWord::Admin => Role::Admin,
        }
    }
}

/// A user or a robot with a role.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-access-user")]
struct UserAccess {
    #[serde(flatten)]
    user: SimpleUser,
    role: &'static str,
}

/// A team with a role.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-access-team")]
struct TeamAccess {
    #[serde(flatten)]
    team: TeamListed,
    role: &'static str,
}

/// A repository whose workflows have a role.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-access-repository")]
struct RepositoryAccess {
    #[serde(flatten)]
    repository: MinimalRepository,
    role: &'static str,
}

/// Who has a role on a package.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-access")]
pub(crate) struct Access {
    /// Whether it is the linked repository's access, in place of the lists here.
    inherits_access: bool,
    /// The linked repository.
    repository: Option<MinimalRepository>,
    users: Vec<UserAccess>,
    teams: Vec<TeamAccess>,
    repositories: Vec<RepositoryAccess>,
}

/// A switch of inheritance.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "package-access-change")]
pub(crate) struct AccessBody {
    /// On needs a linked repository and drops the package's own roles.
    inherits_access: bool,
}

/// A role to give.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "package-role")]
pub(crate) struct RoleBody {
    role: RoleWord,
}

/// A repository to link.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "package-link")]
pub(crate) struct LinkBody {
    /// Its name; it has the package's owner.
    repository: String,
    /// Whether the package has its access from now on, and no roles of its own.
    #[serde(default)]
    inherits_access: bool,
}

/// Whose absence an error is about: the package's own is said as everywhere else.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn refused(error: ManageError) -> ApiError {
    match &error {
        ManageError::Denied(_) => manage::refused(&error, "Package"),
        ManageError::Unknown { what: "user", .. } => manage::refused(&error, "User"),
        ManageError::Unknown { what: "team", .. } => manage::refused(&error, "Team"),
        ManageError::Unknown { what: "repository", .. } => manage::refused(&error, "Repository"),
        _ => manage::refused(&error, ""),
    }
}

async fn shown(call: &Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    let found: PackageAccess = call.service.package_access(&call.shown, &name).await.map_err(refused)?;
    let urls = call.urls;
    let users = found.accounts.iter();
    let teams = found.teams.iter();
    let repositories = found.repositories.iter();
    Ok(Answer::ok(&Access {
        inherits_access: found.inherits,
        repository: found.repository.as_ref().map(|repository| MinimalRepository::new(repository, urls)),
        users: users
            .map(|(user, role)| UserAccess { user: SimpleUser::of(user, urls), role: role.as_str() })
            .collect(),
        teams: teams
            .map(|(team, role)| TeamAccess { team: team_listed(urls, team), role: role.as_str() })
            .collect(),
        repositories: repositories
            .map(|(one, role)| RepositoryAccess {
                repository: MinimalRepository::new(one, urls),
                role: role.as_str(),
            })
            .collect(),
    }))
}

async fn grant(call: Call<'_>, to: Grantee) -> Result<Answer, ApiError> {
    let body: RoleBody = call.json("PackageAccess")?;
    let name = call.package().await?;
    call.service.grant_on_package(&call.shown, &name, to, body.role.into()).await.map_err(refused)?;
    Ok(Answer::no_content())
}

async fn revoke(call: Call<'_>, from: Grantee) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    call.service.revoke_on_package(&call.shown, &name, from).await.map_err(refused)?;
    Ok(Answer::no_content())
}

/// `GET …/access`.
pub(crate) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    shown(&call).await
}

/// `PATCH …/access`.
pub(crate) async fn change(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: AccessBody = call.json("PackageAccess")?;
    let name = call.package().await?;
    call.service.set_package_inherits(&call.shown, &name, body.inherits_access).await.map_err(refused)?;
    shown(&call).await
}

/// `PUT …/access/users/{grantee}`.
pub(crate) async fn put_user(call: Call<'_>) -> Result<Answer, ApiError> {
    let to = Grantee::Account(call.param("grantee").to_owned());
    grant(call, to).await
}

/// `DELETE …/access/users/{grantee}`.
pub(crate) async fn remove_user(call: Call<'_>) -> Result<Answer, ApiError> {
    let from = Grantee::Account(call.param("grantee").to_owned());
    revoke(call, from).await
}

/// `PUT …/access/teams/{team_slug}`.
pub(crate) async fn put_team(call: Call<'_>) -> Result<Answer, ApiError> {
    let to = Grantee::Team(call.param("team_slug").to_owned());
    grant(call, to).await
}

/// `DELETE …/access/teams/{team_slug}`.
pub(crate) async fn remove_team(call: Call<'_>) -> Result<Answer, ApiError> {
    let from = Grantee::Team(call.param("team_slug").to_owned());
    revoke(call, from).await
}

/// `PUT …/access/repositories/{repo}`.
pub(crate) async fn put_repository(call: Call<'_>) -> Result<Answer, ApiError> {
    let to = Grantee::Repository(call.param("repo").to_owned());
    grant(call, to).await
}

/// `DELETE …/access/repositories/{repo}`.
pub(crate) async fn remove_repository(call: Call<'_>) -> Result<Answer, ApiError> {
    let from = Grantee::Repository(call.param("repo").to_owned());
    revoke(call, from).await
}

/// `PUT …/repository`.
pub(crate) async fn link(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: LinkBody = call.json("PackageLink")?;
    let name = call.package().await?;
    let linked = call.service.link_package(&call.shown, &name, &body.repository, body.inherits_access).await;
    linked.map_err(refused)?;
    shown(&call).await
}

/// `DELETE …/repository`.
pub(crate) async fn unlink(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    call.service.unlink_package(&call.shown, &name).await.map_err(refused)?;
    Ok(Answer::no_content())
}

/// Why somebody may do something to a package, or why not.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "access-explanation")]
pub(crate) struct Explained {
    user: String,
    package: String,
    action: String,
    /// Whether they may, with a token of all scopes.
    allowed: bool,
    /// The decision as a sentence.
    decision: String,
    /// Every role they have on it, the highest first.
    roles: Vec<ExplainedRole>,
}

/// A role and where it comes from.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "access-explanation-role")]
struct ExplainedRole {
    role: String,
    because: String,
}

/// `GET /admin/access`: for who administers the site.
pub(crate) async fn explain(call: Call<'_>) -> Result<Answer, ApiError> {
    let needed = |name: &'static str| {
        call.query.get(name).ok_or_else(|| ApiError::invalid_query(vec![Field::missing("Access", name)]))
    };
    let action = call.query.get("action").unwrap_or("pull");
    let explained = call.service.explain(&call.shown, needed("user")?, needed("package")?, action).await;
    let explained = explained.map_err(|error| manage::refused(&error, ""))?;
    let roles = explained.roles.into_iter();
    Ok(Answer::ok(&Explained {
        user: explained.user,
        package: explained.package,
        action: explained.action,
        allowed: explained.allowed,
        decision: explained.decision,
        roles: roles.map(|reason| ExplainedRole { role: reason.role, because: reason.because }).collect(),
    }))
}
