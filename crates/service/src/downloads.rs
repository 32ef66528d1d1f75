//! Counting downloads: in memory on the way of a pull, written by a worker.

use crate::Service;
use crate::error::Fault;
use crate::tally::Tally;
use packhouse_access::{PackageId, VersionId};
use packhouse_catalog::Download;
use packhouse_oci::{Reference, Tag};

/// Manifests that were pulled, under a tag or by their digest.
pub(crate) type Downloads = Tally<(PackageId, VersionId, Option<Tag>)>;

impl Downloads {
    /// A manifest is sent.
    pub(crate) fn note(&self, package: PackageId, version: VersionId, reference: &Reference) {
        let tag = match reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(_) => None,
        };
        self.add((package, version, tag), 1);
    }
}

impl Service {
    /// Whether so many different manifests were pulled since the last round that the next one should not wait.
    pub fn many_downloads_wait(&self) -> bool {
        self.downloads.is_half_full()
    }

    /// Writes which manifests were pulled since the last round.
    pub async fn store_downloads(&self) -> Result<(), Fault> {
        let now = self.clock.now();
        self.store(&self.downloads, move |tx, may, counted| {
            let downloads: Vec<Download> = counted
                .iter()
                .map(|((package, version, tag), count)| Download {
                    package: *package,
                    version: *version,
                    tag: tag.as_ref().map(|tag| tag.as_str().to_owned()),
                    count: *count,
                })
                .collect();
            tx.count_downloads(may, &downloads, now)
        })
        .await
    }
}
