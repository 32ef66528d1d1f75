//! Retention policies, and what they are applied to. What a policy says is the service's; here it is a text.

use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{
    AccountId, Administer, Collect, Granted, ManageRules, PackageId, Prune, RuleId, See, VersionId,
};
use packhouse_oci::Digest;
use std::collections::HashMap;

/// A policy to keep.
#[derive(Clone, Debug)]
pub struct NewRetention {
    /// What it says.
    pub policy: String,
    /// When it runs next; none: only by hand.
    pub due_at: Option<Micros>,
}

/// A policy with how it came about and what it did last.
#[derive(Clone, Debug)]
pub struct RetentionRecord {
    /// Its number.
    pub id: RuleId,
    /// Whose it is, for people: the owner's name or the package's path.
    pub of: String,
    /// Whether it is one package's own.
    pub own: bool,
    /// What it says.
    pub policy: String,
    /// Since when.
    pub changed_at: Micros,
    /// Who said so, by the name as it was written; none: the operator.
    pub changed_by: Option<String>,
    /// When it runs next; none: only by hand.
    pub due_at: Option<Micros>,
    /// When it ran last.
    pub ran_at: Option<Micros>,
    /// Versions that it kept then.
    pub kept: u64,
    /// Versions that it dropped then, parts not counted.
    pub dropped: u64,
}

/// A policy whose time has come.
#[derive(Clone, Debug)]
pub struct DuePolicy {
    /// Its number.
    pub id: RuleId,
    /// What it says.
    pub policy: String,
}

/// A live version as a policy looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneRow {
    /// Its number.
    pub id: VersionId,
    /// Its manifest's digest.
    pub digest: Digest,
    /// When it was pushed; none: it is not known.
    pub pushed_at: Option<Micros>,
    /// When it was pulled last.
    pub pulled_at: Option<Micros>,
    /// Until when it stays for a client that was told of it ([`WriteTx::pin_version`]).
    pub pinned_until: Micros,
    /// Whether it is an untagged part of another version.
    pub part: bool,
    /// The tags that point at it.
    pub tags: Vec<String>,
    /// Live versions that name it as their child, and the live subject that it refers to.
    pub wholes: Vec<VersionId>,
}

statement!(
    POLICY_OF_PACKAGE,
    "SELECT r.id, p.path, r.package_id, r.policy, r.changed_at, b.login, r.due_at, r.ran_at, r.kept, r.dropped
     FROM retention r CROSS JOIN packages p LEFT JOIN accounts b ON b.id = r.changed_by
     WHERE r.package_id = $1 AND p.id = r.package_id"
);
statement!(
    POLICY_OF_OWNER,
    "SELECT r.id, a.login, r.package_id, r.policy, r.changed_at, b.login, r.due_at, r.ran_at, r.kept, r.dropped
     FROM retention r CROSS JOIN accounts a LEFT JOIN accounts b ON b.id = r.changed_by
     WHERE r.owner_id = $1 AND a.id = r.owner_id"
);
statement!(OWNER_OF, "SELECT owner_id FROM packages WHERE id = $1");
statement!(REMOVE_POLICY_OF_PACKAGE, "DELETE FROM retention WHERE package_id = $1");
statement!(END_RETENTION, "DELETE FROM retention WHERE owner_id = $1");
statement!(
    INSERT_POLICY,
    "INSERT INTO retention (owner_id, package_id, policy, due_at, changed_at, changed_by)
     VALUES ($1, $2, $3, $4, $5, $6)"
);
statement!(
    POLICIES_DUE,
    "SELECT id, policy FROM retention WHERE due_at IS NOT NULL AND due_at <= $1 ORDER BY due_at, id LIMIT $2"
);
statement!(
    POLICY_RAN,
    "UPDATE retention SET ran_at = $2, kept = $3, dropped = $4, due_at = CASE WHEN policy = $5 THEN $6 ELSE due_at END
     WHERE id = $1"
);
// Of an owner: the packages that have none of their own.
statement!(
    PACKAGES_UNDER,
    "SELECT path FROM (
       SELECT p.path FROM retention r CROSS JOIN packages p
       WHERE r.id = $1 AND p.owner_id = r.owner_id AND p.path > $2 AND p.deleted_at IS NULL
         AND NOT EXISTS (SELECT 1 FROM retention o WHERE o.package_id = p.id)
       UNION ALL
       SELECT p.path FROM retention r CROSS JOIN packages p
       WHERE r.id = $1 AND p.id = r.package_id AND p.path > $2 AND p.deleted_at IS NULL) AS under
     ORDER BY path LIMIT $3"
);
statement!(
    PRUNE_ROWS,
    "SELECT id, digest, created_at, last_pulled_at, part, pinned_until FROM versions
     WHERE package_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3"
);
statement!(
    PRUNE_ROW,
    "SELECT id, digest, created_at, last_pulled_at, part, pinned_until FROM versions
     WHERE id = $2 AND package_id = $1 AND deleted_at IS NULL"
);
statement!(
    PRUNE_TAGS,
    "SELECT t.version_id, t.name FROM {numbers $1} AS asked CROSS JOIN tags t
     WHERE t.version_id = asked.item AND t.valid_to IS NULL ORDER BY t.version_id, t.id"
);
statement!(
    PRUNE_WHOLES,
    "SELECT c.id, k.version_id FROM {numbers $2} AS asked CROSS JOIN versions c CROSS JOIN version_children k
       CROSS JOIN versions w
     WHERE c.id = asked.item AND c.package_id = $1 AND k.package_id = $1 AND k.digest = c.digest
       AND w.id = k.version_id AND w.deleted_at IS NULL
     UNION ALL SELECT c.id, s.id FROM {numbers $2} AS asked CROSS JOIN versions c CROSS JOIN versions s
     WHERE c.id = asked.item AND c.package_id = $1 AND s.package_id = $1 AND s.digest = c.subject
       AND s.deleted_at IS NULL"
);

