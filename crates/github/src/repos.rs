//! Repositories and who works on them.

use crate::call::Call;
use crate::error::{ApiError, Field};
use crate::orgs::VisibilityWord;
use crate::respond::Answer;
use crate::simple::{MinimalRepository, SimpleUser, time};
use crate::teams::{TeamListed, team_listed};
use crate::urls::{Urls, segment};
use crate::users::{emptied, listed, only, plainly, present, window};
use packhouse_service::{
    AccountKind, Affiliation, Affiliations, Collaborator, Denied, ManageError, NewRepository, Refusal,
    Repository, RepositoryChange, RepositoryRole, RepositorySeen, Team, Visibility,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one may do in a repository, in GitHub's five flags.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "repository-permissions")]
pub(crate) struct Permissions {
    admin: bool,
    maintain: bool,
    push: bool,
    triage: bool,
    pull: bool,
}

/// A repository: GitHub's `full-repository`, of which its other forms are parts. What git, issues and pages would
/// fill is empty.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "repository")]
pub(crate) struct Repo {
    #[serde(flatten)]
    repository: MinimalRepository,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<SimpleUser>,
    git_url: String,
    ssh_url: String,
    clone_url: String,
    svn_url: String,
    mirror_url: Option<String>,
    language: Option<String>,
    license: Option<String>,
    disabled: bool,
    is_template: bool,
    topics: Vec<String>,
    has_issues: bool,
    has_projects: bool,
    has_wiki: bool,
    has_pages: bool,
    has_downloads: bool,
    has_discussions: bool,
    allow_forking: bool,
    web_commit_signoff_required: bool,
    forks: u64,
    forks_count: u64,
    stargazers_count: u64,
    watchers: u64,
    watchers_count: u64,
    open_issues: u64,
    open_issues_count: u64,
    network_count: u64,
    subscribers_count: u64,
    size: u64,
    pushed_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Permissions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_name: Option<&'static str>,
}

/// Who works on a repository: GitHub's `collaborator`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "collaborator")]
pub(crate) struct CollaboratorView {
    #[serde(flatten)]
    user: SimpleUser,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Permissions>,
    role_name: &'static str,
}

/// What somebody may do in a repository: GitHub's `repository-collaborator-permission`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "repository-collaborator-permission")]
pub(crate) struct CollaboratorPermission {
    permission: &'static str,
    role_name: &'static str,
    user: CollaboratorView,
}

/// A team with its role in a repository: GitHub's `team` with its permission there.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "repository-team")]
pub(crate) struct RepositoryTeam {
    #[serde(flatten)]
    team: TeamListed,
    permissions: Permissions,
    role_name: &'static str,
}

/// A role in a repository, in both of GitHub's vocabularies.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoleWord {
    Pull,
    Read,
    Triage,
    Push,
    Write,
    Maintain,
    Admin,
}

impl From<RoleWord> for RepositoryRole {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Pull | RoleWord::Read => RepositoryRole::Read,
            RoleWord::Triage => RepositoryRole::Triage,
            RoleWord::Push | RoleWord::Write => RepositoryRole::Write,
            RoleWord::Maintain => RepositoryRole::Maintain,
            RoleWord::Admin => RepositoryRole::Admin,
        }
    }
}

/// A repository to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "repository-new")]
pub(crate) struct RepoBody {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    homepage: Option<String>,
    #[serde(default)]
    private: Option<bool>,
    /// Says more than `private`.
    #[serde(default)]
    visibility: Option<VisibilityWord>,
}

/// What changes of a repository; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "repository-change")]
pub(crate) struct RepoChangeBody {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    homepage: Option<Option<String>>,
    #[serde(default)]
    private: Option<bool>,
    #[serde(default)]
    visibility: Option<VisibilityWord>,
    #[serde(default)]
    default_branch: Option<String>,
    #[serde(default)]
    archived: Option<bool>,
}

