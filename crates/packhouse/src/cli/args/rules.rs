//! Commands about rules, retention and the tags' past.

use super::duration;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use packhouse_service::RetentionPolicy;
use packhouse_service::operator::{Command, RuleCommand};

/// Tags that a rule is about.
#[derive(Debug, Args)]
pub(in crate::cli) struct RuleTags {
    /// A package, as in `octo/app`, or an owner, for all packages of theirs
    of: String,
    /// Tags: a glob, or `regex:…`, or `semver:…`
    pattern: String,
    /// But not these tags; may be given several times
    #[arg(long, value_name = "PATTERN")]
    except: Vec<String>,
    /// Let the package be deleted or renamed with such tags in it
    #[arg(long)]
    allow_package_deletion: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ChangedBy {
    /// Who has the role write, or more
    Write,
    /// Who has the role admin
    Admin,
    /// Nobody, the operator neither
    Nobody,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ProtectAct {
    /// List the rules of an owner, or those that are about a package
    List {
        /// A package or an owner
        of: String,
    },
    /// Make tags immutable: once set, they are neither moved nor deleted
    #[command(after_help = "\
Examples:
  packhouse protect immutable octo/app 'v*'
  packhouse protect immutable octo 'semver:>=1.0.0' --except 'regex:.*-snapshot'
  packhouse protect immutable octo '*' --except latest --except 'nightly-*'")]
    Immutable {
        #[command(flatten)]
        tags: RuleTags,
    },
    /// Protect tags: they are made, moved and deleted only by who has a role
    #[command(after_help = "\
Examples:
  packhouse protect tags octo/app latest --by admin
  packhouse protect tags octo 'release-*' --by nobody")]
    Tags {
        #[command(flatten)]
        tags: RuleTags,
        /// By whom they may be changed
        #[arg(long, value_enum)]
        by: ChangedBy,
    },
    /// End a rule
    Remove {
        /// The package or owner whose rule it is
        of: String,
        /// Its number in the list
        id: i64,
    },
}

impl ProtectAct {
    pub(in crate::cli) fn command(self) -> Command {
        let create = |hold: &str, role: Option<String>, tags: RuleTags| RuleCommand::Create {
            of: tags.of,
            hold: hold.to_owned(),
            role,
            pattern: tags.pattern,
            except: tags.except,
            allow_package_deletion: tags.allow_package_deletion,
        };
        Command::Rules(match self {
            Self::List { of } => RuleCommand::List { of },
            Self::Immutable { tags } => create("immutable", None, tags),
            Self::Tags { tags, by } => create("protected", Some(super::word(&by)), tags),
            Self::Remove { of, id } => RuleCommand::Remove { of, id },
        })
    }
}

/// What a policy says.
#[derive(Debug, Args)]
pub(in crate::cli) struct PolicyFlags {
    /// Keep so many of the versions with tags, the newest
    #[arg(long, value_name = "COUNT")]
    keep_last: Option<u32>,
    /// Keep what was pushed within this time, such as 30d
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    keep_newer: Option<u64>,
    /// Keep what was pulled within this time
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    keep_pulled: Option<u64>,
    /// Keep versions with such a tag: a glob, `regex:…` or `semver:…`; may be given several times
    #[arg(long, value_name = "PATTERN")]
    keep_tags: Vec<String>,
    /// Drop versions without a tag after this time
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    drop_untagged: Option<u64>,
    /// Drop pre-releases, such as 1.2.0-rc.1, after this time
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    drop_prereleases: Option<u64>,
    /// Drop everything that no other rule is about
    #[arg(long)]
    drop_rest: bool,
    /// Run it each time this has passed
    #[arg(long, value_name = "TIME", value_parser = duration::seconds, conflicts_with = "daily")]
    every: Option<u64>,
    /// Run it each day at this time, UTC
    #[arg(long, value_name = "HH:MM")]
    daily: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RetentionAct {
    /// Set the policy of a package, or of all packages of an owner that have none of their own
    #[command(after_help = "\
What a keep rule names stays, whatever the drop rules say; what no rule drops stays too. Parts of an
image follow it, and tags that are immutable or protected stay. Without --every or --daily the policy
runs by hand only.

Examples:
  packhouse retention set octo/app --keep-last 10 --keep-tags 'v*' --drop-rest --daily 03:30
  packhouse retention set octo --drop-untagged 14d --drop-prereleases 30d --every 1d
  packhouse retention dry-run octo/app")]
    Set {
        /// A package, as in `octo/app`, or an owner
        of: String,
        #[command(flatten)]
        policy: PolicyFlags,
    },
    /// Show the policy that a package is under, or an owner's
    #[command(alias = "list")]
    Show {
        /// A package or an owner
        of: String,
    },
    /// End the policy of a package or an owner
    Remove {
        /// The package or owner
        of: String,
    },
    /// List each version of a package with what its policy would do and the rule that decides
    DryRun {
        /// The package
        path: String,
    },
    /// Apply the policy of a package now; what is dropped can be restored for a while
    Run {
        /// The package
        path: String,
    },
}

impl RetentionAct {
    pub(in crate::cli) fn command(self) -> Command {
        Command::Rules(match self {
            Self::Set { of, policy } => RuleCommand::SetRetention {
                of,
                policy: RetentionPolicy {
                    keep_last: policy.keep_last,
                    keep_newer_seconds: policy.keep_newer,
                    keep_pulled_seconds: policy.keep_pulled,
                    keep_tags: policy.keep_tags,
                    drop_untagged_seconds: policy.drop_untagged,
                    drop_prereleases_seconds: policy.drop_prereleases,
                    drop_rest: policy.drop_rest,
                    every_seconds: policy.every,
                    daily_at: policy.daily,
                },
            },
            Self::Show { of } => RuleCommand::Retention { of },
            Self::Remove { of } => RuleCommand::RemoveRetention { of },
            Self::DryRun { path } => RuleCommand::PlanRetention { path },
            Self::Run { path } => RuleCommand::RunRetention { path },
        })
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TagAct {
    /// List where a tag pointed, since when, and who moved it there, the newest first
    History {
        /// The package
        path: String,
        /// The tag
        tag: String,
    },
    /// Put a tag back to where it pointed before its last change
    #[command(after_help = "\
An undo is a change too: a second one takes the first back. A tag that was deleted comes back where it
pointed last. Rules about tags bind an undo like a push.

Example:
  packhouse tag undo octo/app latest")]
    Undo {
        /// The package
        path: String,
        /// The tag
        tag: String,
    },
    /// Show where a tag pointed at a time
    #[command(after_help = "\
Example:
  packhouse tag as-of octo/app latest 2026-11-01T12:00:00Z")]
    AsOf {
        /// The package
        path: String,
        /// The tag
        tag: String,
        /// The time, as in 2026-11-01T12:00:00Z
        #[arg(value_parser = time)]
        at: i64,
    },
}

fn time(text: &str) -> Result<i64, String> {
    let parsed: Result<Timestamp, _> = text.parse();
    parsed.map(Timestamp::as_microsecond).map_err(|_| "write a time as in 2026-11-01T12:00:00Z".to_owned())
}

impl TagAct {
    pub(in crate::cli) fn command(self) -> Command {
        Command::Rules(match self {
            Self::History { path, tag } => RuleCommand::TagHistory { path, tag },
            Self::Undo { path, tag } => RuleCommand::TagUndo { path, tag },
            Self::AsOf { path, tag, at } => RuleCommand::TagAsOf { path, tag, at },
        })
    }
}
