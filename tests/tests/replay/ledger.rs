//! What clients were promised, after each of their requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::recording::{Act, Recording};

/// All that one client knows to be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    /// Packages that everybody may pull.
    pub(crate) public: BTreeSet<String>,
    /// Package and digest.
    pub(crate) blobs: BTreeSet<(String, String)>,
    pub(crate) manifests: BTreeSet<(String, String)>,
    /// Package and tag, with the digest.
    pub(crate) tags: BTreeMap<(String, String), String>,
    /// Hashes of tokens that work.
    pub(crate) tokens: BTreeSet<String>,
    /// Sessions that are open, with the bytes that were acknowledged.
    pub(crate) sessions: BTreeMap<String, usize>,
}

/// By what an answer is found in the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Its `X-Request-Id`.
    Request(String),
    /// The number of the operator's command, from 0 on.
    Command(usize),
    /// A word that was printed.
    Printed(String),
}

/// One request that was answered.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) mark: Mark,
    /// What holds from its answer on.
    pub(crate) truth: Truth,
}

/// One client: one request after another, about packages that nobody else touches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    /// With what the names of its packages begin.
    pub(crate) packages: String,
    /// Whether the tokens are its business.
    pub(crate) tokens: bool,
    pub(crate) steps: Vec<Step>,
    /// What is sent in each of its sessions.
    pub(crate) sent: BTreeMap<String, Sent>,
}

/// What a session is to become.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) package: String,
    pub(crate) whole: Arc<[u8]>,
}

impl Chain {
    /// What it was promised last.
    pub(crate) fn truth(&self) -> Truth {
        self.steps.last().map(|step| step.truth.clone()).unwrap_or_default()
    }

    /// What holds when the first `answered` requests were answered and the next one may have been carried out:
    /// one of these.
    pub(crate) fn possible(&self, answered: usize) -> Vec<Truth> {
        let before = answered.checked_sub(1).map(|last| self.steps[last].truth.clone()).unwrap_or_default();
        let after = self.steps.get(answered).map(|step| step.truth.clone());
        std::iter::once(before).chain(after).collect()
    }

    /// The line of the recording on which each answer began to leave.
    ///
    /// # Panics
    ///
    /// When an answer is not in the recording, or they are in another order.
    #[track_caller]
    pub(crate) fn answers(&self, recording: &Recording) -> Vec<usize> {
        let told: Vec<usize> =
            recording.events.iter().filter(|event| event.act == Act::Told).map(|event| event.begun).collect();
        let answered: BTreeMap<&str, usize> = recording
            .events
            .iter()
            .filter_map(|event| match &event.act {
                Act::Answer { id, .. } => Some((id.as_str(), event.begun)),
                _ => None,
            })
            .collect();
        let line = |step: &Step| match &step.mark {
            Mark::Request(id) => answered.get(id.as_str()).copied(),
            Mark::Command(number) => told.get(*number).copied(),
            Mark::Printed(word) => recording.events.iter().find_map(|event| match &event.act {
                Act::Printed { text } if text.contains(word) => Some(event.begun),
                _ => None,
            }),
        };
        let lines: Vec<usize> = self
            .steps
            .iter()
            .map(|step| line(step).unwrap_or_else(|| panic!("no answer to {} was recorded", step.what)))
            .collect();
        assert!(lines.is_sorted(), "the answers of {} are out of order", self.packages);
        lines
    }
}
