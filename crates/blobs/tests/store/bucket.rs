//! What only a bucket has: parts and tails, several nodes at one session, answers that were lost, signed addresses.

use crate::desk::{Desk, PART_BYTES, Pen, read};
use object_store::multipart::MultipartStore;
use packhouse_blobs::BlobError;
use packhouse_catalog::{ReadableBlob, Upload};
use packhouse_oci::{Algorithm, Digest};

/// Runs a test where there is a bucket.
macro_rules! in_a_bucket {
    ($($clause:ident),+ $(,)?) => {
        mod s3 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $clause() {
                if let Some(desk) = $crate::desk::Desk::s3().await {
                    super::$clause(&desk).await;
                }
            })+
        }
    };
}

in_a_bucket!(
    a_session_goes_from_node_to_node,
    what_fits_in_one_part_is_one_object,
    a_layer_of_many_parts_is_one_object,
    the_empty_blob_is_an_object,
    a_node_that_lost_its_lease_acknowledges_nothing_and_overwrites_nothing,
    of_two_that_complete_an_upload_the_first_stands,
    a_finish_whose_commit_was_lost_is_done_again,
    a_finish_whose_commit_was_lost_takes_no_other_bytes,
    a_cancelled_session_leaves_nothing,
    parts_can_be_hashed_with_another_algorithm,
    a_record_that_does_not_fit_is_an_error,
    an_address_gives_the_bytes_to_who_has_no_key,
);

/// Bytes that are told apart wherever they are cut.
fn bytes(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|at| (at % 251) as u8 ^ (at >> 12) as u8).collect()
}

async fn part(desk: &Desk, upload: &Upload, from: usize, length: usize) -> Upload {
    // Each part at another node.
    let pen = desk.open_at(&desk.node(), upload).await.unwrap();
    let pen = pen.write(bytes(from, length)).await;
    desk.record(pen).await
}

async fn is_whole(desk: &Desk, blob: &ReadableBlob, length: usize) {
    assert_eq!(blob.size(), length as u64);
    assert!(read(&desk.store, blob, 0, blob.size()).await == bytes(0, length), "other bytes than were sent");
    // Nothing else is left.
    desk.sweep().await;
    let keys: Vec<String> = desk.listed(100).await.into_iter().map(|stored| stored.key).collect();
    assert_eq!(keys, [blob.storage_key()]);
}

async fn a_session_goes_from_node_to_node(desk: &Desk) {
    let mut upload = desk.begin(Algorithm::Sha256).await;
    let mut sent = 0;
    // Tails only, over the edge of a part, exactly to its edge, several parts at once, nothing.
    for length in [10, 3 << 20, 3 << 20, 2 * PART_BYTES - 10 - (6 << 20), 1, 2 * PART_BYTES + 1, 0] {
        upload = part(desk, &upload, sent, length).await;
        sent += length;
        assert_eq!(upload.received, sent as u64);
    }
    let pen = desk.open_at(&desk.node(), &upload).await.unwrap().write(bytes(sent, 77)).await;
    let blob = desk.finish(pen, Algorithm::Sha256).await;
    assert_eq!(blob.storage_key(), upload.storage_key());
    assert_eq!(blob.digest(), Digest::of(Algorithm::Sha256, &bytes(0, sent + 77)));
    is_whole(desk, &blob, sent + 77).await;
}

async fn what_fits_in_one_part_is_one_object(desk: &Desk) {
    // In one request.
    let blob = desk.blob(&bytes(0, 1_000)).await;
    is_whole(desk, &blob, 1_000).await;
    desk.erase(blob.storage_key()).await;

    // As docker does: all of it, then an end without bytes. The tail is the blob; nothing is written again.
    let upload = desk.begin(Algorithm::Sha256).await;
    let upload = part(desk, &upload, 0, 2_000).await;
    let before = desk.listed(10).await;
    let pen = desk.pen(&upload).await;
    let blob = desk.finish(pen, Algorithm::Sha256).await;
    assert_eq!(desk.listed(10).await, before);
    is_whole(desk, &blob, 2_000).await;
}

