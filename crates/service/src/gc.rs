//! Garbage collection, beside everything else and without a pause.
//!
//! Whatever can orphan something has enqueued a review of it in its own transaction. A round claims some of the due
//! ones, looks at each package's in a transaction of their own, then at manifests and blobs that packages share; what
//! nothing needs is removed, and a blob's storage key goes to the trash. Its bytes go later, by that key, which no
//! later upload of the same digest shares ([`Service::sweep`]). Any number of nodes do this at once.

use crate::access::caller;
use crate::error::Fault;
use crate::sweep::{SweepError, fault};
use crate::together::together;
use crate::{Denied, Service};
use packhouse_access::{Collect, Granted, Refused, decide_collect};
use packhouse_catalog::{
    CatalogError, Claimed, DamageTotal, Judgement, Presented, Removed, ReviewKind, TrashTotal, Waiting,
    WriteTx,
};
use std::collections::BTreeMap;

/// Reviews of one round, and of one transaction at the most.
const BATCH: u32 = 200;
/// How long a worker may take for the reviews that it claimed, before another one may look at them.
const CLAIM_SECONDS: u64 = 60;
/// Things that a dry run looks at. It runs in one transaction, which others wait for on SQLite.
const DRY_RUN_MAX: usize = 5_000;
/// Rounds of a dry run: reviews lead to others, some levels deep.
const DRY_ROUNDS_MAX: usize = 100;

/// What a round of collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Reviews that were looked at.
    pub reviews: u64,
    /// Things that were removed, by the name of their kind.
    pub things: BTreeMap<&'static str, u64>,
    /// Bytes of manifests, and of blobs whose bytes went to the trash.
    pub bytes: u64,
    /// Whether there may be more to do now.
    pub more: bool,
}

impl Collected {
    fn note(&mut self, removed: &[Removed]) {
        for removed in removed {
            *self.things.entry(kind_of(removed)).or_default() += 1;
            self.bytes = self.bytes.saturating_add(bytes_of(removed));
        }
    }

    /// Adds what another round did.
    pub fn add(&mut self, other: &Collected) {
        self.reviews += other.reviews;
        self.bytes = self.bytes.saturating_add(other.bytes);
        for (kind, count) in &other.things {
            *self.things.entry(kind).or_default() += count;
        }
        self.more = other.more;
    }
}

/// The name of a removed thing's kind.
pub fn kind_of(removed: &Removed) -> &'static str {
    match removed {
        Removed::Package { .. } => ReviewKind::Package.name(),
        Removed::Version { .. } => ReviewKind::Version.name(),
        Removed::Link { .. } => ReviewKind::Link.name(),
        Removed::Manifest { .. } => ReviewKind::Manifest.name(),
        Removed::Blob { .. } => ReviewKind::Blob.name(),
    }
}

fn bytes_of(removed: &Removed) -> u64 {
    match removed {
        Removed::Manifest { size, .. } | Removed::Blob { size, .. } => *size,
        Removed::Package { .. } | Removed::Version { .. } | Removed::Link { .. } => 0,
    }
}

/// How collection stands.
#[derive(Clone, Debug)]
pub struct GcStatus {
    /// Reviews that wait, by kind.
    pub waiting: Vec<Waiting>,
    /// What lies in the trash.
    pub trash: TrashTotal,
    /// What was collected since the first start: name, things, bytes.
    pub collected: Vec<(String, u64, u64)>,
    /// What is damaged, and answers as if it were not there.
    pub damaged: DamageTotal,
}

/// How a dry run ends: what it did is rolled back.
enum Dry {
    Done(Vec<Removed>),
    Failed(SweepError),
}

impl From<CatalogError> for Dry {
    fn from(error: CatalogError) -> Self {
        Dry::Failed(error.into())
    }
}
impl From<Denied> for Dry {
    fn from(error: Denied) -> Self {
        Dry::Failed(error.into())
    }
}
impl From<Refused> for Dry {
    fn from(error: Refused) -> Self {
        Dry::Failed(error.into())
    }
}

impl Service {
    fn judgement(&self) -> Judgement {
        let now = self.clock.now();
        Judgement {
            now,
            restorable_since: now.minus_seconds(self.settings.deleted_seconds),
            // Who was sent to the bucket still reads there.
            trash_at: now
                .plus_seconds(self.settings.gc_grace_seconds.max(self.store.address_life().as_secs())),
        }
    }

