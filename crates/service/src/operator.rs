//! The operator's commands: accounts, organizations, tokens, packages. They come over the operator's socket or
//! from the command line itself, so who gives one holds the data folder; they are callers like all others.

mod copies;
mod gc;
mod machines;
mod people;
mod rules;
mod transfer;
mod usage;
mod verify;

pub use copies::{BackupView, CopyCommand};
pub use gc::{GarbageView, GcCommand, GcRoundView, GcStatusView, GcTotalView, GcWaitingView};
pub use machines::{MachineCommand, RobotView};
pub use people::{PackageAccessView, PeopleCommand, PolicyView, RepositoryView, TeamView};
pub use rules::{PlanView, PlannedView, RetentionView, RuleCommand, RuleView, TagView};
pub use transfer::TransferCommand;
pub use usage::{MeasureView, PlanLimitsView, UsageCommand, UsageView};
pub use verify::{
    FindingView, QuarantinedView, VerifiedView, VerifyCommand, VerifyRunView, VerifyStatusView,
};

use crate::access::caller;
use crate::error::{Fault, of_catalog};
use crate::identity::hash;
use crate::token_format::Secret;
use crate::transfer::{ExportStep, ImportStep};
use crate::{Denied, Explanation, Service};
use packhouse_access::{
    AccountId, Granted, Operate, PackageFacts, Refused, Scopes, TokenId, UnknownScope, UnknownWord,
    Visibility, decide_operate, decide_publish,
};
use packhouse_catalog::{
    Account, AccountKind, CatalogError, Micros, NewToken, Presented, TokenKind, WriteTx,
};
use packhouse_oci::{AccountName, NameError, PackageName};
use serde::{Deserialize, Serialize};

/// Rows that a list shows at the most.
const LIST_MAX: u32 = 10_000;

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Makes a user.
    UserCreate {
        /// Their name.
        name: String,
        /// Whether they administer the site.
        site_admin: bool,
    },
    /// Lists users.
    UserList,
    /// Makes all tokens of a user useless.
    UserSuspend {
        /// Whose.
        name: String,
    },
    /// Ends a suspension.
    UserResume {
        /// Whose.
        name: String,
    },
    /// Makes an organization.
    OrgCreate {
        /// Its name.
        name: String,
        /// Its first owner.
        owner: String,
    },
    /// Lists organizations.
    OrgList,
    /// Adds a member, or changes their role.
    OrgAddMember {
        /// To which.
        org: String,
        /// Whom.
        user: String,
        /// Whether as an owner.
        owner: bool,
    },
    /// Ends a membership.
    OrgRemoveMember {
        /// In which.
        org: String,
        /// Whose.
        user: String,
    },
    /// Lists members.
    OrgMembers {
        /// Of which.
        org: String,
    },
    /// Makes a personal access token.
    TokenCreate {
        /// For whom.
        user: String,
        /// A name for people.
        name: String,
        /// Scopes by name.
        scopes: Vec<String>,
        /// When it ends; never, when absent.
        expires_seconds: Option<u64>,
    },
    /// Lists tokens.
    TokenList {
        /// Of one user.
        user: Option<String>,
    },
    /// Revokes a token, and with it its bearer tokens.
    TokenRevoke {
        /// Which.
        id: i64,
    },
    /// Lists packages.
    PackageList {
        /// Of one namespace.
        namespace: Option<String>,
    },
    /// Changes who may read a package without a role.
    PackageVisibility {
        /// Which.
        path: String,
        /// `private`, `internal` or `public`.
        visibility: String,
    },
    /// Gives a role on a package.
    PackageGrant {
        /// On which.
        path: String,
        /// To whom: a user's or robot's name, `team:SLUG` or `repository:NAME`.
        user: String,
        /// `read`, `write` or `admin`.
        role: String,
    },
    /// Takes a role on a package.
    PackageRevoke {
        /// On which.
        path: String,
        /// Whose: a user's or robot's name, `team:SLUG` or `repository:NAME`.
        user: String,
    },
    /// Lists the roles on a package.
    PackageAccess {
        /// Which.
        path: String,
    },
    /// Teams, repositories, policies, links of packages.
    People(PeopleCommand),
    /// Fine-grained tokens, robots, programs with a code.
    Machines(MachineCommand),
    /// Garbage collection.
    Gc(GcCommand),
    /// Rules about tags, retention, the tags' past.
    Rules(RuleCommand),
    /// What accounts use, and their plans.
    Usage(UsageCommand),
    /// Images from outside, and to there.
    Transfer(TransferCommand),
    /// Copies of the house.
    Copies(CopyCommand),
    /// Scrubbing.
    Verify(VerifyCommand),
}

