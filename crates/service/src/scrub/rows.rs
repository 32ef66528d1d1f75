//! The catalog against itself, and manifests against their digests.

use super::{State, Step};
use crate::error::Fault;
use packhouse_catalog::{Done, ManifestDamage, SCRUB_ROWS_MAX, ScrubTable};

/// Manifests of one look.
const MANIFESTS: u32 = 100;

impl Step<'_> {
    /// Whether it was the last of them.
    pub(super) async fn look_at_manifests(&mut self, state: &mut State) -> Result<bool, Fault> {
        let after = state.number;
        let (last, count, damaged) =
            self.service.scrub_read(move |tx, may| tx.scrub_manifests(may, after, MANIFESTS)).await?;
        let (repair, now) = (state.repair, self.service.clock.now());
        for damaged in damaged {
            let (kind, what) = match damaged.damage {
                ManifestDamage::Bytes => {
                    ("manifest-bytes", "the bytes of a manifest do not hash to its digest")
                }
                ManifestDamage::Marked => ("manifest-whole", "a quarantined manifest whose bytes are right"),
                ManifestDamage::Noted => {
                    ("manifest-noted", "what is noted of a manifest is not what it says")
                }
            };
            let what = located(what, &damaged.paths);
            let place = damaged.digest.to_string();
            self.settle(state, (kind, what, place), move |tx, may| {
                if repair { tx.repair_manifest(may, &damaged, now) } else { Ok(Some(Done::Nothing)) }
            })
            .await?;
        }
        state.rows += count;
        if let Some(last) = last {
            state.number = last;
        }
        Ok(last.is_none())
    }

    /// Whether it was the last of them.
    pub(super) async fn look_at_rows(&mut self, state: &mut State, table: ScrubTable) -> Result<bool, Fault> {
        let after = state.number;
        let (until, found) =
            self.service.scrub_read(move |tx, may| tx.scrub_range(may, table, after)).await?;
        let (repair, now) = (state.repair, self.service.clock.now());
        let (count, mut repaired) = (found.len(), false);
        for found in found {
            let key = if repair && found.needs_key() {
                packhouse_blobs::new_key().map_err(Fault::Blobs)?
            } else {
                String::new()
            };
            let what = (found.kind, found.what.to_owned(), found.place.clone());
            let done = self
                .settle(state, what, move |tx, may| {
                    if !repair {
                        return Ok(Some(Done::Nothing));
                    }
                    Ok(tx.repair(may, &found, &key, now)?.then_some(Done::Repaired))
                })
                .await?;
            repaired |= done == Some(Done::Repaired);
        }
        state.rows += 1;
        if count >= SCRUB_ROWS_MAX && repaired {
            // There may be more of them than one look shows.
            return Ok(false);
        }
        if let Some(until) = until {
            state.number = until;
        }
        Ok(until.is_none())
    }
}

/// What is wrong, and where it is missed.
pub(super) fn located(what: &str, paths: &[String]) -> String {
    match paths {
        [] => what.to_owned(),
        paths => format!("{what}; in {}", paths.join(", ")),
    }
}
