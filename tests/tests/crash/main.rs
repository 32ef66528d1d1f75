//! Crashes: the program is killed (SIGKILL) in the middle of pushes, again and again on one data folder, and
//! what it acknowledged is there each time.
//!
//! A kill tests recovery and no sync, because the system keeps what a killed program wrote; the order of syncs
//! is looked at in the test `trace`.
//!
//! `PACKHOUSE_TEST_SEED` plays the draws of an earlier run again. The threads still interleave as they like, so
//! it brings the same kind of run, not the same one.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

mod audit;
mod dice;
mod errand;
mod ledger;
mod writer;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use packhouse_tests::crash_wire::Wire;
use packhouse_tests::{Blob, Caller, House, until};

use crate::dice::Dice;
use crate::writer::{Round, Tally, Writer};

const WRITERS: usize = 8;
const ROUNDS: usize = 100;
/// A round is over at a number of acknowledged changes drawn from here, and so takes as long as it takes.
const CHANGES: std::ops::Range<usize> = 10..120;
/// A registry that acknowledges nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Older things that each writer looks at after each restart.
const SAMPLE: usize = 6;

#[test]
fn what_was_acknowledged_survives_a_hundred_kills_in_the_middle_of_pushes_by_eight_writers() {
    let seed = seed();
    println!("PACKHOUSE_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut house = House::start();
    let mona = house.user("mona");
    let offers = Arc::default();
    let mut writers: Vec<Writer> = (0..WRITERS)
        .map(|number| Writer::new(format!("mona/w{number}"), dice.apart(number as u64), Arc::clone(&offers)))
        .collect();

    let (mut hits, mut looked_at) = (0, 0);
    for number in 0..ROUNDS {
        let changes = dice.between(CHANGES.start, CHANGES.end);
        let moment = Duration::from_micros(dice.roll() % 5_000);
        let common = dice.apart(number as u64);
        let door = house.caller(&mona);
        hits += usize::from(push_until_killed(&mut house, &mut writers, &door, common, changes, moment));
        if dice.percent(15) {
            // And again, as soon as it has recovered.
            house.open();
            house.kill();
        }
        house.open();
        let door = house.caller(&mona);
        looked_at += all(&mut writers, |writer| writer.recover(&door, SAMPLE)).iter().sum::<usize>();
    }

    let door = house.caller(&mona);
    all(&mut writers, |writer| writer.tidy_up(&door));
    let everything: usize = all(&mut writers, |writer| writer.ledger.verify_all(&door)).iter().sum();
    house.close();
    let ledgers: Vec<_> = writers.iter().map(|writer| &writer.ledger).collect();
    let audited = audit::audit(&house.data(), &ledgers);

    let tally = total(&writers);
    println!(
        "{hits} kills hit a push; {looked_at} looks between, {everything} at the end; {tally:?}; {audited:?}"
    );
    // Floors: a run that saw less has shown nothing.
    assert!(hits >= 90, "only {hits} of {ROUNDS} kills hit a push");
    assert!(tally.blobs >= 1_500 && tally.manifests >= 800, "too little was pushed: {tally:?}");
    assert!(
        tally.parts >= 500 && tally.mounts >= 50 && tally.deletes >= 100,
        "too little variety: {tally:?}"
    );
    assert!(tally.done_unheard >= 5 && tally.resumed >= 20 && tally.put_again >= 1, "too tame: {tally:?}");
    assert!(audited.files >= audited.blobs && audited.blobs >= 1_000, "{audited:?}");
    assert!(audited.uploads >= audited.blobs, "finished uploads stay until they expire: {audited:?}");
}

/// Lets the writers push until so many changes are acknowledged, and kills the program `moment` later.
/// Returns whether the kill hit any change on its way.
#[track_caller]
fn push_until_killed(
    house: &mut House,
    writers: &mut [Writer],
    door: &Caller,
    common: Dice,
    changes: usize,
    moment: Duration,
) -> bool {
    let (sender, receiver) = mpsc::channel();
    let round = Round { killed: AtomicBool::new(false), acknowledgements: Mutex::new(sender), common };
    std::thread::scope(|scope| {
        let round = &round;
        let hands: Vec<_> =
            writers.iter_mut().map(|writer| scope.spawn(move || writer.work(door, round))).collect();
        let waited: Vec<_> =
            (0..changes).map(|_| receiver.recv_timeout(PATIENCE)).take_while(Result::is_ok).collect();
        // Anywhere inside the requests that now run, not always at the end of one.
        let end = Instant::now() + moment;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        round.killed.store(true, Ordering::SeqCst);
        house.kill();
        let ends: Vec<_> = hands.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        // All of them are looked at: a panic of the last one counts as much as a hit of the first.
        let hits: Vec<bool> =
            ends.into_iter().map(|end| end.unwrap_or_else(|panic| resume_unwind(panic))).collect();
        let hit = hits.contains(&true);
        assert_eq!(waited.len(), changes, "the registry acknowledged nothing for {PATIENCE:?}");
        hit
    })
}

/// Does something with all writers at once.
#[track_caller]
fn all<T: Send>(writers: &mut [Writer], act: impl Fn(&mut Writer) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let act = &act;
        let hands: Vec<_> = writers.iter_mut().map(|writer| scope.spawn(move || act(writer))).collect();
        hands.into_iter().map(|hand| hand.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

fn total(writers: &[Writer]) -> Tally {
    writers.iter().fold(Tally::default(), |sum, writer| {
        let one = &writer.tally;
        Tally {
            blobs: sum.blobs + one.blobs,
            manifests: sum.manifests + one.manifests,
            parts: sum.parts + one.parts,
            mounts: sum.mounts + one.mounts,
            deletes: sum.deletes + one.deletes,
            in_flight: sum.in_flight + one.in_flight,
            done_unheard: sum.done_unheard + one.done_unheard,
            resumed: sum.resumed + one.resumed,
            put_again: sum.put_again + one.put_again,
        }
    })
}

/// The seed of this run: `PACKHOUSE_TEST_SEED`, or a new one.
fn seed() -> u64 {
    match std::env::var("PACKHOUSE_TEST_SEED") {
        Ok(given) => given.parse().expect("PACKHOUSE_TEST_SEED is a number"),
        Err(_) => u64::from_le_bytes(packhouse_tests::image::random(8).try_into().expect("8 bytes")),
    }
}

/// The client sent all of its PUT, the registry committed, and the answer was never read.
#[test]
fn a_put_that_is_sent_again_after_a_lost_201_gets_201() {
    let mut house = House::start();
    let mona = house.user("mona");
    let blob = Blob::random(300_000);
    let door = house.caller(&mona);
    let session = door.send_bytes("POST", "/v2/mona/app/blobs/uploads/", "text/plain", &[]);
    let location = session.header("location").expect("a Location").to_owned();
    let (start, rest) = blob.bytes.split_at(100_000);
    assert_eq!(door.send_bytes("PATCH", &location, "application/octet-stream", start).status, 202);
    let put = format!("{location}?digest={}", blob.digest);
    let again = |house: &House, put: &str| {
        house.caller(&mona).send_bytes("PUT", put, "application/octet-stream", rest)
    };

    let mut wire = Wire::open(&house, &mona);
    let length = rest.len().to_string();
    wire.ask("PUT", &put, &[("content-type", "application/octet-stream"), ("content-length", &length)])
        .unwrap();
    wire.send(rest).unwrap();
    let path = format!("/v2/mona/app/blobs/{}", blob.digest);
    until("the blob whose 201 nobody reads", PATIENCE, || (door.head(&path).status == 200).then_some(()));
    drop(wire);

    let answer = again(&house, &put);
    assert_eq!(answer.status, 201, "{answer}");
    assert_eq!(answer.header("docker-content-digest"), Some(blob.digest.as_str()));
    let location = answer.header("location").expect("a Location").to_owned();
    assert_eq!(door.get(&location).body, blob.bytes);
    // The session is that blob now and never another one.
    let other = format!("{}?digest={}", put.split_once('?').unwrap().0, Blob::random(10).digest);
    assert_eq!(again(&house, &other).code(), "BLOB_UPLOAD_UNKNOWN");

    house.kill();
    house.open();
    assert_eq!(again(&house, &put).status, 201, "after a crash as well");
    assert_eq!(house.caller(&mona).get(&path).body, blob.bytes);
}
