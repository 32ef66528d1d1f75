//! What an account uses: storage now, and transfer by the month.

use crate::sql::{Value, statement};
use crate::{CatalogError, ReadTx, WriteTx};
use packhouse_access::{AccountId, Collect, Granted, SeeUsage};

/// Bytes of blobs that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transfer {
    /// From whose packages.
    pub owner: AccountId,
    /// When: the year times 100 and the month, in UTC.
    pub month: i64,
    /// Whether from public packages.
    pub public: bool,
    /// How many.
    pub bytes: u64,
}

// A layer that several packages of the account share is counted once.
statement!(
    STORAGE,
    "SELECT CAST(COALESCE(SUM(b.size), 0) AS BIGINT) FROM (
       SELECT DISTINCT l.digest FROM packages p JOIN package_blobs l ON l.package_id = p.id
       WHERE p.owner_id = $1 AND p.deleted_at IS NULL AND ($2 = 1 OR p.visibility <> 2)
     ) AS held CROSS JOIN blobs b WHERE b.digest = held.digest"
);
statement!(
    TRANSFERRED,
    "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM transfers
     WHERE owner_id = $1 AND month = $2 AND public <= $3"
);
statement!(
    ADD_TRANSFER,
    "INSERT INTO transfers (owner_id, month, public, bytes) VALUES ($1, $2, $3, $4)
     ON CONFLICT (owner_id, month, public) DO UPDATE SET bytes = transfers.bytes + excluded.bytes"
);

impl<'tx> ReadTx<'_, 'tx> {
    /// Bytes of all configs and layers in the account's packages, each counted once; with `public` those of public
    /// packages too.
    pub fn storage(&mut self, may: &Granted<'tx, SeeUsage>, public: bool) -> Result<u64, CatalogError> {
        let values = [may.namespace().0.into(), Value::Int(public.into())];
        Ok(self.row(&STORAGE, &values, |row| row.size(0))?.unwrap_or(0))
    }

    /// Bytes of blobs that were sent from the account's packages in a month; with `public` those of public packages
    /// too.
    pub fn transferred(
        &mut self,
        may: &Granted<'tx, SeeUsage>,
        month: i64,
        public: bool,
    ) -> Result<u64, CatalogError> {
        let values = [may.namespace().0.into(), month.into(), Value::Int(public.into())];
        Ok(self.row(&TRANSFERRED, &values, |row| row.size(0))?.unwrap_or(0))
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Adds to what was counted before. The caller bounds how many there are, and brings them in one order, so that
    /// nobody waits in a circle.
    pub fn count_transfers(
        &mut self,
        _may: &Granted<'tx, Collect>,
        transfers: &[Transfer],
    ) -> Result<(), CatalogError> {
        for transfer in transfers {
            let bytes = i64::try_from(transfer.bytes).unwrap_or(i64::MAX);
            let public = i64::from(transfer.public);
            let values = [transfer.owner.0.into(), transfer.month.into(), public.into(), bytes.into()];
            self.execute(&ADD_TRANSFER, &values)?;
        }
        Ok(())
    }
}
