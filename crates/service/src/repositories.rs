//! Repositories: records that packages are linked to, and who works on them.

use crate::Service;
use crate::identity::Shown;
use crate::manage::{ManageError, Rows, lower, text, user};
use packhouse_access::{
    Because, Caller, CreateRepository, DeleteRepository, EditRepository, Granted, ListCollaborators,
    RepositoryRole, Scopes, SeeRepository, Visibility, decide_create_repository, decide_list_repositories,
    decide_own, decide_repository,
};
use packhouse_catalog::{
    Account, AccountKind, Affiliation, Affiliations, Collaborator, Micros, ReadTx, Repository,
    RepositoryRecord, Team, Window, WriteTx,
};

const NAME_CHARS_MAX: usize = 100;
const DESCRIPTION_CHARS_MAX: usize = 350;
const HOMEPAGE_CHARS_MAX: usize = 255;
const BRANCH_CHARS_MAX: usize = 255;
const DEFAULT_BRANCH: &str = "main";

/// A repository to make.
#[derive(Clone, Debug)]
pub struct NewRepository {
    /// Its name in its owner's namespace.
    pub name: String,
    /// Who may see it without a role.
    pub visibility: Visibility,
    /// What it is.
    pub description: Option<String>,
    /// Where to read more.
    pub homepage: Option<String>,
}

/// What changes of a repository: absent stays, empty goes.
#[derive(Clone, Debug, Default)]
pub struct RepositoryChange {
    /// Its name; links of packages stay.
    pub name: Option<String>,
    /// Who may see it without a role.
    pub visibility: Option<Visibility>,
    /// What it is.
    pub description: Option<String>,
    /// Where to read more.
    pub homepage: Option<String>,
    /// The branch that comes first.
    pub default_branch: Option<String>,
    /// Whether it is only kept.
    pub archived: Option<bool>,
}

/// A repository as the caller sees it.
#[derive(Clone, Debug)]
pub struct RepositorySeen {
    /// It.
    pub repository: Repository,
    /// What the caller may do there by a role of their own.
    pub role: Option<RepositoryRole>,
}

/// Whether a name can be one: what GitHub takes, without what could be mistaken for something else.
pub(crate) fn is_repository_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.chars().all(good)
        && name != "."
        && name != ".."
        && !lower(name).ends_with(".git")
}

fn repository_name(name: &str) -> Result<(), ManageError> {
    if is_repository_name(name) {
        return Ok(());
    }
    let why = format!(
        "name must be 1 to {NAME_CHARS_MAX} letters, digits, `.`, `_` and `-`, and not end with `.git`"
    );
    Err(ManageError::invalid("Repository", "name", why))
}

/// The record of a repository that nothing more is said of.
pub(crate) fn plain_record(owner: &str, name: &str, visibility: Visibility) -> RepositoryRecord {
    RepositoryRecord {
        path: format!("{owner}/{}", lower(name)),
        name: name.to_owned(),
        visibility,
        description: None,
        homepage: None,
        default_branch: DEFAULT_BRANCH.to_owned(),
        archived: false,
    }
}

/// The right to change a repository, under its lock.
pub(crate) fn edit_repository<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
) -> Result<Granted<'tx, EditRepository>, ManageError> {
    let facts = tx.repository_facts(caller, &lower(path))?;
    Ok(decide_repository::<EditRepository>(&facts)?)
}

fn see<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
) -> Result<Granted<'tx, SeeRepository>, ManageError> {
    let facts = tx.repository_facts(caller, &lower(path))?;
    Ok(decide_repository::<SeeRepository>(&facts)?)
}

fn list_collaborators<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
) -> Result<Granted<'tx, ListCollaborators>, ManageError> {
    let facts = tx.repository_facts(caller, &lower(path))?;
    Ok(decide_repository::<ListCollaborators>(&facts)?)
}

