//! What an account uses: storage now, and transfer by the month, which is counted in memory on the way of a pull and
//! written by a worker.

use crate::access::caller;
use crate::error::Fault;
use crate::identity::Shown;
use crate::sweep::{SweepError, fault};
use crate::{ListError, Service};
use packhouse_access::{AccountId, SeeUsage, decide_collect, decide_namespace};
use packhouse_catalog::{CatalogError, Micros, Presented, Transfer};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Accounts counted at once. What is sent beyond that between two rounds is not counted.
const COUNTED_MAX: usize = 100_000;
/// Sums of one transaction.
const BATCH: usize = 1_000;

/// What an account uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The account's name as it was written.
    pub login: String,
    /// Bytes of all configs and layers, each counted once.
    pub storage: u64,
    /// Those of them that private and internal packages have.
    pub private_storage: u64,
    /// Bytes of blobs that were sent in the month.
    pub transfer: u64,
    /// Those of them from private and internal packages.
    pub private_transfer: u64,
}

/// A month in the catalog: the year times 100 and the month, in UTC.
fn month_of(time: Micros) -> i64 {
    let time = jiff::Timestamp::from_microsecond(time.0).unwrap_or_default();
    let date = jiff::tz::Offset::UTC.to_datetime(time).date();
    i64::from(date.year()) * 100 + i64::from(date.month())
}

/// What was sent since the last round.
#[derive(Debug, Default)]
pub(crate) struct Transfers(Mutex<HashMap<(AccountId, i64, bool), u64>>);

impl Transfers {
    /// Bytes of a blob are about to be sent.
    pub(crate) fn note(&self, owner: AccountId, public: bool, now: Micros, bytes: u64) {
        self.add((owner, month_of(now), public), bytes);
    }

    fn add(&self, what: (AccountId, i64, bool), bytes: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = counts.get_mut(&what) {
            *known = known.saturating_add(bytes);
        } else if counts.len() < COUNTED_MAX {
            counts.insert(what, bytes);
        }
    }

    fn take(&self) -> Vec<Transfer> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken: Vec<Transfer> = counts
            .into_iter()
            .map(|((owner, month, public), bytes)| Transfer { owner, month, public, bytes })
            .collect();
        taken.sort_unstable();
        taken
    }
}

impl Service {
    /// What the account of that name uses, with the transfer of a month (the year times 100 and the month; this one,
    /// when none is said).
    pub async fn usage(&self, shown: &Shown, name: &str, month: Option<i64>) -> Result<Usage, ListError> {
        let presented = self.presented(shown)?;
        let (name, now) = (name.to_lowercase(), self.clock.now());
        let month = month.unwrap_or_else(|| month_of(now));
        self.catalog
            .read(move |tx| {
                let caller = caller::<ListError>(tx, &presented, now)?;
                let facts = tx.namespace_facts(&caller, &name)?;
                let may = decide_namespace::<SeeUsage>(&facts)?;
                let account = tx.account(&name)?.ok_or(ListError::NameUnknown)?;
                Ok(Usage {
                    login: account.login,
                    storage: tx.storage(&may, true)?,
                    private_storage: tx.storage(&may, false)?,
                    transfer: tx.transferred(&may, month, true)?,
                    private_transfer: tx.transferred(&may, month, false)?,
                })
            })
            .await
    }

    /// Writes what was counted since the last round. Sums whose transaction failed are kept for the next one; those
    /// of a commit whose answer was lost are not, so that nothing is counted twice.
    pub async fn store_transfers(&self) -> Result<(), Fault> {
        let taken = self.transfers.take();
        let now = self.clock.now();
        for (at, batch) in taken.chunks(BATCH).enumerate() {
            let counted = batch.to_vec();
            let written = self
                .catalog
                .write(move |tx| {
                    let worker = caller::<SweepError>(tx, &Presented::Worker, now)?;
                    let may = decide_collect(&worker)?;
                    Ok::<_, SweepError>(tx.count_transfers(&may, &counted)?)
                })
                .await
                .map_err(fault);
            if let Err(error) = written {
                let unknown = matches!(error, Fault::Catalog(CatalogError::CommitUnknown));
                let left = (at + usize::from(unknown)) * BATCH;
                for Transfer { owner, month, public, bytes } in taken.get(left..).unwrap_or_default() {
                    self.transfers.add((*owner, *month, *public), *bytes);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_that_of_utc() {
        let at = |text: &str| Micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond());
        assert_eq!(month_of(at("2026-11-30T23:59:59.999Z")), 202_611);
        assert_eq!(month_of(at("2026-12-01T00:00:00Z")), 202_612);
        assert_eq!(month_of(at("2027-01-01T00:30:00+01:00")), 202_612);
    }

    #[test]
    fn sums_are_taken_once() {
        let transfers = Transfers::default();
        transfers.note(AccountId(1), true, Micros(0), 10);
        transfers.note(AccountId(1), true, Micros(1), 5);
        transfers.note(AccountId(1), false, Micros(1), 7);
        let taken: Vec<_> = transfers.take().iter().map(|one| (one.public, one.bytes, one.month)).collect();
        assert_eq!(taken, [(false, 7, 197_001), (true, 15, 197_001)]);
        assert_eq!(transfers.take(), []);
    }
}
