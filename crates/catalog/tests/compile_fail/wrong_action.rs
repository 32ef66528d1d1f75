// A proof of pulling is none of pushing.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn push<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Pull>,
    to: &TagMove<'tx>,
) -> Result<(), CatalogError> {
    tx.move_tag(may, to, Micros(0))
}

fn main() {}
