//! Versions as the API lists, deletes and restores them; parts and their wholes; the counters beside them.

use crate::house::{
    Actor, Build, Done, Fault, House, caller, delete_tag, delete_version, delete_whole, image, index, may,
    may_change, move_tag, on_every_database, put, restore_version, tag, unlink_blob,
};
use packhouse_access::{Collect, Delete, Granted, Pull, Push, Restore, See, VersionId, decide_collect};
use packhouse_catalog::{
    CatalogError, Download, Listed, Micros, NewManifest, Presented, Version, VersionsPlace, WriteTx,
};
use packhouse_oci::Digest;
use std::sync::Arc;

on_every_database!(
    children_and_referrers_are_parts_while_they_have_no_tag,
    a_child_that_comes_later_is_a_part_at_once,
    a_whole_that_the_protocol_deletes_leaves_its_parts_as_versions,
    deleting_a_whole_takes_along_what_only_it_has,
    deleting_a_whole_follows_referrers_of_referrers,
    restoring_brings_back_what_went_along_with_tags_where_they_are_free,
    restoring_links_again_what_was_unlinked_and_nothing_else,
    what_was_pushed_again_is_not_restored,
    lists_go_from_the_newest_by_key_or_by_number,
    another_packages_version_is_none,
    tags_have_a_history,
    downloads_are_added_up,
    a_whole_of_thousands_of_parts_is_a_few_statements,
    random_acts_keep_parts_and_counters,
    acts_at_the_same_time_keep_parts_and_counters,
);

const PATH: &str = "mona/tool";

fn stage(house: &House) -> Actor {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    mona
}

/// What the tables say that parts and counters must be, read the slow way: a line for each that is not so.
pub(crate) fn drift(house: &House) -> Vec<String> {
    let named = "(EXISTS (SELECT 1 FROM manifest_refs r JOIN versions w ON w.manifest_id = r.manifest_id
          WHERE r.kind = 3 AND r.digest = v.digest AND w.package_id = v.package_id AND w.deleted_at IS NULL)
        OR EXISTS (SELECT 1 FROM manifest_refs r JOIN versions s ON s.digest = r.digest
          WHERE r.kind = 4 AND r.manifest_id = v.manifest_id AND s.package_id = v.package_id
            AND s.deleted_at IS NULL))";
    let tagged = "EXISTS (SELECT 1 FROM tags t WHERE t.version_id = v.id AND t.valid_to IS NULL)";
    let mut wrong = house.rows(&format!(
        "SELECT 'part', v.id, v.part FROM versions v WHERE v.deleted_at IS NULL
         AND v.part <> CASE WHEN NOT {tagged} AND {named} THEN 1 ELSE 0 END"
    ));
    wrong.extend(house.rows(&format!(
        "SELECT 'package', p.id, p.version_count, p.part_count, p.tagged_count FROM packages p WHERE
           p.version_count <> (SELECT count(*) FROM versions v
             WHERE v.package_id = p.id AND v.deleted_at IS NULL AND v.part = 0)
           OR p.part_count <> (SELECT count(*) FROM versions v
             WHERE v.package_id = p.id AND v.deleted_at IS NULL AND v.part = 1)
           OR p.tagged_count <> (SELECT count(*) FROM versions v
             WHERE v.package_id = p.id AND v.deleted_at IS NULL AND {tagged})
           OR p.held <> (SELECT count(*) FROM (SELECT 1 FROM versions v
             WHERE v.package_id = p.id AND v.deleted_at IS NULL LIMIT 1) AS one)"
    )));
    wrong.extend(house.rows(
        "SELECT 'account', a.name, a.package_count, a.public_package_count FROM accounts a WHERE
           a.package_count <> (SELECT count(*) FROM packages p WHERE p.owner_id = a.id AND p.deleted_at IS NULL)
           OR a.public_package_count <> (SELECT count(*) FROM packages p
             WHERE p.owner_id = a.id AND p.visibility = 2 AND p.deleted_at IS NULL)",
    ));
    // What accounts store, and which links count.
    wrong.extend(house.rows(
        "SELECT 'names', l.package_id, l.digest, l.named FROM package_blobs l WHERE l.named <> (
           SELECT count(*) FROM versions v WHERE v.package_id = l.package_id AND v.deleted_at IS NULL
             AND EXISTS (SELECT 1 FROM manifest_refs r WHERE r.manifest_id = v.manifest_id AND r.kind IN (1, 2, 3)
                         AND r.digest = l.digest))
         UNION ALL SELECT 'counted', l.package_id, l.digest, l.counted FROM package_blobs l
           WHERE l.named > 0 AND l.counted = 0",
    ));
    let counted = "FROM package_blobs l JOIN packages p ON p.id = l.package_id
         WHERE p.deleted_at IS NULL AND l.counted = 1";
    wrong.extend(house.rows(&format!(
        "SELECT 'stored', a.id, s.bytes, s.private_bytes FROM accounts a
         LEFT JOIN account_storage s ON s.owner_id = a.id
         WHERE COALESCE(s.bytes, 0) <> COALESCE((SELECT sum(b.size) FROM blobs b
             WHERE b.digest IN (SELECT l.digest {counted} AND p.owner_id = a.id)), 0)
           OR COALESCE(s.private_bytes, 0) <> COALESCE((SELECT sum(b.size) FROM blobs b
             WHERE b.digest IN (SELECT l.digest {counted} AND p.owner_id = a.id AND p.visibility <> 2)), 0)"
    )));
    wrong.extend(house.rows(&format!(
        "SELECT 'holds', h.owner_id, h.links, h.private_links FROM account_blobs h
         WHERE h.links < 1 OR h.links <> (SELECT count(*) {counted} AND p.owner_id = h.owner_id AND l.digest = h.digest)
           OR h.private_links <> (SELECT count(*) {counted} AND p.owner_id = h.owner_id AND l.digest = h.digest
                                  AND p.visibility <> 2)"
    )));
    // No tag points at what is deleted, and nothing live went with something.
    wrong.extend(house.rows(
        "SELECT 'tag', t.id FROM tags t JOIN versions v ON v.id = t.version_id
         WHERE t.valid_to IS NULL AND v.deleted_at IS NOT NULL",
    ));
    wrong.extend(
        house.rows("SELECT 'taken', id FROM versions WHERE deleted_at IS NULL AND deleted_with IS NOT NULL"),
    );
    wrong
}

