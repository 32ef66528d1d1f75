//! The disk is full, broken, or there are no more file descriptors: at every write in turn, of the real program.
//!
//! strace is attached to the running server and lets the Nth call of a kind on chosen files fail, for N = 1, 2, … until
//! a round of pushes ends without having met the fault; or all calls from the Nth on, as a disk fails that stays full.
//! What must hold each time: the client gets an answer, which is a promise kept or a clear error; nothing is visible
//! in halves; when the fault is over the same server, not started again, takes the same push; and after a kill
//! everything that was acknowledged is there.
//!
//! `PACKHOUSE_TEST_LONG=1` tries every error at every call; without it the rarer ones are tried at some.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

mod audit;
mod push;
mod strike;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use packhouse_tests::crash_wire::Wire;
use packhouse_tests::{House, until};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::push::Client;
use crate::strike::{Strike, When};

/// The first numbers of calls, of which one must be the first that no round reaches.
const CALLS_MAX: usize = 400;

fn is_long() -> bool {
    std::env::var("PACKHOUSE_TEST_LONG").is_ok_and(|value| value == "1")
}

/// The files of the catalog.
fn catalog(house: &House) -> Vec<PathBuf> {
    ["", "-wal", "-shm", "-journal"].map(|end| house.data().join(format!("catalog.sqlite{end}"))).to_vec()
}

/// Calls that fail in turn.
#[derive(Clone, Copy)]
struct Calls {
    call: &'static str,
    error: &'static str,
    /// Of how many calls one is tried.
    step: usize,
    /// On the blob's file and folder, or on the catalog's files.
    of_blob: bool,
}

impl Calls {
    /// Lets the first, the next … of the calls fail, until a round of pushes has no such call. Returns how many faults
    /// were met.
    #[track_caller]
    fn fail(self, client: &mut Client, house: &House, when: fn(usize) -> When) -> usize {
        let Self { call, error, step, of_blob } = self;
        for (met, number) in (1..CALLS_MAX).step_by(step).enumerate() {
            let round = client.prepare();
            let files = if of_blob { round.files(house) } else { catalog(house) };
            if !client.round(house, &round, &Strike { call, error, when: when(number), files }) {
                return met;
            }
        }
        panic!("{call} still failed after {CALLS_MAX} calls");
    }
}

/// What was acknowledged survives a kill, and no file is nobody's.
#[track_caller]
fn ends_well(mut house: House, client: &mut Client) {
    house.kill();
    house.open();
    client.meet(&house);
    client.verify_all();
    house.close();
    audit::audit(&house.data());
    assert!(!house.log().contains("panicked"), "{}", house.log());
}

#[test]
fn a_catalog_that_cannot_write_fails_clearly_and_goes_on() {
    let house = House::start();
    let mut client = Client::new(&house);
    let rare = if is_long() { 1 } else { 11 };
    let start = Instant::now();
    let mut met = Vec::new();
    for (error, step) in [("ENOSPC", if is_long() { 1 } else { 2 }), ("EIO", rare), ("EDQUOT", 2 * rare - 1)]
    {
        let writes = Calls { call: "pwrite64", error, step, of_blob: false };
        let syncs = Calls { call: "fdatasync", error, step: 1, of_blob: false };
        met.push((error, "one write", writes.fail(&mut client, &house, When::Only)));
        met.push((error, "one sync", syncs.fail(&mut client, &house, When::Only)));
        met.push((error, "writes", writes.fail(&mut client, &house, When::From)));
        met.push((error, "syncs", syncs.fail(&mut client, &house, When::From)));
    }
    println!("{met:?}, {:?} in {:?}", client.tally, start.elapsed());
    assert!(met.iter().all(|(.., met)| *met > 0), "{met:?}");
    assert!(client.tally.refused >= 20, "faults that stay are told: {:?}", client.tally);
    // A client is sent to the operator's log for the cause, so it must be there.
    let log = house.log();
    assert!(log.contains("disk is full") && log.contains("disk I/O error"), "{log}");
    ends_well(house, &mut client);
}

