//! `packhouse verify` of the real program: damage is found, named and repaired beside a running server and without one, on
//! files and in a bucket; a registry under load has none; a run that was killed goes on.
//!
//! The kinds of damage are planted one by one in `crates/service/tests/scrub/`; here are those that the whole program is
//! needed for.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

mod bucket;

use bucket::Bucket;
use packhouse_tests::image::sha256;
use packhouse_tests::{Caller, Catalog, Finished, House, Image, Program, Store};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const APP: &str = "mona/app";

fn verify(house: &House, words: &[&str]) -> Program {
    house.program().arg("verify").args(words).arg("--data").arg(house.data()).env("NO_COLOR", "1")
}

/// The kinds of what was found, and what was done about it.
fn found(finished: &Finished) -> Vec<String> {
    let verified: Value = finished.json();
    let mut found: Vec<String> = verified["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["kind"].as_str().unwrap(), row["done"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    found
}

fn open(house: &House) -> rusqlite::Connection {
    let catalog = rusqlite::Connection::open(house.data().join("catalog.sqlite")).unwrap();
    catalog.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    catalog
}

/// Where the bytes of a blob lie, of a house that is closed or open.
fn file(house: &House, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    let key: String = open(house)
        .query_row(&format!("SELECT storage_key FROM blobs WHERE hex(digest) LIKE '%{hex}'"), [], |row| {
            row.get(0)
        })
        .unwrap();
    house.data().join(key)
}

fn blob_status(door: &Caller, digest: &str) -> u16 {
    door.get(&format!("/v2/{APP}/blobs/{digest}")).status
}

#[test]
fn damaged_bytes_are_healed_by_a_push_beside_a_running_server() {
    let house = House::start();
    let door = house.caller(&house.user("mona"));
    let (flipped, lost) = (Image::random(5_000), Image::random(5_000));
    door.push(APP, "flipped", &flipped);
    door.push(APP, "lost", &lost);
    verify(&house, &[]).succeeds().says("all is well");

    let layer = &flipped.layers[0];
    let path = file(&house, &layer.digest);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1_000] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();
    std::fs::remove_file(file(&house, &lost.layers[0].digest)).unwrap();
    std::fs::write(house.data().join("blobs/ab/ab000000000000000000000000000000"), "left over").unwrap();

    let looked = verify(&house, &[]).fails();
    looked.says("blob-bytes").says("blob-missing").says("store-extra").says(&layer.digest).says(APP);
    looked.says("3 findings; nothing was changed");
    let repaired = verify(&house, &["--repair", "--json"]).fails();
    assert_eq!(
        found(&repaired),
        ["blob-bytes quarantined", "blob-missing quarantined", "store-extra repaired"]
    );
    verify(&house, &["status"]).succeeds().says(&layer.digest).says("quarantined");

    // To clients they are not there, so that a push brings them back.
    for image in [&flipped, &lost] {
        assert_eq!(blob_status(&door, &image.layers[0].digest), 404);
        assert_eq!(door.head(&format!("/v2/{APP}/blobs/{}", image.layers[0].digest)).status, 404);
    }
    let refused = door.send_bytes(
        "PUT",
        &format!("/v2/{APP}/manifests/again"),
        &flipped.manifest.media_type,
        &flipped.manifest.bytes,
    );
    assert_eq!((refused.status, refused.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"), "{refused}");
    // In another package: whoever has the bytes heals them for all.
    door.push("mona/other", "flipped", &flipped);
    door.push(APP, "lost", &lost);
    assert_eq!(door.contents(APP, "flipped").0[&layer.digest], layer.bytes);
    assert_eq!(door.contents(APP, "lost").0[&lost.layers[0].digest], lost.layers[0].bytes);
    verify(&house, &["--repair"]).succeeds().says("all is well");
    verify(&house, &["status"]).succeeds().says("nothing is quarantined");
}

#[test]
fn rows_are_repaired_without_a_server() {
    let mut house = House::start();
    let mona = house.user("mona");
    let image = Image::random(5_000);
    house.caller(&mona).push(APP, "v1", &image);
    house.close();
    let catalog = open(&house);
    catalog
        .execute_batch(
            "INSERT INTO tags (package_id, name, version_id, valid_from) SELECT id, 'lost', 99999, 1 FROM packages;
             UPDATE packages SET version_count = 9;
             DELETE FROM version_blobs;
             DELETE FROM blobs WHERE size > 1000;",
        )
        .unwrap();
    drop(catalog);
    let looked = verify(&house, &["--json"]).fails();
    let kinds = found(&looked);
    for kind in ["tag-dangling", "package-counters", "version-blobs", "link-stale", "store-extra"] {
        assert!(kinds.contains(&format!("{kind} nothing")), "{kind}: {kinds:?}");
    }
    let repaired = verify(&house, &["--repair", "--json"]).succeeds();
    assert!(found(&repaired).iter().all(|row| row.ends_with(" repaired")), "{repaired}");
    verify(&house, &[]).succeeds().says("all is well");
    house.open();
    assert_eq!(house.caller(&mona).contents(APP, "v1").0[&image.layers[0].digest], image.layers[0].bytes);
}

#[test]
fn objects_in_a_bucket_are_verified_too() {
    let house = House::builder().catalog(Catalog::Postgres).store(Store::S3).start();
    let door = house.caller(&house.user("mona"));
    let images: Vec<Image> = (0..3).map(|_| Image::random(5_000)).collect();
    for (number, image) in images.iter().enumerate() {
        door.push(APP, &format!("v{number}"), image);
    }
    let bucket = Bucket::of(&house);
    verify(&house, &[]).succeeds().says("all is well");
    let digest = |number: usize| images[number].layers[0].digest.clone();
    let object = |number: usize| bucket.find(|bytes| sha256(bytes) == digest(number));
    let (missing, truncated, moved) = (object(0), object(1), object(2));
    let bytes = bucket.get(&moved);
    bucket.remove(&missing);
    bucket.put(&truncated, images[1].layers[0].bytes[..100].to_vec());
    bucket.remove(&moved);
    bucket.put("blobs/ab/ab000000000000000000000000000000", bytes);
    bucket.put("blobs/ab/ab000000000000000000000000000001.7", b"left over".to_vec());

    let looked = verify(&house, &["--json"]).fails();
    let nothing = ["blob-length", "blob-missing", "blob-missing", "store-extra", "store-extra"];
    assert_eq!(found(&looked), nothing.map(|kind| format!("{kind} nothing")));
    let repaired = verify(&house, &["--repair", "--json"]).fails();
    let expected = [
        "blob-length quarantined",
        "blob-missing quarantined",
        "blob-missing repaired",
        "store-extra repaired",
        "store-extra repaired",
    ];
    assert_eq!(found(&repaired), expected);
    assert_eq!(door.contents(APP, "v2").0[&digest(2)], images[2].layers[0].bytes, "found under another name");
    for number in [0, 1] {
        assert_eq!(blob_status(&door, &digest(number)), 404);
        door.push(APP, &format!("v{number}"), &images[number]);
        assert_eq!(
            door.contents(APP, &format!("v{number}")).0[&digest(number)],
            images[number].layers[0].bytes
        );
    }
    verify(&house, &[]).succeeds().says("all is well");
}

/// Somebody who pushes, deletes and pushes again what others push too.
fn work(door: &Caller, package: &str, stop: &AtomicBool) -> u64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let image = Image::random(300);
        door.push(package, "latest", &image);
        door.push_blob(package, &packhouse_tests::Blob::random(200));
        if count % 2 == 0 {
            let deleted = door.delete(&format!("/v2/{package}/manifests/{}", image.manifest.digest));
            assert_eq!(deleted.status, 202, "{deleted}");
        }
        count += 1;
    }
    count
}

