//! Applying policies: plans, and the rounds of the worker.

use super::engine::{Verdict, judge};
use super::policy::Policy;
use crate::Service;
use crate::access::caller;
use crate::error::{Denied, Fault};
use crate::identity::Shown;
use crate::manage::ManageError;
use packhouse_access::{
    Administer, Caller, Refusal, Refused, VersionId, decide, decide_collect, decide_prune, decide_version_end,
};
use packhouse_catalog::{CatalogError, DuePolicy, Micros, Presented, PruneRow, ReadTx};
use packhouse_oci::{Digest, PackageName};
use std::collections::HashMap;

/// Versions of a package that are looked at. Older ones beyond that stay.
const VERSIONS_MAX: usize = 500_000;
/// Rows of one query.
const PAGE: u32 = 500;
/// Versions that one transaction ends.
const BATCH: usize = 20;
/// Policies of one round, and packages of one query.
const DUE_MAX: u32 = 100;
/// The job that one node at a time does, and how long it has it without saying so again.
const JOB: &str = "retention";
const LEASE_SECONDS: u32 = 60;

/// A version with what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What becomes of it.
    pub verdict: Verdict,
    /// Its digest.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was pushed; none: it is not known.
    pub pushed_at: Option<i64>,
    /// When it was pulled last.
    pub pulled_at: Option<i64>,
}

/// What a policy would do to a package, or has done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose policy: the owner's name or the package's path.
    pub of: String,
    /// Each version, the newest first.
    pub versions: Vec<Planned>,
    /// Versions that stay, parts not counted.
    pub kept: u64,
    /// Versions that go, parts not counted.
    pub dropped: u64,
}

/// A plan, and the rows that it was made from.
struct Drawn {
    of: String,
    /// As it is kept.
    text: String,
    rows: Vec<PruneRow>,
    verdicts: Vec<Verdict>,
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<RunError> for Fault {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Catalog(error) => Fault::Catalog(error),
            // A worker is always granted its own work.
            RunError::Denied(_) | RunError::Refused(_) => Fault::Ended,
        }
    }
}

/// What the policy of a package does to it; nothing when there is neither package nor policy.
fn draw<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    worker: &Caller<'tx>,
    path: &str,
    now: Micros,
) -> Result<Option<Drawn>, RunError> {
    let may = match decide_prune(&tx.facts(worker, path)?) {
        Err(refused) if refused.refusal == Refusal::NotFound => return Ok(None),
        may => may?,
    };
    let Some(record) = tx.retention_to_apply(&may)? else { return Ok(None) };
    // What a newer program wrote and this one cannot read is not applied.
    let Some(policy) = Policy::from_text(&record.policy) else { return Ok(None) };
    let Ok(tags) = policy.patterns() else { return Ok(None) };
    let rules = tx.tag_rules_for(&may)?;
    let mut rows: Vec<PruneRow> = Vec::new();
    loop {
        let page = tx.prune_rows(&may, rows.last().map(|row| row.id), PAGE)?;
        let done = page.len() < PAGE as usize;
        rows.extend(page);
        if done || rows.len() >= VERSIONS_MAX {
            break;
        }
    }
    let package = may.package();
    let held = |tag: &str| rules.holds(package, tag).map(|held| held.to_string());
    let verdicts = judge(&policy, &tags, &rows, held, now);
    Ok(Some(Drawn { of: record.of, text: record.policy, rows, verdicts }))
}

impl Drawn {
    fn plan(self) -> Plan {
        let count = |drop: bool| {
            let of = self.rows.iter().zip(&self.verdicts);
            of.filter(|(row, verdict)| !row.part && verdict.drop == drop).count() as u64
        };
        let (kept, dropped) = (count(false), count(true));
        let planned = |(row, verdict): (PruneRow, Verdict)| Planned {
            verdict,
            digest: row.digest,
            tags: row.tags,
            pushed_at: row.pushed_at.map(|at| at.0),
            pulled_at: row.pulled_at.map(|at| at.0),
        };
        let versions = self.rows.into_iter().zip(self.verdicts).map(planned).collect();
        Plan { of: self.of, versions, kept, dropped }
    }
}

