//! The judge: was everything on disk before the promise left?

use crate::strace::{Call, What};

/// Something that was not on disk when it was promised.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A file with bytes that no sync covers.
    Bytes(String),
    /// A file or folder whose name is in no synced folder.
    Name(String),
}

/// What was written between two promises, for floors: a judge who saw nothing has proved nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Bytes of blobs.
    pub(crate) blob_bytes: u64,
    /// Bytes of the catalog's write-ahead log.
    pub(crate) log_bytes: u64,
    /// New blob files.
    pub(crate) blob_files: usize,
}

/// A data folder under trial.
pub(crate) struct Trial<'a> {
    calls: &'a [Call],
    data: String,
}

impl<'a> Trial<'a> {
    /// `data`: the data folder's path, without a slash at its end.
    pub(crate) fn new(calls: &'a [Call], data: &str) -> Self {
        Self { calls, data: data.to_owned() }
    }

    /// The promises: answers 201 and 202, by their place in the trace.
    pub(crate) fn promises(&self) -> Vec<(u16, usize)> {
        let promise = |call: &Call| match call.what {
            What::Answer(status @ (201 | 202)) => Some((status, call.begun)),
            _ => None,
        };
        self.calls.iter().filter_map(promise).collect()
    }

    /// Where standard output first said something with `word` in it.
    pub(crate) fn printed(&self, word: &str) -> Option<usize> {
        let says = |call: &&Call| matches!(&call.what, What::Print(text) if text.contains(word));
        self.calls.iter().find(says).map(|call| call.begun)
    }

    /// Everything that was not on disk at a moment.
    ///
    /// A write is on disk when a sync of its file began after it ended and itself ended before the moment. A
    /// name is, when the same holds for its folder. The requests of a trace come one after another, so nothing
    /// else may be half-way then.
    pub(crate) fn faults(&self, moment: usize) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (place, call) in self.calls.iter().enumerate().take_while(|(_, call)| call.begun < moment) {
            match &call.what {
                What::Write { path, .. } if self.counts(path) && !self.removed(path, call, moment) => {
                    self.require(path, call, moment, Fault::Bytes(path.clone()), &mut faults);
                }
                What::Create(path) | What::MakeFolder(path) | What::Rename { to: path, .. }
                    if self.counts(path) && self.is_new(path, place) && !self.removed(path, call, moment) =>
                {
                    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                    self.require(folder, call, moment, Fault::Name(path.clone()), &mut faults);
                }
                _ => {}
            }
        }
        faults
    }

    fn require(&self, synced: &str, call: &Call, moment: usize, fault: Fault, faults: &mut Vec<Fault>) {
        let covers = |later: &Call| {
            later.begun > call.ended
                && later.ended < moment
                && matches!(&later.what, What::Sync(path) if path == synced)
        };
        if !self.calls.iter().any(covers) && !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    /// What was written between two moments.
    pub(crate) fn seen(&self, from: usize, to: usize) -> Seen {
        let mut seen = Seen::default();
        for (place, call) in
            self.calls.iter().enumerate().filter(|(_, call)| (from..to).contains(&call.begun))
        {
            match &call.what {
                What::Write { path, bytes } if self.is_blob(path) => seen.blob_bytes += bytes,
                What::Write { path, bytes } if path.ends_with("-wal") => seen.log_bytes += bytes,
                What::Create(path) if self.is_blob(path) && self.is_new(path, place) => seen.blob_files += 1,
                _ => {}
            }
        }
        seen
    }

    /// Whether a file or folder holds what is promised. The shared memory of SQLite is made anew after a crash;
    /// the lock and the socket hold nothing.
    fn counts(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.data.as_str());
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && !path.ends_with("-shm")
            && !path.ends_with(".lock")
            && !path.ends_with(".sock")
    }

    fn is_blob(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.data.as_str()).and_then(|rest| rest.strip_prefix("/blobs/"));
        below.is_some_and(|rest| rest.contains('/'))
    }

    /// `O_CREAT` also stands where a file may be there already; only the first one makes it.
    fn is_new(&self, path: &str, place: usize) -> bool {
        !self.calls[..place].iter().any(|call| matches!(&call.what, What::Create(made) if made == path))
    }

    fn removed(&self, path: &str, call: &Call, moment: usize) -> bool {
        self.calls.iter().any(|later| {
            later.begun > call.begun
                && later.ended < moment
                && match &later.what {
                    What::Remove(gone) | What::Rename { from: gone, .. } => gone == path,
                    _ => false,
                }
        })
    }
}
