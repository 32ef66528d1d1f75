//! Teams: who is in them, what stands above them, which repositories they work on.

use crate::Service;
use crate::identity::Shown;
use crate::manage::{ManageError, Rows, lower, text, user};
use crate::organizations::inspect;
use crate::repositories::edit_repository;
use packhouse_access::{
    Because, Caller, EditTeam, Granted, Inspect, ManageTeams, RepositoryRole, Scopes, SeeRepository, SeeTeam,
    TeamFacts, TeamId, Visibility, decide_edit_team, decide_namespace, decide_own, decide_repository,
    decide_see_team,
};
use packhouse_catalog::{Micros, ReadTx, Repository, Team, TeamMember, TeamRecord, Window, WriteTx};

/// Teams on top of each other at the most.
const DEPTH_MAX: usize = 10;
const NAME_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 512;
/// Maintainers that are named when a team is made.
const MAINTAINERS_MAX: usize = 100;

/// Which team stands above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParentChosen {
    /// By its number, as GitHub's API has it.
    Id(i64),
    /// By its slug.
    Slug(String),
}

/// A team to make.
#[derive(Clone, Debug, Default)]
pub struct NewTeam {
    /// Its name for people; the slug is made of it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether only its members and the organization's owners see it.
    pub secret: bool,
    /// The team above it.
    pub parent: Option<ParentChosen>,
    /// Members of the organization who maintain it from the start.
    pub maintainers: Vec<String>,
}

/// What changes of a team: absent stays.
#[derive(Clone, Debug, Default)]
pub struct TeamChange {
    /// Its name for people; the slug changes with it.
    pub name: Option<String>,
    /// What it is for; empty goes.
    pub description: Option<String>,
    /// Whether only its members and the organization's owners see it.
    pub secret: Option<bool>,
    /// The team above it, or none.
    pub parent: Option<Option<ParentChosen>>,
}

/// The slug of a name as GitHub makes it: lower case, and one `-` for each run of what is neither letter, digit
/// nor `_`.
pub(crate) fn slug_of(name: &str) -> Result<String, ManageError> {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' | '_' => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-').to_owned();
    if slug.is_empty() || slug.len() > 100 {
        let why = "name must have a letter a to z or a digit, and at most 100 characters";
        return Err(ManageError::invalid("Team", "name", why));
    }
    Ok(slug)
}

/// A team that the caller may see, with the right to see it.
pub(crate) fn see_team<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    slug: &str,
) -> Result<Granted<'tx, SeeTeam>, ManageError> {
    let facts = tx.team_facts(caller, &lower(org), &lower(slug))?;
    Ok(decide_see_team(&facts)?)
}

/// The same for who may change it, under the organization's lock.
fn edit_team<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    slug: &str,
) -> Result<(Granted<'tx, EditTeam>, Granted<'tx, SeeTeam>), ManageError> {
    let facts: TeamFacts<'tx> = tx.team_facts(caller, &lower(org), &lower(slug))?;
    Ok((decide_edit_team(&facts)?, decide_see_team(&facts)?))
}

/// Checks a team above another and counts the levels: no cycle, no secrets, not too deep.
fn above<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    see: &Granted<'tx, Inspect>,
    parent: &ParentChosen,
    of: Option<TeamId>,
    levels_below: usize,
    secret: bool,
) -> Result<TeamId, ManageError> {
    let field = "parent_team_id";
    let found = match parent {
        ParentChosen::Id(id) => tx.team_numbered(see, TeamId(*id))?,
        ParentChosen::Slug(slug) => tx.sibling_team(see, &lower(slug))?,
    };
    let Some(parent) = found else {
        return Err(ManageError::invalid("Team", field, "the organization has no such team"));
    };
    if secret || parent.secret {
        return Err(ManageError::invalid("Team", field, "a secret team has no team above or below it"));
    }
    let line = tx.teams_above(see, parent.id)?;
    if of.is_some_and(|team| line.contains(&team)) {
        return Err(ManageError::invalid("Team", field, "a team cannot stand above itself"));
    }
    if line.len() + 1 + levels_below > DEPTH_MAX {
        let why = format!("teams can stand at most {DEPTH_MAX} on top of each other");
        return Err(ManageError::invalid("Team", field, why));
    }
    Ok(parent.id)
}

