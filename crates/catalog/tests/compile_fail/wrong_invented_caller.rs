// A caller of one brand has no facts in another.

use packhouse_access::{Caller, Pull, Scopes, Who, decide, with_brand};
use packhouse_catalog::{Catalog, CatalogError};

async fn pull(catalog: Catalog) {
    let _ = catalog
        .read::<_, CatalogError>(move |tx| {
            with_brand(|brand| {
                let caller = Caller::new(&brand, Who::Operator, None, Scopes::ALL, None);
                let facts = tx.facts(&caller, "mona/secret")?;
                Ok(decide::<Pull>(&facts).is_ok())
            })
        })
        .await;
}

fn main() {
    let _ = pull;
}
