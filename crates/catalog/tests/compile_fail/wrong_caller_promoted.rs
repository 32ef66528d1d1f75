// Who somebody is cannot be changed afterwards.

use packhouse_access::{Caller, Who};

fn promote(caller: &mut Caller<'_>) {
    caller.who = Who::Operator;
}

fn main() {
    let _ = promote;
}
