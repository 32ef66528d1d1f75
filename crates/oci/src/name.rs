//! Names of packages and accounts.
//!
//! The grammar is `<name>` of the distribution-spec ("Pulling manifests"):
//! `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`, of at most 255 characters, with
//! one thing added: the first component is the namespace, an account, so a package has at least two.
//!
//! A valid name holds no `..`, no empty component, no percent sign and nothing but ASCII; it needs no escaping
//! in a URL.

use std::fmt;
use std::str::FromStr;

use crate::text::serde_as_text;

/// Longest package name in characters: many clients accept no more ("Pulling manifests").
pub const PACKAGE_NAME_CHARS_MAX: usize = 255;
/// Longest account name in characters.
pub const ACCOUNT_NAME_CHARS_MAX: usize = 64;

/// A package by its path: `namespace/name`, or deeper, `namespace/group/name`.
///
/// This is what the specification calls a repository name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName {
    text: String,
}

impl PackageName {
    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first component: the account that owns the package.
    pub fn namespace(&self) -> &str {
        self.parts().0
    }

    /// All after the first slash; it may hold slashes itself.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        // The parser saw a slash, so the default never applies.
        self.text.split_once('/').unwrap_or((&self.text, ""))
    }
}

impl FromStr for PackageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > PACKAGE_NAME_CHARS_MAX {
            return Err(NameError::TooLong);
        }
        if components(text)? < 2 {
            return Err(NameError::OneComponent);
        }
        Ok(Self { text: text.to_owned() })
    }
}

/// A user or an organisation: one path component of at most 64 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName {
    text: String,
}

impl AccountName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for AccountName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > ACCOUNT_NAME_CHARS_MAX {
            return Err(NameError::AccountTooLong);
        }
        if let Some(position) = text.find('/') {
            return Err(NameError::Character { character: '/', position });
        }
        components(text)?;
        Ok(Self { text: text.to_owned() })
    }
}

macro_rules! as_plain_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.text, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.text
            }
        }
    };
}
as_plain_text!(PackageName);
as_plain_text!(AccountName);
serde_as_text!(PackageName, "a package name such as `namespace/name`");
serde_as_text!(AccountName, "an account name");

/// Why a text names no package or account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("the name is empty; write `namespace/name`")]
    Empty,
    /// More than 255 characters.
    #[error("a package name has at most {PACKAGE_NAME_CHARS_MAX} characters; shorten it")]
    TooLong,
    /// An account of more than 64 characters.
    #[error("an account name has at most {ACCOUNT_NAME_CHARS_MAX} characters; shorten it")]
    AccountTooLong,
    /// No namespace.
    #[error("a package name needs a namespace; write `namespace/name`, where the namespace is your account")]
    OneComponent,
    /// Upper-case letters, the commonest mistake.
    #[error("a name is written in lower case; change its upper-case letters")]
    UpperCase,
    /// Two slashes in a row, or one at an end.
    #[error("the name has an empty component at position {position}; put exactly one `/` between components")]
    EmptyComponent {
        /// Where, in bytes from 0.
        position: usize,
    },
    /// `.`, `_` or `-` at an end of a component, or a wrong run of them.
    #[error(
        "`{character}` is misplaced at position {position}; between letters or digits write one `.`, one or two \
         `_`, or any number of `-`"
    )]
    Separator {
        /// The separator.
        character: char,
        /// Where, in bytes from 0.
        position: usize,
    },
    /// A character that no name may hold.
    #[error("`{}` at position {position} cannot be in a name; use `a-z`, `0-9`, `.`, `_` and `-`", character.escape_default())]
    Character {
        /// The first such character.
        character: char,
        /// Where, in bytes from 0.
        position: usize,
    },
}

/// Checks the grammar, and counts the components.
fn components(text: &str) -> Result<usize, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    // Foreign characters first: "`ä` cannot be in a name" helps more than what is wrong around it.
    let known = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/');
    if let Some(position) = text.bytes().position(|byte| !known(&byte)) {
        return Err(match text[position..].chars().next().unwrap_or_default() {
            'A'..='Z' => NameError::UpperCase,
            character => NameError::Character { character, position },
        });
    }
    let mut count = 0;
    let mut start = 0;
    for component in text.split('/') {
        check_component(component, start)?;
        count += 1;
        start += component.len() + 1;
    }
    Ok(count)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, of characters that are known to be from its alphabet.
