//! Patterns of tags, as rules are written: a glob, a regular expression or a range of versions.
//!
//! All three are linear in the tag. Patterns are written by people who administer something and are matched while a
//! transaction is open, so their length is bounded, and so is what a regular expression compiles to.

use globset::{GlobBuilder, GlobMatcher};
use regex::{Regex, RegexBuilder};
use semver::{Version, VersionReq};
use std::fmt;
use std::str::FromStr;

/// Bytes of a pattern.
pub const PATTERN_BYTES_MAX: usize = 128;
/// What a regular expression may compile to. A class of letters repeated twenty times fits, nested counts do not.
const REGEX_BYTES_MAX: usize = 128 << 10;

const REGEX: &str = "regex:";
const SEMVER: &str = "semver:";

/// Which tags are meant: `v*`, `regex:v\d+`, `semver:>=1.0.0, <2.0.0`.
///
/// A tag has no colon, so the words before it are not mistaken for a glob.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Glob(GlobMatcher),
    Regex(Regex),
    Semver(VersionReq),
}

/// The text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There is nothing.
    #[error("a pattern of tags must not be empty; `*` means all tags")]
    Empty,
    /// It is too long.
    #[error("a pattern of tags has at most {PATTERN_BYTES_MAX} bytes")]
    Long,
    /// It has characters that end lines, or that nobody sees.
    #[error("a pattern of tags has no control characters")]
    Control,
    /// It is no glob.
    #[error("`{0}` is not a glob: {1}; write `v*`, `release-?`, `[0-9]*` or `{{a,b}}*`")]
    Glob(String, String),
    /// It is no regular expression, or too large a one.
    #[error("`{0}` is not a regular expression that can be used here; write for example `regex:v\\d+`")]
    Regex(String),
    /// It is no range of versions.
    #[error("`{0}` is not a range of versions: {1}; write for example `semver:>=1.0.0, <2.0.0`")]
    Semver(String, String),
}

impl Pattern {
    /// Whether a tag is meant. A regular expression means whole tags.
    pub fn matches(&self, tag: &str) -> bool {
        match &self.matcher {
            Matcher::Glob(glob) => glob.is_match(tag),
            Matcher::Regex(regex) => regex.is_match(tag),
            Matcher::Semver(range) => version_of(tag).is_some_and(|version| range.matches(&version)),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The version that a tag names (semver.org), with or without a `v` before it. Tags have no `+`; Helm writes `_` in
/// its place.
pub fn version_of(tag: &str) -> Option<Version> {
    let bare = tag.strip_prefix('v').unwrap_or(tag);
    Version::parse(&bare.replacen('_', "+", 1)).ok()
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.trim().is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::Long);
        }
        if text.chars().any(char::is_control) {
            return Err(PatternError::Control);
        }
        let matcher = if let Some(expression) = text.strip_prefix(REGEX) {
            let whole = RegexBuilder::new(&format!("^(?:{expression})$"))
                .size_limit(REGEX_BYTES_MAX)
                .dfa_size_limit(REGEX_BYTES_MAX)
                .build();
            Matcher::Regex(whole.map_err(|_| PatternError::Regex(expression.to_owned()))?)
        } else if let Some(range) = text.strip_prefix(SEMVER) {
            let parsed = VersionReq::parse(range);
            Matcher::Semver(
                parsed.map_err(|error| PatternError::Semver(range.to_owned(), error.to_string()))?,
            )
        } else {
            let glob = GlobBuilder::new(text).backslash_escape(false).build();
            let glob = glob.map_err(|error| PatternError::Glob(text.to_owned(), error.kind().to_string()))?;
            Matcher::Glob(glob.compile_matcher())
        };
        Ok(Pattern { text: text.to_owned(), matcher })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn three_kinds_mean_whole_tags() {
        let rows: [(&str, &[&str], &[&str]); 9] = [
            ("v*", &["v1", "v", "v1.2.3-rc.1"], &["V1", "latest", "1v"]),
            ("*", &["latest", "_x", "1"], &[]),
            ("release-?", &["release-1"], &["release-10", "release-"]),
            ("[0-9]*", &["1", "9.1"], &["v9"]),
            ("{latest,stable}", &["latest", "stable"], &["latest2"]),
            (r"regex:v\d+", &["v1", "v20"], &["v1.0", "xv1", "v"]),
            ("regex:a|b", &["a", "b"], &["ab", "ax", "xb"]),
            (
                "semver:>=1.0.0, <2.0.0",
                &["1.0.0", "v1.9.9", "1.2.3_build"],
                &["2.0.0", "1.0", "v1", "1.5.0-rc.1"],
            ),
            ("semver:>=1.5.0-rc.0", &["1.5.0-rc.1", "2.0.0"], &["1.4.0", "latest"]),
        ];
        for (text, good, bad) in rows {
            let pattern = pattern(text);
            assert_eq!(pattern.as_str(), text);
            for tag in good {
                assert!(pattern.matches(tag), "{text} means {tag}");
            }
            for tag in bad {
                assert!(!pattern.matches(tag), "{text} does not mean {tag}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_says_what_to_write() {
        for text in ["", "  ", "[", "{a", "a\nb", "regex:(", "semver:one", &"x".repeat(129)] {
            let error = text.parse::<Pattern>().expect_err(text);
            assert!(!error.to_string().is_empty(), "{text}");
        }
        // It is small to write and large to run.
        assert!(matches!(r"regex:(\w{900}){900}".parse::<Pattern>(), Err(PatternError::Regex(_))));
    }

    /// What takes exponential time elsewhere.
    #[test]
    fn no_pattern_is_slow() {
        for text in ["*a*a*a*a*a*a*a*a*a*a*a*a*b", "regex:(a+)+b", "regex:(a|a)*b"] {
            assert!(!pattern(text).matches(&"a".repeat(128)), "{text}");
        }
    }
}
