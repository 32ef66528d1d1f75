// A brand is opened by the catalog's transactions, and cannot be made.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn forge<'tx>() -> Brand<'tx> {
    Brand(std::marker::PhantomData)
}

fn main() {}