/// A role in a repository to give.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "collaborator-change")]
pub(crate) struct CollaboratorBody {
    /// `push` when it is absent.
    #[serde(default)]
    permission: Option<RoleWord>,
}

fn permissions(role: RepositoryRole) -> Permissions {
    Permissions {
        admin: role >= RepositoryRole::Admin,
        maintain: role >= RepositoryRole::Maintain,
        push: role >= RepositoryRole::Write,
        triage: role >= RepositoryRole::Triage,
        pull: true,
    }
}

/// A repository with what the caller, or the team it is shown for, may do there.
pub(crate) fn repo(urls: &Urls, found: &Repository, role: Option<RepositoryRole>) -> Repo {
    let path = format!("{}/{}", segment(&found.owner.login), segment(&found.name));
    let (host, html_url) = (urls.host(), urls.web(&format!("/{path}")));
    let organization = found.owner.kind == AccountKind::Organization;
    Repo {
        repository: MinimalRepository::new(found, urls),
        organization: organization.then(|| SimpleUser::new(&found.owner, urls)),
        git_url: format!("git://{host}/{path}.git"),
        ssh_url: format!("ssh://git@{host}/{path}.git"),
        clone_url: format!("{html_url}.git"),
        svn_url: html_url,
        mirror_url: None,
        language: None,
        license: None,
        disabled: false,
        is_template: false,
        topics: Vec::new(),
        has_issues: false,
        has_projects: false,
        has_wiki: false,
        has_pages: false,
        has_downloads: false,
        has_discussions: false,
        allow_forking: false,
        web_commit_signoff_required: false,
        forks: 0,
        forks_count: 0,
        stargazers_count: 0,
        watchers: 0,
        watchers_count: 0,
        open_issues: 0,
        open_issues_count: 0,
        network_count: 0,
        subscribers_count: 0,
        size: 0,
        pushed_at: time(found.updated_at.0),
        permissions: role.map(permissions),
        role_name: role.map(RepositoryRole::as_str),
    }
}

fn seen(call: &Call<'_>, seen: &RepositorySeen) -> Repo {
    repo(call.urls, &seen.repository, seen.role)
}

fn path(call: &Call<'_>) -> String {
    format!("{}/{}", call.param("owner"), call.param("repo"))
}

/// `visibility` says more than `private`; both together must agree.
fn visibility(private: Option<bool>, word: Option<VisibilityWord>) -> Result<Option<Visibility>, ApiError> {
    match (private, word.map(Visibility::from)) {
        (Some(private), Some(visibility)) if private == (visibility == Visibility::Public) => {
            let message = "private and visibility contradict each other";
            Err(ApiError::invalid(vec![Field::custom("Repository", "visibility", message)]))
        }
        (_, Some(visibility)) => Ok(Some(visibility)),
        (Some(true), None) => Ok(Some(Visibility::Private)),
        (Some(false), None) => Ok(Some(Visibility::Public)),
        (None, None) => Ok(None),
    }
}

/// As on GitHub, who has not signed in is told that there is no such repository, and not to sign in.
fn unseen(error: ManageError) -> ApiError {
    match &error {
        ManageError::Denied(Denied::Refused(refused)) if refused.refusal == Refusal::Authenticate => {
            ApiError::not_found("")
        }
        _ => plainly(error),
    }
}

/// `GET /repos/{owner}/{repo}`.
pub(crate) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let found = call.service.repository(&call.shown, &path(&call)).await.map_err(unseen)?;
    Ok(Answer::ok(&seen(&call, &found)))
}

/// `PATCH /repos/{owner}/{repo}`.
pub(crate) async fn change(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: RepoChangeBody = call.json("Repository")?;
    let change = RepositoryChange {
        name: body.name,
        visibility: visibility(body.private, body.visibility)?,
        description: emptied(body.description),
        homepage: emptied(body.homepage),
        default_branch: body.default_branch,
        archived: body.archived,
    };
    let changed = call.service.change_repository(&call.shown, &path(&call), change).await;
    Ok(Answer::ok(&seen(&call, &changed.map_err(plainly)?)))
}

