//! The engine by examples, and by what must be so for all packages and policies.

use super::*;
use packhouse_oci::{Algorithm, Digest};
use proptest::prelude::*;

const DAY: u64 = 86_400;
const NOW: Micros = Micros(1_000 * 86_400 * 1_000_000);

fn row(id: i64, days_old: u64, tags: &[&str]) -> PruneRow {
    PruneRow {
        id: VersionId(id),
        digest: Digest::of(Algorithm::Sha256, &id.to_be_bytes()),
        pushed_at: Some(NOW.minus_seconds(days_old * DAY)),
        pulled_at: None,
        pinned_until: Micros(0),
        part: false,
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        wholes: Vec::new(),
    }
}

fn part(id: i64, whole: i64, row: PruneRow) -> PruneRow {
    PruneRow { id: VersionId(id), part: row.tags.is_empty(), wholes: vec![VersionId(whole)], ..row }
}

fn nobody(_: &str) -> Option<String> {
    None
}

fn judged(policy: &Policy, rows: &[PruneRow]) -> Vec<String> {
    let tags = policy.patterns().unwrap();
    judge(policy, &tags, rows, nobody, NOW)
        .into_iter()
        .map(|verdict| {
            format!("{} {}: {}", verdict.id, if verdict.drop { "drop" } else { "keep" }, verdict.why)
        })
        .collect()
}

#[test]
fn the_newest_are_kept_and_of_equals_all() {
    let rows = [row(6, 1, &["a"]), row(5, 2, &[]), row(4, 2, &["b"]), row(3, 2, &["c"]), row(2, 3, &["d"])];
    let policy = Policy { keep_last: Some(2), drop_rest: true, ..Policy::default() };
    assert_eq!(
        judged(&policy, &rows),
        [
            "6 keep: keep last 2",
            "5 drop: drop the rest",
            "4 keep: keep last 2",
            "3 keep: keep last 2",
            "2 drop: drop the rest"
        ]
    );
}

#[test]
fn pre_releases_take_no_place_among_the_newest_when_they_are_dropped() {
    let rows = [
        row(4, 40, &["v2.0.0-rc.1"]),
        row(3, 50, &["v1.1.0"]),
        row(2, 60, &["v1.0.0"]),
        row(1, 5, &["1.5.0-a"]),
    ];
    let policy = Policy {
        keep_last: Some(1),
        drop_prereleases_seconds: Some(30 * DAY),
        drop_rest: true,
        ..Policy::default()
    };
    assert_eq!(
        judged(&policy, &rows),
        [
            "4 drop: drop pre-releases",
            "3 keep: keep last 1",
            "2 drop: drop the rest",
            "1 keep: no rule drops it"
        ]
    );
}

#[test]
fn an_image_for_several_platforms_is_kept_or_dropped_whole() {
    // 9 is an index of 8 (a part) and 7 (which has a tag of its own); 6 refers to 8. 5 is an index of 4 and 8.
    let mut eight = part(8, 9, row(8, 50, &[]));
    let rows = |eight: PruneRow| {
        vec![
            row(9, 50, &["old"]),
            eight,
            part(7, 9, row(7, 50, &["old-arm"])),
            part(6, 8, row(6, 50, &[])),
            row(5, 50, &["older"]),
            part(4, 5, row(4, 50, &[])),
        ]
    };
    let policy = Policy { keep_tags: vec!["old".to_owned()], drop_rest: true, ..Policy::default() };
    assert_eq!(
        judged(&policy, &rows(eight.clone())),
        [
            "9 keep: keep tags `old`: `old`",
            "8 keep: part of version 9",
            "7 keep: in use by version 9",
            "6 keep: part of version 8",
            "5 drop: drop the rest",
            "4 drop: part of version 5",
        ]
    );
    let policy = Policy { keep_tags: vec!["older".to_owned()], ..policy };
    assert_eq!(
        judged(&policy, &rows(eight.clone()))[..4],
        [
            "9 drop: drop the rest",
            "8 drop: part of version 9",
            "7 drop: drop the rest",
            "6 drop: part of version 8",
        ]
    );
    eight.wholes.push(VersionId(5));
    let shared = judged(&policy, &rows(eight));
    assert_eq!(
        (shared[0].as_str(), shared[1].as_str()),
        ("9 drop: drop the rest", "8 keep: part of version 5")
    );
}

#[test]
fn what_is_held_pulled_new_or_of_unknown_age_is_kept() {
    let mut rows = vec![
        row(4, 50, &["held", "x"]),
        row(3, 50, &["pulled"]),
        row(2, 2, &["new"]),
        row(1, 50, &["unknown"]),
    ];
    rows[1].pulled_at = Some(NOW.minus_seconds(3 * DAY));
    rows[3].pushed_at = None;
    let policy = Policy {
        keep_newer_seconds: Some(3 * DAY),
        keep_pulled_seconds: Some(3 * DAY),
        drop_rest: true,
        ..Policy::default()
    };
    let held = |tag: &str| (tag == "held").then(|| "rule 1".to_owned());
    let whys: Vec<Why> =
        judge(&policy, &[], &rows, held, NOW).into_iter().map(|verdict| verdict.why).collect();
    assert_eq!(whys, [Why::Held("rule 1".to_owned()), Why::Pulled, Why::Newer, Why::UnknownAge]);
}

