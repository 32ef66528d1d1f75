//! What every store keeps: its identity, claims, removal, its list.

use crate::desk::{Desk, on_every_store};
use bytes::Bytes;
use packhouse_blobs::{BlobError, BlobStore, new_identity};
use packhouse_oci::Algorithm;

on_every_store!(
    its_identity_stays,
    a_session_has_one_writer_at_a_time,
    the_claim_of_one_session_opens_no_other,
    what_is_removed_is_gone_and_removing_it_again_is_well,
    all_that_lies_there_is_listed_in_order_by_pages,
    what_lies_under_a_key_is_told,
    a_store_that_is_there_is_ready,
);

async fn its_identity_stays(desk: &mut Desk) {
    assert_eq!(desk.store.identity().await.unwrap(), None);
    assert!(desk.store.ready().await.is_err(), "a store without a name is none that we started with");
    let identity = new_identity().unwrap();
    desk.store.adopt(&identity).await.unwrap();
    desk.reopen_store();
    assert_eq!(desk.store.identity().await.unwrap(), Some(identity));
    let other = desk.another().await;
    assert_eq!(other.store.identity().await.unwrap(), None);
}

/// pnpm#14629: concurrent requests on one session interleaved their bytes.
async fn a_session_has_one_writer_at_a_time(desk: &mut Desk) {
    let upload = desk.begin(Algorithm::Sha256).await;
    let pen = desk.pen(&upload).await;
    assert!(matches!(desk.store.claim(&upload.id), Err(BlobError::Claimed)));
    let other = desk.begin(Algorithm::Sha256).await;
    drop(desk.pen(&other).await);
    drop(pen);
    assert!(desk.store.claim(&upload.id).is_ok());
}

async fn the_claim_of_one_session_opens_no_other(desk: &mut Desk) {
    let (mine, other) = (desk.begin(Algorithm::Sha256).await, desk.begin(Algorithm::Sha256).await);
    let claim = desk.store.claim(&mine.id).unwrap();
    let journal = desk.journal(&other);
    assert!(matches!(desk.store.writer(&other, claim, journal).await, Err(BlobError::Claimed)));
}

async fn what_is_removed_is_gone_and_removing_it_again_is_well(desk: &mut Desk) {
    let kept = desk.blob(b"kept").await;
    let upload = desk.begin(Algorithm::Sha256).await;
    let pen = desk.pen(&upload).await.write("never mind").await;
    desk.record(pen).await;
    assert_eq!(desk.listed(10).await.len(), 2);
    for trashed in desk.cancel(&upload).await {
        desk.store.remove(&trashed).await.unwrap();
        desk.store.remove(&trashed).await.unwrap();
    }
    let left: Vec<String> = desk.listed(10).await.into_iter().map(|stored| stored.key).collect();
    assert_eq!(left, [kept.storage_key()]);
}

async fn all_that_lies_there_is_listed_in_order_by_pages(desk: &mut Desk) {
    // The identity is the store's own, and no blob.
    desk.store.adopt("0").await.unwrap();
    let mut made = Vec::new();
    for number in 0..7_u8 {
        let blob = desk.blob(&vec![number; usize::from(number)]).await;
        made.push((blob.storage_key().to_owned(), blob.size()));
    }
    made.sort();
    for page in [1, 2, 7, 100] {
        let listed: Vec<_> =
            desk.listed(page).await.into_iter().map(|found| (found.key, found.size)).collect();
        assert_eq!(listed, made, "by {page}");
    }
}

async fn what_lies_under_a_key_is_told(desk: &mut Desk) {
    let blob = desk.blob(b"0123456789").await;
    let walk = desk.walk().await;
    assert_eq!(desk.store.stat(&walk, blob.storage_key()).await.unwrap(), Some(10));
    desk.erase(blob.storage_key()).await;
    assert_eq!(desk.store.stat(&walk, blob.storage_key()).await.unwrap(), None);
    assert!(matches!(desk.store.stat(&walk, "../../etc/passwd").await, Err(BlobError::Key(_))));
}

async fn a_store_that_is_there_is_ready(desk: &mut Desk) {
    desk.store.adopt("0").await.unwrap();
    desk.store.ready().await.unwrap();
}

#[tokio::test]
async fn folders_and_files_are_their_owners_alone() {
    use std::os::unix::fs::MetadataExt;
    let desk = Desk::files().await;
    let blob = desk.blob(b"secret").await;
    let file = desk.path(blob.storage_key());
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(file.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let desk = Desk::files().await;
    let file = desk.root().join("a file");
    std::fs::write(&file, b"").unwrap();
    let error = BlobStore::files(&file).unwrap_err();
    assert!(error.to_string().contains("a file/blobs"), "{error}");
}

#[tokio::test]
async fn a_disk_that_went_away_is_not_ready() {
    let desk = Desk::files().await;
    desk.store.adopt("0").await.unwrap();
    std::fs::rename(desk.root().join("blobs"), desk.root().join("elsewhere")).unwrap();
    assert!(desk.store.ready().await.is_err());
}

/// A client that goes away drops the request's future, but not the thread that writes: until that has ended nobody
/// else may write the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_that_goes_away_keeps_its_claim_until_its_bytes_are_written() {
    let desk = Desk::files().await;
    let upload = desk.begin(Algorithm::Sha256).await;
    let chunk = Bytes::from(vec![1; 4 << 20]);
    // The file is open from its first large piece on.
    let writer = desk.pen(&upload).await.writer.write(vec![chunk.clone()]).await.unwrap();
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
    // Free means ended: what was begun is in the file as a whole, and nothing will follow. The second piece waits for the
    // first, so the request may have gone away before it was begun.
    let (length, piece) = (desk.path(upload.storage_key()).metadata().unwrap().len(), chunk.len() as u64);
    assert!([piece, 2 * piece].contains(&length), "{length} bytes");
    drop(claim);
}

/// What a refused request wrote is taken back, though the thread that writes it may still be at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_piece_that_is_still_being_written_is_cut_too() {
    let desk = Desk::files().await;
    let upload = desk.begin(Algorithm::Sha256).await;
    for _ in 0..20 {
        let writer = desk.pen(&upload).await.writer.write(vec![Bytes::from(vec![1; 4 << 20])]).await.unwrap();
        writer.cut(0).await.unwrap();
        assert_eq!(desk.path(upload.storage_key()).metadata().unwrap().len(), 0);
    }
    assert!(desk.store.claim(&upload.id).is_ok());
}

#[tokio::test]
async fn an_identity_that_was_half_written_is_none() {
    let desk = Desk::files().await;
    std::fs::write(desk.root().join("blobs/identity.new"), "half").unwrap();
    assert_eq!(desk.store.identity().await.unwrap(), None);
    desk.store.adopt("whole").await.unwrap();
    assert_eq!(desk.store.identity().await.unwrap().as_deref(), Some("whole"));
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
