//! Retention: policies that drop versions, dry runs that say what they would drop and why, and the worker that
//! applies them.
//!
//! A round plans on one snapshot and then deletes in small transactions, each of which looks at what it deletes once
//! more under the package's lock: a version that was tagged, pulled or named by another one meanwhile stays, and so
//! does one that a rule about tags holds, which the catalog's functions demand to be asked. What is dropped is deleted
//! as by the API, so it can be restored as long.

mod engine;
mod policy;
mod run;

pub use engine::{Verdict, Why};
pub use policy::Policy;
pub use run::{Plan, Planned};

use crate::Service;
use crate::identity::Shown;
use crate::manage::ManageError;
use crate::rules::{RulesOf, administer, manage_rules};
use packhouse_access::{Caller, ManageRules, See, decide, decide_namespace};
use packhouse_catalog::{Micros, NewRetention, ReadTx, RetentionRecord, WriteTx};

/// A policy with how it came about and what it did last. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionSeen {
    /// Whose: the owner's name or the package's path.
    pub of: String,
    /// Whether it is the asked one's own; a package without one has its owner's.
    pub own: bool,
    /// What it says.
    pub policy: Policy,
    /// Since when.
    pub changed_at: i64,
    /// Who said so; none: the operator.
    pub changed_by: Option<String>,
    /// When it runs next; none: only by hand.
    pub due_at: Option<i64>,
    /// When it ran last by its schedule.
    pub ran_at: Option<i64>,
    /// Versions that it kept then.
    pub kept: u64,
    /// Versions that it dropped then.
    pub dropped: u64,
}

fn seen(record: RetentionRecord, of: &RulesOf) -> RetentionSeen {
    RetentionSeen {
        own: record.own == matches!(of, RulesOf::Package(_)),
        of: record.of,
        policy: Policy::from_text(&record.policy).unwrap_or_default(),
        changed_at: record.changed_at.0,
        changed_by: record.changed_by,
        due_at: record.due_at.map(|at| at.0),
        ran_at: record.ran_at.map(|at| at.0),
        kept: record.kept,
        dropped: record.dropped,
    }
}

pub(crate) fn retention<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    of: &RulesOf,
) -> Result<RetentionSeen, ManageError> {
    let record = match of {
        RulesOf::Package(path) => {
            let may = decide::<See>(&tx.facts(caller, path)?)?;
            tx.retention(&may)?
        }
        RulesOf::Owner(name) => {
            let may = decide_namespace::<ManageRules>(&tx.namespace_facts(caller, name)?)?;
            tx.owner_retention(&may)?
        }
    };
    record
        .map(|record| seen(record, of))
        .ok_or_else(|| ManageError::unknown("retention policy of", of.name()))
}

pub(crate) fn set_retention<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    of: &RulesOf,
    policy: &Policy,
    now: Micros,
) -> Result<RetentionSeen, ManageError> {
    let new = || {
        policy.check()?;
        Ok::<_, ManageError>(NewRetention { policy: policy.to_text(), due_at: policy.next_after(now) })
    };
    match of {
        RulesOf::Package(path) => {
            let may = administer(tx, caller, path)?;
            tx.put_retention(&may, &new()?, now)?;
        }
        RulesOf::Owner(name) => {
            let may = manage_rules(tx, caller, name)?;
            tx.put_owner_retention(&may, &new()?, now)?;
        }
    }
    retention(tx, caller, of)
}

pub(crate) fn remove_retention<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    of: &RulesOf,
) -> Result<(), ManageError> {
    let removed = match of {
        RulesOf::Package(path) => {
            let may = administer(tx, caller, path)?;
            tx.remove_retention(&may)?
        }
        RulesOf::Owner(name) => {
            let may = manage_rules(tx, caller, name)?;
            tx.remove_owner_retention(&may)?
        }
    };
    if removed { Ok(()) } else { Err(ManageError::unknown("retention policy of", of.name())) }
}

impl Service {
    /// The policy that a package is under, or an owner's.
    pub async fn retention(&self, shown: &Shown, of: RulesOf) -> Result<RetentionSeen, ManageError> {
        self.look(shown, move |tx, caller| retention(tx, caller, &of)).await
    }

    /// Puts a package, or all packages of an owner that have none of their own, under a policy.
    pub async fn set_retention(
        &self,
        shown: &Shown,
        of: RulesOf,
        policy: Policy,
    ) -> Result<RetentionSeen, ManageError> {
        self.change(shown, move |tx, caller, now| set_retention(tx, caller, &of, &policy, now)).await
    }

    /// Ends a policy. A package is under its owner's again.
    pub async fn remove_retention(&self, shown: &Shown, of: RulesOf) -> Result<(), ManageError> {
        self.change(shown, move |tx, caller, _| remove_retention(tx, caller, &of)).await
    }
}