fn settled(house: &House) {
    assert_eq!(drift(house), Vec::<String>::new());
}

fn list(house: &House, by: &Actor, listed: Listed) -> Vec<Version> {
    page(house, by, listed, VersionsPlace { before: None, skip: 0, limit: 1_000 })
}

fn page(house: &House, by: &Actor, listed: Listed, place: VersionsPlace) -> Vec<Version> {
    let shows = by.shows.clone();
    let found = house.read(move |tx| {
        let may = may::<See>(tx, &shows, PATH)?;
        Ok(tx.versions(&may, &listed, place)?)
    });
    found.unwrap()
}

fn digests(versions: &[Version]) -> Vec<Digest> {
    versions.iter().map(|version| version.digest).collect()
}

fn active(house: &House, by: &Actor) -> Vec<Digest> {
    digests(&list(house, by, Listed::Active))
}

fn deleted(house: &House, by: &Actor) -> Vec<Digest> {
    digests(&list(house, by, Listed::Deleted { since: Micros(0) }))
}

fn one(house: &House, by: &Actor, digest: Digest) -> Option<Version> {
    let shows = by.shows.clone();
    let found = house.read(move |tx| {
        let may = may::<See>(tx, &shows, PATH)?;
        Ok(tx.version_by_digest(&may, &digest)?)
    });
    found.unwrap()
}

/// Deletes a version as the API does once its rules let it; how many went along.
fn delete(house: &House, by: &Actor, digest: Digest) -> u64 {
    let (shows, now) = (by.shows.clone(), house.now());
    let done = house.write(move |tx| {
        let may = may_change::<See>(tx, &shows, PATH)?;
        let found = tx.version_by_digest(&may, &digest)?.ok_or(Fault::Wanted)?;
        let may = may_change::<Delete>(tx, &shows, PATH)?;
        delete_whole(tx, &may, (found.id, &found.digest), now)
    });
    done.unwrap()
}

