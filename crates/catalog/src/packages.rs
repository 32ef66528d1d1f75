//! Packages, their visibility and who has a role on them.

use crate::namespaces_seen::keep_first;
use crate::sql::{Row, Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{
    AccountId, Administer, Create, Granted, List, Operate, PackageId, Publish, Role, Visibility,
};

/// A package.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its identifier.
    pub id: PackageId,
    /// `namespace/name…`
    pub path: String,
    /// Who may read it without a role.
    pub visibility: Visibility,
    /// When it was made.
    pub created_at: Micros,
}

/// A role given to an account by name.
#[derive(Clone, Debug)]
pub struct AccessRow {
    /// Whose.
    pub account: String,
    /// Which.
    pub role: Role,
}

/// The number of the type `container`; other types of packages come later.
const CONTAINER: i64 = 1;

statement!(
    INSERT_PACKAGE,
    "INSERT INTO packages (path, owner_id, type, visibility, created_at, updated_at, created_by)
     VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT DO NOTHING RETURNING id"
);
statement!(
    COUNT_PACKAGES,
    "UPDATE accounts SET package_count = package_count + $2, public_package_count = public_package_count + $3
     WHERE id = $1"
);
statement!(END_REDIRECT, "DELETE FROM redirects WHERE path = $1");
statement!(VISIBILITY, "SELECT visibility, owner_id FROM packages WHERE id = $1");
statement!(SET_VISIBILITY, "UPDATE packages SET visibility = $2, updated_at = $3 WHERE id = $1");
statement!(
    PUT_GRANT,
    "INSERT INTO package_grants (package_id, account_id, role, granted_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (package_id, account_id) DO UPDATE SET role = excluded.role, granted_at = excluded.granted_at"
);
statement!(REMOVE_GRANT, "DELETE FROM package_grants WHERE package_id = $1 AND account_id = $2");
statement!(
    GRANTS,
    "SELECT a.name, g.role FROM package_grants g JOIN accounts a ON a.id = g.account_id
     WHERE g.package_id = $1 ORDER BY a.name LIMIT $2"
);
statement!(
    PACKAGES,
    "SELECT id, path, visibility, created_at FROM packages
     WHERE path > $1 AND deleted_at IS NULL ORDER BY path LIMIT $2"
);
statement!(
    PACKAGES_OF,
    "SELECT id, path, visibility, created_at FROM packages
     WHERE owner_id = $3 AND path > $1 AND deleted_at IS NULL ORDER BY path LIMIT $2"
);
// What holds no version yet, or none any more, is but a name, and not listed.
statement!(
    PATHS,
    "SELECT p.path FROM packages p
     WHERE p.path > $1 AND p.deleted_at IS NULL AND p.held = 1
     ORDER BY p.path LIMIT $2"
);
// The first part reads an index in its order and stops at the limit. The others read what was granted by name or to a
// team, and what the repositories give that the caller works in, and sort it: the cost grows with what was given to the
// caller, not with the site. What is seen for the namespace it is in: `namespaces_seen.rs`. `$4` is a fine-grained token,
// which shows what it was made for and what is public.
statement!(
    PATHS_VISIBLE,
    "WITH RECURSIVE mine (id) AS (
       SELECT team_id FROM team_members WHERE account_id = $3
       UNION SELECT t.parent_id FROM teams t JOIN mine ON mine.id = t.id WHERE t.parent_id IS NOT NULL)
     SELECT path FROM (
       SELECT * FROM (SELECT p.path FROM packages p
         WHERE p.visibility = 2 AND p.path > $1 AND p.deleted_at IS NULL AND p.held = 1
         ORDER BY p.path LIMIT $2) AS open
       UNION
       SELECT * FROM (SELECT p.path FROM package_grants g JOIN packages p ON p.id = g.package_id
         WHERE g.account_id = $3 AND p.inherits = 0 AND p.path > $1 AND p.deleted_at IS NULL AND p.held = 1
           AND (CAST($4 AS BIGINT) < 0 OR EXISTS (SELECT 1 FROM token_limits t WHERE t.token_id = $4
           AND (t.owner_id = p.owner_id OR t.package_id = p.id)))
         ORDER BY p.path LIMIT $2) AS granted
       UNION
       SELECT * FROM (SELECT p.path FROM mine CROSS JOIN package_teams g CROSS JOIN packages p
         WHERE g.team_id = mine.id AND p.id = g.package_id AND p.inherits = 0 AND p.path > $1 AND p.deleted_at IS NULL
           AND p.held = 1
           AND (CAST($4 AS BIGINT) < 0 OR EXISTS (SELECT 1 FROM token_limits t WHERE t.token_id = $4
           AND (t.owner_id = p.owner_id OR t.package_id = p.id)))
         ORDER BY p.path LIMIT $2) AS through_teams
       UNION
       SELECT * FROM (SELECT p.path FROM repository_accounts c JOIN packages p ON p.repository_id = c.repository_id
         WHERE c.account_id = $3 AND p.inherits = 1 AND p.path > $1 AND p.deleted_at IS NULL AND p.held = 1
           AND (CAST($4 AS BIGINT) < 0 OR EXISTS (SELECT 1 FROM token_limits t WHERE t.token_id = $4
           AND (t.owner_id = p.owner_id OR t.package_id = p.id)))
         ORDER BY p.path LIMIT $2) AS collaborating
       UNION
       SELECT * FROM (SELECT p.path FROM mine CROSS JOIN repository_teams c CROSS JOIN packages p
         WHERE c.team_id = mine.id AND p.repository_id = c.repository_id AND p.inherits = 1 AND p.path > $1 AND p.deleted_at IS NULL
           AND p.held = 1
           AND (CAST($4 AS BIGINT) < 0 OR EXISTS (SELECT 1 FROM token_limits t WHERE t.token_id = $4
           AND (t.owner_id = p.owner_id OR t.package_id = p.id)))
         ORDER BY p.path LIMIT $2) AS through_repositories
     ) AS visible ORDER BY path LIMIT $2"
);

