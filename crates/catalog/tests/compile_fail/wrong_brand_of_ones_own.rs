// A brand of one's own makes facts, but no transaction takes a proof from them.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn smuggle<'tx>(tx: &mut WriteTx<'_, 'tx>, to: &TagMove<'tx>) -> Result<(), CatalogError> {
    with_brand(|brand| {
        let caller = Caller::new(&brand, Who::Operator, None, Scopes::ALL, None);
        let package = Some((PackageId(1), Visibility::Public));
        let facts = PackageFacts::new(&brand, &caller, "mona/app", None, Standing::Owner, package, None);
        let Ok(may) = decide::<Push>(&facts) else { return Ok(()) };
        tx.move_tag(&may, to, Micros(0))
    })
}

fn main() {}