/// `DELETE /repos/{owner}/{repo}`.
pub(crate) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    call.service.delete_repository(&call.shown, &path(&call)).await.map_err(plainly)?;
    Ok(Answer::no_content())
}

async fn create_in(call: Call<'_>, owner: Option<&str>) -> Result<Answer, ApiError> {
    let body: RepoBody = call.json("Repository")?;
    let new = NewRepository {
        name: body.name,
        visibility: visibility(body.private, body.visibility)?.unwrap_or(Visibility::Public),
        description: body.description,
        homepage: body.homepage,
    };
    let made = call.service.create_repository(&call.shown, owner, new).await.map_err(plainly)?;
    Ok(Answer::created(&seen(&call, &made)))
}

/// `POST /user/repos`.
pub(crate) async fn create_own(call: Call<'_>) -> Result<Answer, ApiError> {
    create_in(call, None).await
}

/// `POST /orgs/{org}/repos`.
pub(crate) async fn create_in_org(call: Call<'_>) -> Result<Answer, ApiError> {
    let org = call.param("org").to_owned();
    create_in(call, Some(&org)).await
}

/// Lists are in the order of full names, and in no other.
fn unsorted(call: &Call<'_>) -> Result<(), ApiError> {
    only(call, "sort", &["full_name"])?;
    only(call, "direction", &["asc"])
}

async fn list_of(call: Call<'_>, owner: &str) -> Result<Answer, ApiError> {
    unsorted(&call)?;
    only(&call, "type", &["all", "owner", "sources"])?;
    let asked = call.page()?;
    let rows = call.service.repositories(&call.shown, owner, window(&asked)).await.map_err(plainly)?;
    Ok(listed(&call, &asked, &rows, |found| found.path.clone(), |found| repo(call.urls, found, None)))
}

/// `GET /orgs/{org}/repos`.
pub(crate) async fn list_of_org(call: Call<'_>) -> Result<Answer, ApiError> {
    let owner = call.param("org").to_owned();
    list_of(call, &owner).await
}

/// `GET /users/{username}/repos`.
pub(crate) async fn list_of_user(call: Call<'_>) -> Result<Answer, ApiError> {
    let owner = call.param("username").to_owned();
    list_of(call, &owner).await
}

/// `GET /user/repos`.
pub(crate) async fn list_own(call: Call<'_>) -> Result<Answer, ApiError> {
    unsorted(&call)?;
    only(&call, "visibility", &["all"])?;
    let all = Affiliations { owner: true, collaborator: true, member: true };
    let by_type = call.query.word("type", |word| match word {
        "all" => Some(all),
        "owner" => Some(Affiliations { collaborator: false, member: false, ..all }),
        "member" => Some(Affiliations { owner: false, ..all }),
        _ => None,
    })?;
    let by_affiliation = call.query.word("affiliation", |words| {
        let mut which = Affiliations { owner: false, collaborator: false, member: false };
        for word in words.split(',') {
            match word.trim() {
                "owner" => which.owner = true,
                "collaborator" => which.collaborator = true,
                "organization_member" => which.member = true,
                _ => return None,
            }
        }
        Some(which)
    })?;
    if by_type.is_some() && by_affiliation.is_some() {
        let message = "give type or affiliation, not both";
        return Err(ApiError::invalid(vec![Field::custom("Query", "type", message)]));
    }
    let which = by_affiliation.or(by_type).unwrap_or(all);
    let asked = call.page()?;
    let rows = call.service.own_repositories(&call.shown, which, window(&asked)).await.map_err(plainly)?;
    Ok(listed(&call, &asked, &rows, |found| found.path.clone(), |found| repo(call.urls, found, None)))
}

fn collaborator(urls: &Urls, account: &packhouse_service::Account, role: RepositoryRole) -> CollaboratorView {
    CollaboratorView {
        user: SimpleUser::of(account, urls),
        permissions: Some(permissions(role)),
        role_name: role.as_str(),
    }
}

