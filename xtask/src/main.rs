//! `cargo xtask`: the chores of this repository, in Rust so that a desk and CI run the same.
//!
//! `cargo xtask test` is the test command of the README. It sets up what the tests need (real clients, a
//! PostgreSQL, a Garage), runs every check, goes on after a failed one, and ends with the line `N passed, N failed`.

mod bench;
mod garage;
mod postgres;
mod run;
mod steps;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of Packhouse.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Sets up what is needed and runs every test.
    ///
    /// As root on Debian it installs missing packages; clients written in Go are built once, into
    /// `$XDG_CACHE_HOME/packhouse-tools` (or `~/.cache/packhouse-tools`). What cannot be installed is named,
    /// with the tests that are left out for it; with `CI=true` that is a failure.
    Test {
        /// Runs this step alone, with the steps it cannot do without (may be repeated).
        #[arg(long, value_name = "STEP")]
        only: Vec<steps::Step>,
        /// Gives the tests that look for rare things much more time: loads, simulations, power cuts.
        #[arg(long)]
        long: bool,
        /// Words for the test programs of the steps `unit` and `e2e`, such as a part of a test's name.
        #[arg(last = true)]
        words: Vec<String>,
    },
    /// Counts what requests cost in instructions, and writes that into `tests/instructions.txt`, against which the
    /// step `e2e` compares.
    Instructions,
    /// Measures Packhouse beside other registries and beside nginx; docs/benchmarks.md says how to read it.
    ///
    /// Installs what is missing as `test` does, builds, and gives the words to the benchmark: `--help`, `--list`.
    Bench {
        /// Words for the benchmark, such as `--only goals`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Only sets up the tools, and says where they are.
    Tools,
}

fn main() -> ExitCode {
    if let Err(error) = run::watch_for_signals() {
        eprintln!("cannot watch for signals: {error}");
        return ExitCode::FAILURE;
    }
    let done = match Arguments::parse().chore {
        Chore::Test { only, long, words } => steps::test(&only, long, &words),
        Chore::Instructions => steps::instructions(),
        Chore::Bench { words } => bench::bench(&words),
        Chore::Tools => tools::report(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
