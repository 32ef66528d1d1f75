//! Who has a role on a package by name, by team and by repository; and the repository it is linked to.

use crate::accounts::account;
use crate::repositories::{Repository, repository};
use crate::sql::{Value, statement};
use crate::teams::{Team, team};
use crate::{Account, CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{
    AccountId, Action, Administer, Caller, Explain, Granted, LinkRepository, Push, RepositoryId, Role,
    Scopes, TeamId, Visibility, Who,
};

/// How a package stands to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The repository it is linked to.
    pub repository: Option<RepositoryId>,
    /// Whether its access is the repository's.
    pub inherits: bool,
    /// Who may read it without a role.
    pub visibility: Visibility,
    /// The label that linked it last.
    pub source: Option<String>,
    /// What its image says of it.
    pub description: Option<String>,
    /// The licenses that its image names.
    pub licenses: Option<String>,
    /// Whether its owner is an organization.
    pub in_organization: bool,
}

/// What the label of a pushed image says of its package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// In a few words.
    pub description: Option<String>,
    /// An SPDX expression.
    pub licenses: Option<String>,
}

statement!(
    PACKAGE_LINK,
    "SELECT p.repository_id, p.inherits, p.visibility, p.source, p.description, p.licenses, o.kind
     FROM packages p JOIN accounts o ON o.id = p.owner_id WHERE p.id = $1"
);
statement!(
    LINK_PACKAGE,
    "UPDATE packages SET repository_id = $2, inherits = $3, source = COALESCE($4, source), updated_at = $5
     WHERE id = $1"
);
statement!(SET_INHERITS, "UPDATE packages SET inherits = $2, updated_at = $3 WHERE id = $1");
statement!(
    SET_ABOUT,
    "UPDATE packages SET description = COALESCE($2, description), licenses = COALESCE($3, licenses), updated_at = $4
     WHERE id = $1"
);
statement!(SET_SOURCE, "UPDATE packages SET source = $2 WHERE id = $1");
statement!(DROP_ACCOUNTS, "DELETE FROM package_grants WHERE package_id = $1");
statement!(DROP_TEAMS, "DELETE FROM package_teams WHERE package_id = $1");
statement!(DROP_REPOSITORIES, "DELETE FROM package_repositories WHERE package_id = $1");
statement!(
    EVER_A_VERSION,
    "SELECT v.id FROM versions v WHERE v.package_id = $1 AND v.deleted_at IS NULL
     UNION ALL SELECT v.id FROM versions v WHERE v.package_id = $1 AND v.deleted_at IS NOT NULL LIMIT 1"
);
statement!(
    GRANTED_ACCOUNTS,
    "SELECT a.id, a.name, a.kind, a.site_admin, a.created_at, a.suspended_at, a.login,
       a.display_name, a.description, a.email, a.updated_at, a.package_count, a.public_package_count,
       a.repository_count, a.public_repository_count, g.role
     FROM package_grants g JOIN accounts a ON a.id = g.account_id
     WHERE g.package_id = $1 ORDER BY a.name LIMIT $2"
);
statement!(
    GRANTED_TEAMS,
    "SELECT t.id, t.organization_id, t.slug, t.name, t.description, t.secret, t.created_at, t.updated_at,
       t.member_count, t.repository_count, p.id, p.slug, p.name, p.description, p.secret,
       o.id, o.name, o.kind, o.site_admin, o.created_at, o.suspended_at, o.login, o.display_name,
       o.description, o.email, o.updated_at, o.package_count, o.public_package_count, o.repository_count,
       o.public_repository_count, g.role
     FROM package_teams g JOIN teams t ON t.id = g.team_id JOIN accounts o ON o.id = t.organization_id
     LEFT JOIN teams p ON p.id = t.parent_id
     WHERE g.package_id = $1 ORDER BY t.slug LIMIT $2"
);
statement!(
    GRANTED_REPOSITORIES,
    "SELECT r.id, r.path, r.name, r.visibility, r.description, r.homepage, r.default_branch, r.archived,
       r.created_at, r.updated_at, o.id, o.login, o.kind, o.site_admin, g.role
     FROM package_repositories g JOIN repositories r ON r.id = g.repository_id
     JOIN accounts o ON o.id = r.owner_id WHERE g.package_id = $1 ORDER BY r.path LIMIT $2"
);
statement!(
    PUT_PACKAGE_TEAM,
    "INSERT INTO package_teams (package_id, team_id, role, granted_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (package_id, team_id) DO UPDATE SET role = excluded.role, granted_at = excluded.granted_at"
);
statement!(REMOVE_PACKAGE_TEAM, "DELETE FROM package_teams WHERE package_id = $1 AND team_id = $2");
statement!(
    PUT_PACKAGE_REPOSITORY,
    "INSERT INTO package_repositories (package_id, repository_id, role, granted_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (package_id, repository_id) DO UPDATE SET role = excluded.role, granted_at = excluded.granted_at"
);
statement!(
    REMOVE_PACKAGE_REPOSITORY,
    "DELETE FROM package_repositories WHERE package_id = $1 AND repository_id = $2"
);
statement!(
    OWNED_TEAM,
    "SELECT t.id, t.organization_id, t.slug, t.name, t.description, t.secret, t.created_at, t.updated_at,
       t.member_count, t.repository_count, p.id, p.slug, p.name, p.description, p.secret,
       o.id, o.name, o.kind, o.site_admin, o.created_at, o.suspended_at, o.login, o.display_name,
       o.description, o.email, o.updated_at, o.package_count, o.public_package_count, o.repository_count,
       o.public_repository_count
     FROM teams t JOIN accounts o ON o.id = t.organization_id LEFT JOIN teams p ON p.id = t.parent_id
     WHERE t.organization_id = $1 AND t.slug = $2"
);
statement!(
    OWNED_REPOSITORY,
    "SELECT r.id, r.path, r.name, r.visibility, r.description, r.homepage, r.default_branch, r.archived,
       r.created_at, r.updated_at, o.id, o.login, o.kind, o.site_admin
     FROM repositories r JOIN accounts o ON o.id = r.owner_id WHERE r.owner_id = $1 AND r.path = $2"
);
statement!(ROBOT_OF, "SELECT organization_id FROM accounts WHERE id = $1");
statement!(CALLER_AS, "SELECT site_admin FROM accounts WHERE id = $1 AND kind <> 2 AND suspended_at IS NULL");

