//! Fine-grained tokens of one's own account, and the robots of an organization with theirs. GitHub has no such
//! endpoints; the manner is its own.

use crate::call::Call;
use crate::error::{ApiError, Field};
use crate::manage::refused;
use crate::page::PageAsked;
use crate::respond::Answer;
use packhouse_service::{
    LimitWanted, ManageError, RobotChange, RobotSeen, RobotTokenWanted, Role, TokenMade, TokenSeen,
    TokenWanted, Window,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// What a fine-grained token may at most do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Permission {
    Read,
    Write,
    Admin,
}

impl From<Permission> for Role {
    fn from(permission: Permission) -> Self {
        match permission {
            Permission::Read => Role::Read,
            Permission::Write => Role::Write,
            Permission::Admin => Role::Admin,
        }
    }
}

impl From<Role> for Permission {
    fn from(role: Role) -> Self {
        match role {
            Role::Read => Permission::Read,
            Role::Write => Permission::Write,
            Role::Admin => Permission::Admin,
        }
    }
}

/// One thing that a token is for: either an owner or a package.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "token-limit")]
pub(crate) struct LimitBody {
    /// All packages of this user or organization, those to come too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// One package, by its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    /// What it may at most do there.
    permission: Permission,
}

/// A fine-grained token to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "token-new")]
pub(crate) struct TokenBody {
    name: String,
    /// What it is for; 1 to 100.
    limits: Vec<LimitBody>,
    /// When it ends (RFC 3339); with the token that makes it at the latest.
    #[serde(default)]
    expires_at: Option<String>,
}

/// A robot's token to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "robot-token-new")]
pub(crate) struct RobotTokenBody {
    name: String,
    /// Of `read:packages`, `write:packages` and `delete:packages`.
    scopes: Vec<String>,
    /// When it ends (RFC 3339).
    #[serde(default)]
    expires_at: Option<String>,
}

/// A token; never the token itself, but where it was just made.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "token")]
pub(crate) struct TokenView {
    id: i64,
    name: String,
    /// `classic`, `configured`, `fine_grained` or `device`.
    kind: &'static str,
    scopes: Vec<&'static str>,
    limits: Vec<LimitBody>,
    created_at: String,
    expires_at: Option<String>,
    /// To the minute.
    last_used_at: Option<String>,
    /// The token, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// A robot to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "robot-new")]
pub(crate) struct RobotBody {
    name: String,
    /// What it may on all packages of the organization; nothing when it is absent or null.
    #[serde(default)]
    permission: Option<Permission>,
    #[serde(default)]
    description: Option<String>,
}

/// What changes of a robot; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "robot-change")]
pub(crate) struct RobotChangeBody {
    /// Null takes it.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<Permission>")]
    permission: Option<Option<Permission>>,
    #[serde(default)]
    description: Option<String>,
}

/// A field that is there, null included.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(field).map(Some)
}

/// A robot.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "robot")]
pub(crate) struct RobotView {
    id: i64,
    /// `organization+name`: what it signs in with.
    login: String,
    name: String,
    description: Option<String>,
    /// What it may on all packages of the organization.
    permission: Option<Permission>,
    created_at: String,
    updated_at: String,
    url: String,
}

fn time(micros: i64) -> String {
    let second = micros.div_euclid(1_000_000);
    jiff::Timestamp::from_second(second).unwrap_or_default().to_string()
}

/// RFC 3339 as microseconds since 1970.
fn micros(resource: &'static str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let parsed = text.map(str::parse::<jiff::Timestamp>).transpose();
    match parsed {
        Ok(time) => Ok(time.map(jiff::Timestamp::as_microsecond)),
        Err(_) => {
            let why = "expires_at is a time such as `2027-01-31T00:00:00Z`";
            Err(ApiError::invalid(vec![Field::custom(resource, "expires_at", why)]))
        }
    }
}