// Who may pull everything shows a fine-grained token: what that one was made for, and what is public.
statement!(
    PATHS_CHOSEN,
    "SELECT path FROM (
       SELECT * FROM (SELECT p.path FROM packages p
         WHERE p.visibility = 2 AND p.path > $1 AND p.deleted_at IS NULL AND p.held = 1
         ORDER BY p.path LIMIT $2) AS open
       UNION
       SELECT * FROM (SELECT p.path FROM token_limits t JOIN packages p ON p.owner_id = t.owner_id
         WHERE t.token_id = $3 AND p.path > $1 AND p.deleted_at IS NULL AND p.held = 1
         ORDER BY p.path LIMIT $2) AS theirs
       UNION
       SELECT * FROM (SELECT p.path FROM token_limits t JOIN packages p ON p.id = t.package_id
         WHERE t.token_id = $3 AND p.path > $1 AND p.deleted_at IS NULL AND p.held = 1
         ORDER BY p.path LIMIT $2) AS named
     ) AS visible ORDER BY path LIMIT $2"
);

fn package(row: &Row<'_>) -> Result<Package, CatalogError> {
    Ok(Package {
        id: PackageId(row.int(0)?),
        path: row.text(1)?,
        visibility: Visibility::from_number(row.int(2)?).ok_or(CatalogError::Corrupt("visibility"))?,
        created_at: Micros(row.int(3)?),
    })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// Paths of the packages that the caller may pull, in the order of bytes, after `after`.
    pub fn paths_visible(
        &mut self,
        may: &Granted<'tx, List>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, CatalogError> {
        let page = [after.into(), Value::Int(limit.into())];
        let limited = may.limited().map_or(-1, |id| id.0);
        if may.because() == packhouse_access::Because::SiteAdmin {
            return match limited {
                ..0 => self.rows(&PATHS, &page, |row| row.text(0)),
                _ => self.rows(&PATHS_CHOSEN, &[page[0], page[1], limited.into()], |row| row.text(0)),
            };
        }
        let account = may.account().map_or(-1, |id| id.0);
        let values = [page[0], page[1], account.into(), limited.into()];
        let mut paths = self.rows(&PATHS_VISIBLE, &values, |row| row.text(0))?;
        paths.extend(self.paths_of_namespaces(may, after, limit)?);
        keep_first(&mut paths, limit);
        Ok(paths)
    }

    /// All packages by path, after `after`; of one namespace, or all.
    pub fn packages(
        &mut self,
        _may: &Granted<'tx, Operate>,
        namespace: Option<AccountId>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Package>, CatalogError> {
        let page = [after.into(), Value::Int(limit.into())];
        match namespace {
            Some(owner) => self.rows(&PACKAGES_OF, &[page[0], page[1], owner.0.into()], package),
            None => self.rows(&PACKAGES, &page, package),
        }
    }

    /// The roles given on a package, by name; at most `limit`.
    pub fn access(
        &mut self,
        may: &Granted<'tx, Administer>,
        limit: u32,
    ) -> Result<Vec<AccessRow>, CatalogError> {
        self.rows(&GRANTS, &[may.package().0.into(), Value::Int(limit.into())], |row| {
            let role = Role::from_number(row.int(1)?).ok_or(CatalogError::Corrupt("role"))?;
            Ok(AccessRow { account: row.text(0)?, role })
        })
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Makes a package, private unless the organization says otherwise; who makes it in an organization's namespace
    /// becomes its admin.
    /// When another transaction was first, that one's package stands.
    pub fn create_package(&mut self, may: &Granted<'tx, Create>, now: Micros) -> Result<(), CatalogError> {
        let account = may.account();
        let values = [
            may.path().into(),
            may.namespace().0.into(),
            CONTAINER.into(),
            may.visibility().number().into(),
            now.0.into(),
            account.map(|id| id.0).into(),
        ];
        let Some(made) = self.inserted(&INSERT_PACKAGE, &values)? else { return Ok(()) };
        // Who makes a package where another one was says that its old name is not that one's any more.
        self.execute(&END_REDIRECT, &[may.path().into()])?;
        if let Some(account) = account.filter(|account| *account != may.namespace()) {
            self.put_grant(PackageId(made), account, Role::Admin, now)?;
        }
        let public = may.visibility() == Visibility::Public;
        self.count_packages(may.namespace(), 1, i64::from(public))
    }

    /// Changes who may read without a role.
    pub fn set_visibility(&mut self, may: &Granted<'tx, Publish>, now: Micros) -> Result<(), CatalogError> {
        let values = [may.package().0.into(), may.visibility().number().into(), now.0.into()];
        let before = self.row(&VISIBILITY, &values[..1], |row| Ok((row.int(0)?, AccountId(row.int(1)?))))?;
        self.execute(&SET_VISIBILITY, &values)?;
        let public = |visibility: i64| i64::from(visibility == Visibility::Public.number());
        match before.map(|(before, owner)| (public(may.visibility().number()) - public(before), owner)) {
            Some((more, owner)) if more != 0 => {
                self.close_package(may.package(), owner, more < 0)?;
                self.count_packages(owner, 0, more)
            }
            _ => Ok(()),
        }
    }

    /// Gives an account a role, in place of the one it had.
    pub fn grant(
        &mut self,
        may: &Granted<'tx, Administer>,
        account: AccountId,
        role: Role,
        now: Micros,
    ) -> Result<(), CatalogError> {
        self.put_grant(may.package(), account, role, now)
    }

    /// Takes the role of an account; whether it had one.
    pub fn revoke(
        &mut self,
        may: &Granted<'tx, Administer>,
        account: AccountId,
    ) -> Result<bool, CatalogError> {
        Ok(self.execute(&REMOVE_GRANT, &[may.package().0.into(), account.0.into()])? > 0)
    }

    /// Keeps an account's counters of packages in step. The last thing of a transaction: its row is shared by all
    /// packages of the account.
    pub(crate) fn count_packages(
        &mut self,
        owner: AccountId,
        all: i64,
        public: i64,
    ) -> Result<(), CatalogError> {
        self.execute(&COUNT_PACKAGES, &[owner.0.into(), all.into(), public.into()]).map(drop)
    }

    pub(crate) fn put_grant(
        &mut self,
        package: PackageId,
        account: AccountId,
        role: Role,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let values = [package.0.into(), account.0.into(), role.number().into(), now.0.into()];
        self.execute(&PUT_GRANT, &values).map(drop)
    }
}
