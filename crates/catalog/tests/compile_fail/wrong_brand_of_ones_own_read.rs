// Facts can be invented in a brand of one's own, but what is decided on them reads nothing.

use packhouse_access::{Caller, PackageFacts, PackageId, Pull, Scopes, Standing, Visibility, Who, decide, with_brand};
use packhouse_catalog::{Catalog, CatalogError};
use packhouse_oci::Digest;

async fn pull(catalog: Catalog, digest: Digest) {
    let _ = catalog
        .read::<_, CatalogError>(move |tx| {
            with_brand(|brand| {
                let caller = Caller::new(&brand, Who::Operator, None, Scopes::ALL, None);
                let package = Some((PackageId(1), Visibility::Public));
                let facts = PackageFacts::new(&brand, &caller, "a/b", None, Standing::Owner, package, None);
                let may = decide::<Pull>(&facts).unwrap();
                tx.blob(&may, &digest)
            })
        })
        .await;
}

fn main() {
    let _ = pull;
}
