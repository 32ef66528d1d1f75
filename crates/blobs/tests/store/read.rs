//! Reading: ranges, and files that are not what the catalog says.

use crate::desk::{Desk, on_every_store, read};
use packhouse_blobs::BlobError;
use packhouse_oci::{Algorithm, Digest};

on_every_store!(
    a_blob_is_read_whole_and_in_parts,
    the_empty_blob_is_a_blob,
    bytes_of_another_length_are_refused_before_one_is_promised,
);

async fn a_blob_is_read_whole_and_in_parts(desk: &mut Desk) {
    // Longer than two pieces, and not a multiple of one.
    let content: Vec<u8> = (0..700_001_u32).map(|at| (at % 251) as u8).collect();
    let blob = desk.blob(&content).await;
    assert_eq!(blob.digest(), Digest::of(Algorithm::Sha256, &content));
    assert_eq!(read(&desk.store, &blob, 0, blob.size()).await, content);
    assert_eq!(read(&desk.store, &blob, 262_143, 262_145).await, content[262_143..262_145]);
    assert_eq!(read(&desk.store, &blob, 700_000, u64::MAX).await, content[700_000..]);
    assert_eq!(read(&desk.store, &blob, 5, 5).await, b"");
}

/// distribution#3763: the empty blob failed.
async fn the_empty_blob_is_a_blob(desk: &mut Desk) {
    let blob = desk.blob(b"").await;
    assert_eq!((blob.size(), read(&desk.store, &blob, 0, 0).await), (0, Vec::new()));
}

/// zot#4427: a file shorter than its row gave 200 with an empty body.
async fn bytes_of_another_length_are_refused_before_one_is_promised(desk: &mut Desk) {
    let blob = desk.blob(b"0123456789").await;
    for (first, end) in [(0, 10), (3, 5), (9, 10)] {
        desk.overwrite(blob.storage_key(), b"012345678").await;
        let error = desk.store.reader(&blob, first, end).await.unwrap_err();
        assert!(matches!(error, BlobError::Length { expected: 10, found: 9, .. }), "{error}");
    }
    desk.erase(blob.storage_key()).await;
    let error = desk.store.reader(&blob, 0, 10).await.unwrap_err();
    assert!(!matches!(error, BlobError::Length { .. }), "{error}");
}

#[tokio::test]
async fn a_file_cut_while_it_is_read_ends_with_an_error_and_not_with_fewer_bytes() {
    let desk = Desk::files().await;
    let blob = desk.blob(&vec![1; 1 << 20]).await;
    let mut reader = desk.store.reader(&blob, 0, blob.size()).await.unwrap();
    std::fs::OpenOptions::new().write(true).open(desk.path(blob.storage_key())).unwrap().set_len(10).unwrap();
    let mut failed = false;
    while let Some(piece) = std::future::poll_fn(|cx| reader.poll_piece(cx)).await {
        failed |= piece.is_err();
    }
    assert!(failed);
}
