//! Counting downloads: in memory on the way of a pull, written by a worker.

use crate::Service;
use crate::error::Fault;
use crate::sweep::{SweepError, fault};
use packhouse_access::{PackageId, VersionId, decide_collect};
use packhouse_catalog::{Download, Presented};
use packhouse_oci::Reference;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Things counted at once. What is pulled beyond that between two rounds is not counted.
const COUNTED_MAX: usize = 100_000;
/// Sums of one transaction.
const BATCH: usize = 1_000;

/// A version in its package, under a tag or by its digest.
type Counted = (PackageId, VersionId, Option<String>);

/// What was pulled since the last round.
#[derive(Debug, Default)]
pub(crate) struct Downloads(Mutex<HashMap<Counted, u64>>);

impl Downloads {
    /// A manifest is sent.
    pub(crate) fn note(&self, package: PackageId, version: VersionId, reference: &Reference) {
        let tag = match reference {
            Reference::Tag(tag) => Some(tag.as_str().to_owned()),
            Reference::Digest(_) => None,
        };
        self.add((package, version, tag), 1);
    }

    fn add(&self, what: Counted, count: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = counts.get_mut(&what) {
            *known += count;
        } else if counts.len() < COUNTED_MAX {
            counts.insert(what, count);
        }
    }

    fn take(&self) -> Vec<Download> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken: Vec<Download> = counts
            .into_iter()
            .map(|((package, version, tag), count)| Download { package, version, tag, count })
            .collect();
        taken.sort_unstable();
        taken
    }

    fn put_back(&self, downloads: &[Download]) {
        for Download { package, version, tag, count } in downloads {
            self.add((*package, *version, tag.clone()), *count);
        }
    }
}

impl Service {
    /// Writes what was counted since the last round. Sums whose transaction failed are kept for the next one; those
    /// of a commit whose answer was lost are not, so that nothing is counted twice.
    pub async fn store_downloads(&self) -> Result<(), Fault> {
        let taken = self.downloads.take();
        let now = self.clock.now();
        for (at, batch) in taken.chunks(BATCH).enumerate() {
            let counted = batch.to_vec();
            let written = self
                .catalog
                .write(move |tx| {
                    let worker = crate::access::caller::<SweepError>(tx, &Presented::Worker, now)?;
                    let may = decide_collect(&worker)?;
                    Ok::<_, SweepError>(tx.count_downloads(&may, &counted)?)
                })
                .await
                .map_err(fault);
            if let Err(error) = written {
                let unknown = matches!(error, Fault::Catalog(packhouse_catalog::CatalogError::CommitUnknown));
                let left = (at + usize::from(unknown)) * BATCH;
                self.downloads.put_back(taken.get(left..).unwrap_or_default());
                return Err(error);
            }
        }
        Ok(())
    }
}
