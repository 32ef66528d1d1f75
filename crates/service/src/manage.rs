//! What the rules about people, teams, repositories and access share: their error, their transactions, pieces of
//! lists, and the forms of names.

use crate::Service;
use crate::access::caller;
use crate::error::{Denied, Fault, of_catalog};
use crate::identity::Shown;
use packhouse_access::{Caller, Refused, TagHeld};
use packhouse_catalog::{Account, AccountKind, CatalogError, Micros, ReadTx, Window, WriteTx};

/// Something about people, teams, repositories or access was not shown or not done.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// May not.
    #[error(transparent)]
    Denied(Denied),
    /// What the request names does not exist, or the caller may not know that it does.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// The kind of thing.
        what: &'static str,
        /// As it was named.
        name: String,
    },
    /// A rule says no. The sentence says which, and what to do.
    #[error("{0}")]
    Forbidden(String),
    /// A rule holds a tag.
    #[error(transparent)]
    TagHeld(TagHeld),
    /// A value cannot be taken.
    #[error("{why}")]
    Invalid {
        /// The kind of thing it is for.
        resource: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong, as a sentence.
        why: String,
    },
    /// The name is another's already.
    #[error("`{name}` is taken")]
    Taken {
        /// The kind of thing.
        resource: &'static str,
        /// The field.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// Ours.
    #[error(transparent)]
    Fault(Fault),
}

impl From<Refused> for ManageError {
    fn from(refused: Refused) -> Self {
        ManageError::Denied(Denied::Refused(refused))
    }
}

impl From<Denied> for ManageError {
    fn from(denied: Denied) -> Self {
        ManageError::Denied(denied)
    }
}

impl From<TagHeld> for ManageError {
    fn from(held: TagHeld) -> Self {
        ManageError::TagHeld(held)
    }
}

impl From<Fault> for ManageError {
    fn from(fault: Fault) -> Self {
        ManageError::Fault(fault)
    }
}
impl From<CatalogError> for ManageError {
    fn from(error: CatalogError) -> Self {
        of_catalog(error)
    }
}

impl ManageError {
    pub(crate) fn unknown(what: &'static str, name: &str) -> Self {
        ManageError::Unknown { what, name: short(name) }
    }

    pub(crate) fn invalid(resource: &'static str, field: &'static str, why: impl Into<String>) -> Self {
        ManageError::Invalid { resource, field, why: why.into() }
    }

    pub(crate) fn taken(resource: &'static str, field: &'static str, name: &str) -> Self {
        ManageError::Taken { resource, field, name: short(name) }
    }
}

/// What a client sent, as far as it is repeated.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

/// A piece of a list.
#[derive(Clone, Debug)]
pub struct Rows<T> {
    /// The rows, in the order of their key.
    pub rows: Vec<T>,
    /// Whether there are more behind the last.
    pub more: bool,
}

impl<T> Rows<T> {
    /// Asks for one row more than is wanted, which tells whether there are more.
    pub(crate) fn read(
        window: &Window,
        read: impl FnOnce(&Window) -> Result<Vec<T>, CatalogError>,
    ) -> Result<Self, ManageError> {
        let mut rows = read(&Window { limit: window.limit.saturating_add(1), ..window.clone() })?;
        let more = rows.len() > window.limit as usize;
        rows.truncate(window.limit as usize);
        Ok(Rows { rows, more })
    }

    /// A list that has nothing to show.
    pub(crate) fn none() -> Self {
        Rows { rows: Vec::new(), more: false }
    }
}

impl Service {
    /// Runs a rule that reads.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        shown: &Shown,
        mut body: impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>, &Caller<'tx>) -> Result<T, ManageError>
        + Send
        + 'static,
    ) -> Result<T, ManageError> {
        let presented = self.presented(shown)?;
        let now = self.clock.now();
        self.catalog
            .read_beside(move |tx| {
                let caller = caller::<ManageError>(tx, &presented, now)?;
                body(tx, &caller)
            })
            .await
    }

    /// Runs a rule that writes, and gives it the time.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        shown: &Shown,
        mut body: impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>, &Caller<'tx>, Micros) -> Result<T, ManageError>
        + Send
        + 'static,
    ) -> Result<T, ManageError> {
        let presented = self.presented(shown)?;
        let now = self.clock.now();
        self.catalog
            .write(move |tx| {
                let caller = caller::<ManageError>(tx, &presented, now)?;
                body(tx, &caller, now)
            })
            .await
    }
}

/// Names are found whatever their case.
pub(crate) fn lower(name: &str) -> String {
    name.to_lowercase()
}

/// A user who is named. Robots and organizations are none.
pub(crate) fn user(tx: &mut ReadTx<'_, '_>, name: &str) -> Result<Account, ManageError> {
    let found = tx.account(&lower(name))?.filter(|account| account.kind == AccountKind::User);
    found.ok_or_else(|| ManageError::unknown("user", name))
}

/// A text that people write: trimmed, bounded, without control characters; empty is none.
pub(crate) fn text(
    resource: &'static str,
    field: &'static str,
    text: &str,
    chars_max: usize,
) -> Result<Option<String>, ManageError> {
    let text = text.trim();
    if text.chars().count() > chars_max {
        let why = format!("{field} is too long (maximum is {chars_max} characters)");
        return Err(ManageError::invalid(resource, field, why));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\r' && c != '\t') {
        return Err(ManageError::invalid(resource, field, format!("{field} has control characters")));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
