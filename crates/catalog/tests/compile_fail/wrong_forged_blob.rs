// What the blob store opens is made by the catalog alone.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn forge(digest: Digest) -> ReadableBlob {
    let key = "blobs/aa/00000000000000000000000000000000".into();
    ReadableBlob { digest, size: 1, key, pinned_until: Micros(0) }
}

fn main() {}
