//! The tables of docs/benchmarks.md.

use std::fmt::Write as _;

use super::Report;
use super::terminal::{COLUMNS, cells};
use crate::goals::{Reached, number};

pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write_page(report, &mut page);
    page
}

fn write_page(report: &Report, page: &mut String) -> std::fmt::Result {
    let machine = &report.machine;
    writeln!(
        page,
        "Made {} by `{}`: {} rounds of {} s each, lists of {} entries.",
        report.made_at, report.command, report.rounds, report.seconds, report.entries
    )?;
    writeln!(
        page,
        "Machine: {} cores, {}, {} GB of memory, Linux {}, data on {}{}; load before the first run {}.\n",
        machine.cores,
        machine.processor,
        number(machine.memory_gigabytes),
        machine.kernel,
        machine.file_system,
        if machine.in_memory { " (in memory: nothing pushed here is durable)" } else { "" },
        machine.load_before,
    )?;
    for catalog in &report.catalogs {
        let (packages, versions) = (f64::from(catalog.packages), f64::from(catalog.versions));
        writeln!(
            page,
            "- `{}`: {} packages, {} versions",
            catalog.target,
            number(packages),
            number(versions)
        )?;
    }
    if !report.catalogs.is_empty() {
        writeln!(page)?;
    }
    if !report.goals.is_empty() {
        writeln!(page, "### Goals\n\n| work | goal | measured | |\n|---|---|---:|---|")?;
        for goal in &report.goals {
            writeln!(page, "| {} | {} | {} | {} |", goal.title, goal.goal, goal.measured_text, met(goal))?;
        }
        writeln!(page)?;
    }
    writeln!(
        page,
        "### Targets\n\n| target | version | durability of pushes | authentication |\n|---|---|---|---|"
    )?;
    for target in &report.targets {
        let (name, version) = (&target.name, &target.version);
        writeln!(page, "| {name} | {version} | {} | {} |", target.durability, target.authentication)?;
    }
    writeln!(page, "\n### Figures\n")?;
    for figures in &report.works {
        writeln!(page, "#### {}\n", figures.title)?;
        let peer = figures.best_peer.as_deref().map_or(String::new(), |peer| format!("; best peer: {peer}"));
        let limit = figures.limit.map_or(String::new(), |limit| format!("; limit: {limit}"));
        let direction = if figures.unit.more_is_better() { "more is better" } else { "less is better" };
        writeln!(
            page,
            "`{}` ({}), in {}; {direction}{limit}{peer}.\n",
            figures.id,
            figures.groups.join(", "),
            figures.unit.name()
        )?;
        if !figures.series.is_empty() {
            writeln!(page, "| {} |\n|---{}|", COLUMNS.join(" | "), "|---:".repeat(COLUMNS.len() - 1))?;
            for series in &figures.series {
                writeln!(page, "| {} |", cells(figures, series).join(" | "))?;
            }
            writeln!(page)?;
        }
        for note in figures
            .series
            .iter()
            .flat_map(|series| series.runs.last()?.note.as_ref().map(|n| (&series.target, n)))
        {
            writeln!(page, "{}, last round: {}.\n", note.0, note.1)?;
        }
        for series in &figures.series {
            if let Some(trouble) = series.runs.iter().find_map(|run| run.trouble.as_ref()) {
                writeln!(page, "{}: {}\n", series.target, one_line(trouble))?;
            }
        }
        for (target, why) in &figures.failed {
            writeln!(page, "{target}: no figure: {}\n", one_line(why))?;
        }
    }
    if !report.left_out.is_empty() {
        writeln!(page, "### Left out\n")?;
        for (what, why) in &report.left_out {
            writeln!(page, "- {what}: {why}.")?;
        }
        writeln!(page)?;
    }
    writeln!(page, "### Configurations\n")?;
    writeln!(
        page,
        "`{{folder}}`, `{{shared}}` and `{{port}}` are the target's own; the lines between `tls: begin` and `tls: end` hold over TLS.\n"
    )?;
    let mut shown: Vec<&super::Target> = Vec::new();
    for target in report.targets.iter().filter(|target| !target.configuration.is_empty()) {
        let same = |before: &&super::Target| {
            (before.configuration, &before.environment) == (target.configuration, &target.environment)
        };
        if let Some(before) = shown.iter().find(|before| same(before)) {
            writeln!(page, "{}: that of {}.\n", target.name, before.name)?;
            continue;
        }
        shown.push(target);
        let environment: Vec<String> =
            target.environment.iter().map(|(name, value)| format!("{name}={value} ")).collect();
        writeln!(page, "<details><summary>{}</summary>\n", target.name)?;
        writeln!(page, "`{}{} {}`\n", environment.concat(), target.name, target.arguments.join(" "))?;
        writeln!(page, "```\n{}```\n\n</details>\n", target.configuration)?;
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a goal is met, in words.
pub(super) fn met(goal: &Reached) -> String {
    match goal.missed_by {
        None => "met".to_owned(),
        Some(part) => format!("missed by {:.0} %", (part * 100.0).max(1.0)),
    }
}
