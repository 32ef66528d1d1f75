//! Pushing blobs (distribution-spec, "Pushing blobs"; end-4, end-5, end-6, end-13, end-14).

use crate::bodies::{breaking_off_after, held};
use crate::content::{image, sha256, sha512};
use crate::house::{Caller, House, Person};
use crate::stored::assert_same;

const APP: &str = "mona/app";
const UPLOADS: &str = "/v2/mona/app/blobs/uploads/";

async fn mona() -> (House, Person) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    (house, mona)
}

/// `PUT` at a session, with the digest that its bytes should have.
fn finish(caller: &Caller, location: &str, digest: &str) -> crate::house::Ask {
    caller.put(&format!("{location}?digest={digest}"))
}

#[tokio::test]
async fn a_blob_is_pushed_with_one_request() {
    let (_house, mona) = mona().await;
    let digest = sha256("hello");

    let answer = mona.post(&format!("{UPLOADS}?digest={digest}")).body("hello").await;

    assert_eq!(answer.says(), "201");
    assert_eq!(answer.the("docker-content-digest"), digest);
    assert_eq!(mona.get(answer.the("location")).await.text(), "hello");
}

#[tokio::test]
async fn a_blob_is_pushed_with_post_and_put() {
    let (_house, mona) = mona().await;
    let begun = mona.post(UPLOADS).await;
    assert_eq!(begun.says(), "202");
    assert_eq!(begun.the("range"), "0-0");
    let location = begun.the("location");
    assert_eq!(location, format!("{UPLOADS}{}", begun.the("docker-upload-uuid")), "relative, on this host");

    let done = finish(&mona, location, &sha256("hello")).body("hello").await;

    assert_eq!(done.says(), "201");
    assert_eq!(mona.get(done.the("location")).await.text(), "hello");
}

#[tokio::test]
async fn a_blob_is_streamed_and_then_ended_with_an_empty_put() {
    let (_house, mona) = mona().await;
    let location = mona.begin(APP).await;

    let streamed = mona.patch(&location).chunked("hello, world").await;

    assert_eq!(streamed.says(), "202");
    assert_eq!(streamed.the("range"), "0-11");
    let done = finish(&mona, streamed.the("location"), &sha256("hello, world")).await;
    assert_eq!(done.says(), "201");
    assert_eq!(mona.blob(APP, &sha256("hello, world")).await.unwrap(), b"hello, world");
}

#[tokio::test]
async fn a_blob_is_pushed_in_chunks_the_last_of_them_with_the_put() {
    let (_house, mona) = mona().await;
    let location = mona.begin(APP).await;
    // As the specification writes it, and as RFC 9110 does.
    for (range, chunk, received) in [("0-4", "hello", "0-4"), ("bytes 5-6/*", ", ", "0-6")] {
        let answer = mona.patch(&location).header("content-range", range).body(chunk).await;
        assert_eq!(answer.says(), "202");
        assert_eq!(answer.the("range"), received);
    }

    let last =
        finish(&mona, &location, &sha256("hello, world")).header("content-range", "7-11").body("world").await;

    assert_eq!(last.says(), "201");
    assert_eq!(mona.blob(APP, &sha256("hello, world")).await.unwrap(), b"hello, world");
}