    /// One round: at most 200 due reviews.
    pub(crate) async fn collect(&self, by: &Presented) -> Result<Collected, Fault> {
        let judgement = self.judgement();
        let (now, until) = (judgement.now, judgement.now.plus_seconds(CLAIM_SECONDS));
        let presented = by.clone();
        let claimed = self
            .catalog
            .write(move |tx| {
                let worker = caller::<SweepError>(tx, &presented, now)?;
                let may = decide_collect(&worker)?;
                Ok::<_, SweepError>(tx.claim_reviews(&may, now, until, BATCH)?)
            })
            .await
            .map_err(fault)?;
        let mut done = Collected {
            reviews: claimed.len() as u64,
            more: claimed.len() == BATCH as usize,
            ..Collected::default()
        };
        let mut failed = None;
        let groups: Vec<&[Claimed]> = groups(&claimed).collect();
        for groups in groups.chunks(self.settings.collect_at_once.max(1)) {
            let collecting = groups.iter().map(|group| self.collect_group(by, group, judgement));
            for collected in together(collecting).await {
                match collected {
                    Ok(removed) => done.note(&removed),
                    // The catalog is away, for the others too: they are due again in a while.
                    Err(error) if error.passes() => return Err(error),
                    // What cannot be looked at holds up nothing else.
                    Err(error) => failed = Some(error),
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        // What was removed has led to other things that are due now.
        done.more |= !done.things.is_empty();
        Ok(done)
    }

    async fn collect_group(
        &self,
        by: &Presented,
        group: &[Claimed],
        judgement: Judgement,
    ) -> Result<Vec<Removed>, Fault> {
        let (presented, group) = (by.clone(), group.to_vec());
        self.catalog
            .write(move |tx| {
                let worker = caller::<SweepError>(tx, &presented, judgement.now)?;
                let may = decide_collect(&worker)?;
                let removed = look_at(tx, &may, &group, &judgement)?;
                count(tx, &may, &removed)?;
                Ok::<_, SweepError>(removed)
            })
            .await
            .map_err(fault)
    }

    /// What would be removed if everything that is due were collected now, at most some thousand things: it is
    /// collected, and the transaction rolled back.
    pub(crate) async fn collect_dry(&self, by: &Presented) -> Result<Vec<Removed>, Fault> {
        let judgement = self.judgement();
        let now = judgement.now;
        let presented = by.clone();
        let ended: Result<(), Dry> = self
            .catalog
            .write(move |tx| {
                let worker = caller::<Dry>(tx, &presented, now)?;
                let may = decide_collect(&worker)?;
                let mut removed = Vec::new();
                for _ in 0..DRY_ROUNDS_MAX {
                    let claimed = tx.claim_reviews(&may, now, now.plus_seconds(CLAIM_SECONDS), BATCH)?;
                    if claimed.is_empty() || removed.len() >= DRY_RUN_MAX {
                        break;
                    }
                    for group in groups(&claimed) {
                        removed.extend(look_at(tx, &may, group, &judgement)?);
                    }
                }
                removed.truncate(DRY_RUN_MAX);
                Err(Dry::Done(removed))
            })
            .await;
        match ended {
            Ok(()) => Ok(Vec::new()),
            Err(Dry::Done(removed)) => Ok(removed),
            Err(Dry::Failed(error)) => Err(fault(error)),
        }
    }

    /// How collection stands.
    pub async fn gc_status(&self, by: &Presented) -> Result<GcStatus, Fault> {
        let now = self.clock.now();
        let presented = by.clone();
        self.catalog
            .read(move |tx| {
                let worker = caller::<SweepError>(tx, &presented, now)?;
                let may = decide_collect(&worker)?;
                Ok::<_, SweepError>(GcStatus {
                    waiting: tx.reviews_waiting(&may, now)?,
                    trash: tx.trash_total(&may, now)?,
                    collected: tx.collected(&may)?,
                    damaged: tx.damage_total(&may)?,
                })
            })
            .await
            .map_err(fault)
    }

    /// Until a time, a client that was told now that something is there may build on it.
    pub(crate) fn pinned_until(&self) -> packhouse_catalog::Micros {
        self.clock.now().plus_seconds(self.settings.gc_grace_seconds)
    }
}

/// Reviews that are looked at in one transaction: those of one package, of manifests, of blobs.
fn groups(claimed: &[Claimed]) -> impl Iterator<Item = &[Claimed]> {
    claimed.chunk_by(|a, b| match (a.package, b.package) {
        (None, None) => a.kind == b.kind,
        (a, b) => a == b,
    })
}

fn look_at<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Collect>,
    group: &[Claimed],
    judgement: &Judgement,
) -> Result<Vec<Removed>, CatalogError> {
    match group.first() {
        None => Ok(Vec::new()),
        Some(Claimed { package: Some(package), .. }) => {
            tx.collect_in_package(may, *package, group, judgement)
        }
        Some(Claimed { kind: ReviewKind::Manifest, .. }) => tx.collect_manifests(may, group),
        Some(_) => tx.collect_blobs(may, group, judgement),
    }
}

fn count<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Collect>,
    removed: &[Removed],
) -> Result<(), CatalogError> {
    let mut sums: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    for removed in removed {
        let sum = sums.entry(kind_of(removed)).or_default();
        *sum = (sum.0 + 1, sum.1.saturating_add(bytes_of(removed)));
    }
    let sums: Vec<_> = sums.into_iter().map(|(name, (things, bytes))| (name, things, bytes)).collect();
    tx.count_collected(may, &sums)
}
