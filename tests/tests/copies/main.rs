//! Backups, what is made of them, and snapshots: by the real program, killed in the middle, on every kind of house.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

mod stock;
mod tables;

use packhouse_tests::image::Parcel as _;
use packhouse_tests::{Artifact, Caller, Catalog, Contents, House, Image, Index, Store, User, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tables::{restoring, same, tables};

/// For what goes by itself.
const WAIT: Duration = Duration::from_secs(60);

fn desk() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("packhouse-copies-").tempdir().unwrap()
}

/// Someone in every room: people, roles, rules, a tag that moved, a deleted version, an index, a referrer.
fn furnished(house: &House) -> User {
    for name in ["mona", "hubot"] {
        house.operator(["user", "create", name]);
    }
    let mona = house.token("mona", "repo,admin:org,write:packages,delete:packages");
    house.organization("octo", &mona);
    house.operator(["org", "add-member", "octo", "hubot"]);
    house.operator(["team", "create", "octo", "Web people"]);
    house.operator(["robot", "create", "octo", "build"]);
    house.operator(["repo", "create", "octo/site"]);
    let door = house.caller(&mona);
    for tag in ["first", "old", "latest", "latest"] {
        door.push("mona/hello", tag, &Image::random(2_000));
    }
    door.push("mona/hello", "empty", &Image::random(0));
    // More than a part of a bucket has.
    door.push("mona/large", "latest", &Image::random(9 << 20));
    let index = Index::of_two_platforms();
    door.push("octo/app", "latest", &index);
    let signature = Artifact::new("application/vnd.example.signature", Some(&index.manifest));
    door.push("octo/app", &signature.manifest.digest, &signature);
    let gone = door.digest_of("mona/hello", "old");
    assert_eq!(door.delete(&format!("/v2/mona/hello/manifests/{gone}")).status, 202);
    house.operator(["protect", "immutable", "octo/app", "v*"]);
    house.operator(["package", "visibility", "octo/app", "public"]);
    house.grant("octo/app", &User { name: "hubot".into(), token: String::new() }, "write");
    mona
}

/// All that a person sees: what the API says of packages and versions, and every byte of every tag.
fn walk(house: &House, mona: &User) -> (BTreeMap<String, Value>, BTreeMap<String, Contents>) {
    let door = house.caller(mona);
    let mut said = BTreeMap::new();
    for path in [
        "/api/v3/user/packages?package_type=container",
        "/api/v3/orgs/octo/packages?package_type=container",
        "/api/v3/user/packages/container/hello/versions?state=active",
        "/api/v3/user/packages/container/hello/versions?state=deleted",
        "/api/v3/orgs/octo/packages/container/app/versions",
        "/api/v3/orgs/octo/members",
        "/api/v3/orgs/octo/teams",
    ] {
        let answer = door.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer}");
        let text = answer.json().to_string().replace(&house.url(), "http://house");
        said.insert(path.to_owned(), serde_json::from_str(&text).unwrap());
    }
    let mut held = BTreeMap::new();
    for package in ["mona/hello", "mona/large", "octo/app"] {
        for tag in door.tags(package) {
            held.insert(format!("{package}:{tag}"), door.contents(package, &tag));
        }
    }
    assert!(held.len() >= 5, "{:?}", held.keys());
    (said, held)
}

fn backup(house: &House, folder: &Path, words: &[&str]) -> Value {
    let folder = folder.to_str().unwrap();
    house.operator(["backup", folder].into_iter().chain(words.iter().copied()))
}

