//! Scrubbing: every byte against its digest, the catalog against the store, the catalog against itself.
//!
//! A run is done in steps of some seconds, beside everything else; where it stands is a row of the catalog, so that any
//! node goes on with it. What is found is judged on one snapshot, and judged again in the transaction that does something
//! about it, so that what clients change meanwhile is no finding. What can be proved is repaired; bytes that are wrong and
//! that nothing proves are quarantined: they answer as if they were not there, and whoever pushes them heals them.

mod bytes;
mod rows;
mod store;

use crate::access::caller;
use crate::error::Fault;
use crate::sweep::{SweepError, fault};
use crate::{Denied, Service};
use bytes::Hashing;
use packhouse_access::{Granted, Scrub, decide_scrub};
use packhouse_catalog::{
    CatalogError, Done, Finding, Presented, ReadTx, ScrubTable, ScrubbedBlob, StoreWalk, WriteTx,
};
use packhouse_oci::Digest;
use serde::{Deserialize, Serialize};

/// The setting that says where a run stands.
const STATE: &str = "scrub";
/// Findings that are kept one by one. More are counted.
const FINDINGS_MAX: u64 = 10_000;
/// What one step may cost: a question to the store counts as one, a look at rows as some.
const STEP_COST_MAX: u32 = 100;
const LOOK_COST: u32 = 10;
/// Bytes that one step reads at the most.
const STEP_BYTES_MAX: u64 = 64 << 20;
/// Packages that are named where a blob is damaged.
const PATHS_MAX: u32 = 6;

/// What is looked at now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    ManifestBytes,
    Manifests,
    Versions,
    Tags,
    Parts,
    Packages,
    Links,
    Accounts,
    Teams,
    Blobs,
    Uploads,
    Trash,
    Store,
    Ended,
}

impl Stage {
    const ALL: [Stage; 14] = [
        Stage::ManifestBytes,
        Stage::Manifests,
        Stage::Versions,
        Stage::Tags,
        Stage::Parts,
        Stage::Packages,
        Stage::Links,
        Stage::Accounts,
        Stage::Teams,
        Stage::Blobs,
        Stage::Uploads,
        Stage::Trash,
        Stage::Store,
        Stage::Ended,
    ];

    fn next(self) -> Stage {
        let at = Stage::ALL.iter().position(|stage| *stage == self).unwrap_or(Stage::ALL.len());
        Stage::ALL.get(at + 1).copied().unwrap_or(Stage::Ended)
    }

    /// A word for people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Stage::ManifestBytes | Stage::Manifests => "manifests",
            Stage::Versions | Stage::Parts => "versions",
            Stage::Tags => "tags",
            Stage::Packages => "packages",
            Stage::Links => "links",
            Stage::Accounts => "accounts",
            Stage::Teams => "teams",
            Stage::Blobs => "blobs",
            Stage::Uploads => "uploads",
            Stage::Trash => "trash",
            Stage::Store => "store",
            Stage::Ended => "ended",
        }
    }

    fn table(self) -> Option<ScrubTable> {
        match self {
            Stage::Manifests => Some(ScrubTable::Manifests),
            Stage::Versions => Some(ScrubTable::Versions),
            Stage::Tags => Some(ScrubTable::Tags),
            Stage::Parts => Some(ScrubTable::Parts),
            Stage::Packages => Some(ScrubTable::Packages),
            Stage::Links => Some(ScrubTable::Links),
            Stage::Accounts => Some(ScrubTable::Accounts),
            Stage::Teams => Some(ScrubTable::Teams),
            Stage::ManifestBytes
            | Stage::Blobs
            | Stage::Uploads
            | Stage::Trash
            | Stage::Store
            | Stage::Ended => None,
        }
    }
}

/// Where a run stands, as JSON in the catalog.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// Grows with each step: of two that do the same step, one is kept.
    revision: u64,
    pub(crate) repair: bool,
    pub(crate) stage: Stage,
    /// Behind which number, or which text, the stage goes on.
    number: i64,
    text: String,
    hashing: Option<Hashing>,
    /// Rows that were looked at.
    pub(crate) rows: u64,
    /// Blobs that were looked at, and their bytes.
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
    pub(crate) blobs_total: u64,
    pub(crate) bytes_total: u64,
    /// Bytes that were read, of blobs and of what is none.
    pub(crate) read: u64,
    /// Findings that were kept, and that were too many to keep; those of them that are not repaired.
    kept: u64,
    unkept: u64,
    unkept_open: u64,
    pub(crate) started_at: i64,
    pub(crate) ended_at: Option<i64>,
}