fn token_view(seen: TokenSeen, secret: Option<String>) -> TokenView {
    let limit = |limit| match limit {
        LimitWanted::Owner(owner, role) => {
            LimitBody { owner: Some(owner), package: None, permission: role.into() }
        }
        LimitWanted::Package(package, role) => {
            LimitBody { owner: None, package: Some(package), permission: role.into() }
        }
    };
    TokenView {
        id: seen.id,
        name: seen.name,
        kind: seen.kind.as_str(),
        scopes: seen.scopes.normalized(),
        limits: seen.limits.into_iter().map(limit).collect(),
        created_at: time(seen.created_at),
        expires_at: seen.expires_at.map(time),
        last_used_at: seen.last_used_at.map(time),
        token: secret,
    }
}

fn made(token: TokenMade) -> Answer {
    let secret = token.secret.reveal().to_owned();
    Answer::created(&token_view(token.seen, Some(secret))).header(http::header::CACHE_CONTROL, "no-store")
}

fn robot_view(call: &Call<'_>, seen: RobotSeen) -> RobotView {
    let org = seen.login.split_once('+').map_or("", |(org, _)| org);
    RobotView {
        url: call.urls.api(&format!("/orgs/{org}/robots/{}", seen.name)),
        id: seen.id,
        login: seen.login,
        name: seen.name,
        description: seen.description,
        permission: seen.role.map(Permission::from),
        created_at: time(seen.created_at),
        updated_at: time(seen.updated_at),
    }
}

fn window(asked: &PageAsked) -> Window {
    Window { after: asked.after.clone().unwrap_or_default(), skip: asked.offset(), limit: asked.per_page }
}

fn of_token(error: &ManageError) -> ApiError {
    refused(error, "Token")
}

fn of_robot(error: &ManageError) -> ApiError {
    refused(error, "Robot")
}

/// `GET /user/tokens`
pub(crate) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    let rows =
        call.service.own_tokens(&call.shown, window(&asked)).await.map_err(|error| of_token(&error))?;
    tokens(&call, &asked, rows.rows, rows.more)
}

fn tokens(call: &Call<'_>, asked: &PageAsked, rows: Vec<TokenSeen>, more: bool) -> Result<Answer, ApiError> {
    let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let views: Vec<_> = rows.into_iter().map(|row| token_view(row, None)).collect();
    Ok(call.list(&views, asked, next.as_deref(), None))
}

/// `POST /user/tokens`
pub(crate) async fn create(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: TokenBody = call.json("Token")?;
    let mut limits = Vec::new();
    for limit in body.limits {
        let role = limit.permission.into();
        limits.push(match (limit.owner, limit.package) {
            (Some(owner), None) => LimitWanted::Owner(owner, role),
            (None, Some(package)) => LimitWanted::Package(package, role),
            (Some(_), Some(_)) | (None, None) => {
                let why = "each of limits names either an owner or a package";
                return Err(ApiError::invalid(vec![Field::custom("Token", "limits", why)]));
            }
        });
    }
    let expires_at = micros("Token", body.expires_at.as_deref())?;
    let wanted = TokenWanted { name: body.name, limits, expires_at };
    match call.service.create_own_token(&call.shown, wanted).await {
        Ok(token) => Ok(made(token)),
        // What it is for is named in the body, so it is the body that is wrong.
        Err(ManageError::Unknown { what, name }) => {
            let why = format!("there is no {what} `{name}` that you may see");
            Err(ApiError::invalid(vec![Field::custom("Token", "limits", why)]))
        }
        Err(error) => Err(of_token(&error)),
    }
}

/// `GET /user/tokens/{token_id}`
pub(crate) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let id = call.id("token_id", "Token")?;
    let seen = call.service.own_token(&call.shown, id).await.map_err(|error| of_token(&error))?;
    Ok(Answer::ok(&token_view(seen, None)))
}