#[track_caller]
fn restore(house: &House, words: &[&str]) -> Value {
    let mut all = vec!["restore"];
    all.extend(words);
    house.operator(all)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// From each of two opposite kinds of houses to all four.
#[test]
fn a_backup_goes_into_a_house_of_every_kind_on_both_nodes_and_back() {
    let desk = desk();
    let mut first = House::start();
    let mona = furnished(&first);
    // What was counted is stored by then.
    first.close();
    let folder = desk.path().join("first");
    // Without a server.
    let done = backup(&first, &folder, &[]);
    assert_eq!((&done["blobs"], &done["missing"]), (&done["copied"], &Value::Array(Vec::new())));
    let before = tables(&first, false);
    assert!(before["team_members"].is_empty() && before["teams"].len() == 1, "{before:?}");
    first.open();
    let seen = walk(&first, &mona);

    let kinds = [
        (Catalog::Sqlite, Store::Files),
        (Catalog::Sqlite, Store::S3),
        (Catalog::Postgres, Store::Files),
        (Catalog::Postgres, Store::S3),
    ];
    let mut moved = None;
    for (catalog, store) in kinds {
        let mut house = House::builder().catalog(catalog).store(store).prepare();
        let restored = restore(&house, &[text(&folder)]);
        assert_eq!(restored["blobs"], done["blobs"], "{restored}");
        same(&before, &tables(&house, false));
        // Once is enough.
        let again = house.program().args(["restore", text(&folder), "--data"]).arg(house.data()).fails();
        again.says("there is a catalog already");
        house.open();
        assert_eq!(walk(&house, &mona), seen, "{catalog:?} and {store:?}");
        goes_on(&house, &mona);
        moved = Some(house);
    }

    // And back, while it serves.
    let mut moved = moved.unwrap();
    moved.close();
    let (before, folder) = (tables(&moved, false), desk.path().join("second"));
    moved.open();
    backup(&moved, &folder, &[]);
    let seen = walk(&moved, &mona);
    let mut back = House::builder().prepare();
    restore(&back, &[text(&folder)]);
    same(&before, &tables(&back, false));
    back.open();
    assert_eq!(walk(&back, &mona), seen);
    goes_on(&back, &mona);
}

/// It is a house as any other: it takes pushes, and gives out no number twice.
fn goes_on(house: &House, mona: &User) {
    let door = house.caller(mona);
    let image = Image::random(1_000);
    door.push("mona/hello", "after", &image);
    assert_eq!(door.contents("mona/hello", "after"), image.contents());
    let versions = door.get("/api/v3/user/packages/container/hello/versions").json();
    let ids: Vec<i64> =
        versions.as_array().unwrap().iter().map(|version| version["id"].as_i64().unwrap()).collect();
    assert!(ids[0] > 1_000_000 && ids[1..].iter().all(|id| *id != ids[0]), "{ids:?}");
}

#[test]
fn a_second_backup_copies_what_is_new_and_forgets_what_was_pruned() {
    let desk = desk();
    let folder = desk.path().join("backup");
    let house =
        House::builder().env("PACKHOUSE_GC_GRACE", "1s").env("PACKHOUSE_DELETED_RETENTION", "1s").start();
    let mona = house.user("mona");
    let door = house.caller(&mona);
    let (old, kept) = (Image::random(5_000), Image::random(6_000));
    door.push("mona/old", "latest", &old);
    door.push("mona/kept", "latest", &kept);
    let first = backup(&house, &folder, &[]);
    assert_eq!((&first["blobs"], &first["copied"]), (&4.into(), &4.into()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&folder).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700, "it holds secrets");

    let new = Image::random(7_000);
    door.push("mona/kept", "new", &new);
    let second = backup(&house, &folder, &[]);
    assert_eq!((&second["blobs"], &second["copied"]), (&6.into(), &2.into()));

    // What is gone from the house stays in the folder as long as a copy names it.
    let digest = door.digest_of("mona/old", "latest");
    assert_eq!(door.delete(&format!("/v2/mona/old/manifests/{digest}")).status, 202);
    until("the old blobs to go", WAIT, || {
        house.operator(["gc"]);
        let status = house.operator(["gc", "status"]);
        let bytes = status["collected"].as_array()?.iter().find(|row| row["kind"] == "bytes")?;
        (bytes["things"].as_u64()? >= 2).then_some(())
    });
    let third = backup(&house, &folder, &["--keep", "2"]);
    assert_eq!((&third["blobs"], &third["copied"], &third["pruned"]), (&4.into(), &0.into(), &0.into()));
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("backup.json")).unwrap()).unwrap();
    let names: Vec<_> =
        index["catalogs"].as_array().unwrap().iter().map(|kept| kept["name"].clone()).collect();
    assert_eq!(names, [second["catalog"].clone(), third["catalog"].clone()]);

    // An older copy is one too.
    let mut older = House::builder().prepare();
    restore(&older, &[text(&folder), "--catalog", second["catalog"].as_str().unwrap()]);
    older.open();
    assert_eq!(older.caller(&mona).contents("mona/old", "latest"), old.contents());

    let fourth = backup(&house, &folder, &["--keep", "1"]);
    assert_eq!((&fourth["copied"], &fourth["pruned"]), (&0.into(), &2.into()));
    let mut newest = House::builder().prepare();
    restore(&newest, &[text(&folder)]);
    newest.open();
    let door = newest.caller(&mona);
    assert_eq!(door.contents("mona/kept", "latest"), kept.contents());
    assert_eq!(door.contents("mona/kept", "new"), new.contents());
    let named =
        newest.program().args(["restore", text(&folder), "--catalog", "20000101T000000-000000", "--data"]);
    named
        .arg(desk.path().join("x"))
        .fails()
        .says("no copy of the catalog")
        .says(fourth["catalog"].as_str().unwrap());
}

