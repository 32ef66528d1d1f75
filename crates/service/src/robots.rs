//! Robots of organizations: accounts for machines. Owners of the organization make them, say what they may on all of
//! its packages, and make their tokens.
//!
//! A robot's name is `organization+name`. It owns nothing, is a member of nothing, makes no tokens and approves no
//! sign-in. Its tokens are not bound to the one they were made with: they are to outlive the person who made them.

use crate::Service;
use crate::error::Fault;
use crate::identity::{Shown, hash};
use crate::manage::{ManageError, Rows, lower, text};
use crate::own_tokens::{TOKENS_MAX, TokenMade, TokenSeen, full, name_and_end};
use crate::token_format::Secret;
use packhouse_access::{Caller, Govern, Granted, Role, Scopes, TokenId, decide_namespace};
use packhouse_catalog::{AccountKind, Micros, NewToken, ReadTx, Robot, TokenKind, Window, WriteTx};
use packhouse_oci::AccountName;

const RESOURCE: &str = "Robot";
const DESCRIPTION_CHARS_MAX: usize = 512;

/// A robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RobotSeen {
    /// Its identifier.
    pub id: i64,
    /// `organization+name`: what it signs in with.
    pub login: String,
    /// Its name in the organization.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it may on all packages of the organization.
    pub role: Option<Role>,
    /// When it was made, microseconds since 1970.
    pub created_at: i64,
    /// When it was changed last.
    pub updated_at: i64,
}

/// What a robot is made with, or what changes of it: absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RobotChange {
    /// What it may on all packages of the organization; inside, none for nothing.
    pub role: Option<Option<Role>>,
    /// What it is for; empty goes.
    pub description: Option<String>,
}

fn seen(robot: Robot) -> RobotSeen {
    let name = robot.name.split_once('+').map_or(robot.name.as_str(), |(_, name)| name).to_owned();
    RobotSeen {
        id: robot.id.0,
        login: robot.name,
        name,
        description: robot.description,
        role: robot.role,
        created_at: robot.created_at.0,
        updated_at: robot.updated_at.0,
    }
}

/// The proof for an organization, which a user is not.
pub(crate) fn govern<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
) -> Result<Granted<'tx, Govern>, ManageError> {
    let name = lower(org);
    let may = decide_namespace::<Govern>(&tx.namespace_facts(caller, &name)?)?;
    let kind = tx.account(&name)?.map(|account| account.kind);
    if kind != Some(AccountKind::Organization) {
        return Err(ManageError::unknown("organization", org));
    }
    Ok(may)
}

/// A robot's whole name: `deploy` and `acme+deploy` are the same in `acme`.
fn whole_name(org: &str, name: &str) -> String {
    let (org, name) = (lower(org), lower(name));
    let name = name.strip_prefix(&format!("{org}+")).unwrap_or(&name);
    format!("{org}+{name}")
}

fn find<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    may: &Granted<'tx, Govern>,
    org: &str,
    name: &str,
) -> Result<Robot, ManageError> {
    let found = tx.robot(may, &whole_name(org, name))?;
    found.ok_or_else(|| ManageError::unknown("robot", name))
}

pub(crate) fn create<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    (org, name): (&str, &str),
    change: &RobotChange,
    now: Micros,
) -> Result<RobotSeen, ManageError> {
    let may = govern(tx, caller, org)?;
    let whole = whole_name(org, name);
    let own = whole.split_once('+').map_or("", |(_, own)| own);
    own.parse::<AccountName>().map_err(|why| ManageError::invalid(RESOURCE, "name", why.to_string()))?;
    let description = description(change)?.flatten();
    let role = change.role.flatten();
    let made = tx.create_robot(&may, &whole, role, description.as_deref(), now)?;
    made.ok_or_else(|| ManageError::taken(RESOURCE, "name", &whole))?;
    Ok(seen(find(tx, &may, org, &whole)?))
}

