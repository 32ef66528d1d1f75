//! Rules about tags, and the facts that decisions about tags are made from.
//!
//! A rule is read in the transaction that changes the tag, after the package's row was locked. Who changes the rules of
//! a package locks that row too; who changes those of an owner locks the rows of all its packages. So a rule that was
//! acknowledged binds every change that comes later, and a push pays for it with one look at an index.

use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{
    AccountId, Action, Administer, BlobReached, Delete, Govern, Granted, Hold, ManageRules, Move, PackageId,
    Pattern, Reached, Restore, Role, RuleId, See, TagAt, TagRule, TagRules, TagSurvey, TagsTakenBack,
    TouchesVersions, VersionId,
};
use packhouse_oci::{Digest, Tag};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Indexes above indexes that are followed.
const LEVELS_MAX: usize = 32;
/// Compiled patterns that each thread keeps.
const COMPILED_MAX: usize = 1_000;

/// A rule to make.
#[derive(Clone, Debug)]
pub struct NewTagRule {
    /// What it does.
    pub hold: Hold,
    /// To which tags.
    pub pattern: Pattern,
    /// But not to these.
    pub except: Vec<Pattern>,
    /// Whether the package may be deleted or moved with such tags in it.
    pub lets_package_go: bool,
}

/// A rule with how it came about.
#[derive(Clone, Debug)]
pub struct TagRuleRecord {
    /// The rule.
    pub rule: Arc<TagRule>,
    /// Since when it holds.
    pub created_at: Micros,
    /// Who made it, by the name as it was written; none: the operator.
    pub created_by: Option<String>,
}

const IMMUTABLE: i64 = 1;
const PROTECTED: i64 = 2;

// Those of the owner and those of the package, each from an index.
statement!(
    TAG_RULES,
    "SELECT r.id, r.package_id, a.login, r.hold, r.role, r.pattern, r.exceptions, r.lets_package_go
     FROM packages p CROSS JOIN tag_rules r CROSS JOIN accounts a
     WHERE p.id = $1 AND r.owner_id = p.owner_id AND a.id = r.owner_id
     UNION ALL
     SELECT r.id, r.package_id, p.path, r.hold, r.role, r.pattern, r.exceptions, r.lets_package_go
     FROM tag_rules r CROSS JOIN packages p WHERE r.package_id = $1 AND p.id = r.package_id
     ORDER BY 1"
);
// Those of an owner and of all its live packages.
statement!(
    TAG_RULES_BELOW,
    "SELECT r.id, r.package_id, a.login, r.hold, r.role, r.pattern, r.exceptions, r.lets_package_go
     FROM tag_rules r CROSS JOIN accounts a WHERE r.owner_id = $1 AND a.id = r.owner_id
     UNION ALL
     SELECT r.id, r.package_id, p.path, r.hold, r.role, r.pattern, r.exceptions, r.lets_package_go
     FROM packages p CROSS JOIN tag_rules r
     WHERE p.owner_id = $1 AND p.deleted_at IS NULL AND r.package_id = p.id
     ORDER BY 1"
);
statement!(
    TAG_RULES_OF_PACKAGE,
    "SELECT r.id, r.package_id, a.login, r.hold, r.role, r.pattern, r.exceptions, r.lets_package_go, r.created_at,
       b.login
     FROM packages p CROSS JOIN tag_rules r CROSS JOIN accounts a LEFT JOIN accounts b ON b.id = r.created_by
     WHERE p.id = $1 AND r.owner_id = p.owner_id AND a.id = r.owner_id
     UNION ALL
     SELECT r.id, r.package_id, p.path, r.hold, r.role, r.pattern, r.exceptions, r.lets_package_go, r.created_at,
       b.login
     FROM tag_rules r CROSS JOIN packages p LEFT JOIN accounts b ON b.id = r.created_by
     WHERE r.package_id = $1 AND p.id = r.package_id
     ORDER BY 1"
);
statement!(
    TAG_RULES_OF_OWNER,
    "SELECT r.id, r.package_id, a.login, r.hold, r.role, r.pattern, r.exceptions, r.lets_package_go, r.created_at,
       b.login
     FROM tag_rules r CROSS JOIN accounts a LEFT JOIN accounts b ON b.id = r.created_by
     WHERE r.owner_id = $1 AND a.id = r.owner_id ORDER BY r.id"
);
statement!(COUNT_OF_PACKAGE, "SELECT COUNT(*) FROM tag_rules WHERE package_id = $1");
statement!(COUNT_OF_OWNER, "SELECT COUNT(*) FROM tag_rules WHERE owner_id = $1");
statement!(
    INSERT_TAG_RULE,
    "INSERT INTO tag_rules (owner_id, package_id, hold, role, pattern, exceptions, lets_package_go, created_at,
       created_by)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id"
);
statement!(REMOVE_OF_PACKAGE, "DELETE FROM tag_rules WHERE id = $1 AND package_id = $2");
statement!(REMOVE_OF_OWNER, "DELETE FROM tag_rules WHERE id = $1 AND owner_id = $2");
statement!(END_TAG_RULES, "DELETE FROM tag_rules WHERE owner_id = $1");
// All that push there now have ended when this has run, and who comes later waits.
statement!(
    LOCK_PACKAGES_OF,
    "SELECT id FROM packages WHERE owner_id = $1 AND deleted_at IS NULL ORDER BY path {lock}"
);
statement!(
    OPEN_TAG,
    "SELECT id, version_id FROM tags WHERE package_id = $1 AND name = $2 AND valid_to IS NULL"
);
statement!(OPEN_TAGS_OF, "SELECT name FROM tags WHERE package_id = $1 AND valid_to IS NULL ORDER BY name");
statement!(
    OPEN_TAGS_BELOW,
    "SELECT t.package_id, t.name FROM packages p CROSS JOIN tags t
     WHERE p.owner_id = $1 AND p.deleted_at IS NULL AND t.package_id = p.id AND t.valid_to IS NULL"
);
// The tags of some versions, and the live indexes that name those versions as children: one level.
statement!(
    TAGS_AT,
    "SELECT t.name FROM {numbers $1} AS asked CROSS JOIN tags t
     WHERE t.version_id = asked.item AND t.valid_to IS NULL"
);
statement!(
    INDEXES_ABOVE,
    "SELECT DISTINCT w.id FROM {numbers $2} AS asked CROSS JOIN versions c CROSS JOIN version_children k
       CROSS JOIN versions w
     WHERE c.id = asked.item AND k.package_id = $1 AND k.digest = c.digest AND w.id = k.version_id
       AND w.deleted_at IS NULL"
);
// Live versions of the package whose config or layer a blob is; indexes that list it as a child, as some caches do.
statement!(
    USERS_OF_BLOB,
    "SELECT v.id FROM manifest_refs r CROSS JOIN versions v
     WHERE r.digest = $2 AND r.kind IN (1, 2) AND v.manifest_id = r.manifest_id AND v.package_id = $1
       AND v.deleted_at IS NULL
     UNION SELECT w.id FROM version_children k CROSS JOIN versions w
     WHERE k.package_id = $1 AND k.digest = $2 AND w.id = k.version_id AND w.deleted_at IS NULL"
);
statement!(
    TAGS_TO_REOPEN,
    "SELECT t.name FROM tags t WHERE t.version_id = $1 AND t.valid_to = $2
       AND NOT EXISTS (SELECT 1 FROM tags o WHERE o.package_id = t.package_id AND o.name = t.name
                       AND o.valid_to IS NULL)"
);

