//! What the API says of itself: its root, `/meta`, `/versions`.

use crate::call::Call;
use crate::error::ApiError;
use crate::respond::Answer;
use serde_json::{Map, Value, json};

/// Versions of the API that may be asked for in `X-GitHub-Api-Version`, the newest first.
pub(crate) const VERSIONS: &[&str] = &["2026-03-10", "2022-11-28"];
/// The one that is answered when none is asked for.
pub(crate) const VERSION: &str = "2022-11-28";

/// `GET /`: the addresses of what there is, as templates (RFC 6570).
pub(crate) async fn root(call: Call<'_>) -> Result<Answer, ApiError> {
    const LINKS: &[(&str, &str)] = &[
        ("current_user_url", "/user"),
        ("authorizations_url", "/authorizations"),
        ("code_search_url", "/search/code?q={query}{&page,per_page,sort,order}"),
        ("commit_search_url", "/search/commits?q={query}{&page,per_page,sort,order}"),
        ("emails_url", "/user/emails"),
        ("emojis_url", "/emojis"),
        ("events_url", "/events"),
        ("feeds_url", "/feeds"),
        ("followers_url", "/user/followers"),
        ("following_url", "/user/following{/target}"),
        ("gists_url", "/gists{/gist_id}"),
        ("hub_url", "/hub"),
        ("issue_search_url", "/search/issues?q={query}{&page,per_page,sort,order}"),
        ("issues_url", "/issues"),
        ("keys_url", "/user/keys"),
        ("label_search_url", "/search/labels?q={query}&repository_id={repository_id}{&page,per_page}"),
        ("notifications_url", "/notifications"),
        ("organization_url", "/orgs/{org}"),
        ("organization_repositories_url", "/orgs/{org}/repos{?type,page,per_page,sort}"),
        ("organization_teams_url", "/orgs/{org}/teams"),
        ("public_gists_url", "/gists/public"),
        ("rate_limit_url", "/rate_limit"),
        ("repository_url", "/repos/{owner}/{repo}"),
        ("repository_search_url", "/search/repositories?q={query}{&page,per_page,sort,order}"),
        ("current_user_repositories_url", "/user/repos{?type,page,per_page,sort}"),
        ("starred_url", "/user/starred{/owner}{/repo}"),
        ("starred_gists_url", "/gists/starred"),
        ("topic_search_url", "/search/topics?q={query}{&page,per_page}"),
        ("user_url", "/users/{user}"),
        ("user_organizations_url", "/user/orgs"),
        ("user_repositories_url", "/users/{user}/repos{?type,page,per_page,sort}"),
        ("user_search_url", "/search/users?q={query}{&page,per_page,sort,order}"),
    ];
    let mut links: Map<String, Value> =
        LINKS.iter().map(|(name, path)| ((*name).to_owned(), call.urls.api(path).into())).collect();
    links.insert(
        "current_user_authorizations_html_url".to_owned(),
        call.urls.web("/settings/connections/applications{/client_id}").into(),
    );
    Ok(Answer::ok(&links))
}

/// `GET /meta`. Addresses are not told: behind a proxy they would be wrong.
pub(crate) async fn meta(call: Call<'_>) -> Result<Answer, ApiError> {
    let host = call.urls.host().to_owned();
    let meta = json!({
        "verifiable_password_authentication": false,
        "installed_version": env!("CARGO_PKG_VERSION"),
        "domains": { "packages": [host] },
    });
    Ok(Answer::ok(&meta))
}

/// `GET /versions`.
pub(crate) async fn versions(_: Call<'_>) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&VERSIONS))
}