/// Pushes, deletions and collection go on meanwhile; what a copy names is whole all the same.
#[test]
fn a_backup_of_a_busy_house_is_whole() {
    let desk = desk();
    let folder = desk.path().join("backup");
    let house =
        House::builder().env("PACKHOUSE_GC_GRACE", "1s").env("PACKHOUSE_DELETED_RETENTION", "1s").start();
    let mona = house.user("mona");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..3 {
            let (door, stop) = (house.caller(&mona), &stop);
            scope.spawn(move || {
                let package = format!("mona/busy{client}");
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    door.push(&package, &format!("t{number}"), &Image::random(20_000));
                    if number >= 5 {
                        let digest = door.digest_of(&package, &format!("t{}", number - 5));
                        door.delete(&format!("/v2/{package}/manifests/{digest}"));
                    }
                }
            });
        }
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(700));
            let done = backup(&house, &folder, &["--keep", "3"]);
            assert_eq!(done["missing"], Value::Array(Vec::new()), "{done}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("backup.json")).unwrap()).unwrap();
    for kept in index["catalogs"].as_array().unwrap() {
        let mut copy = House::builder().prepare();
        restore(&copy, &[text(&folder), "--catalog", kept["name"].as_str().unwrap()]);
        copy.open();
        let door = copy.caller(&mona);
        let mut found = 0;
        for client in 0..3 {
            let package = format!("mona/busy{client}");
            for tag in door.tags(&package) {
                assert!(!door.contents(&package, &tag).0.is_empty());
                found += 1;
            }
        }
        assert!(found >= 3, "{found} tags in {kept}");
    }
}

