//! A disk as the program may take it to be, no better.
//!
//! # What may go wrong in a power cut
//!
//! - Bytes that were written and not synced are lost, kept or torn: each sector of 512 bytes is as it was after the
//!   last sync or after any later write to it, each on its own. So a later write may be kept and an earlier one lost.
//!   A sector itself is never half-written (SQLite and every journal of a file system rely on that), and a write does
//!   not harm its neighbours.
//! - The length of a file is one that it had since the last sync. What is kept beyond lost bytes is read as zeros.
//! - The names in a folder (made, removed, renamed) since that folder's last sync are there or not, each on its own. A
//!   rename is one step: both names change, or none. A name in a folder that is lost is lost.
//! - The shared memory of SQLite's log is whatever it likes to be.
//!
//! # What a sync promises
//!
//! - `fsync` or `fdatasync` of a file: all that was written into it before the call began, and the length that reading
//!   it takes, when the call has returned 0. Not the file's name.
//! - `fsync` of a folder: the names in it, not the bytes of its files.
//! - A call that runs promises nothing; what was written while it ran is not covered.
//!
//! Left out: bytes that a disk loses after a sync said that they are there, or that rot. `packhouse verify` is for those.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::chance::Chance;
use crate::recording::{Act, Event, File};

const SECTOR_BYTES: usize = 512;

/// A change of a file that no sync covers yet.
#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Arc<[u8]> },
    Cut { length: usize },
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Arc<Vec<u8>>,
    /// How often `durable` changed.
    generation: u64,
    /// With the line on which the call ended.
    waiting: Vec<(usize, Change)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    File(File),
    Folder,
}

/// Names that one call changes together: each gets a node or loses it.
#[derive(Debug, Clone)]
struct Naming {
    ended: usize,
    changes: Vec<(String, Option<Node>)>,
}

/// Everything below a folder: what is on disk for good, and what is on its way.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    /// The one folder that all is in.
    root: String,
    inodes: BTreeMap<File, Inode>,
    names: BTreeMap<String, Node>,
    waiting: Vec<Naming>,
}

/// How a crash treats what no sync covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    AllLost,
    AllKept,
    /// Drawn with this seed.
    Drawn(u64),
}

/// A file as it lies there after a crash.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) bytes: Arc<Vec<u8>>,
    /// Equal for equal bytes of one file.
    pub(crate) key: u64,
}

/// What lies there after a crash: files and folders by their paths.
#[derive(Debug, Clone)]
pub(crate) struct Remains {
    pub(crate) files: BTreeMap<String, Found>,
    pub(crate) folders: BTreeSet<String>,
    /// Equal for equal remains.
    pub(crate) key: u64,
}

impl Disk {
    /// Nothing yet, not even the folder `root`; the one above it is somebody else's and stays.
    pub(crate) fn new(root: &str) -> Self {
        Self { root: root.to_owned(), inodes: BTreeMap::new(), names: BTreeMap::new(), waiting: Vec::new() }
    }

    /// A call has begun: what it does may from now on be there.
    pub(crate) fn begin(&mut self, event: &Event) {
        let name = |changes| Naming { ended: event.ended, changes };
        match &event.act {
            Act::Make { path, file } => {
                self.inodes.insert(*file, Inode::default());
                self.waiting.push(name(vec![(path.clone(), Some(Node::File(*file)))]));
            }
            Act::MakeFolder { path } => self.waiting.push(name(vec![(path.clone(), Some(Node::Folder))])),
            Act::Remove { path } => self.waiting.push(name(vec![(path.clone(), None)])),
            Act::Rename { from, to } => {
                let node = self.node(from);
                self.waiting.push(name(vec![(from.clone(), None), (to.clone(), node)]));
            }
            Act::Write { file, at, bytes } => {
                let at = usize::try_from(*at).expect("a place in memory");
                self.change(*file, event.ended, Change::Write { at, bytes: Arc::clone(bytes) });
            }
            Act::Cut { file, length } => {
                let length = usize::try_from(*length).expect("a length in memory");
                self.change(*file, event.ended, Change::Cut { length });
            }
            Act::SyncFile { .. }
            | Act::SyncFolder { .. }
            | Act::Answer { .. }
            | Act::Told
            | Act::Printed { .. } => {}
        }
    }