/// Restores a version as the API does; how many came along. `None`: pushed again.
fn restore(house: &House, by: &Actor, id: VersionId) -> Option<u64> {
    let (shows, now) = (by.shows.clone(), house.now());
    let done = house.write(move |tx| restored(tx, &shows, id, now));
    done.unwrap()
}

fn restored<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    shows: &Presented,
    id: VersionId,
    now: Micros,
) -> Done<Option<u64>> {
    let may = may_change::<Restore>(tx, shows, PATH)?;
    let (version, again) = tx.version_to_restore(&may, id)?.ok_or(Fault::Wanted)?;
    if again { Ok(None) } else { Ok(Some(restore_version(tx, &may, &version, now)?)) }
}

fn delete_by_protocol(house: &House, by: &Actor, digest: Digest) {
    let (shows, now) = (by.shows.clone(), house.now());
    let done = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, PATH)?;
        delete_version(tx, &may, &digest, now)
    });
    assert!(done.unwrap());
}

fn untag(house: &House, by: &Actor, name: &'static str) {
    let (shows, now) = (by.shows.clone(), house.now());
    let done = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, PATH)?;
        delete_tag(tx, &may, &tag(name), now)
    });
    assert!(done.unwrap());
}

fn push(house: &House, by: &Actor, build: &Build, name: Option<&str>) -> Digest {
    let manifest = build.build();
    house.push(by, PATH, &manifest, name);
    manifest.digest
}

