// A proof cannot leave its transaction.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

async fn keep(catalog: Catalog, presented: Presented) -> Result<(), CatalogError> {
    let _kept = catalog
        .read(move |tx| {
            let caller = tx.caller(&presented, Micros(0))?.ok_or(CatalogError::Busy)?;
            let facts = tx.facts(&caller, "mona/app")?;
            decide::<Pull>(&facts).map_err(|_| CatalogError::Busy)
        })
        .await?;
    Ok(())
}

fn main() {}
