//! Roles, visibilities, token scopes and the actions of the distribution protocol.

use std::fmt;
use std::str::FromStr;

/// What an account may do with one package (GitHub's three roles; each includes the ones before it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Download, and read metadata.
    Read,
    /// Upload, and write metadata.
    Write,
    /// Delete, restore, change settings and visibility, grant roles.
    Admin,
}

/// Who may read a package without a role on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Visibility {
    /// Only who has a role.
    Private,
    /// Every member of the organization that owns the package.
    Internal,
    /// Everyone, without signing in.
    Public,
}

/// The word is not one of the allowed ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a {what}; use one of: {allowed}")]
pub struct UnknownWord {
    what: &'static str,
    word: String,
    allowed: &'static str,
}

macro_rules! words {
    ($type:ident, $what:literal, $allowed:literal, $($variant:ident = $word:literal / $number:literal),+) => {
        impl $type {
            /// The word used on the command line, in the API and in documents.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            /// The number kept in the catalog; never given a new meaning.
            pub fn number(self) -> i64 {
                match self { $(Self::$variant => $number),+ }
            }
            /// The value kept as `number` in the catalog.
            pub fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
        impl FromStr for $type {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { what: $what, word: word.chars().take(40).collect(), allowed: $allowed }),
                }
            }
        }
    };
}

words!(Role, "role", "read, write, admin", Read = "read" / 1, Write = "write" / 2, Admin = "admin" / 3);
words!(
    Visibility,
    "visibility",
    "private, internal, public",
    Private = "private" / 0,
    Internal = "internal" / 1,
    Public = "public" / 2
);

/// What one may do with a repository (GitHub's five roles; each includes the ones before it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepositoryRole {
    /// Read. GitHub's API also calls it `pull`.
    Read,
    /// Read, and manage issues.
    Triage,
    /// Write. GitHub's API also calls it `push`.
    Write,
    /// Write, and manage without what is destructive.
    Maintain,
    /// Everything.
    Admin,
}

words!(
    RepositoryRole,
    "role in a repository",
    "read, triage, write, maintain, admin",
    Read = "read" / 1,
    Triage = "triage" / 2,
    Write = "write" / 3,
    Maintain = "maintain" / 4,
    Admin = "admin" / 5
);

impl RepositoryRole {
    /// What it gives on a package that inherits its access (GitHub: "Inherit access from source repository").
    pub fn on_package(self) -> Role {
        match self {
            RepositoryRole::Read | RepositoryRole::Triage => Role::Read,
            RepositoryRole::Write | RepositoryRole::Maintain => Role::Write,
            RepositoryRole::Admin => Role::Admin,
        }
    }
}

/// What a token may at most do, whatever its account may. A set of GitHub's classic scopes; one that includes
/// others holds their bits too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u64);

/// The scope is not one that Packhouse knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope; for packages use read:packages, write:packages or delete:packages")]
pub struct UnknownScope(String);

/// The bits of one scope with those of the scopes that it includes.
const fn including(bit: u32, parts: &[Scopes]) -> Scopes {
    let (mut bits, mut at) = (1 << bit, 0);
    while at < parts.len() {
        bits |= parts[at].0;
        at += 1;
    }
    Scopes(bits)
}

/// One row for each scope of <https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps>
/// and of the form for classic tokens. The number is its bit in the catalog; never given a new meaning.
macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $word:literal / $bit:literal $(+ $part:ident)*;)+) => {
        impl Scopes {
            $($(#[$doc])* pub const $name: Scopes = including($bit, &[$(Scopes::$part),*]);)+
            const NAMES: &'static [(&'static str, Scopes)] = &[$(($word, Scopes::$name)),+];
            /// All there are.
            pub const ALL: Scopes = Scopes(0 $(| Scopes::$name.0)+);
        }
    };
}

