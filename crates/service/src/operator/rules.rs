//! The operator's commands about rules, retention and the tags' past: the rules of everybody, asked by the operator.

use super::{Answer, OperatorError, done};
use crate::Service;
use crate::manage::ManageError;
use crate::retention::{Plan, Policy, RetentionSeen, remove_retention, retention, set_retention};
use crate::rules::{RuleSeen, RuleWanted, RulesOf, create_rule, remove_rule, rules, tag_as_of, undo_tag};
use packhouse_access::{Caller, See, decide};
use packhouse_catalog::{Micros, Presented, TagRow, WriteTx};
use packhouse_oci::{PackageName, Tag};
use serde::{Deserialize, Serialize};

/// Rows that a list shows at the most.
const LIST_MAX: u32 = 10_000;

/// What the operator wants of rules. `of` is a package's path, or an owner's name for all its packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RuleCommand {
    /// Lists the rules about tags.
    List {
        /// Of what.
        of: String,
    },
    /// Makes a rule.
    Create {
        /// For what.
        of: String,
        /// `immutable` or `protected`.
        hold: String,
        /// Of a protected one: `write`, `admin` or `nobody`.
        role: Option<String>,
        /// Which tags.
        pattern: String,
        /// But not these.
        except: Vec<String>,
        /// Whether the package may be deleted or renamed with such tags in it.
        allow_package_deletion: bool,
    },
    /// Ends a rule.
    Remove {
        /// Of what.
        of: String,
        /// Its number.
        id: i64,
    },
    /// Shows a retention policy.
    Retention {
        /// Of what.
        of: String,
    },
    /// Sets a retention policy.
    SetRetention {
        /// For what.
        of: String,
        /// What it says.
        policy: Policy,
    },
    /// Ends a retention policy.
    RemoveRetention {
        /// Of what.
        of: String,
    },
    /// Says what the policy of a package would do.
    PlanRetention {
        /// Which package.
        path: String,
    },
    /// Applies the policy of a package now.
    RunRetention {
        /// Which package.
        path: String,
    },
    /// Shows where a tag pointed.
    TagHistory {
        /// Of which package.
        path: String,
        /// Which.
        tag: String,
    },
    /// Puts a tag back to where it pointed before its last change.
    TagUndo {
        /// Of which package.
        path: String,
        /// Which.
        tag: String,
    },
    /// Shows where a tag pointed at a time.
    TagAsOf {
        /// Of which package.
        path: String,
        /// Which.
        tag: String,
        /// Microseconds since 1970.
        at: i64,
    },
}

/// A rule about tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleView {
    /// Its number.
    pub id: i64,
    /// Whose: the owner's name or the package's path.
    pub of: String,
    /// `immutable` or `protected`.
    pub hold: String,
    /// Of a protected one: `write`, `admin` or `nobody`.
    pub role: Option<String>,
    /// Which tags.
    pub pattern: String,
    /// But not these.
    pub except: Vec<String>,
    /// Whether the package may be deleted or renamed with such tags in it.
    pub allow_package_deletion: bool,
    /// Since when, microseconds since 1970.
    pub created_at: i64,
    /// Who made it; none: the operator.
    pub created_by: Option<String>,
}

impl From<RuleSeen> for RuleView {
    fn from(rule: RuleSeen) -> Self {
        RuleView {
            id: rule.id,
            of: rule.of,
            hold: rule.hold.to_owned(),
            role: rule.role.map(str::to_owned),
            pattern: rule.pattern,
            except: rule.except,
            allow_package_deletion: rule.allow_package_deletion,
            created_at: rule.created_at,
            created_by: rule.created_by,
        }
    }
}

/// A retention policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionView {
    /// Whose: the owner's name or the package's path.
    pub of: String,
    /// What it says.
    pub policy: Policy,
    /// Since when, microseconds since 1970.
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

impl From<RetentionSeen> for RetentionView {
    fn from(seen: RetentionSeen) -> Self {
        RetentionView {
            of: seen.of,
            policy: seen.policy,
            changed_at: seen.changed_at,
            changed_by: seen.changed_by,
            due_at: seen.due_at,
            ran_at: seen.ran_at,
            kept: seen.kept,
            dropped: seen.dropped,
        }
    }
}

/// A version with what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedView {
    /// The version.
    pub id: i64,
    /// Its digest.
    pub digest: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was pushed, microseconds since 1970.
    pub pushed_at: Option<i64>,
    /// When it was pulled last.
    pub pulled_at: Option<i64>,
    /// `keep` or `drop`.
    pub verdict: String,
    /// The rule that decided.
    pub rule: String,
}

/// What a policy would do to a package, or has done to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanView {
    /// Whose policy.
    pub of: String,
    /// Whether it was done.
    pub done: bool,
    /// Versions that stay, parts not counted.
    pub kept: u64,
    /// Versions that go, parts not counted.
    pub dropped: u64,
    /// Each version, the newest first, at most 10,000 of them; of what was done, those that went.
    pub versions: Vec<PlannedView>,
}

