// Only the catalog makes transactions.

use packhouse_catalog::{ReadTx, WriteTx};

fn promote<'c, 'tx>(tx: ReadTx<'c, 'tx>) -> WriteTx<'c, 'tx> {
    WriteTx(tx)
}

fn main() {
    let _ = promote;
}
