//! What clients see of plans: a refusal that names limit and use, before their bytes are taken where that can be known.

use crate::bodies::held;
use crate::content::{image, sha256};
use crate::house::{House, Person};
use packhouse_service::Limits;
use packhouse_service::operator::{Command, UsageCommand};

const APP: &str = "mona/app";
const UPLOADS: &str = "/v2/mona/app/blobs/uploads/";

/// A house in which mona may store 10 private bytes, and send 10 a month.
async fn tight() -> (House, Person) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let limits = Limits { private_storage: Some(10), private_transfer: Some(10), ..Limits::default() };
    let plans = [("open".to_owned(), Limits::default()), ("tight".to_owned(), limits)];
    house.service.adopt_plans(&plans, "open").await.unwrap();
    let set = UsageCommand::SetPlan { account: "mona".to_owned(), plan: Some("tight".to_owned()) };
    house.operate(Command::Usage(set)).await;
    (house, mona)
}

const FULL: &str = "the plan `tight` of `mona` allows 10 bytes of storage for private packages; ";

#[tokio::test]
async fn a_blob_that_has_no_room_is_refused_with_limit_and_use() {
    let (house, mona) = tight().await;
    mona.push_blob(APP, "seven..").await;
    let digest = sha256("four");

    let answer = mona.post(&format!("{UPLOADS}?digest={digest}")).body("four").await;

    assert_eq!(answer.says(), "403 DENIED");
    let said = answer.text();
    assert!(said.contains(FULL) && said.contains("7 bytes are used, and this takes 4 bytes more"), "{said}");
    assert_eq!(mona.blob(APP, &digest).await, None);
    assert_eq!(house.files(), 1);
    // What fits exactly is taken, and what is there already needs no room.
    mona.push_blob(APP, "six").await;
    mona.push_blob(APP, "seven..").await;
    assert_eq!(mona.post(UPLOADS).await.says(), "403 DENIED");
}

#[tokio::test]
async fn a_part_whose_length_is_said_is_refused_before_it_is_read() {
    let (_house, mona) = tight().await;
    let location = mona.begin(APP).await;
    // Nobody sends this body: an answer that waited for it would not come.
    let (_sender, body) = held();
    let answer = mona.patch(&location).header("content-length", "11").sending(body.sent()).await;
    assert_eq!(answer.says(), "403 DENIED");
    // The session stands where it stood, and takes what fits.
    assert_eq!(mona.patch(&location).body("0123456789").await.says(), "202");
}

#[tokio::test]
async fn a_stream_is_cut_where_the_room_ends_and_gives_it_back() {
    let (house, mona) = tight().await;
    let location = mona.begin(APP).await;
    let answer = mona.patch(&location).chunked("eleven bytes").await;
    assert_eq!(answer.says(), "403 DENIED");
    assert!(answer.text().contains(FULL), "{}", answer.text());
    assert_eq!(mona.get(&location).await.status, 404, "the session has ended");
    house.sweep().await;
    assert_eq!(house.files(), 0);
    mona.push_blob(APP, "0123456789").await;
}

#[tokio::test]
async fn of_two_uploads_that_have_room_alone_the_second_is_refused() {
    let (house, mona) = tight().await;
    let (one, two) = (mona.begin(APP).await, mona.begin(APP).await);
    assert_eq!(mona.patch(&one).body("first.").await.says(), "202");
    // What others have received needs its room too.
    let second = mona.patch(&two).body("second").await;
    assert_eq!(second.says(), "403 DENIED");
    assert_eq!(mona.patch(&two).body("2nd.").await.says(), "202");
    let finish = |location: &str, content: &str| mona.put(&format!("{location}?digest={}", sha256(content)));
    assert_eq!(finish(&one, "first.").await.says(), "201");
    assert_eq!(finish(&two, "2nd.").await.says(), "201");
    assert_eq!(house.files(), 2);
}

#[tokio::test]
async fn of_two_blobs_that_come_at_once_the_transaction_refuses_the_second() {
    let (house, mona) = tight().await;
    let post = |content: &str| mona.post(&format!("{UPLOADS}?digest={}", sha256(content)));
    let ((slow, slow_body), (quick, quick_body)) = (held(), held());
    let slow_answer = tokio::spawn(post("slow..").sending(slow_body.sent()).into_future());
    slow.asked().await;
    let quick_answer = tokio::spawn(post("quick.").sending(quick_body.sent()).into_future());
    quick.asked().await;
    quick.send("quick.");
    quick.end();
    assert_eq!(quick_answer.await.unwrap().says(), "201");
    slow.send("slow..");
    slow.end();
    let refused = slow_answer.await.unwrap();
    assert_eq!(refused.says(), "403 DENIED");
    assert!(refused.text().contains("6 bytes are used, and this takes 6 bytes more"), "{}", refused.text());
    house.sweep().await;
    assert_eq!(house.files(), 1, "its bytes are given back");
}

#[tokio::test]
async fn deleting_makes_room_at_once_and_restoring_needs_it() {
    let (_house, mona) = tight().await;
    let manifest = image().config("{}").layer("seven..").manifest();
    mona.push(APP, "v1", &manifest).await;
    assert_eq!(mona.delete(&format!("/v2/{APP}/manifests/{}", manifest.digest())).await.says(), "202");
    mona.push_blob(APP, "0123456789").await;
    // Its blobs are there still, until it can be restored no more; it has no room to come back.
    let again = mona.put_manifest(APP, "v1", &manifest).await;
    assert_eq!(again.says(), "403 DENIED");
    assert!(again.text().contains("10 bytes are used, and this takes 9 bytes more"), "{}", again.text());
}

#[tokio::test]
async fn what_is_sent_in_a_month_is_bounded() {
    let (house, mona) = tight().await;
    let digest = mona.push_blob(APP, "six...").await;
    let path = format!("/v2/{APP}/blobs/{digest}");
    assert_eq!(mona.get(&path).await.status, 200);
    let refused = mona.get(&path).await;
    assert_eq!(refused.says(), "403 DENIED");
    let said = refused.text();
    assert!(
        said.contains("allows 10 bytes of transfer this month from private packages; 6 bytes are used, and this takes 6 bytes more"),
        "{said}"
    );
    // A piece that fits, after what was counted was written down.
    house.service.store_transfers().await.unwrap();
    assert_eq!(mona.get(&path).header("range", "bytes=0-3").await.status, 206);
    assert_eq!(mona.get(&path).header("range", "bytes=0-0").await.says(), "403 DENIED");
    assert_eq!(mona.head(&path).await.status, 200, "nothing is sent");
    house.make(APP, "public").await;
    assert_eq!(mona.get(&path).await.status, 200, "what is public is not bound by this plan");
    house.make(APP, "private").await;
    house.wait(31 * 24 * 3_600);
    assert_eq!(mona.get(&path).await.status, 200, "another month");
}