impl PlanView {
    fn new(plan: Plan, done: bool) -> Self {
        let versions = plan.versions.into_iter().take(LIST_MAX as usize).map(|planned| PlannedView {
            id: planned.verdict.id.0,
            digest: planned.digest.to_string(),
            tags: planned.tags,
            pushed_at: planned.pushed_at,
            pulled_at: planned.pulled_at,
            verdict: if planned.verdict.drop { "drop" } else { "keep" }.to_owned(),
            rule: planned.verdict.why.to_string(),
        });
        PlanView { versions: versions.collect(), of: plan.of, done, kept: plan.kept, dropped: plan.dropped }
    }
}

/// Where a tag pointed, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagView {
    /// The tag.
    pub tag: String,
    /// The version.
    pub version: i64,
    /// Its digest.
    pub digest: String,
    /// Since when, microseconds since 1970.
    pub from_at: i64,
    /// Until when; none: it does now.
    pub to_at: Option<i64>,
    /// Who made it point there; none: the operator or a worker.
    pub moved_by: Option<String>,
}

impl From<TagRow> for TagView {
    fn from(row: TagRow) -> Self {
        TagView {
            tag: row.name,
            version: row.version.0,
            digest: row.digest.to_string(),
            from_at: row.valid_from.0,
            to_at: row.valid_to.map(|at| at.0),
            moved_by: row.moved_by,
        }
    }
}

fn name(path: &str) -> Result<PackageName, OperatorError> {
    let bad = |why| OperatorError::Path { path: path.chars().take(300).collect(), why };
    path.parse().map_err(bad)
}

fn tag(text: &str) -> Result<Tag, OperatorError> {
    text.parse()
        .map_err(|why| OperatorError::Rule(format!("`{}` is not a tag: {why}", crate::manage::short(text))))
}

/// Does what the operator wants, but for plans, which are transactions of their own.
pub(super) fn rule_command<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    operator: &Caller<'tx>,
    command: &RuleCommand,
    now: Micros,
) -> Result<Answer, OperatorError> {
    match command {
        RuleCommand::List { of } => {
            let found = rules(tx, operator, &RulesOf::named(of))?;
            Ok(Answer::Rules(found.into_iter().map(RuleView::from).collect()))
        }
        RuleCommand::Create { of, hold, role, pattern, except, allow_package_deletion } => {
            let wanted = RuleWanted {
                hold: hold.clone(),
                role: role.clone(),
                pattern: pattern.clone(),
                except: except.clone(),
                allow_package_deletion: *allow_package_deletion,
            };
            let made = create_rule(tx, operator, &RulesOf::named(of), &wanted, now)?;
            done(format!(
                "rule {} of `{}` holds: tags `{}` are {}",
                made.id, made.of, made.pattern, made.hold
            ))
        }
        RuleCommand::Remove { of, id } => {
            remove_rule(tx, operator, &RulesOf::named(of), *id)?;
            done(format!("rule {id} of `{of}` holds no more"))
        }
        RuleCommand::Retention { of } => {
            Ok(Answer::Retention(retention(tx, operator, &RulesOf::named(of))?.into()))
        }
        RuleCommand::SetRetention { of, policy } => {
            Ok(Answer::Retention(set_retention(tx, operator, &RulesOf::named(of), policy, now)?.into()))
        }
        RuleCommand::RemoveRetention { of } => {
            remove_retention(tx, operator, &RulesOf::named(of))?;
            done(format!("`{of}` has no retention policy of its own any more"))
        }
        RuleCommand::TagHistory { path, tag: asked } => {
            let (name, tag) = (name(path)?, tag(asked)?);
            let facts = tx.facts(operator, name.as_str())?;
            let may = decide::<See>(&facts).map_err(ManageError::from)?;
            let rows = tx.tag_history(&may, &tag, None, LIST_MAX)?;
            Ok(Answer::TagHistory(rows.into_iter().map(TagView::from).collect()))
        }
        RuleCommand::TagUndo { path, tag: asked } => {
            let row = undo_tag(tx, operator, name(path)?.as_str(), &tag(asked)?, now)?;
            done(format!("`{asked}` of `{path}` points at version {} ({}) again", row.version, row.digest))
        }
        RuleCommand::TagAsOf { path, tag: asked, at } => {
            let row = tag_as_of(tx, operator, name(path)?.as_str(), &tag(asked)?, Micros(*at))?;
            Ok(Answer::TagHistory(vec![row.into()]))
        }
        // Several transactions; see `Service::plan_command`.
        RuleCommand::PlanRetention { path } | RuleCommand::RunRetention { path } => {
            Err(OperatorError::Absent(path.clone()))
        }
    }
}

impl Service {
    /// Plans, which are made and done in transactions of their own; none for other commands.
    pub(super) async fn plan_command(&self, command: &RuleCommand) -> Option<Result<Answer, OperatorError>> {
        let (plan, done) = match command {
            RuleCommand::PlanRetention { path } => match name(path) {
                Ok(name) => (self.plan_as(Presented::Operator, &name).await, false),
                Err(error) => return Some(Err(error)),
            },
            RuleCommand::RunRetention { path } => match name(path) {
                Ok(name) => (self.run_as(Presented::Operator, &name).await, true),
                Err(error) => return Some(Err(error)),
            },
            _ => return None,
        };
        Some(plan.map(|plan| Answer::Plan(PlanView::new(plan, done))).map_err(OperatorError::from))
    }
}
