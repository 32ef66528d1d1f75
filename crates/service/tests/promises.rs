//! What a client was told stays true for as long as it may build on it.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use bytes::Bytes;
use http_body_util::Full;
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Micros, Options, Place};
use packhouse_oci::{Algorithm, Digest, PackageName};
use packhouse_service::{Clock, Part, Service, Settings, Shown};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const SECOND: i64 = 1_000_000;
const GRACE: i64 = 24 * 3600;

struct Watch(AtomicI64);

impl Watch {
    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds * SECOND, Ordering::SeqCst);
    }
}

impl Clock for Watch {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

/// The answer to a PUT was lost, and the client asks again when the pin of the first answer is nearly over. The second
/// 201 is a promise too.
#[tokio::test]
async fn a_put_sent_again_keeps_its_blob_as_long_as_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&Options::new(Place::Sqlite(folder.path().join("catalog.sqlite")))).unwrap();
    let watch = Arc::new(Watch(AtomicI64::new(1_767_225_600 * SECOND)));
    let clock: Arc<dyn Clock> = Arc::clone(&watch) as Arc<dyn Clock>;
    let store = BlobStore::files(folder.path()).unwrap();
    let settings = Settings::new("admin".parse().unwrap());
    let (service, first) = Service::start(catalog, store, clock, settings).await.unwrap();
    let admin = Shown::Bearer(first.unwrap().token.reveal().to_owned());
    let name: PackageName = "admin/app".parse().unwrap();
    let digest = Digest::of(Algorithm::Sha256, b"layer");
    let session = service.begin_upload(&admin, &name, Algorithm::Sha256).await.unwrap();
    let put = async |bytes: &'static [u8]| {
        let body = Full::new(Bytes::from_static(bytes));
        service.finish_upload(&admin, &name, &session.id, digest, Part::default(), body).await
    };
    put(b"layer").await.unwrap();
    watch.pass(GRACE - 60);
    put(b"").await.unwrap();
    watch.pass(GRACE - 60);
    service.sweep().await.unwrap();
    assert_eq!(service.blob(&admin, &name, digest).await.unwrap().size(), 5);
    // And no longer.
    watch.pass(120);
    while service.sweep().await.unwrap().more {}
    service.blob(&admin, &name, digest).await.unwrap_err();
}