#[test]
fn damage_is_named_and_stops_nothing_else() {
    let desk = desk();
    let folder = desk.path().join("backup");
    let house = House::start();
    let mona = house.user("mona");
    let (good, bad) = (Image::random(3_000), Image::random(4_000));
    house.caller(&mona).push("mona/good", "latest", &good);
    backup(&house, &folder, &[]);
    house.caller(&mona).push("mona/bad", "latest", &bad);
    let layer = &bad.layers[0];
    let flipped = flip(&house.data().join("blobs"), &layer.bytes);
    let failed = house.program().args(["backup", text(&folder), "--data"]).arg(house.data()).fails();
    failed.says("1 blobs are damaged or gone").says(&layer.digest);

    let target = House::builder().prepare();
    let refused = target.program().args(["restore", text(&folder), "--data"]).arg(target.data()).fails();
    refused.says("--without-missing").says(&layer.digest);
    // Everything else is there for who wants it.
    let mut words = vec!["restore", text(&folder), "--without-missing", "--data"];
    let data = target.data();
    words.push(text(&data));
    target.program().args(&words).fails().says("were not in the backup").says(&layer.digest);
    let mut target = target;
    target.open();
    assert_eq!(target.caller(&mona).contents("mona/good", "latest"), good.contents());
    assert_eq!(target.caller(&mona).head("/v2/mona/bad/manifests/latest").status, 200);

    // Repaired, the next backup has it.
    std::fs::write(&flipped, &layer.bytes).unwrap();
    let done = backup(&house, &folder, &[]);
    assert_eq!((&done["copied"], &done["missing"]), (&1.into(), &Value::Array(Vec::new())));

    // Damage of the backup is seen when it is read; a good copy in its place, and it goes on.
    let broken = flip(&folder.join("blobs"), &good.layers[0].bytes);
    let again = House::builder().prepare();
    let stopped = again.program().args(["restore", text(&folder), "--data"]).arg(again.data()).fails();
    stopped.says("is damaged").says(&good.layers[0].digest);
    assert_eq!(restoring(&again), Some(true));
    again.refuses_to_open().says("being restored");
    again.program().args(["user", "list", "--data"]).arg(again.data()).fails().says("being restored");
    std::fs::write(&broken, &good.layers[0].bytes).unwrap();
    restore(&again, &[text(&folder)]);
    let mut again = again;
    again.open();
    assert_eq!(again.caller(&mona).contents("mona/good", "latest"), good.contents());
    assert_eq!(again.caller(&mona).contents("mona/bad", "latest"), bad.contents());
}

/// Changes a byte of the file below `folder` that holds these bytes.
fn flip(folder: &Path, bytes: &[u8]) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).unwrap() == bytes {
                let mut changed = bytes.to_vec();
                changed[bytes.len() / 2] ^= 1;
                std::fs::write(&path, changed).unwrap();
                return path;
            }
        }
    }
    panic!("no file has these bytes");
}

#[test]
fn what_is_no_backup_and_what_is_no_empty_place_is_refused() {
    let desk = desk();
    let house = House::start();
    let mona = house.user("mona");
    house.caller(&mona).push("mona/x", "latest", &Image::random(10));
    let home = desk.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("letter"), "dear").unwrap();
    let try_it = |words: &[&str], data: &Path| house.program().args(words).arg("--data").arg(data);
    try_it(&["backup", text(&home)], &house.data()).fails().says("something else than a backup");
    try_it(&["backup", "/proc/nowhere"], &house.data()).fails().says("/proc/nowhere");
    try_it(&["restore", text(&home)], &desk.path().join("new")).fails().says("no whole backup");
    try_it(&["restore"], &desk.path().join("new")).fails().says("name the folder");
    // A house that runs.
    let folder = desk.path().join("backup");
    backup(&house, &folder, &[]);
    try_it(&["restore", text(&folder)], &house.data()).fails().says("in use by another packhouse");
    // A folder of another house.
    let other = House::start();
    let words = ["backup", text(&folder), "--data"];
    other.program().args(words).arg(other.data()).fails().says("backups of another store");
    // An empty catalog beside a store that is not.
    let data = desk.path().join("half");
    std::fs::create_dir_all(data.join("blobs/aa")).unwrap();
    std::fs::write(data.join("blobs/aa").join("aa".repeat(16)), "x").unwrap();
    try_it(&["restore", text(&folder)], &data).fails().says("the blob store is not empty");
    assert!(
        try_it(&["restore", "--snapshot"], &desk.path().join("none")).fails().stderr.contains("never used")
    );
}

