//! Organizations and memberships.

use crate::call::Call;
use crate::error::ApiError;
use crate::node_id::node_id;
use crate::respond::Answer;
use crate::simple::{SimpleUser, time};
use crate::urls::{Urls, segment};
use crate::users::{emptied, listed, only, plainly, present, window};
use http::StatusCode;
use http::header::LOCATION;
use packhouse_service::{
    Account, AccountKind, AccountSeen, MemberAnswer, Membership, MembershipSeen, OrganizationPolicy,
    PolicyChange, ProfileChange, RepositoryRole, Visibility,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An organization inside other answers: GitHub's `organization-simple`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "organization-simple")]
pub(crate) struct OrgSimple {
    login: String,
    id: i64,
    node_id: String,
    url: String,
    repos_url: String,
    events_url: String,
    hooks_url: String,
    issues_url: String,
    members_url: String,
    public_members_url: String,
    avatar_url: String,
    description: Option<String>,
}

/// An organization: GitHub's `team-organization`, and the part of `organization-full` that everyone sees.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "organization")]
pub(crate) struct Org {
    #[serde(flatten)]
    simple: OrgSimple,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    has_organization_projects: bool,
    has_repository_projects: bool,
    public_repos: u64,
    public_gists: u64,
    followers: u64,
    following: u64,
    html_url: String,
    #[serde(rename = "type")]
    kind: &'static str,
    created_at: String,
    updated_at: String,
    archived_at: Option<String>,
}

/// An organization with what its members see: GitHub's `organization-full`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "organization-full")]
pub(crate) struct OrgFull {
    #[serde(flatten)]
    org: Org,
    #[serde(flatten)]
    policy: Option<OrgPolicy>,
}

/// What members may do. The last five are Packhouse's own.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "organization-policy")]
struct OrgPolicy {
    total_private_repos: u64,
    owned_private_repos: u64,
    default_repository_permission: Option<&'static str>,
    members_can_create_repositories: bool,
    members_can_create_public_repositories: bool,
    members_can_create_private_repositories: bool,
    members_can_create_internal_repositories: bool,
    members_can_create_private_packages: bool,
    members_can_create_internal_packages: bool,
    members_can_create_public_packages: bool,
    packages_default_visibility: &'static str,
    packages_inherit_access: bool,
}

/// What members may in each repository.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum BaseRole {
    None,
    Read,
    Write,
    Admin,
}

/// A visibility.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VisibilityWord {
    Private,
    Internal,
    Public,
}

impl From<VisibilityWord> for Visibility {
    fn from(word: VisibilityWord) -> Self {
        match word {
            VisibilityWord::Private => Visibility::Private,
            VisibilityWord::Internal => Visibility::Internal,
            VisibilityWord::Public => Visibility::Public,
        }
    }
}

/// What changes of an organization; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "organization-change")]
pub(crate) struct OrgBody {
    #[serde(default, deserialize_with = "present")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    email: Option<Option<String>>,
    #[serde(default)]
    default_repository_permission: Option<BaseRole>,
    #[serde(default)]
    members_can_create_repositories: Option<bool>,
    #[serde(default)]
    members_can_create_private_packages: Option<bool>,
    #[serde(default)]
    members_can_create_internal_packages: Option<bool>,
    #[serde(default)]
    members_can_create_public_packages: Option<bool>,
    #[serde(default)]
    packages_default_visibility: Option<VisibilityWord>,
    #[serde(default)]
    packages_inherit_access: Option<bool>,
}