/// `DELETE /user/tokens/{token_id}`
pub(crate) async fn revoke(call: Call<'_>) -> Result<Answer, ApiError> {
    let id = call.id("token_id", "Token")?;
    call.service.revoke_own_token(&call.shown, id).await.map_err(|error| of_token(&error))?;
    Ok(Answer::no_content())
}

/// `GET /orgs/{org}/robots`
pub(crate) async fn robots(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    let rows = call.service.robots(&call.shown, call.param("org"), window(&asked)).await;
    let rows = rows.map_err(|error| refused(&error, ""))?;
    let next = rows.rows.last().filter(|_| rows.more).map(|row| row.name.clone());
    let views: Vec<_> = rows.rows.into_iter().map(|row| robot_view(&call, row)).collect();
    Ok(call.list(&views, &asked, next.as_deref(), None))
}

/// `POST /orgs/{org}/robots`
pub(crate) async fn create_robot(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: RobotBody = call.json("Robot")?;
    let role = body.permission.map(Role::from);
    let change = RobotChange { role: Some(role), description: body.description };
    let made = call.service.create_robot(&call.shown, call.param("org"), &body.name, change).await;
    let made = made.map_err(|error| refused(&error, ""))?;
    Ok(Answer::created(&robot_view(&call, made)))
}

/// `GET /orgs/{org}/robots/{robot}`
pub(crate) async fn robot(call: Call<'_>) -> Result<Answer, ApiError> {
    let found = call.service.robot(&call.shown, call.param("org"), call.param("robot")).await;
    Ok(Answer::ok(&robot_view(&call, found.map_err(|error| of_robot(&error))?)))
}

/// `PATCH /orgs/{org}/robots/{robot}`
pub(crate) async fn change_robot(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: RobotChangeBody = call.json("Robot")?;
    let role = body.permission.map(|permission| permission.map(Role::from));
    let change = RobotChange { role, description: body.description };
    let changed =
        call.service.change_robot(&call.shown, call.param("org"), call.param("robot"), change).await;
    Ok(Answer::ok(&robot_view(&call, changed.map_err(|error| of_robot(&error))?)))
}

/// `DELETE /orgs/{org}/robots/{robot}`
pub(crate) async fn delete_robot(call: Call<'_>) -> Result<Answer, ApiError> {
    let done = call.service.delete_robot(&call.shown, call.param("org"), call.param("robot")).await;
    done.map_err(|error| of_robot(&error))?;
    Ok(Answer::no_content())
}

/// `GET /orgs/{org}/robots/{robot}/tokens`
pub(crate) async fn robot_tokens(call: Call<'_>) -> Result<Answer, ApiError> {
    let asked = call.page()?;
    let (org, robot) = (call.param("org"), call.param("robot"));
    let rows = call
        .service
        .robot_tokens(&call.shown, org, robot, window(&asked))
        .await
        .map_err(|error| of_robot(&error))?;
    tokens(&call, &asked, rows.rows, rows.more)
}

/// `POST /orgs/{org}/robots/{robot}/tokens`
pub(crate) async fn create_robot_token(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: RobotTokenBody = call.json("Token")?;
    let expires_at = micros("Token", body.expires_at.as_deref())?;
    let wanted = RobotTokenWanted { name: body.name, scopes: body.scopes, expires_at };
    let (org, robot) = (call.param("org"), call.param("robot"));
    let token = call.service.create_robot_token(&call.shown, org, robot, wanted).await;
    Ok(made(token.map_err(|error| of_robot(&error))?))
}

/// `DELETE /orgs/{org}/robots/{robot}/tokens/{token_id}`
pub(crate) async fn revoke_robot_token(call: Call<'_>) -> Result<Answer, ApiError> {
    let id = call.id("token_id", "Token")?;
    let (org, robot) = (call.param("org"), call.param("robot"));
    call.service.revoke_robot_token(&call.shown, org, robot, id).await.map_err(|error| of_token(&error))?;
    Ok(Answer::no_content())
}
