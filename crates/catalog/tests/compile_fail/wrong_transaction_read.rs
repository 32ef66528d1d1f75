// A proof of one transaction reads nothing in another.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn pull<'one, 'other>(
    tx: &mut ReadTx<'_, 'one>,
    may: &Granted<'other, Pull>,
    digest: &Digest,
) -> Result<Option<ReadableBlob>, CatalogError> {
    tx.blob(may, digest)
}

fn main() {}
