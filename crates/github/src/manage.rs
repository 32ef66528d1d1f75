//! Errors of the rules about people, tokens, teams, repositories and access, as GitHub would say them.

use crate::error::{ApiError, Field};
use packhouse_service::ManageError;

/// The answer. `what` names the kind of thing the path is about, for who may not know of it.
pub(crate) fn refused(error: &ManageError, what: &str) -> ApiError {
    match error {
        ManageError::Denied(denied) => ApiError::denied(denied, what),
        ManageError::Unknown { .. } => ApiError::not_found(what),
        ManageError::TagHeld(held) => ApiError::held(held),
        ManageError::Forbidden(why) => ApiError::forbidden(why.clone()),
        ManageError::Invalid { resource, field, why } => {
            ApiError::invalid(vec![Field::custom(resource, field, why.clone())])
        }
        ManageError::Taken { resource, field, .. } => ApiError::invalid(vec![Field::taken(resource, field)]),
        ManageError::Fault(fault) => ApiError::fault(fault),
    }
}
