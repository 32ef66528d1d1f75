//! Tables for a terminal.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::Report;
use crate::figures::{Figures, Series};
use crate::goals::number;
use crate::targets::TARGETS;
use crate::work::list;

/// The columns of the tables of figures.
pub(super) const COLUMNS: [&str; 12] = [
    "target",
    "median",
    "min–max",
    "÷ limit",
    "÷ best peer",
    "p50 ms",
    "p99 ms",
    "CPU µs each",
    "CPU s/GB",
    "peak MB",
    "not 2xx",
    "generator, cores",
];

/// The cells of one target.
pub(super) fn cells(figures: &Figures, series: &Series) -> [String; 12] {
    let maybe = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
    let limit = figures.limit == Some(series.target.as_str());
    let refused = match (series.not_2xx, series.broken) {
        (refused, 0) => refused.to_string(),
        (refused, broken) => format!("{refused}, {broken} broken"),
    };
    [
        series.target.clone(),
        number(series.median),
        format!("{}–{}", number(series.min), number(series.max)),
        if limit { "limit".to_owned() } else { maybe(series.of_limit) },
        maybe(series.of_best_peer),
        maybe(series.p50_ms),
        maybe(series.p99_ms),
        maybe(series.cpu_micros_each),
        maybe(series.cpu_seconds_per_gigabyte),
        maybe(series.peak_megabytes),
        refused,
        maybe(series.generator_cores),
    ]
}

pub(super) fn print(report: &Report) {
    for figures in &report.works {
        println!("\n{} ({}), in {}", figures.title, figures.id, figures.unit.name());
        let mut table = table(&COLUMNS);
        for series in &figures.series {
            table.add_row(numbers(&cells(figures, series)));
        }
        println!("{table}");
        for (target, why) in &figures.failed {
            println!("{target}: no figure: {why}");
        }
    }
    if report.goals.is_empty() {
        return;
    }
    println!("\nGoals");
    let mut table = table(&["work", "goal", "measured", ""]);
    for goal in &report.goals {
        table.add_row([goal.title, &goal.goal, &goal.measured_text, &super::markdown::met(goal)]);
    }
    println!("{table}");
}

/// `--list`.
pub(crate) fn print_list() {
    let mut works = table(&["work", "groups", "what", "targets"]);
    for work in list() {
        works.add_row([work.id, &work.groups.join(", "), work.title, &work.targets.join(", ")]);
    }
    println!("{works}");
    let mut targets = table(&["target", "program", "durability", "authentication"]);
    for target in TARGETS {
        targets.add_row([target.name, target.program, target.durability, target.authentication]);
    }
    println!("{targets}");
}

fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(columns);
    table
}

fn numbers(cells: &[String]) -> Vec<Cell> {
    let align = |(place, text): (usize, &String)| {
        let side = if place == 0 { CellAlignment::Left } else { CellAlignment::Right };
        Cell::new(text).set_alignment(side)
    };
    cells.iter().enumerate().map(align).collect()
}
