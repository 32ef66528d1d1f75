//! Teams, their members and their repositories.

use crate::call::Call;
use crate::error::ApiError;
use crate::node_id::node_id;
use crate::orgs::{Org, org};
use crate::repos::{Repo, RoleWord, repo};
use crate::respond::Answer;
use crate::simple::{SimpleUser, time};
use crate::urls::{Urls, segment};
use crate::users::{emptied, listed, plainly, present, window};
use http::header::ACCEPT;
use packhouse_service::{NewTeam, ParentChosen, RepositoryRole, Team, TeamAbove, TeamChange, TeamMember};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A team above another: GitHub's `team-simple`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "team-simple")]
pub(crate) struct TeamSimple {
    id: i64,
    node_id: String,
    url: String,
    html_url: String,
    name: String,
    slug: String,
    description: Option<String>,
    privacy: &'static str,
    notification_setting: &'static str,
    permission: &'static str,
    members_url: String,
    repositories_url: String,
    #[serde(rename = "type")]
    kind: &'static str,
    organization_id: i64,
}

/// A team in a list: GitHub's `team`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "team")]
pub(crate) struct TeamListed {
    #[serde(flatten)]
    team: TeamSimple,
    parent: Option<TeamSimple>,
}

/// A team: GitHub's `team-full`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "team-full")]
pub(crate) struct TeamFull {
    #[serde(flatten)]
    team: TeamListed,
    created_at: String,
    updated_at: String,
    members_count: u64,
    repos_count: u64,
    organization: Org,
}

/// A place in a team: GitHub's `team-membership`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "team-membership")]
pub(crate) struct TeamMembership {
    url: String,
    role: &'static str,
    state: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Privacy {
    Secret,
    Closed,
}

/// A team to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "team-new")]
pub(crate) struct TeamBody {
    name: String,
    #[serde(default)]
    description: Option<String>,
    /// Logins of members who maintain it from the start.
    #[serde(default)]
    maintainers: Vec<String>,
    #[serde(default)]
    privacy: Option<Privacy>,
    #[serde(default)]
    parent_team_id: Option<i64>,
}

/// What changes of a team; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "team-change")]
pub(crate) struct TeamChangeBody {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    description: Option<Option<String>>,
    #[serde(default)]
    privacy: Option<Privacy>,
    #[serde(default, deserialize_with = "present")]
    parent_team_id: Option<Option<i64>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TeamRole {
    #[default]
    Member,
    Maintainer,
}

/// A place in a team to give.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "team-membership-change")]
pub(crate) struct TeamMembershipBody {
    #[serde(default)]
    role: TeamRole,
}

/// A role of a team in a repository to give.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "team-repository-change")]
pub(crate) struct TeamRepositoryBody {
    /// `pull` when it is absent.
    #[serde(default)]
    permission: Option<RoleWord>,
}

fn team_url(urls: &Urls, org: &str, slug: &str) -> String {
    urls.api(&format!("/orgs/{}/teams/{}", segment(org), segment(slug)))
}

fn above(urls: &Urls, org: &str, organization: i64, team: &TeamAbove) -> TeamSimple {
    let url = team_url(urls, org, &team.slug);
    TeamSimple {
        id: team.id.0,
        node_id: node_id("Team", team.id.0),
        html_url: urls.web(&format!("/orgs/{}/teams/{}", segment(org), segment(&team.slug))),
        name: team.name.clone(),
        slug: team.slug.clone(),
        description: team.description.clone(),
        privacy: if team.secret { "secret" } else { "closed" },
        notification_setting: "notifications_enabled",
        permission: "pull",
        members_url: format!("{url}/members{{/member}}"),
        repositories_url: format!("{url}/repos"),
        kind: "organization",
        organization_id: organization,
        url,
    }
}

/// A team in a list.
pub(crate) fn team_listed(urls: &Urls, team: &Team) -> TeamListed {
    let (org, organization) = (team.organization.login.as_str(), team.organization.id.0);
    let own = TeamAbove {
        id: team.id,
        slug: team.slug.clone(),
        name: team.name.clone(),
        description: team.description.clone(),
        secret: team.secret,
    };
    TeamListed {
        team: above(urls, org, organization, &own),
        parent: team.parent.as_ref().map(|parent| above(urls, org, organization, parent)),
    }
}

fn team_full(urls: &Urls, team: &Team) -> TeamFull {
    TeamFull {
        team: team_listed(urls, team),
        created_at: time(team.created_at.0),
        updated_at: time(team.updated_at.0),
        members_count: team.members,
        repos_count: team.repositories,
        organization: org(urls, &team.organization),
    }
}

fn place(call: &Call<'_>, maintainer: bool) -> TeamMembership {
    let url = team_url(call.urls, call.param("org"), call.param("team_slug"));
    TeamMembership {
        url: format!("{url}/memberships/{}", segment(call.param("username"))),
        role: if maintainer { "maintainer" } else { "member" },
        state: "active",
    }
}

/// `GET /orgs/{org}/teams`.
pub(crate) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    let found = call.service.teams(&call.shown, call.param("org"), window(&asked)).await;
    let rows = found.map_err(plainly)?;
    Ok(listed(&call, &asked, &rows, |team| team.slug.clone(), |team| team_listed(call.urls, team)))
}

/// `GET /user/teams`.
pub(crate) async fn own(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    let rows = call.service.own_teams(&call.shown, window(&asked)).await.map_err(plainly)?;
    let key = |team: &Team| format!("{} {}", team.organization.name, team.slug);
    Ok(listed(&call, &asked, &rows, key, |team| team_full(call.urls, team)))
}

/// `POST /orgs/{org}/teams`.
pub(crate) async fn create(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: TeamBody = call.json("Team")?;
    // As on GitHub, a team is secret unless it is said or stands below another.
    let secret = match body.privacy {
        Some(privacy) => privacy == Privacy::Secret,
        None => body.parent_team_id.is_none(),
    };
    let new = NewTeam {
        name: body.name,
        description: body.description,
        secret,
        parent: body.parent_team_id.map(ParentChosen::Id),
        maintainers: body.maintainers,
    };
    let made = call.service.create_team(&call.shown, call.param("org"), new).await.map_err(plainly)?;
    Ok(Answer::created(&team_full(call.urls, &made)))
}

/// `GET /orgs/{org}/teams/{team_slug}`.
pub(crate) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let found = call.service.team(&call.shown, call.param("org"), call.param("team_slug")).await;
    Ok(Answer::ok(&team_full(call.urls, &found.map_err(plainly)?)))
}