fn policies() -> impl Strategy<Value = Policy> {
    let seconds = || proptest::option::of(0..60 * DAY);
    let tags = proptest::sample::subsequence(vec!["a*", "semver:>=1.0.0", "regex:b.*"], 0..3);
    (proptest::option::of(1_u32..6), seconds(), seconds(), tags, seconds(), seconds(), any::<bool>())
        .prop_map(|(keep_last, newer, pulled, tags, untagged, prereleases, drop_rest)| Policy {
            keep_last,
            keep_newer_seconds: newer,
            keep_pulled_seconds: pulled,
            keep_tags: tags.into_iter().map(str::to_owned).collect(),
            drop_untagged_seconds: untagged,
            drop_prereleases_seconds: prereleases,
            drop_rest,
            ..Policy::default()
        })
}

/// A package: each version may have tags, and be named by some newer ones.
fn packages() -> impl Strategy<Value = Vec<PruneRow>> {
    let tags = proptest::sample::subsequence(vec!["a", "b1", "v1.0.0", "1.1.0-rc.1", "held", "latest"], 0..3);
    let one = (
        proptest::option::weighted(0.95, 0_u64..60),
        proptest::option::of(0_u64..60),
        tags,
        proptest::collection::vec(0_usize..12, 0..3),
    );
    proptest::collection::vec(one, 0..12).prop_map(|made| {
        let count = i64::try_from(made.len()).unwrap();
        made.into_iter()
            .enumerate()
            .map(|(at, (pushed, pulled, tags, above))| {
                let id = |at: usize| VersionId(count - i64::try_from(at).unwrap());
                let mut wholes: Vec<VersionId> =
                    above.into_iter().filter(|above| *above < at).map(id).collect();
                wholes.sort_unstable();
                wholes.dedup();
                PruneRow {
                    id: id(at),
                    digest: Digest::of(Algorithm::Sha256, &at.to_be_bytes()),
                    pushed_at: pushed.map(|days| NOW.minus_seconds(days * DAY)),
                    pulled_at: pulled.map(|days| NOW.minus_seconds(days * DAY)),
                    pinned_until: Micros(0),
                    part: tags.is_empty() && !wholes.is_empty(),
                    tags: tags.into_iter().map(str::to_owned).collect(),
                    wholes,
                }
            })
            .collect()
    })
}

fn held(tag: &str) -> Option<String> {
    (tag == "held").then(|| "held".to_owned())
}

fn dropped(policy: &Policy, rows: &[PruneRow]) -> HashSet<VersionId> {
    let tags = policy.patterns().unwrap();
    let verdicts = judge(policy, &tags, rows, held, NOW);
    verdicts.into_iter().filter(|verdict| verdict.drop).map(|verdict| verdict.id).collect()
}

proptest! {
    #[test]
    fn nothing_that_is_kept_loses_what_it_is_made_of(policy in policies(), rows in packages()) {
        let gone = dropped(&policy, &rows);
        for row in &rows {
            if gone.contains(&row.id) {
                prop_assert!(row.wholes.iter().all(|whole| gone.contains(whole)), "{row:?}");
            }
        }
    }

    #[test]
    fn what_is_held_or_of_unknown_age_stays(policy in policies(), rows in packages()) {
        let gone = dropped(&policy, &rows);
        for row in &rows {
            let stays = row.pushed_at.is_none() || row.tags.iter().any(|tag| tag == "held");
            prop_assert!(!(stays && gone.contains(&row.id)), "{row:?}");
        }
    }

    /// What is left after a round is what the next one leaves: there is nothing that only a second round finds.
    #[test]
    fn a_second_round_drops_nothing(policy in policies(), rows in packages()) {
        let gone = dropped(&policy, &rows);
        let mut left: Vec<PruneRow> = rows.into_iter().filter(|row| !gone.contains(&row.id)).collect();
        for row in &mut left {
            row.wholes.retain(|whole| !gone.contains(whole));
        }
        prop_assert_eq!(dropped(&policy, &left), HashSet::new());
    }

    #[test]
    fn keeping_more_never_drops_more(policy in policies(), rows in packages(), more in 0_u32..4) {
        let gone = dropped(&policy, &rows);
        let kept_more = Policy { keep_last: Some(policy.keep_last.unwrap_or(0) + more), ..policy.clone() };
        prop_assert!(dropped(&kept_more, &rows).is_subset(&gone));
        let kept_tags = Policy { keep_tags: vec!["*".to_owned()], ..policy };
        let gone_then = dropped(&kept_tags, &rows);
        prop_assert!(gone_then.is_subset(&gone));
    }

    #[test]
    fn of_the_newest_so_many_stay(policy in policies(), rows in packages()) {
        let gone = dropped(&policy, &rows);
        let counted = rows.iter().filter(|row| {
            let kind = policy.drop_prereleases_seconds.is_some()
                && row.tags.iter().all(|tag| version_of(tag).is_some_and(|version| !version.pre.is_empty()));
            !row.tags.is_empty() && row.pushed_at.is_some() && !kind
        });
        for row in counted.take(policy.keep_last.unwrap_or(0) as usize) {
            prop_assert!(!gone.contains(&row.id), "{row:?}");
        }
    }
}

#[test]
fn what_a_client_was_told_of_stays_with_its_whole() {
    let policy = Policy { drop_rest: true, ..Policy::default() };
    let told = |row: PruneRow| PruneRow { pinned_until: NOW.plus_seconds(60), ..row };
    let rows = [row(9, 100, &["old"]), told(part(8, 9, row(8, 100, &[]))), row(7, 100, &["older"])];
    assert_eq!(dropped(&policy, &rows), HashSet::from([VersionId(7)]));
    let over = rows.map(|row| PruneRow { pinned_until: NOW, ..row });
    assert_eq!(dropped(&policy, &over).len(), 3);
}
