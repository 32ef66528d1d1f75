//! Garbage collection by hand: a round at once, what one would remove, how it stands.

use super::{Answer, OperatorError};
use crate::Service;
use crate::error::Fault;
use packhouse_catalog::{Presented, Removed};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the operator wants of the collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GcCommand {
    /// Collects some of what is due now, and removes some of the bytes whose time is over. Asked again until
    /// [`GcRoundView::more`] is false.
    Round,
    /// Shows what collecting now would remove.
    DryRun,
    /// Shows what waits, what lies in the trash, and what was collected.
    Status,
}

/// What a round did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcRoundView {
    /// Reviews that were looked at.
    pub reviews: u64,
    /// Things that were removed from the catalog, by kind.
    pub removed: BTreeMap<String, u64>,
    /// Bytes of manifests, and of blobs whose bytes went to the trash.
    pub collected_bytes: u64,
    /// Files or objects that were removed from the store.
    pub files: u64,
    /// Their bytes, as far as they were known.
    pub reclaimed_bytes: u64,
    /// Whether there may be more to do now.
    pub more: bool,
}

impl GcRoundView {
    /// Adds what another round did.
    pub fn add(&mut self, other: &GcRoundView) {
        self.reviews += other.reviews;
        self.collected_bytes += other.collected_bytes;
        self.files += other.files;
        self.reclaimed_bytes += other.reclaimed_bytes;
        for (kind, count) in &other.removed {
            *self.removed.entry(kind.clone()).or_default() += count;
        }
        self.more = other.more;
    }
}

/// A thing that would be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarbageView {
    /// `package`, `version`, `link`, `manifest` or `blob`.
    pub kind: String,
    /// The package's path, where it is of one.
    pub package: Option<String>,
    /// Its digest, where it has one.
    pub digest: Option<String>,
    /// Bytes that it takes.
    pub bytes: u64,
}

/// Reviews of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcWaitingView {
    /// What is reviewed.
    pub kind: String,
    /// How many wait.
    pub waiting: u64,
    /// How many of them are due.
    pub due: u64,
    /// When the first one is due, microseconds since 1970.
    pub first_at: i64,
}

/// What was collected of one kind since the first start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcTotalView {
    /// `package`, `version`, `link`, `manifest`, `blob`; `bytes`: files or objects that were removed.
    pub kind: String,
    /// How many.
    pub things: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How collection stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcStatusView {
    /// What is to be looked at.
    pub reviews: Vec<GcWaitingView>,
    /// Storage keys whose bytes are to be removed.
    pub trash_keys: u64,
    /// Their bytes, as far as they are known.
    pub trash_bytes: u64,
    /// Those of them that a kept or running copy of the catalog still names.
    pub trash_held: u64,
    /// What was collected since the first start.
    pub collected: Vec<GcTotalView>,
}

impl Service {
    pub(super) async fn operate_gc(&self, command: &GcCommand) -> Result<Answer, OperatorError> {
        match command {
            GcCommand::Round => Ok(Answer::GcRound(self.gc_round().await?)),
            GcCommand::DryRun => {
                let removed = self.collect_dry(&Presented::Operator).await?;
                Ok(Answer::Garbage(removed.into_iter().map(garbage).collect()))
            }
            GcCommand::Status => {
                let status = self.gc_status(&Presented::Operator).await?;
                let reviews = status.waiting.into_iter().map(|waiting| GcWaitingView {
                    kind: waiting.kind.name().to_owned(),
                    waiting: waiting.count,
                    due: waiting.due,
                    first_at: waiting.first.0,
                });
                let collected = status.collected.into_iter();
                Ok(Answer::GcStatus(GcStatusView {
                    reviews: reviews.collect(),
                    trash_keys: status.trash.keys,
                    trash_bytes: status.trash.bytes,
                    trash_held: status.trash.held,
                    collected: collected
                        .map(|(kind, things, bytes)| GcTotalView { kind, things, bytes })
                        .collect(),
                }))
            }
        }
    }

    async fn gc_round(&self) -> Result<GcRoundView, Fault> {
        let swept = self.collect_and_remove(&Presented::Operator).await?;
        let collected = swept.collected;
        Ok(GcRoundView {
            reviews: collected.reviews,
            removed: collected.things.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
            collected_bytes: collected.bytes,
            files: swept.files,
            reclaimed_bytes: swept.bytes,
            more: swept.more,
        })
    }
}

fn garbage(removed: Removed) -> GarbageView {
    let kind = crate::kind_of(&removed).to_owned();
    let (package, digest, bytes) = match removed {
        Removed::Package { path } => (Some(path), None, 0),
        Removed::Version { path, digest } | Removed::Link { path, digest } => {
            (Some(path), Some(digest.to_string()), 0)
        }
        Removed::Manifest { digest, size } | Removed::Blob { digest, size } => {
            (None, Some(digest.to_string()), size)
        }
    };
    GarbageView { kind, package, digest, bytes }
}
