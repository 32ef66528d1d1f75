// The blob store takes no proof: what the catalog found for it is what it opens.

use packhouse_access::{Granted, Pull, decide};
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, CatalogError, Micros, Presented};

fn open(store: &BlobStore, may: &Granted<'_, Pull>) {
    drop(store.reader(may, 0, 1));
}

async fn carry(catalog: Catalog, store: BlobStore) {
    let _ = catalog
        .read::<_, CatalogError>(move |tx| {
            let caller = tx.caller(&Presented::Worker, Micros(1))?.unwrap();
            let facts = tx.facts(&caller, "mona/secret")?;
            open(&store, &decide::<Pull>(&facts).unwrap());
            Ok(())
        })
        .await;
}

fn main() {
    let _ = carry;
}
