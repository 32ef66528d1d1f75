//! Tags, and what may stand for a manifest in a path: a tag or a digest.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::text::serde_as_text;
use crate::{Digest, DigestError};

/// Longest tag in characters (distribution-spec, "Pulling manifests").
pub const TAG_CHARS_MAX: usize = 128;

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// Shared: it is kept by who counts downloads, for one.
    text: Arc<str>,
}

impl Tag {
    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        if text.is_empty() {
            return Err(TagError::Empty);
        }
        for (position, character) in text.char_indices().take(TAG_CHARS_MAX) {
            match character {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => {}
                '.' | '-' if position > 0 => {}
                '.' | '-' => return Err(TagError::Start { character }),
                _ => return Err(TagError::Character { character, position }),
            }
        }
        if text.len() > TAG_CHARS_MAX {
            return Err(TagError::TooLong);
        }
        Ok(Self { text: text.into() })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

serde_as_text!(Tag, "a tag");

/// Why a text is no tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// Nothing at all.
    #[error("the tag is empty; write one, such as `latest`")]
    Empty,
    /// More than 128 characters.
    #[error("a tag has at most {TAG_CHARS_MAX} characters; shorten it")]
    TooLong,
    /// A dot or a dash in front.
    #[error("a tag cannot start with `{character}`; start it with a letter, a digit or `_`")]
    Start {
        /// The first character.
        character: char,
    },
    /// A character that no tag may hold.
    #[error(
        "`{}` at position {position} cannot be in a tag; use letters, digits, `.`, `_` and `-`",
        character.escape_default()
    )]
    Character {
        /// The first such character.
        character: char,
        /// Where, in bytes from 0.
        position: usize,
    },
}

/// `<reference>` of the specification.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By a name that can move.
    Tag(Tag),
    /// By content.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// No tag has a colon and every digest has one, so a damaged digest is never taken for a tag.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') { Ok(Self::Digest(text.parse()?)) } else { Ok(Self::Tag(text.parse()?)) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => fmt::Display::fmt(tag, f),
            Self::Digest(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

serde_as_text!(Reference, "a tag or a digest");

/// Why a text refers to no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It has no colon, and is no tag.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// It has a colon, and is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// The tag under which clients keep the referrers of `subject` where there is no referrers API
/// (distribution-spec, "Referrers Tag Schema"): the algorithm cut to 32 characters, a dash, the hash cut to 64.
pub fn fallback_tag(subject: &Digest) -> Tag {
    // Algorithm names of ours are shorter than 32, and hold nothing that a tag may not.
    let mut hex = subject.hex();
    hex.truncate(64);
    Tag { text: format!("{}-{hex}", subject.algorithm()).into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Algorithm;

    fn tag(text: &str) -> Result<Tag, TagError> {
        text.parse()
    }

    #[test]
    fn tags_of_the_grammar_are_taken() {
        for text in ["latest", "1.0", "_", "V1", "a..b", "a-_.", &"9".repeat(128)] {
            assert_eq!(tag(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn each_mistake_has_its_name() {
        for (text, error) in [
            ("", TagError::Empty),
            (".hidden", TagError::Start { character: '.' }),
            ("-rf", TagError::Start { character: '-' }),
            ("..", TagError::Start { character: '.' }),
            ("a/b", TagError::Character { character: '/', position: 1 }),
            ("a b", TagError::Character { character: ' ', position: 1 }),
            ("v1+build", TagError::Character { character: '+', position: 2 }),
            ("tagé", TagError::Character { character: 'é', position: 3 }),
            (&"a".repeat(129), TagError::TooLong),
            (&"a".repeat(10_000), TagError::TooLong),
        ] {
            assert_eq!(tag(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_colon_makes_a_reference_a_digest() {
        let digest = Digest::of(Algorithm::Sha512, b"");
        assert_eq!(digest.to_string().parse(), Ok(Reference::Digest(digest)));
        assert_eq!("sha256".parse(), Ok(Reference::Tag(tag("sha256").unwrap())));
        assert_eq!(
            "sha256:latest".parse::<Reference>(),
            Err(ReferenceError::Digest(DigestError::Length { algorithm: Algorithm::Sha256, found: 6 }))
        );
    }

    #[test]
    fn the_fallback_tag_cuts_long_hashes() {
        assert_eq!(
            fallback_tag(&Digest::of(Algorithm::Sha256, b"abc")).as_str(),
            "sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            fallback_tag(&Digest::of(Algorithm::Sha512, b"abc")).as_str(),
            "sha512-ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        );
    }

    proptest! {
        #[test]
        fn every_tag_of_the_published_expression_is_taken(text in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}") {
            prop_assert_eq!(tag(&text).unwrap().to_string(), text.as_str());
            prop_assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }

        #[test]
        fn any_text_parses_to_itself_or_not_at_all(text in r"[a-c:._-]{0,140}|.*") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }
}
