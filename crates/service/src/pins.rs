//! Being told that something is there (`HEAD`), by who may push.
//!
//! Clients skip sending what a HEAD finds: docker and BuildKit blobs, containerd manifests too. So such an answer is a
//! promise, and is given only after a pin is on disk that keeps the thing for a grace period, whoever else lets go of
//! it meanwhile. The pin is written when less than half of its life is left, so most answers write nothing.

use crate::access::{caller, read_facts};
use crate::identity::Shown;
use crate::pulls::{ask, found};
use crate::usage::month_of;
use crate::{BlobFound, ManifestFound, PullError, Service};
use packhouse_access::{Pull, Push, decide};
use packhouse_catalog::{Asked, Micros, Presented, WriteTx};
use packhouse_oci::{Digest, PackageName, Reference};

impl Service {
    /// Whether the package has a blob (end-2, HEAD). To who may push it is a promise: see the module.
    pub async fn blob_head(
        &self,
        shown: &Shown,
        name: &PackageName,
        digest: Digest,
    ) -> Result<BlobFound, PullError> {
        let presented = self.presented(shown)?;
        let (path, now, follow) = (name.clone(), self.clock.now(), self.settings.redirect_renamed);
        let (asker, fresh) = (presented.clone(), self.pinned_for_half());
        let ask = ask(&presented, name, || Asked::Blob(digest), follow, now);
        let (found, stale) = self
            .catalog
            .glance(ask, move |tx| {
                let caller = caller::<PullError>(tx, &asker, now)?;
                let facts = read_facts(tx, &caller, path.as_str(), follow)?;
                let may = decide::<Pull>(&facts)?;
                let blob = tx.blob(&may, &digest)?.ok_or(PullError::BlobUnknown(digest))?;
                let stale = blob.pinned_until() < fresh && decide::<Push>(&facts).is_ok();
                let room = tx.transfer_room(&may, month_of(now))?;
                let found = BlobFound { blob, owner: may.owner(), public: may.is_public(), room };
                Ok::<_, PullError>((found, stale))
            })
            .await?;
        if stale {
            self.pin(presented, name, PullError::BlobUnknown(digest), move |tx, may, until| {
                tx.pin_blob(may, &digest, until)
            })
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
        let (path, asked, now) = (name.clone(), reference.clone(), self.clock.now());
        let (asker, fresh, follow) =
            (presented.clone(), self.pinned_for_half(), self.settings.redirect_renamed);
        let ask = ask(&presented, name, || Asked::Manifest(reference.clone()), follow, now);
        let (row, stale) = self
            .catalog
            .glance(ask, move |tx| {
                let caller = caller::<PullError>(tx, &asker, now)?;
                let facts = read_facts(tx, &caller, path.as_str(), follow)?;
                let may = decide::<Pull>(&facts)?;
                let row = tx.manifest_head(&may, &asked)?;
                let row = row.ok_or_else(|| PullError::ManifestUnknown(asked.clone()))?;
                let stale = row.pinned_until < fresh;
                Ok::<_, PullError>((row, stale && decide::<Push>(&facts).is_ok()))
            })
            .await?;
        if stale {
            let version = row.version;
            let gone = PullError::ManifestUnknown(reference.clone());
            self.pin(presented, name, gone, move |tx, may, until| tx.pin_version(may, version, until))
                .await?;
        }
        Ok(found(row)?)
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
