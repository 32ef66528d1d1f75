// Who may list packages may not list accounts.

use packhouse_access::decide_list;
use packhouse_catalog::{AccountKind, Catalog, CatalogError, Micros, Presented};

async fn list(catalog: Catalog) {
    let _ = catalog
        .read::<_, CatalogError>(move |tx| {
            let caller = tx.caller(&Presented::Worker, Micros(1))?.unwrap();
            let may = decide_list(&caller).unwrap();
            tx.accounts(&may, AccountKind::User, "", 10)
        })
        .await;
}

fn main() {
    let _ = list;
}