async fn a_layer_of_many_parts_is_one_object(desk: &Desk) {
    let length = 18 * PART_BYTES + 5;
    let upload = desk.begin(Algorithm::Sha256).await;
    let mut pen = desk.pen(&upload).await;
    for from in (0..length).step_by(1 << 20) {
        pen = pen.write(bytes(from, (length - from).min(1 << 20))).await;
    }
    let blob = desk.finish(pen, Algorithm::Sha256).await;
    is_whole(desk, &blob, length).await;
}

async fn the_empty_blob_is_an_object(desk: &Desk) {
    let blob = desk.blob(b"").await;
    is_whole(desk, &blob, 0).await;
}

async fn a_node_that_lost_its_lease_acknowledges_nothing_and_overwrites_nothing(desk: &Desk) {
    let upload = desk.begin(Algorithm::Sha256).await;
    let upload = part(desk, &upload, 0, PART_BYTES + 100).await;
    // Stands still with bytes that nobody was told of, a full part among them.
    let late = desk.open_at(&desk.node(), &upload).await.unwrap();
    let late = late.write(vec![0xaa; 2 * PART_BYTES]).await;

    let (from, length) = (PART_BYTES + 100, PART_BYTES);
    let upload = part(desk, &upload, from, length).await;
    // It wakes up.
    assert_eq!(desk.try_record(late).await, None);
    let late = desk.open_at(&desk.node(), &upload).await.unwrap().write(vec![0xbb; 10]).await;
    let pen = desk.pen(&upload).await;
    let blob = desk.finish(pen, Algorithm::Sha256).await;
    assert_eq!(desk.try_record(late).await, None);
    assert!(read(&desk.store, &blob, 0, blob.size()).await == bytes(0, from + length));
}

async fn of_two_that_complete_an_upload_the_first_stands(desk: &Desk) {
    let upload = desk.begin(Algorithm::Sha256).await;
    let upload = part(desk, &upload, 0, PART_BYTES).await;
    // The full part that it sends had its numbers reserved, so that nothing else stops it before the end.
    let late = desk.open_at(&desk.node(), &upload).await.unwrap().write(vec![0xaa; PART_BYTES + 9]).await;
    let pen = desk.open_at(&desk.node(), &upload).await.unwrap().write(bytes(PART_BYTES, 9)).await;
    let blob = desk.finish(pen, Algorithm::Sha256).await;
    let Pen { writer, .. } = late;
    let (writer, digest) = writer.digest(Algorithm::Sha256).await.unwrap();
    let finished = writer.finish(digest).await.map(drop);
    assert!(matches!(finished, Err(BlobError::Gone)), "{finished:?}");
    is_whole(desk, &blob, PART_BYTES + 9).await;

    // Small ones have each an object of their own.
    desk.erase(blob.storage_key()).await;
    let upload = desk.begin(Algorithm::Sha256).await;
    let late = desk.open_at(&desk.node(), &upload).await.unwrap().write(vec![0xaa; 9]).await;
    let pen = desk.open_at(&desk.node(), &upload).await.unwrap().write(bytes(0, 9)).await;
    let blob = desk.finish(pen, Algorithm::Sha256).await;
    assert_eq!(desk.try_finish(late, Algorithm::Sha256).await, None);
    assert_eq!(read(&desk.store, &blob, 0, 9).await, bytes(0, 9));
}

/// All that a finish does in the bucket, and then the process ends before its commit.
async fn finish_and_lose(desk: &Desk, upload: &Upload, last: Vec<u8>) {
    let pen = desk.pen(upload).await.write(last).await;
    let (writer, digest) = pen.writer.digest(Algorithm::Sha256).await.unwrap();
    drop(writer.finish(digest).await.unwrap());
}

async fn a_finish_whose_commit_was_lost_is_done_again(desk: &Desk) {
    for acknowledged in [0, 10, PART_BYTES, PART_BYTES + 10] {
        let upload = desk.begin(Algorithm::Sha256).await;
        let upload = part(desk, &upload, 0, acknowledged).await;
        finish_and_lose(desk, &upload, bytes(acknowledged, 33)).await;
        let pen = desk.open_at(&desk.node(), &upload).await.unwrap().write(bytes(acknowledged, 33)).await;
        let blob = desk.finish(pen, Algorithm::Sha256).await;
        is_whole(desk, &blob, acknowledged + 33).await;
        desk.erase(blob.storage_key()).await;
    }
}

