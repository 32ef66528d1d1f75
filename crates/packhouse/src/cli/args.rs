//! What can be typed.

use super::duration;
use super::flags::ConfigFlags;
use clap::{Args, Parser, Subcommand, ValueEnum};
use packhouse_service::operator::Command;
use std::path::PathBuf;

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
    /// List packages, set who may see and change them
    Package {
        #[command(subcommand)]
        act: PackageAct,
        #[command(flatten)]
        flags: OperatorFlags,
    },
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
}

impl UserAct {
    pub(super) fn command(self) -> Command {
        match self {
            Self::Create { name, site_admin } => Command::UserCreate { name, site_admin },
            Self::List => Command::UserList,
            Self::Suspend { name } => Command::UserSuspend { name },
            Self::Resume { name } => Command::UserResume { name },
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
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenAct {
    /// Make a token and print it, once
    #[command(after_help = "\
Example:
  TOKEN=$(packhouse token create mona --name laptop --expires 90d --quiet)")]
    Create {
        /// For whom
        user: String,
        /// A name to tell it from others
        #[arg(long, default_value = "command line")]
        name: String,
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
            Self::Create { user, name, scopes, expires, quiet: _ } => {
                Command::TokenCreate { user, name, scopes, expires_seconds: expires }
            }
            Self::List { user } => Command::TokenList { user },
            Self::Revoke { id } => Command::TokenRevoke { id },
        }
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
    /// Give a user a role
    Grant {
        /// The package
        path: String,
        /// The user
        user: String,
        /// The role
        role: PackageRole,
    },
    /// Take a user's role
    Revoke {
        /// The package
        path: String,
        /// The user
        user: String,
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
    fn secrets_have_no_flags() {
        assert!(Cli::try_parse_from(["packhouse", "serve", "--admin-token", "x"]).is_err());
        assert!(Cli::try_parse_from(["packhouse", "serve", "--stall-seconds", "5"]).is_ok());
    }
}
