// A proof of one transaction is none in another.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn push<'one, 'other>(
    tx: &mut WriteTx<'_, 'one>,
    may: &Granted<'other, Push>,
    to: &TagMove<'one>,
) -> Result<(), CatalogError> {
    tx.move_tag(may, to, Micros(0))
}

fn main() {}
