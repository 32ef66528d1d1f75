//! Copies of an embedded catalog in its blob store, on a schedule: losing the catalog's disk costs one interval.
//!
//! One process has an embedded catalog, so no lease decides who takes them. The order: a hold, so that nothing a kept
//! snapshot names is removed; the snapshot; the old ones go; the hold then begins where the oldest kept one was made.

use super::{CopyError, name_of, read, store_copy, time_of, write};
use crate::Service;
use bytes::Bytes;
use packhouse_catalog::{CatalogError, Dumped, Micros, Presented, StoreCopy};
use packhouse_oci::{Algorithm, Digest};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;

/// The name of the hold on what kept snapshots name.
pub(super) const HOLD: &str = "snapshots";
/// What is gathered before it is sent.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces on their way.
const PIECES: usize = 4;

/// The snapshots of one house.
pub struct Snapshots {
    service: Service,
    interval: Duration,
    keep: usize,
    /// What the newest one holds, and the last time when the catalog held just that.
    newest: Option<(Digest, Micros)>,
}

impl Service {
    /// Snapshots as often as `interval` says, of which so many are kept: those, and none older than that many
    /// intervals but the newest.
    pub fn snapshots(&self, interval: Duration, keep: u32) -> Snapshots {
        Snapshots { service: self.clone(), interval, keep: keep.max(1) as usize, newest: None }
    }

    /// Without snapshots nothing is held for those that are there.
    pub async fn without_snapshots(&self) -> Result<(), CopyError> {
        let now = self.clock.now();
        write(&self.catalog, &Presented::Worker, now, |tx, may| Ok(tx.end_hold(may, HOLD)?)).await.map(drop)
    }
}

impl Snapshots {
    /// How long to wait for the first one: an interval behind the newest that is there.
    pub async fn first(&self) -> Result<Duration, CopyError> {
        let now = self.service.clock.now();
        let may = store_copy(&self.service.catalog, &Presented::Worker, now).await?;
        let newest = self.service.store.snapshots(&may).await?.pop();
        let Some(made) = newest.and_then(|newest| time_of(newest.name())) else { return Ok(self.interval) };
        let passed = Duration::from_micros(u64::try_from(now.0.saturating_sub(made.0)).unwrap_or(0));
        Ok(self.interval.saturating_sub(passed))
    }

    /// Takes a snapshot if something was changed since the last one, and removes old ones; its name, if it took one.
    pub async fn round(&mut self) -> Result<Option<String>, CopyError> {
        let service = self.service.clone();
        let now = service.clock.now();
        let may = store_copy(&service.catalog, &Presented::Worker, now).await?;
        let oldest = service.store.snapshots(&may).await?.first().and_then(|oldest| time_of(oldest.name()));
        self.hold(oldest.map_or(now, |oldest| oldest.min(now))).await?;

        let looked =
            read(&service.catalog, &Presented::Worker, now, move |tx, may| Ok(tx.dump(may, now, None)?));
        let content = looked.await?.content;
        let same = oldest.is_some() && self.newest.is_some_and(|(newest, _)| newest == content);
        let name = (!same).then(|| name_of(now));
        let content = match &name {
            Some(name) => self.write(&may, name, now).await?.content,
            None => content,
        };
        self.newest = Some((content, now));
        self.prune(&may, now).await?;
        Ok(name)
    }

    async fn hold(&self, since: Micros) -> Result<(), CopyError> {
        let now = self.service.clock.now();
        write(&self.service.catalog, &Presented::Worker, now, move |tx, may| {
            Ok(tx.hold(may, HOLD, since, Micros(i64::MAX))?)
        })
        .await
    }

    /// The catalog's thread gives pieces, which go to the store one after another.
    async fn write(&self, may: &StoreCopy, name: &str, now: Micros) -> Result<Dumped, CopyError> {
        let (pieces, mut coming) = mpsc::channel(PIECES);
        let mut pieces = Some(pieces);
        let dumping = read(&self.service.catalog, &Presented::Worker, now, move |tx, may| {
            // Run again it would append to what it gave before. The next round tries again.
            let to = pieces.take().ok_or(CopyError::Ended)?;
            let mut out = Pieces { gathered: Vec::new(), to };
            let dumped = tx.dump(may, now, Some(&mut out))?;
            out.send().map_err(CatalogError::Copy)?;
            Ok(dumped)
        });
        // When it ends early, whoever still gives is told that nobody takes.
        let storing = async move {
            let mut writer = self.service.store.snapshot_writer(may, name).await?;
            while let Some(piece) = coming.recv().await {
                writer = writer.write(vec![piece]).await?;
            }
            Ok::<_, CopyError>(writer)
        };
        let (dumped, writer) = tokio::join!(dumping, storing);
        match (dumped, writer) {
            (Ok(dumped), Ok(writer)) => {
                let (writer, digest) = writer.digest(Algorithm::Sha256).await?;
                writer.finish(digest).await?;
                Ok(dumped)
            }
            (_, Err(error)) => Err(error),
            (Err(error), Ok(writer)) => {
                let _ = writer.cut(0).await;
                Err(error)
            }
        }
    }

    async fn prune(&self, may: &StoreCopy, now: Micros) -> Result<(), CopyError> {
        let store = &self.service.store;
        let mut kept = store.snapshots(may).await?;
        let seconds = self.interval.as_secs().saturating_mul(self.keep as u64);
        let oldest = now.minus_seconds(seconds);
        let old = |name: &str| time_of(name).is_none_or(|made| made < oldest);
        while kept.len() > 1 && (kept.len() > self.keep || old(kept[0].name())) {
            store.remove_snapshot(may, &kept.remove(0)).await?;
        }
        // The newest one names what the catalog named when it was last found to hold the same: nothing that lay in the
        // trash by then. Else a house that rests would hold for ever what was trashed just before.
        let since = match (kept.as_slice(), self.newest) {
            ([_], Some((_, same_at))) => Some(same_at),
            (kept, _) => kept.first().and_then(|oldest| time_of(oldest.name())),
        };
        match since {
            Some(since) => self.hold(since.min(now)).await,
            None => Ok(()),
        }
    }
}

/// Takes bytes on a thread of the catalog.
struct Pieces {
    gathered: Vec<u8>,
    to: mpsc::Sender<Bytes>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        self.to.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
