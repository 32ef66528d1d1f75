//! Where bytes lie in a simulation: a disk with a page cache, or a bucket.
//!
//! On the disk a file's bytes and its name are on it only once they were synced; what was not is lost by chance when
//! the power goes. In the bucket what was put is there.

use crate::dice::Dice;
use crate::mutants::Mutant;
use std::collections::BTreeMap;

/// Steps by which a sync comes late, where that is planted.
const LATE_STEPS: u64 = 12;

/// A number that a file keeps when its name is gone.
pub(crate) type Inode = u64;

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// Whether its name is on the disk.
    named: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<Inode, File>,
    names: BTreeMap<String, Inode>,
    next: Inode,
    late: Vec<(u64, Inode)>,
    /// Objects that a request put after it had lost its lease: nobody can know of them but who looks through the store.
    pub(crate) strays: Vec<String>,
}

impl Disk {
    /// The file of that name, made when it is not there.
    pub(crate) fn open(&mut self, name: &str) -> Inode {
        if let Some(inode) = self.names.get(name) {
            return *inode;
        }
        self.next += 1;
        self.files.insert(self.next, File::default());
        self.names.insert(name.to_owned(), self.next);
        self.next
    }

    pub(crate) fn length(&self, inode: Inode) -> usize {
        self.files[&inode].bytes.len()
    }

    pub(crate) fn cut(&mut self, inode: Inode, length: usize) {
        self.files.get_mut(&inode).unwrap().bytes.truncate(length);
    }

    /// Writes at a place: what another writer cut away meanwhile is zeros, as on a real disk.
    pub(crate) fn write(&mut self, inode: Inode, at: usize, bytes: &[u8]) {
        let file = &mut self.files.get_mut(&inode).unwrap().bytes;
        if file.len() < at + bytes.len() {
            file.resize(at + bytes.len(), 0);
        }
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn sync(&mut self, inode: Inode, now: u64, mutant: Mutant) {
        let file = self.files.get_mut(&inode).unwrap();
        match mutant {
            Mutant::LateSync => self.late.push((now + LATE_STEPS, inode)),
            Mutant::NameNotSynced => file.synced.clone_from(&file.bytes),
            _ => {
                file.synced.clone_from(&file.bytes);
                file.named = true;
            }
        }
    }

    /// What time brings to the disk by itself.
    pub(crate) fn settle(&mut self, now: u64) {
        for (_, inode) in self.late.extract_if(.., |(due, _)| *due <= now) {
            if let Some(file) = self.files.get_mut(&inode) {
                file.synced.clone_from(&file.bytes);
                file.named = true;
            }
        }
    }

    /// Puts an object, durable at once.
    pub(crate) fn put(&mut self, name: &str, bytes: Vec<u8>) {
        self.next += 1;
        self.files.insert(self.next, File { synced: bytes.clone(), bytes, named: true });
        self.names.insert(name.to_owned(), self.next);
    }

    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.names.get(name).map(|inode| self.files[inode].bytes.clone())
    }

    /// Removes a name, and that from the disk.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(inode) = self.names.remove(name) {
            // Where keys are shared, so are bytes.
            self.names.retain(|_, other| *other != inode);
        }
    }

    /// Lets a name share the bytes of another that has the same: the planted fault of a store by content.
    pub(crate) fn share(&mut self, name: &str) {
        let Some(bytes) = self.read(name) else { return };
        let same =
            self.names.iter().find(|(other, inode)| *other != name && self.files[inode].bytes == bytes);
        if let Some(inode) = same.map(|(_, inode)| *inode) {
            self.names.insert(name.to_owned(), inode);
        }
    }

    /// Everything that lies there.
    pub(crate) fn list(&self) -> Vec<(String, Vec<u8>)> {
        self.names.iter().map(|(name, inode)| (name.clone(), self.files[inode].bytes.clone())).collect()
    }

    /// The power goes: what was not synced is there or not, whole or torn.
    pub(crate) fn lose_power(&mut self, dice: &mut Dice) {
        self.late.clear();
        let mut gone = Vec::new();
        for (name, inode) in &self.names {
            let file = self.files.get_mut(inode).unwrap();
            if !file.named && dice.percent(50) {
                gone.push(name.clone());
                continue;
            }
            if file.bytes != file.synced {
                file.bytes = match dice.below(3) {
                    0 => file.synced.clone(),
                    1 => file.bytes.clone(),
                    _ => torn(file, dice),
                };
            }
            file.synced.clone_from(&file.bytes);
            file.named = true;
        }
        for name in gone {
            self.names.remove(&name);
        }
    }
}

/// The synced bytes, then some of the others, then zeros where only the length was written.
fn torn(file: &File, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = file.bytes.clone();
    let kept = if file.bytes.starts_with(&file.synced) { file.synced.len() } else { 0 };
    let from = kept + dice.below(bytes.len() - kept + 1);
    if dice.percent(50) {
        bytes.truncate(from);
    } else {
        bytes[from..].fill(0);
    }
    bytes
}
