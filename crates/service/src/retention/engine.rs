//! Which versions a policy keeps and which it drops: a pure function.
//!
//! Parts follow their whole, and what a kept version is made of is kept: an image for several platforms is dropped
//! whole or not at all. When in doubt a version is kept.

use super::policy::Policy;
use packhouse_access::{Pattern, VersionId, version_of};
use packhouse_catalog::{Micros, PruneRow};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Why a version is kept or dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A rule about tags holds it: the sentence.
    Held(String),
    /// A client that may push was told lately that it is there, or that a part of it is.
    Promised,
    /// When it was pushed is not known.
    UnknownAge,
    /// It was pushed lately.
    Newer,
    /// It was pulled lately.
    Pulled,
    /// It has this tag, which this pattern means.
    Tag(String, String),
    /// It is one of the newest so many.
    Last(u32),
    /// This version, which is kept, is made of it or is its subject.
    UsedBy(VersionId),
    /// It goes with this version.
    Follows(VersionId),
    /// It has no tag.
    Untagged,
    /// All its tags are pre-releases.
    Prerelease,
    /// No rule keeps it, and the rest is dropped.
    Rest,
    /// No rule drops it.
    Nothing,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Held(why) => f.write_str(why),
            Why::Promised => f.write_str("a client that pushes was told of it lately"),
            Why::UnknownAge => f.write_str("the time of its push is not known"),
            Why::Newer => f.write_str("keep newer"),
            Why::Pulled => f.write_str("keep pulled"),
            Why::Tag(tag, pattern) => write!(f, "keep tags `{pattern}`: `{tag}`"),
            Why::Last(count) => write!(f, "keep last {count}"),
            Why::UsedBy(whole) => write!(f, "in use by version {whole}"),
            Why::Follows(whole) => write!(f, "part of version {whole}"),
            Why::Untagged => f.write_str("drop untagged"),
            Why::Prerelease => f.write_str("drop pre-releases"),
            Why::Rest => f.write_str("drop the rest"),
            Why::Nothing => f.write_str("no rule drops it"),
        }
    }
}

/// What becomes of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The version.
    pub id: VersionId,
    /// Whether it is dropped.
    pub drop: bool,
    /// The rule that decided.
    pub why: Why,
}

/// Judges the versions of a package, which come from the newest on. `held` says why a tag is not to be touched, if a
/// rule holds it; `tags` are the policy's patterns, parsed.
pub(crate) fn judge(
    policy: &Policy,
    tags: &[Pattern],
    rows: &[PruneRow],
    held: impl Fn(&str) -> Option<String>,
    now: Micros,
) -> Vec<Verdict> {
    let mut newest = Newest { left: policy.keep_last.unwrap_or(0), last: None };
    let promised = promised(rows, now);
    let mut verdicts: Vec<Verdict> = rows
        .iter()
        .map(|row| {
            let (drop, why) = match promised.contains(&row.id) {
                true => (false, Why::Promised),
                false => alone(policy, tags, row, &held, &mut newest, now),
            };
            Verdict { id: row.id, drop, why }
        })
        .collect();
    follow(rows, &mut verdicts);
    verdicts
}

/// What a client was told of lately, and what that is a part of.
fn promised(rows: &[PruneRow], now: Micros) -> HashSet<VersionId> {
    let mut promised = HashSet::new();
    let mut level: Vec<VersionId> =
        rows.iter().filter(|row| row.pinned_until > now).map(|row| row.id).collect();
    let wholes: HashMap<VersionId, &[VersionId]> = if level.is_empty() {
        HashMap::new()
    } else {
        rows.iter().map(|row| (row.id, &*row.wholes)).collect()
    };
    while let Some(id) = level.pop() {
        if promised.insert(id) {
            level.extend(wholes.get(&id).copied().unwrap_or_default());
        }
    }
    promised
}

/// Counts down the newest versions.
struct Newest {
    left: u32,
    /// When the last of them was pushed.
    last: Option<Micros>,
}