pub(crate) fn create_team<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    new: &NewTeam,
    now: Micros,
) -> Result<Team, ManageError> {
    let facts = tx.namespace_facts(caller, &lower(org))?;
    let may = decide_namespace::<ManageTeams>(&facts)?;
    if !facts.is_organization() {
        return Err(ManageError::unknown("organization", org));
    }
    let see = decide_namespace::<Inspect>(&facts)?;
    let name = text("Team", "name", &new.name, NAME_CHARS_MAX)?
        .ok_or_else(|| ManageError::invalid("Team", "name", "name must not be empty"))?;
    let slug = slug_of(&name)?;
    if new.maintainers.len() > MAINTAINERS_MAX {
        let why = format!("at most {MAINTAINERS_MAX} maintainers can be named at once");
        return Err(ManageError::invalid("Team", "maintainers", why));
    }
    let parent = match &new.parent {
        Some(parent) => Some(above(tx, &see, parent, None, 0, new.secret)?),
        None => None,
    };
    let description = match &new.description {
        Some(description) => text("Team", "description", description, DESCRIPTION_CHARS_MAX)?,
        None => None,
    };
    let record = TeamRecord { slug: slug.clone(), name, description, secret: new.secret, parent };
    let id = tx.create_team(&may, &record, now)?.ok_or_else(|| ManageError::taken("Team", "name", &slug))?;
    for maintainer in &new.maintainers {
        let user = user(tx, maintainer)?;
        if tx.membership(&see, user.id)?.is_none() {
            let why = format!("{} is not a member of the organization", user.login);
            return Err(ManageError::invalid("Team", "maintainers", why));
        }
        tx.begin_team(&may, id, user.id, true)?;
    }
    // As on GitHub, who makes a team is in it and maintains it.
    if let Some(account) = caller.account()
        && tx.membership(&see, account)?.is_some()
    {
        tx.begin_team(&may, id, account, true)?;
    }
    tx.sibling_team(&see, &slug)?.ok_or_else(|| ManageError::unknown("team", &slug))
}

pub(crate) fn change_team<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    slug: &str,
    change: &TeamChange,
    now: Micros,
) -> Result<Team, ManageError> {
    let (may, seen) = edit_team(tx, caller, org, slug)?;
    let see = inspect(tx, caller, org)?;
    let was = tx.team(&seen)?;
    let name = match &change.name {
        Some(name) => text("Team", "name", name, NAME_CHARS_MAX)?
            .ok_or_else(|| ManageError::invalid("Team", "name", "name must not be empty"))?,
        None => was.name,
    };
    let description = match &change.description {
        Some(description) => text("Team", "description", description, DESCRIPTION_CHARS_MAX)?,
        None => was.description,
    };
    let secret = change.secret.unwrap_or(was.secret);
    let below = usize::try_from(tx.team_depth(&may)?).unwrap_or(DEPTH_MAX);
    if secret && below > 0 {
        let why = "a secret team has no team above or below it";
        return Err(ManageError::invalid("Team", "privacy", why));
    }
    let parent = match &change.parent {
        Some(Some(parent)) => Some(above(tx, &see, parent, Some(was.id), below, secret)?),
        Some(None) => None,
        None if secret && was.parent.is_some() => {
            let why = "a secret team has no team above or below it";
            return Err(ManageError::invalid("Team", "privacy", why));
        }
        None => was.parent.map(|parent| parent.id),
    };
    let slug = if change.name.is_some() { slug_of(&name)? } else { was.slug };
    let record = TeamRecord { slug, name, description, secret, parent };
    if !tx.set_team(&may, &record, now)? {
        return Err(ManageError::taken("Team", "name", &record.slug));
    }
    Ok(tx.team(&seen)?)
}

pub(crate) fn delete_team<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    slug: &str,
) -> Result<(), ManageError> {
    let (may, _) = edit_team(tx, caller, org, slug)?;
    Ok(tx.delete_team(&may)?)
}

pub(crate) fn put_team_member<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    slug: &str,
    name: &str,
    maintainer: bool,
) -> Result<(), ManageError> {
    let (may, _) = edit_team(tx, caller, org, slug)?;
    let user = user(tx, name)?;
    if !tx.put_team_member(&may, user.id, maintainer)? {
        let why = format!("{} is not a member of {org}; only members can be in its teams", user.login);
        return Err(ManageError::invalid("TeamMember", "user", why));
    }
    Ok(())
}

pub(crate) fn remove_team_member<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    slug: &str,
    name: &str,
) -> Result<(), ManageError> {
    let (may, _) = edit_team(tx, caller, org, slug)?;
    let user = user(tx, name)?;
    if !tx.remove_team_member(&may, user.id)? {
        return Err(ManageError::unknown("member", name));
    }
    Ok(())
}

