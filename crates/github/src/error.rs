//! The one rendering of errors: GitHub's JSON (`message`, `documentation_url`, `status`, `errors`), with a message
//! that says what to do next.
//!
//! Where people and programs search for one of GitHub's texts, that text begins the message. Causes go to the log; a
//! client is told nothing of ours.

use crate::respond::Answer;
use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use packhouse_service::{Denied, Fault, Refusal, Refused, Role, TagHeld, Visibility};
use serde::Serialize;

/// Where the documentation is that errors point at.
const DOCUMENTATION: &str = "https://docs.github.com/rest";

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Field {
    pub(crate) resource: &'static str,
    pub(crate) field: String,
    /// `missing`, `missing_field`, `invalid`, `already_exists`, `unprocessable` or `custom`.
    pub(crate) code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

impl Field {
    pub(crate) fn invalid(resource: &'static str, field: &str) -> Self {
        Field { resource, field: field.to_owned(), code: "invalid", message: None }
    }

    pub(crate) fn missing(resource: &'static str, field: &str) -> Self {
        Field { resource, field: field.to_owned(), code: "missing_field", message: None }
    }

    pub(crate) fn taken(resource: &'static str, field: &str) -> Self {
        Field { resource, field: field.to_owned(), code: "already_exists", message: None }
    }

    pub(crate) fn custom(resource: &'static str, field: &str, message: impl Into<String>) -> Self {
        Field { resource, field: field.to_owned(), code: "custom", message: Some(message.into()) }
    }
}

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
    errors: Vec<Field>,
    headers: Vec<(HeaderName, String)>,
    documentation: &'static str,
}

#[derive(Serialize)]
struct Body<'e> {
    message: &'e str,
    #[serde(skip_serializing_if = "<[Field]>::is_empty")]
    errors: &'e [Field],
    documentation_url: &'e str,
    status: &'e str,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        ApiError { status, message, errors: Vec::new(), headers: Vec::new(), documentation: DOCUMENTATION }
    }

    /// With another page of the documentation than the general one: some clients know errors by it.
    pub(crate) fn documented(self, documentation: &'static str) -> Self {
        ApiError { documentation, ..self }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::FORBIDDEN, message)
    }

    /// `what` is absent, or not to be known: `Package not found.`
    pub(crate) fn not_found(what: &str) -> Self {
        let message = if what.is_empty() { "Not Found".to_owned() } else { format!("{what} not found.") };
        ApiError::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn bad_credentials() -> Self {
        ApiError::new(StatusCode::UNAUTHORIZED, "Bad credentials")
    }

    /// 422 with what is wrong.
    pub(crate) fn invalid(errors: Vec<Field>) -> Self {
        let message = match errors.iter().find_map(|field| field.message.as_deref()) {
            Some(text) => format!("Validation Failed: {text}"),
            None => "Validation Failed".to_owned(),
        };
        ApiError { errors, ..ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message) }
    }

    /// 400 with what is wrong in the query.
    pub(crate) fn invalid_query(errors: Vec<Field>) -> Self {
        ApiError { status: StatusCode::BAD_REQUEST, ..ApiError::invalid(errors) }
    }

    /// A rule holds a tag. GitHub's text for what its rules about branches and tags forbid begins the message.
    pub(crate) fn held(held: &TagHeld) -> Self {
        ApiError::unprocessable(format!("Repository rule violations found: {held}."))
    }

    /// 422 with a sentence alone.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    pub(crate) fn method(allowed: &str) -> Self {
        let message = format!("Method Not Allowed. This path takes {allowed}.");
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).header(ALLOW, allowed)
    }

    /// `what` names the kind of thing for who may not know of it (`Package`); empty for `Not Found`.
    pub(crate) fn denied(denied: &Denied, what: &str) -> Self {
        match denied {
            Denied::Credential => ApiError::bad_credentials(),
            Denied::Refused(refused) => ApiError::refused(refused, what),
            Denied::OverQuota(over) => ApiError::forbidden(format!("Quota exceeded: {over}.")),
        }
    }

    fn refused(refused: &Refused, what: &str) -> Self {
        let (path, action) = (&refused.path, refused.action);
        match &refused.refusal {
            Refusal::Authenticate | Refusal::BearerTooNarrow => {
                ApiError::new(StatusCode::UNAUTHORIZED, "Requires authentication")
            }
            Refusal::Scope(scope, held) => ApiError::forbidden(format!(
                "You need at least {scope} scope to {action} {}. The token has {}.",
                if what.is_empty() { "this" } else { "a package" },
                held.describe(),
            )),
            Refusal::NotFound => ApiError::not_found(what),
            Refusal::Role { has, needs } => ApiError::forbidden(format!(
                "You need the role {needs} on {path} to {action} it; yours is {has}. An admin of the package can give \
                 it to you."
            )),
            Refusal::Limit { has, needs } => ApiError::forbidden(format!(
                "Resource not accessible by personal access token. It was given {} here, this takes {needs}.",
                has.map_or("nothing", Role::as_str),
            )),
            Refusal::Policy(visibility) => ApiError::forbidden(format!(
                "The organization does not let its members have {} packages.",
                visibility.map_or("such", Visibility::as_str),
            )),
            Refusal::NoInternal => {
                ApiError::unprocessable("Only what belongs to an organization can be internal.")
            }
            Refusal::Standing => {
                ApiError::forbidden(format!("You must be an owner or an admin of {path} to {action} it."))
            }
            Refusal::Caller => ApiError::forbidden("This is not for this kind of caller."),
        }
    }

    /// Ours: the log gets the chain, the client a sentence.
    pub(crate) fn fault(fault: &Fault) -> Self {
        if fault.passes() {
            tracing::warn!(error = fault.chain(), "a request failed for now");
            return ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Service unavailable; try again in a moment.",
            )
            .header(RETRY_AFTER, "1");
        }
        tracing::error!(error = fault.chain(), "a request failed");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Server Error. The server's log has the reason.")
    }

    /// What it says.
    pub(crate) fn into_message(self) -> String {
        self.message
    }

    pub(crate) fn render(self) -> Answer {
        let status = self.status.as_u16().to_string();
        let body = Body {
            message: &self.message,
            errors: &self.errors,
            documentation_url: self.documentation,
            status: &status,
        };
        let answer = Answer::new(self.status).json(&body);
        self.headers.into_iter().fold(answer, |answer, (name, value)| answer.header(name, &value))
    }
}
