//! What a retention policy says.

use crate::manage::ManageError;
use packhouse_access::Pattern;
use packhouse_catalog::Micros;
use serde::{Deserialize, Serialize};

const DAY_SECONDS: i64 = 86_400;
/// Patterns of tags that one policy keeps.
const PATTERNS_MAX: usize = 20;
/// A hundred years: longer is a mistake.
const SECONDS_MAX: u64 = 100 * 365 * 86_400;
/// A policy runs no more often than the work of a round takes.
const EVERY_SECONDS_MIN: u64 = 1;
const POLICY: &str = "Retention";

/// A retention policy. What one of the `keep` rules names stays, whatever the `drop` rules say; what none of them
/// drops stays too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Keep so many of the versions with tags, the newest; those pushed at the same time as the last of them too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u32>,
    /// Keep what was pushed in the last so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_newer_seconds: Option<u64>,
    /// Keep what was pulled in the last so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_pulled_seconds: Option<u64>,
    /// Keep versions with a tag that one of these patterns means.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keep_tags: Vec<String>,
    /// Drop versions without a tag that are older than so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_untagged_seconds: Option<u64>,
    /// Drop pre-releases (semver.org) that are older than so many seconds: versions all of whose tags are such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_prereleases_seconds: Option<u64>,
    /// Drop all that no other rule is about.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drop_rest: bool,
    /// Run each so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_seconds: Option<u64>,
    /// Run each day at this time, UTC: `03:30`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_at: Option<String>,
}

/// The seconds of a day at `HH:MM`.
fn second_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str, max: i64| {
        let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| text.parse::<i64>().ok()).flatten().filter(|number| *number < max)
    };
    Some(two(hours, 24)? * 3_600 + two(minutes, 60)? * 60)
}

impl Policy {
    /// Whether it can be applied; if not, what to write in its place.
    pub(crate) fn check(&self) -> Result<(), ManageError> {
        let invalid = |field, why: &str| Err(ManageError::invalid(POLICY, field, why));
        let drops = self.drop_untagged_seconds.is_some() || self.drop_prereleases_seconds.is_some();
        if !drops && !self.drop_rest {
            return invalid(
                "drop_rest",
                "the policy drops nothing: say what to drop (untagged, prereleases or rest)",
            );
        }
        let keeps = self.keep_last.is_some()
            || self.keep_newer_seconds.is_some()
            || self.keep_pulled_seconds.is_some()
            || !self.keep_tags.is_empty();
        if self.drop_rest && !keeps {
            return invalid("drop_rest", "the policy would drop everything: say what to keep");
        }
        if self.keep_last == Some(0) {
            return invalid("keep_last", "keep at least 1, or leave it out");
        }
        let times = [
            ("keep_newer_seconds", self.keep_newer_seconds),
            ("keep_pulled_seconds", self.keep_pulled_seconds),
            ("drop_untagged_seconds", self.drop_untagged_seconds),
            ("drop_prereleases_seconds", self.drop_prereleases_seconds),
            ("every_seconds", self.every_seconds),
        ];
        for (field, seconds) in times {
            if seconds.is_some_and(|seconds| seconds > SECONDS_MAX) {
                return invalid(field, "at most a hundred years");
            }
        }
        if self.every_seconds.is_some_and(|seconds| seconds < EVERY_SECONDS_MIN) {
            return invalid("every_seconds", "at least a second");
        }
        match (&self.daily_at, self.every_seconds) {
            (Some(_), Some(_)) => return invalid("daily_at", "run it daily or at an interval, not both"),
            (Some(text), None) if second_of_day(text).is_none() => {
                return invalid("daily_at", "write a time of the day in UTC, as in 03:30");
            }
            _ => {}
        }
        if self.keep_tags.len() > PATTERNS_MAX {
            return invalid("keep_tags", "at most 20 patterns");
        }
        self.patterns().map(drop)
    }

    pub(crate) fn patterns(&self) -> Result<Vec<Pattern>, ManageError> {
        let parsed = self.keep_tags.iter().map(|text| text.parse::<Pattern>());
        let parsed: Result<_, _> = parsed.collect();
        parsed.map_err(|why| ManageError::invalid(POLICY, "keep_tags", why.to_string()))
    }

    /// When it runs next after a time; none: only by hand.
    pub(crate) fn next_after(&self, now: Micros) -> Option<Micros> {
        if let Some(seconds) = self.every_seconds {
            return Some(now.plus_seconds(seconds));
        }
        let at = second_of_day(self.daily_at.as_deref()?)?;
        let second = now.0.div_euclid(1_000_000);
        let today = second - second.rem_euclid(DAY_SECONDS) + at;
        let next = if today > second { today } else { today + DAY_SECONDS };
        Some(Micros(next * 1_000_000))
    }

    pub(crate) fn to_text(&self) -> String {
        // A struct of numbers and texts always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn from_text(text: &str) -> Option<Policy> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_runs_at_its_time() {
        let day = |seconds: i64| Micros(seconds * 1_000_000);
        let daily = Policy { daily_at: Some("03:30".to_owned()), ..Policy::default() };
        assert_eq!(daily.next_after(day(0)), Some(day(12_600)));
        assert_eq!(daily.next_after(day(12_600)), Some(day(12_600 + DAY_SECONDS)));
        let often = Policy { every_seconds: Some(30), ..Policy::default() };
        assert_eq!(often.next_after(day(5)), Some(day(35)));
        assert_eq!(Policy::default().next_after(day(5)), None);
    }

    #[test]
    fn what_drops_nothing_or_everything_is_refused() {
        let good = Policy { keep_last: Some(3), drop_rest: true, ..Policy::default() };
        good.check().unwrap();
        assert_eq!(Policy::from_text(&good.to_text()), Some(good.clone()));
        let bad = [
            Policy::default(),
            Policy { keep_last: Some(3), ..Policy::default() },
            Policy { drop_rest: true, ..Policy::default() },
            Policy { keep_last: Some(0), ..good.clone() },
            Policy { daily_at: Some("24:00".to_owned()), ..good.clone() },
            Policy { daily_at: Some("3:30".to_owned()), ..good.clone() },
            Policy { daily_at: Some("03:30".to_owned()), every_seconds: Some(9), ..good.clone() },
            Policy { every_seconds: Some(0), ..good.clone() },
            Policy { keep_tags: vec!["[".to_owned()], ..good.clone() },
            Policy { keep_newer_seconds: Some(u64::MAX), ..good },
        ];
        for policy in bad {
            assert!(policy.check().is_err(), "{policy:?}");
        }
    }
}
