// A closure is a plain function: it cannot hold a proof while the blob store works.

use packhouse_access::{Pull, decide};
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, CatalogError, Micros, Presented};
use packhouse_oci::Digest;

async fn carry(catalog: Catalog, store: BlobStore, digest: Digest) {
    let _ = catalog
        .read::<_, CatalogError>(move |tx| {
            let caller = tx.caller(&Presented::Worker, Micros(1))?.unwrap();
            let facts = tx.facts(&caller, "mona/secret")?;
            let may = decide::<Pull>(&facts).unwrap();
            let blob = tx.blob(&may, &digest)?.unwrap();
            let _ = store.reader(&blob, 0, 1).await;
            tx.blob(&may, &digest)
        })
        .await;
}

fn main() {
    let _ = carry;
}
