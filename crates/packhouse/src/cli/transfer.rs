//! `packhouse import` and `packhouse export`: steps until there is no more.

use super::args::{ExportAct, ImportAct, OperatorFlags};
use super::operator::Desk;
use super::output;
use anyhow::bail;
use packhouse_service::operator::{Answer, Command, TransferCommand};
use packhouse_service::transfer::{ExportCursor, ImportCursor, TransferProblem, TransferSums};
use serde::Serialize;
use std::time::Duration;

/// Lines that are kept for the summary; all are said when they come.
const KEPT_MAX: usize = 10_000;
/// Between two steps that do not reach the source, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// What an import or export came to.
#[derive(Debug, Default, Serialize)]
struct Summary {
    dry_run: bool,
    #[serde(flatten)]
    sums: TransferSums,
    /// Images that were not taken.
    refused: u64,
    problems: Vec<TransferProblem>,
    notes: Vec<TransferProblem>,
}

/// Imports, and prints what came of it. Refusals are said when they come, and make the exit status 1.
pub(super) fn import(act: ImportAct, flags: &OperatorFlags) -> anyhow::Result<()> {
    let order = act.order()?;
    let desk = Desk::open(flags)?;
    let mut sum = Summary { dry_run: order.dry_run, ..Summary::default() };
    let progress = output::Progress::begin(if order.dry_run { "looking" } else { "importing" });
    let mut cursor: Option<Box<ImportCursor>> = None;
    let mut pause = PAUSE;
    loop {
        let command = TransferCommand::Import { order: Box::new(order.clone()), cursor: cursor.take() };
        let step = match desk.ask(Command::Transfer(command))? {
            Answer::Imported(step) => step,
            Answer::Refused { message } => bail!(message),
            _ => bail!("the server's answer is none to this command; is it another version of packhouse?"),
        };
        sum.take(&step.sums, step.problems, step.notes);
        progress.say(&sum.line());
        match step.cursor {
            Some(more) => cursor = Some(Box::new(more)),
            None => break,
        }
        match step.waiting {
            Some(why) => {
                output::warn(&format!("{why}; trying again"));
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
            None => pause = PAUSE,
        }
    }
    drop(progress);
    sum.print(flags.json, if order.dry_run { "would be imported" } else { "imported" })?;
    if sum.refused > 0 {
        bail!("{} could not be taken, as said above; the rest is here", count(sum.refused, "thing"));
    }
    Ok(())
}

/// Exports, and prints what came of it.
pub(super) fn export(act: ExportAct, flags: &OperatorFlags) -> anyhow::Result<()> {
    let order = act.order()?;
    let desk = Desk::open(flags)?;
    let mut sum = Summary::default();
    let progress = output::Progress::begin("exporting");
    let mut cursor: Option<Box<ExportCursor>> = None;
    loop {
        let command = TransferCommand::Export { order: Box::new(order.clone()), cursor: cursor.take() };
        let step = match desk.ask(Command::Transfer(command))? {
            Answer::Exported(step) => step,
            Answer::Refused { message } => bail!(message),
            _ => bail!("the server's answer is none to this command; is it another version of packhouse?"),
        };
        sum.take(&step.sums, Vec::new(), step.notes);
        progress.say(&sum.line());
        match step.cursor {
            Some(more) => cursor = Some(Box::new(more)),
            None => break,
        }
    }
    drop(progress);
    sum.print(flags.json, "exported")
}

impl Summary {
    fn take(&mut self, sums: &TransferSums, problems: Vec<TransferProblem>, notes: Vec<TransferProblem>) {
        self.sums.add(sums);
        self.refused += problems.len() as u64;
        for problem in &problems {
            output::refuse(&format!("{}: {}", problem.image, problem.message));
        }
        for note in &notes {
            output::warn(&format!("{}: {}", note.image, note.message));
        }
        let keep = |kept: &mut Vec<TransferProblem>, more: Vec<TransferProblem>| {
            let room = KEPT_MAX.saturating_sub(kept.len());
            kept.extend(more.into_iter().take(room));
        };
        keep(&mut self.problems, problems);
        keep(&mut self.notes, notes);
    }

    /// How far it is.
    fn line(&self) -> String {
        let TransferSums { manifests, blobs, bytes, tags, .. } = self.sums;
        format!("{manifests} manifests, {blobs} blobs ({}), {tags} tags", output::bytes(bytes))
    }

    fn print(&self, json: bool, done: &str) -> anyhow::Result<()> {
        if json {
            return output::print(&output::json(self)?);
        }
        let sums = &self.sums;
        let there =
            [(sums.manifests_present, "manifest"), (sums.blobs_present, "blob"), (sums.tags_present, "tag")];
        let there: Vec<String> = there
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| count(*number, what))
            .collect();
        let mut text = format!(
            "{done}: {}, {} ({}), {}",
            count(sums.manifests, "manifest"),
            count(sums.blobs, "blob"),
            output::bytes(sums.bytes),
            count(sums.tags, "tag"),
        );
        if !there.is_empty() {
            text.push_str(&format!("; there already: {}", there.join(", ")));
        }
        output::print(&(text + "\n"))
    }
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
