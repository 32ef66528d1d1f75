//! Backups of a running house.

use super::{Answer, OperatorError};
use crate::Service;
use crate::copies::{BackupProgress, CopyError};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What the operator wants copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CopyCommand {
    /// Backs up into a folder of the machine where the server runs; asked again, with the number of the run, until
    /// [`BackupView::ended`].
    Backup {
        /// The folder, by its whole path.
        folder: String,
        /// How many copies of the catalog are kept; all, when absent.
        keep: Option<u32>,
        /// What an earlier answer said.
        run: Option<u64>,
    },
}

/// How far a backup is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupView {
    /// Its number.
    pub run: u64,
    /// What is done now.
    pub phase: String,
    /// Whether it has ended, well or not.
    pub ended: bool,
    /// Why not well.
    pub failed: Option<String>,
    /// The name of its copy of the catalog, once that is kept.
    pub catalog: Option<String>,
    /// Rows in it.
    pub rows: u64,
    /// Blobs that it names.
    pub blobs: u64,
    /// Those of them that are in the folder by now.
    pub blobs_done: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes of those that are there by now.
    pub bytes_done: u64,
    /// Blobs that were copied now; the others were in the folder.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Blobs that are damaged or gone in the store.
    pub missing: Vec<String>,
    /// Blobs that were removed from the folder.
    pub pruned: u64,
    /// Their bytes.
    pub pruned_bytes: u64,
}

impl Service {
    pub(super) async fn operate_copies(&self, command: &CopyCommand) -> Result<Answer, OperatorError> {
        let CopyCommand::Backup { folder, keep, run } = command;
        match self.backup_step(Path::new(folder), *keep, *run).await {
            Ok((run, progress)) => Ok(Answer::Backup(view(run, progress))),
            Err(CopyError::Wrong(message)) => Ok(Answer::Refused { message }),
            Err(error) => Ok(Answer::Refused { message: error.chain() }),
        }
    }
}

fn view(run: u64, progress: BackupProgress) -> BackupView {
    BackupView {
        run,
        phase: progress.phase.to_owned(),
        ended: progress.ended,
        failed: progress.failed,
        catalog: progress.catalog,
        rows: progress.rows,
        blobs: progress.blobs.1,
        blobs_done: progress.blobs.0,
        bytes: progress.bytes.1,
        bytes_done: progress.bytes.0,
        copied: progress.copied.0,
        copied_bytes: progress.copied.1,
        missing: progress.missing,
        pruned: progress.pruned.0,
        pruned_bytes: progress.pruned.1,
    }
}
