//! Packages as GitHub's API knows them: their records, lists of one account's, deletion, restoring, moving.

use crate::accounts::account_kind;
use crate::repositories::repository;
use crate::reviews::Review;
use crate::sql::{Row, Statement, Value, statement};
use crate::storage::Holder;
use crate::tags::about_the_same;
use crate::window::Window;
use crate::{CatalogError, Micros, ReadTx, Repository, RepositoryOwner, WriteTx};
use packhouse_access::{
    AccountId, Because, Delete, Granted, ListIn, Move, PackageEnd, PackageId, Restore, Role, See, Visibility,
};

/// What is known of a package, with its owner and the repository that the caller may see.
#[derive(Clone, Debug)]
pub struct PackageRecord {
    /// Its identifier.
    pub id: PackageId,
    /// `namespace/name…`
    pub path: String,
    /// Who owns it.
    pub owner: RepositoryOwner,
    /// Who may read it without a role.
    pub visibility: Visibility,
    /// When it was made.
    pub created_at: Micros,
    /// When it was pushed to or changed last.
    pub updated_at: Micros,
    /// Set on those in their time to restore.
    pub deleted_at: Option<Micros>,
    /// From the label of its newest image.
    pub description: Option<String>,
    /// From the label of its newest image.
    pub licenses: Option<String>,
    /// Live versions that are no parts.
    pub version_count: u64,
    /// Live versions that are parts of others.
    pub part_count: u64,
    /// Live versions with a tag.
    pub tagged_count: u64,
    /// How often its manifests were fetched.
    pub downloads: u64,
    /// Whether its access is the linked repository's.
    pub inherits: bool,
    /// The linked repository, if the caller may see that one.
    pub repository: Option<Repository>,
}

impl PackageRecord {
    /// The name without the owner.
    pub fn name(&self) -> &str {
        self.path.split_once('/').map_or(self.path.as_str(), |(_, name)| name)
    }
}

/// The columns of a record. The repository's come first, for the reader of repositories.
macro_rules! columns {
    () => {
        "SELECT r.id, r.path, r.name, r.visibility, r.description, r.homepage, r.default_branch, r.archived,
           r.created_at, r.updated_at, ro.id, ro.login, ro.kind, ro.site_admin,
           p.id, p.path, p.visibility, p.created_at, p.updated_at, p.deleted_at, p.description, p.licenses,
           p.version_count, p.part_count, p.tagged_count, p.downloads, p.inherits,
           o.id, o.login, o.kind, o.site_admin "
    };
}

/// The teams of the account `$1`.
macro_rules! mine {
    () => {
        "WITH RECURSIVE mine (id) AS (
           SELECT team_id FROM team_members WHERE account_id = $1
           UNION SELECT t.parent_id FROM teams t JOIN mine ON mine.id = t.id WHERE t.parent_id IS NOT NULL) "
    };
}

/// The owner, and the linked repository when the account `$1` may see it; `$2` = 1 sees all. A package that is open
/// says nothing of a repository that is not.
macro_rules! joins {
    () => {
        " JOIN accounts o ON o.id = p.owner_id
         LEFT JOIN repositories r ON r.id = p.repository_id AND (r.visibility = 2 OR $2 = 1 OR r.owner_id = $1
           OR EXISTS (SELECT 1 FROM accounts a WHERE a.id = $1 AND (a.site_admin = 1
                      OR (a.organization_id = r.owner_id AND r.visibility = 1)))
           OR EXISTS (SELECT 1 FROM memberships m LEFT JOIN policies b ON b.organization_id = m.organization_id
                      WHERE m.organization_id = r.owner_id AND m.account_id = $1
                        AND (m.owner = 1 OR r.visibility = 1 OR COALESCE(b.base_role, 1) > 0))
           OR EXISTS (SELECT 1 FROM repository_accounts c WHERE c.repository_id = r.id AND c.account_id = $1)
           OR EXISTS (SELECT 1 FROM mine CROSS JOIN repository_teams c
                      WHERE c.repository_id = r.id AND c.team_id = mine.id))
         LEFT JOIN accounts ro ON ro.id = r.owner_id "
    };
}

/// What a fine-grained token (`$7`, or -1) was made for.
macro_rules! chosen {
    () => {
        " AND (CAST($7 AS BIGINT) < 0 OR p.visibility = 2 OR EXISTS (SELECT 1 FROM token_limits t
             WHERE t.token_id = $7 AND (t.owner_id = p.owner_id OR t.package_id = p.id))) "
    };
}

