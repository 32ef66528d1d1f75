//! Power cuts: a day of work of the real program is recorded, every write and every sync of its files, and the
//! power goes after each of them, in many ways.
//!
//! The program runs under strace, which writes down all bytes that go to the data folder, and the answers between
//! them. After each line a model of a disk (`disk.rs`, which says in prose what may be lost, torn and reordered) is
//! asked what could lie there if the power went now: all unsynced lost, all kept, and some drawn mixtures. Of each,
//! SQLite opens the catalog, and an audit (`audit.rs`) holds it against what the clients had been promised by then.
//! On a sample of them the real program is started again.
//!
//! The judge is judged as well: without any one kind of sync in the recording it must find fault.
//!
//! `PACKHOUSE_TEST_SEED` draws the same again; the program's own random names and its threads still differ.
//! `PACKHOUSE_TEST_LONG=1` draws more.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

mod audit;
mod chance;
mod day;
mod disk;
mod disk_tests;
mod judge;
mod ledger;
mod mutants;
mod recording;
mod reopen;
mod strace;

use std::sync::OnceLock;
use std::time::Instant;

use packhouse_tests::{House, tool};

use crate::day::Day;
use crate::judge::{Depth, judge, sample};
use crate::recording::{Act, Recording};

/// A recorded day.
struct Recorded {
    day: Day,
    recording: Recording,
    seed: u64,
}

/// The day that all tests here look at.
fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(record)
}

#[track_caller]
fn record() -> Recorded {
    let seed = seed();
    println!("PACKHOUSE_TEST_SEED={seed}");
    let desk = tempfile::tempdir().unwrap();
    let file = desk.path().join("trace");
    // `-D`: the program keeps its process id and is nobody's grandchild. `-A`: the restart is written behind.
    let words = ["-D", "-A", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "4194304", "-e", strace::CALLS, "-o"];
    let wrapper = std::iter::once(tool("strace").into_os_string())
        .chain(words.map(Into::into))
        .chain([file.clone().into_os_string()]);
    // What is deleted is collected at night; what nobody deleted stays, as promised, for a day.
    let house = House::builder().env("PACKHOUSE_DELETED_RETENTION", "1s");
    let mut house = house.behind(wrapper).start();
    let day = day::work(&mut house, seed);
    house.close();
    let trace = std::fs::read_to_string(&file).expect("strace wrote a trace");
    let calls = strace::read(&trace);
    let recording = Recording::new(&calls, &house.data().display().to_string());
    Recorded { day, recording, seed }
}

fn seed() -> u64 {
    match std::env::var("PACKHOUSE_TEST_SEED") {
        Ok(given) => given.parse().expect("PACKHOUSE_TEST_SEED is a number"),
        Err(_) => u64::from_le_bytes(packhouse_tests::image::random(8).try_into().expect("8 bytes")),
    }
}

fn is_long() -> bool {
    std::env::var("PACKHOUSE_TEST_LONG").is_ok_and(|value| value == "1")
}

#[test]
fn a_power_cut_after_any_write_of_a_day_loses_nothing_that_was_acknowledged() {
    let Recorded { day, recording, seed } = recorded();
    let start = Instant::now();
    let depth = Depth { every: 1, draws: if is_long() { 12 } else { 2 }, seed: *seed };
    let verdict = judge(recording, &day.chains, depth);
    println!(
        "{} events, {} moments, {} states, {} catalogs in {:?}",
        recording.events.len(),
        verdict.moments,
        verdict.states,
        verdict.catalogs,
        start.elapsed()
    );
    assert!(verdict.faults.is_empty(), "PACKHOUSE_TEST_SEED={seed}\n{}", verdict.faults.join("\n"));

    // Floors: a day without work, or a judge who looked away, has shown nothing.
    let count = |what: fn(&Act) -> bool| recording.events.iter().filter(|event| what(&event.act)).count();
    let answers = count(|act| matches!(act, Act::Answer { .. } | Act::Told));
    let steps: usize = day.chains.iter().map(|chain| chain.steps.len()).sum();
    let syncs = count(|act| matches!(act, Act::SyncFile { .. } | Act::SyncFolder { .. }));
    println!("{steps} steps, {answers} answers, {syncs} syncs, {:?}", day::size(&day.chains));
    assert!(verdict.moments >= 3_000 && verdict.states >= 6_000 && verdict.catalogs >= 3_000, "{verdict:?}");
}

#[test]
fn the_program_starts_and_goes_on_after_power_cuts() {
    let Recorded { day, recording, seed } = recorded();
    let crashes = sample(recording, &day.chains, if is_long() { 100 } else { 12 }, *seed);
    let mut asked = 0;
    for crash in &crashes {
        asked += reopen::reopen(crash, &recording.data, &day.chains[0], &day.user);
    }
    println!("{} starts, {asked} promises asked for", crashes.len());
    assert!(crashes.len() >= 12 && asked >= 300, "{} starts, {asked} promises", crashes.len());
}
