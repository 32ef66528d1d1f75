//! Who writes an upload session, where several nodes share a store.
//!
//! A request takes a lease in the catalog before it reads what was acknowledged, holds it on while it works, and gives
//! it back with what it records. So any node goes on with a session that another one began. A node that stands still
//! for longer than its lease finds at its end that the number of the lease is another one: it has acknowledged nothing.
//!
//! With files there is one process, whose claims in memory are enough.

use crate::access::may_change;
use crate::{Service, UploadError};
use packhouse_access::Push;
use packhouse_catalog::{Leased, Presented, Room, Upload};
use packhouse_oci::{Digest, PackageName};
use std::convert::Infallible;
use std::time::Duration;

impl Service {
    /// Takes the lease of a session, which is then as it was last acknowledged; a finished one needs none. With what room
    /// there is for its bytes.
    pub(crate) async fn lease(
        &self,
        presented: &Presented,
        name: &PackageName,
        id: &str,
        known: Option<Digest>,
    ) -> Result<(Upload, Option<Room>), UploadError> {
        let (presented, name, id) = (presented.clone(), name.clone(), id.to_owned());
        let (now, seconds) = (self.clock.now(), self.settings.lease_seconds);
        let leased = self.catalog.write(move |tx| {
            let may = may_change::<Push, UploadError>(tx, &presented, &name, now)?;
            let leased = tx.lease_upload(&may, &id, now, seconds)?;
            Ok::<_, UploadError>((leased, tx.room(&may, &id, known.as_ref())?))
        });
        let (leased, room) = leased.await?;
        match leased {
            Some(Leased::Taken(upload) | Leased::Finished(upload)) => Ok((upload, room)),
            Some(Leased::Held) => Err(UploadError::Busy),
            None => Err(UploadError::Unknown),
        }
    }

    /// Works on a session and holds its lease meanwhile. Work that failed gives it back, for the client's next try.
    pub(crate) async fn under_lease<T>(
        &self,
        held: &Upload,
        work: impl Future<Output = Result<T, UploadError>>,
    ) -> Result<T, UploadError> {
        if !self.store.is_shared() {
            return work.await;
        }
        let done = tokio::select! {
            biased;
            done = work => done,
            never = self.hold(held) => match never {},
        };
        if done.is_err() {
            self.release(held, true).await;
        }
        done
    }

    /// Renews a lease until nobody waits for it any more. Lost, it stays so: what is recorded last tells.
    async fn hold(&self, held: &Upload) -> Infallible {
        let seconds = self.settings.lease_seconds;
        loop {
            tokio::time::sleep(Duration::from_secs((seconds / 3).max(1))).await;
            let (now, expires) = self.upload_times();
            let leased = held.clone();
            let renewed = self.catalog.write(move |tx| tx.renew_lease(&leased, now, seconds, expires)).await;
            match renewed {
                Ok(true) => {}
                Ok(false) => std::future::pending().await,
                // It may last until the catalog is back.
                Err(error) => {
                    tracing::warn!(error = packhouse_catalog::chain(&error), "a lease was not renewed");
                }
            }
        }
    }

    /// Gives a lease back. With nothing written, its number too.
    pub(crate) async fn release(&self, held: &Upload, wrote: bool) {
        if !self.store.is_shared() {
            return;
        }
        let leased = held.clone();
        let released = self.catalog.write(move |tx| tx.release_lease(&leased, wrote)).await;
        if let Err(error) = released {
            // It runs out.
            tracing::debug!(error = packhouse_catalog::chain(&error), "a lease was not given back");
        }
    }
}