impl Newest {
    /// Whether one more is among them. Of those pushed at the same time as the last, all are.
    fn counts(&mut self, pushed_at: Micros) -> bool {
        if self.left > 0 {
            self.left -= 1;
            self.last = Some(self.last.map_or(pushed_at, |last| last.min(pushed_at)));
            return true;
        }
        self.last.is_some_and(|last| pushed_at >= last)
    }
}

/// What becomes of a version for its own sake.
fn alone(
    policy: &Policy,
    tags: &[Pattern],
    row: &PruneRow,
    held: &impl Fn(&str) -> Option<String>,
    newest: &mut Newest,
    now: Micros,
) -> (bool, Why) {
    let Some(pushed_at) = row.pushed_at else { return (false, Why::UnknownAge) };
    if row.part {
        // Its whole decides.
        return (true, Why::Follows(row.wholes.last().copied().unwrap_or(row.id)));
    }
    let within =
        |at: Micros, seconds: Option<u64>| seconds.is_some_and(|seconds| at >= now.minus_seconds(seconds));
    let untagged = row.tags.is_empty();
    let prerelease = !untagged
        && row.tags.iter().all(|tag| version_of(tag).is_some_and(|version| !version.pre.is_empty()));
    let of_a_kind = (prerelease && policy.drop_prereleases_seconds.is_some()) || untagged;
    let last = !of_a_kind && policy.keep_last.is_some() && newest.counts(pushed_at);

    if let Some(why) = row.tags.iter().find_map(|tag| held(tag)) {
        return (false, Why::Held(why));
    }
    if within(pushed_at, policy.keep_newer_seconds) {
        return (false, Why::Newer);
    }
    if row.pulled_at.is_some_and(|at| within(at, policy.keep_pulled_seconds)) {
        return (false, Why::Pulled);
    }
    let meant = |tag: &String| {
        let pattern = tags.iter().find(|pattern| pattern.matches(tag))?;
        Some(Why::Tag(tag.clone(), pattern.as_str().to_owned()))
    };
    if let Some(why) = row.tags.iter().find_map(meant) {
        return (false, why);
    }
    if last {
        return (false, Why::Last(policy.keep_last.unwrap_or(0)));
    }
    let kind = match (untagged, prerelease) {
        (true, _) => policy.drop_untagged_seconds.map(|seconds| (seconds, Why::Untagged)),
        (_, true) => policy.drop_prereleases_seconds.map(|seconds| (seconds, Why::Prerelease)),
        _ => None,
    };
    match kind {
        // A rule of its own says how old; the rest is another matter.
        Some((seconds, why)) if !within(pushed_at, Some(seconds)) => (true, why),
        Some(_) => (false, Why::Nothing),
        None if policy.drop_rest => (true, Why::Rest),
        None => (false, Why::Nothing),
    }
}

/// What kept versions are made of is kept, level by level; a part of none that is kept goes.
fn follow(rows: &[PruneRow], verdicts: &mut [Verdict]) {
    let known: HashSet<VersionId> = rows.iter().map(|row| row.id).collect();
    let mut below: HashMap<VersionId, Vec<usize>> = HashMap::new();
    let mut kept: Vec<VersionId> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        for whole in &row.wholes {
            below.entry(*whole).or_default().push(at);
            // What is not judged here stays.
            if !known.contains(whole) {
                kept.push(*whole);
            }
        }
        // A part whose whole is nowhere is nobody's to drop.
        if row.part && row.wholes.is_empty() {
            verdicts[at].drop = false;
            verdicts[at].why = Why::Nothing;
        }
        if !verdicts[at].drop {
            kept.push(row.id);
        }
    }
    while let Some(whole) = kept.pop() {
        for &at in below.get(&whole).into_iter().flatten() {
            let verdict = &mut verdicts[at];
            if verdict.drop {
                let part = rows[at].part;
                verdict.drop = false;
                verdict.why = if part { Why::Follows(whole) } else { Why::UsedBy(whole) };
                kept.push(verdict.id);
            }
        }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
