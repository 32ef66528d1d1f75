//! Arguments of `packhouse usage` and `packhouse plan`.

use clap::{Args, Subcommand};
use packhouse_service::operator::{Command, UsageCommand};

#[derive(Debug, Args)]
pub(crate) struct UsageShow {
    /// One account; all of them, when absent
    #[arg(value_name = "ACCOUNT")]
    account: Option<String>,
    /// Month of the transfer, such as 2026-10; this one, when absent
    #[arg(long, value_name = "YEAR-MONTH", value_parser = month)]
    month: Option<i64>,
}

impl UsageShow {
    pub(crate) fn command(self) -> Command {
        Command::Usage(UsageCommand::Show { account: self.account, month: self.month })
    }
}

/// The year times 100 and the month.
fn month(text: &str) -> Result<i64, String> {
    let wrong = || "expected a year and a month, such as 2026-10".to_owned();
    let (year, month) = text.split_once('-').ok_or_else(wrong)?;
    let (year, month): (i64, i64) = (year.parse().map_err(|_| wrong())?, month.parse().map_err(|_| wrong())?);
    if (1970..=9999).contains(&year) && (1..=12).contains(&month) {
        Ok(year * 100 + month)
    } else {
        Err(wrong())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlanAct {
    /// List the plans: those of the setting `plans`, and those that are always there
    List,
    /// Give an account a plan
    #[command(after_help = "\
What is stored already stays, also when it is more than the plan allows: only more is refused.

Example:
  packhouse plan set acme github-free")]
    Set {
        /// User or organization
        account: String,
        /// Name of the plan
        plan: String,
    },
    /// Give an account the default plan (the setting `plan`)
    Reset {
        /// User or organization
        account: String,
    },
}

impl PlanAct {
    pub(crate) fn command(self) -> Command {
        Command::Usage(match self {
            Self::List => UsageCommand::Plans,
            Self::Set { account, plan } => UsageCommand::SetPlan { account, plan: Some(plan) },
            Self::Reset { account } => UsageCommand::SetPlan { account, plan: None },
        })
    }
}