#[tokio::test]
async fn a_large_blob_survives_its_journey() {
    let (_house, mona) = mona().await;
    // Several pieces on both ways, and no multiple of any.
    let bytes: Vec<u8> = (0..5_000_017_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let location = mona.begin(APP).await;
    assert_eq!(mona.patch(&location).chunked(bytes[..3_000_001].to_vec()).await.says(), "202");
    let done = finish(&mona, &location, &sha256(&bytes)).body(bytes[3_000_001..].to_vec()).await;
    assert_eq!(done.says(), "201");
    assert!(mona.blob(APP, &sha256(&bytes)).await.unwrap() == bytes, "the same bytes come back");
}

#[tokio::test]
async fn an_upload_goes_on_where_its_network_broke_off() {
    let (_house, mona) = mona().await;
    let location = mona.begin(APP).await;

    let broken = mona.patch(&location).sending(breaking_off_after("hello, ")).await;

    assert_eq!(broken.says(), "400 BLOB_UPLOAD_INVALID");
    let status = mona.get(&location).await;
    assert_eq!((status.says().as_str(), status.the("range")), ("204", "0-6"));
    let rest = mona.patch(&location).header("content-range", "7-11").body("world").await;
    assert_eq!(rest.says(), "202");
    assert_eq!(finish(&mona, &location, &sha256("hello, world")).await.says(), "201");
}

#[tokio::test]
async fn a_put_that_broke_off_can_be_resumed_too() {
    let (_house, mona) = mona().await;
    let location = mona.begin(APP).await;
    let digest = sha256("hello, world");
    let broken = finish(&mona, &location, &digest).sending(breaking_off_after("hello")).await;
    assert_eq!(broken.says(), "400 BLOB_UPLOAD_INVALID");
    assert_eq!(mona.blob(APP, &digest).await, None);
    assert_eq!(mona.get(&location).await.the("range"), "0-4");
    assert_eq!(finish(&mona, &location, &digest).body(", world").await.says(), "201");
}

#[tokio::test]
async fn a_post_that_broke_off_leaves_nothing_behind() {
    let (house, mona) = mona().await;
    mona.push_blob(APP, "something").await;
    let before = house.stored();
    let post = mona.post(&format!("{UPLOADS}?digest={}", sha256("hello")));
    assert_eq!(post.sending(breaking_off_after("hel")).await.says(), "400 BLOB_UPLOAD_INVALID");
    house.sweep().await;
    assert_same(&before, &house.stored(), "nobody knows of a session, so there is none");
}

#[tokio::test]
async fn a_chunk_out_of_order_is_416_and_says_where_to_go_on() {
    let (_house, mona) = mona().await;
    let location = mona.begin(APP).await;
    mona.patch(&location).body("hello").await;
    let digest = sha256("hello, world");
    for range in ["0-6", "6-12", "4-6", "700-706"] {
        let patch = mona.patch(&location).header("content-range", range).body(", world").await;
        let put = finish(&mona, &location, &digest).header("content-range", range).body(", world").await;
        for answer in [patch, put] {
            assert_eq!(answer.says(), "416 BLOB_UPLOAD_INVALID", "{range}");
            assert_eq!(answer.the("location"), location);
            assert_eq!(answer.the("range"), "0-4");
        }
    }
    // Nothing of it was taken.
    let status = mona.get(&location).await;
    assert_eq!(
        (status.says().as_str(), status.the("location"), status.the("range")),
        ("204", &*location, "0-4")
    );
    let last = finish(&mona, &location, &digest).header("content-range", "5-11").body(", world").await;
    assert_eq!(last.says(), "201");
}

#[tokio::test]
async fn a_chunk_of_another_length_than_its_range_is_not_taken() {
    let (_house, mona) = mona().await;
    let location = mona.begin(APP).await;
    for (range, chunk) in [("0-4", "hell"), ("0-4", "hello!")] {
        let told = mona.patch(&location).header("content-range", range).body(chunk).await;
        let untold = mona.patch(&location).header("content-range", range).chunked(chunk).await;
        assert_eq!((told.says().as_str(), untold.says().as_str()), ("400 SIZE_INVALID", "400 SIZE_INVALID"));
        assert_eq!(mona.get(&location).await.the("range"), "0-0");
    }
    let put = finish(&mona, &location, &sha256("hello")).header("content-range", "0-7").body("hello").await;
    assert_eq!(put.says(), "400 SIZE_INVALID");
    assert_eq!(finish(&mona, &location, &sha256("hello")).body("hello").await.says(), "201");
}

#[tokio::test]
async fn a_cancelled_session_is_gone_with_its_bytes() {
    let (house, mona) = mona().await;
    mona.push_blob(APP, "something").await;
    let before = house.stored();
    let location = mona.begin(APP).await;
    mona.patch(&location).body("hello").await;

    assert_eq!(mona.delete(&location).await.says(), "204");

    assert_eq!(mona.get(&location).await.says(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(mona.patch(&location).body("x").await.says(), "404 BLOB_UPLOAD_UNKNOWN");
    let put = finish(&mona, &location, &sha256("hello")).await;
    assert_eq!(put.says(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(mona.delete(&location).await.says(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(house.sweep().await, 1);
    assert_same(&before, &house.stored(), "as if it had never begun");
}

/// design.md §4: the answer to the first PUT may have been lost on its way.
#[tokio::test]
async fn a_put_sent_again_gets_its_201_again() {
    let (house, mona) = mona().await;
    let location = mona.begin(APP).await;
    let digest = sha256("hello");
    assert_eq!(finish(&mona, &location, &digest).body("hello").await.says(), "201");
    let before = house.stored();

    let again = finish(&mona, &location, &digest).body("hello").await;

    assert_eq!(again.says(), "201");
    assert_eq!(again.the("location"), format!("/v2/{APP}/blobs/{digest}"));
    assert_same(&before, &house.stored(), "it changes nothing");
    // But the session is over for everything else, and never was about another blob.
    assert_eq!(mona.get(&location).await.says(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(mona.patch(&location).body("more").await.says(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(mona.delete(&location).await.says(), "404 BLOB_UPLOAD_UNKNOWN");
    let other = finish(&mona, &location, &sha256("more")).body("more").await;
    assert_eq!(other.says(), "404 BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_put_sent_again_after_the_blob_was_deleted_promises_nothing() {
    let (_house, mona) = mona().await;
    let location = mona.begin(APP).await;
    let digest = sha256("hello");
    assert_eq!(finish(&mona, &location, &digest).body("hello").await.says(), "201");
    assert_eq!(mona.delete(&format!("/v2/{APP}/blobs/{digest}")).await.says(), "202");
    let again = finish(&mona, &location, &digest).body("hello").await;
    assert_eq!(again.says(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(mona.blob(APP, &digest).await, None);
}

#[tokio::test]
async fn a_wrong_digest_is_400_and_stores_nothing_however_the_bytes_came() {
    let (house, mona) = mona().await;
    mona.push_blob(APP, "something").await;
    let before = house.stored();
    for wrong in [sha256("other"), sha512("other")] {
        let at_once = mona.post_blob(APP, &wrong, "hello").await;
        let location = mona.begin(APP).await;
        let with_put = finish(&mona, &location, &wrong).body("hello").await;
        let location = mona.begin(APP).await;
        mona.patch(&location).body("hel").await;
        mona.patch(&location).chunked("lo").await;
        let in_chunks = finish(&mona, &location, &wrong).await;
        for answer in [at_once, with_put, in_chunks] {
            assert_eq!(answer.says(), "400 DIGEST_INVALID");
        }
        assert_eq!(mona.get(&location).await.says(), "404 BLOB_UPLOAD_UNKNOWN", "the session has ended");
        assert_eq!(mona.blob(APP, &wrong).await, None);
    }
    assert_eq!(mona.blob(APP, &sha256("hello")).await, None);
    assert_eq!(house.sweep().await, 6);
    assert_same(&before, &house.stored(), "nothing is left");
}

#[tokio::test]
async fn sha512_is_hashed_on_the_way_or_afterwards() {
    let (_house, mona) = mona().await;
    let digest = sha512("hello, world");
    let hinted = mona.post(&format!("{UPLOADS}?digest-algorithm=sha512")).await.the("location").to_owned();
    let unhinted = mona.begin(APP).await;
    let mishinted = mona.post(&format!("{UPLOADS}?digest-algorithm=sha512")).await.the("location").to_owned();
    for (location, digest) in [(hinted, &digest), (unhinted, &digest), (mishinted, &sha256("hello, world"))] {
        mona.patch(&location).body("hello, ").await;
        let done = finish(&mona, &location, digest).body("world").await;
        assert_eq!(done.says(), "201");
        assert_eq!(done.the("docker-content-digest"), digest);
        assert_eq!(mona.blob(APP, digest).await.unwrap(), b"hello, world");
        let deleted = mona.delete(&format!("/v2/{APP}/blobs/{digest}")).await;
        assert_eq!(deleted.says(), "202");
    }
    assert_eq!(mona.post_blob(APP, &digest, "hello, world").await.says(), "201");
    let head = mona.head(&format!("/v2/{APP}/blobs/{digest}")).await;
    assert_eq!((head.the("docker-content-digest"), head.the("content-length")), (&*digest, "12"));
}

/// distribution #3763: an empty blob failed on some stores.
#[tokio::test]
async fn distribution_3763_an_empty_blob_is_a_blob() {
    let (_house, mona) = mona().await;
    let empty = sha256("");
    let location = mona.begin(APP).await;
    assert_eq!(finish(&mona, &location, &empty).await.says(), "201");
    let whole = mona.get(&format!("/v2/{APP}/blobs/{empty}")).await;
    assert_eq!((whole.says().as_str(), whole.the("content-length")), ("200", "0"));
    // Clients that ask for `bytes=0-` with every request must not fail on it.
    let ranged = mona.get(&format!("/v2/{APP}/blobs/{empty}")).header("range", "bytes=0-").await;
    assert_eq!((ranged.says().as_str(), ranged.text()), ("200", ""));
    assert_eq!(mona.post_blob(APP, &sha512(""), "").await.says(), "201");
    assert_eq!(mona.post_blob(APP, &sha256("{}"), "{}").await.says(), "201");
    assert_eq!(mona.blob(APP, &sha256("{}")).await.unwrap(), b"{}");
}

#[tokio::test]
async fn the_same_blob_pushed_twice_is_kept_once() {
    let (house, mona) = mona().await;
    mona.push_blob(APP, "hello").await;
    mona.push_blob("mona/other", "hello").await;
    assert_eq!(house.sweep().await, 1, "the newcomer's bytes go");
    assert_eq!(house.files(), 1);
    assert_eq!(mona.blob("mona/other", &sha256("hello")).await.unwrap(), b"hello");
    assert_eq!(mona.blob(APP, &sha256("hello")).await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_session_that_nothing_comes_to_ends() {
    let (house, mona) = mona().await;
    mona.push(APP, "v1", &image().config("something").manifest()).await;
    let before = house.stored();
    let location = mona.begin(APP).await;
    house.wait(6 * 24 * 3600);
    mona.patch(&location).body("hello").await;
    house.wait(6 * 24 * 3600);
    assert_eq!(mona.get(&location).await.says(), "204", "what came has renewed it");
    house.wait(24 * 3600);
    assert_eq!(mona.get(&location).await.says(), "404 BLOB_UPLOAD_UNKNOWN");
    let put = finish(&mona, &location, &sha256("hello")).await;
    assert_eq!(put.says(), "404 BLOB_UPLOAD_UNKNOWN");
    house.sweep().await;
    let after = house.stored();
    // The first push's finished session has expired with it.
    assert_eq!(house.files(), 1);
    assert_eq!(house.count("SELECT count(*) FROM uploads"), 0);
    assert_eq!(mona.blob(APP, &sha256("something")).await.unwrap(), b"something");
    assert_ne!(before, after);
}

/// PNPM PR #14629, distribution #2077: concurrent writes of one session interleaved.
#[tokio::test]
async fn pnpm_14629_of_two_writers_on_one_session_one_waits_for_another_day() {
    let (_house, mona) = mona().await;
    let location = mona.begin(APP).await;
    let (first, body) = held();
    let writing = tokio::spawn(mona.patch(&location).sending(body.sent()).into_future());
    first.send("hel");
    first.asked().await;

    let second = mona.patch(&location).body("XXXXX").await;
    let put = finish(&mona, &location, &sha256("hello")).body("hello").await;
    let cancel = mona.delete(&location).await;

    for answer in [second, put, cancel] {
        assert_eq!(answer.says(), "409 BLOB_UPLOAD_INVALID");
        assert_eq!(answer.the("retry-after"), "1");
    }
    assert_eq!(mona.get(&location).await.says(), "204", "who only asks is answered");
    first.send("lo");
    first.end();
    assert_eq!(writing.await.unwrap().the("range"), "0-4");
    assert_eq!(finish(&mona, &location, &sha256("hello")).await.says(), "201");
    assert_eq!(mona.blob(APP, &sha256("hello")).await.unwrap(), b"hello");
}

/// PNPM PR #14629: a PATCH was taken after the hash and before the rename.
#[tokio::test]
async fn pnpm_14629_a_patch_during_the_finish_is_refused() {
    let (_house, mona) = mona().await;
    let location = mona.begin(APP).await;
    mona.patch(&location).body("hel").await;
    let (last, body) = held();
    let finishing =
        tokio::spawn(finish(&mona, &location, &sha256("hello")).sending(body.sent()).into_future());
    last.send("lo");
    last.asked().await;
    let patch = mona.patch(&location).body("XX").await;
    assert_eq!(patch.says(), "409 BLOB_UPLOAD_INVALID");
    last.end();
    assert_eq!(finishing.await.unwrap().says(), "201");
    assert_eq!(mona.patch(&location).body("XX").await.says(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(mona.blob(APP, &sha256("hello")).await.unwrap(), b"hello");
}

/// distribution #2077 and 927250b: two commits at once left a corrupt blob, twice in nine years.
#[tokio::test]
async fn distribution_2077_many_writers_at_once_never_mix_their_bytes() {
    let (house, mona) = mona().await;
    let location = mona.begin(APP).await;
    let one: Vec<u8> = vec![b'a'; 300_000];
    let writers: Vec<_> = (b'a'..=b'h')
        .map(|letter| tokio::spawn(mona.patch(&location).chunked(vec![letter; one.len()]).into_future()))
        .collect();
    let mut taken = 0;
    for writer in writers {
        let answer = writer.await.unwrap();
        match answer.status {
            202 => taken += 1,
            409 => {}
            _ => panic!("{answer}"),
        }
    }
    assert!(taken > 0, "somebody wins");
    let status = mona.get(&location).await;
    assert_eq!(status.the("range"), format!("0-{}", taken * one.len() - 1));
    let bytes = house.file();
    let mut letters = Vec::new();
    for part in bytes.chunks(one.len()) {
        assert!(part.iter().all(|byte| *byte == part[0]), "bytes of two requests were mixed");
        letters.push(part[0]);
    }
    letters.sort_unstable();
    letters.dedup();
    assert_eq!(letters.len(), taken, "each that was taken is there, once");
    assert_eq!(finish(&mona, &location, &sha256(&bytes)).await.says(), "201");
}

/// CVE-2026-32589 (Quay): an upload session of one repository could be used from another.
#[tokio::test]
async fn cve_2026_32589_a_session_belongs_to_one_package_and_one_account() {
    let (house, mona) = mona().await;
    let hubot = house.user("hubot").await;
    mona.push_blob("mona/other", "x").await;
    hubot.push_blob("hubot/mine", "x").await;
    let location = mona.begin(APP).await;
    mona.patch(&location).body("hel").await;
    house.grant(APP, "hubot", "write").await;
    let id = location.rsplit('/').next().unwrap();
    let digest = sha256("hello");

    let tries: [(&str, &Caller); 4] = [
        ("mona/other", &mona),
        ("hubot/mine", &hubot),
        // He may push here, but it is not his; nor is it the site administrator's.
        (APP, &hubot),
        (APP, &house.admin),
    ];
    for (package, caller) in tries {
        let at = format!("/v2/{package}/blobs/uploads/{id}");
        for answer in [
            caller.get(&at).await,
            caller.patch(&at).body("lo").await,
            caller.put(&format!("{at}?digest={digest}")).body("lo").await,
            caller.delete(&at).await,
        ] {
            assert_eq!(answer.says(), "404 BLOB_UPLOAD_UNKNOWN", "{package}");
        }
    }
    assert_eq!(mona.get(&location).await.the("range"), "0-2", "none of it touched the session");
    assert_eq!(finish(&mona, &location, &digest).body("lo").await.says(), "201");
    assert_eq!(hubot.put(&format!("{location}?digest={digest}")).await.says(), "404 BLOB_UPLOAD_UNKNOWN");
}

/// CVE-2026-32589, while the session is written: 409 would say that it is there.
#[tokio::test]
async fn cve_2026_32589_a_session_that_is_written_is_no_different_to_others() {
    let (house, mona) = mona().await;
    let hubot = house.user("hubot").await;
    hubot.push_blob("hubot/mine", "x").await;
    let location = mona.begin(APP).await;
    let id = location.rsplit('/').next().unwrap();
    let (first, body) = held();
    let writing = tokio::spawn(mona.patch(&location).sending(body.sent()).into_future());
    first.asked().await;
    let mine = format!("/v2/hubot/mine/blobs/uploads/{id}");
    assert_eq!(hubot.patch(&mine).body("x").await.says(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(hubot.delete(&mine).await.says(), "404 BLOB_UPLOAD_UNKNOWN");
    assert_eq!(hubot.patch(&location).body("x").await.says(), "404 NAME_UNKNOWN");
    assert_eq!(hubot.delete(&location).await.says(), "404 NAME_UNKNOWN");
    let anonymous = house.anonymous();
    assert_eq!(anonymous.put(&format!("{location}?digest={}", sha256("x"))).await.says(), "401 UNAUTHORIZED");
    first.end();
    assert_eq!(writing.await.unwrap().says(), "202");
}

#[tokio::test]
async fn rights_lost_during_an_upload_are_lost_at_its_end() {
    let (house, mona) = mona().await;
    let hubot = house.user("hubot").await;
    mona.push_blob(APP, "x").await;
    house.grant(APP, "hubot", "write").await;
    let location = hubot.begin(APP).await;
    let (last, body) = held();
    let digest = sha256("hello");
    let finishing = tokio::spawn(finish(&hubot, &location, &digest).sending(body.sent()).into_future());
    last.send("hello");
    last.asked().await;
    house.grant(APP, "hubot", "read").await;
    last.end();
    assert_eq!(finishing.await.unwrap().says(), "403 DENIED");
    assert_eq!(mona.blob(APP, &digest).await, None);
}
