//! Collection: what nothing needs goes, in its time, and nothing else does.

use crate::house::{
    Actor, Fault, House, PIN_SECONDS, caller, collector, delete_package, delete_version, image, index, may,
    may_change, on_every_database, restore_version, sha256, unlink_blob,
};
use packhouse_access::{Delete, PackageId, Pull, Push, Restore, decide};
use packhouse_catalog::{Judgement, Micros, Presented, Removed, ReviewKind};
use packhouse_oci::Digest;

on_every_database!(
    a_blob_that_nothing_names_goes_when_its_pin_ends,
    being_told_of_a_blob_keeps_it,
    what_a_live_manifest_names_stays,
    a_blob_that_an_index_names_as_its_child_stays,
    what_can_be_restored_keeps_its_blobs,
    what_was_restored_is_not_removed,
    a_deleted_version_goes_with_all_that_only_it_had,
    a_blob_that_another_package_has_stays,
    a_manifest_that_another_package_has_stays,
    a_blob_pushed_again_has_a_key_of_its_own,
    a_blob_taken_out_can_come_back_until_its_time_is_over,
    a_deleted_package_goes_with_everything_of_it,
    the_packages_of_a_deleted_organization_go,
    the_same_bytes_under_another_media_type_let_go_of_what_they_named,
    claimed_reviews_are_due_again_when_a_worker_does_not_come_back,
    a_copy_of_the_catalog_holds_what_it_names,
    what_was_collected_is_counted,
);

/// How long what was deleted can be restored.
const KEPT_SECONDS: u64 = 10_000;

fn judgement(now: Micros) -> Judgement {
    Judgement { now, restorable_since: now.minus_seconds(KEPT_SECONDS), trash_at: now.plus_seconds(50) }
}

/// Collects until nothing is due at `now`; what was removed, in words.
pub(crate) fn collect(house: &House, now: Micros) -> Vec<String> {
    let mut removed = Vec::new();
    for _ in 0..1_000 {
        let claimed = house
            .write(move |tx| {
                let may = collector(tx)?;
                Ok(tx.claim_reviews(&may, now, now.plus_seconds(60), 200)?)
            })
            .unwrap();
        if claimed.is_empty() {
            removed.sort();
            return removed;
        }
        for group in claimed.chunk_by(|a, b| {
            (a.package, a.package.map_or(Some(a.kind), |_| None))
                == (b.package, b.package.map_or(Some(b.kind), |_| None))
        }) {
            let group = group.to_vec();
            let found = house.write(move |tx| {
                let may = collector(tx)?;
                let judgement = judgement(now);
                Ok(match (group[0].package, group[0].kind) {
                    (Some(package), _) => tx.collect_in_package(&may, package, &group, &judgement)?,
                    (None, ReviewKind::Manifest) => tx.collect_manifests(&may, &group)?,
                    (None, _) => tx.collect_blobs(&may, &group, &judgement)?,
                })
            });
            removed.extend(found.unwrap().into_iter().map(word));
        }
    }
    panic!("collection does not come to an end");
}

fn word(removed: Removed) -> String {
    match removed {
        Removed::Package { path } => format!("package {path}"),
        Removed::Version { path, digest } => format!("version {path} {}", short(&digest)),
        Removed::Link { path, digest } => format!("link {path} {}", short(&digest)),
        Removed::Manifest { digest, .. } => format!("manifest {}", short(&digest)),
        Removed::Blob { digest, .. } => format!("blob {}", short(&digest)),
    }
}

fn short(digest: &Digest) -> String {
    digest.to_string().chars().skip(7).take(8).collect()
}

/// The time after all pins that were given until now.
fn after_pins(house: &House) -> Micros {
    house.now().plus_seconds(PIN_SECONDS + 100)
}

/// The time after which nothing that is deleted by now can be restored.
fn after_restoring(house: &House) -> Micros {
    house.now().plus_seconds(KEPT_SECONDS + PIN_SECONDS + 100)
}

