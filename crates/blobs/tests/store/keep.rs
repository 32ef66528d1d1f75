//! The folder: its identity, claims, removal.

use crate::desk::Desk;
use bytes::Bytes;
use packhouse_blobs::{BlobError, FileStore};
use packhouse_oci::Algorithm;

#[tokio::test]
async fn its_identity_stays() {
    let mut desk = Desk::new().await;
    let identity = desk.store.identity().unwrap();
    desk.reopen_store();
    assert_eq!(desk.store.identity().unwrap(), identity);
    let other = Desk::new().await;
    assert_ne!(other.store.identity().unwrap(), identity);
}

#[tokio::test]
async fn folders_and_files_are_their_owners_alone() {
    use std::os::unix::fs::MetadataExt;
    let desk = Desk::new().await;
    let blob = desk.blob(b"secret").await;
    let file = desk.path(blob.storage_key());
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(file.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
}

/// pnpm#14629: concurrent requests on one session interleaved their bytes.
#[tokio::test]
async fn a_session_has_one_writer_at_a_time() {
    let desk = Desk::new().await;
    let upload = desk.begin(Algorithm::Sha256).await;
    let writer = desk.writer(&upload).await;
    assert!(matches!(desk.store.claim(&upload.id), Err(BlobError::Claimed)));
    let other = desk.begin(Algorithm::Sha256).await;
    drop(desk.writer(&other).await);
    drop(writer);
    assert!(desk.store.claim(&upload.id).is_ok());
}

#[tokio::test]
async fn the_claim_of_one_session_opens_no_other() {
    let desk = Desk::new().await;
    let (mine, other) = (desk.begin(Algorithm::Sha256).await, desk.begin(Algorithm::Sha256).await);
    let claim = desk.store.claim(&mine.id).unwrap();
    assert!(matches!(desk.store.writer(&other, claim).await, Err(BlobError::Claimed)));
}

#[tokio::test]
async fn what_is_removed_is_gone_and_removing_it_again_is_well() {
    let desk = Desk::new().await;
    let upload = desk.begin(Algorithm::Sha256).await;
    let writer = desk.writer(&upload).await.write(vec![Bytes::from_static(b"never mind")]).await.unwrap();
    drop(writer);
    let file = desk.path(upload.storage_key());
    assert!(file.exists());
    let trashed = desk.cancel(&upload).await;
    assert_eq!(trashed.len(), 1);
    desk.store.remove(&trashed[0]).await.unwrap();
    assert!(!file.exists());
    desk.store.remove(&trashed[0]).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let desk = Desk::new().await;
    let file = desk.root().join("a file");
    std::fs::write(&file, b"").unwrap();
    let error = FileStore::open(&file).unwrap_err();
    assert!(error.to_string().contains("a file/blobs"), "{error}");
}

/// A client that goes away drops the request's future, but not the thread that writes: until that has ended nobody
/// else may write the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_that_goes_away_keeps_its_claim_until_its_bytes_are_written() {
    let desk = Desk::new().await;
    let upload = desk.begin(Algorithm::Sha256).await;
    let chunk = Bytes::from(vec![1; 4 << 20]);
    let writer = desk.writer(&upload).await;
    let mut write = Box::pin(writer.write(vec![chunk.clone()]));
    std::future::poll_fn(|context| {
        let _ = write.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
    drop(write);
    let claim = loop {
        match desk.store.claim(&upload.id) {
            Ok(claim) => break claim,
            Err(BlobError::Claimed) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    // Free means ended: all of it is in the file, and nothing will follow.
    assert_eq!(desk.path(upload.storage_key()).metadata().unwrap().len(), chunk.len() as u64);
    drop(claim);
}

#[tokio::test]
async fn an_identity_that_was_half_written_is_none() {
    let desk = Desk::new().await;
    std::fs::write(desk.root().join("blobs/identity.new"), "half").unwrap();
    let identity = desk.store.identity().unwrap();
    assert_eq!(identity.len(), 32);
    assert_eq!(desk.store.identity().unwrap(), identity);
}

#[test]
fn a_full_disk_is_told_from_a_broken_one() {
    let failed = |kind: std::io::ErrorKind| BlobError::File {
        doing: "writing",
        path: "blobs/00/0".into(),
        source: kind.into(),
    };
    assert!(failed(std::io::ErrorKind::StorageFull).is_full());
    assert!(failed(std::io::ErrorKind::QuotaExceeded).is_full());
    assert!(!failed(std::io::ErrorKind::PermissionDenied).is_full());
    assert!(!BlobError::Claimed.is_full());
}
