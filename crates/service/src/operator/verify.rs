//! Scrubbing by hand: a run is begun, done in steps, and shown.

use super::{Answer, OperatorError};
use crate::Service;
use crate::scrub::{Begin, Quarantined, Scrubbed};
use packhouse_catalog::{Done, Finding};
use serde::{Deserialize, Serialize};

/// Findings and quarantined things that are shown.
const SHOWN_MAX: u32 = 10_000;

/// What the operator wants of the scrub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum VerifyCommand {
    /// Begins a run, or goes on with one that was interrupted and was to do the same.
    Begin {
        /// Whether to repair what can be proved and to quarantine the rest.
        repair: bool,
        /// Only go on with a run that was interrupted.
        resume: bool,
        /// Begin anew, whatever was interrupted.
        again: bool,
    },
    /// Does some of the run. Asked again until [`VerifyRunView::ended_at`] is there.
    Step {
        /// Bytes that it may read at the most.
        bytes: u64,
    },
    /// Shows what the last run found.
    Findings,
    /// Shows how the last run stands, and what is quarantined.
    Status,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRunView {
    /// What is looked at now, or `ended`.
    pub stage: String,
    /// Whether it repairs.
    pub repair: bool,
    /// Whether it went on where an earlier command was interrupted.
    pub resumed: bool,
    /// Blobs that were looked at.
    pub blobs: u64,
    /// Blobs that there were when it began.
    pub blobs_total: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of blobs that there were when it began.
    pub bytes_total: u64,
    /// All bytes that were read.
    pub read: u64,
    /// Findings.
    pub found: u64,
    /// Findings that are not repaired: nothing was done about them, or they are quarantined.
    pub open: u64,
    /// When it began, microseconds since 1970.
    pub started_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
}

/// Something that is not as it should be, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    /// A word for its kind; docs/verify.md lists them.
    pub kind: String,
    /// Where: a package, a tag, a digest, a storage key.
    #[serde(rename = "where")]
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// `nothing`, `repaired` or `quarantined`.
    pub done: String,
}

/// What a run found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedView {
    /// How it stands.
    #[serde(flatten)]
    pub run: VerifyRunView,
    /// What it found, at most 10,000.
    pub findings: Vec<FindingView>,
}

/// Something that answers as if it were not there, until it is pushed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedView {
    /// `blob` or `manifest`.
    pub kind: String,
    /// Its digest.
    pub digest: String,
    /// Of a blob: how many bytes it should have.
    pub bytes: Option<u64>,
    /// Of a blob: the storage key of what is left of it.
    pub key: Option<String>,
    /// Of a blob: packages that have it, some of them.
    pub packages: Vec<String>,
}

/// How the store stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyStatusView {
    /// The last run, if there was one.
    pub run: Option<VerifyRunView>,
    /// What is quarantined.
    pub quarantined: Vec<QuarantinedView>,
}

impl Service {
    pub(super) async fn operate_verify(&self, command: &VerifyCommand) -> Result<Answer, OperatorError> {
        let none = || OperatorError::Rule("nothing was interrupted; leave --resume out".to_owned());
        match *command {
            VerifyCommand::Begin { repair, resume, again } => {
                let begin = match (resume, again) {
                    (true, _) => Begin::Resume,
                    (false, true) => Begin::Again,
                    (false, false) => Begin::Usual,
                };
                let (scrubbed, resumed) = self.scrub_begin(repair, begin).await?.ok_or_else(none)?;
                Ok(Answer::VerifyRun(VerifyRunView { resumed, ..run(&scrubbed) }))
            }
            VerifyCommand::Step { bytes } => {
                let scrubbed = self.scrub_step(bytes).await?.ok_or_else(none)?;
                Ok(Answer::VerifyRun(run(&scrubbed)))
            }
            VerifyCommand::Findings => {
                let scrubbed = self.scrub_status().await?.ok_or_else(none)?;
                let findings = self.scrub_findings(SHOWN_MAX).await?.into_iter().map(finding).collect();
                Ok(Answer::Verified(VerifiedView { run: run(&scrubbed), findings }))
            }
            VerifyCommand::Status => {
                let last = self.scrub_status().await?;
                let quarantined = quarantined(self.quarantined(SHOWN_MAX).await?);
                Ok(Answer::VerifyStatus(VerifyStatusView { run: last.as_ref().map(run), quarantined }))
            }
        }
    }
}

fn run(scrubbed: &Scrubbed) -> VerifyRunView {
    let state = &scrubbed.state;
    VerifyRunView {
        stage: state.stage.word().to_owned(),
        repair: state.repair,
        resumed: false,
        blobs: state.blobs,
        blobs_total: state.blobs_total,
        bytes: state.bytes,
        bytes_total: state.bytes_total,
        read: state.read,
        found: scrubbed.found,
        open: scrubbed.open,
        started_at: state.started_at,
        ended_at: state.ended_at,
    }
}

fn finding(finding: Finding) -> FindingView {
    let done = match finding.done {
        Done::Nothing => "nothing",
        Done::Repaired => "repaired",
        Done::Quarantined => "quarantined",
    };
    FindingView { kind: finding.kind, place: finding.place, what: finding.what, done: done.to_owned() }
}

fn quarantined(quarantined: Quarantined) -> Vec<QuarantinedView> {
    let blobs = quarantined.blobs.into_iter().map(|(blob, packages)| QuarantinedView {
        kind: "blob".to_owned(),
        digest: blob.digest.to_string(),
        bytes: Some(blob.size),
        key: Some(blob.key),
        packages,
    });
    let manifests = quarantined.manifests.into_iter().map(|digest| QuarantinedView {
        kind: "manifest".to_owned(),
        digest: digest.to_string(),
        bytes: None,
        key: None,
        packages: Vec::new(),
    });
    blobs.chain(manifests).collect()
}