fn seen<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    may: &Granted<'tx, SeeRepository>,
) -> Result<RepositorySeen, ManageError> {
    let role = match may.because() {
        Because::SiteAdmin | Because::Operator | Because::OwnsNamespace => Some(RepositoryRole::Admin),
        _ => tx.own_role(may)?,
    };
    Ok(RepositorySeen { repository: tx.repository(may)?, role })
}

fn optional(
    field: &'static str,
    value: Option<&String>,
    chars_max: usize,
) -> Result<Option<String>, ManageError> {
    match value {
        Some(value) => text("Repository", field, value, chars_max),
        None => Ok(None),
    }
}

/// A link that pages may show: no other scheme than these.
fn address(text: Option<String>) -> Result<Option<String>, ManageError> {
    let good = |text: &String| {
        let plain = text.chars().all(|c| c.is_ascii_graphic() && !"<>\"\\^`{|}".contains(c));
        plain
            && ["https://", "http://"]
                .iter()
                .any(|scheme| text.starts_with(scheme) && text.len() > scheme.len())
    };
    if text.as_ref().is_some_and(|text| !good(text)) {
        let why = "homepage is not an address such as `https://example.org`";
        return Err(ManageError::invalid("Repository", "homepage", why));
    }
    Ok(text)
}

pub(crate) fn create_repository<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    owner: &str,
    new: &NewRepository,
    now: Micros,
) -> Result<Repository, ManageError> {
    let owner = lower(owner);
    let facts = tx.namespace_facts(caller, &owner)?;
    let may: Granted<'tx, CreateRepository> = decide_create_repository(&facts, new.visibility)?;
    repository_name(&new.name)?;
    let record = RepositoryRecord {
        description: optional("description", new.description.as_ref(), DESCRIPTION_CHARS_MAX)?,
        homepage: address(optional("homepage", new.homepage.as_ref(), HOMEPAGE_CHARS_MAX)?)?,
        ..plain_record(&owner, &new.name, new.visibility)
    };
    tx.create_repository(&may, &record, now)?
        .ok_or_else(|| ManageError::taken("Repository", "name", &new.name))?;
    // Who made it may see it, with whatever the token was made for.
    let facts = ReadTx::repository_facts(tx, caller, &record.path)?;
    let may = decide_repository::<EditRepository>(&facts)?;
    Ok(tx.repository(&may)?)
}

pub(crate) fn change_repository<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    change: &RepositoryChange,
    now: Micros,
) -> Result<Repository, ManageError> {
    let may = edit_repository(tx, caller, path)?;
    let was = tx.repository(&may)?;
    if was.archived && change.archived != Some(false) {
        return Err(ManageError::Forbidden(format!(
            "Repository was archived so is read-only. Unarchive {} first.",
            was.path
        )));
    }
    let name = match &change.name {
        Some(name) => {
            repository_name(name)?;
            name.clone()
        }
        None => was.name,
    };
    let visibility = change.visibility.unwrap_or(was.visibility);
    if visibility == Visibility::Internal && was.owner.kind != AccountKind::Organization {
        let why = "only repositories of organizations can be internal";
        return Err(ManageError::invalid("Repository", "visibility", why));
    }
    let field = |name, value: &Option<String>, was: Option<String>, max| match value {
        Some(value) => text("Repository", name, value, max),
        None => Ok(was),
    };
    let branch = match &change.default_branch {
        Some(branch) => {
            let bad = |c: char| c.is_whitespace() || c.is_control();
            text("Repository", "default_branch", branch, BRANCH_CHARS_MAX)?
                .filter(|branch| !branch.contains(bad))
                .ok_or_else(|| {
                    ManageError::invalid(
                        "Repository",
                        "default_branch",
                        "default_branch is no name of a branch",
                    )
                })?
        }
        None => was.default_branch,
    };
    let owner = was.path.split_once('/').map_or("", |(owner, _)| owner);
    let record = RepositoryRecord {
        path: format!("{owner}/{}", lower(&name)),
        visibility,
        description: field("description", &change.description, was.description, DESCRIPTION_CHARS_MAX)?,
        homepage: address(field("homepage", &change.homepage, was.homepage, HOMEPAGE_CHARS_MAX)?)?,
        default_branch: branch,
        archived: change.archived.unwrap_or(was.archived),
        name,
    };
    if !tx.set_repository(&may, &record, now)? {
        return Err(ManageError::taken("Repository", "name", &record.name));
    }
    Ok(tx.repository(&may)?)
}