impl Service {
    /// Says what the policy of a package would do to each version, and does nothing.
    pub async fn retention_plan(&self, shown: &Shown, name: &PackageName) -> Result<Plan, ManageError> {
        self.plan_as(self.presented(shown)?, name).await
    }

    /// Applies the policy of a package now. Who administers the package asks; the worker does it.
    pub async fn run_retention(&self, shown: &Shown, name: &PackageName) -> Result<Plan, ManageError> {
        self.run_as(self.presented(shown)?, name).await
    }

    pub(crate) async fn plan_as(
        &self,
        presented: Presented,
        name: &PackageName,
    ) -> Result<Plan, ManageError> {
        let (path, now) = (name.as_str().to_owned(), self.clock.now());
        let drawn = self.catalog.read(move |tx| {
            let asks = caller::<ManageError>(tx, &presented, now)?;
            decide::<Administer>(&tx.facts(&asks, &path)?)?;
            let worker = caller::<ManageError>(tx, &Presented::Worker, now)?;
            draw(tx, &worker, &path, now).map_err(|error| ManageError::Fault(error.into()))
        });
        let drawn = drawn.await?.ok_or_else(|| ManageError::unknown("retention policy of", name.as_str()))?;
        Ok(drawn.plan())
    }

    pub(crate) async fn run_as(&self, presented: Presented, name: &PackageName) -> Result<Plan, ManageError> {
        let (path, now) = (name.as_str().to_owned(), self.clock.now());
        self.catalog
            .read(move |tx| {
                let asks = caller::<ManageError>(tx, &presented, now)?;
                decide::<Administer>(&tx.facts(&asks, &path)?)?;
                Ok::<_, ManageError>(())
            })
            .await?;
        let done = self.prune(name.as_str(), None).await.map_err(ManageError::Fault)?;
        done.ok_or_else(|| ManageError::unknown("retention policy of", name.as_str()))
    }

    /// One round of the worker: the policies whose time has come, if this node has the job. Returns how many versions
    /// were dropped.
    pub async fn retention_round(&self) -> Result<u64, Fault> {
        let now = self.clock.now();
        // Most rounds find nothing, and read only.
        let any = self.policies_due(now).await?;
        if any.is_empty() || !self.lease_job().await? {
            return Ok(0);
        }
        // What another node did before it gave the job away is not due any more.
        let due = self.policies_due(now).await?;
        let mut dropped = 0;
        for policy in due {
            match self.apply(&policy).await? {
                Some(count) => dropped += count,
                // The job is another node's now.
                None => return Ok(dropped),
            }
        }
        let holder = self.holder();
        self.catalog
            .write(move |tx| {
                let worker = caller::<RunError>(tx, &Presented::Worker, now)?;
                let may = decide_collect(&worker)?;
                Ok::<_, RunError>(tx.end_job(&may, JOB, &holder)?)
            })
            .await?;
        Ok(dropped)
    }

    async fn policies_due(&self, now: Micros) -> Result<Vec<DuePolicy>, Fault> {
        let due = self.catalog.read(move |tx| {
            let worker = caller::<RunError>(tx, &Presented::Worker, now)?;
            Ok::<_, RunError>(tx.retention_due(&decide_collect(&worker)?, now, DUE_MAX)?)
        });
        Ok(due.await?)
    }

    /// A name for this process among those that share the catalog.
    fn holder(&self) -> String {
        self.node.to_string()
    }

    async fn lease_job(&self) -> Result<bool, Fault> {
        let (holder, now) = (self.holder(), self.clock.now());
        let leased = self.catalog.write(move |tx| {
            let worker = caller::<RunError>(tx, &Presented::Worker, now)?;
            Ok::<_, RunError>(tx.lease_job(&decide_collect(&worker)?, JOB, &holder, LEASE_SECONDS)?)
        });
        Ok(leased.await?)
    }

