//! The operator's commands about what signs in without a person: fine-grained tokens, robots, programs with a code.

use super::{Answer, OperatorError, TokenView, done, user};
use crate::devices::written;
use crate::identity::hash;
use crate::own_tokens::{LimitWanted, TokenSeen, TokenWanted, create_for};
use crate::robots::{self, RobotChange, RobotSeen, RobotTokenWanted};
use crate::token_format::Secret;
use packhouse_access::{Caller, Role, decide_operate};
use packhouse_catalog::{Micros, Window, WriteTx};
use serde::{Deserialize, Serialize};

/// Rows that a list shows at the most.
const LIST_MAX: u32 = 10_000;

/// What the operator wants of machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MachineCommand {
    /// Makes a fine-grained token.
    TokenCreateFineGrained {
        /// For whom.
        user: String,
        /// A name for people.
        name: String,
        /// Packages that it is for, by path.
        packages: Vec<String>,
        /// Users and organizations for all of whose packages it is.
        owners: Vec<String>,
        /// `read`, `write` or `admin`: what it may at most do there.
        permission: String,
        /// When it ends; never, when absent.
        expires_seconds: Option<u64>,
    },
    /// Makes a robot.
    RobotCreate {
        /// In which organization.
        org: String,
        /// Its name.
        name: String,
        /// What it may on all packages of the organization; nothing, when absent.
        role: Option<String>,
        /// What it is for.
        description: Option<String>,
    },
    /// Lists the robots of an organization.
    RobotList {
        /// Of which.
        org: String,
    },
    /// Changes what a robot may.
    RobotRole {
        /// In which organization.
        org: String,
        /// Which.
        name: String,
        /// `read`, `write`, `admin` or `none`.
        role: String,
    },
    /// Deletes a robot, with its tokens and roles.
    RobotDelete {
        /// In which organization.
        org: String,
        /// Which.
        name: String,
    },
    /// Makes a token for a robot.
    RobotToken {
        /// In which organization.
        org: String,
        /// Which.
        name: String,
        /// A name for people.
        token_name: String,
        /// Scopes by name.
        scopes: Vec<String>,
        /// When it ends; never, when absent.
        expires_seconds: Option<u64>,
    },
    /// Lets a program in that shows a code.
    DeviceApprove {
        /// The code.
        code: String,
        /// As whom.
        user: String,
    },
}

/// A robot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotView {
    /// Its identifier.
    pub id: i64,
    /// `organization+name`.
    pub name: String,
    /// What it may on all packages of the organization: `read`, `write`, `admin` or `none`.
    pub role: String,
    /// What it is for.
    pub description: Option<String>,
    /// When it was made, microseconds since 1970.
    pub created_at: i64,
}

fn view(robot: RobotSeen) -> RobotView {
    RobotView {
        id: robot.id,
        name: robot.login,
        role: robot.role.map_or("none", Role::as_str).to_owned(),
        description: robot.description,
        created_at: robot.created_at,
    }
}

fn role(word: &str) -> Result<Option<Role>, OperatorError> {
    if word == "none" { Ok(None) } else { Ok(Some(word.parse()?)) }
}

fn made(user: String, seen: TokenSeen, secret: &Secret) -> Answer {
    let view = TokenView {
        id: seen.id,
        user,
        name: seen.name,
        kind: seen.kind.as_str().to_owned(),
        scopes: seen.scopes.names().map(str::to_owned).collect(),
        created_at: seen.created_at,
        expires_at: seen.expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    Answer::Token { token: secret.reveal().to_owned(), view }
}

/// Does what the operator wants. `secret` is the token, if one is made.
pub(super) fn machines<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    operator: &Caller<'tx>,
    command: &MachineCommand,
    secret: &Secret,
    now: Micros,
) -> Result<Answer, OperatorError> {
    let end = |seconds: Option<u64>| seconds.map(|seconds| now.plus_seconds(seconds).0);
    match command {
        MachineCommand::TokenCreateFineGrained {
            user: holder,
            name,
            packages,
            owners,
            permission,
            expires_seconds,
        } => {
            let holder = user(tx, holder)?;
            let role: Role = permission.parse()?;
            let packages = packages.iter().map(|path| LimitWanted::Package(path.clone(), role));
            let owners = owners.iter().map(|name| LimitWanted::Owner(name.clone(), role));
            let limits = packages.chain(owners).collect();
            let wanted = TokenWanted { name: name.clone(), limits, expires_at: end(*expires_seconds) };
            let id = create_for(tx, operator, holder.id, &wanted, secret, now)?;
            let seen = TokenSeen {
                id: id.0,
                name: wanted.name,
                kind: packhouse_catalog::TokenKind::FineGrained,
                scopes: packhouse_access::Scopes::NONE,
                limits: wanted.limits,
                created_at: now.0,
                expires_at: wanted.expires_at,
                last_used_at: None,
            };
            Ok(made(holder.name, seen, secret))
        }
        MachineCommand::RobotCreate { org, name, role: word, description } => {
            let role = word.as_deref().map_or(Ok(None), role)?;
            let change = RobotChange { role: Some(role), description: description.clone() };
            let robot = robots::create(tx, operator, (org, name), &change, now)?;
            done(format!(
                "robot `{}` was made; `packhouse robot token {org} {}` gives it a token",
                robot.login, robot.name
            ))
        }
        MachineCommand::RobotList { org } => {
            let rows = robots::list(tx, operator, org, &Window::first(LIST_MAX))?;
            Ok(Answer::Robots(rows.rows.into_iter().map(view).collect()))
        }
        MachineCommand::RobotRole { org, name, role: word } => {
            let change = RobotChange { role: Some(role(word)?), description: None };
            let robot = view(robots::change(tx, operator, (org, name), &change, now)?);
            done(format!("`{}` has the role {} on all packages of `{org}`", robot.name, robot.role))
        }
        MachineCommand::RobotDelete { org, name } => {
            robots::delete(tx, operator, (org, name), now)?;
            done(format!("robot `{name}` of `{org}` is deleted, and its tokens with it"))
        }
        MachineCommand::RobotToken { org, name, token_name, scopes, expires_seconds } => {
            let expires_at = end(*expires_seconds);
            let wanted = RobotTokenWanted { name: token_name.clone(), scopes: scopes.clone(), expires_at };
            let seen = robots::create_token(tx, operator, (org, name), &wanted, secret, now)?;
            Ok(made(format!("{org}+{name}"), seen, secret))
        }
        MachineCommand::DeviceApprove { code, user: holder } => {
            let holder = user(tx, holder)?;
            let may = decide_operate(operator)?;
            let nobody = || OperatorError::NoCode(code.chars().take(20).collect());
            let written = written(code).ok_or_else(nobody)?;
            if !tx.approve_device_for(&may, holder.id, &hash(&written), now)? {
                return Err(nobody());
            }
            done(format!("the program with the code {written} is let in as `{}`", holder.name))
        }
    }
}
