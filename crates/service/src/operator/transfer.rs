//! Imports and exports, a step at a time.

use super::Answer;
use crate::Service;
use crate::transfer::{ExportCursor, ExportOrder, ImportCursor, ImportOrder};
use serde::{Deserialize, Serialize};

/// What the operator wants to be brought in or out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TransferCommand {
    /// Imports for some seconds. Asked again with the cursor of the answer, until that has none.
    Import {
        /// What is wanted.
        order: Box<ImportOrder>,
        /// Where it stands.
        cursor: Option<Box<ImportCursor>>,
    },
    /// Exports for some seconds. Asked again with the cursor of the answer, until that has none.
    Export {
        /// What is wanted.
        order: Box<ExportOrder>,
        /// Where it stands.
        cursor: Option<Box<ExportCursor>>,
    },
}

impl Service {
    pub(super) async fn operate_transfer(&self, command: TransferCommand) -> Answer {
        let refused = |message| Answer::Refused { message };
        match command {
            TransferCommand::Import { order, cursor } => self
                .import_step(&order, cursor.map(|cursor| *cursor))
                .await
                .map_or_else(refused, |step| Answer::Imported(Box::new(step))),
            TransferCommand::Export { order, cursor } => self
                .export_step(&order, cursor.map(|cursor| *cursor))
                .await
                .map_or_else(refused, |step| Answer::Exported(Box::new(step))),
        }
    }
}
