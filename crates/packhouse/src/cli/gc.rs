//! `packhouse gc`: rounds of collection until nothing is due, what one would remove, how it stands.

use super::args::{GcAct, OperatorFlags};
use super::operator::Desk;
use super::output;
use anyhow::bail;
use packhouse_service::operator::{Answer, Command, GcCommand, GcRoundView};

/// Runs the command and prints what came of it.
pub(super) fn run(act: Option<GcAct>, dry_run: bool, flags: &OperatorFlags) -> anyhow::Result<()> {
    let desk = Desk::open(flags)?;
    let answer = match act {
        Some(GcAct::Status) => desk.ask(Command::Gc(GcCommand::Status))?,
        None if dry_run => desk.ask(Command::Gc(GcCommand::DryRun))?,
        None => collect(&desk)?,
    };
    output::print(&if flags.json { output::json_of(answer)? } else { output::text_of(answer)? })
}

fn collect(desk: &Desk) -> anyhow::Result<Answer> {
    let mut sum = GcRoundView::default();
    let progress = output::Progress::begin("collecting");
    loop {
        match desk.ask(Command::Gc(GcCommand::Round))? {
            Answer::GcRound(round) => sum.add(&round),
            Answer::Refused { message } => bail!(message),
            _ => bail!("the server's answer is none to this command; is it another version of packhouse?"),
        }
        let removed: u64 = sum.removed.values().sum();
        progress.say(&format!("{} reviewed, {removed} removed, {} files", sum.reviews, sum.files));
        if !sum.more {
            return Ok(Answer::GcRound(sum));
        }
    }
}