async fn a_finish_whose_commit_was_lost_takes_no_other_bytes(desk: &Desk) {
    let upload = desk.begin(Algorithm::Sha256).await;
    let upload = part(desk, &upload, 0, PART_BYTES).await;
    finish_and_lose(desk, &upload, bytes(PART_BYTES, 33)).await;
    let pen = desk.pen(&upload).await.write(vec![0xaa; 33]).await;
    let (writer, digest) = pen.writer.digest(Algorithm::Sha256).await.unwrap();
    let finished = writer.finish(digest).await.map(drop);
    assert!(matches!(finished, Err(BlobError::Gone)), "{finished:?}");
}

async fn a_cancelled_session_leaves_nothing(desk: &Desk) {
    for (acknowledged, written, finished) in [
        (0, 0, false),
        (10, 10, false),
        (PART_BYTES + 10, 10, false),
        (10, 2 * PART_BYTES, false),
        (10, 10, true),
        (PART_BYTES, 10, true),
    ] {
        let upload = desk.begin(Algorithm::Sha256).await;
        let upload = part(desk, &upload, 0, acknowledged).await;
        if finished {
            finish_and_lose(desk, &upload, bytes(acknowledged, written)).await;
        } else {
            let pen = desk.pen(&upload).await.write(bytes(acknowledged, written)).await;
            drop(pen.writer.sync().await.unwrap());
        }
        desk.cancel(&upload).await;
        desk.sweep().await;
        assert_eq!(desk.listed(100).await, [], "{acknowledged} {written} {finished}");
        let state: serde_json::Value = match upload.store_state() {
            [] => serde_json::Value::Null,
            state => serde_json::from_slice(state).unwrap(),
        };
        if let Some(multipart) = state["multipart"].as_str() {
            let (client, path) = (desk.client().unwrap(), desk.object(upload.storage_key()));
            let more = client.put_part(&path, &multipart.to_owned(), 9_000, "x".into()).await;
            assert!(matches!(more, Err(object_store::Error::NotFound { .. })), "it was aborted: {more:?}");
        }
    }
}

async fn parts_can_be_hashed_with_another_algorithm(desk: &Desk) {
    for length in [10, PART_BYTES + 10] {
        let upload = desk.begin(Algorithm::Sha256).await;
        let upload = part(desk, &upload, 0, length).await;
        let pen = desk.pen(&upload).await.write(bytes(length, 5)).await;
        let blob = desk.finish(pen, Algorithm::Sha512).await;
        assert_eq!(blob.digest(), Digest::of(Algorithm::Sha512, &bytes(0, length + 5)));
        is_whole(desk, &blob, length + 5).await;
        desk.erase(blob.storage_key()).await;
    }
}

async fn a_record_that_does_not_fit_is_an_error(desk: &Desk) {
    let upload = desk.begin(Algorithm::Sha256).await;
    let mut upload = part(desk, &upload, 0, 10).await;
    upload.received = 11;
    let claim = desk.store.claim(&upload.id).unwrap();
    let opened = desk.store.writer(&upload, claim, desk.journal(&upload)).await.map(drop);
    assert!(matches!(opened, Err(BlobError::Parts)), "{opened:?}");
    assert!(desk.store.claim(&upload.id).is_ok());
}

async fn an_address_gives_the_bytes_to_who_has_no_key(desk: &Desk) {
    let blob = desk.blob(b"0123456789").await;
    let address = desk.store.address(&blob).await.unwrap().unwrap();
    let answer = reqwest::get(&address).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert_eq!(answer.bytes().await.unwrap().as_ref(), b"0123456789");
    let client = reqwest::Client::new();
    let part = client.get(&address).header("range", "bytes=2-4").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap().as_ref()), (206, &b"234"[..]));
    let unsigned = address.split('?').next().unwrap();
    assert_eq!(reqwest::get(unsigned).await.unwrap().status(), 403);
}
