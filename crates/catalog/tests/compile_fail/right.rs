// A push: facts, decisions and change in one transaction.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

async fn push(catalog: Catalog, presented: Presented, tag: Tag, version: VersionId) -> Result<(), CatalogError> {
    catalog
        .write(move |tx| {
            let Some(caller) = tx.caller(&presented, Micros(0))? else { return Ok(()) };
            let facts = tx.facts(&caller, "mona/app")?;
            let Ok(may) = decide::<Push>(&facts) else { return Ok(()) };
            let rules = tx.tag_rules(&may)?;
            let at = tx.tag_at(&may, &tag)?;
            let Ok(to) = decide_tag_move(&may, &rules, at, version) else { return Ok(()) };
            tx.move_tag(&may, &to, Micros(0))
        })
        .await
}

fn main() {}
