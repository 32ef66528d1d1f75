// A proof of the first transaction says nothing about the second: what it was decided on may have changed.

use packhouse_access::{Pull, decide};
use packhouse_catalog::{Catalog, CatalogError, Micros, Presented};
use packhouse_oci::Digest;

async fn pull(catalog: Catalog, digest: Digest) {
    let second = catalog.clone();
    let _ = catalog
        .read::<_, CatalogError>(move |tx| {
            let caller = tx.caller(&Presented::Worker, Micros(1))?.unwrap();
            let facts = tx.facts(&caller, "mona/secret")?;
            let may = decide::<Pull>(&facts).unwrap();
            drop(second.read::<_, CatalogError>(move |tx| tx.blob(&may, &digest)));
            Ok(())
        })
        .await;
}

fn main() {
    let _ = pull;
}