pub(crate) fn delete_repository<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    now: Micros,
) -> Result<(), ManageError> {
    let facts = tx.repository_facts(caller, &lower(path))?;
    let may = decide_repository::<DeleteRepository>(&facts)?;
    Ok(tx.delete_repository(&may, now)?)
}

/// Gives somebody a role; whether they had none before. `None` takes it.
pub(crate) fn set_collaborator<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    name: &str,
    role: Option<RepositoryRole>,
) -> Result<bool, ManageError> {
    let may = edit_repository(tx, caller, path)?;
    let facts = ReadTx::repository_facts(tx, caller, &lower(path))?;
    let see = decide_repository::<ListCollaborators>(&facts)?;
    let user = user(tx, name)?;
    let Some(role) = role else {
        return if tx.remove_collaborator(&may, user.id)? {
            Ok(false)
        } else {
            Err(ManageError::unknown("collaborator", name))
        };
    };
    if may.repository_owner() == user.id {
        let why = "the owner of a repository has all rights in it and is no collaborator";
        return Err(ManageError::invalid("Repository", "username", why));
    }
    let before = tx.collaborator(&see, user.id)?;
    tx.put_collaborator(&may, user.id, role)?;
    Ok(before.is_none())
}

pub(crate) fn repositories_of<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    owner: &str,
    window: &Window,
) -> Result<Rows<Repository>, ManageError> {
    let facts = tx.namespace_facts(caller, &lower(owner))?;
    let may = decide_list_repositories(&facts)?;
    Rows::read(window, |window| tx.repositories_in(&may, window))
}

pub(crate) fn collaborators<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    (which, least): (Affiliation, RepositoryRole),
    window: &Window,
) -> Result<Rows<Collaborator>, ManageError> {
    let may = list_collaborators(tx, caller, path)?;
    Rows::read(window, |window| tx.collaborators(&may, which, least, window))
}

impl Service {
    /// A repository.
    pub async fn repository(&self, shown: &Shown, path: &str) -> Result<RepositorySeen, ManageError> {
        let path = path.to_owned();
        self.look(shown, move |tx, caller| {
            let may = see(tx, caller, &path)?;
            seen(tx, &may)
        })
        .await
    }

    /// Repositories of an account that the caller sees, by path.
    pub async fn repositories(
        &self,
        shown: &Shown,
        owner: &str,
        window: Window,
    ) -> Result<Rows<Repository>, ManageError> {
        let owner = owner.to_owned();
        self.look(shown, move |tx, caller| repositories_of(tx, caller, &owner, &window)).await
    }

    /// The caller's repositories, by path.
    pub async fn own_repositories(
        &self,
        shown: &Shown,
        which: Affiliations,
        window: Window,
    ) -> Result<Rows<Repository>, ManageError> {
        self.look(shown, move |tx, caller| {
            let may = decide_own(caller, Scopes::NONE)?;
            let public_only = !caller.scopes().contains(Scopes::REPO);
            Rows::read(&window, |window| tx.own_repositories(&may, which, public_only, window))
        })
        .await
    }

