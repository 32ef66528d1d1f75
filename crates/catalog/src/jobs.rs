//! Work that one node at a time does: leases by the database's clock, which all nodes share.

use crate::sql::{Value, statement};
use crate::{CatalogError, WriteTx};
use packhouse_access::{Collect, Granted};

statement!(JOB_KNOWN, "SELECT name FROM jobs WHERE name = $1");
statement!(ADD_JOB, "INSERT INTO jobs (name, leased_until) VALUES ($1, 0) ON CONFLICT DO NOTHING");
// Whoever is taking it now has it: nobody waits.
statement!(
    CLAIM_JOB,
    "SELECT name FROM jobs WHERE name = $1 AND (leased_until <= {now} OR holder = $2) {skip}"
);
statement!(
    LEASE_JOB,
    "UPDATE jobs SET holder = $2, leased_until = {now} + CAST($3 AS BIGINT) WHERE name = $1"
);
statement!(
    END_JOB,
    "UPDATE jobs SET holder = NULL, leased_until = 0, ran_at = {now} WHERE name = $1 AND holder = $2"
);

impl<'tx> WriteTx<'_, 'tx> {
    /// Takes a job, or goes on having it, for some seconds; whether it is the holder's now. A holder that dies loses
    /// it when they are over.
    pub fn lease_job(
        &mut self,
        _may: &Granted<'tx, Collect>,
        name: &str,
        holder: &str,
        seconds: u32,
    ) -> Result<bool, CatalogError> {
        // Only the first time: inserting what somebody is just updating would wait for them.
        if self.row(&JOB_KNOWN, &[name.into()], |_| Ok(()))?.is_none() {
            self.execute(&ADD_JOB, &[name.into()])?;
        }
        let free = self.row(&CLAIM_JOB, &[name.into(), holder.into()], |_| Ok(()))?.is_some();
        if free {
            let micros = i64::from(seconds) * 1_000_000;
            self.execute(&LEASE_JOB, &[name.into(), holder.into(), Value::Int(micros)])?;
        }
        Ok(free)
    }

    /// Gives a job back, done for this time.
    pub fn end_job(
        &mut self,
        _may: &Granted<'tx, Collect>,
        name: &str,
        holder: &str,
    ) -> Result<(), CatalogError> {
        self.execute(&END_JOB, &[name.into(), holder.into()]).map(drop)
    }
}