fn record(row: &Row<'_>) -> Result<RetentionRecord, CatalogError> {
    Ok(RetentionRecord {
        id: RuleId(row.int(0)?),
        of: row.text(1)?,
        own: row.int_or_null(2)?.is_some(),
        policy: row.text(3)?,
        changed_at: Micros(row.int(4)?),
        changed_by: row.text_or_null(5)?,
        due_at: row.int_or_null(6)?.map(Micros),
        ran_at: row.int_or_null(7)?.map(Micros),
        kept: row.size(8)?,
        dropped: row.size(9)?,
    })
}

fn prune_row(row: &Row<'_>) -> Result<PruneRow, CatalogError> {
    Ok(PruneRow {
        id: VersionId(row.int(0)?),
        digest: row.digest(1)?,
        pushed_at: Some(row.int(2)?).filter(|at| *at > 0).map(Micros),
        pulled_at: row.int_or_null(3)?.map(Micros),
        part: row.int(4)? != 0,
        pinned_until: Micros(row.int(5)?),
        tags: Vec::new(),
        wholes: Vec::new(),
    })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// The policy that a package is under: its own, or else its owner's.
    pub fn retention(&mut self, may: &Granted<'tx, See>) -> Result<Option<RetentionRecord>, CatalogError> {
        self.retention_about(may.package())
    }

    /// The same for who prunes by it.
    pub fn retention_to_apply(
        &mut self,
        may: &Granted<'tx, Prune>,
    ) -> Result<Option<RetentionRecord>, CatalogError> {
        self.retention_about(may.package())
    }

    fn retention_about(&mut self, package: PackageId) -> Result<Option<RetentionRecord>, CatalogError> {
        let package = Value::Int(package.0);
        if let Some(own) = self.row(&POLICY_OF_PACKAGE, &[package], record)? {
            return Ok(Some(own));
        }
        let owner = self.row(&OWNER_OF, &[package], |row| row.int(0))?;
        self.row(&POLICY_OF_OWNER, &[owner.unwrap_or(-1).into()], record)
    }

    /// An owner's policy.
    pub fn owner_retention(
        &mut self,
        may: &Granted<'tx, ManageRules>,
    ) -> Result<Option<RetentionRecord>, CatalogError> {
        self.row(&POLICY_OF_OWNER, &[may.namespace().0.into()], record)
    }

    /// Policies whose time has come, the longest due first.
    pub fn retention_due(
        &mut self,
        _may: &Granted<'tx, Collect>,
        now: Micros,
        limit: u32,
    ) -> Result<Vec<DuePolicy>, CatalogError> {
        self.rows(&POLICIES_DUE, &[now.0.into(), Value::Int(limit.into())], |row| {
            Ok(DuePolicy { id: RuleId(row.int(0)?), policy: row.text(1)? })
        })
    }

    /// Paths of the packages that a policy is for, after one of them.
    pub fn packages_under(
        &mut self,
        _may: &Granted<'tx, Collect>,
        policy: RuleId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, CatalogError> {
        self.rows(&PACKAGES_UNDER, &[policy.0.into(), after.into(), Value::Int(limit.into())], |row| {
            row.text(0)
        })
    }

    /// Live versions of a package from the newest on, parts among them, with a smaller number than `before`.
    pub fn prune_rows(
        &mut self,
        may: &Granted<'tx, Prune>,
        before: Option<VersionId>,
        limit: u32,
    ) -> Result<Vec<PruneRow>, CatalogError> {
        let (package, before) = (may.package().0, before.map_or(i64::MAX, |id| id.0));
        let rows =
            self.rows(&PRUNE_ROWS, &[package.into(), before.into(), Value::Int(limit.into())], prune_row)?;
        self.with_tags_and_wholes(may, rows)
    }

    /// One of them, as it is now.
    pub fn prune_row(
        &mut self,
        may: &Granted<'tx, Prune>,
        id: VersionId,
    ) -> Result<Option<PruneRow>, CatalogError> {
        let row = self.row(&PRUNE_ROW, &[may.package().0.into(), id.0.into()], prune_row)?;
        Ok(self.with_tags_and_wholes(may, row.into_iter().collect())?.pop())
    }

    fn with_tags_and_wholes(
        &mut self,
        may: &Granted<'tx, Prune>,
        mut rows: Vec<PruneRow>,
    ) -> Result<Vec<PruneRow>, CatalogError> {
        if rows.is_empty() {
            return Ok(rows);
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.id.0).collect();
        let mut tags: HashMap<i64, Vec<String>> = HashMap::new();
        for (id, name) in
            self.rows(&PRUNE_TAGS, &[Value::Numbers(&ids)], |row| Ok((row.int(0)?, row.text(1)?)))?
        {
            tags.entry(id).or_default().push(name);
        }
        let mut wholes: HashMap<i64, Vec<VersionId>> = HashMap::new();
        let values = [may.package().0.into(), Value::Numbers(&ids)];
        for (part, whole) in self.rows(&PRUNE_WHOLES, &values, |row| Ok((row.int(0)?, row.int(1)?)))? {
            wholes.entry(part).or_default().push(VersionId(whole));
        }
        for row in &mut rows {
            row.tags = tags.remove(&row.id.0).unwrap_or_default();
            row.wholes = wholes.remove(&row.id.0).unwrap_or_default();
            row.wholes.sort_unstable();
            row.wholes.dedup();
        }
        Ok(rows)
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Puts a package under a policy of its own, in place of the one it had.
    pub fn put_retention(
        &mut self,
        may: &Granted<'tx, Administer>,
        new: &NewRetention,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let package = Value::Int(may.package().0);
        self.execute(&REMOVE_POLICY_OF_PACKAGE, &[package])?;
        self.insert_policy(Value::Null, package, may.account(), new, now)
    }

    /// Puts all packages of an owner that have none of their own under a policy.
    pub fn put_owner_retention(
        &mut self,
        may: &Granted<'tx, ManageRules>,
        new: &NewRetention,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let owner = Value::Int(may.namespace().0);
        self.execute(&END_RETENTION, &[owner])?;
        self.insert_policy(owner, Value::Null, may.account(), new, now)
    }

    fn insert_policy(
        &mut self,
        owner: Value<'_>,
        package: Value<'_>,
        by: Option<AccountId>,
        new: &NewRetention,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let due = new.due_at.map(|at| at.0);
        let by = by.map(|id| id.0);
        let values = [owner, package, new.policy.as_str().into(), due.into(), now.0.into(), by.into()];
        self.execute(&INSERT_POLICY, &values).map(drop)
    }

    /// Ends a package's own policy; whether it had one.
    pub fn remove_retention(&mut self, may: &Granted<'tx, Administer>) -> Result<bool, CatalogError> {
        Ok(self.execute(&REMOVE_POLICY_OF_PACKAGE, &[may.package().0.into()])? > 0)
    }

    /// Ends an owner's policy; whether it had one.
    pub fn remove_owner_retention(&mut self, may: &Granted<'tx, ManageRules>) -> Result<bool, CatalogError> {
        Ok(self.execute(&END_RETENTION, &[may.namespace().0.into()])? > 0)
    }

    /// Says that a policy ran, and when it does next if it still says what it said.
    pub fn retention_ran(
        &mut self,
        _may: &Granted<'tx, Collect>,
        policy: &DuePolicy,
        (kept, dropped): (u64, u64),
        next: Option<Micros>,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let count = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let next = next.map(|at| at.0);
        let values = [
            policy.id.0.into(),
            now.0.into(),
            count(kept),
            count(dropped),
            policy.policy.as_str().into(),
            next.into(),
        ];
        self.execute(&POLICY_RAN, &values).map(drop)
    }
}
