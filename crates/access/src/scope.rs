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

/// What a token may at most do, whatever its account may. A set of GitHub's classic scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u32);

/// The scope is not one that Packhouse knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope; use read:packages, write:packages or delete:packages")]
pub struct UnknownScope(String);

impl Scopes {
    /// No scope: public packages only, like a caller that has not signed in.
    pub const NONE: Scopes = Scopes(0);
    /// `read:packages`: download and list.
    pub const READ: Scopes = Scopes(1);
    /// `write:packages`: publish. GitHub's form ticks `read:packages` with it, so it holds it here.
    pub const WRITE: Scopes = Scopes(1 | 2);
    /// `delete:packages`: delete, together with `read:packages`.
    pub const DELETE: Scopes = Scopes(4);
    /// All there are.
    pub const ALL: Scopes = Scopes(1 | 2 | 4);

    const NAMES: [(&'static str, Scopes); 3] =
        [("read:packages", Self::READ), ("write:packages", Self::WRITE), ("delete:packages", Self::DELETE)];

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u32) -> Scopes {
        Scopes(bits)
    }

    /// Whether every scope of `other` is here.
    pub fn contains(self, other: Scopes) -> bool {
        self.0 & other.0 == other.0
    }

    /// The scopes of both.
    pub fn with(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// The number kept in the catalog.
    pub fn number(self) -> i64 {
        i64::from(self.0)
    }

    /// The set kept as `number`; bits from a newer version of the program are dropped, which only takes rights away.
    pub fn from_number(number: i64) -> Scopes {
        Scopes(u32::try_from(number & i64::from(Self::ALL.0)).unwrap_or(0))
    }

    /// The names, in GitHub's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, scope)| self.contains(*scope)).map(|(name, _)| name)
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