/// A user or an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Its identifier.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether it administers the site.
    pub site_admin: bool,
    /// When it was made, microseconds since 1970.
    pub created_at: i64,
    /// Since when it is suspended.
    pub suspended_at: Option<i64>,
}

/// A member of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// The user.
    pub user: String,
    /// `owner` or `member`.
    pub role: String,
}

/// A token; never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its identifier.
    pub id: i64,
    /// Whose.
    pub user: String,
    /// A name for people.
    pub name: String,
    /// `classic`, `configured`, `fine_grained` or `device`.
    pub kind: String,
    /// Scopes by name.
    pub scopes: Vec<String>,
    /// When it was made, microseconds since 1970.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<i64>,
    /// Since when it is revoked.
    pub revoked_at: Option<i64>,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageView {
    /// Its identifier.
    pub id: i64,
    /// `namespace/name…`
    pub path: String,
    /// `private`, `internal` or `public`.
    pub visibility: String,
    /// When it was made, microseconds since 1970.
    pub created_at: i64,
}

/// A role on a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessView {
    /// Whose.
    pub user: String,
    /// `read`, `write` or `admin`.
    pub role: String,
}

/// What came of a command.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done.
    Done {
        /// What was done.
        message: String,
    },
    /// Users.
    Users(Vec<AccountView>),
    /// Organizations.
    Orgs(Vec<AccountView>),
    /// Members.
    Members(Vec<MemberView>),
    /// A token that was made. It is shown here and never again.
    Token {
        /// The token.
        token: String,
        /// What is kept of it.
        #[serde(flatten)]
        view: TokenView,
    },
    /// Tokens.
    Tokens(Vec<TokenView>),
    /// Packages.
    Packages(Vec<PackageView>),
    /// Roles.
    Access(Vec<AccessView>),
    /// Roles on a package.
    PackageAccess(PackageAccessView),
    /// What members may do.
    Policy(PolicyView),
    /// Teams.
    Teams(Vec<TeamView>),
    /// Repositories.
    Repositories(Vec<RepositoryView>),
    /// Robots.
    Robots(Vec<RobotView>),
    /// Rules about tags.
    Rules(Vec<RuleView>),
    /// A retention policy.
    Retention(RetentionView),
    /// What a policy would do, or has done.
    Plan(PlanView),
    /// Where a tag pointed.
    TagHistory(Vec<TagView>),
    /// Why, or why not.
    Explained(Explanation),
    /// What accounts use.
    Usage(Vec<UsageView>),
    /// Plans.
    Plans(Vec<PlanLimitsView>),
    /// What a round of collection did.
    GcRound(GcRoundView),
    /// What collecting now would remove.
    Garbage(Vec<GarbageView>),
    /// How collection stands.
    GcStatus(GcStatusView),
    /// What a step of an import did.
    Imported(Box<ImportStep>),
    /// What a step of an export did.
    Exported(Box<ExportStep>),
    /// How far a backup is.
    Backup(BackupView),
    /// How a scrub stands.
    VerifyRun(VerifyRunView),
    /// What a scrub found.
    Verified(VerifiedView),
    /// The last scrub, and what is quarantined.
    VerifyStatus(VerifyStatusView),
    /// Not done; nothing was changed.
    Refused {
        /// Why, and what to do.
        message: String,
    },
}

