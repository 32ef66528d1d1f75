//! Users and repositories as they stand inside other answers.

use crate::node_id::node_id;
use crate::urls::{Urls, segment};
use packhouse_service::{Account, AccountKind, Repository, RepositoryOwner, Visibility};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// GitHub's `simple-user`: a user, an organization or a robot.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "simple-user")]
pub(crate) struct SimpleUser {
    login: String,
    id: i64,
    node_id: String,
    avatar_url: String,
    gravatar_id: &'static str,
    url: String,
    html_url: String,
    followers_url: String,
    following_url: String,
    gists_url: String,
    starred_url: String,
    subscriptions_url: String,
    organizations_url: String,
    repos_url: String,
    events_url: String,
    received_events_url: String,
    #[serde(rename = "type")]
    kind: &'static str,
    site_admin: bool,
}

impl SimpleUser {
    pub(crate) fn of(account: &Account, urls: &Urls) -> Self {
        let owner = RepositoryOwner {
            id: account.id,
            login: account.login.clone(),
            kind: account.kind,
            site_admin: account.site_admin,
        };
        SimpleUser::new(&owner, urls)
    }

    pub(crate) fn new(owner: &RepositoryOwner, urls: &Urls) -> Self {
        let login = segment(&owner.login);
        let api = |rest: &str| urls.api(&format!("/users/{login}{rest}"));
        let kind = match owner.kind {
            AccountKind::User => "User",
            AccountKind::Organization => "Organization",
            AccountKind::Robot => "Bot",
        };
        SimpleUser {
            id: owner.id.0,
            node_id: node_id(kind, owner.id.0),
            avatar_url: urls.web(&format!("/avatars/{login}")),
            gravatar_id: "",
            url: api(""),
            html_url: urls.web(&format!("/{login}")),
            followers_url: api("/followers"),
            following_url: api("/following{/other_user}"),
            gists_url: api("/gists{/gist_id}"),
            starred_url: api("/starred{/owner}{/repo}"),
            subscriptions_url: api("/subscriptions"),
            organizations_url: api("/orgs"),
            repos_url: api("/repos"),
            events_url: api("/events{/privacy}"),
            received_events_url: api("/received_events"),
            kind,
            site_admin: owner.site_admin,
            login: owner.login.clone(),
        }
    }
}

/// GitHub's `minimal-repository`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "minimal-repository")]
pub(crate) struct MinimalRepository {
    id: i64,
    node_id: String,
    name: String,
    full_name: String,
    owner: SimpleUser,
    private: bool,
    html_url: String,
    description: Option<String>,
    fork: bool,
    url: String,
    homepage: Option<String>,
    default_branch: String,
    archived: bool,
    visibility: &'static str,
    created_at: String,
    updated_at: String,
    /// The addresses that GitHub's clients make others from, as templates (RFC 6570).
    #[serde(flatten)]
    urls: BTreeMap<&'static str, String>,
}

/// The addresses below a repository's, by their name in the answer.
const BELOW: &[(&str, &str)] = &[
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
];

impl MinimalRepository {
    pub(crate) fn new(repository: &Repository, urls: &Urls) -> Self {
        let full_name = format!("{}/{}", repository.owner.login, repository.name);
        let path = format!("{}/{}", segment(&repository.owner.login), segment(&repository.name));
        let url = urls.api(&format!("/repos/{path}"));
        MinimalRepository {
            id: repository.id.0,
            node_id: node_id("Repository", repository.id.0),
            name: repository.name.clone(),
            full_name,
            owner: SimpleUser::new(&repository.owner, urls),
            private: repository.visibility != Visibility::Public,
            html_url: urls.web(&format!("/{path}")),
            description: repository.description.clone(),
            fork: false,
            homepage: repository.homepage.clone(),
            default_branch: repository.default_branch.clone(),
            archived: repository.archived,
            visibility: repository.visibility.as_str(),
            created_at: time(repository.created_at.0),
            updated_at: time(repository.updated_at.0),
            urls: BELOW.iter().map(|(name, rest)| (*name, format!("{url}{rest}"))).collect(),
            url,
        }
    }
}

/// A time as GitHub writes it: UTC, to the second.
pub(crate) fn time(micros: i64) -> String {
    let second = micros.div_euclid(1_000_000);
    jiff::Timestamp::from_second(second).unwrap_or_default().to_string()
}
