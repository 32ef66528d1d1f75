//! Who has a role on a package, and the repository it is linked to.

use crate::Service;
use crate::identity::Shown;
use crate::manage::{ManageError, lower, short};
use packhouse_access::{
    Administer, Caller, Granted, LinkRepository, Role, Visibility, decide, decide_repository,
};
use packhouse_catalog::{Account, AccountKind, Link, Micros, ReadTx, Repository, Team, WriteTx};
use packhouse_oci::PackageName;

/// Rows of each kind on a list of roles.
pub(crate) const LIST_MAX: u32 = 10_000;

/// To whom a role is given, or from whom it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// A user or a robot of the organization, by name.
    Account(String),
    /// A team of the organization that owns the package, by slug.
    Team(String),
    /// A repository of the package's owner: its workflows. By its name, or as `owner/name`.
    Repository(String),
}

/// The roles on a package.
#[derive(Clone, Debug)]
pub struct PackageAccess {
    /// Whether they are the linked repository's, in place of a list of its own.
    pub inherits: bool,
    /// The linked repository.
    pub repository: Option<Repository>,
    /// Accounts, by name.
    pub accounts: Vec<(Account, Role)>,
    /// Teams, by slug.
    pub teams: Vec<(Team, Role)>,
    /// Repositories whose workflows may, by path.
    pub repositories: Vec<(Repository, Role)>,
}

fn administer<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
) -> Result<Granted<'tx, Administer>, ManageError> {
    let facts = tx.facts(caller, path)?;
    Ok(decide::<Administer>(&facts)?)
}

fn inheriting(path: &str) -> ManageError {
    ManageError::Forbidden(format!(
        "{path} inherits its access from its repository; switch inheritance off first, or change the roles there"
    ))
}

pub(crate) fn package_access<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
) -> Result<PackageAccess, ManageError> {
    let facts = tx.facts(caller, path)?;
    let may = decide::<Administer>(&facts)?;
    let link = tx.package_link(&may)?;
    Ok(PackageAccess {
        inherits: link.inherits,
        repository: tx.linked_repository(&may)?,
        accounts: tx.granted_accounts(&may, LIST_MAX)?,
        teams: tx.granted_teams(&may, LIST_MAX)?,
        repositories: tx.granted_repositories(&may, LIST_MAX)?,
    })
}

/// `name` or `owner/name` as a path in lower case.
fn repository_path(owner_path: &str, name: &str) -> String {
    let name = lower(name);
    if name.contains('/') {
        return name;
    }
    let owner = owner_path.split_once('/').map_or(owner_path, |(owner, _)| owner);
    format!("{owner}/{name}")
}

/// Of who is no user or robot it is said that there is none.
fn grantee(tx: &mut ReadTx<'_, '_>, name: &str) -> Result<Account, ManageError> {
    let found = tx.account(&lower(name))?.filter(|account| account.kind != AccountKind::Organization);
    found.ok_or_else(|| ManageError::unknown("user", name))
}

/// A robot is for its own organization only, and nobody else is told which ones there are.
fn robot_of_others(name: &str) -> ManageError {
    ManageError::unknown("user", name)
}

/// Gives a role, in place of the one there was.
pub(crate) fn grant<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    to: &Grantee,
    role: Role,
    now: Micros,
) -> Result<(), ManageError> {
    let may = administer(tx, caller, path)?;
    let link = tx.package_link(&may)?;
    if link.inherits {
        return Err(inheriting(path));
    }
    match to {
        Grantee::Account(name) => {
            let account = grantee(tx, name)?;
            let belongs = may.owner() == account.id || tx.belongs_to_owner(&may, account.id)?;
            if !belongs && account.kind == AccountKind::Robot {
                return Err(robot_of_others(name));
            }
            if !belongs && link.in_organization && link.visibility != Visibility::Public {
                return Err(ManageError::Forbidden(format!(
                    "{} is not a member of the organization; only its members can have a role on a package that \
                     is not public",
                    account.login
                )));
            }
            Ok(tx.grant(&may, account.id, role, now)?)
        }
        Grantee::Team(slug) => {
            let team = owned_team(tx, &may, slug)?;
            Ok(tx.grant_team(&may, &team, role, now)?)
        }
        Grantee::Repository(name) => {
            let repository = owned_repository(tx, &may, path, name)?;
            Ok(tx.grant_repository(&may, &repository, role, now)?)
        }
    }
}

