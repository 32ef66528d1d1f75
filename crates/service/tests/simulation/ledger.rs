//! What clients asked for and were told, and what follows from that. Knows nothing of how the service works.
//!
//! Each deed has the step at which it began and the one at which its answer came; of two that overlap either may have
//! been first. A deed whose answer was an error of ours was done or not, before that answer; one whose client went away
//! may be done at any time.

use crate::universe::universe;
use packhouse_oci::Digest;
use std::collections::BTreeMap;

/// For ever: the end of what nobody waited for.
const NEVER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Put {
        digest: Digest,
        tag: Option<&'static str>,
        with_children: bool,
    },
    /// By the protocol: it alone.
    Delete {
        digest: Digest,
    },
    /// By the API: with its parts.
    DeleteWhole {
        digest: Digest,
    },
    DeleteTag {
        tag: &'static str,
    },
    DeleteBlob {
        digest: Digest,
    },
    Restore {
        digest: Digest,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No answer came.
    Open,
    Acknowledged,
    /// A rule said no: nothing was done.
    Refused,
    /// An error of ours: done or not.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    package: &'static str,
    deed: Deed,
    start: u64,
    end: u64,
    outcome: Outcome,
}

impl Event {
    /// It was done, and is over.
    fn sure(&self) -> bool {
        self.outcome == Outcome::Acknowledged
    }
    /// It was done, or may have been.
    fn possible(&self) -> bool {
        self.outcome != Outcome::Refused
    }
    /// Whether it may have taken a manifest away.
    fn deletes(&self, of: &Digest) -> bool {
        match self.deed {
            Deed::Delete { digest } => digest == *of,
            Deed::DeleteWhole { digest } => digest == *of || universe().manifest(&digest).parts.contains(of),
            _ => false,
        }
    }
    /// Whether that manifest is what it was asked to take away.
    fn deletes_named(&self, of: &Digest) -> bool {
        matches!(self.deed, Deed::Delete { digest } | Deed::DeleteWhole { digest } if digest == *of)
    }
    /// Whether it may have brought a manifest.
    fn brings(&self, of: &Digest) -> bool {
        match self.deed {
            Deed::Put { digest, .. } => digest == *of,
            Deed::Restore { digest } => digest == *of || universe().manifest(&digest).parts.contains(of),
            _ => false,
        }
    }
    fn brings_named(&self, of: &Digest) -> bool {
        matches!(self.deed, Deed::Put { digest, .. } | Deed::Restore { digest } if digest == *of)
    }
}

/// Somebody was told that a blob is there, and may build on it until a time.
#[derive(Clone, Copy, Debug)]
struct Promise {
    package: &'static str,
    digest: Digest,
    asked: u64,
    told: u64,
    until: i64,
}

/// An upload session that several clients of one person write.
#[derive(Debug, Default)]
struct SharedSession {
    package: &'static str,
    id: String,
    begun: usize,
    ended: usize,
    /// What was acknowledged, by its place.
    parts: BTreeMap<usize, Vec<u8>>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    events: Vec<Event>,
    promises: Vec<Promise>,
    sessions: Vec<SharedSession>,
    /// The bytes of everything that was ever sent, by digest.
    pub(crate) contents: BTreeMap<String, Vec<u8>>,
    /// What was found to be wrong; the first is enough.
    pub(crate) wrong: Option<String>,
}

impl Ledger {
    pub(crate) fn wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    pub(crate) fn begin(&mut self, package: &'static str, deed: Deed, step: u64) -> usize {
        self.events.push(Event { package, deed, start: step, end: NEVER, outcome: Outcome::Open });
        self.events.len() - 1
    }

    pub(crate) fn end(&mut self, event: usize, outcome: Outcome, step: u64) {
        let event = &mut self.events[event];
        (event.outcome, event.end) = (outcome, step);
    }

    /// A manifest was put with its blobs as children, all of which its client had been told of.
    pub(crate) fn with_children(&mut self, event: usize) {
        if let Deed::Put { with_children, .. } = &mut self.events[event].deed {
            *with_children = true;
        }
    }

    pub(crate) fn promise(
        &mut self,
        package: &'static str,
        digest: Digest,
        asked: u64,
        told: u64,
        until: i64,
    ) {
        self.promises.push(Promise { package, digest, asked, told, until });
    }

