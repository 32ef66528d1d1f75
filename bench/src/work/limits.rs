//! What hashing on one core and the disk allow, measured between the runs of the targets.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::Run;
use crate::data::Stock;

/// The lower of both, in MB/s: a durable push hashes and writes, at best both at once.
pub(crate) fn machine(scratch: &Path, stock: &Stock, bytes: usize) -> anyhow::Result<Run> {
    let hash = openssl().context("openssl speed")?;
    let disk = dd(scratch, &stock.bytes()[..bytes.min(stock.bytes().len())]).context("dd")?;
    let mut run = Run::of_value(hash.min(disk));
    run.note = Some(format!("openssl speed sha256 {hash:.0} MB/s, dd conv=fsync {disk:.0} MB/s"));
    Ok(run)
}

fn openssl() -> anyhow::Result<f64> {
    let mut command = Command::new("openssl");
    let done =
        command.args(["speed", "-mr", "-seconds", "1", "-bytes", "16384", "-evp", "sha256"]).output()?;
    let text = String::from_utf8_lossy(&done.stdout);
    // `+F:25:sha256:1800047064.62`: bytes in a second.
    let line = text.lines().find(|line| line.starts_with("+F:")).context("no line +F:")?;
    let figure = line.rsplit(':').next().context("no figure")?;
    Ok(figure.trim().parse::<f64>()? / 1e6)
}

fn dd(scratch: &Path, bytes: &[u8]) -> anyhow::Result<f64> {
    let (from, to) = (scratch.join("dd-input"), scratch.join("dd-output"));
    // Once: reading it again comes from memory.
    if !from.exists() {
        std::fs::write(&from, bytes)?;
        rustix::fs::sync();
    }
    let start = Instant::now();
    let mut command = Command::new("dd");
    command.arg(format!("if={}", from.display())).arg(format!("of={}", to.display()));
    let done = command.args(["bs=1M", "conv=fsync"]).output()?;
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_file(&to)?;
    if !done.status.success() {
        bail!("{}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(bytes.len() as f64 / 1e6 / seconds)
}
