// Rules that were asked in one transaction say nothing in another.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn push<'one, 'other>(
    tx: &mut WriteTx<'_, 'one>,
    may: &Granted<'one, Push>,
    to: &TagMove<'other>,
) -> Result<(), CatalogError> {
    tx.move_tag(may, to, Micros(0))
}

fn main() {}