    fn of(&self, package: &str) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.package == package && event.possible())
    }

    /// Whether somebody took, or may have taken, a blob out of a package at a step or later.
    fn taken_since(&self, package: &str, of: &Digest, step: u64) -> bool {
        let takes = |event: &Event| matches!(event.deed, Deed::DeleteBlob { digest } if digest == *of);
        self.of(package).any(|event| takes(event) && event.end > step)
    }

    /// Whether a blob must be readable for who asks from `asked` on and is answered at a time: by what somebody was told.
    pub(crate) fn is_promised(&self, package: &str, digest: &Digest, asked: u64, clock: i64) -> bool {
        self.promises.iter().any(|promise| {
            promise.package == package
                && promise.digest == *digest
                && promise.told <= asked
                && promise.until > clock
                && !self.taken_since(package, digest, promise.asked)
        })
    }

    /// Whether a manifest must be there for who asks from `asked` on; by which put or restore.
    fn must_be(&self, package: &str, digest: &Digest, asked: u64) -> Option<&Event> {
        self.of(package).find(|event| {
            event.sure()
                && event.brings_named(digest)
                && event.end <= asked
                && !self.of(package).any(|other| other.deletes(digest) && other.end > event.start)
        })
    }

    /// Whether a blob must be readable since a manifest that must be there needs it.
    pub(crate) fn is_needed(&self, package: &str, digest: &Digest, asked: u64) -> bool {
        universe().manifests.iter().any(|manifest| {
            let Some(event) = self.must_be(package, &manifest.digest, asked) else { return false };
            let child = matches!(event.deed, Deed::Put { with_children: true, .. });
            (manifest.needs.contains(digest) || (child && manifest.blob_children.contains(digest)))
                && !self.taken_since(package, digest, 0)
        })
    }

    /// Somebody asked for a manifest by its digest.
    pub(crate) fn saw_manifest(
        &mut self,
        package: &'static str,
        digest: &Digest,
        found: bool,
        asked: u64,
        told: u64,
    ) {
        let name = universe().manifest(digest).name;
        if !found {
            if let Some(event) = self.must_be(package, digest, asked) {
                let event = *event;
                self.wrong(format!("{name} is lost in {package}: {event:?}"));
            }
            return;
        }
        let brought = |since: u64| self.of(package).any(|event| event.brings(digest) && event.end > since);
        if !self.of(package).any(|event| event.brings(digest) && event.start < told) {
            self.wrong(format!("{name} is seen in {package}, where nobody put it"));
            return;
        }
        let gone = self.of(package).find(|event| {
            event.sure() && event.deletes_named(digest) && event.end <= asked && !brought(event.start)
        });
        if let Some(event) = gone.copied() {
            self.wrong(format!("{name} is seen in {package}, though it was deleted: {event:?}"));
        }
    }

    /// Somebody asked for a tag, which is one register.
    pub(crate) fn saw_tag(
        &mut self,
        package: &'static str,
        tag: &'static str,
        found: Option<Digest>,
        asked: u64,
        told: u64,
    ) {
        let puts = |event: &Event, what: Option<Digest>| {
            matches!(event.deed, Deed::Put { digest, tag: Some(put), .. }
                if put == tag && what.is_none_or(|what| what == digest))
        };
        let Some(found) = found else {
            let lost = self.of(package).find(|event| {
                let ends = |other: &Event| match other.deed {
                    Deed::DeleteTag { tag: ended } => ended == tag,
                    Deed::Delete { .. } | Deed::DeleteWhole { .. } => true,
                    _ => false,
                };
                event.sure()
                    && puts(event, None)
                    && event.end <= asked
                    && !self.of(package).any(|other| ends(other) && other.end > event.start)
            });
            if let Some(event) = lost.copied() {
                self.wrong(format!("the tag {tag} of {package} is lost: {event:?}"));
            }
            return;
        };
        // What set it to another value, or ended it, for sure.
        let overwrites = |event: &Event| {
            event.sure()
                && event.end <= asked
                && match event.deed {
                    Deed::Put { digest, tag: Some(put), .. } => put == tag && digest != found,
                    Deed::DeleteTag { tag: ended } => ended == tag,
                    Deed::Delete { digest } | Deed::DeleteWhole { digest } => digest == found,
                    _ => false,
                }
        };
        let justified = self.of(package).any(|event| {
            let sets = puts(event, Some(found))
                || (matches!(event.deed, Deed::Restore { .. }) && event.brings(&found));
            sets && event.start < told
                && !self.of(package).any(|other| overwrites(other) && event.end <= other.start)
        });
        if !justified {
            let name = universe().manifest(&found).name;
            self.wrong(format!("the tag {tag} of {package} leads to {name}, which is not what was put last"));
        }
    }

    pub(crate) fn open_session(&mut self, package: &'static str, id: &str) {
        self.sessions.push(SharedSession { package, id: id.to_owned(), ..SharedSession::default() });
    }

    pub(crate) fn sessions_of(&self, package: &str) -> Vec<String> {
        self.sessions
            .iter()
            .filter(|session| session.package == package)
            .map(|session| session.id.clone())
            .collect()
    }

    fn session(&mut self, id: &str) -> &mut SharedSession {
        self.sessions.iter_mut().find(|session| session.id == id).unwrap()
    }

    pub(crate) fn append_begun(&mut self, id: &str) {
        self.session(id).begun += 1;
    }

    pub(crate) fn append_ended(&mut self, id: &str, acknowledged: Option<(usize, Vec<u8>)>) {
        let session = self.session(id);
        session.ended += 1;
        let Some((at, bytes)) = acknowledged else { return };
        if session.parts.insert(at, bytes).is_some() {
            self.wrong(format!(
                "two requests were both told that their bytes are those at {at} of one session"
            ));
        }
    }

    /// How many requests have written a session, if none does now.
    pub(crate) fn quiet(&mut self, id: &str) -> Option<usize> {
        let session = self.session(id);
        (session.begun == session.ended).then_some(session.begun)
    }

    /// The first bytes of a session, if all of them were acknowledged to somebody.
    pub(crate) fn acknowledged(&mut self, id: &str, received: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for (at, part) in &self.session(id).parts {
            if *at != bytes.len() || *at >= received {
                break;
            }
            bytes.extend_from_slice(part);
        }
        (bytes.len() == received).then_some(bytes)
    }

    /// Blobs that somebody was promised.
    pub(crate) fn promised(&self) -> Vec<(&'static str, Digest)> {
        let mut promised: Vec<_> =
            self.promises.iter().map(|promise| (promise.package, promise.digest)).collect();
        promised.sort_unstable();
        promised.dedup();
        promised
    }
}