scopes! {
    /// `read:packages`: download and list.
    READ = "read:packages" / 0;
    /// `write:packages`: publish. GitHub's form ticks `read:packages` with it, so it holds it here.
    WRITE = "write:packages" / 1 + READ;
    /// `delete:packages`: delete, together with `read:packages`.
    DELETE = "delete:packages" / 2;
    /// `repo:status`
    REPO_STATUS = "repo:status" / 3;
    /// `repo_deployment`
    REPO_DEPLOYMENT = "repo_deployment" / 4;
    /// `public_repo`: write to public repositories.
    PUBLIC_REPO = "public_repo" / 5;
    /// `repo:invite`
    REPO_INVITE = "repo:invite" / 6;
    /// `security_events`
    SECURITY_EVENTS = "security_events" / 7;
    /// `repo`: read and write repositories, private ones too.
    REPO = "repo" / 8 + REPO_STATUS + REPO_DEPLOYMENT + PUBLIC_REPO + REPO_INVITE + SECURITY_EVENTS;
    /// `read:org`: read organizations, their members and teams.
    READ_ORG = "read:org" / 9;
    /// `manage_runners:org`
    MANAGE_RUNNERS_ORG = "manage_runners:org" / 10;
    /// `write:org`: and change them, teams too.
    WRITE_ORG = "write:org" / 11 + READ_ORG;
    /// `admin:org`: and govern them.
    ADMIN_ORG = "admin:org" / 12 + WRITE_ORG + MANAGE_RUNNERS_ORG;
    /// `read:user`
    READ_USER = "read:user" / 13;
    /// `user:email`
    USER_EMAIL = "user:email" / 14;
    /// `user:follow`
    USER_FOLLOW = "user:follow" / 15;
    /// `user`: read and write one's own profile.
    USER = "user" / 16 + READ_USER + USER_EMAIL + USER_FOLLOW;
    /// `gist`
    GIST = "gist" / 17;
    /// `workflow`
    WORKFLOW = "workflow" / 18;
    /// `notifications`
    NOTIFICATIONS = "notifications" / 19;
    /// `delete_repo`: delete repositories.
    DELETE_REPO = "delete_repo" / 20;
    /// `read:repo_hook`
    READ_REPO_HOOK = "read:repo_hook" / 21;
    /// `write:repo_hook`
    WRITE_REPO_HOOK = "write:repo_hook" / 22 + READ_REPO_HOOK;
    /// `admin:repo_hook`
    ADMIN_REPO_HOOK = "admin:repo_hook" / 23 + WRITE_REPO_HOOK;
    /// `admin:org_hook`
    ADMIN_ORG_HOOK = "admin:org_hook" / 24;
    /// `read:project`
    READ_PROJECT = "read:project" / 25;
    /// `project`
    PROJECT = "project" / 26 + READ_PROJECT;
    /// `read:discussion`
    READ_DISCUSSION = "read:discussion" / 27;
    /// `write:discussion`
    WRITE_DISCUSSION = "write:discussion" / 28 + READ_DISCUSSION;
    /// `read:public_key`
    READ_PUBLIC_KEY = "read:public_key" / 29;
    /// `write:public_key`
    WRITE_PUBLIC_KEY = "write:public_key" / 30 + READ_PUBLIC_KEY;
    /// `admin:public_key`
    ADMIN_PUBLIC_KEY = "admin:public_key" / 31 + WRITE_PUBLIC_KEY;
    /// `read:gpg_key`
    READ_GPG_KEY = "read:gpg_key" / 32;
    /// `write:gpg_key`
    WRITE_GPG_KEY = "write:gpg_key" / 33 + READ_GPG_KEY;
    /// `admin:gpg_key`
    ADMIN_GPG_KEY = "admin:gpg_key" / 34 + WRITE_GPG_KEY;
    /// `codespace`
    CODESPACE = "codespace" / 35;
    /// `copilot`
    COPILOT = "copilot" / 36;
    /// `read:enterprise`
    READ_ENTERPRISE = "read:enterprise" / 37;
    /// `admin:enterprise`
    ADMIN_ENTERPRISE = "admin:enterprise" / 38 + READ_ENTERPRISE;
    /// `read:audit_log`
    READ_AUDIT_LOG = "read:audit_log" / 39;
    /// `audit_log`
    AUDIT_LOG = "audit_log" / 40 + READ_AUDIT_LOG;
    /// `site_admin`: administer the site, where the account may (GitHub Enterprise Server).
    SITE_ADMIN = "site_admin" / 41;
}

