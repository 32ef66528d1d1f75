// A proof of pushing is none of deleting.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn delete<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Push>,
    end: &VersionEnd<'tx>,
) -> Result<(), CatalogError> {
    tx.delete_version(may, end, Micros(0))
}

fn main() {}
