// A caller is known by a transaction.

use packhouse_access::{Caller, Scopes, Who};
use std::marker::PhantomData;

fn forge<'tx>() -> Caller<'tx> {
    Caller { who: Who::Operator, token: None, scopes: Scopes::ALL, bound: None, _of: PhantomData }
}

fn main() {
    let _ = forge;
}
