//! How often somebody may ask: the headers of every answer, `/rate_limit`, and what is said when it was too often.

use crate::call::Call;
use crate::error::ApiError;
use crate::respond::Answer;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use packhouse_service::{Identity, Limited, Rate};
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const USED: HeaderName = HeaderName::from_static("x-ratelimit-used");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RESOURCE: HeaderName = HeaderName::from_static("x-ratelimit-resource");

/// The route that costs nothing, so that asking does not change the answer.
pub(crate) const FREE: &str = "rate-limit/get";

const HOUR_DOCUMENTATION: &str =
    "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-primary-rate-limits";
// go-github knows a secondary limit by the end of this.
const PACE_DOCUMENTATION: &str = "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits";

/// How somebody stands with one kind of request.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "rate-limit")]
pub(crate) struct Standing {
    limit: u32,
    used: u32,
    remaining: u32,
    /// When the hour ends, seconds since 1970.
    reset: i64,
}

/// The kinds of request.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Resources {
    core: Standing,
    search: Standing,
    graphql: Standing,
}

/// How somebody stands.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "rate-limit-overview")]
pub(crate) struct Overview {
    resources: Resources,
    rate: Standing,
}

impl From<Rate> for Standing {
    fn from(rate: Rate) -> Self {
        Standing { limit: rate.limit, used: rate.used, remaining: rate.remaining(), reset: rate.reset }
    }
}

/// `GET /rate_limit`. All kinds of request are one here.
pub(crate) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let Some(rate) = call.service.api_rate(call.identity.token, call.client) else {
        // What GitHub Enterprise Server says.
        return Err(ApiError::new(StatusCode::NOT_FOUND, "Rate limiting is not enabled."));
    };
    let core = Standing::from(rate);
    let resources = Resources { core, search: core, graphql: core };
    Ok(Answer::ok(&Overview { resources, rate: core }))
}

/// The headers of an answer.
pub(crate) fn label(rate: Rate, resource: &'static str, headers: &mut HeaderMap) {
    headers.insert(LIMIT, rate.limit.into());
    headers.insert(REMAINING, rate.remaining().into());
    headers.insert(USED, rate.used.into());
    headers.insert(RESET, rate.reset.into());
    headers.insert(RESOURCE, HeaderValue::from_static(resource));
}

/// The refusal.
pub(crate) fn exceeded(limited: &Limited, identity: &Identity, client: IpAddr) -> ApiError {
    let (message, documentation, retry_seconds) = match (limited, identity.account) {
        (Limited::Hour { retry_seconds, .. }, Some(account)) => {
            (format!("API rate limit exceeded for user ID {account}."), HOUR_DOCUMENTATION, retry_seconds)
        }
        (Limited::Hour { retry_seconds, .. }, None) => (
            format!(
                "API rate limit exceeded for {client}. (But here's the good news: Authenticated requests get a higher \
                 rate limit. Check out the documentation for more details.)"
            ),
            HOUR_DOCUMENTATION,
            retry_seconds,
        ),
        (Limited::Pace { retry_seconds, .. }, _) => (
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
                .to_owned(),
            PACE_DOCUMENTATION,
            retry_seconds,
        ),
    };
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, message)
        .documented(documentation)
        .header(RETRY_AFTER, retry_seconds.to_string())
}