statement!(PACKAGE_RECORD, concat!(mine!(), columns!(), "FROM packages p", joins!(), "WHERE p.id = $3"));
statement!(
    PACKAGES_IN,
    concat!(
        mine!(),
        columns!(),
        "FROM (SELECT p.id FROM packages p WHERE p.owner_id = $3 AND p.path > $4 AND p.deleted_at IS NULL",
        chosen!(),
        "ORDER BY p.path LIMIT $5 OFFSET $6) AS page CROSS JOIN packages p",
        joins!(),
        "WHERE p.id = page.id ORDER BY p.path"
    )
);
statement!(
    PACKAGES_IN_OF_VISIBILITY,
    concat!(
        mine!(),
        columns!(),
        "FROM (SELECT p.id FROM packages p WHERE p.owner_id = $3 AND p.visibility = $8 AND p.path > $4
               AND p.deleted_at IS NULL",
        chosen!(),
        "ORDER BY p.path LIMIT $5 OFFSET $6) AS page CROSS JOIN packages p",
        joins!(),
        "WHERE p.id = page.id ORDER BY p.path"
    )
);
// What is open, and what is internal to who is inside, is read in the order of an index, from the one row that says
// that they are (SQLite would read all packages before it looks at a condition that is none of theirs). The rest is
// what the
// caller was granted, alone, in a team or by a repository, and is sorted: it grows with what is the caller's (a plus
// before the owner keeps SQLite from walking all packages of the owner instead).
statement!(
    PACKAGES_IN_VISIBLE,
    concat!(
        mine!(),
        columns!(),
        "FROM (SELECT visible.id FROM (
           SELECT * FROM (SELECT p.id, p.path FROM packages p
             WHERE p.owner_id = $3 AND p.visibility = 2 AND p.path > $4 AND p.deleted_at IS NULL
               AND (CAST($8 AS BIGINT) < 0 OR $8 = 2) ORDER BY p.path LIMIT CAST($5 AS BIGINT) + $6) AS open
           UNION SELECT * FROM (SELECT p.id, p.path FROM memberships m CROSS JOIN packages p
             WHERE m.organization_id = $3 AND m.account_id = $1 AND p.owner_id = m.organization_id
               AND p.visibility = 1 AND p.path > $4 AND p.deleted_at IS NULL
               AND (CAST($8 AS BIGINT) < 0 OR $8 = 1)",
        chosen!(),
        "    ORDER BY p.path LIMIT CAST($5 AS BIGINT) + $6) AS internal
           UNION SELECT * FROM (SELECT p.id, p.path FROM accounts b CROSS JOIN packages p
             WHERE b.id = $1 AND b.organization_id = $3 AND p.owner_id = b.organization_id
               AND p.visibility = 1 AND p.path > $4 AND p.deleted_at IS NULL
               AND (CAST($8 AS BIGINT) < 0 OR $8 = 1)",
        chosen!(),
        "    ORDER BY p.path LIMIT CAST($5 AS BIGINT) + $6) AS internal_to_robots
           UNION SELECT * FROM (SELECT p.id, p.path FROM accounts b CROSS JOIN packages p
             WHERE b.id = $1 AND b.organization_id = $3 AND b.role IS NOT NULL
               AND p.owner_id = b.organization_id AND p.path > $4 AND p.deleted_at IS NULL
               AND (CAST($8 AS BIGINT) < 0 OR p.visibility = $8)",
        chosen!(),
        "    ORDER BY p.path LIMIT CAST($5 AS BIGINT) + $6) AS robots
           UNION SELECT * FROM (SELECT p.id, p.path FROM memberships m
             LEFT JOIN policies b ON b.organization_id = m.organization_id CROSS JOIN packages p
             WHERE m.organization_id = $3 AND m.account_id = $1 AND COALESCE(b.base_role, 1) > 0
               AND p.owner_id = m.organization_id AND p.path > $4 AND p.deleted_at IS NULL AND p.inherits = 1
               AND (CAST($8 AS BIGINT) < 0 OR p.visibility = $8)",
        chosen!(),
        "    ORDER BY p.path LIMIT CAST($5 AS BIGINT) + $6) AS inherited
           UNION SELECT * FROM (SELECT p.id, p.path FROM package_grants g CROSS JOIN packages p
             WHERE g.account_id = $1 AND p.id = g.package_id AND p.inherits = 0
               AND +p.owner_id = $3 AND p.path > $4 AND p.deleted_at IS NULL
               AND (CAST($8 AS BIGINT) < 0 OR p.visibility = $8)",
        chosen!(),
        "    ORDER BY p.path LIMIT CAST($5 AS BIGINT) + $6) AS granted
           UNION SELECT * FROM (SELECT p.id, p.path FROM mine CROSS JOIN package_teams g CROSS JOIN packages p
             WHERE g.team_id = mine.id AND p.id = g.package_id AND p.inherits = 0
               AND +p.owner_id = $3 AND p.path > $4 AND p.deleted_at IS NULL
               AND (CAST($8 AS BIGINT) < 0 OR p.visibility = $8)",
        chosen!(),
        "    ORDER BY p.path LIMIT CAST($5 AS BIGINT) + $6) AS through_teams
           UNION SELECT * FROM (SELECT p.id, p.path FROM repository_accounts c
             CROSS JOIN packages p
             WHERE c.account_id = $1 AND p.repository_id = c.repository_id AND p.inherits = 1
               AND +p.owner_id = $3 AND p.path > $4 AND p.deleted_at IS NULL
               AND (CAST($8 AS BIGINT) < 0 OR p.visibility = $8)",
        chosen!(),
        "    ORDER BY p.path LIMIT CAST($5 AS BIGINT) + $6) AS collaborating
           UNION SELECT * FROM (SELECT p.id, p.path FROM mine CROSS JOIN repository_teams c CROSS JOIN packages p
             WHERE c.team_id = mine.id AND p.repository_id = c.repository_id AND p.inherits = 1
               AND +p.owner_id = $3 AND p.path > $4 AND p.deleted_at IS NULL
               AND (CAST($8 AS BIGINT) < 0 OR p.visibility = $8)",
        chosen!(),
        "    ORDER BY p.path LIMIT CAST($5 AS BIGINT) + $6) AS through_repositories
         ) AS visible ORDER BY visible.path LIMIT $5 OFFSET $6) AS page CROSS JOIN packages p",
        joins!(),
        "WHERE p.id = page.id ORDER BY p.path"
    )
);
// Of several that were deleted at one path only the last can come back.
statement!(
    PACKAGES_DELETED_IN,
    concat!(
        mine!(),
        columns!(),
        "FROM (SELECT p.id FROM packages p WHERE p.owner_id = $3 AND p.path > $4 AND p.deleted_at IS NOT NULL
               AND p.deleted_at >= $8
               AND NOT EXISTS (SELECT 1 FROM packages n WHERE n.path = p.path AND n.deleted_at IS NOT NULL
                               AND (n.deleted_at > p.deleted_at
                                 OR (n.deleted_at = p.deleted_at AND n.id > p.id)))",
        chosen!(),
        "ORDER BY p.path LIMIT $5 OFFSET $6) AS page CROSS JOIN packages p",
        joins!(),
        "WHERE p.id = page.id ORDER BY p.path"
    )
);
statement!(
    MOST_DOWNLOADED,
    "SELECT downloads FROM versions WHERE package_id = $1 AND deleted_at IS NULL AND downloads > 0
     ORDER BY downloads DESC LIMIT 1"
);
statement!(STANDING_OF, "SELECT visibility, tagged_count, version_count FROM packages WHERE id = $1");
statement!(
    DELETE_PACKAGE,
    "UPDATE packages SET deleted_at = $2, deleted_by = $3 WHERE id = $1 AND deleted_at IS NULL
     RETURNING visibility"
);
statement!(
    RESTORE_PACKAGE,
    "UPDATE packages SET deleted_at = NULL, deleted_by = NULL, updated_at = $2
     WHERE id = $1 AND deleted_at IS NOT NULL RETURNING visibility"
);
statement!(END_REDIRECT_TO, "DELETE FROM redirects WHERE path = $1");
statement!(WHERE_NOW, "SELECT path, owner_id, visibility FROM packages WHERE id = $1 AND deleted_at IS NULL");
statement!(MOVE_PACKAGE, "UPDATE packages SET path = $2, updated_at = $3 WHERE id = $1");
statement!(
    TRANSFER_PACKAGE,
    "UPDATE packages SET path = $2, updated_at = $3, owner_id = $4, repository_id = NULL, inherits = 0
     WHERE id = $1"
);
statement!(DROP_GRANTS, "DELETE FROM package_grants WHERE package_id = $1");
statement!(DROP_TEAM_GRANTS, "DELETE FROM package_teams WHERE package_id = $1");
statement!(DROP_REPOSITORY_GRANTS, "DELETE FROM package_repositories WHERE package_id = $1");
statement!(
    PUT_REDIRECT,
    "INSERT INTO redirects (path, package_id, created_at) VALUES ($1, $2, $3)
     ON CONFLICT (path) DO UPDATE SET package_id = excluded.package_id, created_at = excluded.created_at"
);

fn record(row: &Row<'_>) -> Result<PackageRecord, CatalogError> {
    let number = |at: usize| row.size(14 + at);
    Ok(PackageRecord {
        repository: row.int_or_null(0)?.map(|_| repository(row)).transpose()?,
        id: PackageId(row.int(14)?),
        path: row.text(15)?,
        visibility: Visibility::from_number(row.int(16)?).ok_or(CatalogError::Corrupt("visibility"))?,
        created_at: Micros(row.int(17)?),
        updated_at: Micros(row.int_or_null(18)?.unwrap_or(row.int(17)?)),
        deleted_at: row.int_or_null(19)?.map(Micros),
        description: row.text_or_null(20)?,
        licenses: row.text_or_null(21)?,
        version_count: number(8)?,
        part_count: number(9)?,
        tagged_count: number(10)?,
        downloads: number(11)?,
        inherits: row.int(26)? != 0,
        owner: RepositoryOwner {
            id: AccountId(row.int(27)?),
            login: row.text(28)?,
            kind: account_kind(row.int(29)?)?,
            site_admin: row.int(30)? != 0,
        },
    })
}

/// Who asks, and whether every repository is shown.
fn asks<A>(may: &Granted<'_, A>) -> [Value<'static>; 2] {
    let all = matches!(may.because(), Because::Operator | Because::SiteAdmin);
    [may.account().map_or(-1, |id| id.0).into(), i64::from(all).into()]
}

/// Whether all packages of an account are shown.
fn shows_all(because: Because) -> bool {
    matches!(because, Because::OwnsNamespace | Because::SiteAdmin | Because::Operator)
}

impl<'tx> ReadTx<'_, 'tx> {
    /// The package.
    pub fn package_record(&mut self, may: &Granted<'tx, See>) -> Result<PackageRecord, CatalogError> {
        let [account, all] = asks(may);
        let found = self.row(&PACKAGE_RECORD, &[account, all, may.package().0.into()], record)?;
        found.ok_or(CatalogError::Corrupt("package"))
    }

    /// Packages of an account that the caller may see, by path; of one visibility, or of all.
    pub fn packages_in(
        &mut self,
        may: &Granted<'tx, ListIn>,
        visibility: Option<Visibility>,
        place: &Window,
    ) -> Result<Vec<PackageRecord>, CatalogError> {
        let of = visibility.map_or(-1, Visibility::number);
        match (shows_all(may.because()), visibility) {
            (true, None) => self.page_of(&PACKAGES_IN, may, place, None),
            (true, Some(_)) => self.page_of(&PACKAGES_IN_OF_VISIBILITY, may, place, Some(of)),
            (false, _) => self.page_of(&PACKAGES_IN_VISIBLE, may, place, Some(of)),
        }
    }

    /// Packages of an account that can be restored, deleted at `since` or later, by path. Nothing to who does not
    /// own the account.
    pub fn packages_deleted_in(
        &mut self,
        may: &Granted<'tx, ListIn>,
        since: Micros,
        place: &Window,
    ) -> Result<Vec<PackageRecord>, CatalogError> {
        if !shows_all(may.because()) {
            return Ok(Vec::new());
        }
        self.page_of(&PACKAGES_DELETED_IN, may, place, Some(since.0))
    }

    fn page_of(
        &mut self,
        statement: &'static Statement,
        may: &Granted<'tx, ListIn>,
        place: &Window,
        last: Option<i64>,
    ) -> Result<Vec<PackageRecord>, CatalogError> {
        let [account, all] = asks(may);
        let mut values = vec![
            account,
            all,
            may.namespace().0.into(),
            place.after.as_str().into(),
            Value::Int(place.limit.into()),
            Value::Int(place.skip.into()),
            may.limited().map_or(-1, |id| id.0).into(),
        ];
        values.extend(last.map(Value::Int));
        self.rows(statement, &values, record)
    }

    /// The downloads of the live version that has most.
    pub fn most_downloaded(&mut self, may: &Granted<'tx, Delete>) -> Result<u64, CatalogError> {
        Ok(self.row(&MOST_DOWNLOADED, &[may.package().0.into()], |row| row.size(0))?.unwrap_or(0))
    }

    /// Who may read the package without a role, how many of its versions have a tag, and how many there are that
    /// are no parts.
    pub fn standing_of(
        &mut self,
        may: &Granted<'tx, Delete>,
    ) -> Result<(Visibility, u64, u64), CatalogError> {
        let found = self.row(&STANDING_OF, &[may.package().0.into()], |row| {
            let visibility = Visibility::from_number(row.int(0)?);
            Ok((visibility.ok_or(CatalogError::Corrupt("visibility"))?, row.size(1)?, row.size(2)?))
        })?;
        found.ok_or(CatalogError::Corrupt("package"))
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Deletes the package with all it holds, none of which a rule holds. Its path is free at once; whether it was
    /// there.
    pub fn delete_package(
        &mut self,
        may: &Granted<'tx, Delete>,
        end: &PackageEnd<'tx>,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        about_the_same(may.package(), end.package())?;
        let by = may.account().map(|id| id.0);
        if let Some(holder) = self.holder_of(may.package())? {
            self.uncount_package(may.package(), holder)?;
        }
        let was =
            self.row(&DELETE_PACKAGE, &[may.package().0.into(), now.0.into(), by.into()], |row| row.int(0))?;
        self.review(&Review::of_package(may.package()), now)?;
        self.counted(may.owner(), was, -1)
    }

    /// Brings a deleted package back as it was; whether it was still deleted. The caller has asked that no other
    /// one has its path.
    pub fn restore_package(
        &mut self,
        may: &Granted<'tx, Restore>,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let values = [may.package().0.into(), now.0.into()];
        let was = self.row(&RESTORE_PACKAGE, &values, |row| row.int(0))?;
        if was.is_some() {
            self.execute(&END_REDIRECT_TO, &[may.path().into()])?;
            if let Some(holder) = self.holder_of(may.package())? {
                self.count_package(may.package(), holder)?;
            }
        }
        self.counted(may.owner(), was, 1)
    }

    fn counted(&mut self, owner: AccountId, was: Option<i64>, more: i64) -> Result<bool, CatalogError> {
        let Some(visibility) = was else { return Ok(false) };
        let public = visibility == Visibility::Public.number();
        self.count_packages(owner, more, if public { more } else { 0 })?;
        Ok(true)
    }

    /// Gives the package another path. Its old path leads to it until a package is made there. In another namespace
    /// it has no repository and no roles but its new owner's, and of who moved it there.
    pub fn move_package(
        &mut self,
        may: &Granted<'tx, Move>,
        end: &PackageEnd<'tx>,
        now: Micros,
    ) -> Result<(), CatalogError> {
        about_the_same(may.package(), end.package())?;
        let package = Value::Int(may.package().0);
        let found =
            self.row(&WHERE_NOW, &[package], |row| Ok((row.text(0)?, AccountId(row.int(1)?), row.int(2)?)))?;
        let (path, owner, visibility) = found.ok_or(CatalogError::Corrupt("package"))?;
        let new = Value::Text(may.path());
        self.execute(&END_REDIRECT_TO, &[new])?;
        self.execute(&PUT_REDIRECT, &[path.as_str().into(), package, now.0.into()])?;
        if owner == may.namespace() {
            return self.execute(&MOVE_PACKAGE, &[package, new, now.0.into()]).map(drop);
        }
        self.execute(&TRANSFER_PACKAGE, &[package, new, now.0.into(), may.namespace().0.into()])?;
        for statement in [&DROP_GRANTS, &DROP_TEAM_GRANTS, &DROP_REPOSITORY_GRANTS] {
            self.execute(statement, &[package])?;
        }
        if let Some(account) = may.account().filter(|account| *account != may.namespace()) {
            self.put_grant(may.package(), account, Role::Admin, now)?;
        }
        let public = i64::from(visibility == Visibility::Public.number());
        let holder = |owner| Holder { owner, private: public == 0 };
        self.uncount_package(may.package(), holder(owner))?;
        self.count_package(may.package(), holder(may.namespace()))?;
        self.move_uploads(may.package(), may.namespace())?;
        // Two accounts in the order of their numbers, as everyone who needs both.
        let mut both = [(owner, -1), (may.namespace(), 1)];
        both.sort_unstable();
        for (account, more) in both {
            self.count_packages(account, more, more * public)?;
        }
        Ok(())
    }
}
