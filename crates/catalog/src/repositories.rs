//! Repositories: records of what a forge holds, as far as packages need them.

use crate::accounts::{account, account_kind};
use crate::facts::account_of;
use crate::sql::{Row, Statement, Value, statement};
use crate::window::Window;
use crate::{Account, AccountKind, CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{
    AccountId, Because, Caller, CreateRepository, DeleteRepository, EditRepository, Granted,
    ListCollaborators, ListRepositories, Own, RepositoryAction, RepositoryFacts, RepositoryId,
    RepositoryRole, Visibility,
};

/// A repository.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its identifier.
    pub id: RepositoryId,
    /// `owner/name` in lower case.
    pub path: String,
    /// Its name as it was written.
    pub name: String,
    /// Who may see it without a role.
    pub visibility: Visibility,
    /// What it is.
    pub description: Option<String>,
    /// Where to read more.
    pub homepage: Option<String>,
    /// The branch that comes first.
    pub default_branch: String,
    /// Whether it is only kept.
    pub archived: bool,
    /// When it was made.
    pub created_at: Micros,
    /// When it was changed last.
    pub updated_at: Micros,
    /// Whose.
    pub owner: RepositoryOwner,
}

/// The owner of a repository, as its record shows it.
#[derive(Clone, Debug)]
pub struct RepositoryOwner {
    /// Its identifier.
    pub id: AccountId,
    /// Its name as it was written.
    pub login: String,
    /// User or organization.
    pub kind: AccountKind,
    /// Whether it administers the site.
    pub site_admin: bool,
}

/// A repository to make, or what one shall be.
#[derive(Clone, Debug)]
pub struct RepositoryRecord {
    /// `owner/name` in lower case.
    pub path: String,
    /// Its name as it was written.
    pub name: String,
    /// Who may see it without a role.
    pub visibility: Visibility,
    /// What it is.
    pub description: Option<String>,
    /// Where to read more.
    pub homepage: Option<String>,
    /// The branch that comes first.
    pub default_branch: String,
    /// Whether it is only kept.
    pub archived: bool,
}

/// Who has a role in a repository.
#[derive(Clone, Debug)]
pub struct Collaborator {
    /// Who.
    pub account: Account,
    /// The highest of their roles.
    pub role: RepositoryRole,
}

/// Which collaborators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affiliation {
    /// Everyone: by name, by team, by being a member or the owner.
    All,
    /// Those who were named.
    Direct,
    /// Those who were named and are no members of the organization.
    Outside,
}

/// Which of one's own repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affiliations {
    /// Those that one owns.
    pub owner: bool,
    /// Those that one was named for.
    pub collaborator: bool,
    /// Those of one's organizations, as far as one sees them.
    pub member: bool,
}

