//! Looking at the whole store, for who compares it with the catalog.

use crate::ReadTx;
use packhouse_access::{Collect, Granted, Scrub};

/// The right to list what lies in the blob store, and to read what is listed. No request of a client has it.
#[derive(Clone, Debug)]
pub struct StoreWalk(());

impl<'tx> ReadTx<'_, 'tx> {
    /// Lets a worker list the blob store.
    pub fn store_walk(&mut self, _may: &Granted<'tx, Collect>) -> StoreWalk {
        StoreWalk(())
    }

    /// Lets who scrubs list and read the blob store.
    pub fn scrub_walk(&mut self, _may: &Granted<'tx, Scrub>) -> StoreWalk {
        StoreWalk(())
    }
}
