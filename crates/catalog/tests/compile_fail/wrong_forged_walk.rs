// Who lists the blob store was given that by the catalog.
use packhouse_catalog::StoreWalk;

fn forge() -> StoreWalk {
    StoreWalk(())
}

fn main() {
    let _ = forge;
}
