//! `packhouse verify`: steps of a scrub until it has looked at everything, at the rate that is asked for.

use super::args::{OperatorFlags, VerifyAct, VerifyFlags};
use super::operator::Desk;
use super::output;
use anyhow::bail;
use packhouse_service::operator::{Answer, Command, VerifiedView, VerifyCommand, VerifyRunView};
use std::time::{Duration, Instant};

/// Bytes of one step: some seconds of a slow disk.
const STEP_BYTES: u64 = 64 << 20;

/// Runs the command and prints what came of it. An error when not all is well in the end.
pub(super) fn run(act: Option<VerifyAct>, verify: &VerifyFlags, flags: &OperatorFlags) -> anyhow::Result<()> {
    let desk = Desk::open(flags)?;
    let print =
        |answer| output::print(&if flags.json { output::json_of(answer)? } else { output::text_of(answer)? });
    if let Some(VerifyAct::Status) = act {
        return print(desk.ask(Command::Verify(VerifyCommand::Status))?);
    }
    let verified = scrub(&desk, verify)?;
    let (found, open, repair) = (verified.run.found, verified.run.open, verified.run.repair);
    print(Answer::Verified(verified))?;
    match (open, repair) {
        (0, _) => Ok(()),
        (_, true) => bail!(
            "{open} of {found} findings could not be repaired; what is quarantined is whole again when it was pushed again"
        ),
        (_, false) => {
            bail!(
                "{open} findings; nothing was changed: `packhouse verify --repair` repairs what can be proved"
            )
        }
    }
}

fn scrub(desk: &Desk, verify: &VerifyFlags) -> anyhow::Result<VerifiedView> {
    let begin = VerifyCommand::Begin { repair: verify.repair, resume: verify.resume, again: verify.again };
    let mut run = stands(desk.ask(Command::Verify(begin))?)?;
    let progress = output::Progress::begin("verifying");
    let resumed = run.resumed;
    if resumed {
        progress.keep("going on where the last run was interrupted");
    }
    let bytes = verify.rate.map_or(STEP_BYTES, |rate| rate.clamp(1, STEP_BYTES));
    while run.ended_at.is_none() {
        let (began, before) = (Instant::now(), run.read);
        run = stands(desk.ask(Command::Verify(VerifyCommand::Step { bytes }))?)?;
        progress.part_of(run.bytes, run.bytes_total, &how_far(&run));
        if let Some(rate) = verify.rate {
            std::thread::sleep(pause(run.read.saturating_sub(before), rate, began.elapsed()));
        }
    }
    drop(progress);
    match desk.ask(Command::Verify(VerifyCommand::Findings))? {
        Answer::Verified(mut verified) => {
            verified.run.resumed = resumed;
            Ok(verified)
        }
        Answer::Refused { message } => bail!(message),
        _ => bail!("the server's answer is none to this command; is it another version of packhouse?"),
    }
}

fn stands(answer: Answer) -> anyhow::Result<VerifyRunView> {
    match answer {
        Answer::VerifyRun(run) => Ok(run),
        Answer::Refused { message } => bail!(message),
        _ => bail!("the server's answer is none to this command; is it another version of packhouse?"),
    }
}

fn how_far(run: &VerifyRunView) -> String {
    format!(
        "{}: {} of {} blobs, {} of {}, {} found",
        run.stage,
        run.blobs,
        run.blobs_total,
        output::bytes(run.bytes),
        output::bytes(run.bytes_total),
        run.found
    )
}

/// What is left of the time that so many bytes take at a rate.
fn pause(read: u64, rate: u64, passed: Duration) -> Duration {
    let micros = u128::from(read) * 1_000_000 / u128::from(rate.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).saturating_sub(passed)
}

/// Reads a rate: a number of bytes a second, with a unit if one likes.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("B", 1),
        ("", 1),
    ];
    let amount = text.strip_suffix("/s").unwrap_or(text);
    let digits = amount.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(amount.len());
    let (number, unit) = amount.split_at(digits);
    let factor = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor);
    let bytes =
        factor.zip(number.parse::<u64>().ok()).and_then(|(factor, number)| number.checked_mul(factor));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| "write bytes a second, such as `50MB/s`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{pause, rate};
    use std::time::Duration;

    #[test]
    fn a_rate_has_a_number_and_a_unit() {
        for (text, bytes) in [("1000", 1_000), ("50MB/s", 50_000_000), ("4 MiB", 4 << 20), ("7B/s", 7)] {
            assert_eq!(rate(text), Ok(bytes), "{text}");
        }
        for bad in ["", "0", "MB", "-1", "5 parsecs", "5MB/h", "99999999999GB"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_step_that_was_too_fast_waits() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(3_000, 1_000, second), 2 * second);
        assert_eq!(pause(500, 1_000, second), Duration::ZERO);
        assert_eq!(pause(0, 1_000, Duration::ZERO), Duration::ZERO);
    }
}
