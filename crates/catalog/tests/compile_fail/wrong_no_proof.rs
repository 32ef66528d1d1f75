// There is no way to a tag without a proof.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn push<'tx>(tx: &mut WriteTx<'_, 'tx>, to: &TagMove<'tx>) -> Result<(), CatalogError> {
    tx.move_tag(to, Micros(0))
}

fn main() {}
