//! Going on where it was acknowledged.

use crate::desk::{Desk, read};
use bytes::Bytes;
use packhouse_blobs::BlobError;
use packhouse_oci::{Algorithm, Digest};

#[tokio::test]
async fn bytes_beyond_what_was_acknowledged_are_cut() {
    let mut desk = Desk::new().await;
    let upload = desk.begin(Algorithm::Sha256).await;
    let writer = desk.writer(&upload).await.write(vec![Bytes::from_static(b"kept, ")]).await.unwrap();
    let upload = desk.record(&upload, writer).await;
    // A request that was cut off: its bytes are in the file, but nobody was told.
    drop(desk.writer(&upload).await.write(vec![Bytes::from_static(b"lost and forgotten")]).await.unwrap());
    desk.reopen_store();

    let writer = desk.writer(&upload).await;
    assert_eq!(writer.received(), 6);
    let writer = writer.write(vec![Bytes::from_static(b"and finished")]).await.unwrap();
    let blob = desk.finish(&upload, writer, Algorithm::Sha256).await;
    assert_eq!(read(&desk.store, &blob, 0, blob.size()).await, b"kept, and finished");
    assert_eq!(blob.digest(), Digest::of(Algorithm::Sha256, b"kept, and finished"));
}

#[tokio::test]
async fn a_file_shorter_than_what_was_acknowledged_is_an_error() {
    let desk = Desk::new().await;
    let upload = desk.begin(Algorithm::Sha256).await;
    let writer = desk.writer(&upload).await.write(vec![Bytes::from_static(b"0123456789")]).await.unwrap();
    let upload = desk.record(&upload, writer).await;
    std::fs::write(desk.path(upload.storage_key()), b"0123").unwrap();
    let claim = desk.store.claim(&upload.id).unwrap();
    let error = desk.store.writer(&upload, claim).await.unwrap_err();
    assert!(matches!(error, BlobError::Length { expected: 10, found: 4, .. }), "{error}");
    // The claim went with the failure.
    assert!(desk.store.claim(&upload.id).is_ok());
}

/// CVE-2026-32590: the stored state of a hash ran code when it was read.
#[tokio::test]
async fn a_damaged_hash_state_is_an_error() {
    let desk = Desk::new().await;
    let mut damaged = desk.begin(Algorithm::Sha256).await;
    damaged.hash_state = vec![0x80; 200];
    let claim = desk.store.claim(&damaged.id).unwrap();
    assert!(matches!(desk.store.writer(&damaged, claim).await, Err(BlobError::HashState)));
}

#[tokio::test]
async fn another_algorithm_than_the_one_that_hashed_reads_the_bytes_again() {
    let desk = Desk::new().await;
    for (hashed, asked) in [(Algorithm::Sha256, Algorithm::Sha512), (Algorithm::Sha512, Algorithm::Sha256)] {
        let upload = desk.begin(hashed).await;
        let content = format!("hashed with {hashed}").into_bytes();
        let writer = desk.writer(&upload).await.write(vec![Bytes::from(content.clone())]).await.unwrap();
        let upload = desk.record(&upload, writer).await;
        let writer = desk.writer(&upload).await.with_algorithm(asked);
        assert_eq!(writer.algorithm(), hashed, "some bytes are hashed already");
        let blob = desk.finish(&upload, writer, asked).await;
        assert_eq!(blob.digest(), Digest::of(asked, &content));
    }
}

#[tokio::test]
async fn before_the_first_byte_the_algorithm_may_change() {
    let desk = Desk::new().await;
    let upload = desk.begin(Algorithm::Sha256).await;
    let writer = desk.writer(&upload).await.with_algorithm(Algorithm::Sha512);
    assert_eq!(writer.algorithm(), Algorithm::Sha512);
}
