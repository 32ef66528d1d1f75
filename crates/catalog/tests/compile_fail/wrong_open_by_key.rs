// The blob store opens no key and no digest.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

async fn open(store: packhouse_blobs::BlobStore, digest: Digest) {
    let _ = store.reader(&digest, 0, 1).await;
}

fn main() {}