/// Runs a command and kills it after a while; whether it was killed in the middle.
fn killed(house: &House, words: &[&str], after: Duration) -> bool {
    let mut command = house.program().args(words).arg("--data").arg(house.data()).into_command();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while began.elapsed() < after {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

fn long() -> bool {
    std::env::var("PACKHOUSE_TEST_LONG").is_ok_and(|value| value == "1")
}

#[test]
fn killed_in_the_middle_it_goes_on() {
    let desk = desk();
    let folder = desk.path().join("backup");
    let mut house = House::start();
    let mona = house.user("mona");
    stock::fill(&mut house, &mona, 300);
    let before = tables(&house, false);

    let mut kills = 0;
    let mut copied = Vec::new();
    for step in 1..60 {
        if !killed(&house, &["backup", text(&folder)], Duration::from_millis(60 * step)) {
            break;
        }
        kills += 1;
        // What is not whole does not say so.
        assert!(!folder.join("backup.json").exists() || step > 1);
        copied.push(blobs_in(&folder));
    }
    assert!(kills >= 2, "killed {kills} times: is it that fast?");
    assert!(copied.is_sorted(), "what was copied stays: {copied:?}");
    assert!(copied.iter().any(|count| (1..3_000).contains(count)), "none was in the middle: {copied:?}");
    let done = backup(&house, &folder, &[]);
    assert_eq!((&done["blobs"], &done["missing"]), (&3_002.into(), &Value::Array(Vec::new())));

    let mut target = House::builder().prepare();
    let (mut kills, mut half) = (0, 0);
    for step in 1..80 {
        if !killed(&target, &["restore", text(&folder)], Duration::from_millis(60 * step)) {
            break;
        }
        kills += 1;
        match restoring(&target) {
            // Nothing is there yet, and nothing half.
            None => {}
            Some(true) => {
                half += 1;
                target.refuses_to_open().says("being restored");
            }
            Some(false) => break,
        }
    }
    assert!(kills >= 2 && half >= 1, "killed {kills} times, {half} of them in the middle");
    if restoring(&target) != Some(false) {
        restore(&target, &[text(&folder)]);
    }
    same(&before, &tables(&target, false));
    assert_eq!(stock::digests(&house), stock::digests(&target));
    target.open();
    for tag in ["t0", "t150", "t299", "first"] {
        assert!(!target.caller(&mona).contents("mona/stock", tag).0.is_empty());
    }
}

fn blobs_in(folder: &Path) -> usize {
    let fans = std::fs::read_dir(folder.join("blobs/sha256"));
    let count = |fan: std::fs::DirEntry| std::fs::read_dir(fan.path()).unwrap().count();
    fans.map_or(0, |fans| fans.map(|fan| count(fan.unwrap())).sum())
}

/// A backup that was killed has left its hold: nothing that it named goes before that ends.
#[test]
fn what_a_backup_names_stays_until_it_has_ended() {
    let desk = desk();
    let folder = desk.path().join("backup");
    let mut house =
        House::builder().env("PACKHOUSE_GC_GRACE", "1s").env("PACKHOUSE_DELETED_RETENTION", "1s").start();
    let mona = house.user("mona");
    stock::fill(&mut house, &mona, 100);
    let mut after = Duration::from_millis(100);
    while blobs_in(&folder) == 0 {
        assert!(killed(&house, &["backup", text(&folder)], after), "it ended before it was killed");
        after += Duration::from_millis(50);
    }
    house.open();
    let door = house.caller(&mona);
    let image = door.digest_of("mona/stock", "t7");
    assert_eq!(door.delete(&format!("/v2/mona/stock/manifests/{image}")).status, 202);
    let held = until("its blobs in the trash, held", WAIT, || {
        house.operator(["gc"]);
        let status = house.operator(["gc", "status"]);
        (status["trash_keys"].as_u64()? >= 10).then_some(status)
    });
    assert_eq!(held["trash_keys"], held["trash_held"], "{held}");
    std::thread::sleep(Duration::from_secs(3));
    house.operator(["gc"]);
    assert_eq!(stock::digests(&house).len(), 1_002, "all of them are there");
    // The backup that is whole lets go.
    backup(&house, &folder, &[]);
    until("the bytes to go", WAIT, || {
        house.operator(["gc"]);
        (stock::digests(&house).len() == 992).then_some(())
    });
}

/// The catalog's disk is lost; what was acknowledged an interval before is there again, and nothing is half.
fn lose_the_catalog(store: Store) {
    let mut house = House::builder()
        .store(store)
        .env("PACKHOUSE_SNAPSHOT_INTERVAL", "1s")
        .env("PACKHOUSE_SNAPSHOT_KEEP", "5")
        .start();
    let mona = house.user("mona");
    let pushed: Mutex<Vec<(Instant, String, Contents)>> = Mutex::default();
    let mut number = 0;
    let mut push_for = |house: &House, time: Duration| {
        let (door, began) = (house.caller(&mona), Instant::now());
        while began.elapsed() < time {
            number += 1;
            let (tag, image) = (format!("t{number}"), Image::random(3_000));
            door.push("mona/x", &tag, &image);
            pushed.lock().unwrap().push((Instant::now(), tag, image.contents()));
        }
    };
    for round in 0..4 {
        push_for(&house, Duration::from_millis(2_600 + 130 * round));
        house.kill();
        house.open();
    }
    push_for(&house, Duration::from_secs(3));
    let lost_at = Instant::now();
    house.kill();
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(house.data().join(format!("catalog.sqlite{end}")));
    }
    let restored = restore(&house, &["--snapshot"]);
    assert!(restored["blobs"].as_u64().unwrap() > 10, "{restored}");
    house.open();
    let door = house.caller(&mona);
    let tags = door.tags("mona/x");
    let (mut kept, mut late) = (0, 0);
    for (at, tag, contents) in pushed.lock().unwrap().iter() {
        if tags.contains(tag) {
            assert_eq!(door.contents("mona/x", tag), *contents, "{tag}");
            kept += 1;
        } else {
            let age = lost_at.duration_since(*at);
            assert!(age < Duration::from_millis(2_500), "{tag} was acknowledged {age:?} before");
            late += 1;
        }
    }
    assert!(kept >= 20, "{kept} kept, {late} lost");
    // It goes on; a number that the lost catalog gave out is not given out again.
    door.push("mona/x", "after", &Image::random(100));
    let versions = door.get("/api/v3/user/packages/container/x/versions").json();
    assert!(versions[0]["id"].as_i64().unwrap() > 1_000_000, "{}", versions[0]);
    // Not where a catalog is.
    house.close();
    let again = house.program().args(["restore", "--snapshot", "--data"]).arg(house.data()).fails();
    again.says("there is a catalog already");
}

#[test]
fn a_lost_catalog_costs_one_interval() {
    lose_the_catalog(Store::Files);
}

#[test]
fn a_lost_catalog_costs_one_interval_with_sqlite_and_a_bucket() {
    lose_the_catalog(Store::S3);
}

/// Few are kept, what they name stays, and what is idle takes none.
#[test]
fn snapshots_are_pruned_and_hold_what_they_name() {
    let mut house = House::builder()
        .env("PACKHOUSE_SNAPSHOT_INTERVAL", "1s")
        .env("PACKHOUSE_SNAPSHOT_KEEP", "3")
        .env("PACKHOUSE_GC_GRACE", "1s")
        .env("PACKHOUSE_DELETED_RETENTION", "1s")
        .start();
    let mona = house.user("mona");
    let door: Caller = house.caller(&mona);
    let names = |house: &House| {
        let found = std::fs::read_dir(house.data().join("blobs/catalogs"));
        let mut names: Vec<_> = found
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let image = Image::random(5_000);
    door.push("mona/x", "old", &image);
    let mut most = 0;
    let first = until("a snapshot", WAIT, || names(&house).pop());
    let digest = door.digest_of("mona/x", "old");
    assert_eq!(door.delete(&format!("/v2/mona/x/manifests/{digest}")).status, 202);
    for number in 0..80 {
        door.push("mona/x", &format!("t{}", number % 3), &Image::random(100));
        std::thread::sleep(Duration::from_millis(100));
        most = most.max(names(&house).len());
    }
    assert!((2..=4).contains(&most), "{most} snapshots at once");
    assert!(!names(&house).contains(&first), "the first one is gone by now");
    let catalog = rusqlite::Connection::open(house.data().join("catalog.sqlite")).unwrap();
    let held_since = || -> Option<i64> {
        catalog.query_row("SELECT since FROM holds WHERE name = 'snapshots'", [], |row| row.get(0)).ok()
    };
    // What was trashed while the oldest kept one was made, or some minutes before, stays.
    assert!(held_since().unwrap() < micros_now() - 299_000_000);
    let found = stock::digests(&house);
    assert!(
        image.layers.iter().all(|layer| found.contains(&layer.digest)),
        "held, and its grace was over long ago"
    );

    // Idle, the newest stays, alone, and holds nothing that it does not name.
    let rested = until("one that stays", WAIT, || {
        let before = names(&house);
        std::thread::sleep(Duration::from_secs(4));
        (names(&house) == before && before.len() == 1).then_some(before)
    });
    let since = held_since().unwrap();
    assert!(since > micros_now() - 310_000_000, "{since}");
    // Off, nothing is held for it.
    house.close();
    assert_eq!(names(&house), rested);
    let holds = |catalog: &rusqlite::Connection| -> i64 {
        catalog.query_row("SELECT count(*) FROM holds", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(holds(&catalog), 1);
    assert!(without_snapshots(&house), "the server started and ended");
    assert_eq!(holds(&catalog), 0);
}

fn micros_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_micros()).unwrap()
}

/// Starts a server on the house's data without snapshots, and ends it.
fn without_snapshots(house: &House) -> bool {
    let words = ["serve", "--listen", "127.0.0.1:0", "--snapshot-interval", "0", "--data"];
    let command = house.program().args(words).arg(house.data()).into_command();
    let mut server = packhouse_tests::Daemon::start(&command, &house.data().join("off.log"));
    until("a server without snapshots", WAIT, || server.log().contains("listening on").then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    server.stop().success()
}

/// 100,000 blobs where somebody asks for it, 5,000 otherwise.
#[test]
fn a_store_of_many_blobs_is_the_same_again() {
    let images = if long() { 10_000 } else { 500 };
    let desk = desk();
    let folder = desk.path().join("backup");
    let mut house = House::start();
    let mona = house.user("mona");
    let began = Instant::now();
    stock::fill(&mut house, &mona, images);
    let filled = began.elapsed();
    house.open();
    let began = Instant::now();
    let done = backup(&house, &folder, &[]);
    let first = began.elapsed();
    assert_eq!(done["copied"], (images * stock::BLOBS + 2) as u64);
    let began = Instant::now();
    let done = backup(&house, &folder, &["--keep", "1"]);
    let second = began.elapsed();
    assert_eq!((&done["copied"], &done["pruned"]), (&0.into(), &0.into()));
    house.close();

    let mut target = House::builder().prepare();
    let began = Instant::now();
    restore(&target, &[text(&folder)]);
    let restored = began.elapsed();
    println!(
        "{} blobs: made in {filled:?}; backed up in {first:?}, again in {second:?}; restored in {restored:?}",
        images * stock::BLOBS
    );
    same(&tables(&house, false), &tables(&target, false));
    assert_eq!(stock::digests(&house), stock::digests(&target));
    target.open();
    let door = target.caller(&mona);
    for number in (0..images).step_by(images / 25) {
        assert_eq!(door.contents("mona/stock", &format!("t{number}")).0.len(), stock::BLOBS + 1);
    }
}
