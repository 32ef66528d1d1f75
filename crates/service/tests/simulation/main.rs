//! Garbage collection against everything else, simulated: the real service over a database in memory and a store that is
//! made up, with a scheduler that picks which operation takes the next step. A step is a transaction or a call of the
//! store; any of them may fail, any client may go away, any node may die, the power may go, and time passes.
//!
//! `PACKHOUSE_TEST_SEED=17 cargo test --test simulation seeds -- --nocapture` runs one seed and prints its trace.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod audit;
mod clients;
mod dice;
mod disk;
mod driver;
mod house;
mod ledger;
mod mutants;
mod pushes;
mod scheduler;
mod universe;
mod world;

use house::House;
use mutants::{Mutant, PLANTED};
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds of a run in CI; a mutant must be found within them.
const SEEDS: u64 = 5_000;
/// With `PACKHOUSE_TEST_LONG`.
const SEEDS_LONG: u64 = 100_000;

fn seeds() -> u64 {
    if std::env::var_os("PACKHOUSE_TEST_LONG").is_some() { SEEDS_LONG } else { SEEDS }
}

/// The first seed that finds something, and what.
fn search(mutant: Mutant, seeds: u64) -> Option<(u64, String, String)> {
    let house = House::new(mutant);
    (0..seeds).find_map(|seed| {
        let outcome = house.run(seed);
        outcome.wrong.map(|wrong| (seed, wrong, outcome.trace))
    })
}

/// Nothing acknowledged is lost, nothing live is collected, nothing dead is left, whatever comes in between.
#[test]
fn whatever_comes_in_between_nothing_live_is_collected_and_nothing_dead_is_left_in_all_seeds() {
    if let Ok(seed) = std::env::var("PACKHOUSE_TEST_SEED") {
        let outcome = House::new(Mutant::None).run(seed.parse().unwrap());
        println!("{}", outcome.trace);
        assert_eq!(outcome.wrong, None);
        return;
    }
    let next = AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(4);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let house = House::new(Mutant::None);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds() {
                        return;
                    }
                    let outcome = house.run(seed);
                    if let Some(wrong) = outcome.wrong {
                        panic!("seed {seed}: {wrong}\n{}", outcome.trace);
                    }
                }
            });
        }
    });
}

/// A seed is a run: what it finds, it finds again.
#[test]
fn the_same_seed_gives_the_same_run() {
    let (one, other) = (House::new(Mutant::None), House::new(Mutant::None));
    for seed in 0..100 {
        let first = one.run(seed).trace;
        // In a house that has seen other runs, too.
        assert_eq!(first, one.run(seed).trace, "seed {seed}");
        assert_eq!(first, other.run(seed).trace, "seed {seed}");
    }
}

/// Faults that are planted are found; otherwise finding nothing would say nothing.
#[test]
fn every_planted_fault_is_found_within_the_seeds_of_a_run() {
    let mut missed = Vec::new();
    for mutant in PLANTED {
        match search(mutant, SEEDS) {
            Some((seed, wrong, _)) => println!("{mutant:?} is found by seed {seed}: {wrong}"),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "nobody finds {missed:?}");
}
