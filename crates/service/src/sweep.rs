//! Removing what has expired: upload sessions, and bytes in the trash.

use crate::devices::CODE_KEPT_SECONDS;
use crate::error::Fault;
use crate::gc::Collected;
use crate::together::together;
use crate::{Denied, Service};
use packhouse_access::{Refused, decide_collect};
use packhouse_blobs::Claim;
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

/// How long a worker may take to remove the bytes that it claimed, before another one may do it again.
const CLAIM_SECONDS: u64 = 300;

/// What a round removed.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// Storage keys whose bytes are gone.
    pub files: u64,
    /// Their bytes, as far as they were known.
    pub bytes: u64,
    /// What was collected, whose bytes go later.
    pub collected: Collected,
    /// Whether there may be more to do now.
    pub more: bool,
}

impl Service {
    /// One round of what a worker does: ends what has expired, collects what nothing needs, and removes bytes whose
    /// time is over; at most 200 of each.
    pub async fn sweep(&self) -> Result<Swept, Fault> {
        self.store_uses().await?;
        self.end_expired().await?;
        self.collect_and_remove(&Presented::Worker).await
    }

    /// A round of collection and one of removing bytes. What one of them cannot do does not hold up the other.
    pub(crate) async fn collect_and_remove(&self, by: &Presented) -> Result<Swept, Fault> {
        let collected = self.collect(by).await;
        let swept = self.remove_trash(by).await;
        let (collected, mut swept) = (collected?, swept?);
        swept.more |= collected.more;
        swept.collected = collected;
        Ok(swept)
    }

    async fn end_expired(&self) -> Result<(), Fault> {
        let now = self.clock.now();
        let codes_until = now.minus_seconds(CODE_KEPT_SECONDS);
        let (store, begun) = (self.store.clone(), self.begun.clone());
        let claims: Result<Vec<Claim>, SweepError> = self
            .catalog
            .write(move |tx| {
                let worker = crate::access::caller::<SweepError>(tx, &Presented::Worker, now)?;
                let may = decide_collect(&worker)?;
                // Held until the commit. A request that found its session in time keeps it, however long it takes.
                let mut claims = Vec::new();
                tx.end_expired_uploads(&may, now, BATCH, &mut |id| {
                    let claim = store.claim(id).ok();
                    let free = claim.is_some();
                    if free {
                        begun.take(id);
                    }
                    claims.extend(claim);
                    free
                })?;
                tx.remove_expired_devices(&may, codes_until, BATCH)?;
                Ok(claims)
            })
            .await;
        claims.map(drop).map_err(fault)
    }

    /// Removes the bytes of at most 200 keys from the trash.
    ///
    /// The order: the file and its folder, then the row. A crash in between removes again what is not there.
    async fn remove_trash(&self, by: &Presented) -> Result<Swept, Fault> {
        let now = self.clock.now();
        let presented = by.clone();
        let due = self
            .catalog
            .write(move |tx| {
                let worker = crate::access::caller::<SweepError>(tx, &presented, now)?;
                let may = decide_collect(&worker)?;
                Ok::<_, SweepError>(tx.claim_trash(&may, now, now.plus_seconds(CLAIM_SECONDS), BATCH)?)
            })
            .await
            .map_err(fault)?;
        let mut swept = Swept { more: due.len() == BATCH as usize, ..Swept::default() };
        let mut removed = Vec::new();
        let mut failed = None;
        for keys in due.chunks(self.settings.collect_at_once.max(1)) {
            let removing = together(keys.iter().map(|key| self.store.remove(key))).await;
            let mut away = false;
            for (key, outcome) in keys.iter().zip(removing) {
                // One that cannot be removed keeps its row, and holds up no other.
                match outcome {
                    Ok(()) => {
                        swept.files += 1;
                        swept.bytes = swept.bytes.saturating_add(key.size());
                        removed.push(key.clone());
                    }
                    Err(error) => {
                        away |= error.passes();
                        failed = Some(error);
                    }
                }
            }
            // The store is away, for the others too: they are claimed again in a while.
            if away {
                break;
            }
        }
        if !removed.is_empty() {
            let presented = by.clone();
            self.catalog
                .write(move |tx| {
                    let worker = crate::access::caller::<SweepError>(tx, &presented, now)?;
                    let may = decide_collect(&worker)?;
                    tx.forget_trash(&may, &removed)?;
                    let bytes = removed.iter().map(packhouse_catalog::TrashedKey::size).sum();
                    Ok::<_, SweepError>(tx.count_collected(&may, &[("bytes", removed.len() as u64, bytes)])?)
                })
                .await
                .map_err(fault)?;
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(swept),
        }
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
