//! `packhouse backup` and `packhouse restore`.

use super::args::OperatorFlags;
use super::flags::ConfigFlags;
use super::operator::Desk;
use super::{output, runtime};
use crate::config::{self, Loaded};
use crate::lock::DataFolder;
use crate::{serve, telemetry};
use anyhow::{Context, anyhow, bail};
use packhouse_service::operator::{Answer, BackupView, Command, CopyCommand};
use packhouse_service::{RestoreFrom, RestoreProgress, RestoreTarget, Restored, SystemClock, restore};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Only what went wrong is of interest.
const LOG_FILTER: &str = "warn";
/// Missing blobs that are named on a terminal.
const NAMED_MAX: usize = 20;

/// Backs up into a folder, step by step.
pub(super) fn backup(folder: &Path, keep: Option<u32>, flags: &OperatorFlags) -> anyhow::Result<()> {
    let folder = std::path::absolute(folder).context("cannot tell where the folder is")?;
    let folder = folder.to_str().context("the folder's name is no text")?.to_owned();
    let desk = Desk::open(flags)?;
    let progress = output::Progress::begin("beginning");
    let mut run = None;
    let done = loop {
        let command = Command::Copies(CopyCommand::Backup { folder: folder.clone(), keep, run });
        match desk.ask(command)? {
            Answer::Backup(view) if view.ended => break view,
            Answer::Backup(view) => {
                run = Some(view.run);
                progress.measure(view.bytes_done, view.bytes, &how_far(&view));
            }
            Answer::Refused { message } => bail!(message),
            _ => bail!("the server's answer is none to this command; is it another version of packhouse?"),
        }
    };
    drop(progress);
    if let Some(failed) = done.failed {
        bail!("{failed}; what was copied stays, the same command goes on");
    }
    let missing = done.missing.clone();
    output::print(&if flags.json { output::json(&done)? } else { backed_up(&folder, &done) })?;
    complain_of(
        &missing,
        "are damaged or gone in the store and not in the backup; `packhouse restore` says so too",
    )
}

fn how_far(view: &BackupView) -> String {
    if view.blobs == 0 {
        return view.phase.clone();
    }
    format!("{}: {} of {}", view.phase, view.blobs_done, view.blobs)
}

fn backed_up(folder: &str, view: &BackupView) -> String {
    let mut text = format!(
        "{}\n{} rows, {} blobs of {}; {} of them were new, {}\n",
        view.catalog.as_deref().unwrap_or("nothing"),
        view.rows,
        view.blobs,
        output::bytes(view.bytes),
        view.copied,
        output::bytes(view.copied_bytes),
    );
    if view.pruned > 0 {
        text.push_str(&format!(
            "removed from `{folder}`: {} blobs, {}\n",
            view.pruned,
            output::bytes(view.pruned_bytes)
        ));
    }
    text
}

fn complain_of(missing: &[String], what: &str) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = missing.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = if missing.len() > NAMED_MAX { ", …" } else { "" };
    bail!("{} blobs {what}: {}{more}", missing.len(), named.join(", "))
}

/// Makes a house of a backup or a snapshot.
pub(super) fn restore_house(from: RestoreFrom, flags: &OperatorFlags) -> anyhow::Result<()> {
    let inputs = ConfigFlags::of_data(flags.data.clone(), flags.config.clone()).into_inputs();
    let Loaded { config, .. } = config::load(inputs)?;
    let _log = telemetry::logs::begin(LOG_FILTER, config.log_format)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let folder = DataFolder::open(&config.data)?;
    let runtime = runtime()?;
    let progress = Arc::new(output::Progress::begin("reading the catalog"));
    let restored = runtime.block_on(async {
        let target = RestoreTarget {
            catalog: serve::catalog_options(&config, &folder),
            store: serve::store(&config, &folder).await?,
            scratch: folder.path().to_owned(),
            clock: Arc::new(SystemClock),
        };
        let shown = Arc::clone(&progress);
        let say = move |now: RestoreProgress| {
            let text = match now.blobs {
                (0, _) => format!("loading the catalog: {} of {} rows", now.rows.1, now.rows.0),
                (all, done) => format!("copying blobs: {done} of {all}"),
            };
            shown.measure(now.bytes.1, now.bytes.0, &text);
        };
        restore(target, from, Arc::new(say)).await.map_err(|error| anyhow!(error.chain()))
    });
    drop(progress);
    let restored = restored?;
    let missing = restored.missing.clone();
    output::print(&if flags.json { restored_json(&restored)? } else { restored_text(&restored) })?;
    complain_of(&missing, "were not in the backup; pulls of what needs them fail")
}

fn restored_text(restored: &Restored) -> String {
    format!(
        "restored {}: {} blobs, {}; `packhouse serve` opens it\n",
        restored.catalog,
        restored.blobs.0,
        output::bytes(restored.blobs.1)
    )
}

fn restored_json(restored: &Restored) -> anyhow::Result<String> {
    output::json(&json!({
        "catalog": restored.catalog,
        "blobs": restored.blobs.0,
        "bytes": restored.blobs.1,
        "missing": restored.missing,
    }))
}

/// What was asked for on the command line.
pub(super) fn from(
    folder: Option<PathBuf>,
    catalog: Option<String>,
    snapshot: Option<String>,
    without_missing: bool,
) -> anyhow::Result<RestoreFrom> {
    let chosen = |name: Option<String>| name.filter(|name| name != "latest");
    match (folder, snapshot) {
        (Some(folder), None) => Ok(RestoreFrom::Backup { folder, catalog: chosen(catalog), without_missing }),
        (None, Some(snapshot)) => Ok(RestoreFrom::Snapshot { name: chosen(Some(snapshot)) }),
        (None, None) | (Some(_), Some(_)) => {
            bail!("name the folder of a backup, or give --snapshot for the newest snapshot in the blob store")
        }
    }
}
