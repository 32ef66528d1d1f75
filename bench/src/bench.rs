//! Runs the works: stage by stage, and in each round every target in turn.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Arguments;
use crate::data::Stock;
use crate::figures::Figures;
use crate::targets::{Kit, listed};
use crate::work::{Desk, MACHINE, Run, Stage, Workload, large};

/// Runs all works that were asked for.
pub(crate) async fn run(
    arguments: &Arguments,
    kit: &Kit,
    works: &[Workload],
) -> anyhow::Result<Vec<Figures>> {
    let stock = Stock::new(works.iter().map(Workload::largest).max().unwrap_or_default())?;
    let desk = Desk {
        kit,
        stock: &stock,
        length: Duration::from_secs_f64(arguments.seconds),
        large: large(arguments.growth, arguments.growth_versions),
    };
    let total: usize =
        works.iter().map(|work| targets(arguments, kit, work).len() * rounds(arguments, work)).sum();
    let bar = if arguments.json { ProgressBar::hidden() } else { ProgressBar::new(total as u64) };
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")?);
    let mut all = Vec::new();
    let mut rest = works;
    while let Some(first) = rest.first() {
        let together = rest.iter().take_while(|work| same_stage(first, work)).count().max(1);
        let (now, later) = rest.split_at(together);
        rest = later;
        let mut names: Vec<String> = Vec::new();
        for work in now.iter().filter(|work| !work.starts_targets()) {
            for target in targets(arguments, kit, work) {
                if target != MACHINE && !names.contains(&target) {
                    names.push(target);
                }
            }
        }
        bar.set_message(format!("{}: preparing", first.id));
        let mut stage = Stage::set(&desk, now, &names, arguments.entries).await?;
        for work in now {
            all.push(rounds_of(arguments, &desk, &mut stage, work, &bar).await);
            // Where nobody sees a bar: a log of CI, say.
            if !arguments.json && !std::io::stderr().is_terminal() {
                eprintln!("{}: done after {:.0} s", work.id, bar.elapsed().as_secs_f64());
            }
        }
    }
    bar.finish_and_clear();
    Ok(all)
}

/// Works that leave nothing behind share their targets, and what was put there for all of them. So do those in filled
/// catalogs: what they leave is little beside what is there.
fn same_stage(one: &Workload, other: &Workload) -> bool {
    if one.grows() || other.grows() {
        return one.grows() && other.grows();
    }
    one.only_reads() && other.only_reads() && one.tls() == other.tls() && one.lists() == other.lists()
}

/// The targets of a work that are here and were asked for.
fn targets(arguments: &Arguments, kit: &Kit, work: &Workload) -> Vec<String> {
    let here = |name: &&&str| {
        let found = listed(name).is_none_or(|target| kit.programs.contains_key(target.program));
        found && arguments.wants_target(name)
    };
    let mut names: Vec<String> = work.targets.iter().filter(here).map(|name| (*name).to_owned()).collect();
    if work.targets.contains(&"distribution") && !work.starts_targets() {
        names.extend(
            kit.urls.iter().map(|target| target.name.clone()).filter(|name| arguments.wants_target(name)),
        );
    }
    names
}

fn rounds(arguments: &Arguments, work: &Workload) -> usize {
    arguments.rounds.min(work.rounds_max) as usize
}

async fn rounds_of(
    arguments: &Arguments,
    desk: &Desk<'_>,
    stage: &mut Stage,
    work: &Workload,
    bar: &ProgressBar,
) -> Figures {
    let mut runs: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    let mut failed = BTreeMap::new();
    let names = targets(arguments, desk.kit, work);
    for name in &names {
        if let Some(why) = stage.failed.get(name) {
            failed.insert(name.clone(), why.clone());
        }
    }
    for round in 0..rounds(arguments, work) {
        for place in 0..names.len() {
            // Another one begins each round: what a neighbour leaves behind meets all of them.
            let name = &names[(place + round) % names.len()];
            bar.set_message(format!("{}: {name}", work.id));
            if !failed.contains_key(name) {
                match work.run(desk, stage, name).await {
                    Ok(run) => {
                        let run = Run { round: u32::try_from(round).unwrap_or(u32::MAX), ..run };
                        runs.entry(name.clone()).or_default().push(run);
                    }
                    Err(error) => drop(failed.insert(name.clone(), format!("{error:#}"))),
                }
            }
            bar.inc(1);
        }
    }
    Figures::new(work, &runs, failed)
}