    /// A call has returned: a sync promises what was there when it began.
    pub(crate) fn end(&mut self, event: &Event) {
        match &event.act {
            Act::SyncFile { file } => {
                let inode = self.inodes.get_mut(file).expect("a file that was made");
                let waiting = std::mem::take(&mut inode.waiting);
                let (covered, left) = waiting.into_iter().partition(|(ended, _)| *ended < event.begun);
                let covered: Vec<(usize, Change)> = covered;
                inode.waiting = left;
                if !covered.is_empty() {
                    let durable = Arc::make_mut(&mut inode.durable);
                    covered.iter().for_each(|(_, change)| apply(durable, change));
                    inode.generation += 1;
                }
            }
            Act::SyncFolder { path } => {
                let waiting = std::mem::take(&mut self.waiting);
                let covers = |naming: &Naming| {
                    naming.ended < event.begun && naming.changes.iter().all(|(name, _)| parent(name) == path)
                };
                for naming in waiting {
                    if covers(&naming) {
                        naming.changes.iter().for_each(|change| rename(&mut self.names, change));
                    } else {
                        self.waiting.push(naming);
                    }
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, file: File, ended: usize, change: Change) {
        self.inodes.get_mut(&file).expect("a file that was made").waiting.push((ended, change));
    }

    /// What a name means while the power is on.
    fn node(&self, path: &str) -> Option<Node> {
        let changes = self.waiting.iter().rev().flat_map(|naming| naming.changes.iter().rev());
        match changes.into_iter().find(|(name, _)| name == path) {
            Some((_, node)) => *node,
            None => self.names.get(path).copied(),
        }
    }

    /// Whether all folders above a path are there.
    fn is_reachable(&self, folders: &BTreeSet<String>, path: &str) -> bool {
        let mut above = path;
        while above != self.root {
            above = parent(above);
            if !folders.contains(above) {
                return false;
            }
        }
        true
    }

    /// Whether anything is on its way, so that a crash has a choice.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.waiting.is_empty() && self.inodes.values().all(|inode| inode.waiting.is_empty())
    }

    /// What a crash leaves now.
    pub(crate) fn crash(&self, fate: Fate) -> Remains {
        let mut chance = match fate {
            Fate::AllLost => Chance::never(),
            Fate::AllKept => Chance::always(),
            Fate::Drawn(seed) => Chance::seeded(seed),
        };
        let mut names = self.names.clone();
        for naming in &self.waiting {
            if chance.keeps() {
                naming.changes.iter().for_each(|change| rename(&mut names, change));
            }
        }
        let folders: BTreeSet<String> =
            names.iter().filter(|(_, node)| **node == Node::Folder).map(|(path, _)| path.clone()).collect();
        let mut remains = Remains { files: BTreeMap::new(), folders: BTreeSet::new(), key: 0 };
        let mut key = DefaultHasher::new();
        for (path, node) in &names {
            if !self.is_reachable(&folders, path) {
                continue;
            }
            path.hash(&mut key);
            match node {
                Node::Folder => {
                    remains.folders.insert(path.clone());
                }
                Node::File(file) => {
                    let found = self.inodes[file].crash(*file, &mut chance);
                    found.key.hash(&mut key);
                    remains.files.insert(path.clone(), found);
                }
            }
        }
        remains.key = key.finish();
        remains
    }
}

impl Inode {
    fn crash(&self, file: File, chance: &mut Chance) -> Found {
        let mut key = DefaultHasher::new();
        (file, self.generation).hash(&mut key);
        chance.next_file();
        let kept: Vec<bool> = self.waiting.iter().map(|_| chance.keeps()).collect();
        if !kept.contains(&true) {
            return Found { bytes: Arc::clone(&self.durable), key: key.finish() };
        }
        let mut bytes = Vec::clone(&self.durable);
        // Each sector has its own history; the length has one too.
        let mut sectors: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let (mut length, mut longest) = (self.durable.len(), self.durable.len());
        for (number, (_, change)) in self.waiting.iter().enumerate() {
            let range = match change {
                Change::Write { at, bytes } => *at..at + bytes.len(),
                Change::Cut { length } => *length..longest.max(*length),
            };
            longest = longest.max(range.end);
            if !range.is_empty() {
                for sector in range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES) {
                    sectors.entry(sector).or_default().push(number);
                }
            }
        }
        if let Some(last) = kept.iter().rposition(|kept| *kept) {
            length = self.waiting[..=last].iter().fold(length, |length, (_, change)| match change {
                Change::Write { at, bytes } => length.max(at + bytes.len()),
                Change::Cut { length } => *length,
            });
        }
        bytes.resize(longest.div_ceil(SECTOR_BYTES) * SECTOR_BYTES, 0);
        for (sector, changes) in sectors {
            let mut there = changes.iter().rposition(|number| kept[*number]).map_or(0, |last| last + 1);
            // A torn write: this sector of it did not make it, an earlier write's perhaps did.
            while there > 0 && chance.tears() {
                there -= 1;
            }
            let at = sector * SECTOR_BYTES;
            for number in &changes[..there] {
                apply_within(&mut bytes[at..at + SECTOR_BYTES], at, &self.waiting[*number].1);
            }
            (sector, &bytes[at..at + SECTOR_BYTES]).hash(&mut key);
        }
        bytes.truncate(length);
        bytes.resize(length, 0);
        length.hash(&mut key);
        Found { bytes: Arc::new(bytes), key: key.finish() }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes: written } => {
            let end = at + written.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[*at..end].copy_from_slice(written);
        }
        Change::Cut { length } => bytes.resize(*length, 0),
    }
}

/// As [`apply`], to one sector that begins at `start`; its length is not touched.
fn apply_within(sector: &mut [u8], start: usize, change: &Change) {
    let end = start + sector.len();
    match change {
        Change::Write { at, bytes } => {
            let (from, to) = ((*at).max(start), (at + bytes.len()).min(end));
            if from < to {
                sector[from - start..to - start].copy_from_slice(&bytes[from - at..to - at]);
            }
        }
        Change::Cut { length } => {
            let from = (*length).clamp(start, end);
            sector[from - start..].fill(0);
        }
    }
}

fn rename(names: &mut BTreeMap<String, Node>, (path, node): &(String, Option<Node>)) {
    match node {
        Some(node) => names.insert(path.clone(), *node),
        None => names.remove(path),
    };
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
