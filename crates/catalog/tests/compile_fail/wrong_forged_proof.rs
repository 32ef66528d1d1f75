// A proof has no constructor and no public field.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn forge<'tx>() -> Granted<'tx, Push> {
    Granted { package: None, namespace: None, path: String::new(), account: None }
}

fn main() {}