/// Gives a team of the owner's a role in a repository; none takes it.
pub(crate) fn set_team_role<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    (org, slug): (&str, &str),
    path: &str,
    role: Option<RepositoryRole>,
) -> Result<(), ManageError> {
    let may = edit_repository(tx, caller, path)?;
    let team = see_team(tx, caller, org, slug)?;
    if may.repository_owner() != team.namespace() {
        return Err(ManageError::invalid(
            "TeamRepository",
            "repository",
            "the repository is not the organization's",
        ));
    }
    match role {
        Some(role) => Ok(tx.put_team_role(&may, &team, role)?),
        None if tx.remove_team_role(&may, &team)? => Ok(()),
        None => Err(ManageError::unknown("repository of the team", path)),
    }
}

/// Of a team's repositories, one sees those that one may see: all, as an owner, in the team, or where members may read
/// everything; else what is not private; and with a token that is not for repositories, what is public.
fn lowest_seen<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    may: &Granted<'tx, SeeTeam>,
    org: &str,
) -> Result<Visibility, ManageError> {
    if caller.account().is_some() && !caller.scopes().contains(Scopes::REPO) {
        return Ok(Visibility::Public);
    }
    let mut all = sees_all(may.because());
    if !all && let Some(account) = caller.account() {
        let see = inspect(tx, caller, org)?;
        let member = tx.membership(&see, account)?.is_some() && tx.policy(&see)?.base_role.is_some();
        all = member || tx.team_member(may, account)?.is_some();
    }
    Ok(if all { Visibility::Private } else { Visibility::Internal })
}

fn sees_all(may: Because) -> bool {
    matches!(may, Because::OwnsNamespace | Because::SiteAdmin | Because::Operator)
}

/// All teams of an organization that the caller sees, by slug.
pub(crate) fn teams<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    window: &Window,
) -> Result<Rows<Team>, ManageError> {
    let may = inspect(tx, caller, org)?;
    let all = sees_all(may.because());
    Rows::read(window, |window| tx.teams(&may, all, window))
}

pub(crate) fn team_members<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    (org, slug): (&str, &str),
    maintainers: Option<bool>,
    window: &Window,
) -> Result<Rows<TeamMember>, ManageError> {
    let may = see_team(tx, caller, org, slug)?;
    Rows::read(window, |window| tx.team_members(&may, maintainers, window))
}

impl Service {
    /// Teams of an organization that the caller sees, by slug.
    pub async fn teams(&self, shown: &Shown, org: &str, window: Window) -> Result<Rows<Team>, ManageError> {
        let org = org.to_owned();
        self.look(shown, move |tx, caller| teams(tx, caller, &org, &window)).await
    }

    /// The teams that the caller is in; the key is `organization slug`.
    pub async fn own_teams(&self, shown: &Shown, window: Window) -> Result<Rows<Team>, ManageError> {
        self.look(shown, move |tx, caller| {
            let may = decide_own(caller, Scopes::READ_ORG)?;
            Rows::read(&window, |window| tx.own_teams(&may, window))
        })
        .await
    }

    /// A team.
    pub async fn team(&self, shown: &Shown, org: &str, slug: &str) -> Result<Team, ManageError> {
        let (org, slug) = (org.to_owned(), slug.to_owned());
        self.look(shown, move |tx, caller| {
            let may = see_team(tx, caller, &org, &slug)?;
            Ok(tx.team(&may)?)
        })
        .await
    }

    /// Makes a team.
    pub async fn create_team(&self, shown: &Shown, org: &str, new: NewTeam) -> Result<Team, ManageError> {
        let org = org.to_owned();
        self.change(shown, move |tx, caller, now| create_team(tx, caller, &org, &new, now)).await
    }

    /// Changes a team.
    pub async fn change_team(
        &self,
        shown: &Shown,
        org: &str,
        slug: &str,
        change: TeamChange,
    ) -> Result<Team, ManageError> {
        let (org, slug) = (org.to_owned(), slug.to_owned());
        self.change(shown, move |tx, caller, now| change_team(tx, caller, &org, &slug, &change, now)).await
    }

    /// Deletes a team; the teams below it come under the one above.
    pub async fn delete_team(&self, shown: &Shown, org: &str, slug: &str) -> Result<(), ManageError> {
        let (org, slug) = (org.to_owned(), slug.to_owned());
        self.change(shown, move |tx, caller, _| delete_team(tx, caller, &org, &slug)).await
    }

    /// The teams right below one, by slug.
    pub async fn teams_below(
        &self,
        shown: &Shown,
        org: &str,
        slug: &str,
        window: Window,
    ) -> Result<Rows<Team>, ManageError> {
        let (org, slug) = (org.to_owned(), slug.to_owned());
        self.look(shown, move |tx, caller| {
            let may = see_team(tx, caller, &org, &slug)?;
            Rows::read(&window, |window| tx.teams_below(&may, window))
        })
        .await
    }

