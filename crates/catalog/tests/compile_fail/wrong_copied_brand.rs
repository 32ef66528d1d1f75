// Nor is one copied.

use packhouse_access::with_brand;

fn main() {
    with_brand(|brand| drop(brand.clone()));
}
