// A transaction that reads has no functions that write.

use packhouse_catalog::{Catalog, CatalogError};

async fn write(catalog: Catalog) {
    let _ = catalog.read::<_, CatalogError>(|tx| tx.put_setting("name", "value")).await;
}

fn main() {
    let _ = write;
}
