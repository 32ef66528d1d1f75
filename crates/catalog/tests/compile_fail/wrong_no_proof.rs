// There is no way to a tag without a proof.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn push(tx: &mut WriteTx<'_, '_>, tag: &Tag, version: VersionId) -> Result<(), CatalogError> {
    tx.move_tag(tag, version, Micros(0))
}

fn main() {}
