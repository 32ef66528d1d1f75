//! Copies of a catalog beside the blobs, and bytes put into an empty store.

use crate::desk::{Desk, on_every_store};
use bytes::Bytes;
use packhouse_blobs::BlobError;
use packhouse_catalog::StoreCopy;
use packhouse_oci::Algorithm;

on_every_store!(
    a_copy_of_the_catalog_is_there_when_it_is_whole_and_not_before,
    copies_of_the_catalog_are_no_blobs,
    a_large_copy_comes_back_as_it_was,
    a_blob_that_is_restored_lies_where_it_says,
    a_store_is_empty_until_something_lies_there,
);

const FIRST: &str = "20261125T231711-123456";
const SECOND: &str = "20261125T231711-123457";

async fn write(desk: &Desk, may: &StoreCopy, name: &str, pieces: &[Bytes]) {
    let mut writer = desk.store.snapshot_writer(may, name).await.unwrap();
    for piece in pieces {
        writer = writer.write(vec![piece.clone()]).await.unwrap();
    }
    let (writer, digest) = writer.digest(Algorithm::Sha256).await.unwrap();
    writer.finish(digest).await.unwrap();
}

async fn names(desk: &Desk, may: &StoreCopy) -> Vec<String> {
    let mut names = Vec::new();
    for snapshot in desk.store.snapshots(may).await.unwrap() {
        // A bucket may still list what was removed a moment ago.
        match desk.store.snapshot_reader(may, &snapshot).await {
            Err(error) if error.is_absent() => {}
            opened => {
                opened.unwrap();
                names.push(snapshot.name().to_owned());
            }
        }
    }
    names
}

async fn content(desk: &Desk, may: &StoreCopy, at: usize) -> Vec<u8> {
    let snapshot = desk.store.snapshots(may).await.unwrap().remove(at);
    let mut reader = desk.store.snapshot_reader(may, &snapshot).await.unwrap();
    let mut found = Vec::new();
    while let Some(piece) = std::future::poll_fn(|context| reader.poll_piece(context)).await {
        found.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(found.len() as u64, snapshot.size());
    found
}

async fn a_copy_of_the_catalog_is_there_when_it_is_whole_and_not_before(desk: &mut Desk) {
    let may = desk.store_copy().await;
    assert_eq!(names(desk, &may).await, Vec::<String>::new());
    // As a process that was killed leaves it.
    let writer = desk.store.snapshot_writer(&may, FIRST).await.unwrap();
    drop(writer.write(vec![Bytes::from_static(b"half")]).await.unwrap());
    assert_eq!(names(desk, &may).await, Vec::<String>::new());

    write(desk, &may, SECOND, &[Bytes::from_static(b"second")]).await;
    write(desk, &may, FIRST, &[Bytes::from_static(b"fir"), Bytes::from_static(b"st")]).await;
    desk.reopen_store();
    assert_eq!(names(desk, &may).await, [FIRST, SECOND]);
    assert_eq!(content(desk, &may, 0).await, b"first");
    assert_eq!(content(desk, &may, 1).await, b"second");

    let first = desk.store.snapshots(&may).await.unwrap().remove(0);
    desk.store.remove_snapshot(&may, &first).await.unwrap();
    desk.store.remove_snapshot(&may, &first).await.unwrap();
    assert_eq!(names(desk, &may).await, [SECOND]);
    assert!(matches!(desk.store.snapshot_writer(&may, "../../x").await, Err(BlobError::Key(_))));
}

async fn copies_of_the_catalog_are_no_blobs(desk: &mut Desk) {
    let may = desk.store_copy().await;
    let blob = desk.blob(b"layer").await;
    write(desk, &may, FIRST, &[Bytes::from_static(b"copy")]).await;
    let listed: Vec<String> = desk.listed(10).await.into_iter().map(|stored| stored.key).collect();
    assert_eq!(listed, [blob.storage_key()]);
    assert_eq!(names(desk, &may).await, [FIRST]);
}

/// More than a part of a bucket has.
async fn a_large_copy_comes_back_as_it_was(desk: &mut Desk) {
    let may = desk.store_copy().await;
    let piece: Vec<u8> = (0..1_000_003_u32).map(|at| (at % 251) as u8).collect();
    let pieces = vec![Bytes::from(piece); 12];
    write(desk, &may, FIRST, &pieces).await;
    assert_eq!(names(desk, &may).await, [FIRST]);
    assert!(content(desk, &may, 0).await == pieces.concat());
}

/// Twice, as after an interruption.
async fn a_blob_that_is_restored_lies_where_it_says(desk: &mut Desk) {
    let may = desk.store_copy().await;
    let other = desk.another().await;
    for content in [b"".as_slice(), b"layer"] {
        let blob = desk.blob(content).await;
        for _ in 0..2 {
            let writer = other.store.copy_writer(&may, &blob).await.unwrap();
            let writer = writer.write(vec![Bytes::copy_from_slice(content)]).await.unwrap();
            let (writer, digest) = writer.digest(blob.digest().algorithm()).await.unwrap();
            assert_eq!(digest, blob.digest());
            let (_, kept) = writer.finish(digest).await.unwrap();
            let walk = other.walk().await;
            assert_eq!(other.store.stat(&walk, &kept.key).await.unwrap(), Some(content.len() as u64));
        }
    }
    assert_eq!(other.listed(10).await.len(), 2);
}

async fn a_store_is_empty_until_something_lies_there(desk: &mut Desk) {
    let may = desk.store_copy().await;
    assert!(desk.store.is_empty(&may).await.unwrap());
    write(desk, &may, FIRST, &[Bytes::from_static(b"copy")]).await;
    assert!(!desk.store.is_empty(&may).await.unwrap());
    let other = desk.another().await;
    other.blob(b"layer").await;
    assert!(!other.store.is_empty(&may).await.unwrap());
    let named = desk.another().await;
    named.store.adopt("name").await.unwrap();
    assert!(!named.store.is_empty(&may).await.unwrap());
}