statement!(REPOSITORY_FACTS, "SELECT id, visibility FROM repositories WHERE path = $1");
statement!(LOCK_REPOSITORY, "SELECT id FROM repositories WHERE path = $1 {lock}");
// An account's roles in a repository: by name, by its teams (a team has what the teams above it have), and as a
// member of the organization, which its owners have whole.
statement!(
    REPOSITORY_ROLES,
    "WITH RECURSIVE mine (id) AS (
       SELECT team_id FROM team_members WHERE account_id = $2
       UNION SELECT t.parent_id FROM teams t JOIN mine ON mine.id = t.id WHERE t.parent_id IS NOT NULL)
     SELECT c.role FROM repository_accounts c WHERE c.repository_id = $1 AND c.account_id = $2
     UNION ALL SELECT c.role FROM mine CROSS JOIN repository_teams c
       WHERE c.repository_id = $1 AND c.team_id = mine.id
     UNION ALL SELECT CASE WHEN m.owner = 1 THEN 5 ELSE COALESCE(o.base_role, 1) END FROM repositories r
       JOIN memberships m ON m.organization_id = r.owner_id AND m.account_id = $2
       LEFT JOIN policies o ON o.organization_id = r.owner_id WHERE r.id = $1
     UNION ALL SELECT 5 FROM repositories r WHERE r.id = $1 AND r.owner_id = $2"
);
statement!(
    REPOSITORY,
    "SELECT r.id, r.path, r.name, r.visibility, r.description, r.homepage, r.default_branch, r.archived,
       r.created_at, r.updated_at, o.id, o.login, o.kind, o.site_admin
     FROM repositories r JOIN accounts o ON o.id = r.owner_id WHERE r.id = $1"
);
statement!(
    INSERT_REPOSITORY,
    "INSERT INTO repositories (owner_id, path, name, visibility, description, homepage, default_branch, archived,
       created_at, updated_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT DO NOTHING RETURNING id"
);
statement!(
    SET_REPOSITORY,
    "UPDATE repositories SET path = $2, name = $3, visibility = $4, description = $5, homepage = $6,
       default_branch = $7, archived = $8, updated_at = $9 WHERE id = $1"
);
statement!(
    ADD_REPOSITORIES,
    "UPDATE accounts SET repository_count = repository_count + $2,
       public_repository_count = public_repository_count + $3 WHERE id = $1"
);
statement!(
    REPOSITORIES_OF,
    "SELECT r.id, r.path, r.name, r.visibility, r.description, r.homepage, r.default_branch, r.archived,
       r.created_at, r.updated_at, o.id, o.login, o.kind, o.site_admin
     FROM repositories r JOIN accounts o ON o.id = r.owner_id
     WHERE r.owner_id = $4 AND r.path > $1 ORDER BY r.path LIMIT $2 OFFSET $3"
);
statement!(
    REPOSITORIES_PUBLIC,
    "SELECT r.id, r.path, r.name, r.visibility, r.description, r.homepage, r.default_branch, r.archived,
       r.created_at, r.updated_at, o.id, o.login, o.kind, o.site_admin
     FROM repositories r JOIN accounts o ON o.id = r.owner_id
     WHERE r.owner_id = $4 AND r.visibility = 2 AND r.path > $1 ORDER BY r.path LIMIT $2 OFFSET $3"
);
// $5: the caller; $6: whether what is internal is theirs to see; $7: how many rows a part must give.
statement!(
    REPOSITORIES_VISIBLE,
    "WITH RECURSIVE mine (id) AS (
       SELECT team_id FROM team_members WHERE account_id = $5
       UNION SELECT t.parent_id FROM teams t JOIN mine ON mine.id = t.id WHERE t.parent_id IS NOT NULL)
     SELECT r.id, r.path, r.name, r.visibility, r.description, r.homepage, r.default_branch, r.archived,
       r.created_at, r.updated_at, o.id, o.login, o.kind, o.site_admin
     FROM (SELECT id FROM (
       SELECT * FROM (SELECT r.id, r.path FROM repositories r
         WHERE r.owner_id = $4 AND r.visibility = 2 AND r.path > $1 ORDER BY r.path LIMIT $7) AS open
       UNION
       SELECT * FROM (SELECT r.id, r.path FROM repositories r
         WHERE r.owner_id = $4 AND r.visibility = 1 AND $6 = 1 AND r.path > $1
         ORDER BY r.path LIMIT $7) AS organizations
       UNION
       SELECT * FROM (SELECT r.id, r.path FROM repository_accounts c JOIN repositories r ON r.id = c.repository_id
         WHERE c.account_id = $5 AND r.owner_id = $4 AND r.path > $1 ORDER BY r.path LIMIT $7) AS granted
       UNION
       SELECT * FROM (SELECT r.id, r.path FROM mine CROSS JOIN repository_teams c
         JOIN repositories r ON r.id = c.repository_id WHERE c.team_id = mine.id AND r.owner_id = $4 AND r.path > $1 ORDER BY r.path LIMIT $7) AS by_team
     ) AS visible ORDER BY path LIMIT $2 OFFSET $3) AS found
     CROSS JOIN repositories r CROSS JOIN accounts o
     WHERE r.id = found.id AND o.id = r.owner_id ORDER BY r.path"
);
// $5, $6, $7: whether those that one owns, was named for, sees as a member; $8: how many rows a part must give;
// $9: the lowest visibility.
statement!(
    REPOSITORIES_OWN,
    "WITH RECURSIVE mine (id) AS (
       SELECT team_id FROM team_members WHERE account_id = $4
       UNION SELECT t.parent_id FROM teams t JOIN mine ON mine.id = t.id WHERE t.parent_id IS NOT NULL)
     SELECT r.id, r.path, r.name, r.visibility, r.description, r.homepage, r.default_branch, r.archived,
       r.created_at, r.updated_at, o.id, o.login, o.kind, o.site_admin
     FROM (SELECT id FROM (
       SELECT * FROM (SELECT r.id, r.path FROM repositories r
         WHERE r.owner_id = $4 AND $5 = 1 AND r.visibility >= $9 AND r.path > $1
         ORDER BY r.path LIMIT $8) AS own
       UNION
       SELECT * FROM (SELECT r.id, r.path FROM repository_accounts c JOIN repositories r ON r.id = c.repository_id
         WHERE c.account_id = $4 AND $6 = 1 AND r.visibility >= $9 AND r.path > $1
         ORDER BY r.path LIMIT $8) AS granted
       UNION
       SELECT * FROM (SELECT r.id, r.path FROM mine CROSS JOIN repository_teams c
         JOIN repositories r ON r.id = c.repository_id WHERE c.team_id = mine.id AND $7 = 1 AND r.visibility >= $9 AND r.path > $1 ORDER BY r.path LIMIT $8) AS by_team
       UNION
       SELECT * FROM (SELECT r.id, r.path FROM memberships m
           LEFT JOIN policies y ON y.organization_id = m.organization_id
           JOIN repositories r ON r.owner_id = m.organization_id
         WHERE m.account_id = $4 AND $7 = 1 AND r.visibility >= $9 AND r.path > $1
           AND (m.owner = 1 OR r.visibility > 0 OR COALESCE(y.base_role, 1) > 0)
         ORDER BY r.path LIMIT $8) AS organizations
     ) AS visible ORDER BY path LIMIT $2 OFFSET $3) AS found
     CROSS JOIN repositories r CROSS JOIN accounts o
     WHERE r.id = found.id AND o.id = r.owner_id ORDER BY r.path"
);
statement!(
    COLLABORATORS,
    "SELECT a.id, a.name, a.kind, a.site_admin, a.created_at, a.suspended_at, a.login,
       a.display_name, a.description, a.email, a.updated_at, a.package_count, a.public_package_count,
       a.repository_count, a.public_repository_count, c.role
     FROM repository_accounts c JOIN accounts a ON a.id = c.account_id
     WHERE c.repository_id = $4 AND c.role >= $5 AND a.name > $1 ORDER BY a.name LIMIT $2 OFFSET $3"
);
statement!(
    COLLABORATORS_OUTSIDE,
    "SELECT a.id, a.name, a.kind, a.site_admin, a.created_at, a.suspended_at, a.login,
       a.display_name, a.description, a.email, a.updated_at, a.package_count, a.public_package_count,
       a.repository_count, a.public_repository_count, c.role
     FROM repository_accounts c JOIN accounts a ON a.id = c.account_id JOIN repositories r ON r.id = c.repository_id
     WHERE c.repository_id = $4 AND c.role >= $5 AND a.name > $1
       AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.organization_id = r.owner_id AND m.account_id = a.id)
     ORDER BY a.name LIMIT $2 OFFSET $3"
);
// Everyone's highest role. What is sorted is the repository's people, who are the organization's at the most and
// those who were named.
statement!(
    COLLABORATORS_ALL,
    "WITH RECURSIVE theirs (id, role) AS (
       SELECT team_id, role FROM repository_teams WHERE repository_id = $4
       UNION SELECT t.id, theirs.role FROM theirs CROSS JOIN teams t WHERE t.parent_id = theirs.id)
     SELECT a.id, a.name, a.kind, a.site_admin, a.created_at, a.suspended_at, a.login,
       a.display_name, a.description, a.email, a.updated_at, a.package_count, a.public_package_count,
       a.repository_count, a.public_repository_count, found.role
     FROM (SELECT id, MAX(role) AS role FROM (
       SELECT c.account_id AS id, c.role FROM repository_accounts c WHERE c.repository_id = $4
       UNION ALL SELECT m.account_id, theirs.role FROM theirs CROSS JOIN team_members m
         WHERE m.team_id = theirs.id
       UNION ALL SELECT m.account_id, CASE WHEN m.owner = 1 THEN 5 ELSE COALESCE(y.base_role, 1) END
         FROM repositories r JOIN memberships m ON m.organization_id = r.owner_id
         LEFT JOIN policies y ON y.organization_id = r.owner_id WHERE r.id = $4
       UNION ALL SELECT o.id, 5 FROM repositories r JOIN accounts o ON o.id = r.owner_id
         WHERE r.id = $4 AND o.kind = 1
     ) AS visible WHERE role > 0 GROUP BY id) AS found
     CROSS JOIN accounts a WHERE a.id = found.id AND found.role >= $5 AND a.name > $1 ORDER BY a.name LIMIT $2 OFFSET $3"
);
statement!(
    PUT_COLLABORATOR,
    "INSERT INTO repository_accounts (repository_id, account_id, role) VALUES ($1, $2, $3)
     ON CONFLICT (repository_id, account_id) DO UPDATE SET role = excluded.role"
);
statement!(
    REMOVE_COLLABORATOR,
    "DELETE FROM repository_accounts WHERE repository_id = $1 AND account_id = $2"
);
statement!(COLLABORATOR, "SELECT role FROM repository_accounts WHERE repository_id = $1 AND account_id = $2");
statement!(
    UNLINK_PACKAGES,
    "UPDATE packages SET repository_id = NULL, inherits = 0, updated_at = $2 WHERE repository_id = $1"
);
statement!(
    DELETE_REPOSITORY_TEAM_COUNTS,
    "UPDATE teams SET repository_count = repository_count - 1
     WHERE id IN (SELECT team_id FROM repository_teams WHERE repository_id = $1)"
);
statement!(DELETE_REPOSITORY_TEAMS, "DELETE FROM repository_teams WHERE repository_id = $1");
statement!(DELETE_REPOSITORY_ACCOUNTS, "DELETE FROM repository_accounts WHERE repository_id = $1");
statement!(DELETE_REPOSITORY_PACKAGES, "DELETE FROM package_repositories WHERE repository_id = $1");
statement!(DELETE_REPOSITORY, "DELETE FROM repositories WHERE id = $1");

