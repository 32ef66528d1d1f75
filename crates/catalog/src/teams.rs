//! Teams, their members and their repositories.

use crate::accounts::{account, account_at};
use crate::facts::account_of;
use crate::repositories::{Repository, repository};
use crate::sql::{Row, Value, statement};
use crate::window::Window;
use crate::{Account, CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{
    AccountId, Caller, EditRepository, EditTeam, Granted, Inspect, ListCollaborators, ManageTeams, Own,
    RepositoryRole, SeeTeam, TeamFacts, TeamId, Visibility,
};

/// A team.
#[derive(Clone, Debug)]
pub struct Team {
    /// Its identifier.
    pub id: TeamId,
    /// Whose.
    pub organization: Account,
    /// Its name in addresses, unique in the organization.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether only its members and the organization's owners see it.
    pub secret: bool,
    /// The team above it.
    pub parent: Option<TeamAbove>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was changed last.
    pub updated_at: Micros,
    /// Members of its own.
    pub members: u64,
    /// Repositories of its own.
    pub repositories: u64,
}

/// A team as the ones below it show it.
#[derive(Clone, Debug)]
pub struct TeamAbove {
    /// Its identifier.
    pub id: TeamId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether only its members and the organization's owners see it.
    pub secret: bool,
}

/// A team to make, or what one shall be.
#[derive(Clone, Debug)]
pub struct TeamRecord {
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether only its members and the organization's owners see it.
    pub secret: bool,
    /// The team above it.
    pub parent: Option<TeamId>,
}

/// A member of a team.
#[derive(Clone, Debug)]
pub struct TeamMember {
    /// Who.
    pub account: Account,
    /// Whether they may change the team.
    pub maintainer: bool,
}

statement!(
    TEAM_FACTS,
    "SELECT t.id, t.secret, m.maintainer FROM teams t
     LEFT JOIN team_members m ON m.team_id = t.id AND m.account_id = $3
     WHERE t.organization_id = $1 AND t.slug = $2"
);
statement!(
    TEAM,
    "SELECT t.id, t.organization_id, t.slug, t.name, t.description, t.secret, t.created_at, t.updated_at,
       t.member_count, t.repository_count, p.id, p.slug, p.name, p.description, p.secret,
       o.id, o.name, o.kind, o.site_admin, o.created_at, o.suspended_at, o.login, o.display_name,
       o.description, o.email, o.updated_at, o.package_count, o.public_package_count, o.repository_count,
       o.public_repository_count
     FROM teams t JOIN accounts o ON o.id = t.organization_id LEFT JOIN teams p ON p.id = t.parent_id
     WHERE t.id = $1"
);
// $5: the caller, who sees the secret ones that they are in; $6: whether they see all.
statement!(
    TEAMS,
    "SELECT t.id, t.organization_id, t.slug, t.name, t.description, t.secret, t.created_at, t.updated_at,
       t.member_count, t.repository_count, p.id, p.slug, p.name, p.description, p.secret,
       o.id, o.name, o.kind, o.site_admin, o.created_at, o.suspended_at, o.login, o.display_name,
       o.description, o.email, o.updated_at, o.package_count, o.public_package_count, o.repository_count,
       o.public_repository_count
     FROM teams t JOIN accounts o ON o.id = t.organization_id LEFT JOIN teams p ON p.id = t.parent_id
     WHERE t.organization_id = $4 AND t.slug > $1
       AND (t.secret = 0 OR $6 = 1
         OR EXISTS (SELECT 1 FROM team_members m WHERE m.team_id = t.id AND m.account_id = $5))
     ORDER BY t.slug LIMIT $2 OFFSET $3"
);
statement!(
    TEAMS_BELOW,
    "SELECT t.id, t.organization_id, t.slug, t.name, t.description, t.secret, t.created_at, t.updated_at,
       t.member_count, t.repository_count, p.id, p.slug, p.name, p.description, p.secret,
       o.id, o.name, o.kind, o.site_admin, o.created_at, o.suspended_at, o.login, o.display_name,
       o.description, o.email, o.updated_at, o.package_count, o.public_package_count, o.repository_count,
       o.public_repository_count
     FROM teams t JOIN accounts o ON o.id = t.organization_id LEFT JOIN teams p ON p.id = t.parent_id
     WHERE t.parent_id = $4 AND t.slug > $1 ORDER BY t.slug LIMIT $2 OFFSET $3"
);
// By organization and slug, with a blank between: no name has one.
statement!(
    TEAMS_OWN,
    "SELECT t.id, t.organization_id, t.slug, t.name, t.description, t.secret, t.created_at, t.updated_at,
       t.member_count, t.repository_count, p.id, p.slug, p.name, p.description, p.secret,
       o.id, o.name, o.kind, o.site_admin, o.created_at, o.suspended_at, o.login, o.display_name,
       o.description, o.email, o.updated_at, o.package_count, o.public_package_count, o.repository_count,
       o.public_repository_count
     FROM team_members m JOIN teams t ON t.id = m.team_id JOIN accounts o ON o.id = t.organization_id
     LEFT JOIN teams p ON p.id = t.parent_id
     WHERE m.account_id = $4 AND o.name || ' ' || t.slug > $1
     ORDER BY o.name || ' ' || t.slug LIMIT $2 OFFSET $3"
);
statement!(
    INSERT_TEAM,
    "INSERT INTO teams (organization_id, slug, name, description, secret, parent_id, created_at, updated_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT DO NOTHING RETURNING id"
);
statement!(TEAM_BY_SLUG, "SELECT id FROM teams WHERE organization_id = $1 AND slug = $2");
statement!(
    SET_TEAM,
    "UPDATE teams SET slug = $2, name = $3, description = $4, secret = $5, parent_id = $6, updated_at = $7
     WHERE id = $1"
);
// Teams above one, itself first, with how far.
statement!(
    TEAMS_ABOVE,
    "WITH RECURSIVE above (id, far) AS (
       SELECT id, CAST(0 AS BIGINT) FROM teams WHERE id = $1
       UNION SELECT t.parent_id, above.far + 1 FROM above JOIN teams t ON t.id = above.id
         WHERE t.parent_id IS NOT NULL AND above.far < 100)
     SELECT id FROM above ORDER BY far"
);
// How many levels a team has below it.
statement!(
    TEAM_DEPTH,
    "WITH RECURSIVE below (id, far) AS (
       SELECT id, CAST(0 AS BIGINT) FROM teams WHERE id = $1
       UNION SELECT t.id, below.far + 1 FROM below JOIN teams t ON t.parent_id = below.id WHERE below.far < 100)
     SELECT far FROM below ORDER BY far DESC LIMIT 1"
);
statement!(RAISE_TEAMS_BELOW, "UPDATE teams SET parent_id = $2 WHERE parent_id = $1");
statement!(DELETE_TEAM_MEMBERS, "DELETE FROM team_members WHERE team_id = $1");
statement!(DELETE_TEAM_REPOSITORIES, "DELETE FROM repository_teams WHERE team_id = $1");
statement!(DELETE_TEAM_PACKAGES, "DELETE FROM package_teams WHERE team_id = $1");
statement!(DELETE_TEAM, "DELETE FROM teams WHERE id = $1");
statement!(
    TEAM_MEMBERS,
    "SELECT a.id, a.name, a.kind, a.site_admin, a.created_at, a.suspended_at, a.login,
       a.display_name, a.description, a.email, a.updated_at, a.package_count, a.public_package_count,
       a.repository_count, a.public_repository_count, m.maintainer
     FROM team_members m JOIN accounts a ON a.id = m.account_id
     WHERE m.team_id = $4 AND ($5 < 0 OR m.maintainer = $5) AND a.name > $1 ORDER BY a.name LIMIT $2 OFFSET $3"
);
statement!(TEAM_MEMBER, "SELECT maintainer FROM team_members WHERE team_id = $1 AND account_id = $2");
statement!(
    INSERT_TEAM_MEMBER,
    "INSERT INTO team_members (team_id, account_id, maintainer) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
);
statement!(SET_TEAM_MEMBER, "UPDATE team_members SET maintainer = $3 WHERE team_id = $1 AND account_id = $2");
statement!(REMOVE_TEAM_MEMBER, "DELETE FROM team_members WHERE team_id = $1 AND account_id = $2");
statement!(ADD_TEAM_MEMBERS, "UPDATE teams SET member_count = member_count + $2 WHERE id = $1");
statement!(ADD_TEAM_REPOSITORIES, "UPDATE teams SET repository_count = repository_count + $2 WHERE id = $1");
statement!(
    MEMBER_SHARED,
    "SELECT owner FROM memberships WHERE organization_id = $1 AND account_id = $2 {share}"
);
statement!(
    TEAM_REPOSITORIES,
    "SELECT r.id, r.path, r.name, r.visibility, r.description, r.homepage, r.default_branch, r.archived,
       r.created_at, r.updated_at, o.id, o.login, o.kind, o.site_admin, c.role
     FROM repository_teams c JOIN repositories r ON r.id = c.repository_id JOIN accounts o ON o.id = r.owner_id
     WHERE c.team_id = $4 AND r.visibility >= $5 AND r.path > $1 ORDER BY r.path LIMIT $2 OFFSET $3"
);
statement!(TEAM_ROLE, "SELECT role FROM repository_teams WHERE repository_id = $1 AND team_id = $2");
statement!(
    REPOSITORY_TEAMS,
    "SELECT t.id, t.organization_id, t.slug, t.name, t.description, t.secret, t.created_at, t.updated_at,
       t.member_count, t.repository_count, p.id, p.slug, p.name, p.description, p.secret,
       o.id, o.name, o.kind, o.site_admin, o.created_at, o.suspended_at, o.login, o.display_name,
       o.description, o.email, o.updated_at, o.package_count, o.public_package_count, o.repository_count,
       o.public_repository_count, c.role
     FROM repository_teams c JOIN teams t ON t.id = c.team_id JOIN accounts o ON o.id = t.organization_id
     LEFT JOIN teams p ON p.id = t.parent_id
     WHERE c.repository_id = $4 AND t.slug > $1 AND (t.secret = 0 OR $6 = 1
       OR EXISTS (SELECT 1 FROM team_members m WHERE m.team_id = t.id AND m.account_id = $5))
     ORDER BY t.slug LIMIT $2 OFFSET $3"
);
statement!(
    INSERT_TEAM_ROLE,
    "INSERT INTO repository_teams (repository_id, team_id, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
);
statement!(SET_TEAM_ROLE, "UPDATE repository_teams SET role = $3 WHERE repository_id = $1 AND team_id = $2");
statement!(REMOVE_TEAM_ROLE, "DELETE FROM repository_teams WHERE repository_id = $1 AND team_id = $2");