pub(crate) fn list<'tx>(
    tx: &mut ReadTx<'_, 'tx>,
    caller: &Caller<'tx>,
    org: &str,
    window: &Window,
) -> Result<Rows<RobotSeen>, ManageError> {
    let may = govern(tx, caller, org)?;
    let rows = Rows::read(window, |window| tx.robots(&may, window))?;
    Ok(Rows { rows: rows.rows.into_iter().map(seen).collect(), more: rows.more })
}

pub(crate) fn change<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    (org, name): (&str, &str),
    change: &RobotChange,
    now: Micros,
) -> Result<RobotSeen, ManageError> {
    let may = govern(tx, caller, org)?;
    let robot = find(tx, &may, org, name)?;
    let role = change.role.unwrap_or(robot.role);
    let description = description(change)?.unwrap_or(robot.description);
    tx.set_robot(&may, robot.id, role, description.as_deref(), now)?;
    Ok(seen(find(tx, &may, org, name)?))
}

pub(crate) fn delete<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    (org, name): (&str, &str),
    now: Micros,
) -> Result<(), ManageError> {
    let may = govern(tx, caller, org)?;
    let robot = find(tx, &may, org, name)?;
    tx.delete_robot(&may, robot.id, now)?;
    Ok(())
}

/// A robot's token to make.
#[derive(Clone, Debug)]
pub struct RobotTokenWanted {
    /// A name for people.
    pub name: String,
    /// Scopes by name, of those for packages.
    pub scopes: Vec<String>,
    /// When it ends, microseconds since 1970.
    pub expires_at: Option<i64>,
}

pub(crate) fn create_token<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    caller: &Caller<'tx>,
    (org, name): (&str, &str),
    wanted: &RobotTokenWanted,
    secret: &Secret,
    now: Micros,
) -> Result<TokenSeen, ManageError> {
    let may = govern(tx, caller, org)?;
    let robot = find(tx, &may, org, name)?;
    let (name, expires_at) = name_and_end(&wanted.name, wanted.expires_at, now)?;
    let scopes = Scopes::from_names(wanted.scopes.iter().map(String::as_str))
        .map_err(|unknown| ManageError::invalid("Token", "scopes", unknown.to_string()))?;
    let for_packages = Scopes::WRITE.with(Scopes::DELETE);
    if scopes == Scopes::NONE || !for_packages.contains(scopes) {
        let why = "a robot's token holds `read:packages`, `write:packages` or `delete:packages`";
        return Err(ManageError::invalid("Token", "scopes", why));
    }
    // Never wider than the one that makes it.
    if !caller.scopes().contains(scopes) {
        let lacks = scopes.names().find(|scope| !caller.scopes().names().any(|held| held == *scope));
        return Err(ManageError::Forbidden(format!(
            "A token makes none that is wider than itself: yours lacks {}.",
            lacks.unwrap_or("a scope")
        )));
    }
    if tx.robot_tokens_kept(&may, robot.id, TOKENS_MAX)? >= u64::from(TOKENS_MAX) {
        return Err(full());
    }
    let (account, kind, hash) = (robot.id, TokenKind::Personal, hash(secret.reveal()));
    let new = NewToken { account, kind, name, hash, scopes, expires_at };
    let made = tx.create_robot_token(&may, &new, now)?;
    let id = made.ok_or_else(|| ManageError::unknown("robot", &robot.name))?;
    Ok(TokenSeen {
        id: id.0,
        name: new.name,
        kind,
        scopes,
        limits: Vec::new(),
        created_at: now.0,
        expires_at: expires_at.map(|at| at.0),
        last_used_at: None,
    })
}

fn description(change: &RobotChange) -> Result<Option<Option<String>>, ManageError> {
    let given = change.description.as_deref();
    given.map(|given| text(RESOURCE, "description", given, DESCRIPTION_CHARS_MAX)).transpose()
}

