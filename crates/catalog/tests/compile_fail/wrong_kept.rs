// A proof cannot be put aside for the next transaction.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

async fn keep(catalog: Catalog, presented: Presented) -> Result<(), CatalogError> {
    let mut kept = None;
    catalog
        .read(move |tx| {
            let caller = tx.caller(&presented, Micros(0))?.ok_or(CatalogError::Busy)?;
            let facts = tx.facts(&caller, "mona/app")?;
            kept = decide::<Pull>(&facts).ok();
            Ok::<(), CatalogError>(())
        })
        .await
}

fn main() {}