/// A membership: GitHub's `org-membership`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "org-membership")]
pub(crate) struct MembershipView {
    url: String,
    state: &'static str,
    role: &'static str,
    organization_url: String,
    organization: OrgSimple,
    user: SimpleUser,
    direct_membership: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum MemberRole {
    #[default]
    Member,
    Admin,
}

/// A membership to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "org-membership-change")]
pub(crate) struct MembershipBody {
    #[serde(default)]
    role: MemberRole,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ActiveWord {
    Active,
}

/// The acceptance of a membership.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "org-membership-acceptance")]
pub(crate) struct AcceptBody {
    #[expect(dead_code, reason = "there is one value, and to be read is all it is for")]
    state: ActiveWord,
}

/// An organization inside another answer.
pub(crate) fn org_simple(urls: &Urls, account: &Account) -> OrgSimple {
    let url = urls.api(&format!("/orgs/{}", segment(&account.login)));
    OrgSimple {
        login: account.login.clone(),
        id: account.id.0,
        node_id: node_id("Organization", account.id.0),
        repos_url: format!("{url}/repos"),
        events_url: format!("{url}/events"),
        hooks_url: format!("{url}/hooks"),
        issues_url: format!("{url}/issues"),
        members_url: format!("{url}/members{{/member}}"),
        public_members_url: format!("{url}/public_members{{/member}}"),
        avatar_url: urls.web(&format!("/avatars/{}", segment(&account.login))),
        description: account.description.clone(),
        url,
    }
}

/// An organization as everyone sees it.
pub(crate) fn org(urls: &Urls, account: &Account) -> Org {
    Org {
        simple: org_simple(urls, account),
        name: account.display_name.clone(),
        email: account.email.clone(),
        has_organization_projects: false,
        has_repository_projects: false,
        public_repos: account.public_repositories,
        public_gists: 0,
        followers: 0,
        following: 0,
        html_url: urls.web(&format!("/{}", segment(&account.login))),
        kind: "Organization",
        created_at: time(account.created_at.0),
        updated_at: time(account.updated_at.0),
        archived_at: None,
    }
}

fn full(urls: &Urls, seen: &AccountSeen) -> OrgFull {
    let account = &seen.account;
    let private = account.repositories.saturating_sub(account.public_repositories);
    let shown = |policy: &OrganizationPolicy| OrgPolicy {
        total_private_repos: private,
        owned_private_repos: private,
        default_repository_permission: Some(policy.base_role.map_or("none", RepositoryRole::as_str)),
        members_can_create_repositories: policy.members_create_repositories,
        members_can_create_public_repositories: policy.members_create_repositories,
        members_can_create_private_repositories: policy.members_create_repositories,
        members_can_create_internal_repositories: policy.members_create_repositories,
        members_can_create_private_packages: policy.packages.private,
        members_can_create_internal_packages: policy.packages.internal,
        members_can_create_public_packages: policy.packages.public,
        packages_default_visibility: policy.packages.default.as_str(),
        packages_inherit_access: policy.packages_inherit,
    };
    OrgFull { org: org(urls, account), policy: seen.policy.as_ref().map(shown) }
}

fn membership(urls: &Urls, seen: &MembershipSeen) -> MembershipView {
    let organization = org_simple(urls, &seen.organization);
    MembershipView {
        url: format!("{}/memberships/{}", organization.url, segment(&seen.user.login)),
        state: "active",
        role: if seen.owner { "admin" } else { "member" },
        organization_url: organization.url.clone(),
        organization,
        user: SimpleUser::of(&seen.user, urls),
        direct_membership: true,
    }
}

/// `GET /orgs/{org}`.
pub(crate) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let seen = call.service.account(&call.shown, call.param("org")).await.map_err(plainly)?;
    if seen.account.kind != AccountKind::Organization {
        return Err(ApiError::not_found(""));
    }
    Ok(Answer::ok(&full(call.urls, &seen)))
}

/// `PATCH /orgs/{org}`.
pub(crate) async fn change(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: OrgBody = call.json("Organization")?;
    let profile = ProfileChange {
        display_name: emptied(body.name),
        description: emptied(body.description),
        email: emptied(body.email),
    };
    let policy = PolicyChange {
        private: body.members_can_create_private_packages,
        internal: body.members_can_create_internal_packages,
        public: body.members_can_create_public_packages,
        default: body.packages_default_visibility.map(Visibility::from),
        inherit: body.packages_inherit_access,
        base_role: body.default_repository_permission.map(|role| match role {
            BaseRole::None => None,
            BaseRole::Read => Some(RepositoryRole::Read),
            BaseRole::Write => Some(RepositoryRole::Write),
            BaseRole::Admin => Some(RepositoryRole::Admin),
        }),
        members_create_repositories: body.members_can_create_repositories,
    };
    let seen = call.service.change_organization(&call.shown, call.param("org"), profile, policy).await;
    Ok(Answer::ok(&full(call.urls, &seen.map_err(plainly)?)))
}

/// `DELETE /orgs/{org}`. 202 as GitHub answers; here it is done by then.
pub(crate) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    call.service.delete_organization(&call.shown, call.param("org")).await.map_err(plainly)?;
    Ok(Answer::new(StatusCode::ACCEPTED).json(&serde_json::json!({})))
}

