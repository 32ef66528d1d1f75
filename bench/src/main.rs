//! Packhouse beside other registries and beside nginx, on this machine, with one command.
//!
//! - `targets` starts what is measured and reads what it costs; the configurations are in `bench/targets/`.
//! - `wire` is the generator: HTTP by hand on one thread, none of the code under test.
//! - `work` is the list of what is done, each kind in a file.
//! - `figures`, `goals` and `report` make of runs what people read.

mod args;
mod bench;
mod data;
mod figures;
mod goals;
mod machine;
mod programs;
mod report;
mod targets;
mod wire;
mod work;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use args::Arguments;
use machine::Machine;
use report::Report;
use targets::{Kit, TARGETS};

fn main() -> ExitCode {
    match start(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.list {
        report::print_list();
        return Ok(());
    }
    let works: Vec<_> = work::list().into_iter().filter(|work| arguments.wants(work)).collect();
    if works.is_empty() {
        bail!("no work is named {}; `--list` lists them", arguments.only.join(", "));
    }
    raise_open_files()?;
    // One thread: the targets need the other cores, and programs end with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // Who is stopped drops what runs, and with it the targets and their folders.
        tokio::select! {
            report = measure(arguments, &works) => report,
            _ = interrupt.recv() => bail!("stopped"),
            _ = terminate.recv() => bail!("stopped"),
        }
    })?;
    report.write(arguments)
}

async fn measure(arguments: &Arguments, works: &[work::Workload]) -> anyhow::Result<Report> {
    let parent = arguments.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = tempfile::Builder::new()
        .prefix("packhouse-bench-")
        .tempdir_in(&parent)
        .with_context(|| format!("cannot make a folder in {}", parent.display()))?;
    let machine = Machine::look(scratch.path())?;
    if machine.in_memory && !arguments.json {
        eprintln!(
            "{} is in memory: what is pushed is not on disk; `--scratch FOLDER` names another",
            parent.display()
        );
    }
    let programs = programs::find(&arguments.packhouse);
    for target in TARGETS {
        let asked = arguments.wants_target(target.name)
            && works.iter().any(|work| work.targets.contains(&target.name));
        if asked && !programs.contains_key(target.program) && !arguments.json {
            eprintln!("without {}: {} is not here", target.name, target.program);
        }
    }
    let kit = Kit::new(scratch, programs, arguments.urls()?)?;
    let figures = bench::run(arguments, &kit, works).await?;
    Ok(Report::new(arguments, machine, &kit, figures))
}

/// A thousand connections are as many open files, here and in the targets, which inherit the limit.
fn raise_open_files() -> anyhow::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}
