//! Being told that something is there (`HEAD`), by who may push.
//!
//! Clients skip sending what a HEAD finds: docker and BuildKit blobs, containerd manifests too. So such an answer is a
//! promise, and is given only after a pin is on disk that keeps the thing for a grace period, whoever else lets go of
//! it meanwhile. The pin is written when less than half of its life is left, so most answers write nothing.

use crate::access::{caller, read_facts};
use crate::identity::Shown;
use crate::pulls::{Asker, ask, found};
use crate::usage::month_of;
use crate::{BlobFound, ManifestFound, PullError, Service};
use packhouse_access::{Pull, Push, decide};
use packhouse_catalog::{Asked, ManifestRow, Micros, Presented, ReadTx, WriteTx};
use packhouse_oci::{Digest, PackageName, Reference};
use std::sync::Arc;

impl Asker<'_> {
    /// The blob, and whether its pin is to be renewed: it ends before `fresh`, and the caller may push.
    fn blob_head(
        self,
        tx: &mut ReadTx<'_, '_>,
        digest: &Digest,
        fresh: Micros,
    ) -> Result<(BlobFound, bool), PullError> {
        let caller = caller::<PullError>(tx, self.presented, self.now)?;
        let facts = read_facts(tx, &caller, self.name.as_str(), self.follow)?;
        let may = decide::<Pull>(&facts)?;
        let blob = tx.blob(&may, digest)?.ok_or(PullError::BlobUnknown(*digest))?;
        let stale = blob.pinned_until() < fresh && decide::<Push>(&facts).is_ok();
        let room = tx.transfer_room(&may, month_of(self.now))?;
        Ok((BlobFound { blob, owner: may.owner(), public: may.is_public(), room }, stale))
    }

    /// The same of a manifest.
    fn manifest_head(
        self,
        tx: &mut ReadTx<'_, '_>,
        reference: &Reference,
        fresh: Micros,
    ) -> Result<(Arc<ManifestRow>, bool), PullError> {
        let caller = caller::<PullError>(tx, self.presented, self.now)?;
        let facts = read_facts(tx, &caller, self.name.as_str(), self.follow)?;
        let may = decide::<Pull>(&facts)?;
        let row = tx.manifest_head(&may, reference)?;
        let row = row.ok_or_else(|| PullError::ManifestUnknown(reference.clone()))?;
        let stale = row.pinned_until < fresh && decide::<Push>(&facts).is_ok();
        Ok((row, stale))
    }
}

impl Service {
    /// Whether the package has a blob (end-2, HEAD). To who may push it is a promise: see the module.
    pub async fn blob_head(
        &self,
        shown: &Shown,
        name: &PackageName,
        digest: Digest,
    ) -> Result<BlobFound, PullError> {
        let presented = self.presented(shown)?;
        let (now, follow, fresh) = (self.clock.now(), self.settings.redirect_renamed, self.pinned_for_half());
        let asker = Asker { presented: &presented, name, follow, now };
        let (found, stale) = match self.catalog.recollect(|tx| asker.blob_head(tx, &digest, fresh)) {
            Some(answer) => answer?,
            None => {
                let ask = ask(&presented, name, || Asked::Blob(digest), follow, now);
                let (presented, name) = (presented.clone(), name.clone());
                let body = move |tx: &mut ReadTx<'_, '_>| {
                    Asker { presented: &presented, name: &name, follow, now }.blob_head(tx, &digest, fresh)
                };
                Box::pin(self.catalog.glance(ask, body)).await?
            }
        };
        if stale {
            let gone = PullError::BlobUnknown(digest);
            Box::pin(self.pin(presented, name, gone, move |tx, may, until| tx.pin_blob(may, &digest, until)))
                .await?;
        }
        Ok(found)
    }

    /// A manifest without its bytes (end-3, HEAD). To who may push it is a promise: see the module.
    pub async fn manifest_head(
        &self,
        shown: &Shown,
        name: &PackageName,
        reference: &Reference,
    ) -> Result<ManifestFound, PullError> {
        let presented = self.presented(shown)?;
        let (now, follow, fresh) = (self.clock.now(), self.settings.redirect_renamed, self.pinned_for_half());
        let asker = Asker { presented: &presented, name, follow, now };
        let (row, stale) = match self.catalog.recollect(|tx| asker.manifest_head(tx, reference, fresh)) {
            Some(answer) => answer?,
            None => {
                let ask = ask(&presented, name, || Asked::Manifest(reference.clone()), follow, now);
                let (presented, name, asked) = (presented.clone(), name.clone(), reference.clone());
                let body = move |tx: &mut ReadTx<'_, '_>| {
                    Asker { presented: &presented, name: &name, follow, now }.manifest_head(tx, &asked, fresh)
                };
                Box::pin(self.catalog.glance(ask, body)).await?
            }
        };
        if stale {
            let version = row.version;
            let gone = PullError::ManifestUnknown(reference.clone());
            let pin =
                self.pin(presented, name, gone, move |tx, may, until| tx.pin_version(may, version, until));
            Box::pin(pin).await?;
        }
        Ok(found(&row)?)
    }

    /// A pin that ends before this is renewed.
    fn pinned_for_half(&self) -> Micros {
        self.clock.now().plus_seconds(self.settings.gc_grace_seconds / 2)
    }

    /// Writes a pin; `gone` when the thing went away since it was found.
    async fn pin(
        &self,
        presented: Presented,
        name: &PackageName,
        gone: PullError,
        pin: impl for<'c, 'tx> Fn(
            &mut WriteTx<'c, 'tx>,
            &packhouse_access::Granted<'tx, Push>,
            Micros,
        ) -> Result<bool, packhouse_catalog::CatalogError>
        + Send
        + 'static,
    ) -> Result<(), PullError> {
        let (name, now, until) = (name.clone(), self.clock.now(), self.pinned_until());
        let pinned = self
            .catalog
            .write(move |tx| {
                let caller = caller::<PullError>(tx, &presented, now)?;
                let facts = tx.facts(&caller, name.as_str())?;
                // Found by an old name, or a right that was lost since: who cannot push here builds nothing on it.
                let Ok(may) = decide::<Push>(&facts) else { return Ok(true) };
                Ok::<_, PullError>(pin(tx, &may, until)?)
            })
            .await?;
        if pinned { Ok(()) } else { Err(gone) }
    }
}
