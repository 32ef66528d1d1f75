// A push: facts, decision and change in one transaction.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

async fn push(catalog: Catalog, presented: Presented, tag: Tag, version: VersionId) -> Result<(), CatalogError> {
    catalog
        .write(move |tx| {
            let Some(caller) = tx.caller(&presented, Micros(0))? else { return Ok(()) };
            let facts = tx.facts(&caller, "mona/app")?;
            let Ok(may) = decide::<Push>(&facts) else { return Ok(()) };
            tx.move_tag(&may, &tag, version, Micros(0))
        })
        .await
}

fn main() {}
