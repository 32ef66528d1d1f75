//! What can be typed.

mod rules;
mod transfer;
mod usage;

use super::duration;
use super::flags::ConfigFlags;
use clap::{Args, Parser, Subcommand, ValueEnum};
use packhouse_service::operator::{Command, MachineCommand, PeopleCommand};
pub(super) use rules::{ProtectAct, RetentionAct, TagAct};
use std::path::PathBuf;
pub(super) use transfer::{ExportAct, ImportAct};
pub(super) use usage::{PlanAct, UsageShow};

/// Your own ghcr.io: a container registry in one program.
#[derive(Debug, Parser)]
#[command(name = "packhouse", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  packhouse serve                                    on 127.0.0.1:5000, data in ./packhouse-data
  packhouse serve --listen 0.0.0.0:5000 --data /var/lib/packhouse
  packhouse user create mona
  packhouse token create mona --scopes read:packages --expires 90d
  packhouse org create octo --owner mona
  packhouse package visibility octo/app public

Every setting has a flag, a variable PACKHOUSE_… and a key in a TOML file, in this order of
precedence; `packhouse serve --help` lists them, `packhouse config check` shows what holds.")]
pub struct Cli {
    #[command(subcommand)]
    pub(super) act: Act,
}

#[derive(Debug, Subcommand)]
pub(super) enum Act {
    /// Start the registry
    #[command(after_help = "\
The first start makes the site administrator and prints its token, once, with the lines that log
in and push. SIGTERM and SIGINT end the server after running transfers (`drain_seconds`).

Settings that are secrets have no flag, since others can read command lines: give
PACKHOUSE_DATABASE_URL and PACKHOUSE_ADMIN_TOKEN in the environment or in the file.

Examples:
  packhouse serve
  packhouse serve --listen 0.0.0.0:443 --tls-certificate fullchain.pem --tls-key privkey.pem
  packhouse serve --external-url https://packages.example.org --trusted-proxies 10.0.0.0/8
  PACKHOUSE_DATABASE_URL=postgres://packhouse:…@db/packhouse packhouse serve --config packhouse.toml")]
    Serve(ConfigFlags),
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        act: ConfigAct,
    },
    /// Make, list, suspend users
    User {
        #[command(subcommand)]
        act: UserAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Make organizations and choose their members
    Org {
        #[command(subcommand)]
        act: OrgAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Make, list, revoke personal access tokens
    Token {
        #[command(subcommand)]
        act: TokenAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Make accounts for machines of an organization
    Robot {
        #[command(subcommand)]
        act: RobotAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Make teams, choose their members and the repositories they work on
    Team {
        #[command(subcommand)]
        act: TeamAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Make records of repositories, which packages are linked to, and choose who works on them
    Repo {
        #[command(subcommand)]
        act: RepoAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Say why somebody may do something, or why not
    Access {
        #[command(subcommand)]
        act: AccessAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Make tags immutable, or protect them
    Protect {
        #[command(subcommand)]
        act: ProtectAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Drop old versions by policies
    Retention {
        #[command(subcommand)]
        act: RetentionAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// See where a tag pointed, and put it back
    Tag {
        #[command(subcommand)]
        act: TagAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// List packages, set who may see and change them
    Package {
        #[command(subcommand)]
        act: PackageAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Show what accounts store and send, and what they may
    #[command(after_help = "\
Storage is the configs and layers of an account's packages, each once; what was deleted counts no more. Transfer is
what was sent of them in a month (UTC).

Examples:
  packhouse usage
  packhouse usage acme --month 2026-10 --json")]
    Usage {
        #[command(flatten)]
        show: UsageShow,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// List the plans, and give accounts one
    Plan {
        #[command(subcommand)]
        act: PlanAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Remove now what nothing needs any more, in place of waiting for the server to do it
    #[command(after_help = "\
The server does this by itself, all the time, beside pushes and pulls. What was deleted stays for
`deleted_retention`; a blob that nothing names stays for `gc_grace`, and its bytes as long again.

Examples:
  packhouse gc --dry-run      what would go now
  packhouse gc                until nothing is due
  packhouse gc status         what waits, what lies in the trash, what was collected")]
    Gc {
        #[command(subcommand)]
        act: Option<GcAct>,
        /// Only show what would be removed now, at most 5,000 things
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Bring in images from another registry, its folder, or an OCI layout
    Import {
        #[command(subcommand)]
        act: ImportAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Write images to an OCI layout
    Export {
        #[command(subcommand)]
        act: ExportAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Copy the whole registry into a folder, while it serves
    #[command(after_help = "\
The folder is on the machine of the server, which writes it; it is made when it is not there. A
second backup into the same folder copies only the blobs that are new. Interrupted, the same command
goes on. It holds hashes of tokens: it is made for its owner only; keep it so.

Exit status 1 also when a blob is damaged in the store: then all the others are in the backup.

Examples:
  packhouse backup /mnt/backup/packhouse
  packhouse backup /mnt/backup/packhouse --keep 14      and forget what only older ones name")]
    Backup {
        /// Folder of the backup
        folder: PathBuf,
        /// Copies of the catalog that stay, this one included; without it all do
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
        keep: Option<u32>,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Make a registry of a backup, or of a snapshot of its lost catalog
    #[command(after_help = "\
The data folder or database, and the blob store, are those of the configuration and must be empty
(with --snapshot the store is the old one). They may be of another kind than those that were backed
up: this is how SQLite becomes PostgreSQL and files become a bucket, and back. No server may run
there. Interrupted, the same command goes on; a server does not start before it is done.

Examples:
  packhouse restore /mnt/backup/packhouse --data /var/lib/packhouse
  packhouse restore /mnt/backup/packhouse --config new.toml --catalog 20261125T231711-123456
  packhouse restore --snapshot --config packhouse.toml")]
    Restore {
        /// Folder of the backup
        folder: Option<PathBuf>,
        /// Copy of the catalog, of those in `backup.json` [default: latest]
        #[arg(long, value_name = "NAME", requires = "folder")]
        catalog: Option<String>,
        /// Of a snapshot in the blob store in place of a backup [default: latest]
        #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "latest",
              conflicts_with = "folder")]
        snapshot: Option<String>,
        /// Go on though the backup lacks blobs that were damaged when it was made
        #[arg(long, requires = "folder")]
        without_missing: bool,
        #[command(flatten)]
        flags: OperatorFlags,
    },
    /// Look at every byte and every row: is everything there, whole and consistent?
    #[command(after_help = "\
Runs beside the server, or without one, in small steps; a run that was interrupted goes on where it
was when the same command is given again. Exit status 0 only when all is well, or all that was found
was repaired.

Without --repair nothing is changed. With it, what can be proved is repaired; a blob or manifest whose
bytes are wrong is quarantined: it answers as if it were not there, and is whole again, in all packages,
as soon as anybody pushes it. docs/verify.md lists what can be found, and what is done about it.

Examples:
  packhouse verify                       look, and say what is wrong
  packhouse verify --repair              and repair it
  packhouse verify --rate 50MB/s --json  gently, for a script
  packhouse verify status                how the last run stands, what is quarantined")]
    Verify {
        #[command(subcommand)]
        act: Option<VerifyAct>,
        #[command(flatten)]
        verify: VerifyFlags,
        #[command(flatten)]
        flags: OperatorFlags,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum GcAct {
    /// What waits to be looked at, what lies in the trash, what was collected since the first start
    Status,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum VerifyAct {
    /// How the last run stands, and what is quarantined
    Status,
}

/// What a scrub does.
#[derive(Debug, Args)]
pub(super) struct VerifyFlags {
    /// Repair what can be proved, quarantine the rest
    #[arg(long)]
    pub(super) repair: bool,
    /// Only go on with a run that was interrupted
    #[arg(long, conflicts_with_all = ["again", "repair"])]
    pub(super) resume: bool,
    /// Begin anew, though a run was interrupted
    #[arg(long)]
    pub(super) again: bool,
    /// Read at most so many bytes a second, such as 50MB/s
    #[arg(long, value_name = "BYTES/s", value_parser = super::verify::rate)]
    pub(super) rate: Option<u64>,
}

/// Flags of the operator's commands.
#[derive(Debug, Args)]
pub(super) struct OperatorFlags {
    /// Data folder of the server [environment: PACKHOUSE_DATA] [default: ./packhouse-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data: Option<String>,
    /// TOML file to read settings from [environment: PACKHOUSE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print one JSON document in place of a table
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigAct {
    /// Check the configuration and print what holds, with the source of each value
    #[command(after_help = "\
Takes the flags of `packhouse serve` too. Exit status 1 and the reason when it cannot be used.

Example:
  packhouse config check --config packhouse.toml")]
    Check {
        #[command(flatten)]
        flags: ConfigFlags,
        /// Print one JSON document in place of a table
        #[arg(long)]
        json: bool,
    },
    /// Print the tables of docs/configuration.md
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Subcommand)]
pub(super) enum UserAct {
    /// Make a user
    Create {
        /// Name of the user, and of the namespace for their packages
        name: String,
        /// May do everything, everywhere
        #[arg(long)]
        site_admin: bool,
    },
    /// List users
    List,
    /// Make all tokens of a user useless until they are resumed
    Suspend {
        /// Whose
        name: String,
    },
    /// End a suspension
    Resume {
        /// Whose
        name: String,
    },
    /// Let a program in that shows a code, such as `gh auth login`
    ApproveDevice {
        /// The code
        code: String,
        /// As whom
        #[arg(long)]
        user: String,
    },
}

impl UserAct {
    pub(super) fn command(self) -> Command {
        match self {
            Self::Create { name, site_admin } => Command::UserCreate { name, site_admin },
            Self::List => Command::UserList,
            Self::Suspend { name } => Command::UserSuspend { name },
            Self::Resume { name } => Command::UserResume { name },
            Self::ApproveDevice { code, user } => {
                Command::Machines(MachineCommand::DeviceApprove { code, user })
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MemberRole {
    /// Administers the organization and its packages
    Owner,
    /// May make packages in the organization
    Member,
}

#[derive(Debug, Subcommand)]
pub(super) enum OrgAct {
    /// Make an organization
    Create {
        /// Name of the organization, and of the namespace for its packages
        name: String,
        /// Its first owner
        #[arg(long, value_name = "USER")]
        owner: String,
    },
    /// List organizations
    List,
    /// Add a member, or change their role
    AddMember {
        /// The organization
        org: String,
        /// The user
        user: String,
        /// Their role
        #[arg(long, value_enum, default_value = "member")]
        role: MemberRole,
    },
    /// End a membership
    RemoveMember {
        /// The organization
        org: String,
        /// The user
        user: String,
    },
    /// List members
    Members {
        /// The organization
        org: String,
    },
    /// Show what members may do, after changing what is given
    #[command(after_help = "\
Examples:
  packhouse org policy octo
  packhouse org policy octo --packages private,internal --default internal
  packhouse org policy octo --base-role none --members-create-repositories false")]
    Policy {
        /// The organization
        org: String,
        /// Visibilities that members may give to packages: private, internal, public; owners are not bound
        #[arg(long, value_delimiter = ',', value_name = "VISIBILITY,…")]
        packages: Option<Vec<Visibility>>,
        /// Visibility of a new package
        #[arg(long, value_name = "VISIBILITY")]
        default: Option<Visibility>,
        /// Whether packages that are linked by their first push inherit the repository's access
        #[arg(long, value_name = "true|false")]
        inherit: Option<bool>,
        /// What each member may in each repository
        #[arg(long, value_name = "ROLE")]
        base_role: Option<BaseRole>,
        /// Whether members may make repositories
        #[arg(long, value_name = "true|false")]
        members_create_repositories: Option<bool>,
    },
}

impl OrgAct {
    pub(super) fn command(self) -> Command {
        match self {
            Self::Create { name, owner } => Command::OrgCreate { name, owner },
            Self::List => Command::OrgList,
            Self::AddMember { org, user, role } => {
                Command::OrgAddMember { org, user, owner: role == MemberRole::Owner }
            }
            Self::RemoveMember { org, user } => Command::OrgRemoveMember { org, user },
            Self::Members { org } => Command::OrgMembers { org },
            Self::Policy { org, packages, default, inherit, base_role, members_create_repositories } => {
                Command::People(PeopleCommand::OrgPolicy {
                    org,
                    packages: packages.map(|kinds| kinds.iter().map(word).collect()),
                    default: default.as_ref().map(word),
                    inherit,
                    base_role: base_role.as_ref().map(word),
                    members_create_repositories,
                })
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenAct {
    /// Make a token and print it, once
    #[command(after_help = "\
Example:
  TOKEN=$(packhouse token create mona --name laptop --expires 90d --quiet)
  packhouse token create mona --packages octo/app,octo/web --owners mona --permission read")]
    Create {
        /// For whom
        user: String,
        /// A name to tell it from others
        #[arg(long, default_value = "command line")]
        name: String,
        /// What it may do at the most: read:packages, write:packages, delete:packages, or another of GitHub's scopes
        #[arg(long, value_delimiter = ',', default_value = "read:packages,write:packages")]
        scopes: Vec<String>,
        /// Make it for these packages, in place of scopes
        #[arg(long, value_delimiter = ',', value_name = "PATH,…", requires = "permission")]
        packages: Vec<String>,
        /// Make it for all packages of these users and organizations, in place of scopes
        #[arg(long, value_delimiter = ',', value_name = "NAME,…", requires = "permission")]
        owners: Vec<String>,
        /// What it may at most do with what it is made for
        #[arg(long, value_enum)]
        permission: Option<PackageRole>,
        /// Its life, such as 12h, 90d or 1y; without it, it does not expire
        #[arg(long, value_parser = duration::seconds, value_name = "TIME")]
        expires: Option<u64>,
        /// Print the token alone, for scripts
        #[arg(long, short, conflicts_with = "json")]
        quiet: bool,
    },
    /// List tokens; never the tokens themselves
    List {
        /// Only those of this user
        user: Option<String>,
    },
    /// Revoke a token, and at once everything that was signed in with it
    Revoke {
        /// Its number in the list
        id: i64,
    },
}

impl TokenAct {
    /// Whether only the token is wanted.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self, Self::Create { quiet: true, .. })
    }

    pub(super) fn command(self) -> Command {
        match self {
            Self::Create { user, name, packages, owners, permission: Some(permission), expires, .. } => {
                Command::Machines(MachineCommand::TokenCreateFineGrained {
                    user,
                    name,
                    packages,
                    owners,
                    permission: word(&permission),
                    expires_seconds: expires,
                })
            }
            Self::Create { user, name, mut scopes, expires, .. } => {
                // `--scopes ""` is a token of no scope, which reads what is public.
                scopes.retain(|scope| !scope.is_empty());
                Command::TokenCreate { user, name, scopes, expires_seconds: expires }
            }
            Self::List { user } => Command::TokenList { user },
            Self::Revoke { id } => Command::TokenRevoke { id },
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum RobotAct {
    /// Make a robot
    #[command(after_help = "\
Example:
  packhouse robot create octo deploy --role write")]
    Create {
        /// The organization
        org: String,
        /// Its name; it signs in as ORG+NAME
        name: String,
        /// What it may on all packages of the organization; without it, nothing but what it is given by name
        #[arg(long, value_enum)]
        role: Option<PackageRole>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
    },
    /// List the robots of an organization
    List {
        /// The organization
        org: String,
    },
    /// Change what a robot may on all packages of the organization
    Role {
        /// The organization
        org: String,
        /// The robot
        name: String,
        /// read, write, admin or none
        role: String,
    },
    /// Delete a robot, with its tokens and its roles
    Delete {
        /// The organization
        org: String,
        /// The robot
        name: String,
    },
    /// Make a token for a robot and print it, once
    Token {
        /// The organization
        org: String,
        /// The robot
        name: String,
        /// A name to tell it from others
        #[arg(long = "name", default_value = "command line")]
        token_name: String,
        /// What it may do at the most: read:packages, write:packages, delete:packages
        #[arg(long, value_delimiter = ',', default_value = "read:packages,write:packages")]
        scopes: Vec<String>,
        /// Its life, such as 12h, 90d or 1y; without it, it does not expire
        #[arg(long, value_parser = duration::seconds, value_name = "TIME")]
        expires: Option<u64>,
        /// Print the token alone, for scripts
        #[arg(long, short, conflicts_with = "json")]
        quiet: bool,
    },
}

impl RobotAct {
    /// Whether only the token is wanted.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self, Self::Token { quiet: true, .. })
    }

    pub(super) fn command(self) -> Command {
        Command::Machines(match self {
            Self::Create { org, name, role, description } => {
                MachineCommand::RobotCreate { org, name, role: role.as_ref().map(word), description }
            }
            Self::List { org } => MachineCommand::RobotList { org },
            Self::Role { org, name, role } => MachineCommand::RobotRole { org, name, role },
            Self::Delete { org, name } => MachineCommand::RobotDelete { org, name },
            Self::Token { org, name, token_name, scopes, expires, quiet: _ } => {
                MachineCommand::RobotToken { org, name, token_name, scopes, expires_seconds: expires }
            }
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Visibility {
    /// Who has a role on it
    Private,
    /// Everyone who is signed in
    Internal,
    /// Everyone, without signing in
    Public,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PackageRole {
    /// Pull
    Read,
    /// Pull and push
    Write,
    /// Pull, push, delete, and choose who else may
    Admin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BaseRole {
    /// Nothing by being a member
    None,
    /// Read
    Read,
    /// Read and write
    Write,
    /// Everything
    Admin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RepositoryRole {
    /// Read
    Read,
    /// Read, and manage issues
    Triage,
    /// Read and write
    Write,
    /// Write, and manage without what is destructive
    Maintain,
    /// Everything
    Admin,
}

#[derive(Debug, Subcommand)]
pub(super) enum TeamAct {
    /// List the teams of an organization
    List {
        /// The organization
        org: String,
    },
    /// Make a team
    #[command(after_help = "\
Example:
  packhouse team create octo \"Web people\" --parent engineering")]
    Create {
        /// The organization
        org: String,
        /// Its name; `Web people` is found as `web-people`
        name: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// Only its members and the organization's owners see it
        #[arg(long, conflicts_with = "parent")]
        secret: bool,
        /// The team above it, whose roles it has too
        #[arg(long, value_name = "TEAM")]
        parent: Option<String>,
    },
    /// Delete a team with its roles
    Delete {
        /// The organization
        org: String,
        /// The team
        team: String,
    },
    /// List members
    Members {
        /// The organization
        org: String,
        /// The team
        team: String,
    },
    /// Put a member of the organization into a team
    AddMember {
        /// The organization
        org: String,
        /// The team
        team: String,
        /// The user
        user: String,
        /// May change the team too
        #[arg(long)]
        maintainer: bool,
    },
    /// Take somebody out of a team
    RemoveMember {
        /// The organization
        org: String,
        /// The team
        team: String,
        /// The user
        user: String,
    },
    /// Give a team a role in a repository of the organization
    Grant {
        /// The organization
        org: String,
        /// The team
        team: String,
        /// The repository's name
        repository: String,
        /// The role
        role: RepositoryRole,
    },
    /// Take a team's role in a repository
    Revoke {
        /// The organization
        org: String,
        /// The team
        team: String,
        /// The repository's name
        repository: String,
    },
}

impl TeamAct {
    pub(super) fn command(self) -> Command {
        Command::People(match self {
            Self::List { org } => PeopleCommand::TeamList { org },
            Self::Create { org, name, description, secret, parent } => {
                PeopleCommand::TeamCreate { org, name, description, secret, parent }
            }
            Self::Delete { org, team } => PeopleCommand::TeamDelete { org, team },
            Self::Members { org, team } => PeopleCommand::TeamMembers { org, team },
            Self::AddMember { org, team, user, maintainer } => {
                PeopleCommand::TeamAddMember { org, team, user, maintainer }
            }
            Self::RemoveMember { org, team, user } => PeopleCommand::TeamRemoveMember { org, team, user },
            Self::Grant { org, team, repository, role } => {
                PeopleCommand::TeamRole { org, team, repository, role: Some(word(&role)) }
            }
            Self::Revoke { org, team, repository } => {
                PeopleCommand::TeamRole { org, team, repository, role: None }
            }
        })
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum RepoAct {
    /// List the repositories of a user or an organization
    List {
        /// The owner
        owner: String,
    },
    /// Make the record of a repository
    Create {
        /// The repository, as in `octo/app`
        path: String,
        /// Who may see it without a role
        #[arg(long, value_enum, default_value = "private")]
        visibility: Visibility,
        /// What it is
        #[arg(long)]
        description: Option<String>,
    },
    /// Delete the record of a repository; packages that were linked to it stay
    Delete {
        /// The repository
        path: String,
    },
    /// Choose who may see a repository without a role
    Visibility {
        /// The repository
        path: String,
        /// Who
        visibility: Visibility,
    },
    /// List who has a role of their own in a repository
    Collaborators {
        /// The repository
        path: String,
    },
    /// Give a user a role in a repository
    Grant {
        /// The repository
        path: String,
        /// The user
        user: String,
        /// The role
        role: RepositoryRole,
    },
    /// Take a user's role in a repository
    Revoke {
        /// The repository
        path: String,
        /// The user
        user: String,
    },
}

impl RepoAct {
    pub(super) fn command(self) -> Command {
        Command::People(match self {
            Self::List { owner } => PeopleCommand::RepoList { owner },
            Self::Create { path, visibility, description } => {
                PeopleCommand::RepoCreate { path, visibility: word(&visibility), description }
            }
            Self::Delete { path } => PeopleCommand::RepoDelete { path },
            Self::Visibility { path, visibility } => {
                PeopleCommand::RepoVisibility { path, visibility: word(&visibility) }
            }
            Self::Collaborators { path } => PeopleCommand::RepoCollaborators { path },
            Self::Grant { path, user, role } => {
                PeopleCommand::RepoRole { path, user, role: Some(word(&role)) }
            }
            Self::Revoke { path, user } => PeopleCommand::RepoRole { path, user, role: None },
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PackageAction {
    Pull,
    Push,
    Delete,
    Restore,
    Administer,
}

#[derive(Debug, Subcommand)]
pub(super) enum AccessAct {
    /// What a user may do to a package with a token of all scopes, and every reason
    #[command(after_help = "\
Example:
  packhouse access explain mona octo/app --action push")]
    Explain {
        /// The user or robot
        user: String,
        /// The package; it need not exist
        path: String,
        /// What they would do
        #[arg(long, value_enum, default_value = "pull")]
        action: PackageAction,
    },
}

impl AccessAct {
    pub(super) fn command(self) -> Command {
        let Self::Explain { user, path, action } = self;
        Command::People(PeopleCommand::AccessExplain { user, path, action: word(&action) })
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum PackageAct {
    /// List packages
    List {
        /// Only those of this user or organization
        namespace: Option<String>,
    },
    /// Choose who may pull a package without a role on it
    Visibility {
        /// The package, as in `octo/app`
        path: String,
        /// Who
        visibility: Visibility,
    },
    /// Give a role to a user, a team or the workflows of a repository
    Grant {
        /// The package
        path: String,
        /// The user, or `team:SLUG`, or `repository:NAME`
        user: String,
        /// The role
        role: PackageRole,
    },
    /// Take a role
    Revoke {
        /// The package
        path: String,
        /// The user, or `team:SLUG`, or `repository:NAME`
        user: String,
    },
    /// Link a package to a repository of the same owner
    Link {
        /// The package
        path: String,
        /// The repository's name
        repository: String,
        /// Take the repository's access in place of the package's own roles
        #[arg(long)]
        inherit: bool,
    },
    /// Take a package's link away, and the access that came with it
    Unlink {
        /// The package
        path: String,
    },
    /// Switch whether a package has the access of its repository; on, its own roles are dropped
    Inherit {
        /// The package
        path: String,
        /// on or off
        state: Switch,
    },
    /// List who has a role of their own on a package
    Access {
        /// The package
        path: String,
    },
}

impl PackageAct {
    pub(super) fn command(self) -> Command {
        match self {
            Self::List { namespace } => Command::PackageList { namespace },
            Self::Visibility { path, visibility } => {
                Command::PackageVisibility { path, visibility: word(&visibility) }
            }
            Self::Grant { path, user, role } => Command::PackageGrant { path, user, role: word(&role) },
            Self::Revoke { path, user } => Command::PackageRevoke { path, user },
            Self::Access { path } => Command::PackageAccess { path },
            Self::Link { path, repository, inherit } => {
                Command::People(PeopleCommand::PackageLink { path, repository, inherit })
            }
            Self::Unlink { path } => Command::People(PeopleCommand::PackageUnlink { path }),
            Self::Inherit { path, state } => {
                Command::People(PeopleCommand::PackageInherit { path, inherit: state == Switch::On })
            }
        }
    }
}

/// The word that stands for a value on the command line, which is also the service's.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_the_operator_stand_anywhere() {
        for line in ["user --json list --data /d", "user list --json --data /d", "user --data /d --json list"]
        {
            let words = std::iter::once("packhouse").chain(line.split(' '));
            let Act::User { act: UserAct::List, flags } = Cli::try_parse_from(words).unwrap().act else {
                panic!("{line}")
            };
            assert!(flags.json && flags.data.as_deref() == Some("/d"), "{line}");
        }
    }

    #[test]
    fn words_are_the_services() {
        let line = ["packhouse", "package", "grant", "octo/app", "mona", "write"];
        let Act::Package { act, .. } = Cli::try_parse_from(line).unwrap().act else { panic!() };
        let expected =
            Command::PackageGrant { path: "octo/app".into(), user: "mona".into(), role: "write".into() };
        assert_eq!(act.command(), expected);
        let line = [
            "packhouse",
            "token",
            "create",
            "mona",
            "--scopes",
            "read:packages,delete:packages",
            "--expires",
            "2h",
        ];
        let Act::Token { act, .. } = Cli::try_parse_from(line).unwrap().act else { panic!() };
        let Command::TokenCreate { scopes, expires_seconds, .. } = act.command() else { panic!() };
        assert_eq!((scopes.len(), expires_seconds), (2, Some(7200)));
    }

    #[test]
    fn what_a_fine_grained_token_is_for_takes_a_permission() {
        let line = |words: &str| {
            let words = std::iter::once("packhouse").chain(words.split(' ')).map(str::to_owned);
            Cli::try_parse_from(words.collect::<Vec<_>>())
        };
        let fine = line("token create mona --packages octo/app,octo/web --owners acme --permission read");
        let Act::Token { act, .. } = fine.unwrap().act else { panic!() };
        let Command::Machines(MachineCommand::TokenCreateFineGrained {
            packages, owners, permission, ..
        }) = act.command()
        else {
            panic!()
        };
        assert_eq!((packages.len(), owners, permission.as_str()), (2, vec!["acme".to_owned()], "read"));
        assert!(line("token create mona --packages octo/app").is_err());
        let Act::Robot { act, .. } = line("robot create octo deploy --role write").unwrap().act else {
            panic!()
        };
        let Command::Machines(MachineCommand::RobotCreate { role, .. }) = act.command() else { panic!() };
        assert_eq!(role.as_deref(), Some("write"));
    }

    #[test]
    fn secrets_have_no_flags() {
        assert!(Cli::try_parse_from(["packhouse", "serve", "--admin-token", "x"]).is_err());
        assert!(Cli::try_parse_from(["packhouse", "serve", "--stall-seconds", "5"]).is_ok());
    }
}
