//! Referrers: by subject, and by the tag that OCI 1.0 clients left.

use crate::house::{
    Actor, Build, CONFIG, House, IMAGE, INDEX, delete_version, image, index, may, may_change,
    on_every_database, sha256,
};
use packhouse_access::{Delete, Pull, VersionId};
use packhouse_catalog::Referrer;
use packhouse_oci::{Digest, fallback_tag};

on_every_database!(
    a_subject_has_the_referrers_that_name_it,
    referrers_are_described_as_their_index_will,
    referrers_come_before_their_subject_too,
    referrers_are_their_packages,
    a_deleted_referrer_is_none,
    the_children_of_the_fallback_tag_are_referrers,
    a_referrer_of_both_kinds_is_listed_once,
    the_fallback_tag_counts_only_where_it_stands,
    an_artifact_type_filters,
    several_artifact_types_filter_together,
    pages_of_referrers_make_the_whole_list,
    a_page_ends_before_it_grows_too_large,
);

const PATH: &str = "mona/tool";

fn stage(house: &House) -> (Actor, Digest) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let subject = image("subject", &["l"]).build();
    house.push(&mona, PATH, &subject, Some("v1"));
    (mona, subject.digest)
}

struct Ask {
    types: Vec<String>,
    after: VersionId,
    limit: u32,
    bytes_max: usize,
}

const ALL: Ask = Ask { types: Vec::new(), after: VersionId(0), limit: 100, bytes_max: 1 << 20 };

fn page(house: &House, by: &Actor, path: &'static str, subject: Digest, ask: Ask) -> (Vec<Referrer>, bool) {
    let shows = by.shows.clone();
    let found = house.read(move |tx| {
        let may = may::<Pull>(tx, &shows, path)?;
        Ok(tx.referrers(&may, &subject, &ask.types, ask.after, ask.limit, ask.bytes_max)?)
    });
    found.unwrap()
}

fn digests(page: &(Vec<Referrer>, bool)) -> Vec<Digest> {
    page.0.iter().map(|referrer| referrer.digest).collect()
}

fn all(house: &House, by: &Actor, subject: Digest) -> Vec<Digest> {
    let page = page(house, by, PATH, subject, ALL);
    assert!(!page.1, "there is no more than all");
    digests(&page)
}

/// Pushes a signature of a subject, told from others by its name.
fn sign(house: &House, by: &Actor, subject: Digest, name: &str) -> Digest {
    push(house, by, &image(name, &[]).subject(&subject), None)
}

fn push(house: &House, by: &Actor, manifest: &Build, tag: Option<&str>) -> Digest {
    let manifest = manifest.build();
    house.push(by, PATH, &manifest, tag);
    manifest.digest
}

fn delete(house: &House, by: &Actor, digest: Digest) {
    let (shows, now) = (by.shows.clone(), house.now());
    let deleted = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, PATH)?;
        delete_version(tx, &may, &digest, now)
    });
    assert!(deleted.unwrap());
}

fn a_subject_has_the_referrers_that_name_it(house: &House) {
    let (mona, subject) = stage(house);
    assert_eq!(all(house, &mona, subject), []);
    let (one, two) = (sign(house, &mona, subject, "one"), sign(house, &mona, subject, "two"));
    let other = sign(house, &mona, sha256("another"), "other");
    let of_one = sign(house, &mona, one, "of one");
    assert_eq!(all(house, &mona, subject), [one, two], "the oldest first");
    assert_eq!(all(house, &mona, sha256("another")), [other]);
    assert_eq!(all(house, &mona, one), [of_one], "a referrer has referrers");
    assert_eq!(all(house, &mona, sha256("none")), []);
}