pub(crate) fn team(row: &Row<'_>) -> Result<Team, CatalogError> {
    let parent = match row.int_or_null(10)? {
        None => None,
        Some(id) => Some(TeamAbove {
            id: TeamId(id),
            slug: row.text(11)?,
            name: row.text(12)?,
            description: row.text_or_null(13)?,
            secret: row.int(14)? != 0,
        }),
    };
    Ok(Team {
        id: TeamId(row.int(0)?),
        organization: account_at(row, 15)?,
        slug: row.text(2)?,
        name: row.text(3)?,
        description: row.text_or_null(4)?,
        secret: row.int(5)? != 0,
        parent,
        created_at: Micros(row.int(6)?),
        updated_at: Micros(row.int(7)?),
        members: row.size(8)?,
        repositories: row.size(9)?,
    })
}

fn repository_role(row: &Row<'_>, at: usize) -> Result<RepositoryRole, CatalogError> {
    RepositoryRole::from_number(row.int(at)?).ok_or(CatalogError::Corrupt("role in a repository"))
}

impl<'tx> ReadTx<'_, 'tx> {
    /// The facts about a team of an organization.
    pub fn team_facts(
        &mut self,
        caller: &Caller<'tx>,
        organization: &str,
        slug: &str,
    ) -> Result<TeamFacts<'tx>, CatalogError> {
        let facts = self.namespace_facts(caller, organization)?;
        let id = facts.namespace().map_or(-1, |id| id.0);
        let found = self.row(&TEAM_FACTS, &[id.into(), slug.into(), account_of(caller)], |row| {
            let maintainer = row.int_or_null(2)?.map(|flag| flag != 0);
            Ok((TeamId(row.int(0)?), row.int(1)? != 0, maintainer))
        })?;
        let (team, secret, member) = match found {
            Some((team, secret, member)) => (Some(team), secret, member),
            None => (None, false, None),
        };
        Ok(TeamFacts::new(&self.brand, facts, team, secret, member))
    }

    /// The team.
    pub fn team(&mut self, may: &Granted<'tx, SeeTeam>) -> Result<Team, CatalogError> {
        self.team_by_id(may.team())?.ok_or(CatalogError::Corrupt("team"))
    }

    pub(crate) fn team_by_id(&mut self, id: TeamId) -> Result<Option<Team>, CatalogError> {
        self.row(&TEAM, &[id.0.into()], team)
    }

    /// Teams of an organization by slug: `all`, or those that are closed and those the caller is in.
    pub fn teams(
        &mut self,
        may: &Granted<'tx, Inspect>,
        all: bool,
        window: &Window,
    ) -> Result<Vec<Team>, CatalogError> {
        let [after, limit, skip] = window.values();
        let caller = may.account().map_or(-1, |id| id.0);
        let organization = may.namespace().0;
        let values = [after, limit, skip, organization.into(), caller.into(), i64::from(all).into()];
        self.rows(&TEAMS, &values, team)
    }

    /// The teams right below one, by slug.
    pub fn teams_below(
        &mut self,
        may: &Granted<'tx, SeeTeam>,
        window: &Window,
    ) -> Result<Vec<Team>, CatalogError> {
        let [after, limit, skip] = window.values();
        self.rows(&TEAMS_BELOW, &[after, limit, skip, may.team().0.into()], team)
    }

    /// The teams that the caller is in, by organization and slug; the key is `organization slug`.
    pub fn own_teams(&mut self, may: &Granted<'tx, Own>, window: &Window) -> Result<Vec<Team>, CatalogError> {
        let [after, limit, skip] = window.values();
        self.rows(&TEAMS_OWN, &[after, limit, skip, may.own().0.into()], team)
    }

    /// Members of a team by name: who maintains it, who does not, or all.
    pub fn team_members(
        &mut self,
        may: &Granted<'tx, SeeTeam>,
        maintainers: Option<bool>,
        window: &Window,
    ) -> Result<Vec<TeamMember>, CatalogError> {
        let [after, limit, skip] = window.values();
        let which = Value::Int(maintainers.map_or(-1, i64::from));
        self.rows(&TEAM_MEMBERS, &[after, limit, skip, may.team().0.into(), which], |row| {
            Ok(TeamMember { account: account(row)?, maintainer: row.int(15)? != 0 })
        })
    }

    /// Whether an account is in the team, and if so whether it maintains it.
    pub fn team_member(
        &mut self,
        may: &Granted<'tx, SeeTeam>,
        account: AccountId,
    ) -> Result<Option<bool>, CatalogError> {
        let values = [may.team().0.into(), account.0.into()];
        self.row(&TEAM_MEMBER, &values, |row| Ok(row.int(0)? != 0))
    }

    /// Repositories of a team with its role, by path: those that are at least so open.
    pub fn team_repositories(
        &mut self,
        may: &Granted<'tx, SeeTeam>,
        lowest: Visibility,
        window: &Window,
    ) -> Result<Vec<(Repository, RepositoryRole)>, CatalogError> {
        let [after, limit, skip] = window.values();
        let values = [after, limit, skip, may.team().0.into(), lowest.number().into()];
        self.rows(&TEAM_REPOSITORIES, &values, |row| Ok((repository(row)?, repository_role(row, 14)?)))
    }

    /// Teams with a role in a repository, by slug: `all`, or those that are closed and those the caller is in.
    pub fn repository_teams(
        &mut self,
        may: &Granted<'tx, ListCollaborators>,
        all: bool,
        window: &Window,
    ) -> Result<Vec<(Team, RepositoryRole)>, CatalogError> {
        let [after, limit, skip] = window.values();
        let caller = may.account().map_or(-1, |id| id.0);
        let values = [after, limit, skip, may.repository().0.into(), caller.into(), i64::from(all).into()];
        self.rows(&REPOSITORY_TEAMS, &values, |row| Ok((team(row)?, repository_role(row, 30)?)))
    }

    /// The role of a team in a repository.
    pub fn team_role(
        &mut self,
        team: &Granted<'tx, SeeTeam>,
        repository: packhouse_access::RepositoryId,
    ) -> Result<Option<RepositoryRole>, CatalogError> {
        let values = [repository.0.into(), team.team().0.into()];
        self.row(&TEAM_ROLE, &values, |row| repository_role(row, 0))
    }

    /// A team of the same organization by its slug.
    pub fn sibling_team(
        &mut self,
        may: &Granted<'tx, Inspect>,
        slug: &str,
    ) -> Result<Option<Team>, CatalogError> {
        let values = [may.namespace().0.into(), slug.into()];
        match self.row(&TEAM_BY_SLUG, &values, |row| row.int(0))? {
            Some(id) => self.team_by_id(TeamId(id)),
            None => Ok(None),
        }
    }

    /// A team of the organization by its number, as bodies of requests name it.
    pub fn team_numbered(
        &mut self,
        may: &Granted<'tx, Inspect>,
        id: TeamId,
    ) -> Result<Option<Team>, CatalogError> {
        Ok(self.team_by_id(id)?.filter(|team| team.organization.id == may.namespace()))
    }

    /// The teams above one of the organization, itself first.
    pub fn teams_above(
        &mut self,
        _may: &Granted<'tx, Inspect>,
        team: TeamId,
    ) -> Result<Vec<TeamId>, CatalogError> {
        self.rows(&TEAMS_ABOVE, &[team.0.into()], |row| row.int(0).map(TeamId))
    }

    /// How many levels of teams one has below it.
    pub fn team_depth(&mut self, may: &Granted<'tx, EditTeam>) -> Result<u64, CatalogError> {
        let depth = self.row(&TEAM_DEPTH, &[may.team().0.into()], |row| row.size(0))?;
        Ok(depth.unwrap_or(0))
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// As [`ReadTx::team_facts`], with the organization's row locked: what is changed about teams is changed by one
    /// at a time.
    pub fn team_facts(
        &mut self,
        caller: &Caller<'tx>,
        organization: &str,
        slug: &str,
    ) -> Result<TeamFacts<'tx>, CatalogError> {
        self.namespace_facts(caller, organization)?;
        ReadTx::team_facts(self, caller, organization, slug)
    }

    /// Makes a team. `None`: another has the slug.
    pub fn create_team(
        &mut self,
        may: &Granted<'tx, ManageTeams>,
        record: &TeamRecord,
        now: Micros,
    ) -> Result<Option<TeamId>, CatalogError> {
        let values = [
            may.namespace().0.into(),
            record.slug.as_str().into(),
            record.name.as_str().into(),
            record.description.as_deref().into(),
            i64::from(record.secret).into(),
            record.parent.map(|id| id.0).into(),
            now.0.into(),
        ];
        Ok(self.inserted(&INSERT_TEAM, &values)?.map(TeamId))
    }

    /// Changes a team; whether the slug was free.
    pub fn set_team(
        &mut self,
        may: &Granted<'tx, EditTeam>,
        record: &TeamRecord,
        now: Micros,
    ) -> Result<bool, CatalogError> {
        let slug = record.slug.as_str();
        let other = self.row(&TEAM_BY_SLUG, &[may.namespace().0.into(), slug.into()], |row| row.int(0))?;
        if other.is_some_and(|id| id != may.team().0) {
            return Ok(false);
        }
        let values = [
            may.team().0.into(),
            slug.into(),
            record.name.as_str().into(),
            record.description.as_deref().into(),
            i64::from(record.secret).into(),
            record.parent.map(|id| id.0).into(),
            now.0.into(),
        ];
        self.execute(&SET_TEAM, &values)?;
        Ok(true)
    }

    /// Deletes a team with its roles; the teams below it come under the one above.
    pub fn delete_team(&mut self, may: &Granted<'tx, EditTeam>) -> Result<(), CatalogError> {
        let id = Value::Int(may.team().0);
        let above = self.team_by_id(may.team())?.and_then(|team| team.parent).map(|team| team.id.0);
        self.execute(&RAISE_TEAMS_BELOW, &[id, above.into()])?;
        for statement in
            [&DELETE_TEAM_MEMBERS, &DELETE_TEAM_REPOSITORIES, &DELETE_TEAM_PACKAGES, &DELETE_TEAM]
        {
            self.execute(statement, &[id])?;
        }
        Ok(())
    }

    /// Puts a member of the organization into a team just made.
    pub fn begin_team(
        &mut self,
        _may: &Granted<'tx, ManageTeams>,
        team: TeamId,
        account: AccountId,
        maintainer: bool,
    ) -> Result<(), CatalogError> {
        self.put_in_team(team, account, maintainer)
    }

    /// Puts an account into the team, or changes whether it maintains it. `false`: it is no member of the
    /// organization.
    pub fn put_team_member(
        &mut self,
        may: &Granted<'tx, EditTeam>,
        account: AccountId,
        maintainer: bool,
    ) -> Result<bool, CatalogError> {
        if self.member_shared(may.namespace(), account)?.is_none() {
            return Ok(false);
        }
        self.put_in_team(may.team(), account, maintainer)?;
        Ok(true)
    }

    /// Whether an account owns an organization, if it is a member, its membership held as it is.
    pub(crate) fn member_shared(
        &mut self,
        organization: AccountId,
        account: AccountId,
    ) -> Result<Option<bool>, CatalogError> {
        let values = [organization.0.into(), account.0.into()];
        self.row(&MEMBER_SHARED, &values, |row| Ok(row.int(0)? != 0))
    }

    fn put_in_team(
        &mut self,
        team: TeamId,
        account: AccountId,
        maintainer: bool,
    ) -> Result<(), CatalogError> {
        let values = [team.0.into(), account.0.into(), i64::from(maintainer).into()];
        if self.execute(&INSERT_TEAM_MEMBER, &values)? > 0 {
            self.execute(&ADD_TEAM_MEMBERS, &[values[0], 1.into()])?;
        } else {
            self.execute(&SET_TEAM_MEMBER, &values)?;
        }
        Ok(())
    }

    /// Takes an account out of the team; whether it was in it.
    pub fn remove_team_member(
        &mut self,
        may: &Granted<'tx, EditTeam>,
        account: AccountId,
    ) -> Result<bool, CatalogError> {
        let team = Value::Int(may.team().0);
        let removed = self.execute(&REMOVE_TEAM_MEMBER, &[team, account.0.into()])? > 0;
        if removed {
            self.execute(&ADD_TEAM_MEMBERS, &[team, (-1).into()])?;
        }
        Ok(removed)
    }

    /// Gives a team a role in a repository, in place of the one it had.
    pub fn put_team_role(
        &mut self,
        may: &Granted<'tx, EditRepository>,
        team: &Granted<'tx, SeeTeam>,
        role: RepositoryRole,
    ) -> Result<(), CatalogError> {
        let values = [may.repository().0.into(), team.team().0.into(), role.number().into()];
        if self.execute(&INSERT_TEAM_ROLE, &values)? > 0 {
            self.execute(&ADD_TEAM_REPOSITORIES, &[values[1], 1.into()])?;
        } else {
            self.execute(&SET_TEAM_ROLE, &values)?;
        }
        Ok(())
    }

    /// Takes the role of a team in a repository; whether it had one.
    pub fn remove_team_role(
        &mut self,
        may: &Granted<'tx, EditRepository>,
        team: &Granted<'tx, SeeTeam>,
    ) -> Result<bool, CatalogError> {
        let values = [may.repository().0.into(), team.team().0.into()];
        let removed = self.execute(&REMOVE_TEAM_ROLE, &values)? > 0;
        if removed {
            self.execute(&ADD_TEAM_REPOSITORIES, &[values[1], (-1).into()])?;
        }
        Ok(removed)
    }
}
