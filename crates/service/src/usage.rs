//! What an account uses: storage now, and transfer by the month, which is counted in memory on the way of a pull and
//! written by a worker.

use crate::access::caller;
use crate::error::Fault;
use crate::identity::Shown;
use crate::sweep::{SweepError, fault};
use crate::tally::Tally;
use crate::{ListError, Service};
use packhouse_access::{AccountId, Bytes, Limits, SeeUsage, decide_namespace, decide_operate};
use packhouse_catalog::{Micros, Presented, Transfer};

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
    /// What the account's plan allows.
    pub limits: Limits,
}

/// A month in the catalog: the year times 100 and the month, in UTC.
pub(crate) fn month_of(time: Micros) -> i64 {
    let time = jiff::Timestamp::from_microsecond(time.0).unwrap_or_default();
    let date = jiff::tz::Offset::UTC.to_datetime(time).date();
    i64::from(date.year()) * 100 + i64::from(date.month())
}

/// Bytes that were sent: from whose packages, in which month, and whether from public ones.
pub(crate) type Transfers = Tally<(AccountId, i64, bool)>;

impl Transfers {
    /// Bytes of a blob are about to be sent.
    pub(crate) fn note(&self, owner: AccountId, public: bool, now: Micros, bytes: u64) {
        self.add((owner, month_of(now), public), bytes);
    }

    /// What was sent from an account's packages since the last round.
    pub(crate) fn unwritten(&self, owner: AccountId, now: Micros) -> Bytes {
        let of = |public| self.counted(&(owner, month_of(now), public));
        let private = of(false);
        Bytes { all: private.saturating_add(of(true)), private }
    }
}

impl Service {
    /// Takes over the plans of the configuration; `default` is one of them, for accounts that were given none. By a
    /// server at its start, not by commands.
    pub async fn adopt_plans(&self, plans: &[(String, Limits)], default: &str) -> Result<(), Fault> {
        let (plans, default, now) = (plans.to_vec(), default.to_owned(), self.clock.now());
        self.catalog
            .write(move |tx| {
                tx.lock_settings()?;
                let operator = caller::<SweepError>(tx, &Presented::Operator, now)?;
                let may = decide_operate(&operator)?;
                Ok::<_, SweepError>(tx.put_plans(&may, &plans, &default)?)
            })
            .await
            .map_err(fault)
    }

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
                let (stored, sent) = tx.usage(&may, month)?;
                Ok(Usage {
                    login: account.login,
                    storage: stored.all,
                    private_storage: stored.private,
                    transfer: sent.all,
                    private_transfer: sent.private,
                    limits: tx.plan_limits(&may)?,
                })
            })
            .await
    }

    /// Writes what was sent since the last round.
    pub async fn store_transfers(&self) -> Result<(), Fault> {
        self.store(&self.transfers, |tx, may, counted| {
            let transfers: Vec<Transfer> = counted
                .iter()
                .map(|((owner, month, public), bytes)| Transfer {
                    owner: *owner,
                    month: *month,
                    public: *public,
                    bytes: *bytes,
                })
                .collect();
            tx.count_transfers(may, &transfers)
        })
        .await
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
}