fn role(row: &crate::sql::Row<'_>, at: usize) -> Result<Role, CatalogError> {
    Role::from_number(row.int(at)?).ok_or(CatalogError::Corrupt("role"))
}

impl<'tx> ReadTx<'_, 'tx> {
    /// How the package stands to a repository.
    pub fn package_link<A: Action>(&mut self, may: &Granted<'tx, A>) -> Result<Link, CatalogError> {
        let found = self.row(&PACKAGE_LINK, &[may.package().0.into()], |row| {
            Ok(Link {
                repository: row.int_or_null(0)?.map(RepositoryId),
                inherits: row.int(1)? != 0,
                visibility: Visibility::from_number(row.int(2)?)
                    .ok_or(CatalogError::Corrupt("visibility"))?,
                source: row.text_or_null(3)?,
                description: row.text_or_null(4)?,
                licenses: row.text_or_null(5)?,
                in_organization: row.int(6)? == crate::accounts::ORGANIZATION,
            })
        })?;
        found.ok_or(CatalogError::Corrupt("package"))
    }

    /// The repository that the package is linked to.
    pub fn linked_repository<A: Action>(
        &mut self,
        may: &Granted<'tx, A>,
    ) -> Result<Option<Repository>, CatalogError> {
        match self.package_link(may)?.repository {
            Some(id) => self.repository_by_id(id),
            None => Ok(None),
        }
    }

    /// Accounts with a role on the package by name, by name.
    pub fn granted_accounts(
        &mut self,
        may: &Granted<'tx, Administer>,
        limit: u32,
    ) -> Result<Vec<(Account, Role)>, CatalogError> {
        self.rows(&GRANTED_ACCOUNTS, &[may.package().0.into(), Value::Int(limit.into())], |row| {
            Ok((account(row)?, role(row, 15)?))
        })
    }

    /// Teams with a role on the package, by slug.
    pub fn granted_teams(
        &mut self,
        may: &Granted<'tx, Administer>,
        limit: u32,
    ) -> Result<Vec<(Team, Role)>, CatalogError> {
        self.rows(&GRANTED_TEAMS, &[may.package().0.into(), Value::Int(limit.into())], |row| {
            Ok((team(row)?, role(row, 30)?))
        })
    }

    /// Repositories whose workflows have a role on the package, by path.
    pub fn granted_repositories(
        &mut self,
        may: &Granted<'tx, Administer>,
        limit: u32,
    ) -> Result<Vec<(Repository, Role)>, CatalogError> {
        self.rows(&GRANTED_REPOSITORIES, &[may.package().0.into(), Value::Int(limit.into())], |row| {
            Ok((repository(row)?, role(row, 14)?))
        })
    }

    /// A team of the package's owner.
    pub fn owned_team(
        &mut self,
        may: &Granted<'tx, Administer>,
        slug: &str,
    ) -> Result<Option<Team>, CatalogError> {
        self.row(&OWNED_TEAM, &[may.owner().0.into(), slug.into()], team)
    }

    /// A repository of the package's owner, by its path in lower case.
    pub fn owned_repository(
        &mut self,
        may: &Granted<'tx, Administer>,
        path: &str,
    ) -> Result<Option<Repository>, CatalogError> {
        self.row(&OWNED_REPOSITORY, &[may.owner().0.into(), path.into()], repository)
    }

    /// Whether packages of the owner that are linked by their first push inherit.
    pub fn packages_inherit(&mut self, may: &Granted<'tx, Push>) -> Result<bool, CatalogError> {
        Ok(self.policy_of(may.owner())?.packages_inherit)
    }

    /// Whether the package ever had a version.
    pub fn ever_had_a_version<A: Action>(&mut self, may: &Granted<'tx, A>) -> Result<bool, CatalogError> {
        Ok(self.row(&EVER_A_VERSION, &[may.package().0.into()], |row| row.int(0))?.is_some())
    }

    /// An account as if it asked with a token of all scopes, to explain what it may. `None`: it does not sign in.
    pub fn caller_as(
        &mut self,
        _may: &Granted<'tx, Explain>,
        id: AccountId,
    ) -> Result<Option<Caller<'tx>>, CatalogError> {
        let site_admin = self.row(&CALLER_AS, &[id.0.into()], |row| Ok(row.int(0)? != 0))?;
        let who = site_admin.map(|site_admin| Who::Account { id, site_admin });
        Ok(who.map(|who| Caller::new(&self.brand, who, None, Scopes::ALL, None)))
    }

    /// The name of a team, for who operates the site.
    pub fn team_named(
        &mut self,
        _may: &Granted<'tx, Explain>,
        id: TeamId,
    ) -> Result<Option<Team>, CatalogError> {
        self.team_by_id(id)
    }

    /// The name of a repository, for who operates the site.
    pub fn repository_named(
        &mut self,
        _may: &Granted<'tx, Explain>,
        id: RepositoryId,
    ) -> Result<Option<Repository>, CatalogError> {
        self.repository_by_id(id)
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Whether an account belongs to the package's owner: a member, whose membership is held as it is, or a robot.
    pub fn belongs_to_owner(
        &mut self,
        may: &Granted<'tx, Administer>,
        account: AccountId,
    ) -> Result<bool, CatalogError> {
        if self.member_shared(may.owner(), account)?.is_some() {
            return Ok(true);
        }
        let organization = self.row(&ROBOT_OF, &[account.0.into()], |row| row.int_or_null(0))?;
        Ok(organization.flatten() == Some(may.owner().0))
    }

    /// Gives a team of the owner's a role on the package. The team's number comes from [`ReadTx::owned_team`].
    pub fn grant_team(
        &mut self,
        may: &Granted<'tx, Administer>,
        team: &Team,
        role: Role,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let values = [may.package().0.into(), team.id.0.into(), role.number().into(), now.0.into()];
        self.execute(&PUT_PACKAGE_TEAM, &values).map(drop)
    }

    /// Takes the role of a team; whether it had one.
    pub fn revoke_team(&mut self, may: &Granted<'tx, Administer>, team: &Team) -> Result<bool, CatalogError> {
        Ok(self.execute(&REMOVE_PACKAGE_TEAM, &[may.package().0.into(), team.id.0.into()])? > 0)
    }

    /// Gives the workflows of a repository of the owner's a role on the package.
    pub fn grant_repository(
        &mut self,
        may: &Granted<'tx, Administer>,
        repository: &Repository,
        role: Role,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let values = [may.package().0.into(), repository.id.0.into(), role.number().into(), now.0.into()];
        self.execute(&PUT_PACKAGE_REPOSITORY, &values).map(drop)
    }

    /// Takes the role of a repository; whether it had one.
    pub fn revoke_repository(
        &mut self,
        may: &Granted<'tx, Administer>,
        repository: &Repository,
    ) -> Result<bool, CatalogError> {
        let values = [may.package().0.into(), repository.id.0.into()];
        Ok(self.execute(&REMOVE_PACKAGE_REPOSITORY, &values)? > 0)
    }

    /// Links the package to a repository; `source` is the label that says so. Inheriting drops its own roles.
    pub fn link_package(
        &mut self,
        may: &Granted<'tx, Administer>,
        repository: &Granted<'tx, LinkRepository>,
        inherits: bool,
        source: Option<&str>,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let values = [
            may.package().0.into(),
            repository.repository().0.into(),
            i64::from(inherits).into(),
            source.into(),
            now.0.into(),
        ];
        self.execute(&LINK_PACKAGE, &values)?;
        if inherits { self.drop_roles(may) } else { Ok(()) }
    }

    /// Takes the link away, and what was inherited by it.
    pub fn unlink_package(
        &mut self,
        may: &Granted<'tx, Administer>,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let values = [may.package().0.into(), Value::Null, 0.into(), Value::Null, now.0.into()];
        self.execute(&LINK_PACKAGE, &values).map(drop)
    }

    /// Switches inheritance; on, it drops the package's own roles.
    pub fn set_inherits(
        &mut self,
        may: &Granted<'tx, Administer>,
        inherits: bool,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let values = [may.package().0.into(), i64::from(inherits).into(), now.0.into()];
        self.execute(&SET_INHERITS, &values)?;
        if inherits { self.drop_roles(may) } else { Ok(()) }
    }

    fn drop_roles(&mut self, may: &Granted<'tx, Administer>) -> Result<(), CatalogError> {
        for statement in [&DROP_ACCOUNTS, &DROP_TEAMS, &DROP_REPOSITORIES] {
            self.execute(statement, &[may.package().0.into()])?;
        }
        Ok(())
    }

    /// Keeps what the pushed image says of the package; what it does not say stays.
    pub fn set_about(
        &mut self,
        may: &Granted<'tx, Push>,
        about: &About,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let values = [
            may.package().0.into(),
            about.description.as_deref().into(),
            about.licenses.as_deref().into(),
            now.0.into(),
        ];
        self.execute(&SET_ABOUT, &values).map(drop)
    }

    /// Remembers the label that names the repository the package is linked to already.
    pub fn set_source(&mut self, may: &Granted<'tx, Push>, source: &str) -> Result<(), CatalogError> {
        self.execute(&SET_SOURCE, &[may.package().0.into(), source.into()]).map(drop)
    }
}