    /// Members of a team, by name.
    pub async fn team_members(
        &self,
        shown: &Shown,
        org: &str,
        slug: &str,
        maintainers: Option<bool>,
        window: Window,
    ) -> Result<Rows<TeamMember>, ManageError> {
        let (org, slug) = (org.to_owned(), slug.to_owned());
        self.look(shown, move |tx, caller| team_members(tx, caller, (&org, &slug), maintainers, &window))
            .await
    }

    /// Whether somebody maintains a team, if they are in it.
    pub async fn team_membership(
        &self,
        shown: &Shown,
        org: &str,
        slug: &str,
        name: &str,
    ) -> Result<bool, ManageError> {
        let (org, slug, name) = (org.to_owned(), slug.to_owned(), name.to_owned());
        self.look(shown, move |tx, caller| {
            let may = see_team(tx, caller, &org, &slug)?;
            let user = user(tx, &name)?;
            tx.team_member(&may, user.id)?.ok_or_else(|| ManageError::unknown("member", &name))
        })
        .await
    }

    /// Puts a member of the organization into a team, or changes whether they maintain it.
    pub async fn put_team_member(
        &self,
        shown: &Shown,
        org: &str,
        slug: &str,
        name: &str,
        maintainer: bool,
    ) -> Result<(), ManageError> {
        let (org, slug, name) = (org.to_owned(), slug.to_owned(), name.to_owned());
        self.change(shown, move |tx, caller, _| put_team_member(tx, caller, &org, &slug, &name, maintainer))
            .await
    }

    /// Takes somebody out of a team.
    pub async fn remove_team_member(
        &self,
        shown: &Shown,
        org: &str,
        slug: &str,
        name: &str,
    ) -> Result<(), ManageError> {
        let (org, slug, name) = (org.to_owned(), slug.to_owned(), name.to_owned());
        self.change(shown, move |tx, caller, _| remove_team_member(tx, caller, &org, &slug, &name)).await
    }

    /// Repositories of a team with its role in each, by path.
    pub async fn team_repositories(
        &self,
        shown: &Shown,
        org: &str,
        slug: &str,
        window: Window,
    ) -> Result<Rows<(Repository, RepositoryRole)>, ManageError> {
        let (org, slug) = (org.to_owned(), slug.to_owned());
        self.look(shown, move |tx, caller| {
            let may = see_team(tx, caller, &org, &slug)?;
            let lowest = lowest_seen(tx, caller, &may, &org)?;
            Rows::read(&window, |window| tx.team_repositories(&may, lowest, window))
        })
        .await
    }

    /// The role of a team in a repository.
    pub async fn team_repository(
        &self,
        shown: &Shown,
        org: &str,
        slug: &str,
        path: &str,
    ) -> Result<(Repository, RepositoryRole), ManageError> {
        let (org, slug, path) = (org.to_owned(), slug.to_owned(), path.to_owned());
        self.look(shown, move |tx, caller| {
            let team = see_team(tx, caller, &org, &slug)?;
            let facts = tx.repository_facts(caller, &lower(&path))?;
            let may = decide_repository::<SeeRepository>(&facts)?;
            let role = tx.team_role(&team, may.repository())?;
            let role = role.ok_or_else(|| ManageError::unknown("repository of the team", &path))?;
            Ok((tx.repository(&may)?, role))
        })
        .await
    }

    /// Gives a team a role in a repository of the organization; none takes it.
    pub async fn set_team_role(
        &self,
        shown: &Shown,
        org: &str,
        slug: &str,
        path: &str,
        role: Option<RepositoryRole>,
    ) -> Result<(), ManageError> {
        let (org, slug, path) = (org.to_owned(), slug.to_owned(), path.to_owned());
        self.change(shown, move |tx, caller, _| set_team_role(tx, caller, (&org, &slug), &path, role)).await
    }
}

#[cfg(test)]
mod tests {
    use super::slug_of;

    #[test]
    fn slugs_are_made_as_github_makes_them() {
        for (name, slug) in [
            ("Justice League", "justice-league"),
            ("A  B--C", "a-b-c"),
            (" dev.ops! ", "dev-ops"),
            ("under_score", "under_score"),
            ("Équipe 7", "quipe-7"),
        ] {
            assert_eq!(slug_of(name).unwrap(), slug);
        }
        assert!(slug_of("!!!").is_err());
        assert!(slug_of(&"a".repeat(101)).is_err());
    }
}