fn children_and_referrers_are_parts_while_they_have_no_tag(house: &House) {
    let mona = stage(house);
    let child = push(house, &mona, &image("a", &[]), None);
    assert_eq!(active(house, &mona), [child], "an untagged image is a version");
    let whole = push(house, &mona, &index(&[child]), Some("v1"));
    let signature = push(house, &mona, &image("s", &[]).subject(&whole), None);
    assert_eq!(active(house, &mona), [whole]);
    settled(house);

    let all = list(house, &mona, Listed::WithParts);
    assert_eq!(digests(&all), [signature, whole, child]);
    let id = all[1].id;
    assert_eq!(all.iter().map(|v| v.part).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!([all[0].whole, all[1].whole, all[2].whole], [Some((id, whole)), None, Some((id, whole))]);
    assert_eq!(all[1].tags, ["v1"]);

    // A tag makes it a version of its own; without it, it is a part again.
    house.push(&mona, PATH, &image("a", &[]).build(), Some("linux"));
    assert_eq!(active(house, &mona), [whole, child]);
    settled(house);
    untag(house, &mona, "linux");
    assert_eq!(active(house, &mona), [whole]);
    settled(house);

    // What an index is that lost its tag, its parts stay parts.
    untag(house, &mona, "v1");
    assert_eq!(active(house, &mona), [whole]);
    settled(house);
}

fn a_child_that_comes_later_is_a_part_at_once(house: &House) {
    let mona = stage(house);
    let (early, late) = (image("early", &[]), image("late", &[]));
    let whole = push(house, &mona, &index(&[early.build().digest, late.build().digest]), Some("v1"));
    push(house, &mona, &early, None);
    push(house, &mona, &late, Some("own"));
    settled(house);
    assert_eq!(active(house, &mona), [late.build().digest, whole]);
    // A subject that comes after its referrer.
    let subject = image("subject", &[]);
    let referrer = push(house, &mona, &image("r", &[]).subject(&subject.build().digest), None);
    assert!(active(house, &mona).contains(&referrer));
    push(house, &mona, &subject, None);
    assert!(!active(house, &mona).contains(&referrer));
    settled(house);
}

fn a_whole_that_the_protocol_deletes_leaves_its_parts_as_versions(house: &House) {
    let mona = stage(house);
    let child = push(house, &mona, &image("a", &[]), None);
    let shared = push(house, &mona, &image("b", &[]), None);
    let one = push(house, &mona, &index(&[child, shared]), Some("v1"));
    let two = push(house, &mona, &index(&[shared]), Some("v2"));
    let referrer = push(house, &mona, &image("s", &[]).subject(&one), None);
    assert_eq!(active(house, &mona), [two, one]);
    delete_by_protocol(house, &mona, one);
    assert_eq!(active(house, &mona), [referrer, two, child], "the shared one has another whole");
    settled(house);
}

fn deleting_a_whole_takes_along_what_only_it_has(house: &House) {
    let mona = stage(house);
    let [only, shared, tagged] = ["only", "shared", "tagged"].map(|name| image(name, &[]));
    for build in [&only, &shared] {
        push(house, &mona, build, None);
    }
    push(house, &mona, &tagged, Some("own"));
    let [only, shared, tagged] = [only, shared, tagged].map(|build| build.build().digest);
    let inner = push(house, &mona, &index(&[only, shared]), None);
    let outer = push(house, &mona, &index(&[inner, tagged]), Some("v1"));
    let other = push(house, &mona, &index(&[shared]), Some("v2"));
    let before = list(house, &mona, Listed::WithParts).len();
    assert_eq!(delete(house, &mona, outer), 2, "the inner index and what it alone has");
    settled(house);
    let left = list(house, &mona, Listed::WithParts);
    assert_eq!(left.len(), before - 3);
    assert!([shared, tagged, other].iter().all(|digest| digests(&left).contains(digest)));
    assert_eq!(active(house, &mona), [other, tagged]);
    // What went along is not offered by itself.
    assert_eq!(deleted(house, &mona), [outer]);
    let rows =
        house.rows("SELECT count(DISTINCT deleted_at), count(*) FROM versions WHERE deleted_at IS NOT NULL");
    assert_eq!(rows, ["1 3"], "all at the same time");
    assert_eq!(one(house, &mona, only), None);
}

fn deleting_a_whole_follows_referrers_of_referrers(house: &House) {
    let mona = stage(house);
    let child = push(house, &mona, &image("a", &[]), None);
    let attestation = push(house, &mona, &image("att", &[]).subject(&child), None);
    let whole = push(house, &mona, &index(&[child]), Some("v1"));
    let signature = push(house, &mona, &image("sig", &[]).subject(&whole), None);
    let countersigned = push(house, &mona, &image("sig2", &[]).subject(&signature), None);
    // In a list of another whole too: it stays, and what refers to it stays with it.
    let kept = push(house, &mona, &image("kept", &[]).subject(&whole), None);
    let above_kept = push(house, &mona, &image("kept2", &[]).subject(&kept), None);
    let list_of_kept = push(house, &mona, &index(&[kept]), Some("sha256-0"));
    settled(house);
    assert_eq!(delete(house, &mona, whole), 4);
    settled(house);
    for gone in [child, attestation, signature, countersigned] {
        assert_eq!(one(house, &mona, gone), None);
    }
    assert_eq!(active(house, &mona), [list_of_kept]);
    assert!(one(house, &mona, kept).unwrap().part && one(house, &mona, above_kept).unwrap().part);
}

fn restoring_brings_back_what_went_along_with_tags_where_they_are_free(house: &House) {
    let mona = stage(house);
    let child = push(house, &mona, &image("a", &[]), None);
    let whole = push(house, &mona, &index(&[child]), Some("v1"));
    house.push(&mona, PATH, &index(&[child]).build(), Some("latest"));
    let before = list(house, &mona, Listed::WithParts);
    assert_eq!(delete(house, &mona, whole), 1);
    assert_eq!(list(house, &mona, Listed::WithParts), []);
    // One of its names is another's meanwhile.
    let newer = push(house, &mona, &image("newer", &[]), Some("latest"));
    let gone = list(house, &mona, Listed::Deleted { since: Micros(0) });
    assert_eq!(gone[0].tags, ["v1", "latest"]);
    assert_eq!(restore(house, &mona, gone[0].id), Some(1));
    settled(house);
    assert_eq!(house.resolve(&mona, PATH, "v1"), Some(whole));
    assert_eq!(house.resolve(&mona, PATH, "latest"), Some(newer));
    let after = list(house, &mona, Listed::WithParts);
    assert_eq!(digests(&after), [newer, whole, child]);
    assert_eq!(after[1].id, before[0].id, "the number stays");
    assert_eq!(after[1].tags, ["v1"]);
    assert!(after[2].part);
    assert_eq!(deleted(house, &mona), []);
    assert!(restore_fails(house, &mona, after[1].id), "it is live");
}

fn restore_fails(house: &House, by: &Actor, id: VersionId) -> bool {
    let (shows, now) = (by.shows.clone(), house.now());
    house.write(move |tx| restored(tx, &shows, id, now)).is_err()
}

fn unlink(house: &House, by: &Actor, digest: Digest) {
    let shows = by.shows.clone();
    let done = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, PATH)?;
        unlink_blob(tx, &may, &digest, Micros(9))
    });
    assert!(done.unwrap());
}

