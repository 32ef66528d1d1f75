//! What can go wrong below the rules.

use packhouse_access::OverQuota;

/// The catalog could not do its work. Nothing of this is for a client's eyes.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A statement failed on SQLite.
    #[error("statement `{statement}` on SQLite")]
    Sqlite {
        /// Which one.
        statement: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A statement failed on PostgreSQL.
    #[error("statement `{statement}` on PostgreSQL")]
    Postgres {
        /// Which one.
        statement: &'static str,
        /// Why.
        #[source]
        source: ::postgres::Error,
    },
    /// The database's address cannot be read.
    #[error("the database URL cannot be read")]
    Address(#[source] ::postgres::Error),
    /// A row holds what no version of this program writes.
    #[error("the catalog holds an unreadable {0}")]
    Corrupt(&'static str),
    /// The queue of waiting transactions is full.
    #[error("too many transactions wait")]
    Busy,
    /// The plan of an account has no room for this. Not a fault: whoever asked is told.
    #[error(transparent)]
    OverQuota(#[from] Box<OverQuota>),
    /// What is remembered was not enough. Never an answer: the transaction begins again on the database.
    #[error("this is not remembered")]
    Cold,
    /// The catalog is shutting down.
    #[error("the catalog is closed")]
    Closed,
    /// The transaction's closure panicked; it was rolled back.
    #[error("a transaction panicked")]
    Panicked,
    /// The commit's answer was lost: it may or may not have happened.
    #[error("the connection broke during a commit")]
    CommitUnknown,
    /// A commit was refused that a crash might bring back, since the disk failed; nothing is written until that is
    /// ruled out.
    #[error("the disk failed during a commit, and still does")]
    InDoubt,
    /// The transaction was lost and could not be run again in the tries there are.
    #[error("the transaction was lost {0} times")]
    Lost(u32),
    /// Another program wrote this schema.
    #[error("migration {number} of the catalog differs from this program's; {hint}")]
    Schema {
        /// Its number.
        number: i64,
        /// What to do.
        hint: &'static str,
    },
    /// The program could not start one of its threads.
    #[error("starting a thread of the catalog")]
    Thread(#[source] std::io::Error),
    /// The folder of a new catalog could not be synced.
    #[error("syncing the catalog's folder")]
    Folder(#[source] std::io::Error),
    /// Another server uses the same database with files of its own.
    #[error("another server uses this database; files and several nodes do not go together")]
    TakenByAnother,
    /// A copy of the catalog cannot be written or read.
    #[error("writing or reading a copy of the catalog")]
    Copy(#[source] std::io::Error),
    /// A file is no whole copy of a catalog.
    #[error("this is no whole copy of a catalog: {0}")]
    NoCopy(&'static str),
    /// A copy was to go where there is a catalog already.
    #[error("there is a catalog already; a backup goes only into an empty place")]
    NotEmpty,
}

/// What failed and why, for one field of a log: its JSON form shows no causes by itself.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl CatalogError {
    /// Whether the disk of the embedded catalog is full.
    pub fn is_full(&self) -> bool {
        match self {
            CatalogError::Sqlite { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            CatalogError::Postgres { .. }
            | CatalogError::Address(_)
            | CatalogError::Corrupt(_)
            | CatalogError::Busy
            | CatalogError::OverQuota(_)
            | CatalogError::Cold
            | CatalogError::Closed
            | CatalogError::Panicked
            | CatalogError::CommitUnknown
            | CatalogError::InDoubt
            | CatalogError::Lost(_)
            | CatalogError::Schema { .. }
            | CatalogError::Thread(_)
            | CatalogError::Folder(_)
            | CatalogError::TakenByAnother
            | CatalogError::NoCopy(_)
            | CatalogError::NotEmpty => false,
            CatalogError::Copy(error) => error.kind() == std::io::ErrorKind::StorageFull,
        }
    }
}