thread_local! {
    // Transactions run on threads of the catalog's own, and a text means one thing for ever.
    static COMPILED: RefCell<HashMap<String, Pattern>> = RefCell::default();
}

fn compiled(text: &str) -> Result<Pattern, CatalogError> {
    COMPILED.with_borrow_mut(|known| {
        if let Some(pattern) = known.get(text) {
            return Ok(pattern.clone());
        }
        let pattern: Pattern = text.parse().map_err(|_| CatalogError::Corrupt("pattern of tags"))?;
        if known.len() >= COMPILED_MAX {
            known.clear();
        }
        known.insert(text.to_owned(), pattern.clone());
        Ok(pattern)
    })
}

fn rule(row: &Row<'_>) -> Result<Arc<TagRule>, CatalogError> {
    let role = row.int_or_null(4)?.and_then(Role::from_number);
    let hold = match row.int(3)? {
        IMMUTABLE => Hold::Immutable,
        PROTECTED => Hold::Protected(role),
        _ => return Err(CatalogError::Corrupt("rule")),
    };
    Ok(Arc::new(TagRule {
        id: RuleId(row.int(0)?),
        package: row.int_or_null(1)?.map(PackageId),
        of: row.text(2)?,
        hold,
        pattern: compiled(&row.text(5)?)?,
        except: row.text(6)?.lines().map(compiled).collect::<Result<_, _>>()?,
        lets_package_go: row.int(7)? != 0,
    }))
}