fn readable(house: &House, by: &Actor, digest: Digest) -> bool {
    let shows = by.shows.clone();
    let found = house.read(move |tx| {
        let may = may::<Pull>(tx, &shows, PATH)?;
        Ok(tx.blob(&may, &digest)?.is_some())
    });
    found.unwrap()
}

/// A manifest may name a blob that was never readable here (`sparse_manifests`, and layers that are not
/// distributed). Deleting and restoring it must not open the one that another package has.
fn restoring_links_again_what_was_unlinked_and_nothing_else(house: &House) {
    let (mona, eve) = (stage(house), house.user("eve"));
    house.package(&eve, "eve/secret");
    let (config, _) = house.push_blob(&mona, PATH, "config");
    let (layer, _) = house.push_blob(&mona, PATH, "layer");
    let (secret, _) = house.push_blob(&eve, "eve/secret", "secret");
    let whole = push(house, &mona, &image("config", &["layer", "secret"]), Some("v1"));
    delete(house, &mona, whole);
    for blob in [config, layer] {
        unlink(house, &mona, blob);
        assert!(!readable(house, &mona, blob));
    }
    let id = list(house, &mona, Listed::Deleted { since: Micros(0) })[0].id;
    assert_eq!(restore(house, &mona, id), Some(0));
    assert!(readable(house, &mona, config) && readable(house, &mona, layer));
    assert!(!readable(house, &mona, secret));
    assert_eq!(house.number("SELECT count(*) FROM package_blobs_unlinked"), 0);
}

fn what_was_pushed_again_is_not_restored(house: &House) {
    let mona = stage(house);
    let (part, build) = (image("part", &[]), image("a", &[]));
    push(house, &mona, &part, None);
    let part = part.build().digest;
    let whole = push(house, &mona, &index(&[part]), Some("v1"));
    delete(house, &mona, whole);
    let gone = list(house, &mona, Listed::Deleted { since: Micros(0) })[0].id;
    // The part alone is pushed again: the whole comes back, and finds the new one as its part.
    push(house, &mona, &image("part", &[]), None);
    assert_eq!(restore(house, &mona, gone), Some(0));
    settled(house);
    assert_eq!(active(house, &mona), [whole]);

    let digest = push(house, &mona, &build, Some("again"));
    delete(house, &mona, digest);
    let gone = list(house, &mona, Listed::Deleted { since: Micros(0) })[0].id;
    push(house, &mona, &build, None);
    assert_eq!(restore(house, &mona, gone), None);
    // Not later either, when the new one is deleted: that one is the one to restore.
    delete(house, &mona, digest);
    assert_eq!(restore(house, &mona, gone), None);
    let newer = list(house, &mona, Listed::Deleted { since: Micros(0) });
    assert_eq!(digests(&newer), [digest]);
    assert!(newer[0].id > gone);
    assert_eq!(restore(house, &mona, newer[0].id), Some(0));
    settled(house);
}

fn lists_go_from_the_newest_by_key_or_by_number(house: &House) {
    let mona = stage(house);
    let pushed: Vec<Digest> = (0..7).map(|n| push(house, &mona, &image(&n.to_string(), &[]), None)).collect();
    push(house, &mona, &index(&pushed[..1]), Some("whole"));
    let all = list(house, &mona, Listed::Active);
    assert_eq!(all.len(), 7);
    assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id));
    for limit in 1..=3_u32 {
        for (skip, expected) in all.chunks(limit as usize).enumerate() {
            let skip = u32::try_from(skip).unwrap() * limit;
            let by_number = page(house, &mona, Listed::Active, VersionsPlace { before: None, skip, limit });
            assert_eq!(by_number, expected);
            let before = skip.checked_sub(1).map(|last| all[last as usize].id);
            let by_key = page(house, &mona, Listed::Active, VersionsPlace { before, skip: 0, limit });
            assert_eq!(by_key, expected);
        }
    }
    let by_tag = {
        let shows = mona.shows.clone();
        house.read(move |tx| {
            let may = may::<See>(tx, &shows, PATH)?;
            Ok((tx.version_by_tag(&may, &tag("whole"))?, tx.version_by_tag(&may, &tag("none"))?))
        })
    };
    assert_eq!(by_tag.unwrap(), (Some(all[0].clone()), None));
    // Only those in their time to restore.
    delete(house, &mona, all[3].digest);
    let at = house.number("SELECT deleted_at FROM versions WHERE deleted_at IS NOT NULL");
    for (since, expected) in [(at, vec![all[3].digest]), (at + 1, vec![])] {
        assert_eq!(digests(&list(house, &mona, Listed::Deleted { since: Micros(since) })), expected);
    }
}