fn referrers_are_described_as_their_index_will(house: &House) {
    let (mona, subject) = stage(house);
    let plain = image("c", &[]).subject(&subject);
    let typed = image("c", &[]).subject(&subject).artifact_type("application/x.sbom").annotation("k", "v");
    let an_index = index(&[]).subject(&subject);
    for manifest in [&plain, &typed, &an_index] {
        push(house, &mona, manifest, None);
    }
    let (found, more) = page(house, &mona, PATH, subject, ALL);
    assert!(!more);
    let told: Vec<_> = found
        .iter()
        .map(|row| (row.media_type.as_str(), row.artifact_type.as_deref(), row.annotations.as_deref()))
        .collect();
    let expected = [
        // Without a type of its own an image is told by its config's.
        (IMAGE, Some(CONFIG), None),
        (IMAGE, Some("application/x.sbom"), Some(r#"{"k":"v"}"#)),
        (INDEX, None, None),
    ];
    assert_eq!(told, expected);
    assert_eq!(found[0].size, plain.build().payload.len() as u64);
    assert!(found.windows(2).all(|pair| pair[0].version < pair[1].version));
}

fn referrers_come_before_their_subject_too(house: &House) {
    let (mona, _) = stage(house);
    let later = image("later", &[]).build();
    let signature = sign(house, &mona, later.digest, "early");
    assert_eq!(all(house, &mona, later.digest), [signature]);
    house.push(&mona, PATH, &later, Some("later"));
    assert_eq!(all(house, &mona, later.digest), [signature]);
}

fn referrers_are_their_packages(house: &House) {
    let (mona, subject) = stage(house);
    house.package(&mona, "mona/other");
    sign(house, &mona, subject, "one");
    let elsewhere = page(house, &mona, "mona/other", subject, ALL);
    assert_eq!(digests(&elsewhere), []);
    // The same fallback tag in another package names that one's versions.
    let fallback = fallback_tag(&subject);
    let child = image("child", &[]).build();
    house.push(&mona, "mona/other", &child, None);
    house.push(&mona, "mona/other", &index(&[child.digest]).build(), Some(fallback.as_ref()));
    assert_eq!(digests(&page(house, &mona, "mona/other", subject, ALL)), [child.digest]);
    assert_eq!(all(house, &mona, subject).len(), 1);
}

fn a_deleted_referrer_is_none(house: &House) {
    let (mona, subject) = stage(house);
    let (one, two) = (sign(house, &mona, subject, "one"), sign(house, &mona, subject, "two"));
    delete(house, &mona, one);
    assert_eq!(all(house, &mona, subject), [two]);
    // Pushed again it is the newest.
    assert_eq!(sign(house, &mona, subject, "one"), one);
    assert_eq!(all(house, &mona, subject), [two, one]);
}

fn the_children_of_the_fallback_tag_are_referrers(house: &House) {
    let (mona, subject) = stage(house);
    let fallback = fallback_tag(&subject);
    let (one, two) = (push(house, &mona, &image("1", &[]), None), push(house, &mona, &image("2", &[]), None));
    push(house, &mona, &index(&[two, one, sha256("never pushed")]), Some(fallback.as_ref()));
    assert_eq!(all(house, &mona, subject), [one, two]);
    // The client of the next signature replaces the index; what stands in it now counts.
    push(house, &mona, &index(&[two]), Some(fallback.as_ref()));
    assert_eq!(all(house, &mona, subject), [two]);
    delete(house, &mona, two);
    assert_eq!(all(house, &mona, subject), []);
}

fn a_referrer_of_both_kinds_is_listed_once(house: &House) {
    let (mona, subject) = stage(house);
    let both = sign(house, &mona, subject, "both");
    let by_tag = push(house, &mona, &image("by tag", &[]), None);
    let by_subject = sign(house, &mona, subject, "by subject");
    push(house, &mona, &index(&[both, by_tag]), Some(fallback_tag(&subject).as_ref()));
    assert_eq!(all(house, &mona, subject), [both, by_tag, by_subject]);
}

fn the_fallback_tag_counts_only_where_it_stands(house: &House) {
    let (mona, subject) = stage(house);
    let fallback = fallback_tag(&subject);
    let child = push(house, &mona, &image("child", &[]), None);
    // Under another name the same index says nothing about the subject.
    push(house, &mona, &index(&[child]), Some("v2"));
    assert_eq!(all(house, &mona, subject), []);
    let index = push(house, &mona, &index(&[child]), Some(fallback.as_ref()));
    assert_eq!(all(house, &mona, subject), [child]);
    delete(house, &mona, index);
    assert_eq!(all(house, &mona, subject), []);
    // An image under that name has no children, only a config and layers.
    push(house, &mona, &image("child", &["l"]), Some(fallback.as_ref()));
    assert_eq!(all(house, &mona, subject), []);
}

fn an_artifact_type_filters(house: &House) {
    let (mona, subject) = stage(house);
    let typed =
        |name: &str, artifact_type: &str| image(name, &[]).artifact_type(artifact_type).subject(&subject);
    let sbom = push(house, &mona, &typed("1", "application/x.sbom"), None);
    let signature = push(house, &mona, &typed("2", "application/x.signature"), None);
    let plain = sign(house, &mona, subject, "3");
    let untyped = push(house, &mona, &index(&[]).subject(&subject), None);
    let by_tag = push(house, &mona, &image("4", &[]).artifact_type("application/x.sbom"), None);
    push(house, &mona, &index(&[by_tag]), Some(fallback_tag(&subject).as_ref()));
    let of = |artifact_type: &str| {
        let ask = Ask { types: vec![artifact_type.to_owned()], ..ALL };
        digests(&page(house, &mona, PATH, subject, ask))
    };
    assert_eq!(of("application/x.sbom"), [sbom, by_tag]);
    assert_eq!(of("application/x.signature"), [signature]);
    assert_eq!(of(CONFIG), [plain]);
    assert_eq!(of("application/x.none"), []);
    assert_eq!(of(""), [], "an empty filter is no missing one");
    assert_eq!(all(house, &mona, subject), [sbom, signature, plain, untyped, by_tag]);
}

fn several_artifact_types_filter_together(house: &House) {
    let (mona, subject) = stage(house);
    let pushed: Vec<Digest> = ["a/1", "a/2", "a/3", "a/4", "a/5"]
        .map(|kind| push(house, &mona, &image(kind, &[]).artifact_type(kind).subject(&subject), None))
        .to_vec();
    let of = |types: &[&str]| {
        let ask = Ask { types: types.iter().map(|kind| (*kind).to_owned()).collect(), ..ALL };
        digests(&page(house, &mona, PATH, subject, ask))
    };
    assert_eq!(of(&["a/4", "a/2"]), [pushed[1], pushed[3]]);
    assert_eq!(of(&["a/1", "a/2", "a/3", "a/4"]), pushed[..4]);
    assert_eq!(packhouse_catalog::ReadTx::ARTIFACT_TYPES_MAX, 4);
}

fn pages_of_referrers_make_the_whole_list(house: &House) {
    let (mona, subject) = stage(house);
    let mut expected = Vec::new();
    let mut by_tag = Vec::new();
    for number in 0..9 {
        let name = number.to_string();
        if number % 3 == 0 {
            let digest = push(house, &mona, &image(&name, &[]), None);
            by_tag.push(digest);
            expected.push(digest);
        } else {
            expected.push(sign(house, &mona, subject, &name));
        }
    }
    push(house, &mona, &index(&by_tag), Some(fallback_tag(&subject).as_ref()));
    for limit in 1..=10 {
        let mut found = Vec::new();
        let mut after = VersionId(0);
        loop {
            let (rows, more) = page(house, &mona, PATH, subject, Ask { after, limit, ..ALL });
            assert!(rows.len() <= limit as usize);
            found.extend(rows.iter().map(|row| row.digest));
            // The answer says whether to come again, so that a full last page has no empty one behind it.
            assert_eq!(more, found.len() < expected.len(), "page of {limit} after {after}");
            if !more {
                break;
            }
            after = rows.last().unwrap().version;
        }
        assert_eq!(found, expected, "by {limit}");
    }
}

fn a_page_ends_before_it_grows_too_large(house: &House) {
    let (mona, subject) = stage(house);
    let value = "x".repeat(1_000);
    for number in 0..5 {
        push(house, &mona, &image(&number.to_string(), &[]).subject(&subject).annotation("k", &value), None);
    }
    let one = format!(r#"{{"k":"{value}"}}"#).len();
    let rows = |bytes_max: usize, after| {
        let (rows, more) = page(house, &mona, PATH, subject, Ask { bytes_max, after, ..ALL });
        (rows.len(), more, rows.last().map(|row| row.version))
    };
    let (count, more, last) = rows(2 * one, VersionId(0));
    assert_eq!((count, more), (2, true));
    let (count, more, last) = rows(2 * one, last.unwrap());
    assert_eq!((count, more), (2, true));
    assert_eq!(rows(2 * one, last.unwrap()).0, 1, "the rest");
    assert_eq!(rows(5 * one, VersionId(0)).0, 5);
    assert_eq!(rows(5 * one - 1, VersionId(0)).0, 4);
    // One row always comes, or nobody would ever get past it.
    assert_eq!((rows(0, VersionId(0)).0, rows(1, VersionId(0)).1), (1, true));
}