    /// Makes a repository in a namespace; in the caller's own, when none is named.
    pub async fn create_repository(
        &self,
        shown: &Shown,
        owner: Option<&str>,
        new: NewRepository,
    ) -> Result<RepositorySeen, ManageError> {
        let owner = owner.map(str::to_owned);
        self.change(shown, move |tx, caller, now| {
            let owner = match &owner {
                Some(owner) => owner.clone(),
                None => tx.own_account(&decide_own(caller, Scopes::NONE)?)?.name,
            };
            let repository = create_repository(tx, caller, &owner, &new, now)?;
            Ok(RepositorySeen { repository, role: Some(RepositoryRole::Admin) })
        })
        .await
    }

    /// Changes a repository.
    pub async fn change_repository(
        &self,
        shown: &Shown,
        path: &str,
        change: RepositoryChange,
    ) -> Result<RepositorySeen, ManageError> {
        let path = path.to_owned();
        self.change(shown, move |tx, caller, now| {
            let repository = change_repository(tx, caller, &path, &change, now)?;
            Ok(RepositorySeen { repository, role: Some(RepositoryRole::Admin) })
        })
        .await
    }

    /// Deletes a repository. Packages linked to it stay, without link and inheritance.
    pub async fn delete_repository(&self, shown: &Shown, path: &str) -> Result<(), ManageError> {
        let path = path.to_owned();
        self.change(shown, move |tx, caller, now| delete_repository(tx, caller, &path, now)).await
    }

    /// Who has a role in a repository, and at least this one, by name.
    pub async fn collaborators(
        &self,
        shown: &Shown,
        path: &str,
        which: Affiliation,
        least: RepositoryRole,
        window: Window,
    ) -> Result<Rows<Collaborator>, ManageError> {
        let path = path.to_owned();
        self.look(shown, move |tx, caller| collaborators(tx, caller, &path, (which, least), &window)).await
    }

    /// The highest role of somebody in a repository, if they have one.
    pub async fn role_in_repository(
        &self,
        shown: &Shown,
        path: &str,
        name: &str,
    ) -> Result<(Account, Option<RepositoryRole>), ManageError> {
        let (path, name) = (path.to_owned(), name.to_owned());
        self.look(shown, move |tx, caller| {
            let may = list_collaborators(tx, caller, &path)?;
            let user = user(tx, &name)?;
            let role = tx.role_of(&may, user.id)?;
            let public = tx.repository(&may)?.visibility == Visibility::Public;
            let role = if public { role.max(Some(RepositoryRole::Read)) } else { role };
            Ok((user, role))
        })
        .await
    }

    /// Whether somebody works on a repository: by a role of their own, not since everyone may read it.
    pub async fn is_collaborator(&self, shown: &Shown, path: &str, name: &str) -> Result<bool, ManageError> {
        let (path, name) = (path.to_owned(), name.to_owned());
        self.look(shown, move |tx, caller| {
            let may = list_collaborators(tx, caller, &path)?;
            match tx.account(&lower(&name))? {
                Some(account) => Ok(tx.role_of(&may, account.id)?.is_some()),
                None => Ok(false),
            }
        })
        .await
    }

    /// Gives somebody a role in a repository, at once; whether they had none before. `None` takes it.
    pub async fn set_collaborator(
        &self,
        shown: &Shown,
        path: &str,
        name: &str,
        role: Option<RepositoryRole>,
    ) -> Result<bool, ManageError> {
        let (path, name) = (path.to_owned(), name.to_owned());
        self.change(shown, move |tx, caller, _| set_collaborator(tx, caller, &path, &name, role)).await
    }

    /// Teams with a role in a repository, by slug.
    pub async fn repository_teams(
        &self,
        shown: &Shown,
        path: &str,
        window: Window,
    ) -> Result<Rows<(Team, RepositoryRole)>, ManageError> {
        let path = path.to_owned();
        self.look(shown, move |tx, caller| {
            let may = list_collaborators(tx, caller, &path)?;
            let all =
                matches!(may.because(), Because::OwnsNamespace | Because::SiteAdmin | Because::Operator);
            Rows::read(&window, |window| tx.repository_teams(&may, all, window))
        })
        .await
    }
}
