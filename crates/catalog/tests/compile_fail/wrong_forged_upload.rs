// What the blob store writes comes from the catalog: over another blob's key, it would cut that blob.

use packhouse_catalog::Upload;

fn forge() -> Upload {
    Upload {
        id: "one".to_owned(),
        key: "blobs/00/00000000000000000000000000000000".to_owned(),
        received: 0,
        hash_state: Vec::new(),
        finished: None,
        store_state: Vec::new(),
        epoch: 0,
    }
}

fn main() {
    let _ = forge;
}
