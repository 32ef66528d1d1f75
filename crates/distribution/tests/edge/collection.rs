//! What clients see of garbage collection: promises that hold, pulls that cost the same, space that comes back.

use crate::content::{image, index, sha256};
use crate::house::{House, Person};

const APP: &str = "mona/app";
/// The usual grace: a day.
const GRACE: i64 = 24 * 3_600;
/// The usual time to restore: thirty days.
const KEPT: i64 = 30 * GRACE;

async fn mona() -> (House, Person) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    (house, mona)
}

/// Rounds until there is nothing more to do.
async fn collect(house: &House) -> u64 {
    let mut files = 0;
    for _ in 0..100 {
        let swept = house.service.sweep().await.unwrap();
        files += swept.files;
        if !swept.more {
            return files;
        }
    }
    panic!("collection does not come to an end");
}

fn blob(digest: &str) -> String {
    format!("/v2/{APP}/blobs/{digest}")
}

#[tokio::test]
async fn a_blob_that_no_manifest_names_goes_after_its_grace_and_its_bytes_after_another() {
    let (house, mona) = mona().await;
    let digest = mona.push_blob(APP, "alone").await;
    house.wait(GRACE - 60);
    collect(&house).await;
    assert_eq!(mona.blob(APP, &digest).await.unwrap(), b"alone");

    house.wait(120);
    assert_eq!(collect(&house).await, 0);
    assert_eq!(mona.blob(APP, &digest).await, None);
    assert_eq!(house.files(), 1, "a download that began before may still read it");

    house.wait(GRACE + 60);
    assert_eq!(collect(&house).await, 1);
    assert_eq!(house.files(), 0);
}

#[tokio::test]
async fn being_told_that_a_blob_is_there_is_a_promise() {
    // distribution/distribution#3045: a client skips what it was told is there, and the sweep removes it.
    let (house, mona) = mona().await;
    let digest = mona.push_blob(APP, "skipped").await;
    house.wait(GRACE - 60);
    assert_eq!(mona.head(&blob(&digest)).await.status, 200);
    house.wait(GRACE / 2);
    collect(&house).await;
    let manifest = image().layer("skipped").manifest();
    mona.push(APP, "v1", &manifest).await;
    assert!(mona.has(APP, "v1").await);
}

#[tokio::test]
async fn a_promise_is_written_once_in_half_its_life() {
    let (house, mona) = mona().await;
    let digest = mona.push_blob(APP, "layer").await;
    let manifest = image().layer("layer").manifest();
    mona.push(APP, "v1", &manifest).await;
    let heads = [blob(&digest), format!("/v2/{APP}/manifests/v1")];
    house.wait(GRACE - 60);
    for path in &heads {
        let pins = |statements: &[&str]| statements.iter().filter(|name| name.starts_with("PIN_")).count();
        house.statements();
        assert_eq!(mona.head(path).await.status, 200);
        assert_eq!(pins(&house.statements()), 1, "{path}");
        assert_eq!(mona.head(path).await.status, 200);
        assert_eq!(pins(&house.statements()), 0, "{path}");
        // Who only reads promises nothing to themselves, and whoever gets the bytes needs no promise.
        house.make(APP, "public").await;
        let before = house.commits();
        house.wait(GRACE);
        assert_eq!(house.anonymous().head(path).await.status, 200);
        assert_eq!(mona.get(path).await.status, 200);
        assert_eq!(house.commits(), before, "{path}");
        house.wait(-GRACE);
    }
}

#[tokio::test]
async fn what_is_deleted_gives_its_space_back() {
    let (house, mona) = mona().await;
    let gone = image().config("c1").layer("only here").layer("shared").manifest();
    let kept = image().config("c2").layer("shared").manifest();
    mona.push(APP, "v1", &gone).await;
    mona.push(APP, "v2", &kept).await;
    assert_eq!(mona.delete(&format!("/v2/{APP}/manifests/{}", gone.digest())).await.status, 202);
    house.wait(KEPT + 60);
    collect(&house).await;
    house.wait(GRACE + 60);
    assert_eq!(collect(&house).await, 2);
    assert_eq!(mona.blob(APP, &sha256("only here")).await, None);
    assert!(mona.blob(APP, &sha256("shared")).await.is_some());
    assert_eq!(house.count("SELECT count(*) FROM manifests"), 1);
}

