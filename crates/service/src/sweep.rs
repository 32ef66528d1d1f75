//! Removing what has expired: upload sessions, and bytes in the trash.

use crate::devices::CODE_KEPT_SECONDS;
use crate::error::Fault;
use crate::{Denied, Service};
use packhouse_access::{Refused, decide_collect};
use packhouse_catalog::{CatalogError, Presented};

/// Rows of one transaction. More wait for the next round.
const BATCH: u32 = 200;

/// Why a round of sweeping ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Service {
    /// One round: at most 200 sessions and 200 files. Returns how many files it removed.
    ///
    /// The order: the file and its folder, then the row. A crash in between removes again what is not there.
    pub async fn sweep(&self) -> Result<usize, Fault> {
        let now = self.clock.now();
        self.store_uses().await?;
        let codes_until = now.minus_seconds(CODE_KEPT_SECONDS);
        let due = self
            .catalog
            .write(move |tx| {
                let worker = crate::access::caller::<SweepError>(tx, &Presented::Worker, now)?;
                let may = decide_collect(&worker)?;
                tx.end_expired_uploads(&may, now, BATCH)?;
                tx.remove_expired_devices(&may, codes_until, BATCH)?;
                Ok::<_, SweepError>(tx.trash_due(&may, now, BATCH)?)
            })
            .await
            .map_err(fault)?;
        let mut removed = Vec::new();
        for key in due {
            self.store.remove(&key).await?;
            removed.push(key);
        }
        let count = removed.len();
        if count > 0 {
            self.catalog
                .write(move |tx| {
                    let worker = crate::access::caller::<SweepError>(tx, &Presented::Worker, now)?;
                    let may = decide_collect(&worker)?;
                    Ok::<_, SweepError>(tx.forget_trash(&may, &removed)?)
                })
                .await
                .map_err(fault)?;
        }
        Ok(count)
    }
}

impl Service {
    /// Stores when tokens were used since this was last done: once for each token, and never while somebody waits.
    pub async fn store_uses(&self) -> Result<(), Fault> {
        let now = self.clock.now();
        let uses = self.limits.take_uses();
        for uses in uses.chunks(BATCH as usize) {
            let uses = uses.to_vec();
            self.catalog
                .write(move |tx| {
                    let worker = crate::access::caller::<SweepError>(tx, &Presented::Worker, now)?;
                    let may = decide_collect(&worker)?;
                    Ok::<_, SweepError>(tx.note_uses(&may, &uses)?)
                })
                .await
                .map_err(fault)?;
        }
        Ok(())
    }
}

pub(crate) fn fault(error: SweepError) -> Fault {
    match error {
        SweepError::Catalog(error) => Fault::Catalog(error),
        // A worker is always granted its own work.
        SweepError::Denied(_) | SweepError::Refused(_) => Fault::Ended,
    }
}
