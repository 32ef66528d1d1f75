//! Rules about tags, as people make them, and tags that are put back to where they were.

use crate::Service;
use crate::held::move_tag;
use crate::identity::Shown;
use crate::manage::{ManageError, lower};
use packhouse_access::{
    Administer, Caller, Granted, Hold, ManageRules, Pattern, Push, Role, RuleId, See, decide,
    decide_namespace,
};
use packhouse_catalog::{Micros, NewTagRule, ReadTx, TagRow, TagRuleRecord, WriteTx};
use packhouse_oci::{PackageName, Tag};

/// Rules of one package, and of one owner.
const RULES_MAX: u64 = 50;
/// Exceptions of one rule.
const EXCEPTIONS_MAX: usize = 10;
const RULE: &str = "Rule";

/// What rules are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesOf {
    /// One package, by its path.
    Package(String),
    /// All packages of a user or an organization, by name.
    Owner(String),
}

impl RulesOf {
    /// A path has a slash, the name of an owner none.
    pub fn named(name: &str) -> Self {
        let name = lower(name);
        if name.contains('/') { RulesOf::Package(name) } else { RulesOf::Owner(name) }
    }

    /// The path or the name.
    pub fn name(&self) -> &str {
        let (RulesOf::Package(name) | RulesOf::Owner(name)) = self;
        name
    }
}

/// A rule to make.
#[derive(Clone, Debug)]
pub struct RuleWanted {
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
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSeen {
    /// Its number.
    pub id: i64,
    /// Whose: the owner's name or the package's path.
    pub of: String,
    /// `immutable` or `protected`.
    pub hold: &'static str,
    /// Of a protected one: `write`, `admin` or `nobody`.
    pub role: Option<&'static str>,
    /// Which tags.
    pub pattern: String,
    /// But not these.
    pub except: Vec<String>,
    /// Whether the package may be deleted or renamed with such tags in it.
    pub allow_package_deletion: bool,
    /// Since when.
    pub created_at: i64,
    /// Who made it; none: the operator.
    pub created_by: Option<String>,
}

impl From<TagRuleRecord> for RuleSeen {
    fn from(record: TagRuleRecord) -> Self {
        let rule = &record.rule;
        let (hold, role) = match rule.hold {
            Hold::Immutable => ("immutable", None),
            Hold::Protected(role) => ("protected", Some(role.map_or("nobody", Role::as_str))),
        };
        RuleSeen {
            id: rule.id.0,
            of: rule.of.clone(),
            hold,
            role,
            pattern: rule.pattern.as_str().to_owned(),
            except: rule.except.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
            allow_package_deletion: rule.lets_package_go,
            created_at: record.created_at.0,
            created_by: record.created_by,
        }
    }
}

impl RuleWanted {
    fn parse(&self) -> Result<NewTagRule, ManageError> {
        let invalid = |field, why: String| ManageError::invalid(RULE, field, why);
        let pattern =
            |field, text: &str| text.parse::<Pattern>().map_err(|why| invalid(field, why.to_string()));
        let hold = match (self.hold.as_str(), self.role.as_deref()) {
            ("immutable", None) => Hold::Immutable,
            ("immutable", Some(_)) => {
                return Err(invalid(
                    "role",
                    "an immutable tag is moved by nobody: leave the role out".to_owned(),
                ));
            }
            ("protected", Some("write")) => Hold::Protected(Some(Role::Write)),
            ("protected", Some("admin")) => Hold::Protected(Some(Role::Admin)),
            ("protected", Some("nobody")) => Hold::Protected(None),
            ("protected", _) => {
                return Err(invalid(
                    "role",
                    "a protected tag takes a role: write, admin or nobody".to_owned(),
                ));
            }
            _ => return Err(invalid("hold", "a rule makes tags immutable or protected".to_owned())),
        };
        if self.except.len() > EXCEPTIONS_MAX {
            return Err(invalid("except", format!("a rule has at most {EXCEPTIONS_MAX} exceptions")));
        }
        Ok(NewTagRule {
            hold,
            pattern: pattern("pattern", &self.pattern)?,
            except: self.except.iter().map(|text| pattern("except", text)).collect::<Result<_, _>>()?,
            lets_package_go: self.allow_package_deletion,
        })
    }
}

pub(crate) fn administer<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
) -> Result<Granted<'tx, Administer>, ManageError> {
    Ok(decide::<Administer>(&tx.facts(caller, path)?)?)
}

/// The right to the rules of an owner, with the owner's row locked.
pub(crate) fn manage_rules<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    owner: &str,
) -> Result<Granted<'tx, ManageRules>, ManageError> {
    Ok(decide_namespace::<ManageRules>(&tx.namespace_facts(caller, owner)?)?)
}

pub(crate) fn rules<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    of: &RulesOf,
) -> Result<Vec<RuleSeen>, ManageError> {
    let records = match of {
        RulesOf::Package(path) => {
            let may = decide::<See>(&tx.facts(caller, path)?)?;
            tx.tag_rules_of(&may)?
        }
        RulesOf::Owner(name) => {
            let may = decide_namespace::<ManageRules>(&tx.namespace_facts(caller, name)?)?;
            tx.tag_rules_of_owner(&may)?
        }
    };
    Ok(records.into_iter().map(RuleSeen::from).collect())
}

