//! The operator's commands about plans and what accounts use.

use super::{Answer, LIST_MAX, OperatorError, account_name, done};
use crate::usage::month_of;
use packhouse_access::{Bytes, Granted, Limits, Operate};
use packhouse_catalog::{Account, AccountKind, AccountUsage, Micros, WriteTx};
use serde::{Deserialize, Serialize};

/// What the operator wants of plans and usage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum UsageCommand {
    /// Shows what accounts use.
    Show {
        /// One account; all, when absent.
        account: Option<String>,
        /// Whose transfer: the year times 100 and the month, in UTC; this month, when absent.
        month: Option<i64>,
    },
    /// Lists the plans.
    Plans,
    /// Gives an account a plan.
    SetPlan {
        /// Whom.
        account: String,
        /// Which one; the default one, when absent.
        plan: Option<String>,
    },
}

/// Bytes of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureView {
    /// What is used.
    pub used: u64,
    /// What is allowed; absent without a limit.
    pub limit: Option<u64>,
}

/// What an account uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageView {
    /// Its name.
    pub account: String,
    /// The name of its plan.
    pub plan: String,
    /// The month of the transfer: the year times 100 and the month.
    pub month: i64,
    /// Configs and layers, each once.
    pub storage: MeasureView,
    /// Those of them that packages have which are not public.
    pub private_storage: MeasureView,
    /// Bytes of blobs that were sent in the month.
    pub transfer: MeasureView,
    /// Those of them from packages that are not public.
    pub private_transfer: MeasureView,
}

/// A plan; absent is without a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLimitsView {
    /// Its name.
    pub name: String,
    /// Whether accounts have it that were given none.
    pub default: bool,
    /// Whether the configuration has it. If not, its last limits hold for the accounts that have it.
    pub configured: bool,
    /// Of all packages.
    pub storage: Option<u64>,
    /// Of packages that are not public.
    pub private_storage: Option<u64>,
    /// From all packages in a month.
    pub transfer: Option<u64>,
    /// From packages that are not public in a month.
    pub private_transfer: Option<u64>,
}

pub(super) fn usage_command<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Operate>,
    command: &UsageCommand,
    now: Micros,
) -> Result<Answer, OperatorError> {
    match command {
        UsageCommand::Show { account: None, month } => {
            let month = month.unwrap_or_else(|| month_of(now));
            let rows = tx.usages(may, month, None, LIST_MAX)?;
            Ok(Answer::Usage(rows.into_iter().map(|row| view(row, month)).collect()))
        }
        UsageCommand::Show { account: Some(name), month } => {
            let month = month.unwrap_or_else(|| month_of(now));
            let found = owner(tx, name)?;
            let rows = tx.usages(may, month, Some(&found.name), 1)?;
            Ok(Answer::Usage(rows.into_iter().map(|row| view(row, month)).collect()))
        }
        UsageCommand::Plans => {
            let default = tx.setting("default_plan")?.unwrap_or_default();
            let rows = tx.plans(may, LIST_MAX)?.into_iter().map(|plan| PlanLimitsView {
                default: plan.name == default,
                name: plan.name,
                configured: plan.configured,
                storage: plan.limits.storage,
                private_storage: plan.limits.private_storage,
                transfer: plan.limits.transfer,
                private_transfer: plan.limits.private_transfer,
            });
            Ok(Answer::Plans(rows.collect()))
        }
        UsageCommand::SetPlan { account, plan } => {
            let found = owner(tx, account)?;
            if let Some(plan) = plan
                && !tx.plans(may, LIST_MAX)?.iter().any(|known| known.name == *plan)
            {
                return Err(OperatorError::NoPlan(plan.chars().take(80).collect()));
            }
            tx.set_plan(may, found.id, plan.as_deref())?;
            let plan =
                plan.as_ref().map_or("the default plan".to_owned(), |plan| format!("the plan `{plan}`"));
            done(format!(
                "`{}` has {plan} now; `packhouse usage {}` shows what it uses",
                found.name, found.name
            ))
        }
    }
}

fn owner(tx: &mut WriteTx<'_, '_>, name: &str) -> Result<Account, OperatorError> {
    let name = account_name(name)?;
    let found = tx.account(name.as_str())?;
    let owns = |kind| matches!(kind, AccountKind::User | AccountKind::Organization);
    found.filter(|account| owns(account.kind)).ok_or_else(|| OperatorError::NoUser(name.to_string()))
}

fn view(row: AccountUsage, month: i64) -> UsageView {
    let AccountUsage { login, plan, limits, stored, sent } = row;
    let measure = |used, limit| MeasureView { used, limit };
    let Limits { storage, private_storage, transfer, private_transfer } = limits;
    let (Bytes { all: stored, private: stored_private }, Bytes { all: sent, private: sent_private }) =
        (stored, sent);
    UsageView {
        account: login,
        plan,
        month,
        storage: measure(stored, storage),
        private_storage: measure(stored_private, private_storage),
        transfer: measure(sent, transfer),
        private_transfer: measure(sent_private, private_transfer),
    }
}