#[test]
fn a_blob_that_cannot_be_written_fails_clearly_and_goes_on() {
    let house = House::start();
    let mut client = Client::new(&house);
    let mut met = Vec::new();
    for error in ["ENOSPC", "EIO", "EDQUOT", "EMFILE"] {
        let calls: &[&'static str] =
            if error == "EMFILE" { &["openat"] } else { &["openat", "writev", "fsync", "fdatasync"] };
        for call in calls {
            let calls = Calls { call, error, step: 1, of_blob: true };
            met.push((error, *call, calls.fail(&mut client, &house, When::Only)));
            met.push((error, *call, calls.fail(&mut client, &house, When::From)));
        }
    }
    println!("{met:?}, {:?}", client.tally);
    assert!(met.iter().all(|(.., met)| *met > 0), "{met:?}");
    assert!(client.tally.refused >= met.len(), "each is told: {:?}", client.tally);
    let log = house.log();
    for cause in ["No space left on device", "Input/output error", "quota exceeded", "Too many open files"] {
        assert!(log.contains(cause), "the log tells the cause `{cause}`: {log}");
    }
    ends_well(house, &mut client);
}

#[test]
fn a_checkpoint_that_finds_no_room_hinders_nobody() {
    let house = House::start();
    let mut client = Client::new(&house);
    // The catalog's own file is written by checkpoints only; its log has room.
    let files = vec![house.data().join("catalog.sqlite")];
    let strike = Strike { call: "pwrite64", error: "ENOSPC", when: When::From(1), files };
    let struck = strike.on(&house);
    for _ in 0..400 {
        let round = client.prepare();
        client.push(&round);
        if struck.met() {
            break;
        }
    }
    assert!(struck.ended(), "there was no checkpoint");
    assert_eq!(client.tally.refused, 0, "the log takes what the file cannot");
    for _ in 0..3 {
        let round = client.prepare();
        client.push(&round);
    }
    ends_well(house, &mut client);
}

#[test]
fn without_file_descriptors_new_clients_wait_and_old_ones_are_told() {
    let house = House::start();
    let mut client = Client::new(&house);
    let round = client.prepare();
    let pid = Pid::from_raw(i32::try_from(house.pid()).unwrap());
    // Only number 0 could be given out, and that is taken: also when a connection ends.
    let upper = getrlimit(Resource::Nofile).maximum;
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(1), maximum: upper });
    let before = before.expect("a child's limits can be set");
    let refused = client.tally.refused;
    let left = client.try_push(&round);
    assert!(
        left.is_err() && client.tally.refused == refused + 1,
        "an old client is told: {:?}",
        client.tally
    );
    // A new client waits in the queue until there is room again.
    let (address, nobody) = (house.address().to_owned(), house.nobody());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || nobody.get("/healthz").status);
        until("the server says why nobody gets in", Duration::from_secs(30), || {
            house.log().contains("cannot accept connections").then_some(())
        });
        assert!(!waiting.is_finished(), "a client got in at {address} without a file descriptor");
        prlimit(pid, Resource::Nofile, before).expect("a child's limits can be set");
        assert_eq!(waiting.join().unwrap(), 200);
    });
    client.push(&round);
    ends_well(house, &mut client);
}

/// A commit whose sync failed was refused, but lies whole in the log: a crash would bring it back. Until that is ruled
/// out nobody may touch the bytes that it speaks of.
#[test]
fn a_commit_that_was_refused_never_comes_back_without_its_bytes() {
    let mut house = House::start();
    let mut client = Client::new(&house);
    let round = client.prepare();
    client.push(&round);
    let round = client.prepare();
    let (layer, session, file) =
        (round.layer.clone(), round.session.clone(), round.files(&house).swap_remove(0));
    let door = house.caller(&client.user);
    let (half, rest) = layer.bytes.split_at(layer.bytes.len() / 2);
    assert_eq!(door.send_bytes("PATCH", &session, "application/octet-stream", half).status, 202);

    // The log takes the commit of the PUT, and cannot be synced.
    let struck =
        Strike { call: "fdatasync", error: "EIO", when: When::From(1), files: catalog(&house) }.on(&house);
    let put = format!("{session}?digest={}", layer.digest);
    let refused = door.send_bytes("PUT", &put, "application/octet-stream", rest);
    assert!(matches!(refused.status, 500 | 503), "{refused}");
    assert_eq!(file.metadata().unwrap().len(), 3_000);
    // The client tries again with other bytes, and is still sending when the power goes.
    let mut wire = Wire::open(&house, &client.user);
    let length = [("content-type", "application/octet-stream"), ("content-length", "3000000")];
    wire.ask("PATCH", &session, &length).unwrap();
    wire.send(&vec![7; 2_000_000]).unwrap_or_default();
    let answered = wire.second_hand().unwrap();
    until("the session to be written again, or refused", Duration::from_secs(30), || {
        let touched = file.metadata().is_ok_and(|file| file.len() != 3_000);
        (touched || answered.has_answer()).then_some(())
    });
    house.kill();
    struck.ended();
    house.open();
    let answer = house.caller(&client.user).get(&format!("/v2/mona/app/blobs/{}", layer.digest));
    let whole = answer.status == 200 && answer.body == layer.bytes;
    assert!(whole || answer.status == 404, "{answer}");
    ends_well(house, &mut client);
}