/// Takes a role.
pub(crate) fn revoke<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    from: &Grantee,
) -> Result<(), ManageError> {
    let may = administer(tx, caller, path)?;
    if tx.package_link(&may)?.inherits {
        return Err(inheriting(path));
    }
    let (had, name) = match from {
        Grantee::Account(name) => {
            let account = grantee(tx, name)?;
            let had = tx.revoke(&may, account.id)?;
            if !had && account.kind == AccountKind::Robot && !tx.belongs_to_owner(&may, account.id)? {
                return Err(robot_of_others(name));
            }
            (had, name)
        }
        Grantee::Team(slug) => {
            let team = owned_team(tx, &may, slug)?;
            (tx.revoke_team(&may, &team)?, slug)
        }
        Grantee::Repository(name) => {
            let repository = owned_repository(tx, &may, path, name)?;
            (tx.revoke_repository(&may, &repository)?, name)
        }
    };
    if had { Ok(()) } else { Err(ManageError::unknown("role of", name)) }
}

fn owned_team<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    may: &Granted<'tx, Administer>,
    slug: &str,
) -> Result<Team, ManageError> {
    tx.owned_team(may, &lower(slug))?.ok_or_else(|| ManageError::unknown("team", slug))
}

fn owned_repository<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    may: &Granted<'tx, Administer>,
    path: &str,
    name: &str,
) -> Result<Repository, ManageError> {
    let found = tx.owned_repository(may, &repository_path(path, name))?;
    found.ok_or_else(|| ManageError::unknown("repository", name))
}

/// Switches inheritance. On, it drops the package's own roles.
pub(crate) fn set_inherits<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    inherits: bool,
    now: Micros,
) -> Result<(), ManageError> {
    let may = administer(tx, caller, path)?;
    let link = tx.package_link(&may)?;
    if inherits && link.repository.is_none() {
        return Err(ManageError::Forbidden(format!("{path} is not linked to a repository; link it first")));
    }
    if link.inherits == inherits {
        return Ok(());
    }
    Ok(tx.set_inherits(&may, inherits, now)?)
}

/// Links a package to a repository of the same owner; the roles on it stay as they are, unless it shall inherit.
pub(crate) fn link<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    repository: &str,
    inherits: bool,
    now: Micros,
) -> Result<(), ManageError> {
    let may = administer(tx, caller, path)?;
    let target = repository_path(path, repository);
    let facts = tx.repository_facts(caller, &target)?;
    let linked = decide_repository::<LinkRepository>(&facts)?;
    if linked.repository_owner() != may.owner() {
        let why = format!("{} is not of the package's owner", short(repository));
        return Err(ManageError::invalid("Package", "repository", why));
    }
    Ok(tx.link_package(&may, &linked, inherits, None, now)?)
}

/// Takes the link away, and what was inherited by it.
pub(crate) fn unlink<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    path: &str,
    now: Micros,
) -> Result<(), ManageError> {
    let may = administer(tx, caller, path)?;
    let was: Link = tx.package_link(&may)?;
    if was.repository.is_none() {
        return Err(ManageError::unknown("link of", path));
    }
    Ok(tx.unlink_package(&may, now)?)
}

impl Service {
    /// The roles on a package.
    pub async fn package_access(
        &self,
        shown: &Shown,
        name: &PackageName,
    ) -> Result<PackageAccess, ManageError> {
        let name = name.clone();
        self.look(shown, move |tx, caller| package_access(tx, caller, name.as_str())).await
    }

    /// Gives a role on a package, in place of the one there was.
    pub async fn grant_on_package(
        &self,
        shown: &Shown,
        name: &PackageName,
        to: Grantee,
        role: Role,
    ) -> Result<(), ManageError> {
        let name = name.clone();
        self.change(shown, move |tx, caller, now| grant(tx, caller, name.as_str(), &to, role, now)).await
    }

    /// Takes a role on a package.
    pub async fn revoke_on_package(
        &self,
        shown: &Shown,
        name: &PackageName,
        from: Grantee,
    ) -> Result<(), ManageError> {
        let name = name.clone();
        self.change(shown, move |tx, caller, _| revoke(tx, caller, name.as_str(), &from)).await
    }

    /// Switches whether a package inherits the access of its repository. On, it drops the package's own roles.
    pub async fn set_package_inherits(
        &self,
        shown: &Shown,
        name: &PackageName,
        inherits: bool,
    ) -> Result<(), ManageError> {
        let name = name.clone();
        self.change(shown, move |tx, caller, now| set_inherits(tx, caller, name.as_str(), inherits, now))
            .await
    }

    /// Links a package to a repository of its owner's.
    pub async fn link_package(
        &self,
        shown: &Shown,
        name: &PackageName,
        repository: &str,
        inherits: bool,
    ) -> Result<(), ManageError> {
        let (name, repository) = (name.clone(), repository.to_owned());
        self.change(shown, move |tx, caller, now| link(tx, caller, name.as_str(), &repository, inherits, now))
            .await
    }

    /// Takes the link of a package away.
    pub async fn unlink_package(&self, shown: &Shown, name: &PackageName) -> Result<(), ManageError> {
        let name = name.clone();
        self.change(shown, move |tx, caller, now| unlink(tx, caller, name.as_str(), now)).await
    }
}