/// `PATCH /orgs/{org}/teams/{team_slug}`.
pub(crate) async fn change(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: TeamChangeBody = call.json("Team")?;
    let change = TeamChange {
        name: body.name,
        description: emptied(body.description),
        secret: body.privacy.map(|privacy| privacy == Privacy::Secret),
        parent: body.parent_team_id.map(|parent| parent.map(ParentChosen::Id)),
    };
    let (org, slug) = (call.param("org"), call.param("team_slug"));
    let changed = call.service.change_team(&call.shown, org, slug, change).await.map_err(plainly)?;
    Ok(Answer::ok(&team_full(call.urls, &changed)))
}

/// `DELETE /orgs/{org}/teams/{team_slug}`.
pub(crate) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let (org, slug) = (call.param("org"), call.param("team_slug"));
    call.service.delete_team(&call.shown, org, slug).await.map_err(plainly)?;
    Ok(Answer::no_content())
}

/// `GET /orgs/{org}/teams/{team_slug}/teams`.
pub(crate) async fn below(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    let (org, slug) = (call.param("org"), call.param("team_slug"));
    let rows = call.service.teams_below(&call.shown, org, slug, window(&asked)).await.map_err(plainly)?;
    Ok(listed(&call, &asked, &rows, |team| team.slug.clone(), |team| team_listed(call.urls, team)))
}

