//! Users, and what handlers of people share.

use crate::call::Call;
use crate::error::{ApiError, Field};
use crate::manage::refused;
use crate::orgs::{OrgSimple, org_simple};
use crate::page::PageAsked;
use crate::respond::Answer;
use crate::simple::{SimpleUser, time};
use crate::urls::Urls;
use packhouse_service::{Account, ManageError, ProfileChange, Rows, Window};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// What an account says of itself to everyone: GitHub's `public-user`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "public-user")]
pub(crate) struct PublicUser {
    #[serde(flatten)]
    user: SimpleUser,
    name: Option<String>,
    company: Option<String>,
    blog: Option<String>,
    location: Option<String>,
    email: Option<String>,
    hireable: Option<bool>,
    bio: Option<String>,
    twitter_username: Option<String>,
    public_repos: u64,
    public_gists: u64,
    followers: u64,
    following: u64,
    created_at: String,
    updated_at: String,
}

/// One's own account: GitHub's `private-user`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "private-user")]
pub(crate) struct PrivateUser {
    #[serde(flatten)]
    user: PublicUser,
    private_gists: u64,
    total_private_repos: u64,
    owned_private_repos: u64,
    disk_usage: u64,
    collaborators: u64,
    two_factor_authentication: bool,
}

/// What changes of one's own account; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "user-change")]
pub(crate) struct UserBody {
    #[serde(default, deserialize_with = "present")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    email: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    bio: Option<Option<String>>,
}

/// Tells null, which takes a value away, from absent.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Null is the empty text, which takes it away.
pub(crate) fn emptied(value: Option<Option<String>>) -> Option<String> {
    value.map(Option::unwrap_or_default)
}

fn public_user(urls: &Urls, account: &Account) -> PublicUser {
    PublicUser {
        user: SimpleUser::of(account, urls),
        name: account.display_name.clone(),
        company: None,
        blog: Some(String::new()),
        location: None,
        email: account.email.clone(),
        hireable: None,
        bio: account.description.clone(),
        twitter_username: None,
        public_repos: account.public_repositories,
        public_gists: 0,
        followers: 0,
        following: 0,
        created_at: time(account.created_at.0),
        updated_at: time(account.updated_at.0),
    }
}

fn private_user(urls: &Urls, account: &Account) -> PrivateUser {
    let private = account.repositories.saturating_sub(account.public_repositories);
    PrivateUser {
        user: public_user(urls, account),
        private_gists: 0,
        total_private_repos: private,
        owned_private_repos: private,
        disk_usage: 0,
        collaborators: 0,
        two_factor_authentication: false,
    }
}

/// The page that is asked for.
pub(crate) fn window(asked: &PageAsked) -> Window {
    Window { after: asked.after.clone().unwrap_or_default(), skip: asked.offset(), limit: asked.per_page }
}

/// A page of a list, each row by `show`, with the links to the others by the last row's `key`.
pub(crate) fn listed<T, V: Serialize>(
    call: &Call<'_>,
    asked: &PageAsked,
    rows: &Rows<T>,
    key: impl Fn(&T) -> String,
    show: impl Fn(&T) -> V,
) -> Answer {
    let next = rows.rows.last().filter(|_| rows.more).map(key);
    let items: Vec<V> = rows.rows.iter().map(show).collect();
    call.list(&items, asked, next.as_deref(), None)
}

/// A filter of a list that only has this value here.
pub(crate) fn only(call: &Call<'_>, name: &'static str, known: &[&str]) -> Result<(), ApiError> {
    match call.query.get(name) {
        Some(word) if !known.contains(&word) => {
            let message = format!("{name} can only be {} here", known.join(" or "));
            Err(ApiError::invalid(vec![Field::custom("Query", name, message)]))
        }
        Some(_) | None => Ok(()),
    }
}

/// How errors are said where the path's thing has no name of its own in them.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
pub(crate) fn plainly(error: ManageError) -> ApiError {
    refused(&error, "")
}

/// `GET /user`.
pub(crate) async fn get_own(call: Call<'_>) -> Result<Answer, ApiError> {
    let account = call.service.own_account(&call.shown).await.map_err(plainly)?;
    Ok(Answer::ok(&private_user(call.urls, &account)))
}

/// `PATCH /user`.
pub(crate) async fn change_own(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: UserBody = call.json("User")?;
    let change = ProfileChange {
        display_name: emptied(body.name),
        description: emptied(body.bio),
        email: emptied(body.email),
    };
    let account = call.service.change_own_profile(&call.shown, change).await.map_err(plainly)?;
    Ok(Answer::ok(&private_user(call.urls, &account)))
}

/// `GET /users/{username}`.
pub(crate) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let found = call.service.account(&call.shown, call.param("username")).await.map_err(plainly)?;
    Ok(Answer::ok(&public_user(call.urls, &found.account)))
}

/// `GET /users/{username}/orgs`: those that the caller is in too.
pub(crate) async fn orgs_of(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    let found = call.service.organizations_of(&call.shown, call.param("username"), window(&asked)).await;
    let rows = found.map_err(plainly)?;
    let show = |row: &packhouse_service::Membership| -> OrgSimple { org_simple(call.urls, &row.account) };
    Ok(listed(&call, &asked, &rows, |row| row.account.name.clone(), show))
}
