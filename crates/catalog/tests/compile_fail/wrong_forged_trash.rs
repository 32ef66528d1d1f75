// What the blob store removes is made by the catalog alone.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn forge() -> TrashedKey {
    TrashedKey { key: String::from("blobs/aa/00000000000000000000000000000000"), store_state: Vec::new(), epoch: 0 }
}

fn main() {}