/// `GET /orgs/{org}/teams/{team_slug}/members`.
pub(crate) async fn members(call: Call<'_>) -> Result<Answer, ApiError> {
    let role = call.query.word("role", |word| match word {
        "all" => Some(None),
        "maintainer" => Some(Some(true)),
        "member" => Some(Some(false)),
        _ => None,
    })?;
    let asked = call.page()?;
    let (org, slug) = (call.param("org"), call.param("team_slug"));
    let found = call.service.team_members(&call.shown, org, slug, role.flatten(), window(&asked)).await;
    let rows = found.map_err(plainly)?;
    let show = |member: &TeamMember| -> SimpleUser { SimpleUser::of(&member.account, call.urls) };
    Ok(listed(&call, &asked, &rows, |member| member.account.name.clone(), show))
}

/// `GET /orgs/{org}/teams/{team_slug}/memberships/{username}`.
pub(crate) async fn get_membership(call: Call<'_>) -> Result<Answer, ApiError> {
    let (org, slug, name) = (call.param("org"), call.param("team_slug"), call.param("username"));
    let maintainer = call.service.team_membership(&call.shown, org, slug, name).await.map_err(plainly)?;
    Ok(Answer::ok(&place(&call, maintainer)))
}

/// `PUT /orgs/{org}/teams/{team_slug}/memberships/{username}`.
pub(crate) async fn put_membership(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: TeamMembershipBody = call.json("TeamMember")?;
    let maintainer = body.role == TeamRole::Maintainer;
    let (org, slug, name) = (call.param("org"), call.param("team_slug"), call.param("username"));
    call.service.put_team_member(&call.shown, org, slug, name, maintainer).await.map_err(plainly)?;
    Ok(Answer::ok(&place(&call, maintainer)))
}

/// `DELETE /orgs/{org}/teams/{team_slug}/memberships/{username}`.
pub(crate) async fn remove_membership(call: Call<'_>) -> Result<Answer, ApiError> {
    let (org, slug, name) = (call.param("org"), call.param("team_slug"), call.param("username"));
    call.service.remove_team_member(&call.shown, org, slug, name).await.map_err(plainly)?;
    Ok(Answer::no_content())
}

/// `GET /orgs/{org}/teams/{team_slug}/repos`.
pub(crate) async fn repositories(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    let (org, slug) = (call.param("org"), call.param("team_slug"));
    let found = call.service.team_repositories(&call.shown, org, slug, window(&asked)).await;
    let rows = found.map_err(plainly)?;
    let show = |(found, role): &(packhouse_service::Repository, RepositoryRole)| -> Repo {
        repo(call.urls, found, Some(*role))
    };
    Ok(listed(&call, &asked, &rows, |(found, _)| found.path.clone(), show))
}

fn repository_path(call: &Call<'_>) -> String {
    format!("{}/{}", call.param("owner"), call.param("repo"))
}

/// `GET /orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}`: 204, or the repository with the media type for it.
pub(crate) async fn repository(call: Call<'_>) -> Result<Answer, ApiError> {
    let (org, slug) = (call.param("org"), call.param("team_slug"));
    let found = call.service.team_repository(&call.shown, org, slug, &repository_path(&call)).await;
    let (found, role) = found.map_err(plainly)?;
    let accept = call.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("repository+json") {
        return Ok(Answer::ok(&repo(call.urls, &found, Some(role))));
    }
    Ok(Answer::no_content())
}

/// `PUT /orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}`.
pub(crate) async fn put_repository(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: TeamRepositoryBody = call.json("TeamRepository")?;
    let role = body.permission.map_or(RepositoryRole::Read, RepositoryRole::from);
    let (org, slug) = (call.param("org"), call.param("team_slug"));
    let path = repository_path(&call);
    call.service.set_team_role(&call.shown, org, slug, &path, Some(role)).await.map_err(plainly)?;
    Ok(Answer::no_content())
}

/// `DELETE /orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}`.
pub(crate) async fn remove_repository(call: Call<'_>) -> Result<Answer, ApiError> {
    let (org, slug) = (call.param("org"), call.param("team_slug"));
    let path = repository_path(&call);
    call.service.set_team_role(&call.shown, org, slug, &path, None).await.map_err(plainly)?;
    Ok(Answer::no_content())
}
