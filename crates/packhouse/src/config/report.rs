//! The configuration for people: rows of `packhouse config check`, and the reference in the documentation.

use super::keys::{Fallback, KEYS, Key};
use super::sources::Source;
use serde::Serialize;
use std::fmt::Write as _;

/// One key in the output of `packhouse config check`. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The key.
    pub key: &'static str,
    /// Its value; none when there is none.
    pub value: Option<String>,
    /// What holds when there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
    /// Where it was given.
    pub source: String,
}

impl Row {
    pub(super) fn given(key: &'static str, value: String, source: &Source) -> Self {
        Self { key, value: Some(value), meaning: None, source: source.to_string() }
    }

    pub(super) fn absent(key: &'static str) -> Self {
        let meaning = match Key::named(key).map(|key| key.default) {
            Some(Fallback::Absent(meaning)) => Some(meaning),
            Some(Fallback::Value(_)) | None => None,
        };
        Self { key, value: None, meaning, source: Source::Default.to_string() }
    }
}

/// The tables of docs/configuration.md, one per section, made from [`KEYS`].
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    let mut section = None;
    for key in KEYS {
        if section != Some(key.section) {
            section = Some(key.section);
            let _ = write!(
                text,
                "\n### {}\n\n| key | environment | flag | default | meaning |\n|---|---|---|---|---|\n",
                key.section.heading()
            );
        }
        let flag = key.flag().map_or_else(|| "none (secret)".to_owned(), |flag| format!("`--{flag}`"));
        let default = match key.default {
            Fallback::Value("") => "none".to_owned(),
            Fallback::Value(value) => format!("`{value}`"),
            Fallback::Absent(meaning) => meaning.to_owned(),
        };
        let line = format!(
            "| `{}` | `{}` | {flag} | {default} | {} Allowed: {}. |\n",
            key.name,
            key.environment(),
            key.about,
            key.allowed
        );
        text.push_str(&line);
    }
    text
}