fn record(row: &Row<'_>) -> Result<TagRuleRecord, CatalogError> {
    Ok(TagRuleRecord { rule: rule(row)?, created_at: Micros(row.int(8)?), created_by: row.text_or_null(9)? })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// The rules that are about the tags of a package: its own and its owner's.
    pub fn tag_rules<A: Action>(&mut self, may: &Granted<'tx, A>) -> Result<TagRules<'tx>, CatalogError> {
        self.tag_rules_about(may.package())
    }

    /// The same for what ends versions.
    pub fn tag_rules_for(&mut self, may: &impl TouchesVersions<'tx>) -> Result<TagRules<'tx>, CatalogError> {
        self.tag_rules_about(may.package())
    }

    fn tag_rules_about(&mut self, package: PackageId) -> Result<TagRules<'tx>, CatalogError> {
        let rules = self.rows(&TAG_RULES, &[package.0.into()], rule)?;
        Ok(TagRules::new(&self.brand, rules))
    }

    /// The rules about a package with how they came about: the owner's and its own.
    pub fn tag_rules_of(&mut self, may: &Granted<'tx, See>) -> Result<Vec<TagRuleRecord>, CatalogError> {
        self.rows(&TAG_RULES_OF_PACKAGE, &[may.package().0.into()], record)
    }

    /// The rules of an owner with how they came about.
    pub fn tag_rules_of_owner(
        &mut self,
        may: &Granted<'tx, ManageRules>,
    ) -> Result<Vec<TagRuleRecord>, CatalogError> {
        self.rows(&TAG_RULES_OF_OWNER, &[may.namespace().0.into()], record)
    }

    /// Where a tag points.
    pub fn tag_at<A: Action>(
        &mut self,
        may: &Granted<'tx, A>,
        tag: &Tag,
    ) -> Result<TagAt<'tx>, CatalogError> {
        let package = may.package();
        let open = self.row(&OPEN_TAG, &[package.0.into(), tag.as_str().into()], |row| {
            Ok((row.int(0)?, VersionId(row.int(1)?)))
        })?;
        Ok(TagAt::new(&self.brand, package, tag.as_str(), open))
    }

    /// The tags that lead to a version: its own, and those of live indexes above it. Without rules nothing is looked
    /// for.
    pub fn reached(
        &mut self,
        may: &impl TouchesVersions<'tx>,
        rules: &TagRules<'tx>,
        version: VersionId,
    ) -> Result<Reached<'tx>, CatalogError> {
        let package = may.package();
        let tags = match rules.is_empty() {
            true => Vec::new(),
            false => self.tags_above(package, vec![version.0])?,
        };
        Ok(Reached::new(&self.brand, package, version, tags))
    }

    /// The tags that lead to the bytes of a blob. Without rules nothing is looked for.
    pub fn blob_reached(
        &mut self,
        may: &Granted<'tx, Delete>,
        rules: &TagRules<'tx>,
        digest: &Digest,
    ) -> Result<BlobReached<'tx>, CatalogError> {
        let (package, digest) = (may.package(), digest.to_bytes());
        let tags = match rules.is_empty() {
            true => Vec::new(),
            false => {
                let values = [package.0.into(), (&digest).into()];
                let users = self.rows(&USERS_OF_BLOB, &values, |row| row.int(0))?;
                self.tags_above(package, users)?
            }
        };
        Ok(BlobReached::new(&self.brand, package, digest, tags))
    }

    fn tags_above(&mut self, package: PackageId, of: Vec<i64>) -> Result<Vec<String>, CatalogError> {
        let mut reached: std::collections::HashSet<i64> = of.iter().copied().collect();
        let (mut level, mut tags) = (of, Vec::new());
        for _ in 0..LEVELS_MAX {
            if level.is_empty() {
                break;
            }
            let numbers = Value::Numbers(&level);
            tags.extend(self.rows(&TAGS_AT, &[numbers], |row| row.text(0))?);
            let above = self.rows(&INDEXES_ABOVE, &[package.0.into(), numbers], |row| row.int(0))?;
            level = above.into_iter().filter(|id| reached.insert(*id)).collect();
        }
        Ok(tags)
    }

    /// Shows a survey every tag of a package that is to be deleted.
    pub fn survey_package(&mut self, may: &Granted<'tx, Delete>) -> Result<TagSurvey<'tx>, CatalogError> {
        self.survey_of(may, may.package())
    }

    /// The same for one that is to leave its path.
    pub fn survey_leaving(&mut self, may: &Granted<'tx, Move>) -> Result<TagSurvey<'tx>, CatalogError> {
        self.survey_of(may, may.package())
    }

    fn survey_of<A>(
        &mut self,
        may: &Granted<'tx, A>,
        package: PackageId,
    ) -> Result<TagSurvey<'tx>, CatalogError> {
        let rules = self.tag_rules_about(package)?;
        let mut survey = TagSurvey::new(&self.brand, may, rules);
        if !survey.is_over() {
            self.each(&OPEN_TAGS_OF, &[package.0.into()], &mut |row| {
                survey.see(package, &row.text(0)?);
                Ok(if survey.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        Ok(survey)
    }

    /// The tags that a deleted version takes back when it is restored.
    pub fn tags_taken_back(
        &mut self,
        may: &Granted<'tx, Restore>,
        deleted: &crate::Version,
    ) -> Result<TagsTakenBack<'tx>, CatalogError> {
        let at = deleted.deleted_at.map_or(-1, |at| at.0);
        let tags = self.rows(&TAGS_TO_REOPEN, &[deleted.id.0.into(), at.into()], |row| row.text(0))?;
        Ok(TagsTakenBack::new(&self.brand, may.package(), deleted.id, tags))
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Makes a rule of a package, unless it has so many already.
    pub fn create_tag_rule(
        &mut self,
        may: &Granted<'tx, Administer>,
        new: &NewTagRule,
        rules_max: u64,
        now: Micros,
    ) -> Result<Option<RuleId>, CatalogError> {
        let package = Value::Int(may.package().0);
        if self.row(&COUNT_OF_PACKAGE, &[package], |row| row.size(0))?.unwrap_or(0) >= rules_max {
            return Ok(None);
        }
        self.insert_tag_rule(Value::Null, package, may.account(), new, now).map(Some)
    }

    /// Makes a rule of an owner, unless it has so many already. Who changes tags in its packages now is waited for.
    pub fn create_owner_tag_rule(
        &mut self,
        may: &Granted<'tx, ManageRules>,
        new: &NewTagRule,
        rules_max: u64,
        now: Micros,
    ) -> Result<Option<RuleId>, CatalogError> {
        let owner = Value::Int(may.namespace().0);
        self.lock_packages_of(may.namespace())?;
        if self.row(&COUNT_OF_OWNER, &[owner], |row| row.size(0))?.unwrap_or(0) >= rules_max {
            return Ok(None);
        }
        self.insert_tag_rule(owner, Value::Null, may.account(), new, now).map(Some)
    }

    fn insert_tag_rule(
        &mut self,
        owner: Value<'_>,
        package: Value<'_>,
        by: Option<AccountId>,
        new: &NewTagRule,
        now: Micros,
    ) -> Result<RuleId, CatalogError> {
        let (hold, role) = match new.hold {
            Hold::Immutable => (IMMUTABLE, None),
            Hold::Protected(role) => (PROTECTED, role.map(Role::number)),
        };
        let except: Vec<&str> = new.except.iter().map(Pattern::as_str).collect();
        let except = except.join("\n");
        let values = [
            owner,
            package,
            hold.into(),
            role.into(),
            new.pattern.as_str().into(),
            except.as_str().into(),
            i64::from(new.lets_package_go).into(),
            now.0.into(),
            by.map(|id| id.0).into(),
        ];
        let id = self.inserted(&INSERT_TAG_RULE, &values)?;
        id.map(RuleId).ok_or(CatalogError::Corrupt("rule"))
    }

    /// Ends a rule of a package; whether it had it.
    pub fn remove_tag_rule(
        &mut self,
        may: &Granted<'tx, Administer>,
        id: RuleId,
    ) -> Result<bool, CatalogError> {
        Ok(self.execute(&REMOVE_OF_PACKAGE, &[id.0.into(), may.package().0.into()])? > 0)
    }

    /// Ends a rule of an owner; whether it had it.
    pub fn remove_owner_tag_rule(
        &mut self,
        may: &Granted<'tx, ManageRules>,
        id: RuleId,
    ) -> Result<bool, CatalogError> {
        Ok(self.execute(&REMOVE_OF_OWNER, &[id.0.into(), may.namespace().0.into()])? > 0)
    }

    /// Shows a survey every tag in the live packages of an account that is to be deleted. Who changes tags there now
    /// is waited for.
    pub fn survey_account(&mut self, may: &Granted<'tx, Govern>) -> Result<TagSurvey<'tx>, CatalogError> {
        let owner = Value::Int(may.namespace().0);
        self.lock_packages_of(may.namespace())?;
        let rules = self.rows(&TAG_RULES_BELOW, &[owner], rule)?;
        let rules = TagRules::new(&self.brand, rules);
        let mut survey = TagSurvey::new(&self.brand, may, rules);
        if !survey.is_over() {
            self.each(&OPEN_TAGS_BELOW, &[owner], &mut |row| {
                survey.see(PackageId(row.int(0)?), &row.text(1)?);
                Ok(if survey.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        Ok(survey)
    }

    pub(crate) fn lock_packages_of(&mut self, owner: AccountId) -> Result<(), CatalogError> {
        self.each(&LOCK_PACKAGES_OF, &[owner.0.into()], &mut |_| Ok(ControlFlow::Continue(())))
    }
}
