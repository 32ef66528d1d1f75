//! Sums that are counted in memory on the way of a request and written by a worker.

use crate::Service;
use crate::access::caller;
use crate::error::Fault;
use crate::sweep::{SweepError, fault};
use ahash::RandomState;
use packhouse_access::{Collect, Granted, decide_collect};
use packhouse_catalog::{CatalogError, Presented, WriteTx};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Things counted at once. What comes beyond that between two rounds is not counted.
const COUNTED_MAX: usize = 100_000;
/// Sums of one transaction.
const BATCH: usize = 1_000;

/// What was counted since the last round.
#[derive(Debug)]
pub(crate) struct Tally<K>(Mutex<HashMap<K, u64, RandomState>>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Tally(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash + Ord> Tally<K> {
    pub(crate) fn add(&self, what: K, count: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = counts.get_mut(&what) {
            *known = known.saturating_add(count);
        } else if counts.len() < COUNTED_MAX {
            counts.insert(what, count);
        }
    }

    /// Whether half of the room is taken.
    pub(crate) fn is_half_full(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() >= COUNTED_MAX / 2
    }

    /// What was counted of something since the last round.
    pub(crate) fn counted(&self, what: &K) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(what).copied().unwrap_or(0)
    }

    /// All sums, in one order, so that two writers never wait in a circle.
    fn take(&self) -> Vec<(K, u64)> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken: Vec<(K, u64)> = counts.into_iter().collect();
        taken.sort_unstable();
        taken
    }
}

impl Service {
    /// Writes what was counted since the last round. Sums whose transaction failed are kept for the next one; those
    /// of a commit whose answer was lost are not, so that nothing is counted twice.
    pub(crate) async fn store<K, W>(&self, tally: &Tally<K>, write: W) -> Result<(), Fault>
    where
        K: Clone + Eq + Hash + Ord + Send + 'static,
        W: for<'c, 'tx> Fn(
                &mut WriteTx<'c, 'tx>,
                &Granted<'tx, Collect>,
                &[(K, u64)],
            ) -> Result<(), CatalogError>
            + Copy
            + Send
            + 'static,
    {
        let taken = tally.take();
        let now = self.clock.now();
        for (at, batch) in taken.chunks(BATCH).enumerate() {
            let counted = batch.to_vec();
            let written = self
                .catalog
                .write(move |tx| {
                    let worker = caller::<SweepError>(tx, &Presented::Worker, now)?;
                    let may = decide_collect(&worker)?;
                    Ok::<_, SweepError>(write(tx, &may, &counted)?)
                })
                .await
                .map_err(fault);
            if let Err(error) = written {
                let unknown = matches!(error, Fault::Catalog(CatalogError::CommitUnknown));
                let left = (at + usize::from(unknown)) * BATCH;
                for (what, count) in taken.get(left..).unwrap_or_default() {
                    tally.add(what.clone(), *count);
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
    fn sums_are_taken_once_and_in_order() {
        let tally = Tally::default();
        for (what, count) in [("b", 10), ("a", 7), ("b", 5)] {
            tally.add(what, count);
        }
        assert_eq!(tally.take(), [("a", 7), ("b", 15)]);
        assert_eq!(tally.take(), []);
    }

    #[test]
    fn what_is_counted_at_once_is_bounded() {
        let tally = Tally::default();
        for what in 0..COUNTED_MAX + 10 {
            assert_eq!(tally.is_half_full(), what >= COUNTED_MAX / 2);
            tally.add(what, 1);
        }
        tally.add(0, u64::MAX);
        let taken = tally.take();
        assert_eq!((taken.len(), taken[0]), (COUNTED_MAX, (0, u64::MAX)));
    }
}
