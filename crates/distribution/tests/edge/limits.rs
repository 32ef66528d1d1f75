//! The size of a layer: the last byte that fits, and the one after it.

use crate::answer::Answer;
use crate::content::sha256;
use crate::house::{House, Person};
use crate::stored::assert_same;

const UPLOADS: &str = "/v2/mona/app/blobs/uploads/";
const MAX: usize = 1000;

async fn small_house() -> (House, Person) {
    let house = House::with(|plan| plan.settings.layer_bytes_max = MAX as u64).await;
    let mona = house.user("mona").await;
    mona.push_blob("mona/app", "x").await;
    (house, mona)
}

fn too_large(answer: &Answer) {
    assert_eq!(answer.says(), "413 SIZE_INVALID");
    assert!(answer.message().contains("at most 1000 bytes"), "{answer}");
}

#[tokio::test]
async fn a_layer_of_exactly_the_limit_is_taken_however_it_comes() {
    let (_house, mona) = small_house().await;
    let bytes = vec![b'a'; MAX];
    let digest = sha256(&bytes);
    for chunked in [false, true] {
        let post = mona.post(&format!("{UPLOADS}?digest={digest}"));
        let at_once = if chunked { post.chunked(bytes.clone()) } else { post.body(bytes.clone()) };
        assert_eq!(at_once.await.says(), "201");
        let session = mona.begin("mona/app").await;
        let patch = mona.patch(&session).header("content-range", "0-499");
        let part = bytes[..500].to_vec();
        let patch = if chunked { patch.chunked(part.clone()) } else { patch.body(part.clone()) };
        assert_eq!(patch.await.says(), "202");
        let put = mona.put(&format!("{session}?digest={digest}"));
        assert_eq!(if chunked { put.chunked(part) } else { put.body(part) }.await.says(), "201");
    }
    assert_eq!(mona.blob("mona/app", &digest).await.unwrap(), bytes);
}

#[tokio::test]
async fn one_byte_more_is_413_however_it_comes_and_leaves_nothing() {
    let (house, mona) = small_house().await;
    let bytes = vec![b'a'; MAX + 1];
    let digest = sha256(&bytes);
    let before = house.stored();
    let post = || mona.post(&format!("{UPLOADS}?digest={digest}"));
    too_large(&post().body(bytes.clone()).await);
    too_large(&post().chunked(bytes.clone()).await);
    for chunked in [false, true] {
        for with_range in [false, true] {
            for parts in [1, 2] {
                let session = mona.begin("mona/app").await;
                let first = if parts == 1 { 0 } else { 500 };
                if first > 0 {
                    assert_eq!(mona.patch(&session).body(bytes[..first].to_vec()).await.says(), "202");
                }
                let rest = bytes[first..].to_vec();
                let patch = mona.patch(&session);
                let range = format!("{first}-{}", bytes.len() - 1);
                let patch = if with_range { patch.header("content-range", &range) } else { patch };
                too_large(&if chunked { patch.chunked(rest) } else { patch.body(rest) }.await);
                // What became of the session is told by it; its bytes are no blob, and go with it.
                let status = mona.get(&session).await;
                if status.status == 204 {
                    assert_eq!(status.the("range"), format!("0-{}", first.saturating_sub(1)));
                    assert_eq!(mona.delete(&session).await.says(), "204");
                } else {
                    assert_eq!(status.says(), "404 BLOB_UPLOAD_UNKNOWN");
                }
            }
        }
    }
    assert_eq!(mona.blob("mona/app", &digest).await, None);
    house.sweep().await;
    assert_same(&before, &house.stored(), "layers that are too large");
}

#[tokio::test]
async fn the_last_part_is_counted_with_all_before_it() {
    let (house, mona) = small_house().await;
    let bytes = vec![b'a'; MAX + 1];
    for chunked in [false, true] {
        let before = house.stored();
        let session = mona.begin("mona/app").await;
        mona.patch(&session).body(bytes[..MAX].to_vec()).await;
        let put = mona.put(&format!("{session}?digest={}", sha256(&bytes)));
        too_large(&if chunked { put.chunked("a") } else { put.body("a") }.await);
        if mona.get(&session).await.status == 204 {
            assert_eq!(mona.delete(&session).await.says(), "204");
        }
        house.sweep().await;
        assert_same(&before, &house.stored(), "a last part that is too much");
    }
}

#[tokio::test]
async fn a_length_beyond_all_numbers_is_refused_before_a_byte_is_read() {
    let (_house, mona) = small_house().await;
    let session = mona.begin("mona/app").await;
    for length in ["1001", "18446744073709551615"] {
        let (sender, body) = crate::bodies::held();
        let answer = mona.patch(&session).header("content-length", length).sending(body.sent()).await;
        too_large(&answer);
        sender.end();
    }
    let far = mona.patch(&session).header("content-range", "0-9223372036854775806").chunked("a").await;
    too_large(&far);
    assert_eq!(mona.get(&session).await.the("range"), "0-0");
}

#[tokio::test]
async fn too_many_requests_of_one_token_are_429_and_say_when_to_come_again() {
    let house = House::with(|plan| {
        plan.settings.rates.registry_reads_minute = 4;
        plan.settings.rates.registry_writes_minute = 2;
    })
    .await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    for _ in 0..4 {
        assert_eq!(mona.get("/v2/").await.says(), "200");
    }
    let over = mona.get("/v2/").await;
    assert_eq!((over.says().as_str(), over.header("retry-after")), ("429 TOOMANYREQUESTS", Some("60")));
    assert_eq!(mona.post(UPLOADS).await.says(), "202", "writes are counted apart");
    assert_eq!(hubot.get("/v2/").await.says(), "200", "and so are other tokens");
    house.wait(60);
    assert_eq!(mona.get("/v2/").await.says(), "200");
    // A bearer token is counted as the token behind it.
    let bearer = hubot.bearer(&["repository:hubot/app:pull"]).await;
    let other = hubot.bearer(&["repository:hubot/app:pull"]).await;
    for bearer in [&bearer, &other, &bearer, &other] {
        assert_eq!(bearer.get("/v2/").await.says(), "200");
    }
    assert_eq!(other.get("/v2/").await.says(), "429 TOOMANYREQUESTS");
}
