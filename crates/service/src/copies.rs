//! Copies of the house: backups into a folder, snapshots of the catalog in the blob store, and a house made of either.
//!
//! Whoever makes a copy of the catalog commits a hold first: bytes that were trashed later stay until the hold ends, so
//! each blob that the copy names is still there when it is copied.

mod backup;
mod lost;
mod merge;
mod restore;
mod snapshots;
#[cfg(test)]
mod tests;

use crate::access::caller;
use crate::error::Denied;
pub use backup::{BackupProgress, Backups};
use packhouse_access::{Collect, Granted, Refused, decide_collect};
use packhouse_blobs::BlobError;
use packhouse_catalog::{Catalog, CatalogError, Micros, Presented, ReadTx, StoreCopy, WriteTx};
pub use restore::{RestoreFrom, RestoreProgress, RestoreTarget, Restored, restore};
pub use snapshots::Snapshots;

/// Why a copy was not made, or no house of one.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Not the caller's to do.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Not the caller's to do.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The catalog, or a copy of it.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store, or the folder.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// What the operator has to do first.
    #[error("{0}")]
    Wrong(String),
    /// A task of ours ended early.
    #[error("a task ended early")]
    Ended,
}

impl CopyError {
    /// What we were doing and why it failed, in one line for the operator.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.ends_with(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        text
    }
}

/// Runs a transaction by the right of who copies.
async fn write<T: Send + 'static>(
    catalog: &Catalog,
    by: &Presented,
    now: Micros,
    mut body: impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>, &Granted<'tx, Collect>) -> Result<T, CopyError>
    + Send
    + 'static,
) -> Result<T, CopyError> {
    let by = by.clone();
    let run = move |tx: &mut WriteTx<'_, '_>| {
        let copier = caller::<CopyError>(tx, &by, now)?;
        let may = decide_collect(&copier)?;
        body(tx, &may)
    };
    catalog.write(run).await
}

/// As [`write`], for one that reads.
async fn read<T: Send + 'static>(
    catalog: &Catalog,
    by: &Presented,
    now: Micros,
    mut body: impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>, &Granted<'tx, Collect>) -> Result<T, CopyError>
    + Send
    + 'static,
) -> Result<T, CopyError> {
    let by = by.clone();
    let run = move |tx: &mut ReadTx<'_, '_>| {
        let copier = caller::<CopyError>(tx, &by, now)?;
        let may = decide_collect(&copier)?;
        body(tx, &may)
    };
    catalog.read(run).await
}

async fn store_copy(catalog: &Catalog, by: &Presented, now: Micros) -> Result<StoreCopy, CopyError> {
    read(catalog, by, now, |tx, may| Ok(tx.store_copy(may))).await
}

/// Disk work, and databases that drive a runtime of their own.
async fn blocking<T: Send + 'static, E: Into<CopyError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, CopyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(CopyError::Ended),
    }
}

/// The name of a copy of the catalog: its time in UTC, as `20261125T231711-123456`. Names have the order of times.
fn name_of(time: Micros) -> String {
    let (seconds, micros) = (time.0.div_euclid(1_000_000), time.0.rem_euclid(1_000_000));
    let stamp = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    format!("{}-{micros:06}", stamp.strftime("%Y%m%dT%H%M%S"))
}

/// The time that a name says.
fn time_of(name: &str) -> Option<Micros> {
    let (stamp, micros) = name.split_once('-')?;
    let stamp = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", stamp).ok()?;
    let stamp = jiff::tz::Offset::UTC.to_timestamp(stamp).ok()?;
    Some(Micros(stamp.as_microsecond().saturating_add(micros.parse().ok()?)))
}
