//! The store against the catalog: what lies there is named by a row, and what a row needs is not thrown away.

use super::bytes::{DAMAGED, Hashing};
use super::{State, Step};
use crate::error::Fault;
use packhouse_blobs::Stored;
use packhouse_catalog::Done;
use packhouse_oci::{Algorithm, Digest};

/// Rows or keys of one look.
const BATCH: u32 = 200;
/// Damaged blobs of one length that bytes of unknown origin are compared with.
const DAMAGED_MAX: u32 = 100;

impl Step<'_> {
    /// Whether it was the last of them.
    pub(super) async fn look_at_uploads(&mut self, state: &mut State) -> Result<bool, Fault> {
        // Parts of an upload in a bucket are seen by nobody but the engine until it is complete.
        if self.service.store.is_shared() {
            return Ok(true);
        }
        let after = state.text.clone();
        let uploads = self.service.scrub_read(move |tx, may| tx.scrub_uploads(may, &after, BATCH)).await?;
        let ended = uploads.len() < BATCH as usize;
        let (repair, now) = (state.repair, self.service.clock.now());
        for upload in uploads {
            state.text.clone_from(&upload.id);
            state.rows += 1;
            if upload.finished || upload.received == 0 {
                continue;
            }
            let found = match self.service.store.stat(&self.walk, &upload.key).await {
                Err(error) if error.is_foreign() => None,
                found => found?,
            };
            if found.is_some_and(|found| found >= upload.received) {
                continue;
            }
            let what = "an upload session has acknowledged bytes that are not there".to_owned();
            let place = format!("{} upload {}", upload.path, upload.id);
            self.settle(state, ("upload-lost", what, place), move |tx, may| {
                if !repair {
                    return Ok(tx.upload_stands(may, &upload)?.then_some(Done::Nothing));
                }
                Ok(tx.end_lost_upload(may, &upload, now)?.then_some(Done::Repaired))
            })
            .await?;
        }
        Ok(ended)
    }

    /// Whether it was the last of them.
    pub(super) async fn look_at_trash(&mut self, state: &mut State) -> Result<bool, Fault> {
        let after = state.text.clone();
        let keys = self.service.scrub_read(move |tx, may| tx.scrub_trash(may, &after, BATCH)).await?;
        let ended = keys.len() < BATCH as usize;
        let repair = state.repair;
        for (key, needed) in keys {
            state.text.clone_from(&key);
            state.rows += 1;
            if !needed {
                continue;
            }
            let what = "bytes that are needed are about to be removed".to_owned();
            self.settle(state, ("trash-in-use", what, key.clone()), move |tx, may| {
                if !repair {
                    return Ok(Some(Done::Nothing));
                }
                Ok(tx.take_out_of_trash(may, &key)?.then_some(Done::Repaired))
            })
            .await?;
        }
        Ok(ended)
    }

    /// Whether it was the last of them.
    pub(super) async fn look_at_store(&mut self, state: &mut State) -> Result<bool, Fault> {
        let after = Some(state.text.as_str()).filter(|text| !text.is_empty());
        let listed = self.service.store.list(&self.walk, after, BATCH as usize).await?;
        let ended = listed.len() < BATCH as usize;
        let keys: Vec<String> = listed.iter().map(|stored| stored.key.clone()).collect();
        // After the list: whatever has bytes had its row before.
        let named = self
            .service
            .scrub_read(move |tx, may| {
                keys.iter().map(|key| tx.is_key_named(may, key)).collect::<Result<Vec<bool>, _>>()
            })
            .await?;
        for (stored, named) in listed.into_iter().zip(named) {
            if !named && (self.is_spent() || !self.look_at_extra(state, &stored).await?) {
                return Ok(false);
            }
            state.text = stored.key;
            state.rows += 1;
        }
        Ok(ended)
    }

    /// Looks at something that no row names; `false` when the step's share of bytes ended before it was hashed.
    async fn look_at_extra(&mut self, state: &mut State, stored: &Stored) -> Result<bool, Fault> {
        self.cost += 1;
        let (repair, now) = (state.repair, self.service.clock.now());
        let size = match self.service.store.stat(&self.walk, &stored.key).await {
            Ok(Some(size)) => size,
            // Removed since, with its row.
            Ok(None) => return Ok(true),
            Err(error) if error.is_foreign() => {
                let what = "packhouse gives no such name; remove it by hand".to_owned();
                self.settle(state, ("store-stranger", what, stored.key.clone()), |_, _| {
                    Ok(Some(Done::Nothing))
                })
                .await?;
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        let stored = Stored { key: stored.key.clone(), size };
        let lost = if repair { self.lost(size).await? } else { Vec::new() };
        if !lost.is_empty() {
            let kept =
                state.hashing.take().filter(|hashing| (&hashing.key, hashing.size) == (&stored.key, size));
            let mut hashing = kept.unwrap_or_else(|| Hashing::new(&stored, &algorithms(&lost)));
            match self.hash(state, &mut hashing).await {
                Ok(None) => {
                    state.hashing = Some(hashing);
                    return Ok(false);
                }
                Ok(Some(digests)) => {
                    if let Some(digest) = lost.into_iter().find(|digest| digests.contains(digest))
                        && self.rescue(state, &stored, digest).await?
                    {
                        return Ok(true);
                    }
                }
                Err(error) if error.is_absent() => return Ok(true),
                // Bytes that cannot be read are nobody's.
                Err(error) if error.is_unreadable() || error.is_length() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let trash_at = self.service.pinned_until();
        let what = "no row names these bytes".to_owned();
        self.settle(state, ("store-extra", what, stored.key.clone()), move |tx, may| {
            if !repair {
                return Ok((!tx.is_key_named(may, &stored.key)?).then_some(Done::Nothing));
            }
            Ok(tx.trash_unnamed(may, &stored.key, size, now, trash_at)?.then_some(Done::Repaired))
        })
        .await?;
        Ok(true)
    }

    async fn lost(&self, size: u64) -> Result<Vec<Digest>, Fault> {
        self.service.scrub_read(move |tx, may| tx.damaged_of_size(may, size, DAMAGED_MAX)).await
    }

    /// Puts bytes in the place of a damaged blob's; whether it was still damaged.
    async fn rescue(&self, state: &mut State, stored: &Stored, digest: Digest) -> Result<bool, Fault> {
        let (now, trash_at) = (self.service.clock.now(), self.service.pinned_until());
        let stored = stored.clone();
        let what = format!("no row names these bytes; they are those of the damaged blob {digest}");
        let rescued = self
            .settle(state, ("store-extra", what, stored.key.clone()), move |tx, may| {
                if !tx.rescue_blob(may, &digest, stored.size, &stored.key, now, trash_at)? {
                    return Ok(None);
                }
                for kind in DAMAGED {
                    tx.settle_findings(may, kind, &digest.to_string(), Done::Repaired)?;
                }
                Ok(Some(Done::Repaired))
            })
            .await?;
        Ok(rescued.is_some())
    }
}

fn algorithms(digests: &[Digest]) -> Vec<Algorithm> {
    let mut algorithms: Vec<Algorithm> = Vec::new();
    for digest in digests {
        if !algorithms.contains(&digest.algorithm()) {
            algorithms.push(digest.algorithm());
        }
    }
    algorithms
}