impl State {
    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.number = 0;
        self.text.clear();
        self.hashing = None;
    }
}

/// How a run stands, with what it found.
#[derive(Clone, Debug)]
pub(crate) struct Scrubbed {
    pub(crate) state: State,
    /// Findings.
    pub(crate) found: u64,
    /// Those that are not repaired.
    pub(crate) open: u64,
}

/// What is quarantined.
#[derive(Clone, Debug)]
pub(crate) struct Quarantined {
    /// Blobs, with packages that have them.
    pub(crate) blobs: Vec<(ScrubbedBlob, Vec<String>)>,
    /// Manifests.
    pub(crate) manifests: Vec<Digest>,
}

/// How to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Goes on with a run that was interrupted, if it was to do the same; otherwise from the beginning.
    Usual,
    /// Goes on, or does nothing.
    Resume,
    /// From the beginning.
    Again,
}

fn state(tx: &mut ReadTx<'_, '_>) -> Result<Option<State>, CatalogError> {
    // What another program left there is no run of ours.
    Ok(tx.setting(STATE)?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn keep(tx: &mut WriteTx<'_, '_>, state: &State) -> Result<(), CatalogError> {
    // Names and numbers always serialise.
    let text = serde_json::to_string(state).map_err(|_| CatalogError::Corrupt("state of a scrub"))?;
    tx.put_setting(STATE, &text)
}

impl Service {
    /// Begins a run, or goes on with one; whether it goes on. None: there is none to go on with.
    pub(crate) async fn scrub_begin(
        &self,
        repair: bool,
        begin: Begin,
    ) -> Result<Option<(Scrubbed, bool)>, Fault> {
        let now = self.clock.now();
        let resumed = self
            .scrub_write(move |tx, may| {
                let running = state(tx)?.filter(|state| state.ended_at.is_none());
                match (running, begin) {
                    (Some(_), Begin::Resume) => return Ok(Some(true)),
                    (Some(state), Begin::Usual) if state.repair == repair => return Ok(Some(true)),
                    (None, Begin::Resume) => return Ok(None),
                    (_, Begin::Usual | Begin::Again) => {}
                }
                let total = tx.scrub_total(may)?;
                tx.clear_findings(may)?;
                let fresh = State {
                    revision: 0,
                    repair,
                    stage: Stage::ManifestBytes,
                    number: 0,
                    text: String::new(),
                    hashing: None,
                    rows: 0,
                    blobs: 0,
                    bytes: 0,
                    blobs_total: total.blobs,
                    bytes_total: total.bytes,
                    read: 0,
                    kept: 0,
                    unkept: 0,
                    unkept_open: 0,
                    started_at: now.0,
                    ended_at: None,
                };
                keep(tx, &fresh)?;
                Ok(Some(false))
            })
            .await?;
        let Some(resumed) = resumed else { return Ok(None) };
        Ok(self.scrub_status().await?.map(|scrubbed| (scrubbed, resumed)))
    }

    /// How the last run stands, running or not.
    pub(crate) async fn scrub_status(&self) -> Result<Option<Scrubbed>, Fault> {
        self.scrub_read(move |tx, may| {
            let Some(state) = state(tx)? else { return Ok(None) };
            let (kept, open) = tx.findings_total(may)?;
            Ok(Some(Scrubbed { found: kept + state.unkept, open: open + state.unkept_open, state }))
        })
        .await
    }

    /// What the last run found.
    pub(crate) async fn scrub_findings(&self, limit: u32) -> Result<Vec<Finding>, Fault> {
        self.scrub_read(move |tx, may| tx.findings(may, limit)).await
    }

    /// What is quarantined now, at most so much of each.
    pub(crate) async fn quarantined(&self, limit: u32) -> Result<Quarantined, Fault> {
        self.scrub_read(move |tx, may| {
            let mut blobs = Vec::new();
            for blob in tx.damaged_blobs(may, limit)? {
                let paths = tx.packages_of_blob(may, &blob.digest, PATHS_MAX)?;
                blobs.push((blob, paths));
            }
            Ok(Quarantined { blobs, manifests: tx.damaged_manifests(may, limit)? })
        })
        .await
    }

    /// Does some of a run, reading at most so many bytes; none when there is no run.
    pub(crate) async fn scrub_step(&self, bytes: u64) -> Result<Option<Scrubbed>, Fault> {
        let (walk, found) = self.scrub_read(|tx, may| Ok((tx.scrub_walk(may), state(tx)?))).await?;
        let Some(mut state) = found else { return Ok(None) };
        let mut step = Step { service: self, walk, budget: bytes.clamp(1, STEP_BYTES_MAX), cost: 0 };
        while state.stage != Stage::Ended && !step.is_spent() {
            step.look(&mut state).await?;
        }
        let expected = state.revision;
        state.revision += 1;
        if state.stage == Stage::Ended && state.ended_at.is_none() {
            state.ended_at = Some(self.clock.now().0);
        }
        self.scrub_write(move |tx, _| {
            // Another one did the same meanwhile, or began anew: then that one holds.
            if self::state(tx)?
                .is_some_and(|found| found.revision == expected && found.started_at == state.started_at)
            {
                keep(tx, &state)?;
            }
            Ok(())
        })
        .await?;
        self.scrub_status().await
    }

    async fn scrub_read<T: Send + 'static>(
        &self,
        body: impl for<'c, 'tx> Fn(&mut ReadTx<'c, 'tx>, &Granted<'tx, Scrub>) -> Result<T, CatalogError>
        + Send
        + 'static,
    ) -> Result<T, Fault> {
        let now = self.clock.now();
        self.catalog
            .read(move |tx| {
                let operator = caller::<SweepError>(tx, &Presented::Operator, now)?;
                let may = decide_scrub(&operator).map_err(Denied::from)?;
                Ok::<_, SweepError>(body(tx, &may)?)
            })
            .await
            .map_err(fault)
    }

    async fn scrub_write<T: Send + 'static>(
        &self,
        body: impl for<'c, 'tx> Fn(&mut WriteTx<'c, 'tx>, &Granted<'tx, Scrub>) -> Result<T, CatalogError>
        + Send
        + 'static,
    ) -> Result<T, Fault> {
        let now = self.clock.now();
        self.catalog
            .write(move |tx| {
                let operator = caller::<SweepError>(tx, &Presented::Operator, now)?;
                let may = decide_scrub(&operator).map_err(Denied::from)?;
                Ok::<_, SweepError>(body(tx, &may)?)
            })
            .await
            .map_err(fault)
    }
}

/// One step: who does it, with what right to the store, and how many bytes it may still read.
struct Step<'s> {
    service: &'s Service,
    walk: StoreWalk,
    budget: u64,
    cost: u32,
}

impl Step<'_> {
    /// Whether the rest is for the next step: somebody waits for an answer.
    fn is_spent(&self) -> bool {
        self.budget == 0 || self.cost >= STEP_COST_MAX
    }

    /// Looks at some more of the stage, and goes on to the next one at its end.
    async fn look(&mut self, state: &mut State) -> Result<(), Fault> {
        self.cost += LOOK_COST;
        let ended = match (state.stage, state.stage.table()) {
            (_, Some(table)) => self.look_at_rows(state, table).await?,
            (Stage::ManifestBytes, None) => self.look_at_manifests(state).await?,
            (Stage::Blobs, None) => self.look_at_blobs(state).await?,
            (Stage::Uploads, None) => self.look_at_uploads(state).await?,
            (Stage::Trash, None) => self.look_at_trash(state).await?,
            (Stage::Store, None) => self.look_at_store(state).await?,
            (_, None) => true,
        };
        if ended {
            state.enter(state.stage.next());
        }
        Ok(())
    }

    /// Does what is to be done about something, and keeps it as a finding, in one transaction. `act` says what came of
    /// it, none when it is as it should be by now.
    async fn settle(
        &self,
        state: &mut State,
        (kind, what, place): (&str, String, String),
        act: impl for<'c, 'tx> Fn(
            &mut WriteTx<'c, 'tx>,
            &Granted<'tx, Scrub>,
        ) -> Result<Option<Done>, CatalogError>
        + Send
        + 'static,
    ) -> Result<Option<Done>, Fault> {
        let now = self.service.clock.now();
        let kept = state.kept < FINDINGS_MAX;
        let named = place.clone();
        let finding = Finding { kind: kind.to_owned(), what, place, done: Done::Nothing };
        let done = self
            .service
            .scrub_write(move |tx, may| {
                let done = act(tx, may)?;
                if let Some(done) = done
                    && kept
                {
                    let finding = Finding { done, ..finding.clone() };
                    tx.note_finding(may, &finding, now)?;
                }
                Ok(done)
            })
            .await?;
        if done == Some(Done::Quarantined) {
            tracing::warn!(
                kind,
                place = named,
                "quarantined: it answers as if it were not there until it is pushed"
            );
        }
        match done {
            Some(_) if kept => state.kept += 1,
            Some(done) => {
                state.unkept += 1;
                state.unkept_open += u64::from(done != Done::Repaired);
            }
            None => {}
        }
        Ok(done)
    }
}