pub(crate) fn repository(row: &Row<'_>) -> Result<Repository, CatalogError> {
    Ok(Repository {
        id: RepositoryId(row.int(0)?),
        path: row.text(1)?,
        name: row.text(2)?,
        visibility: Visibility::from_number(row.int(3)?).ok_or(CatalogError::Corrupt("visibility"))?,
        description: row.text_or_null(4)?,
        homepage: row.text_or_null(5)?,
        default_branch: row.text(6)?,
        archived: row.int(7)? != 0,
        created_at: Micros(row.int(8)?),
        updated_at: Micros(row.int(9)?),
        owner: RepositoryOwner {
            id: AccountId(row.int(10)?),
            login: row.text(11)?,
            kind: account_kind(row.int(12)?)?,
            site_admin: row.int(13)? != 0,
        },
    })
}

fn collaborator(row: &Row<'_>) -> Result<Collaborator, CatalogError> {
    let role =
        RepositoryRole::from_number(row.int(15)?).ok_or(CatalogError::Corrupt("role in a repository"))?;
    Ok(Collaborator { account: account(row)?, role })
}

impl<'tx> ReadTx<'_, 'tx> {
    /// The facts about a repository. The same statements run whether there is such a one or not.
    pub fn repository_facts(
        &mut self,
        caller: &Caller<'tx>,
        path: &str,
    ) -> Result<RepositoryFacts<'tx>, CatalogError> {
        let owner = path.split_once('/').map_or(path, |(owner, _)| owner);
        let place = self.namespace_facts(caller, owner)?;
        let found = self.row(&REPOSITORY_FACTS, &[path.into()], |row| {
            let visibility = Visibility::from_number(row.int(1)?);
            Ok((RepositoryId(row.int(0)?), visibility.ok_or(CatalogError::Corrupt("visibility"))?))
        })?;
        let id = found.map_or(-1, |(id, _)| id.0);
        let role = self.highest_role(id, account_of(caller))?;
        let (namespace, standing) = (place.namespace(), place.standing());
        Ok(RepositoryFacts::new(&self.brand, caller, path, namespace, standing, found, role))
    }

    fn highest_role(
        &mut self,
        repository: i64,
        account: Value<'_>,
    ) -> Result<Option<RepositoryRole>, CatalogError> {
        let roles = self.rows(&REPOSITORY_ROLES, &[repository.into(), account], |row| row.int(0))?;
        Ok(roles.into_iter().filter_map(RepositoryRole::from_number).max())
    }

    /// The repository.
    pub fn repository<A: RepositoryAction>(
        &mut self,
        may: &Granted<'tx, A>,
    ) -> Result<Repository, CatalogError> {
        self.repository_by_id(may.repository())?.ok_or(CatalogError::Corrupt("repository"))
    }

    pub(crate) fn repository_by_id(&mut self, id: RepositoryId) -> Result<Option<Repository>, CatalogError> {
        self.row(&REPOSITORY, &[id.0.into()], repository)
    }

    /// The caller's own highest role in it, and none who has none of their own.
    pub fn own_role<A: RepositoryAction>(
        &mut self,
        may: &Granted<'tx, A>,
    ) -> Result<Option<RepositoryRole>, CatalogError> {
        let account = may.account().map_or(-1, |id| id.0);
        self.highest_role(may.repository().0, account.into())
    }

    /// The highest role of an account in it: by name, by team, as a member or as its owner.
    pub fn role_of(
        &mut self,
        may: &Granted<'tx, ListCollaborators>,
        account: AccountId,
    ) -> Result<Option<RepositoryRole>, CatalogError> {
        self.highest_role(may.repository().0, account.0.into())
    }

    /// The role that an account was given by name.
    pub fn collaborator(
        &mut self,
        may: &Granted<'tx, ListCollaborators>,
        account: AccountId,
    ) -> Result<Option<RepositoryRole>, CatalogError> {
        let values = [may.repository().0.into(), account.0.into()];
        let role = self.row(&COLLABORATOR, &values, |row| row.int(0))?;
        Ok(role.and_then(RepositoryRole::from_number))
    }

    /// Who has a role in it, and at least this one, by name.
    pub fn collaborators(
        &mut self,
        may: &Granted<'tx, ListCollaborators>,
        which: Affiliation,
        least: RepositoryRole,
        window: &Window,
    ) -> Result<Vec<Collaborator>, CatalogError> {
        let [after, limit, skip] = window.values();
        let statement: &'static Statement = match which {
            Affiliation::All => &COLLABORATORS_ALL,
            Affiliation::Direct => &COLLABORATORS,
            Affiliation::Outside => &COLLABORATORS_OUTSIDE,
        };
        let values = [after, limit, skip, may.repository().0.into(), least.number().into()];
        self.rows(statement, &values, collaborator)
    }

    /// The repositories of an account that the caller sees, by path.
    pub fn repositories_in(
        &mut self,
        may: &Granted<'tx, ListRepositories>,
        window: &Window,
    ) -> Result<Vec<Repository>, CatalogError> {
        let [after, limit, skip] = window.values();
        let owner = may.namespace();
        let page = [after, limit, skip, owner.0.into()];
        if !may.shows_private() {
            return self.rows(&REPOSITORIES_PUBLIC, &page, repository);
        }
        let all = match may.because() {
            Because::OwnsNamespace | Because::SiteAdmin | Because::Operator => true,
            Because::Member => self.policy_of(owner)?.base_role.is_some() && self.is_in(may)?,
            _ => false,
        };
        if all {
            return self.rows(&REPOSITORIES_OF, &page, repository);
        }
        let caller = may.account().map_or(-1, |id| id.0);
        let inside = i64::from(may.because() == Because::Member);
        let values = [page[0], page[1], page[2], page[3], caller.into(), inside.into(), window.reach()];
        self.rows(&REPOSITORIES_VISIBLE, &values, repository)
    }

    /// Whether who lists is a member; a robot is inside too, and is none.
    fn is_in(&mut self, may: &Granted<'tx, ListRepositories>) -> Result<bool, CatalogError> {
        match may.account() {
            Some(account) => Ok(self.is_member(may.namespace(), account)?.is_some()),
            None => Ok(false),
        }
    }

    /// The caller's repositories, by path: those that are public, or all.
    pub fn own_repositories(
        &mut self,
        may: &Granted<'tx, Own>,
        which: Affiliations,
        public_only: bool,
        window: &Window,
    ) -> Result<Vec<Repository>, CatalogError> {
        let [after, limit, skip] = window.values();
        let flag = |flag: bool| Value::Int(i64::from(flag));
        let lowest = if public_only { Visibility::Public } else { Visibility::Private };
        let values = [
            after,
            limit,
            skip,
            may.own().0.into(),
            flag(which.owner),
            flag(which.collaborator),
            flag(which.member),
            window.reach(),
            lowest.number().into(),
        ];
        self.rows(&REPOSITORIES_OWN, &values, repository)
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// As [`ReadTx::repository_facts`], with the repository's row locked first.
    pub fn repository_facts(
        &mut self,
        caller: &Caller<'tx>,
        path: &str,
    ) -> Result<RepositoryFacts<'tx>, CatalogError> {
        self.row(&LOCK_REPOSITORY, &[path.into()], |row| row.int(0))?;
        ReadTx::repository_facts(self, caller, path)
    }

    /// Makes a repository; who makes one in an organization gets its role `admin`. `None`: there is one of that path.
    pub fn create_repository(
        &mut self,
        may: &Granted<'tx, CreateRepository>,
        record: &RepositoryRecord,
        now: Micros,
    ) -> Result<Option<RepositoryId>, CatalogError> {
        let owner = may.namespace();
        let values = [
            owner.0.into(),
            record.path.as_str().into(),
            record.name.as_str().into(),
            may.visibility().number().into(),
            record.description.as_deref().into(),
            record.homepage.as_deref().into(),
            record.default_branch.as_str().into(),
            i64::from(record.archived).into(),
            now.0.into(),
        ];
        let Some(id) = self.inserted(&INSERT_REPOSITORY, &values)? else { return Ok(None) };
        if let Some(account) = may.account().filter(|account| *account != owner) {
            let admin = RepositoryRole::Admin.number();
            self.execute(&PUT_COLLABORATOR, &[id.into(), account.0.into(), admin.into()])?;
        }
        let public = i64::from(may.visibility() == Visibility::Public);
        self.execute(&ADD_REPOSITORIES, &[owner.0.into(), 1.into(), public.into()])?;
        Ok(Some(RepositoryId(id)))
    }

    /// Changes a repository; whether its path was free.
    pub fn set_repository(
        &mut self,
        may: &Granted<'tx, EditRepository>,
        record: &RepositoryRecord,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let was = self.repository(may)?;
        let other = self.row(&REPOSITORY_FACTS, &[record.path.as_str().into()], |row| row.int(0))?;
        if other.is_some_and(|id| id != was.id.0) {
            return Ok(false);
        }
        let values = [
            was.id.0.into(),
            record.path.as_str().into(),
            record.name.as_str().into(),
            record.visibility.number().into(),
            record.description.as_deref().into(),
            record.homepage.as_deref().into(),
            record.default_branch.as_str().into(),
            i64::from(record.archived).into(),
            now.0.into(),
        ];
        self.execute(&SET_REPOSITORY, &values)?;
        let public = |visibility| i64::from(visibility == Visibility::Public);
        let more = public(record.visibility) - public(was.visibility);
        if more != 0 {
            self.execute(&ADD_REPOSITORIES, &[was.owner.id.0.into(), 0.into(), more.into()])?;
        }
        Ok(true)
    }

    /// Deletes a repository with its roles. Packages linked to it stay, without link and inheritance.
    pub fn delete_repository(
        &mut self,
        may: &Granted<'tx, DeleteRepository>,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let was = self.repository(may)?;
        let id = Value::Int(was.id.0);
        self.execute(&UNLINK_PACKAGES, &[id, now.0.into()])?;
        self.execute(&DELETE_REPOSITORY_TEAM_COUNTS, &[id])?;
        for statement in [
            &DELETE_REPOSITORY_TEAMS,
            &DELETE_REPOSITORY_ACCOUNTS,
            &DELETE_REPOSITORY_PACKAGES,
            &DELETE_REPOSITORY,
        ] {
            self.execute(statement, &[id])?;
        }
        let public = i64::from(was.visibility == Visibility::Public);
        self.execute(&ADD_REPOSITORIES, &[was.owner.id.0.into(), (-1).into(), (-public).into()]).map(drop)
    }

    /// Gives an account a role in it, in place of the one it had.
    pub fn put_collaborator(
        &mut self,
        may: &Granted<'tx, EditRepository>,
        account: AccountId,
        role: RepositoryRole,
    ) -> Result<(), CatalogError> {
        let values = [may.repository().0.into(), account.0.into(), role.number().into()];
        self.execute(&PUT_COLLABORATOR, &values).map(drop)
    }

    /// Takes the role that an account was given by name; whether it had one.
    pub fn remove_collaborator(
        &mut self,
        may: &Granted<'tx, EditRepository>,
        account: AccountId,
    ) -> Result<bool, CatalogError> {
        let values = [may.repository().0.into(), account.0.into()];
        Ok(self.execute(&REMOVE_COLLABORATOR, &values)? > 0)
    }
}
