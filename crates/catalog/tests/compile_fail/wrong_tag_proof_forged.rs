// What the rules let go is said by them only.
use packhouse_access::*;
use packhouse_catalog::*;
use packhouse_oci::*;

fn end<'tx>(at: TagAt<'tx>) -> TagEnd<'tx> {
    TagEnd(at)
}

fn version<'tx>(package: PackageId, version: VersionId) -> VersionEnd<'tx> {
    VersionEnd { package, version, _of: std::marker::PhantomData }
}

fn main() {}
