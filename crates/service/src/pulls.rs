//! Pulling manifests and blobs.

use crate::access::may_pull;
use crate::error::Fault;
use crate::identity::Shown;
use crate::usage::month_of;
use crate::{Denied, PullError, Service};
use packhouse_access::{AccountId, Bytes, PackageId};
use packhouse_blobs::Reader;
use packhouse_catalog::{Ask, Asked, ManifestRow, Micros, Presented, ReadTx, ReadableBlob, TransferRoom};
use packhouse_oci::{Digest, MediaType, PackageName, Reference};
use std::sync::Arc;

/// A manifest that was found.
#[derive(Clone, Debug)]
pub struct ManifestFound {
    /// Its digest, in the algorithm that was asked.
    pub digest: Digest,
    /// The media type it was pushed with.
    pub media_type: MediaType,
    /// The digest as text, in quotes: its `ETag`.
    pub quoted_digest: bytes::Bytes,
    /// Bytes.
    pub size: u64,
    /// The bytes as they were pushed; may be empty when only the rest was asked for.
    pub payload: bytes::Bytes,
}

/// A blob that was found, and may be read by who asked.
#[derive(Clone, Debug)]
pub struct BlobFound {
    pub(crate) blob: ReadableBlob,
    pub(crate) owner: AccountId,
    pub(crate) public: bool,
    /// What of it may be sent this month; none without a limit.
    pub(crate) room: Option<TransferRoom>,
}

impl BlobFound {
    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.blob.digest()
    }
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.blob.size()
    }
}

/// What a pull asks the catalog; made only where it is needed.
pub(crate) fn ask(
    presented: &Presented,
    name: &PackageName,
    asked: impl FnOnce() -> Asked,
    follow: bool,
    now: Micros,
) -> impl FnOnce() -> Ask {
    move || Ask { presented: presented.clone(), name: name.clone(), follow, asked: asked(), now }
}

pub(crate) fn found(row: &ManifestRow) -> Result<ManifestFound, Fault> {
    Ok(ManifestFound {
        digest: row.digest,
        media_type: row.media_type()?,
        quoted_digest: row.quoted_digest.clone(),
        size: row.size,
        payload: row.payload.clone(),
    })
}

/// Who asks, for what package, when: all that a pull is decided on.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) presented: &'a Presented,
    pub(crate) name: &'a PackageName,
    /// Whether a path that the package had before leads to it.
    pub(crate) follow: bool,
    pub(crate) now: Micros,
}

impl Asker<'_> {
    fn manifest(
        self,
        tx: &mut ReadTx<'_, '_>,
        reference: &Reference,
    ) -> Result<(PackageId, Arc<ManifestRow>), PullError> {
        let may = may_pull::<PullError>(tx, self.presented, self.name, self.follow, self.now)?;
        let row = tx.manifest(&may, reference)?;
        Ok((may.package(), row.ok_or_else(|| PullError::ManifestUnknown(reference.clone()))?))
    }

    fn blob(self, tx: &mut ReadTx<'_, '_>, digest: &Digest) -> Result<BlobFound, PullError> {
        let may = may_pull::<PullError>(tx, self.presented, self.name, self.follow, self.now)?;
        let blob = tx.blob(&may, digest)?.ok_or(PullError::BlobUnknown(*digest))?;
        let room = tx.transfer_room(&may, month_of(self.now))?;
        Ok(BlobFound { blob, owner: may.owner(), public: may.is_public(), room })
    }
}

impl Service {
    /// A manifest with its bytes (end-3).
    pub async fn manifest(
        &self,
        shown: &Shown,
        name: &PackageName,
        reference: &Reference,
    ) -> Result<ManifestFound, PullError> {
        let presented = self.presented(shown)?;
        let (now, follow) = (self.clock.now(), self.settings.redirect_renamed);
        let asker = Asker { presented: &presented, name, follow, now };
        let (package, row) = match self.catalog.recollect(|tx| asker.manifest(tx, reference)) {
            Some(answer) => answer?,
            None => {
                let ask = ask(&presented, name, || Asked::Manifest(reference.clone()), follow, now);
                let (presented, name, reference) = (presented.clone(), name.clone(), reference.clone());
                let body = move |tx: &mut ReadTx<'_, '_>| {
                    Asker { presented: &presented, name: &name, follow, now }.manifest(tx, &reference)
                };
                Box::pin(self.catalog.glance(ask, body)).await?
            }
        };
        self.downloads.note(package, row.version, reference);
        Ok(found(&row)?)
    }

    /// Finds a blob of the package (end-2).
    pub async fn blob(
        &self,
        shown: &Shown,
        name: &PackageName,
        digest: Digest,
    ) -> Result<BlobFound, PullError> {
        let presented = self.presented(shown)?;
        let (now, follow) = (self.clock.now(), self.settings.redirect_renamed);
        let asker = Asker { presented: &presented, name, follow, now };
        if let Some(answer) = self.catalog.recollect(|tx| asker.blob(tx, &digest)) {
            return answer;
        }
        let ask = ask(&presented, name, || Asked::Blob(digest), follow, now);
        let (presented, name) = (presented.clone(), name.clone());
        let body = move |tx: &mut ReadTx<'_, '_>| {
            Asker { presented: &presented, name: &name, follow, now }.blob(tx, &digest)
        };
        Box::pin(self.catalog.glance(ask, body)).await
    }

    /// An address where the client reads a blob that was found itself, when the operator wants that. It counts as read.
    pub async fn blob_address(
        &self,
        blob: &BlobFound,
        first: u64,
        end: u64,
    ) -> Result<Option<String>, PullError> {
        self.may_send(blob, end.saturating_sub(first))?;
        let address = self.store.address(&blob.blob).await;
        let address = address.map_err(|error| PullError::Fault(Fault::Blobs(error)))?;
        if address.is_some() {
            self.transfers.note(blob.owner, blob.public, self.clock.now(), end.saturating_sub(first));
        }
        Ok(address)
    }

    /// Refuses bytes beyond what the owner's plan lets be sent in a month, with what this node has not written yet.
    fn may_send(&self, blob: &BlobFound, bytes: u64) -> Result<(), PullError> {
        let Some(room) = &blob.room else { return Ok(()) };
        let unwritten = self.transfers.unwritten(blob.owner, self.clock.now());
        let admitted = room.admit(Bytes::of(bytes, !blob.public), unwritten);
        admitted.map_err(|over| PullError::Denied(Denied::OverQuota(Box::new(over))))
    }

    /// Opens bytes `first..end` of a blob that was found.
    pub async fn read_blob(&self, blob: &BlobFound, first: u64, end: u64) -> Result<Reader, PullError> {
        self.may_send(blob, end.saturating_sub(first))?;
        let reader = self.store.reader(&blob.blob, first, end).await;
        let reader = reader.map_err(|error| PullError::Fault(Fault::Blobs(error)))?;
        self.transfers.note(blob.owner, blob.public, self.clock.now(), end.saturating_sub(first));
        Ok(reader)
    }
}
