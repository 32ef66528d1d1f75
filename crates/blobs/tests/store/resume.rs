//! Going on where it was acknowledged.

use crate::desk::{Desk, on_every_store, read};
use packhouse_blobs::BlobError;
use packhouse_oci::{Algorithm, Digest};

on_every_store!(
    bytes_beyond_what_was_acknowledged_are_cut,
    a_damaged_hash_state_is_an_error,
    another_algorithm_than_the_one_that_hashed_reads_the_bytes_again,
    before_the_first_byte_the_algorithm_may_change,
    what_was_refused_takes_no_room,
    a_session_that_was_recorded_without_bytes_goes_on,
);

async fn bytes_beyond_what_was_acknowledged_are_cut(desk: &mut Desk) {
    let upload = desk.begin(Algorithm::Sha256).await;
    let pen = desk.pen(&upload).await.write("kept, ").await;
    let upload = desk.record(pen).await;
    // A request that was cut off: its bytes may lie there, but nobody was told.
    drop(desk.pen(&upload).await.write("lost and forgotten").await);
    desk.reopen_store();

    let pen = desk.pen(&upload).await;
    assert_eq!(pen.writer.received(), 6);
    let pen = pen.write("and finished").await;
    let blob = desk.finish(pen, Algorithm::Sha256).await;
    assert_eq!(read(&desk.store, &blob, 0, blob.size()).await, b"kept, and finished");
    assert_eq!(blob.digest(), Digest::of(Algorithm::Sha256, b"kept, and finished"));
}

#[tokio::test]
async fn a_file_shorter_than_what_was_acknowledged_is_an_error() {
    let desk = Desk::files().await;
    let upload = desk.begin(Algorithm::Sha256).await;
    let pen = desk.pen(&upload).await.write("0123456789").await;
    let upload = desk.record(pen).await;
    std::fs::write(desk.path(upload.storage_key()), b"0123").unwrap();
    // The file is looked at when something is to be done with it.
    let error = desk.open(&upload).await.unwrap().writer.sync().await.map(drop).unwrap_err();
    assert!(matches!(error, BlobError::Length { expected: 10, found: 4, .. }), "{error}");
    let writer = desk.open(&upload).await.unwrap().writer;
    let error = writer.write(vec![vec![1_u8; 100_000].into()]).await.map(drop).unwrap_err();
    assert!(matches!(error, BlobError::Length { expected: 10, found: 4, .. }), "{error}");
    // The claim went with the failure.
    assert!(desk.store.claim(&upload.id).is_ok());
}

/// CVE-2026-32590: the stored state of a hash ran code when it was read.
async fn a_damaged_hash_state_is_an_error(desk: &mut Desk) {
    let mut damaged = desk.begin(Algorithm::Sha256).await;
    damaged.hash_state = vec![0x80; 200];
    let claim = desk.store.claim(&damaged.id).unwrap();
    let opened = desk.store.writer(&damaged, claim, desk.journal(&damaged)).await;
    assert!(matches!(opened, Err(BlobError::HashState)));
}

async fn another_algorithm_than_the_one_that_hashed_reads_the_bytes_again(desk: &mut Desk) {
    for (hashed, asked) in [(Algorithm::Sha256, Algorithm::Sha512), (Algorithm::Sha512, Algorithm::Sha256)] {
        let upload = desk.begin(hashed).await;
        let content = format!("hashed with {hashed}, ");
        let pen = desk.pen(&upload).await.write(content.clone()).await;
        let upload = desk.record(pen).await;
        let pen = desk.pen(&upload).await.write("and more").await;
        let writer = pen.writer.with_algorithm(asked);
        assert_eq!(writer.algorithm(), hashed, "some bytes are hashed already");
        let blob = desk.finish(crate::desk::Pen { writer, upload: pen.upload }, asked).await;
        assert_eq!(blob.digest(), Digest::of(asked, format!("{content}and more").as_bytes()));
    }
}

async fn before_the_first_byte_the_algorithm_may_change(desk: &mut Desk) {
    let upload = desk.begin(Algorithm::Sha256).await;
    let writer = desk.pen(&upload).await.writer.with_algorithm(Algorithm::Sha512);
    assert_eq!(writer.algorithm(), Algorithm::Sha512);
}

/// A part that is not as long as it said is taken back; the session stands where it stood.
async fn what_was_refused_takes_no_room(desk: &mut Desk) {
    let upload = desk.begin(Algorithm::Sha256).await;
    let pen = desk.pen(&upload).await.write("kept").await;
    let upload = desk.record(pen).await;
    let pen = desk.pen(&upload).await.write(" and refused").await;
    pen.writer.cut(4).await.unwrap();
    let pen = desk.pen(&upload).await;
    let blob = desk.finish(pen, Algorithm::Sha256).await;
    assert_eq!(read(&desk.store, &blob, 0, blob.size()).await, b"kept");
}

async fn a_session_that_was_recorded_without_bytes_goes_on(desk: &mut Desk) {
    let upload = desk.begin(Algorithm::Sha256).await;
    let pen = desk.pen(&upload).await;
    let upload = desk.record(pen).await;
    let pen = desk.pen(&upload).await.write("late").await;
    let blob = desk.finish(pen, Algorithm::Sha256).await;
    assert_eq!(read(&desk.store, &blob, 0, blob.size()).await, b"late");
}