impl Scopes {
    /// No scope: public packages only, like a caller that has not signed in.
    pub const NONE: Scopes = Scopes(0);

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Scopes {
        Scopes(bits)
    }

    /// Whether every scope of `other` is here.
    pub fn contains(self, other: Scopes) -> bool {
        self.0 & other.0 == other.0
    }

    /// The scopes of both.
    #[must_use]
    pub fn with(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// The scopes that both hold.
    #[must_use]
    pub fn and(self, other: Scopes) -> Scopes {
        Scopes(self.0 & other.0)
    }

    /// The number kept in the catalog.
    pub fn number(self) -> i64 {
        i64::try_from(self.0).unwrap_or(0)
    }

    /// The set kept as `number`; bits from a newer version of the program are dropped, which only takes rights away.
    pub fn from_number(number: i64) -> Scopes {
        Scopes(u64::try_from(number & Self::ALL.number()).unwrap_or(0))
    }

    /// The names, in the order of the list above.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(_, scope)| self.contains(*scope)).map(|(name, _)| *name)
    }

    /// The names without those that another one here includes, in the order of letters: as GitHub's
    /// `X-OAuth-Scopes` shows them.
    pub fn normalized(self) -> Vec<&'static str> {
        let held = || Self::NAMES.iter().filter(|(_, scope)| self.contains(*scope));
        let included = |scope: Scopes| held().any(|(_, other)| other.contains(scope) && *other != scope);
        let mut names: Vec<_> =
            held().filter(|(_, scope)| !included(*scope)).map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    }

    /// What [`Scopes::normalized`] gives in words for a sentence: `read:packages, repo`, or `no scopes`.
    pub fn describe(self) -> String {
        if self == Scopes::NONE { "no scopes".to_owned() } else { self.normalized().join(", ") }
    }

    /// The set of some scopes given by name.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Scopes, UnknownScope> {
        names.into_iter().try_fold(Scopes::NONE, |set, name| {
            let known = Self::NAMES.iter().find(|(known, _)| *known == name);
            known
                .map(|(_, scope)| set.with(*scope))
                .ok_or_else(|| UnknownScope(name.chars().take(40).collect()))
        })
    }
}

/// A set of the distribution protocol's actions on one package: what a bearer token carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actions(u8);

impl Actions {
    /// Nothing.
    pub const NONE: Actions = Actions(0);
    /// `pull`.
    pub const PULL: Actions = Actions(1);
    /// `push`.
    pub const PUSH: Actions = Actions(2);
    /// `delete`.
    pub const DELETE: Actions = Actions(4);
    /// What `*` asks for.
    pub const ALL: Actions = Actions(7);

    const NAMES: [(&'static str, Actions); 3] =
        [("pull", Self::PULL), ("push", Self::PUSH), ("delete", Self::DELETE)];

    /// Whether every action of `other` is here.
    pub fn contains(self, other: Actions) -> bool {
        self.0 & other.0 == other.0
    }

    /// The actions of both.
    pub fn with(self, other: Actions) -> Actions {
        Actions(self.0 | other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One action by its name in a scope string; `*` is all of them, an unknown name is none.
    pub fn from_name(name: &str) -> Actions {
        if name == "*" {
            return Self::ALL;
        }
        Self::NAMES.iter().find(|(known, _)| *known == name).map_or(Self::NONE, |(_, action)| *action)
    }

    /// The names, in the order that clients write them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, action)| self.contains(*action)).map(|(name, _)| name)
    }
}