fn under_load(house: &House) {
    let mona = house.user("mona");
    let stop = AtomicBool::new(false);
    let time = Duration::from_secs(20);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|number| {
                let (door, stop) = (house.caller(&mona), &stop);
                scope.spawn(move || work(&door, &format!("mona/app-{number}"), stop))
            })
            .collect();
        let began = Instant::now();
        let mut runs = 0;
        let mut looked = Vec::new();
        while began.elapsed() < time {
            // Small steps, so that much happens between two of them.
            let repair: &[&str] =
                if runs % 2 == 0 { &["--json", "--rate", "2MB/s"] } else { &["--json", "--repair"] };
            looked.push(verify(house, repair).run());
            runs += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let pushed: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        for finished in looked {
            assert_eq!(found(&finished), Vec::<String>::new(), "{finished}");
            assert!(finished.status.success(), "{finished}");
        }
        println!("{runs} runs beside {pushed} pushes");
        assert!(runs >= 3 && pushed >= 20, "{runs} runs, {pushed} pushes");
    });
    verify(house, &[]).succeeds().says("all is well");
}

#[test]
fn a_registry_under_load_is_found_well() {
    let house =
        House::builder().env("PACKHOUSE_GC_GRACE", "2s").env("PACKHOUSE_DELETED_RETENTION", "1s").start();
    under_load(&house);
}

#[test]
fn a_registry_on_postgresql_and_a_bucket_under_load_is_found_well() {
    let house = House::builder()
        .catalog(Catalog::Postgres)
        .store(Store::S3)
        .env("PACKHOUSE_GC_GRACE", "2s")
        .env("PACKHOUSE_DELETED_RETENTION", "1s")
        .start();
    under_load(&house);
}

#[test]
fn a_run_that_was_killed_goes_on_and_a_rate_is_kept() {
    let house = House::start();
    let door = house.caller(&house.user("mona"));
    door.push(APP, "v1", &Image::random(3_000_000));
    verify(&house, &["--resume"]).fails().says("nothing was interrupted");
    let mut slow = verify(&house, &["--rate", "100kB/s"]).into_command().spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    slow.kill().unwrap();
    slow.wait().unwrap();
    let state = verify(&house, &["status", "--json"]).succeeds().json();
    let read = state["run"]["read"].as_u64().unwrap();
    assert!(read > 0 && read < 600_000, "three seconds of 100 kB/s: {state}");
    assert_eq!(state["run"]["ended_at"], Value::Null);
    let began = Instant::now();
    let rest = verify(&house, &["--rate", "1MB/s", "--json"]).succeeds().json();
    assert_eq!(rest["resumed"], true);
    assert_eq!(rest["bytes"], rest["bytes_total"]);
    assert_eq!(rest["read"], rest["bytes"], "nothing was read twice");
    assert!(began.elapsed() > Duration::from_secs(2), "2.5 MB at 1 MB/s: {:?}", began.elapsed());
}