#[tokio::test]
async fn collection_never_breaks_an_image_of_several_platforms() {
    // distribution/distribution#3004: untagged children of a tagged index were taken for garbage.
    let (house, mona) = mona().await;
    let one = image().config("amd64").layer("a").manifest();
    let two = image().config("arm64").layer("b").manifest();
    for child in [&one, &two] {
        mona.push(APP, &child.digest(), child).await;
    }
    let both = index(&[&one, &two]);
    mona.push(APP, "v1", &both).await;
    let signature = image().config("signature").subject(&both).manifest();
    mona.push(APP, &signature.digest(), &signature).await;
    house.wait(KEPT + 2 * GRACE);
    assert_eq!(collect(&house).await, 0);
    for reference in [one.digest(), two.digest(), both.digest(), signature.digest()] {
        assert!(mona.has(APP, &reference).await, "{reference}");
    }
    for layer in ["a", "b"] {
        assert!(mona.blob(APP, &sha256(layer)).await.is_some());
    }
}

#[tokio::test]
async fn a_pull_costs_the_same_whatever_waits_to_be_collected() {
    let (house, mona) = mona().await;
    let manifest = image().layer("layer").manifest();
    mona.push(APP, "v1", &manifest).await;
    let layer = blob(&sha256("layer"));
    let pull = async || {
        house.work();
        assert_eq!(mona.get(&format!("/v2/{APP}/manifests/v1")).await.status, 200);
        assert_eq!(mona.get(&layer).await.status, 200);
        // Statements and rows; SQLite's instructions differ by the depth of its trees.
        house.work().into_iter().map(|work| (work.statement, work.rows)).collect::<Vec<_>>()
    };
    // Who asks and what they may is remembered from then on; a push ends what is remembered of the package's contents.
    pull().await;
    mona.push(APP, "other", &manifest).await;
    let before = pull().await;
    for number in 0..50 {
        let garbage = image().config(format!("c{number}")).layer(format!("l{number}")).manifest();
        mona.push(APP, "garbage", &garbage).await;
        assert_eq!(mona.delete(&format!("/v2/{APP}/manifests/{}", garbage.digest())).await.status, 202);
    }
    assert!(house.count("SELECT count(*) FROM reviews") >= 150);
    assert_eq!(pull().await, before);
    house.wait(KEPT + 60);
    collect(&house).await;
    assert!(house.count("SELECT count(*) FROM trash") >= 100);
    assert_eq!(pull().await, before);
}

#[tokio::test]
async fn bytes_that_were_damaged_or_lost_hold_up_no_other_removal() {
    let (house, mona) = mona().await;
    for name in ["one", "two", "three"] {
        mona.push_blob(APP, name).await;
    }
    house.wait(GRACE + 60);
    collect(&house).await;
    let lost = house.blobs_folder().join(
        house
            .outside
            .query_row("SELECT storage_key FROM trash LIMIT 1", [], |row| row.get::<_, String>(0))
            .unwrap()
            .trim_start_matches("blobs/"),
    );
    std::fs::remove_file(lost).unwrap();
    house.wait(GRACE + 60);
    assert_eq!(collect(&house).await, 3, "what is not there is removed");
    assert_eq!(house.files(), 0);
    assert_eq!(house.count("SELECT count(*) FROM trash"), 0);
}

#[tokio::test]
async fn what_cannot_be_collected_holds_up_no_removal() {
    let (house, mona) = mona().await;
    mona.push_blob(APP, "one").await;
    house.wait(GRACE + 60);
    collect(&house).await;
    mona.push_blob(APP, "two").await;
    // The bytes of the first are due when the second is looked at, whose link goes a round before.
    house.tamper("UPDATE trash SET not_before = not_before + 120000000");
    house.wait(GRACE + 60);
    house.service.sweep().await.unwrap();
    house.wait(120);
    assert_eq!(house.files(), 2);
    house.tamper("UPDATE blobs SET size = -1");
    assert!(house.service.sweep().await.is_err(), "the damage is told");
    assert_eq!(house.files(), 1, "the bytes of the first are gone all the same");
    house.tamper("UPDATE blobs SET size = 3");
    house.wait(120);
    collect(&house).await;
    assert_eq!(house.count("SELECT count(*) FROM blobs"), 0, "what failed is looked at again");
}

#[tokio::test]
async fn what_a_newer_program_wants_reviewed_is_left_to_it() {
    let (house, mona) = mona().await;
    mona.push_blob(APP, "one").await;
    let newer = "INSERT INTO reviews (kind, package_id, item, digest, due_at) VALUES (99, 0, 0, x'', 0)";
    house.tamper(newer);
    house.wait(GRACE + 60);
    collect(&house).await;
    assert_eq!(house.count("SELECT count(*) FROM blobs"), 0);
    assert_eq!(house.count("SELECT count(*) FROM reviews"), 1);
}