pub(crate) fn create_rule<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    of: &RulesOf,
    wanted: &RuleWanted,
    now: Micros,
) -> Result<RuleSeen, ManageError> {
    let made = match of {
        RulesOf::Package(path) => {
            let may = administer(tx, caller, path)?;
            tx.create_tag_rule(&may, &wanted.parse()?, RULES_MAX, now)?
        }
        RulesOf::Owner(name) => {
            let may = manage_rules(tx, caller, name)?;
            tx.create_owner_tag_rule(&may, &wanted.parse()?, RULES_MAX, now)?
        }
    };
    let full = || {
        let name = of.name();
        ManageError::Forbidden(format!("{name} has {RULES_MAX} rules, which is the most; remove one first."))
    };
    let RuleId(id) = made.ok_or_else(full)?;
    let found = rules(tx, caller, of)?.into_iter().find(|rule| rule.id == id);
    found.ok_or_else(|| ManageError::unknown("rule", &id.to_string()))
}

pub(crate) fn remove_rule<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    of: &RulesOf,
    id: i64,
) -> Result<(), ManageError> {
    let removed = match of {
        RulesOf::Package(path) => {
            let may = administer(tx, caller, path)?;
            tx.remove_tag_rule(&may, RuleId(id))?
        }
        RulesOf::Owner(name) => {
            let may = manage_rules(tx, caller, name)?;
            tx.remove_owner_tag_rule(&may, RuleId(id))?
        }
    };
    if removed { Ok(()) } else { Err(ManageError::unknown("rule", &id.to_string())) }
}

/// Puts a tag back to where it pointed before its last change. That is a change too: a second undo takes the first
/// back.
pub(crate) fn undo_tag<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    tag: &Tag,
    now: Micros,
) -> Result<TagRow, ManageError> {
    let why = |why: String| ManageError::invalid("Tag", "tag", why);
    let may = decide::<Push>(&tx.facts(caller, path)?)?;
    let past = tx.tag_past(&may, tag)?;
    let mut rows = past.iter();
    let last = rows.next().ok_or_else(|| ManageError::unknown("tag", tag.as_str()))?;
    let before = match (last.0.valid_to, rows.next()) {
        // It was deleted: back to where it pointed last.
        (Some(_), _) => last,
        (None, Some(before)) if before.0.valid_to == Some(last.0.valid_from) => before,
        (None, _) => {
            return Err(why(format!(
                "the last change of `{tag}` was that it was made, so before that it was not there; delete the \
                 tag to undo that"
            )));
        }
    };
    let (row, alive) = before;
    if !alive {
        return Err(why(format!(
            "`{tag}` pointed at version {} ({}), which was deleted; restore that version while its time lasts, and \
             then undo",
            row.version, row.digest
        )));
    }
    move_tag::<ManageError>(tx, &may, tag, row.version, now)?;
    let now_at = tx.tag_past(&may, tag)?.into_iter().next();
    now_at.map(|(row, _)| row).ok_or_else(|| ManageError::unknown("tag", tag.as_str()))
}

pub(crate) fn tag_as_of<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    tag: &Tag,
    at: Micros,
) -> Result<TagRow, ManageError> {
    let may = decide::<See>(&tx.facts(caller, path)?)?;
    // Histories are shown to the second, and a time that is taken from one means all of that second.
    let at = if at.0 % 1_000_000 == 0 { Micros(at.0.saturating_add(999_999)) } else { at };
    tx.tag_as_of(&may, tag, at)?.ok_or_else(|| ManageError::unknown("tag at that time", tag.as_str()))
}

impl Service {
    /// The rules about the tags of a package, its owner's among them, or those of an owner.
    pub async fn rules(&self, shown: &Shown, of: RulesOf) -> Result<Vec<RuleSeen>, ManageError> {
        self.look(shown, move |tx, caller| rules(tx, caller, &of)).await
    }

    /// Makes a rule. It binds everything that comes after the answer.
    pub async fn create_rule(
        &self,
        shown: &Shown,
        of: RulesOf,
        wanted: RuleWanted,
    ) -> Result<RuleSeen, ManageError> {
        self.change(shown, move |tx, caller, now| create_rule(tx, caller, &of, &wanted, now)).await
    }

    /// Ends a rule.
    pub async fn remove_rule(&self, shown: &Shown, of: RulesOf, id: i64) -> Result<(), ManageError> {
        self.change(shown, move |tx, caller, _| remove_rule(tx, caller, &of, id)).await
    }

    /// Puts a tag back to where it pointed before its last change.
    pub async fn undo_tag(
        &self,
        shown: &Shown,
        name: &PackageName,
        tag: &Tag,
    ) -> Result<TagRow, ManageError> {
        let (name, tag) = (name.clone(), tag.clone());
        self.change(shown, move |tx, caller, now| undo_tag(tx, caller, name.as_str(), &tag, now)).await
    }

    /// Where a tag pointed at a time, in microseconds since 1970; now, when none is given. A whole second means its end.
    pub async fn tag_as_of(
        &self,
        shown: &Shown,
        name: &PackageName,
        tag: &Tag,
        at: Option<i64>,
    ) -> Result<TagRow, ManageError> {
        let (name, tag) = (name.clone(), tag.clone());
        let at = at.map_or(self.clock.now(), Micros);
        self.look(shown, move |tx, caller| tag_as_of(tx, caller, name.as_str(), &tag, at)).await
    }
}