    /// Applies a policy to the packages that it is for; none when the job was lost. The policy is due again after its
    /// whole round, so what a crash cut short is begun again.
    async fn apply(&self, policy: &DuePolicy) -> Result<Option<u64>, Fault> {
        let (mut kept, mut dropped, mut after) = (0, 0, String::new());
        loop {
            let (id, from, now) = (policy.id, after.clone(), self.clock.now());
            let paths = self.catalog.read(move |tx| {
                let worker = caller::<RunError>(tx, &Presented::Worker, now)?;
                Ok::<_, RunError>(tx.packages_under(&decide_collect(&worker)?, id, &from, DUE_MAX)?)
            });
            let paths = paths.await?;
            let Some(last) = paths.last() else { break };
            after.clone_from(last);
            for path in &paths {
                if !self.lease_job().await? {
                    return Ok(None);
                }
                match self.prune(path, Some(JOB)).await {
                    Ok(Some(plan)) => {
                        kept += plan.kept;
                        dropped += plan.dropped;
                    }
                    Ok(None) => {}
                    // One package that fails does not keep the others waiting.
                    Err(error) => {
                        tracing::error!(
                            error = packhouse_catalog::chain(&error),
                            package.name = %path,
                            "retention of `{path}` failed; its next round tries again"
                        );
                    }
                }
            }
        }
        let (policy, now) = (policy.clone(), self.clock.now());
        let next = Policy::from_text(&policy.policy).and_then(|policy| policy.next_after(now));
        self.catalog
            .write(move |tx| {
                let worker = caller::<RunError>(tx, &Presented::Worker, now)?;
                let may = decide_collect(&worker)?;
                Ok::<_, RunError>(tx.retention_ran(&may, &policy, (kept, dropped), next, now)?)
            })
            .await?;
        Ok(Some(dropped))
    }

    /// Applies the policy of one package; none when it has none. Under a job, only while this node has it.
    async fn prune(&self, path: &str, job: Option<&'static str>) -> Result<Option<Plan>, Fault> {
        let (name, now) = (path.to_owned(), self.clock.now());
        let drawn = self.catalog.read(move |tx| {
            let worker = caller::<RunError>(tx, &Presented::Worker, now)?;
            draw(tx, &worker, &name, now)
        });
        let Some(drawn) = drawn.await? else { return Ok(None) };
        // Wholes before what they are made of: they have larger numbers, mostly; what is left over is found to be in
        // use, and goes in the next round.
        let dropped: Vec<PruneRow> = in_order(&drawn);
        let text = drawn.text.clone();
        let mut plan = drawn.plan();
        let mut gone: Vec<VersionId> = Vec::new();
        let mut ended = 0;
        for batch in dropped.chunks(BATCH) {
            let (name, text, batch, holder) = (path.to_owned(), text.clone(), batch.to_vec(), self.holder());
            let now = self.clock.now();
            let done = self.catalog.write(move |tx| {
                let worker = caller::<RunError>(tx, &Presented::Worker, now)?;
                if let Some(job) = job
                    && !tx.lease_job(&decide_collect(&worker)?, job, &holder, LEASE_SECONDS)?
                {
                    return Ok(None);
                }
                let may = match decide_prune(&tx.facts(&worker, &name)?) {
                    Err(refused) if refused.refusal == Refusal::NotFound => return Ok(None),
                    may => may?,
                };
                // A policy that was changed or ended meanwhile decides no more.
                if tx.retention_to_apply(&may)?.is_none_or(|record| record.policy != text) {
                    return Ok(None);
                }
                let rules = tx.tag_rules_for(&may)?;
                let mut gone = Vec::new();
                for planned in &batch {
                    let Some(row) = tx.prune_row(&may, planned.id)? else { continue };
                    if !still_goes(planned, &row, now) {
                        continue;
                    }
                    let reached = tx.reached(&may, &rules, row.id)?;
                    // What a rule that came meanwhile holds stays.
                    let Ok(end) = decide_version_end(&may, &rules, &reached) else { continue };
                    tx.delete_whole(&may, (row.id, &row.digest), &end, now)?;
                    gone.push(row.id);
                }
                Ok::<_, RunError>(Some(gone))
            });
            let Some(done) = done.await? else { break };
            ended += done.len() as u64;
            gone.extend(done);
        }
        if ended > 0 {
            tracing::info!(package.name = %path, dropped = ended, "retention dropped {ended} version(s) of `{path}`");
        }
        plan.settle(&gone);
        Ok(Some(plan))
    }
}