/// A token that was made is not for logs.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Answer::Refused { message } => write!(f, "Refused({message})"),
            Answer::Done { message } => write!(f, "Done({message})"),
            Answer::Users(_)
            | Answer::Orgs(_)
            | Answer::Members(_)
            | Answer::Token { .. }
            | Answer::Tokens(_)
            | Answer::Robots(_)
            | Answer::Packages(_)
            | Answer::Access(_)
            | Answer::PackageAccess(_)
            | Answer::Policy(_)
            | Answer::Teams(_)
            | Answer::Repositories(_)
            | Answer::Explained(_)
            | Answer::Usage(_)
            | Answer::Plans(_)
            | Answer::GcRound(_)
            | Answer::Garbage(_)
            | Answer::Rules(_)
            | Answer::Retention(_)
            | Answer::Plan(_)
            | Answer::TagHistory(_)
            | Answer::Imported(_)
            | Answer::Exported(_)
            | Answer::Backup(_)
            | Answer::VerifyRun(_)
            | Answer::Verified(_)
            | Answer::VerifyStatus(_)
            | Answer::GcStatus(_) => f.write_str("Answer(…)"),
        }
    }
}

/// Why a command is not done.
#[derive(Debug, thiserror::Error)]
enum OperatorError {
    #[error("`{name}` is not a name for an account: {why}")]
    Name { name: String, why: NameError },
    #[error("`{path}` is not the path of a package: {why}")]
    Path { path: String, why: NameError },
    #[error("the name `{0}` is taken; names of users and organizations are one list")]
    Taken(String),
    #[error("there is no user `{0}`; `packhouse user list` shows who there is")]
    NoUser(String),
    #[error("there is no organization `{0}`; `packhouse org list` shows which there are")]
    NoOrganization(String),
    #[error("there is no package `{0}`; `packhouse package list` shows which there are")]
    NoPackage(String),
    #[error("`{user}` is not a member of `{org}`")]
    NoMember { org: String, user: String },
    #[error("`{user}` is the last owner of `{org}`; make another owner first")]
    LastOwner { org: String, user: String },
    #[error("there is no plan `{0}`; `packhouse plan list` shows which there are")]
    NoPlan(String),
    #[error("there is no working token {0}; `packhouse token list` shows which there are")]
    NoToken(i64),
    #[error("there is no `{0}`")]
    Absent(String),
    #[error("no program waits with the code `{0}`; codes live 15 minutes and are used once")]
    NoCode(String),
    #[error("there is no team `{0}`; `packhouse team list` shows which there are")]
    NoTeam(String),
    #[error("{0}")]
    Rule(String),
    #[error("a token's name has at most 100 characters")]
    LongName,
    #[error(transparent)]
    Word(#[from] UnknownWord),
    #[error(transparent)]
    Scope(#[from] UnknownScope),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<CatalogError> for OperatorError {
    fn from(error: CatalogError) -> Self {
        of_catalog(error)
    }
}

impl Service {
    /// Does what the operator wants.
    pub async fn operate(&self, command: Command) -> Answer {
        match self.try_operate(command).await {
            Ok(answer) => answer,
            Err(OperatorError::Fault(fault)) => {
                tracing::error!(error = fault.chain(), "an operator's command failed");
                Answer::Refused { message: "the catalog could not do it; the log says why".to_owned() }
            }
            Err(error) => Answer::Refused { message: error.to_string() },
        }
    }

    async fn try_operate(&self, command: Command) -> Result<Answer, OperatorError> {
        // A command of many transactions has its own way; the others are one.
        if let Command::Gc(command) = &command {
            return self.operate_gc(command).await;
        }
        if let Command::Copies(command) = &command {
            return self.operate_copies(command).await;
        }
        if let Command::Verify(command) = &command {
            return self.operate_verify(command).await;
        }
        if let Command::Transfer(command) = command {
            return Ok(self.operate_transfer(command).await);
        }
        if let Command::Rules(command) = &command
            && let Some(planned) = self.plan_command(command).await
        {
            return planned;
        }
        let now = self.clock.now();
        let secret = Secret::random().map_err(|_| Fault::Random)?;
        self.catalog
            .write(move |tx| {
                let operator = caller::<OperatorError>(tx, &Presented::Operator, now)?;
                let may = decide_operate(&operator)?;
                let desk = Desk { now, secret: &secret };
                match &command {
                    Command::UserCreate { .. }
                    | Command::UserList
                    | Command::UserSuspend { .. }
                    | Command::UserResume { .. } => desk.users(tx, &may, &command),
                    Command::OrgCreate { .. }
                    | Command::OrgList
                    | Command::OrgAddMember { .. }
                    | Command::OrgRemoveMember { .. }
                    | Command::OrgMembers { .. } => desk.organizations(tx, &may, &command),
                    Command::TokenCreate { .. } | Command::TokenList { .. } | Command::TokenRevoke { .. } => {
                        desk.tokens(tx, &may, &command)
                    }
                    Command::PackageList { .. } | Command::PackageVisibility { .. } => {
                        desk.packages(tx, &may, &command)
                    }
                    Command::PackageGrant { .. }
                    | Command::PackageRevoke { .. }
                    | Command::PackageAccess { .. } => people::roles(tx, &operator, &command, now),
                    Command::People(command) => people::people(tx, &operator, command, now),
                    Command::Rules(command) => rules::rule_command(tx, &operator, command, now),
                    Command::Usage(command) => usage::usage_command(tx, &may, command, now),
                    Command::Machines(command) => machines::machines(tx, &operator, command, &secret, now),
                    Command::Gc(_) | Command::Transfer(_) | Command::Copies(_) | Command::Verify(_) => {
                        Err(OperatorError::Fault(Fault::Ended))
                    }
                }
            })
            .await
    }
}

/// One command's time and, if it makes a token, the token.
struct Desk<'s> {
    now: Micros,
    secret: &'s Secret,
}

fn done(message: String) -> Result<Answer, OperatorError> {
    Ok(Answer::Done { message })
}

fn account_name(name: &str) -> Result<AccountName, OperatorError> {
    // People write their names as GitHub shows them; paths of packages are lower case.
    let lower = name.to_lowercase();
    lower.parse().map_err(|why| OperatorError::Name { name: name.chars().take(80).collect(), why })
}

fn user(tx: &mut WriteTx<'_, '_>, name: &str) -> Result<Account, OperatorError> {
    let name = account_name(name)?;
    let found = tx.account(name.as_str())?.filter(|account| account.kind == AccountKind::User);
    found.ok_or_else(|| OperatorError::NoUser(name.to_string()))
}

fn organization(tx: &mut WriteTx<'_, '_>, name: &str) -> Result<Account, OperatorError> {
    let name = account_name(name)?;
    let found = tx.account(name.as_str())?.filter(|account| account.kind == AccountKind::Organization);
    found.ok_or_else(|| OperatorError::NoOrganization(name.to_string()))
}

fn view(account: Account) -> AccountView {
    AccountView {
        id: account.id.0,
        name: account.name,
        site_admin: account.site_admin,
        created_at: account.created_at.0,
        suspended_at: account.suspended_at.map(|at| at.0),
    }
}

impl Desk<'_> {
    fn users<'tx>(
        &self,
        tx: &mut WriteTx<'_, 'tx>,
        may: &Granted<'tx, Operate>,
        command: &Command,
    ) -> Result<Answer, OperatorError> {
        match command {
            Command::UserCreate { name, site_admin } => {
                let (login, name) = (name, account_name(name)?);
                tx.create_account(may, login, AccountKind::User, *site_admin, self.now)?
                    .ok_or_else(|| OperatorError::Taken(name.to_string()))?;
                done(format!("user `{name}` was made; `packhouse token create {name}` gives them a token"))
            }
            Command::UserSuspend { name } => {
                let user = user(tx, name)?;
                tx.set_suspended(may, user.id, Some(self.now))?;
                done(format!("user `{}` is suspended: none of their tokens works", user.name))
            }
            Command::UserResume { name } => {
                let user = user(tx, name)?;
                tx.set_suspended(may, user.id, None)?;
                done(format!("user `{}` may sign in again", user.name))
            }
            _ => {
                let users = tx.accounts(may, AccountKind::User, "", LIST_MAX)?;
                Ok(Answer::Users(users.into_iter().map(view).collect()))
            }
        }
    }

    fn organizations<'tx>(
        &self,
        tx: &mut WriteTx<'_, 'tx>,
        may: &Granted<'tx, Operate>,
        command: &Command,
    ) -> Result<Answer, OperatorError> {
        match command {
            Command::OrgCreate { name, owner } => {
                let (login, name, owner) = (name, account_name(name)?, user(tx, owner)?);
                let made = tx
                    .create_account(may, login, AccountKind::Organization, false, self.now)?
                    .ok_or_else(|| OperatorError::Taken(name.to_string()))?;
                tx.put_member(may, made, owner.id, true)?;
                done(format!("organization `{name}` was made; `{}` owns it", owner.name))
            }
            Command::OrgAddMember { org, user: name, owner } => {
                let (org, user) = (organization(tx, org)?, user(tx, name)?);
                if !owner {
                    keep_an_owner(tx, may, &org, &user)?;
                }
                tx.put_member(may, org.id, user.id, *owner)?;
                let role = if *owner { "an owner" } else { "a member" };
                done(format!("`{}` is {role} of `{}`", user.name, org.name))
            }
            Command::OrgRemoveMember { org, user: name } => {
                let (org, user) = (organization(tx, org)?, user(tx, name)?);
                keep_an_owner(tx, may, &org, &user)?;
                if !tx.remove_member(may, org.id, user.id)? {
                    return Err(OperatorError::NoMember { org: org.name, user: user.name });
                }
                done(format!("`{}` is no member of `{}` any more", user.name, org.name))
            }
            Command::OrgMembers { org } => {
                let org = organization(tx, org)?;
                let members = tx.members(may, org.id, "", LIST_MAX)?.into_iter();
                let role = |owner| if owner { "owner" } else { "member" }.to_owned();
                Ok(Answer::Members(
                    members.map(|m| MemberView { user: m.name, role: role(m.owner) }).collect(),
                ))
            }
            _ => {
                let organizations = tx.accounts(may, AccountKind::Organization, "", LIST_MAX)?;
                Ok(Answer::Orgs(organizations.into_iter().map(view).collect()))
            }
        }
    }

    fn tokens<'tx>(
        &self,
        tx: &mut WriteTx<'_, 'tx>,
        may: &Granted<'tx, Operate>,
        command: &Command,
    ) -> Result<Answer, OperatorError> {
        match command {
            Command::TokenCreate { user: owner, name, scopes, expires_seconds } => {
                let owner = user(tx, owner)?;
                if name.chars().count() > 100 {
                    return Err(OperatorError::LongName);
                }
                let scopes = Scopes::from_names(scopes.iter().map(String::as_str))?;
                let new = NewToken {
                    account: owner.id,
                    kind: TokenKind::Personal,
                    name: name.clone(),
                    hash: hash(self.secret.reveal()),
                    scopes,
                    expires_at: expires_seconds.map(|seconds| self.now.plus_seconds(seconds)),
                };
                let id = tx.create_token(may, &new, self.now)?.ok_or(CatalogError::Corrupt("token"))?;
                let view = TokenView {
                    id: id.0,
                    user: owner.name,
                    name: new.name,
                    kind: new.kind.as_str().to_owned(),
                    scopes: scopes.names().map(str::to_owned).collect(),
                    created_at: self.now.0,
                    expires_at: new.expires_at.map(|at| at.0),
                    last_used_at: None,
                    revoked_at: None,
                };
                Ok(Answer::Token { token: self.secret.reveal().to_owned(), view })
            }
            Command::TokenRevoke { id } => {
                if !tx.revoke_token(may, TokenId(*id), self.now)? {
                    return Err(OperatorError::NoToken(*id));
                }
                done(format!("token {id} is revoked, and its bearer tokens with it"))
            }
            command => {
                let account = match command {
                    Command::TokenList { user: Some(name) } => Some(user(tx, name)?.id),
                    _ => None,
                };
                let tokens = tx.tokens(may, account, TokenId(0), LIST_MAX)?;
                let view = |token: packhouse_catalog::Token| TokenView {
                    id: token.id.0,
                    user: token.account,
                    name: token.name,
                    kind: token.kind.as_str().to_owned(),
                    scopes: token.scopes.names().map(str::to_owned).collect(),
                    created_at: token.created_at.0,
                    expires_at: token.expires_at.map(|at| at.0),
                    last_used_at: token.last_used_at.map(|at| at.0),
                    revoked_at: token.revoked_at.map(|at| at.0),
                };
                Ok(Answer::Tokens(tokens.into_iter().map(view).collect()))
            }
        }
    }

    fn packages<'tx>(
        &self,
        tx: &mut WriteTx<'_, 'tx>,
        may: &Granted<'tx, Operate>,
        command: &Command,
    ) -> Result<Answer, OperatorError> {
        match command {
            Command::PackageVisibility { path, visibility } => {
                let visibility: Visibility = visibility.parse()?;
                let may = decide_publish(&package_facts(tx, path, self.now)?, visibility)?;
                tx.set_visibility(&may, self.now)?;
                done(format!("`{}` is {visibility} now", may.path()))
            }
            command => {
                let namespace = match command {
                    Command::PackageList { namespace: Some(name) } => Some(namespace(tx, name)?),
                    _ => None,
                };
                let packages = tx.packages(may, namespace, "", LIST_MAX)?.into_iter();
                let view = |package: packhouse_catalog::Package| PackageView {
                    id: package.id.0,
                    path: package.path,
                    visibility: package.visibility.as_str().to_owned(),
                    created_at: package.created_at.0,
                };
                Ok(Answer::Packages(packages.map(view).collect()))
            }
        }
    }
}

fn namespace(tx: &mut WriteTx<'_, '_>, name: &str) -> Result<AccountId, OperatorError> {
    let name = account_name(name)?;
    let found = tx.account(name.as_str())?;
    found.map(|account| account.id).ok_or_else(|| OperatorError::NoUser(name.to_string()))
}

fn package_facts<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    path: &str,
    now: Micros,
) -> Result<PackageFacts<'tx>, OperatorError> {
    let bad = |why| OperatorError::Path { path: path.chars().take(300).collect(), why };
    let name: PackageName = path.parse().map_err(bad)?;
    let operator = caller::<OperatorError>(tx, &Presented::Operator, now)?;
    let facts = tx.facts(&operator, name.as_str())?;
    if !facts.exists() {
        return Err(OperatorError::NoPackage(name.to_string()));
    }
    Ok(facts)
}

/// An organization without an owner could not be administered by anyone of it.
fn keep_an_owner<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Operate>,
    org: &Account,
    user: &Account,
) -> Result<(), OperatorError> {
    if tx.owners(may, org.id)? == [user.id] {
        return Err(OperatorError::LastOwner { org: org.name.clone(), user: user.name.clone() });
    }
    Ok(())
}