impl Service {
    /// Makes a robot.
    pub async fn create_robot(
        &self,
        shown: &Shown,
        org: &str,
        name: &str,
        wanted: RobotChange,
    ) -> Result<RobotSeen, ManageError> {
        let (org, name) = (org.to_owned(), name.to_owned());
        self.change(shown, move |tx, caller, now| create(tx, caller, (&org, &name), &wanted, now)).await
    }

    /// The organization's robots by name.
    pub async fn robots(
        &self,
        shown: &Shown,
        org: &str,
        window: Window,
    ) -> Result<Rows<RobotSeen>, ManageError> {
        let org = org.to_owned();
        // Names in the index begin with the organization's; whoever pages gives the robots' own.
        let after = if window.after.is_empty() { String::new() } else { whole_name(&org, &window.after) };
        let window = Window { after, ..window };
        self.look(shown, move |tx, caller| list(tx, caller, &org, &window)).await
    }

    /// One of them.
    pub async fn robot(&self, shown: &Shown, org: &str, name: &str) -> Result<RobotSeen, ManageError> {
        let (org, name) = (org.to_owned(), name.to_owned());
        self.look(shown, move |tx, caller| {
            let may = govern(tx, caller, &org)?;
            Ok(seen(find(tx, &may, &org, &name)?))
        })
        .await
    }

    /// Changes what a robot may and what it is for.
    pub async fn change_robot(
        &self,
        shown: &Shown,
        org: &str,
        name: &str,
        wanted: RobotChange,
    ) -> Result<RobotSeen, ManageError> {
        let (org, name) = (org.to_owned(), name.to_owned());
        self.change(shown, move |tx, caller, now| change(tx, caller, (&org, &name), &wanted, now)).await
    }

    /// Deletes a robot, with its tokens and its roles.
    pub async fn delete_robot(&self, shown: &Shown, org: &str, name: &str) -> Result<(), ManageError> {
        let (org, name) = (org.to_owned(), name.to_owned());
        self.change(shown, move |tx, caller, now| delete(tx, caller, (&org, &name), now)).await
    }

    /// Makes a token for a robot.
    pub async fn create_robot_token(
        &self,
        shown: &Shown,
        org: &str,
        name: &str,
        wanted: RobotTokenWanted,
    ) -> Result<TokenMade, ManageError> {
        let secret = Secret::random().map_err(|_| ManageError::Fault(Fault::Random))?;
        let (org, name, kept) = (org.to_owned(), name.to_owned(), secret.clone());
        let seen = self
            .change(shown, move |tx, caller, now| {
                create_token(tx, caller, (&org, &name), &wanted, &kept, now)
            })
            .await?;
        Ok(TokenMade { secret, seen })
    }

    /// The tokens of a robot that were not revoked, by identifier.
    pub async fn robot_tokens(
        &self,
        shown: &Shown,
        org: &str,
        name: &str,
        window: Window,
    ) -> Result<Rows<TokenSeen>, ManageError> {
        let (org, name) = (org.to_owned(), name.to_owned());
        self.look(shown, move |tx, caller| {
            let may = govern(tx, caller, &org)?;
            let robot = find(tx, &may, &org, &name)?;
            let rows = Rows::read(&window, |window| tx.robot_tokens(&may, robot.id, window))?;
            let seen = rows.rows.into_iter().map(|token| TokenSeen::of(token, &[])).collect();
            Ok(Rows { rows: seen, more: rows.more })
        })
        .await
    }

    /// Revokes a token of a robot.
    pub async fn revoke_robot_token(
        &self,
        shown: &Shown,
        org: &str,
        name: &str,
        id: i64,
    ) -> Result<(), ManageError> {
        let (org, name) = (org.to_owned(), name.to_owned());
        self.change(shown, move |tx, caller, now| {
            let may = govern(tx, caller, &org)?;
            let robot = find(tx, &may, &org, &name)?;
            if !tx.revoke_robot_token(&may, robot.id, TokenId(id), now)? {
                return Err(ManageError::unknown("token", &id.to_string()));
            }
            Ok(())
        })
        .await
    }
}