/// `GET /repos/{owner}/{repo}/collaborators`.
pub(crate) async fn collaborators(call: Call<'_>) -> Result<Answer, ApiError> {
    let which = call.query.word("affiliation", |word| match word {
        "all" => Some(Affiliation::All),
        "direct" => Some(Affiliation::Direct),
        "outside" => Some(Affiliation::Outside),
        _ => None,
    })?;
    let least = call.query.word("permission", |word| match word {
        "pull" => Some(RepositoryRole::Read),
        "triage" => Some(RepositoryRole::Triage),
        "push" => Some(RepositoryRole::Write),
        "maintain" => Some(RepositoryRole::Maintain),
        "admin" => Some(RepositoryRole::Admin),
        _ => None,
    })?;
    let asked = call.page()?;
    let (which, least) = (which.unwrap_or(Affiliation::All), least.unwrap_or(RepositoryRole::Read));
    let found = call.service.collaborators(&call.shown, &path(&call), which, least, window(&asked)).await;
    let rows = found.map_err(plainly)?;
    let show = |one: &Collaborator| collaborator(call.urls, &one.account, one.role);
    Ok(listed(&call, &asked, &rows, |one| one.account.name.clone(), show))
}

/// `GET /repos/{owner}/{repo}/collaborators/{username}`.
pub(crate) async fn is_collaborator(call: Call<'_>) -> Result<Answer, ApiError> {
    let found = call.service.is_collaborator(&call.shown, &path(&call), call.param("username")).await;
    if found.map_err(plainly)? { Ok(Answer::no_content()) } else { Err(ApiError::not_found("")) }
}

/// `PUT /repos/{owner}/{repo}/collaborators/{username}`: at once, without an invitation.
pub(crate) async fn put_collaborator(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: CollaboratorBody = call.json("Repository")?;
    let role = body.permission.map_or(RepositoryRole::Write, RepositoryRole::from);
    let name = call.param("username");
    call.service.set_collaborator(&call.shown, &path(&call), name, Some(role)).await.map_err(plainly)?;
    Ok(Answer::no_content())
}

/// `DELETE /repos/{owner}/{repo}/collaborators/{username}`.
pub(crate) async fn remove_collaborator(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.param("username");
    call.service.set_collaborator(&call.shown, &path(&call), name, None).await.map_err(plainly)?;
    Ok(Answer::no_content())
}

/// `GET /repos/{owner}/{repo}/collaborators/{username}/permission`.
pub(crate) async fn permission(call: Call<'_>) -> Result<Answer, ApiError> {
    let found = call.service.role_in_repository(&call.shown, &path(&call), call.param("username")).await;
    let (account, role) = found.map_err(plainly)?;
    let permission = match role {
        None => "none",
        Some(RepositoryRole::Read | RepositoryRole::Triage) => "read",
        Some(RepositoryRole::Write | RepositoryRole::Maintain) => "write",
        Some(RepositoryRole::Admin) => "admin",
    };
    let role_name = role.map_or("none", RepositoryRole::as_str);
    let user = CollaboratorView {
        user: SimpleUser::of(&account, call.urls),
        permissions: role.map(permissions),
        role_name,
    };
    Ok(Answer::ok(&CollaboratorPermission { permission, role_name, user }))
}

/// `GET /repos/{owner}/{repo}/teams`.
pub(crate) async fn teams(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    let rows = call.service.repository_teams(&call.shown, &path(&call), window(&asked)).await;
    let rows = rows.map_err(plainly)?;
    let show = |(team, role): &(Team, RepositoryRole)| RepositoryTeam {
        team: team_listed(call.urls, team),
        permissions: permissions(*role),
        role_name: role.as_str(),
    };
    Ok(listed(&call, &asked, &rows, |(team, _)| team.slug.clone(), show))
}