fn another_packages_version_is_none(house: &House) {
    let (mona, eve) = (stage(house), house.user("eve"));
    house.package(&eve, "eve/tool");
    let theirs = house.push(&mona, PATH, &image("a", &[]).build(), Some("v1")).version;
    let find = || {
        let shows = eve.shows.clone();
        let found = house.write(move |tx| {
            let see = may_change::<See>(tx, &shows, "eve/tool")?;
            let delete = may_change::<Delete>(tx, &shows, "eve/tool")?;
            let restore = may_change::<Restore>(tx, &shows, "eve/tool")?;
            let seen = tx.version(&see, theirs)?.is_some();
            let deletable = tx.version_to_delete(&delete, theirs)?.is_some();
            Ok(seen || deletable || tx.version_to_restore(&restore, theirs)?.is_some())
        });
        found.unwrap()
    };
    assert!(!find());
    // Deleted where it is, either.
    delete_by_protocol(house, &mona, image("a", &[]).build().digest);
    assert!(!find());
}

fn tags_have_a_history(house: &House) {
    let (mona, root) = (stage(house), house.site_admin("root"));
    let first = push(house, &mona, &image("a", &[]), Some("latest"));
    let second = push(house, &root, &image("b", &[]), Some("latest"));
    untag(house, &mona, "latest");
    let history = |before: Option<i64>, limit| {
        let shows = mona.shows.clone();
        let rows = house.read(move |tx| {
            let may = may::<See>(tx, &shows, PATH)?;
            Ok(tx.tag_history(&may, &tag("latest"), before, limit)?)
        });
        rows.unwrap()
    };
    let all = history(None, 9);
    assert_eq!(all.iter().map(|row| row.digest).collect::<Vec<_>>(), [second, first]);
    let movers: Vec<_> = all.iter().map(|row| row.moved_by.clone().unwrap()).collect();
    assert_eq!(movers, ["root", "mona"]);
    assert_eq!(all[1].valid_to, Some(all[0].valid_from));
    assert!(all[0].valid_to.is_some());
    assert_eq!(history(Some(all[0].id), 9), all[1..]);
    assert_eq!(history(None, 1), all[..1]);
}

fn counter<'tx>(tx: &mut WriteTx<'_, 'tx>) -> Done<Granted<'tx, Collect>> {
    let worker = caller(tx, &Presented::Worker)?;
    Ok(decide_collect(&worker)?)
}

fn downloads_are_added_up(house: &House) {
    let mona = stage(house);
    let first = house.push(&mona, PATH, &image("a", &[]).build(), Some("v1")).version;
    let second = house.push(&mona, PATH, &image("b", &[]).build(), Some("v2")).version;
    let package = packhouse_access::PackageId(house.number("SELECT id FROM packages"));
    let download =
        |version, tag: Option<&str>, count| Download { package, version, tag: tag.map(str::to_owned), count };
    let mut counted =
        vec![download(first, Some("v1"), 3), download(first, None, 4), download(second, Some("v2"), 1)];
    // What is not there any more, or never was, is no error.
    counted.push(Download { version: VersionId(9_999), ..download(first, None, 0) });
    for _ in 0..2 {
        let counted = counted.clone();
        house
            .write(move |tx| {
                let may = counter(tx)?;
                Ok(tx.count_downloads(&may, &counted, Micros(70))?)
            })
            .unwrap();
    }
    assert_eq!(house.rows("SELECT downloads, last_pulled_at FROM versions ORDER BY id"), ["14 70", "2 70"]);
    assert_eq!(house.rows("SELECT downloads FROM packages"), ["16"]);
    assert_eq!(house.rows("SELECT name, downloads FROM tag_downloads ORDER BY name"), ["v1 6", "v2 2"]);
    let most = house.write(|tx| {
        let may = may_change::<Delete>(tx, &Presented::Operator, PATH)?;
        Ok(tx.most_downloaded(&may)?)
    });
    assert_eq!(most.unwrap(), 14);
    let shows = mona.shows.clone();
    let tags = house.read(move |tx| {
        let may = may::<See>(tx, &shows, PATH)?;
        Ok(tx.tags_open(&may, "", 9)?)
    });
    let counts: Vec<_> =
        tags.unwrap().into_iter().map(|(row, pulls)| (row.name, pulls.count, pulls.last_at)).collect();
    let last = Some(Micros(70));
    assert_eq!(counts, [("v1".to_owned(), 6, last), ("v2".to_owned(), 2, last)]);
}

