//! The disk's model by itself: what a crash may leave of small things.

use std::collections::BTreeSet;

use crate::disk::{Disk, Fate};
use crate::recording::{Act, Event, File};

const A: File = File(0);

/// A disk on which these acts happened, one after another.
fn disk(acts: &[Act]) -> Disk {
    let mut disk = Disk::new("/d");
    let start = [Act::MakeFolder { path: "/d".to_owned() }, Act::SyncFolder { path: String::new() }];
    for (line, act) in start.iter().chain(acts).enumerate() {
        let event = Event { begun: line, ended: line, act: act.clone() };
        disk.begin(&event);
        disk.end(&event);
    }
    disk
}

fn make() -> Act {
    Act::Make { path: "/d/a".to_owned(), file: A }
}

fn write(at: u64, bytes: &[u8]) -> Act {
    Act::Write { file: A, at, bytes: bytes.into() }
}

fn sync() -> Act {
    Act::SyncFile { file: A }
}

fn sync_folder() -> Act {
    Act::SyncFolder { path: "/d".to_owned() }
}

/// What may lie at `/d/a`, over many draws; none: it is not there.
fn outcomes(disk: &Disk) -> BTreeSet<Option<Vec<u8>>> {
    let fates = (0..2_000).map(Fate::Drawn).chain([Fate::AllLost, Fate::AllKept]);
    fates.map(|fate| disk.crash(fate).files.get("/d/a").map(|found| found.bytes.to_vec())).collect()
}

fn is(outcomes: &BTreeSet<Option<Vec<u8>>>, expected: &[Option<&[u8]>]) {
    let expected: BTreeSet<Option<Vec<u8>>> =
        expected.iter().map(|bytes| bytes.map(<[u8]>::to_vec)).collect();
    assert_eq!(*outcomes, expected);
}

#[test]
fn what_is_synced_stays() {
    is(&outcomes(&disk(&[make(), write(0, b"one"), sync(), sync_folder()])), &[Some(b"one")]);
}

#[test]
fn a_sync_of_the_file_keeps_no_name_and_a_sync_of_the_folder_no_bytes() {
    is(&outcomes(&disk(&[make(), write(0, b"one"), sync()])), &[None, Some(b"one")]);
    let lost = outcomes(&disk(&[make(), write(0, b"one"), sync_folder()]));
    is(&lost, &[Some(b""), Some(b"\0\0\0"), Some(b"one")]);
}

#[test]
fn a_sync_that_began_before_the_write_ended_does_not_cover_it() {
    let mut disk = disk(&[make(), sync_folder()]);
    let write = Event { begun: 10, ended: 12, act: write(0, b"one") };
    let sync = Event { begun: 11, ended: 13, act: sync() };
    disk.begin(&write);
    disk.begin(&sync);
    disk.end(&write);
    disk.end(&sync);
    assert!(outcomes(&disk).contains(&Some(Vec::new())));
}

#[test]
fn later_writes_may_be_kept_without_earlier_ones_sector_by_sector() {
    let (old, new) = ([1; 1024], [2; 1024]);
    let found = outcomes(&disk(&[make(), write(0, &old), sync(), sync_folder(), write(0, &new)]));
    let halves = |first: u8, second: u8| Some([[first; 512], [second; 512]].concat());
    assert_eq!(found, BTreeSet::from([halves(1, 1), halves(1, 2), halves(2, 1), halves(2, 2)]));
    let two = [make(), sync_folder(), write(0, &[1; 512]), write(512, &[2; 512])];
    assert!(outcomes(&disk(&two)).contains(&halves(0, 2)), "the second without the first");
    // One sector goes through its states in their order.
    let again = [make(), write(0, b"aaa"), sync(), sync_folder(), write(0, b"b"), write(1, b"c")];
    is(&outcomes(&disk(&again)), &[Some(b"aaa"), Some(b"baa"), Some(b"bca")]);
}

#[test]
fn a_file_that_was_cut_may_have_its_old_length() {
    let acts = [make(), write(0, b"long"), sync(), sync_folder(), Act::Cut { file: A, length: 1 }];
    let found = outcomes(&disk(&acts));
    assert!(found.contains(&Some(b"long".to_vec())) && found.contains(&Some(b"l".to_vec())), "{found:?}");
}

#[test]
fn a_name_that_was_removed_may_come_back_until_its_folder_is_synced() {
    let removed = Act::Remove { path: "/d/a".to_owned() };
    let acts = [make(), write(0, b"one"), sync(), sync_folder(), removed];
    is(&outcomes(&disk(&acts)), &[None, Some(b"one")]);
    is(&outcomes(&disk(&[&acts[..], &[sync_folder()]].concat())), &[None]);
}

#[test]
fn a_rename_is_one_step() {
    let rename = Act::Rename { from: "/d/new".to_owned(), to: "/d/a".to_owned() };
    let acts = [Act::Make { path: "/d/new".to_owned(), file: A }, sync(), sync_folder(), rename];
    let disk = disk(&acts);
    for seed in 0..200 {
        let files = disk.crash(Fate::Drawn(seed)).files;
        assert_eq!(files.len(), 1, "the one name or the other");
    }
}

#[test]
fn what_lies_in_a_folder_that_is_lost_is_lost() {
    let folder = Act::MakeFolder { path: "/d/f".to_owned() };
    let file = Act::Make { path: "/d/f/b".to_owned(), file: A };
    let inner = Act::SyncFolder { path: "/d/f".to_owned() };
    let disk = disk(&[folder, file, inner]);
    assert!(disk.crash(Fate::AllLost).files.is_empty());
    assert_eq!(disk.crash(Fate::AllKept).files.len(), 1);
}
