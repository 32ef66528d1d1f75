// A tag that may be moved is not one that may be deleted.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn delete<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Delete>,
    to: &TagMove<'tx>,
) -> Result<bool, CatalogError> {
    tx.delete_tag(may, to, Micros(0))
}

fn main() {}
