//! Mounts: a blob of one package made readable in another (distribution-spec, "Mounting a blob from another
//! repository"; end-11). Who may not read the source gets what a missing blob gets; see also `alike.rs`.

use crate::answer::Answer;
use crate::content::{image, sha256, unknown};
use crate::house::{Caller, House};

async fn mount(caller: &Caller, digest: &str, from: Option<&str>, into: &str) -> Answer {
    let from = from.map(|from| format!("&from={from}")).unwrap_or_default();
    caller.post(&format!("/v2/{into}/blobs/uploads/?mount={digest}{from}")).await
}

#[tokio::test]
async fn a_blob_is_mounted_from_a_package_that_one_may_read() {
    let house = House::new().await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    let digest = mona.push_blob("mona/own", "one").await;
    let public = mona.push_blob("mona/public", "two").await;
    house.make("mona/public", "public").await;
    let granted = mona.push_blob("mona/granted", "three").await;
    house.grant("mona/granted", "hubot", "read").await;

    for (caller, digest, from, into) in [
        (&mona, &digest, "mona/own", "mona/new"),
        (&hubot, &public, "mona/public", "hubot/new"),
        (&hubot, &granted, "mona/granted", "hubot/new"),
    ] {
        let answer = mount(caller, digest, Some(from), into).await;
        assert_eq!(answer.says(), "201", "from {from}");
        assert_eq!(answer.the("location"), format!("/v2/{into}/blobs/{digest}"));
        assert_eq!(answer.the("docker-content-digest"), digest);
        assert!(caller.blob(into, digest).await.is_some());
    }
    assert_eq!(house.files(), 3, "no bytes were copied");
}

#[tokio::test]
async fn a_mount_without_a_source_looks_wherever_one_may_read() {
    let house = House::new().await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    let mike = house.user("mike").await;
    house.organization("acme", "mona").await;
    house.member("acme", "mike").await;
    let own = hubot.push_blob("hubot/old", "own").await;
    let public = mona.push_blob("mona/public", "public").await;
    house.make("mona/public", "public").await;
    let granted = mona.push_blob("mona/granted", "granted").await;
    house.grant("mona/granted", "hubot", "read").await;
    let internal = mona.push_blob("acme/internal", "internal").await;
    house.make("acme/internal", "internal").await;

    for (caller, digest, into) in [
        (&hubot, &own, "hubot/new"),
        (&hubot, &public, "hubot/new"),
        (&hubot, &granted, "hubot/new"),
        (&mike, &internal, "mike/new"),
        (&mona, &internal, "mona/new"),
    ] {
        assert_eq!(mount(caller, digest, None, into).await.says(), "201", "{digest} into {into}");
    }
    // Internal is for members.
    assert_eq!(mount(&hubot, &internal, None, "hubot/new").await.says(), "202");
}

#[tokio::test]
async fn the_same_blob_in_a_hidden_and_in_an_open_package_is_found_in_the_open_one() {
    let house = House::new().await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    for package in ["mona/a", "mona/b", "mona/c"] {
        mona.push_blob(package, "shared").await;
    }
    house.make("mona/b", "public").await;
    assert_eq!(mount(&hubot, &sha256("shared"), None, "hubot/new").await.says(), "201");
    assert_eq!(mount(&hubot, &sha256("shared"), Some("mona/b"), "hubot/newer").await.says(), "201");
    assert_eq!(mount(&hubot, &sha256("shared"), Some("mona/a"), "hubot/newest").await.says(), "202");
}

#[tokio::test]
async fn what_cannot_be_mounted_can_be_uploaded_at_once() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    mona.push_blob("mona/app", "something").await;
    for from in [Some("mona/app"), Some("mona/none"), Some("nobody/none"), None] {
        let digest = unknown();
        let answer = mount(&mona, &digest, from, "mona/new").await;
        assert_eq!(answer.says(), "202");
        assert_eq!(answer.the("range"), "0-0");
        let put = mona.put(&format!("{}?digest={digest}", answer.the("location"))).body("never pushed").await;
        assert_eq!(put.says(), "201");
        assert_eq!(mona.delete(&format!("/v2/mona/new/blobs/{digest}")).await.says(), "202");
    }
}

/// CVE-2024-39897 (zot) and Harbor #23270: the source of a mount was not checked.
#[tokio::test]
async fn cve_2024_39897_a_stranger_cannot_mount_what_he_cannot_pull() {
    let house = House::new().await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    mona.push("mona/secret", "1.0", &image().layer("s3cr3t").manifest()).await;
    let secret = sha256("s3cr3t");
    let bearer = hubot
        .bearer(&[
            "repository:hubot/mine:pull,push",
            "repository:mona/secret:pull",
            "repository:mona/secret:*",
        ])
        .await;
    for caller in [&hubot.caller, &bearer] {
        for from in [Some("mona/secret"), Some("hubot/mine"), None] {
            // Exactly what a missing blob gets: an upload session, no hint that it exists.
            assert_eq!(mount(caller, &secret, from, "hubot/mine").await.says(), "202", "from {from:?}");
            assert_eq!(caller.blob("hubot/mine", &secret).await, None);
        }
    }
    // Nor may nobody in particular.
    assert_eq!(mount(&house.anonymous(), &secret, None, "hubot/mine").await.says(), "401 UNAUTHORIZED");
}

/// CVE-2024-39897: the right to read the source is asked for now, not when the credential was made.
#[tokio::test]
async fn cve_2024_39897_a_mount_asks_for_the_right_to_read_now() {
    let house = House::new().await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    let digest = mona.push_blob("mona/app", "for a while").await;
    house.grant("mona/app", "hubot", "read").await;
    let bearer = hubot.bearer(&["repository:hubot/mine:pull,push", "repository:mona/app:pull"]).await;
    assert_eq!(mount(&bearer, &digest, Some("mona/app"), "hubot/mine").await.says(), "201");
    hubot.delete(&format!("/v2/hubot/mine/blobs/{digest}")).await;
    let (path, user) = ("mona/app".to_owned(), "hubot".to_owned());
    house.operate(packhouse_service::operator::Command::PackageRevoke { path, user }).await;
    for from in [Some("mona/app"), None] {
        assert_eq!(mount(&bearer, &digest, from, "hubot/mine").await.says(), "202");
    }
}

#[tokio::test]
async fn a_bearer_token_for_the_target_alone_is_enough_for_a_mount() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let digest = mona.push_blob("mona/old", "hello").await;
    let bearer = mona.bearer(&["repository:mona/new:pull,push"]).await;
    for from in [Some("mona/old"), None] {
        assert_eq!(mount(&bearer, &digest, from, "mona/new").await.says(), "201");
    }
    // But to read there, it is not.
    assert_eq!(bearer.get(&format!("/v2/mona/old/blobs/{digest}")).await.says(), "401 UNAUTHORIZED");
}

#[tokio::test]
async fn to_mount_takes_the_right_to_push() {
    let house = House::new().await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    let digest = mona.push_blob("mona/public", "hello").await;
    mona.push_blob("mona/app", "x").await;
    house.make("mona/public", "public").await;
    house.grant("mona/app", "hubot", "read").await;
    assert_eq!(mount(&hubot, &digest, Some("mona/public"), "mona/app").await.says(), "403 DENIED");
    assert_eq!(mona.blob("mona/app", &digest).await, None);
}
