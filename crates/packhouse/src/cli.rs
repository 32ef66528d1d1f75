//! The command line.
//!
//! `serve` and `config` read the configuration; all other commands are the operator's: they go to the running
//! server over its socket, or do their work themselves, under the lock, when no server runs. What a command
//! prints goes to stdout, what went wrong to stderr with exit status 1 (2 for a command line that is wrong).

mod args;
mod copies;
pub(crate) mod duration;
mod flags;
mod gc;
mod operator;
mod output;
mod transfer;
mod verify;

pub use args::Cli;
pub use flags::ConfigFlags;

use crate::config::{self, Loaded, TlsFiles};
use crate::{serve, telemetry, tls};
use anyhow::Context;
use args::{Act, ConfigAct};
use clap::Parser;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tracing::warn;

/// For threads that still wait for a disk when the server has ended.
const RUNTIME_END_TIME: Duration = Duration::from_secs(2);

/// Runs the program on this process's arguments.
#[must_use]
pub fn run() -> ExitCode {
    let done = match Cli::parse().act {
        Act::Serve(flags) => serve(flags),
        Act::Config { act: ConfigAct::Check { flags, json } } => check(flags, json),
        Act::Config { act: ConfigAct::Reference } => output::print(&config::reference()),
        Act::User { act, flags } => operator::run(act.command(), &flags),
        Act::Org { act, flags } => operator::run(act.command(), &flags),
        Act::Token { act, flags } if act.is_quiet() => operator::run_quietly(act.command(), &flags),
        Act::Token { act, flags } => operator::run(act.command(), &flags),
        Act::Robot { act, flags } if act.is_quiet() => operator::run_quietly(act.command(), &flags),
        Act::Robot { act, flags } => operator::run(act.command(), &flags),
        Act::Team { act, flags } => operator::run(act.command(), &flags),
        Act::Repo { act, flags } => operator::run(act.command(), &flags),
        Act::Access { act, flags } => operator::run(act.command(), &flags),
        Act::Protect { act, flags } => operator::run(act.command(), &flags),
        Act::Retention { act, flags } => operator::run(act.command(), &flags),
        Act::Tag { act, flags } => operator::run(act.command(), &flags),
        Act::Package { act, flags } => operator::run(act.command(), &flags),
        Act::Usage { show, flags } => operator::run(show.command(), &flags),
        Act::Plan { act, flags } => operator::run(act.command(), &flags),
        Act::Gc { act, dry_run, flags } => gc::run(act, dry_run, &flags),
        Act::Import { act, flags } => transfer::import(act, &flags),
        Act::Export { act, flags } => transfer::export(act, &flags),
        Act::Backup { folder, keep, flags } => copies::backup(&folder, keep, &flags),
        Act::Restore { folder, catalog, snapshot, without_missing, flags } => {
            copies::from(folder, catalog, snapshot, without_missing)
                .and_then(|from| copies::restore_house(from, &flags))
        }
        Act::Verify { act, verify, flags } => verify::run(act, &verify, &flags),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn serve(flags: ConfigFlags) -> anyhow::Result<()> {
    let Loaded { config, warning, .. } = config::load(flags.into_inputs())?;
    // Until this ends: what was gathered for the log is written behind the last thread that logs.
    let _log = telemetry::logs::begin(&config.log, config.log_format)?;
    if let Some(warning) = warning {
        warn!("{warning}");
    }
    // Whatever this process makes is its owner's alone: the catalog holds hashes and keys.
    umask(Mode::from_raw_mode(0o077));
    raise_file_limit();
    keep_freed_memory();
    let runtime = runtime()?;
    let ended = runtime.block_on(serve::serve(&config));
    runtime.shutdown_timeout(RUNTIME_END_TIME);
    ended
}

fn check(flags: ConfigFlags, json: bool) -> anyhow::Result<()> {
    let Loaded { config, rows, warning } = config::load(flags.into_inputs())?;
    if let Some(warning) = warning {
        output::warn(&warning);
    }
    if let Some(files) = &config.tls {
        check_tls(files)?;
    }
    output::print(&if json { output::json(&rows)? } else { output::settings(&rows) })
}

fn check_tls(files: &TlsFiles) -> anyhow::Result<()> {
    tls::Tls::new(files.clone())?;
    Ok(())
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().context("cannot start the threads of the server")
}

/// Every connection and every open blob is a file descriptor, and the usual limit of 1,024 dates from programs
/// that used `select`. What the system allows at the most is ours to take.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "cannot raise the limit of open files");
    }
}

/// Has the allocator keep a little of what is freed. What an upload's bytes lay in is freed and wanted again a thousand
/// times in a second; by itself glibc gives the end of a heap back to the system from 128 KiB on, and each page of it
/// comes back by a fault: a tenth of what an upload cost.
///
/// Freeing a block that was mapped is how glibc learns (mallopt(3), `M_MMAP_THRESHOLD`): blocks up to its size come out of
/// heaps from then on, and each heap keeps up to twice as much. Other allocators see a block come and go.
fn keep_freed_memory() {
    const BYTES: usize = 2 << 20;
    drop(std::hint::black_box(vec![0_u8; BYTES]));
}