fn check_component(component: &str, start: usize) -> Result<(), NameError> {
    if component.is_empty() {
        return Err(NameError::EmptyComponent { position: start });
    }
    let bytes = component.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
        let ends = at == 0 || at + run == bytes.len();
        let regular = match &bytes[at..at + run] {
            [] | b"." | b"_" | b"__" => true,
            run => run.iter().all(|&byte| byte == b'-'),
        };
        if run > 0 && (ends || !regular) {
            return Err(NameError::Separator { character: char::from(bytes[at]), position: start + at });
        }
        at += run;
        at += bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Result<PackageName, NameError> {
        text.parse()
    }

    #[test]
    fn names_of_the_grammar_are_taken() {
        for text in [
            "a/b",
            "mona/octo-cat",
            "0/1/2/3",
            "a__b/c--d",
            "a/b.c_d__e-f---g",
            "library/hello-world",
            "a/blobs",
        ] {
            assert_eq!(name(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn each_mistake_has_its_name() {
        let separator = |character, position| NameError::Separator { character, position };
        let character = |character, position| NameError::Character { character, position };
        for (text, error) in [
            ("", NameError::Empty),
            ("hello", NameError::OneComponent),
            ("Mona/hello", NameError::UpperCase),
            ("/", NameError::EmptyComponent { position: 0 }),
            ("/a/b", NameError::EmptyComponent { position: 0 }),
            ("a//b", NameError::EmptyComponent { position: 2 }),
            ("a/b/", NameError::EmptyComponent { position: 4 }),
            ("a/..", separator('.', 2)),
            ("../a", separator('.', 0)),
            ("a/b..c", separator('.', 3)),
            ("a/b___c", separator('_', 3)),
            ("a/b.-c", separator('.', 3)),
            ("a/b-_c", separator('-', 3)),
            ("a/-b", separator('-', 2)),
            ("a/b_", separator('_', 3)),
            ("a/b%2fc", character('%', 3)),
            ("a/b c", character(' ', 3)),
            ("a/b\0", character('\0', 3)),
            ("a/b:c", character(':', 3)),
            ("a/bä", character('ä', 3)),
            // Looks like an `a`, is Cyrillic.
            ("а/b", character('а', 0)),
        ] {
            assert_eq!(name(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_name_may_have_255_characters_and_no_more() {
        let longest = format!("a/{}", "b".repeat(253));
        assert_eq!(name(&longest).unwrap().as_str().len(), 255);
        assert_eq!(name(&format!("{longest}b")), Err(NameError::TooLong));
        assert_eq!(name(&"a/".repeat(5000)), Err(NameError::TooLong));
    }

    #[test]
    fn namespace_is_the_first_component_and_name_the_rest() {
        let deep = name("mona/tools/cat").unwrap();
        assert_eq!((deep.namespace(), deep.name()), ("mona", "tools/cat"));
    }

    #[test]
    fn an_account_is_one_component() {
        let account = |text: &str| text.parse::<AccountName>();
        assert_eq!(account("octo-org").unwrap().as_str(), "octo-org");
        assert_eq!(account(&"a".repeat(64)).unwrap().as_str().len(), 64);
        assert_eq!(account(&"a".repeat(65)), Err(NameError::AccountTooLong));
        assert_eq!(account("a/b"), Err(NameError::Character { character: '/', position: 1 }));
        assert_eq!(account("-a"), Err(NameError::Separator { character: '-', position: 0 }));
        assert_eq!(account(""), Err(NameError::Empty));
    }

    #[test]
    fn control_characters_are_not_repeated_raw_in_messages() {
        assert!(name("a/b\r\n").unwrap_err().to_string().starts_with("`\\r` at position 3"));
    }

    proptest! {
        #[test]
        fn every_name_of_the_published_expression_is_taken(
            text in r"[a-z0-9]{1,8}((\.|_|__|-{1,4})[a-z0-9]{1,8}){0,3}(/[a-z0-9]{1,8}((\.|_|__|-{1,4})[a-z0-9]{1,8}){0,3}){1,3}"
        ) {
            let name = name(&text).unwrap();
            prop_assert_eq!(name.to_string(), text.as_str());
            prop_assert_eq!(format!("{}/{}", name.namespace(), name.name()), text.as_str());
            prop_assert!(name.namespace().parse::<AccountName>().is_ok());
        }

        #[test]
        fn any_text_is_a_safe_path_or_refused(text in r"[a-c/._-]{0,20}|.*") {
            if let Ok(name) = name(&text) {
                let edge = |c: char| c.is_ascii_alphanumeric();
                for component in name.as_str().split('/') {
                    prop_assert!(component.starts_with(edge) && component.ends_with(edge));
                    prop_assert!(!component.contains("..") && !component.contains("___"));
                }
            }
        }
    }
}
