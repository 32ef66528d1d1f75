// What the blob store removes is made by the catalog alone.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn forge() -> TrashedKey {
    let key = String::from("blobs/aa/00000000000000000000000000000000");
    TrashedKey { key, size: 1, store_state: Vec::new(), epoch: 0 }
}

fn main() {}
