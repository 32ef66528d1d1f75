// Facts cannot leave their transaction either: a decision on old ones would be one on a lie.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

async fn keep(catalog: Catalog, presented: Presented) -> Result<(), CatalogError> {
    let _kept = catalog
        .read(move |tx| {
            let caller = tx.caller(&presented, Micros(0))?.ok_or(CatalogError::Busy)?;
            tx.facts(&caller, "mona/app")
        })
        .await?;
    Ok(())
}

fn main() {}