/// What is dropped for its own sake, wholes before what they are made of.
fn in_order(drawn: &Drawn) -> Vec<PruneRow> {
    let dropped = drawn.rows.iter().zip(&drawn.verdicts).filter(|(row, verdict)| verdict.drop && !row.part);
    let rows: HashMap<VersionId, &PruneRow> = dropped.map(|(row, _)| (row.id, row)).collect();
    // A version is as deep as the longest way down to it; indexes of indexes are few.
    let mut depth: HashMap<VersionId, usize> = HashMap::new();
    let mut ids: Vec<VersionId> = rows.keys().copied().collect();
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    for _ in 0..32 {
        let mut changed = false;
        for id in &ids {
            let above = rows[id].wholes.iter().filter(|whole| rows.contains_key(whole));
            let found = above.map(|whole| depth.get(whole).copied().unwrap_or(0) + 1).max().unwrap_or(0);
            changed |= depth.insert(*id, found) != Some(found);
        }
        if !changed {
            break;
        }
    }
    ids.sort_by_key(|id| depth.get(id).copied().unwrap_or(0));
    ids.iter().filter_map(|id| rows.get(id).map(|row| (*row).clone())).collect()
}

impl Plan {
    /// Leaves as dropped only what was.
    fn settle(&mut self, gone: &[VersionId]) {
        let gone: std::collections::HashSet<VersionId> = gone.iter().copied().collect();
        let planned = self.dropped;
        self.dropped = gone.len() as u64;
        self.kept += planned.saturating_sub(self.dropped);
        self.versions.retain(|version| {
            let part = matches!(version.verdict.why, super::engine::Why::Follows(_));
            version.verdict.drop && (part || gone.contains(&version.verdict.id))
        });
    }
}

/// Whether a version is as it was when the plan was drawn, nothing that is alive is made of it, and no client that
/// pushes was told of it meanwhile.
fn still_goes(planned: &PruneRow, row: &PruneRow, now: Micros) -> bool {
    row.tags == planned.tags
        && row.pulled_at == planned.pulled_at
        && row.wholes.is_empty()
        && row.pinned_until <= now
}

#[cfg(test)]
mod tests {
    use super::*;
    use packhouse_oci::{Algorithm, Digest};

    #[test]
    fn what_changed_since_the_plan_stays() {
        let now = Micros(1_000);
        let planned = PruneRow {
            id: VersionId(1),
            digest: Digest::of(Algorithm::Sha256, b"one"),
            pushed_at: Some(Micros(1)),
            pulled_at: None,
            pinned_until: Micros(0),
            part: false,
            tags: vec!["old".to_owned()],
            wholes: Vec::new(),
        };
        let same = planned.clone();
        assert!(still_goes(&planned, &same, now));
        assert!(still_goes(&planned, &PruneRow { pinned_until: now, ..same.clone() }, now));
        for row in [
            PruneRow { pinned_until: Micros(1_001), ..same.clone() },
            PruneRow { pulled_at: Some(Micros(900)), ..same.clone() },
            PruneRow { tags: Vec::new(), ..same.clone() },
            PruneRow { wholes: vec![VersionId(2)], ..same },
        ] {
            assert!(!still_goes(&planned, &row, now), "{row:?}");
        }
    }
}