/// As large as a manifest may be, and below it one more level for each child.
fn a_whole_of_thousands_of_parts_is_a_few_statements(house: &House) {
    const CHILDREN: usize = 1_000;
    let mona = stage(house);
    let children: Vec<Digest> = (0..CHILDREN).map(|n| crate::house::sha256(&format!("child {n}"))).collect();
    let bytes = |digest: &Digest| {
        let hex: String = digest.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        if house.is_on_postgres() { format!("'\\x{hex}'::bytea") } else { format!("x'{hex}'") }
    };
    let mut text = String::new();
    for (at, child) in children.iter().enumerate() {
        let (id, digest) = (1_000 + at, bytes(child));
        let (other, above) = (10_000 + at, bytes(&crate::house::sha256(&format!("referrer {at}"))));
        let empty = if house.is_on_postgres() { "''::bytea" } else { "x''" };
        for (id, digest, subject) in [(id, &digest, "NULL".to_owned()), (other, &above, digest.clone())] {
            text.push_str(&format!(
                "INSERT INTO manifests (id, digest, media_type, kind, size, subject, payload)
                   VALUES ({id}, {digest}, 'm', 1, 0, {subject}, {empty});
                 INSERT INTO versions (id, package_id, manifest_id, digest, subject, part, created_at)
                   VALUES ({id}, 1, {id}, {digest}, {subject}, {}, 1);",
                i64::from(subject != "NULL"),
            ));
        }
    }
    text.push_str(&format!(
        "INSERT INTO manifest_refs (manifest_id, kind, digest)
           SELECT id, 4, subject FROM manifests WHERE subject IS NOT NULL;
         UPDATE packages SET version_count = {CHILDREN}, part_count = {CHILDREN}"
    ));
    house.database.run(&format!("BEGIN; {text}; COMMIT"));
    if house.is_on_postgres() {
        // Numbers that were given by hand; the catalog goes on behind them. And what a server in use knows of its
        // tables.
        house.database.run(
            "SELECT setval(pg_get_serial_sequence('versions', 'id'), 100000);
             SELECT setval(pg_get_serial_sequence('manifests', 'id'), 100000);
             ANALYZE",
        );
    }
    let whole = push(house, &mona, &index(&children), Some("v1"));
    assert_eq!(house.rows("SELECT version_count, part_count FROM packages"), ["1 2000"]);
    assert_eq!(delete(house, &mona, whole), 2_000);
    assert_eq!(house.rows("SELECT version_count, part_count, tagged_count FROM packages"), ["0 0 0"]);
    let gone = list(house, &mona, Listed::Deleted { since: Micros(0) })[0].id;
    assert_eq!(restore(house, &mona, gone), Some(2_000));
    assert_eq!(house.rows("SELECT version_count, part_count, tagged_count FROM packages"), ["1 2000 1"]);
    settled(house);
}

/// A generator of its own, so that a number says all that happened.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides).unwrap()
    }
}

