//! Pulling blobs (distribution-spec, end-2): whole, in parts, and what their headers say.

use crate::content::{sha256, unknown};
use crate::house::{House, Person};

const APP: &str = "mona/app";

async fn mona_with(bytes: &[u8]) -> (House, Person, String) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let digest = mona.push_blob(APP, bytes).await;
    (house, mona, format!("/v2/{APP}/blobs/{digest}"))
}

#[tokio::test]
async fn a_blob_says_what_it_is_and_how_long() {
    let (_house, mona, blob) = mona_with(b"0123456789").await;
    let (get, head) = (mona.get(&blob).await, mona.head(&blob).await);
    for answer in [&get, &head] {
        assert_eq!(answer.says(), "200");
        assert_eq!(answer.the("content-length"), "10");
        assert_eq!(answer.the("content-type"), "application/octet-stream");
        assert_eq!(answer.the("docker-content-digest"), sha256("0123456789"));
        assert_eq!(answer.the("accept-ranges"), "bytes");
        assert_eq!(answer.header("content-encoding"), None);
    }
    assert_eq!(get.text(), "0123456789");
}

#[tokio::test]
async fn ranges_are_cut_to_the_blob_and_what_lies_outside_is_416() {
    let (_house, mona, blob) = mona_with(b"0123456789").await;
    for (range, content_range, bytes) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-5", "bytes 2-5/10", "2345"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=-30", "bytes 0-9/10", "0123456789"),
        ("bytes=5-5000", "bytes 5-9/10", "56789"),
        ("bytes=9-99999999999999999999999", "bytes 9-9/10", "9"),
        ("BYTES=1-2", "bytes 1-2/10", "12"),
    ] {
        let answer = mona.get(&blob).header("range", range).await;
        assert_eq!((answer.says().as_str(), answer.text()), ("206", bytes), "{range}");
        assert_eq!(answer.the("content-range"), content_range, "{range}");
        assert_eq!(answer.the("content-length"), bytes.len().to_string(), "{range}");
    }
    for range in ["bytes=10-", "bytes=10-20", "bytes=5-0", "bytes=-0", "bytes=99999999999999999999999-"] {
        let answer = mona.get(&blob).header("range", range).await;
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.the("content-range"), "bytes */10", "{range}");
    }
    // What is no range of ours is ignored (RFC 9110 §14.2).
    for range in [
        "bytes=a-b",
        "bytes",
        "bytes=",
        "bytes=-",
        "items=0-1",
        "bytes=0-1,3-4",
        "0-1",
        "bytes=+1-2",
        "\u{fc}",
    ] {
        let answer = mona.get(&blob).header("range", range).await;
        assert_eq!((answer.says().as_str(), answer.text()), ("200", "0123456789"), "{range}");
    }
    let head = mona.head(&blob).header("range", "bytes=2-5").await;
    assert_eq!((head.says().as_str(), head.the("content-length")), ("200", "10"));
}

#[tokio::test]
async fn a_download_that_goes_on_after_a_change_starts_again() {
    let (_house, mona, blob) = mona_with(b"0123456789").await;
    let known = mona.head(&blob).await.the("etag").to_owned();
    assert_eq!(known, format!("\"{}\"", sha256("0123456789")));
    let same = mona.get(&blob).header("range", "bytes=8-").header("if-range", &known).await;
    assert_eq!((same.says().as_str(), same.text()), ("206", "89"));
    let other = mona.get(&blob).header("range", "bytes=8-").header("if-range", "\"sha256:0\"").await;
    assert_eq!((other.says().as_str(), other.text()), ("200", "0123456789"));
}

#[tokio::test]
async fn a_large_blob_is_read_in_parts_that_fit_together() {
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (_house, mona, blob) = mona_with(&bytes).await;
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        let last = read.len() + 300_000;
        let answer = mona.get(&blob).header("range", &format!("bytes={}-{last}", read.len())).await;
        assert_eq!(answer.status, 206);
        read.extend_from_slice(&answer.body);
    }
    assert!(read == bytes, "the parts make the whole");
}

#[tokio::test]
async fn what_is_not_there_is_404_with_its_digest() {
    let (_house, mona, _) = mona_with(b"x").await;
    let digest = unknown();
    let target = format!("/v2/{APP}/blobs/{digest}");
    let answer = mona.get(&target).await;
    assert_eq!(answer.says(), "404 BLOB_UNKNOWN");
    assert_eq!(answer.json()["errors"][0]["detail"], digest.as_str());
    assert_eq!(mona.head(&target).await.status, 404);
    // Of the same bytes, but in another package.
    mona.push_blob("mona/other", "y").await;
    let elsewhere = mona.get(&format!("/v2/{APP}/blobs/{}", sha256("y"))).await;
    assert_eq!(elsewhere.says(), "404 BLOB_UNKNOWN");
}

/// zot #4427: 200 with an empty body for a blob whose bytes were gone.
#[tokio::test]
async fn zot_4427_a_blob_whose_bytes_are_damaged_is_never_a_200() {
    let (house, mona, blob) = mona_with(b"0123456789").await;
    house.damage_the_file(|bytes| bytes.truncate(3));
    for answer in [mona.get(&blob).await, mona.get(&blob).header("range", "bytes=0-1").await] {
        assert_eq!(answer.says(), "500 UNKNOWN");
    }
    house.damage_the_file(Vec::clear);
    assert_eq!(mona.get(&blob).await.says(), "500 UNKNOWN");
}

#[tokio::test]
async fn names_at_the_edge_of_the_grammar_work() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let long = format!("mona/{}", "a".repeat(250));
    for name in [
        "mona/a__b",
        "mona/a--b",
        "mona/a.b_c-d",
        "mona/a/b/c/d",
        "mona/blobs/uploads",
        "mona/tags/list",
        &long,
    ] {
        let digest = mona.push_blob(name, "hello").await;
        assert_eq!(mona.blob(name, &digest).await.unwrap(), b"hello", "{name}");
    }
}
