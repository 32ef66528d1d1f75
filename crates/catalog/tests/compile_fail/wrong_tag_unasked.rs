// The right to push moves no tag until the rules about tags were asked.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn push<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Push>,
    at: &TagAt<'tx>,
) -> Result<(), CatalogError> {
    tx.move_tag(may, at, Micros(0))
}

fn main() {}