/// `GET /orgs/{org}/members`.
pub(crate) async fn members(call: Call<'_>) -> Result<Answer, ApiError> {
    only(&call, "filter", &["all"])?;
    let owners = call.query.word("role", |word| match word {
        "all" => Some(None),
        "admin" => Some(Some(true)),
        "member" => Some(Some(false)),
        _ => None,
    })?;
    let asked = call.page()?;
    let found = call.service.members(&call.shown, call.param("org"), owners.flatten(), window(&asked)).await;
    let rows = found.map_err(plainly)?;
    let show = |row: &Membership| SimpleUser::of(&row.account, call.urls);
    Ok(listed(&call, &asked, &rows, |row| row.account.name.clone(), show))
}

/// `GET /orgs/{org}/members/{username}`.
pub(crate) async fn is_member(call: Call<'_>) -> Result<Answer, ApiError> {
    let (org, name) = (call.param("org"), call.param("username"));
    match call.service.is_member(&call.shown, org, name).await.map_err(plainly)? {
        MemberAnswer::Member => Ok(Answer::no_content()),
        MemberAnswer::No => Err(ApiError::not_found("")),
        // Whether the membership is public, which none is.
        MemberAnswer::NotToBeKnown => {
            let url = call.urls.api(&format!("/orgs/{}/public_members/{}", segment(org), segment(name)));
            Ok(Answer::new(StatusCode::FOUND).header(LOCATION, &url))
        }
    }
}

/// `GET /orgs/{org}/memberships/{username}`.
pub(crate) async fn get_membership(call: Call<'_>) -> Result<Answer, ApiError> {
    let found = call.service.membership(&call.shown, call.param("org"), call.param("username")).await;
    Ok(Answer::ok(&membership(call.urls, &found.map_err(plainly)?)))
}

/// `PUT /orgs/{org}/memberships/{username}`: at once, without an invitation.
pub(crate) async fn put_membership(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: MembershipBody = call.json("OrganizationMembership")?;
    let owner = matches!(body.role, MemberRole::Admin);
    let (org, name) = (call.param("org"), call.param("username"));
    let done = call.service.put_membership(&call.shown, org, name, owner).await;
    Ok(Answer::ok(&membership(call.urls, &done.map_err(plainly)?)))
}

/// `DELETE /orgs/{org}/memberships/{username}` and `…/members/{username}`.
pub(crate) async fn remove_membership(call: Call<'_>) -> Result<Answer, ApiError> {
    let (org, name) = (call.param("org"), call.param("username"));
    call.service.remove_membership(&call.shown, org, name).await.map_err(plainly)?;
    Ok(Answer::no_content())
}

/// `GET /user/memberships/orgs`. There are no invitations, so none is pending.
pub(crate) async fn own_memberships(call: Call<'_>) -> Result<Answer, ApiError> {
    let pending = call.query.word("state", |word| match word {
        "active" => Some(false),
        "pending" => Some(true),
        _ => None,
    })?;
    let asked = call.page()?;
    let found = call.service.own_memberships(&call.shown, window(&asked)).await;
    let (user, mut rows) = found.map_err(plainly)?;
    if pending == Some(true) {
        rows.rows.clear();
        rows.more = false;
    }
    let show = |row: &Membership| {
        let seen = MembershipSeen { organization: row.account.clone(), user: user.clone(), owner: row.owner };
        membership(call.urls, &seen)
    };
    Ok(listed(&call, &asked, &rows, |row| row.account.name.clone(), show))
}

/// `GET /user/memberships/orgs/{org}`.
pub(crate) async fn own_membership(call: Call<'_>) -> Result<Answer, ApiError> {
    let found = call.service.own_membership(&call.shown, call.param("org")).await.map_err(plainly)?;
    Ok(Answer::ok(&membership(call.urls, &found)))
}

/// `PATCH /user/memberships/orgs/{org}`: accepts an invitation, and all were accepted.
pub(crate) async fn accept_membership(call: Call<'_>) -> Result<Answer, ApiError> {
    let _: AcceptBody = call.json("OrganizationMembership")?;
    own_membership(call).await
}

/// `GET /user/orgs`.
pub(crate) async fn own_orgs(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    let found = call.service.own_memberships(&call.shown, window(&asked)).await;
    let (_, rows) = found.map_err(plainly)?;
    let show = |row: &Membership| org_simple(call.urls, &row.account);
    Ok(listed(&call, &asked, &rows, |row| row.account.name.clone(), show))
}