/// A small world of manifests that name each other in all the ways there are.
fn world() -> Vec<NewManifest> {
    let images: Vec<Build> = ["a", "b", "c"].iter().map(|name| image(name, &[])).collect();
    let of = |build: &Build| build.build().digest;
    let [a, b, c] = [&images[0], &images[1], &images[2]].map(of);
    let inner = index(&[a, b]);
    let outer = index(&[of(&inner), c]);
    let beside = index(&[b, c]);
    let signature = image("sig", &[]).subject(&of(&outer));
    let second = image("sig2", &[]).subject(&of(&signature));
    let attestation = image("att", &[]).subject(&a);
    let fallback = index(&[of(&attestation), of(&signature)]);
    let mut all = images;
    all.extend([inner, outer, beside, signature, second, attestation, fallback]);
    all.iter().map(Build::build).collect()
}

const TAGS: [&str; 4] = ["v1", "v2", "latest", "sha256-0"];

/// One act on the package, whatever its state allows.
fn act<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    shows: &Presented,
    dice: &mut Dice,
    world: &[NewManifest],
    now: Micros,
) -> Done<()> {
    let manifest = &world[dice.roll(world.len() as u64)];
    let name = tag(TAGS[dice.roll(TAGS.len() as u64)]);
    match dice.roll(8) {
        0 | 1 => {
            let may = may_change::<Push>(tx, shows, PATH)?;
            put(tx, &may, manifest, now)?;
        }
        2 | 3 => {
            let may = may_change::<Push>(tx, shows, PATH)?;
            let pushed = put(tx, &may, manifest, now)?;
            move_tag(tx, &may, &name, pushed.version, now)?;
        }
        4 => {
            let may = may_change::<Delete>(tx, shows, PATH)?;
            delete_tag(tx, &may, &name, now)?;
        }
        5 => {
            let may = may_change::<Delete>(tx, shows, PATH)?;
            delete_version(tx, &may, &manifest.digest, now)?;
        }
        6 => {
            let see = may_change::<See>(tx, shows, PATH)?;
            let found = tx.version_by_digest(&see, &manifest.digest)?;
            let may = may_change::<Delete>(tx, shows, PATH)?;
            // As the rules of the API have it: no part by itself.
            if let Some(whole) = found.filter(|found| !found.part) {
                delete_whole(tx, &may, (whole.id, &whole.digest), now)?;
            }
        }
        _ => {
            let see = may_change::<See>(tx, shows, PATH)?;
            let place = VersionsPlace { before: None, skip: 0, limit: 99 };
            let deleted = tx.versions(&see, &Listed::Deleted { since: Micros(0) }, place)?;
            if !deleted.is_empty() {
                let one = deleted[dice.roll(deleted.len() as u64)].id;
                restored(tx, shows, one, now)?;
            }
        }
    }
    Ok(())
}

fn random_acts_keep_parts_and_counters(house: &House) {
    let mona = stage(house);
    let world: Arc<[NewManifest]> = world().into();
    for seed in 0..300_u64 {
        let (shows, world, now) = (mona.shows.clone(), Arc::clone(&world), house.now());
        house
            .write(move |tx| {
                let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                act(tx, &shows, &mut dice, &world, now)
            })
            .unwrap();
        if seed % 4 == 0 {
            assert_eq!(drift(house), Vec::<String>::new(), "after act {seed}");
        }
    }
    settled(house);
    // It was no idle game.
    assert!(house.number("SELECT count(*) FROM versions WHERE deleted_with IS NOT NULL") > 0);
    assert!(house.number("SELECT count(*) FROM versions WHERE part = 1") > 0);
}

fn acts_at_the_same_time_keep_parts_and_counters(house: &House) {
    let mona = stage(house);
    let world: Arc<[NewManifest]> = world().into();
    for round in 0..12_u64 {
        let acts: Vec<_> = (0..12_u64)
            .map(|number| {
                let (catalog, shows, world, now) =
                    (house.catalog.clone(), mona.shows.clone(), Arc::clone(&world), house.now());
                house.runtime.spawn(async move {
                    let seed = (round * 100 + number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let done: Done<()> =
                        catalog.write(move |tx| act(tx, &shows, &mut Dice(seed), &world, now)).await;
                    done
                })
            })
            .collect();
        for act in acts {
            match house.wait(act).unwrap() {
                // So many at once may lose a transaction more often than it is tried again; it did nothing then.
                Ok(()) | Err(Fault::Catalog(CatalogError::Lost(_))) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(drift(house), Vec::<String>::new(), "after round {round}");
    }
}