fn delete(house: &House, by: &Actor, path: &'static str, digest: Digest) {
    let (now, shows) = (house.now(), by.shows.clone());
    let deleted = house.write(move |tx| {
        let may = may_change::<Delete>(tx, &shows, path)?;
        delete_version(tx, &may, &digest, now)
    });
    assert!(deleted.unwrap());
}

fn readable(house: &House, by: &Actor, path: &'static str, digest: Digest) -> bool {
    let shows = by.shows.clone();
    house
        .read(move |tx| {
            let may = may::<Pull>(tx, &shows, path)?;
            Ok(tx.blob(&may, &digest)?.is_some())
        })
        .unwrap()
}

/// An image of a config and a layer, pushed under a tag.
fn push_image(house: &House, by: &Actor, path: &str, config: &str, layer: &str, tag: Option<&str>) -> Digest {
    for blob in [config, layer] {
        house.push_blob(by, path, blob);
    }
    let manifest = image(config, &[layer]).build();
    house.push(by, path, &manifest, tag);
    manifest.digest
}

/// Nothing that may be garbage is left, nor anything that waits.
fn nothing_left(house: &House) {
    for table in
        ["versions", "version_blobs", "version_children", "manifests", "manifest_refs", "tags", "blobs"]
    {
        assert_eq!(house.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    assert_eq!(house.number("SELECT count(*) FROM package_blobs"), 0);
    assert_eq!(house.number("SELECT count(*) FROM package_blobs_unlinked"), 0);
    assert_eq!(house.rows("SELECT kind, package_id, item, digest FROM reviews"), Vec::<String>::new());
}

fn a_blob_that_nothing_names_goes_when_its_pin_ends(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let (digest, key) = house.push_blob(&mona, "mona/tool", "layer");
    let pushed = house.now();
    assert_eq!(collect(house, pushed.plus_seconds(PIN_SECONDS - 10)), Vec::<String>::new());
    assert!(readable(house, &mona, "mona/tool", digest));

    let later = after_pins(house);
    let layer = short(&digest);
    assert_eq!(collect(house, later), [format!("blob {layer}"), format!("link mona/tool {layer}")]);
    assert!(!readable(house, &mona, "mona/tool", digest));
    // The bytes follow, in their own time.
    let trash = house.rows("SELECT storage_key, not_before, size, trashed_at FROM trash");
    assert_eq!(trash, [format!("{key} {} 5 {}", later.plus_seconds(50).0, later.0)]);
    nothing_left(house);
}

fn being_told_of_a_blob_keeps_it(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let (digest, _) = house.push_blob(&mona, "mona/tool", "layer");
    let (later, shows) = (after_pins(house), mona.shows.clone());
    let pin = move |until: Micros| {
        let shows = shows.clone();
        house
            .write(move |tx| {
                let may = may_change::<Push>(tx, &shows, "mona/tool")?;
                Ok(tx.pin_blob(&may, &digest, until)?)
            })
            .unwrap()
    };
    assert!(pin(later.plus_seconds(100)));
    // A shorter one takes nothing away.
    assert!(pin(later));
    assert_eq!(collect(house, later), Vec::<String>::new());
    assert_eq!(collect(house, later.plus_seconds(101)).len(), 2);
    assert!(!pin(later.plus_seconds(200)), "what is gone cannot be kept");
}

fn what_a_live_manifest_names_stays(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    push_image(house, &mona, "mona/tool", "config", "layer", Some("v1"));
    // Untagged is as alive as tagged.
    push_image(house, &mona, "mona/tool", "config", "another", None);
    assert_eq!(collect(house, after_restoring(house)), Vec::<String>::new());
    for blob in ["config", "layer", "another"] {
        assert!(readable(house, &mona, "mona/tool", sha256(blob)), "{blob}");
    }
    // Nothing is looked at again until something changes.
    assert_eq!(house.number("SELECT count(*) FROM reviews"), 0);
}

fn a_blob_that_an_index_names_as_its_child_stays(house: &House) {
    // BuildKit's cache manifests are indexes whose children are layers.
    let mona = house.user("mona");
    house.package(&mona, "mona/cache");
    let (layer, _) = house.push_blob(&mona, "mona/cache", "layer");
    let cache = index(&[layer]).build();
    house.push(&mona, "mona/cache", &cache, Some("cache"));
    assert_eq!(collect(house, after_restoring(house)), Vec::<String>::new());
    assert!(readable(house, &mona, "mona/cache", layer));
    delete(house, &mona, "mona/cache", cache.digest);
    assert_eq!(collect(house, after_restoring(house)).len(), 4);
    nothing_left(house);
}

fn what_can_be_restored_keeps_its_blobs(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let digest = push_image(house, &mona, "mona/tool", "config", "layer", Some("v1"));
    delete(house, &mona, "mona/tool", digest);
    let deleted = house.now();
    // The pins end before.
    const { assert!(PIN_SECONDS + 100 < KEPT_SECONDS - 10) };
    assert_eq!(collect(house, deleted.plus_seconds(KEPT_SECONDS - 10)), Vec::<String>::new());
    assert!(readable(house, &mona, "mona/tool", sha256("layer")));
}

fn what_was_restored_is_not_removed(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let digest = push_image(house, &mona, "mona/tool", "config", "layer", Some("v1"));
    let version = house.number("SELECT id FROM versions");
    delete(house, &mona, "mona/tool", digest);
    let (now, shows) = (house.now(), mona.shows.clone());
    house
        .write(move |tx| {
            let caller = caller(tx, &shows)?;
            let may = decide::<Restore>(&tx.facts(&caller, "mona/tool")?)?;
            let (deleted, again) =
                tx.version_to_restore(&may, packhouse_access::VersionId(version))?.unwrap();
            assert!(!again);
            restore_version(tx, &may, &deleted, now)
        })
        .unwrap();
    assert_eq!(collect(house, after_restoring(house)), Vec::<String>::new());
    assert_eq!(house.resolve(&mona, "mona/tool", "v1"), Some(digest));
}

fn a_deleted_version_goes_with_all_that_only_it_had(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let digest = push_image(house, &mona, "mona/tool", "config", "layer", Some("v1"));
    push_image(house, &mona, "mona/tool", "config", "kept", Some("v2"));
    delete(house, &mona, "mona/tool", digest);
    let (manifest, layer) = (short(&digest), short(&sha256("layer")));
    let mut expected = [
        format!("blob {layer}"),
        format!("link mona/tool {layer}"),
        format!("manifest {manifest}"),
        format!("version mona/tool {manifest}"),
    ];
    expected.sort();
    assert_eq!(collect(house, after_restoring(house)), expected);
    assert!(readable(house, &mona, "mona/tool", sha256("config")));
    assert!(readable(house, &mona, "mona/tool", sha256("kept")));
    assert_eq!(house.number("SELECT count(*) FROM versions"), 1);
    assert_eq!(house.rows("SELECT name FROM tags"), ["v2"]);
}

fn a_blob_that_another_package_has_stays(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/one");
    house.package(&mona, "mona/two");
    let digest = push_image(house, &mona, "mona/one", "config", "shared", Some("v1"));
    let other = push_image(house, &mona, "mona/two", "other", "shared", Some("v1"));
    delete(house, &mona, "mona/one", digest);
    collect(house, after_restoring(house));
    assert!(!readable(house, &mona, "mona/one", sha256("shared")));
    assert!(readable(house, &mona, "mona/two", sha256("shared")));
    // And goes with the last that has it.
    delete(house, &mona, "mona/two", other);
    collect(house, after_restoring(house).plus_seconds(KEPT_SECONDS));
    nothing_left(house);
}

fn a_manifest_that_another_package_has_stays(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/one");
    house.package(&mona, "mona/two");
    let digest = push_image(house, &mona, "mona/one", "config", "layer", Some("v1"));
    push_image(house, &mona, "mona/two", "config", "layer", Some("v1"));
    assert_eq!(house.number("SELECT count(*) FROM manifests"), 1);
    delete(house, &mona, "mona/one", digest);
    collect(house, after_restoring(house));
    assert_eq!(house.number("SELECT count(*) FROM manifests"), 1);
    assert_eq!(house.resolve(&mona, "mona/two", "v1"), Some(digest));
    assert_eq!(house.number("SELECT count(*) FROM blobs"), 2);
}

fn a_blob_pushed_again_has_a_key_of_its_own(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let (digest, old) = house.push_blob(&mona, "mona/tool", "layer");
    collect(house, after_pins(house));
    let (_, new) = house.push_blob(&mona, "mona/tool", "layer");
    assert_ne!(old, new);
    assert_eq!(house.rows("SELECT storage_key FROM trash"), [old]);
    assert_eq!(house.rows("SELECT storage_key FROM blobs"), [new]);
    assert!(readable(house, &mona, "mona/tool", digest));
}

fn a_blob_taken_out_can_come_back_until_its_time_is_over(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let (digest, _) = house.push_blob(&mona, "mona/tool", "layer");
    let (now, shows) = (house.now(), mona.shows.clone());
    house
        .write(move |tx| {
            let may = may_change::<Delete>(tx, &shows, "mona/tool")?;
            unlink_blob(tx, &may, &digest, now)
        })
        .unwrap();
    assert_eq!(collect(house, now.plus_seconds(KEPT_SECONDS - 10)), Vec::<String>::new());
    assert_eq!(house.number("SELECT count(*) FROM blobs"), 1);
    assert_eq!(collect(house, now.plus_seconds(KEPT_SECONDS + 10)).len(), 2);
    nothing_left(house);
}

fn a_deleted_package_goes_with_everything_of_it(house: &House) {
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, "mona/tool");
    house.grant("mona/tool", &hubot, packhouse_access::Role::Write);
    for number in 0..3 {
        push_image(
            house,
            &mona,
            "mona/tool",
            "config",
            &format!("layer {number}"),
            Some(&format!("v{number}")),
        );
    }
    let (now, shows, key) = (house.now(), mona.shows.clone(), house.key());
    house
        .write(move |tx| {
            let may = may_change::<Push>(tx, &shows, "mona/tool")?;
            tx.begin_upload(&may, "open", &key, &[], now, now.plus_seconds(1_000_000))?;
            let may = may_change::<Delete>(tx, &shows, "mona/tool")?;
            delete_package(tx, &may, now)
        })
        .unwrap();
    assert_eq!(collect(house, now.plus_seconds(KEPT_SECONDS - 10)), Vec::<String>::new());
    let later = after_restoring(house);
    let removed = collect(house, later);
    assert_eq!(removed.iter().filter(|word| word.starts_with("version")).count(), 3, "{removed:?}");
    // The session that was open ends as all do that have expired, and the package after it.
    assert_eq!(house.number("SELECT count(*) FROM packages"), 1);
    let ended = house.write(move |tx| {
        let may = collector(tx)?;
        Ok(tx.end_expired_uploads(&may, later, 100, &mut |_| true)?)
    });
    // Those of the blobs that were pushed have expired long ago.
    assert_eq!(ended.unwrap(), 7);
    assert_eq!(collect(house, later.plus_seconds(2)), ["package mona/tool"]);
    for table in ["packages", "package_grants", "uploads"] {
        assert_eq!(house.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    nothing_left(house);
}

fn the_packages_of_a_deleted_organization_go(house: &House) {
    let mona = house.user("mona");
    house.organization("octo", &mona);
    house.package(&mona, "octo/tool");
    push_image(house, &mona, "octo/tool", "config", "layer", Some("v1"));
    let (now, shows) = (house.now(), mona.shows.clone());
    house
        .write(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.namespace_facts(&caller, "octo")?;
            let may = packhouse_access::decide_namespace::<packhouse_access::Govern>(&facts)?;
            let end = packhouse_access::decide_account_end(&may, tx.survey_account(&may)?)?;
            Ok(tx.delete_organization(&may, &end, now)?)
        })
        .unwrap();
    let later = after_restoring(house);
    collect(house, later);
    house
        .write(move |tx| {
            let may = collector(tx)?;
            Ok(tx.end_expired_uploads(&may, later, 100, &mut |_| true)?)
        })
        .unwrap();
    collect(house, later.plus_seconds(2));
    assert_eq!(house.number("SELECT count(*) FROM packages"), 0);
    nothing_left(house);
}

fn the_same_bytes_under_another_media_type_let_go_of_what_they_named(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    push_image(house, &mona, "mona/tool", "config", "layer", Some("v1"));
    let other =
        image("config", &["layer"]).sent_as("application/vnd.docker.distribution.manifest.v2+json").build();
    house.push(&mona, "mona/tool", &other, Some("v1"));
    assert_eq!(house.number("SELECT count(*) FROM manifests"), 2);
    assert_eq!(collect(house, after_restoring(house)), [format!("manifest {}", short(&other.digest))]);
    assert!(readable(house, &mona, "mona/tool", sha256("layer")));
    assert_eq!(house.number("SELECT count(*) FROM version_blobs"), 2);
}

fn claimed_reviews_are_due_again_when_a_worker_does_not_come_back(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    house.push_blob(&mona, "mona/tool", "layer");
    let later = after_pins(house);
    let claim = |now: Micros| {
        house
            .write(move |tx| {
                let may = collector(tx)?;
                Ok(tx.claim_reviews(&may, now, now.plus_seconds(60), 200)?.len())
            })
            .unwrap()
    };
    assert_eq!(claim(later), 1);
    assert_eq!(claim(later.plus_seconds(59)), 0, "somebody else's");
    assert_eq!(collect(house, later.plus_seconds(61)).len(), 2);
}

fn a_copy_of_the_catalog_holds_what_it_names(house: &House) {
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    house.push_blob(&mona, "mona/tool", "layer");
    let (copied, later) = (house.now(), after_pins(house));
    let until = later.plus_seconds(10_000);
    house
        .write(move |tx| {
            let may = collector(tx)?;
            Ok(tx.hold(&may, "backup", copied, until)?)
        })
        .unwrap();
    collect(house, later);
    let claimed = |now: Micros| {
        house
            .write(move |tx| {
                let may = collector(tx)?;
                Ok(tx.claim_trash(&may, now, now, 10)?.len())
            })
            .unwrap()
    };
    assert_eq!(claimed(later.plus_seconds(60)), 0);
    let held = house.read(move |tx| {
        let may = collector(tx)?;
        Ok(tx.trash_total(&may, later)?.held)
    });
    assert_eq!(held.unwrap(), 1);
    assert_eq!(claimed(until.plus_seconds(1)), 1);
}

fn what_was_collected_is_counted(house: &House) {
    for _ in 0..2 {
        house
            .write(|tx| {
                let may = collector(tx)?;
                Ok(tx.count_collected(&may, &[("link", 1, 0), ("blob", 2, 30)])?)
            })
            .unwrap();
    }
    let sums = house.read(|tx| {
        let may = collector(tx)?;
        Ok(tx.collected(&may)?)
    });
    assert_eq!(sums.unwrap(), [("blob".to_owned(), 4, 60), ("link".to_owned(), 2, 0)]);
    let refused = house.write(|tx| {
        let caller = caller(tx, &Presented::Anonymous { bound: None })?;
        let may = packhouse_access::decide_collect(&caller)?;
        Ok(tx.collect_in_package(&may, PackageId(1), &[], &judgement(Micros(1)))?)
    });
    assert!(matches!(refused, Err(Fault::Refused(_))));
}
