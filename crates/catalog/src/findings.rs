//! What a scrub found, kept until the next one begins.

use crate::sql::{Value, statement};
use crate::{CatalogError, Micros, ReadTx, WriteTx};
use packhouse_access::{Granted, Scrub};

/// What was done about a finding. Numbers in the catalog; never given a new meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing.
    Nothing,
    /// It is as it should be.
    Repaired,
    /// It answers as if it were not there, until it is pushed again.
    Quarantined,
}

impl Done {
    const ALL: [Done; 3] = [Done::Nothing, Done::Repaired, Done::Quarantined];

    fn number(self) -> i64 {
        match self {
            Done::Nothing => 0,
            Done::Repaired => 1,
            Done::Quarantined => 2,
        }
    }

    fn from_number(number: i64) -> Result<Done, CatalogError> {
        Done::ALL.into_iter().find(|done| done.number() == number).ok_or(CatalogError::Corrupt("finding"))
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A word for what kind of damage it is.
    pub kind: String,
    /// What is wrong.
    pub what: String,
    /// With what: package, tag, digest, key.
    pub place: String,
    /// What was done about it.
    pub done: Done,
}

statement!(
    NOTE_FINDING,
    "INSERT INTO findings (kind, what, place, done, found_at) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (kind, place, what) DO UPDATE SET done = excluded.done"
);
statement!(SETTLE_FINDINGS, "UPDATE findings SET done = $3 WHERE kind = $1 AND place = $2");
statement!(CLEAR_FINDINGS, "DELETE FROM findings WHERE id > 0");
statement!(FINDINGS, "SELECT id, kind, what, place, done FROM findings WHERE id > $1 ORDER BY id LIMIT $2");
statement!(
    FINDINGS_TOTAL,
    "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN done = 1 THEN 0 ELSE 1 END), 0) AS BIGINT) FROM findings"
);

impl<'tx> ReadTx<'_, 'tx> {
    /// What was found, at most `limit`.
    pub fn findings(&mut self, _may: &Granted<'tx, Scrub>, limit: u32) -> Result<Vec<Finding>, CatalogError> {
        self.rows(&FINDINGS, &[Value::Int(0), Value::Int(limit.into())], |row| {
            Ok(Finding {
                kind: row.text(1)?,
                what: row.text(2)?,
                place: row.text(3)?,
                done: Done::from_number(row.int(4)?)?,
            })
        })
    }

    /// How much was found, and how much of it is not repaired.
    pub fn findings_total(&mut self, _may: &Granted<'tx, Scrub>) -> Result<(u64, u64), CatalogError> {
        let total = self.row(&FINDINGS_TOTAL, &[], |row| Ok((row.size(0)?, row.size(1)?)))?;
        Ok(total.unwrap_or_default())
    }
}

impl<'tx> WriteTx<'_, 'tx> {
    /// Keeps a finding, in the transaction that does something about it; the same again is one.
    pub fn note_finding(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        finding: &Finding,
        now: Micros,
    ) -> Result<(), CatalogError> {
        let values = [
            finding.kind.as_str().into(),
            finding.what.as_str().into(),
            finding.place.as_str().into(),
            finding.done.number().into(),
            now.0.into(),
        ];
        self.execute(&NOTE_FINDING, &values).map(drop)
    }

    /// What was found before of that kind at that place has come to this.
    pub fn settle_findings(
        &mut self,
        _may: &Granted<'tx, Scrub>,
        kind: &str,
        place: &str,
        done: Done,
    ) -> Result<(), CatalogError> {
        self.execute(&SETTLE_FINDINGS, &[kind.into(), place.into(), done.number().into()]).map(drop)
    }

    /// Forgets what was found, when another scrub begins.
    pub fn clear_findings(&mut self, _may: &Granted<'tx, Scrub>) -> Result<(), CatalogError> {
        self.execute(&CLEAR_FINDINGS, &[]).map(drop)
    }
}
