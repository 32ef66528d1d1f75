//! Pulling manifests and blobs.

use crate::access::may_pull;
use crate::error::Fault;
use crate::identity::Shown;
use crate::usage::month_of;
use crate::{Denied, PullError, Service};
use packhouse_access::{AccountId, Bytes};
use packhouse_blobs::Reader;
use packhouse_catalog::{ManifestRow, ReadableBlob, TransferRoom};
use packhouse_oci::{Digest, MediaType, PackageName, Reference};

/// A manifest that was found.
#[derive(Clone, Debug)]
pub struct ManifestFound {
    /// Its digest, in the algorithm that was asked.
    pub digest: Digest,
    /// The media type it was pushed with.
    pub media_type: MediaType,
    /// Bytes.
    pub size: u64,
    /// The bytes as they were pushed; empty when only the rest was asked for.
    pub payload: Vec<u8>,
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

pub(crate) fn found(row: ManifestRow) -> Result<ManifestFound, Fault> {
    Ok(ManifestFound {
        digest: row.digest,
        media_type: row.media_type()?,
        size: row.size,
        payload: row.payload,
    })
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
        let (name, asked, now) = (name.clone(), reference.clone(), self.clock.now());
        let follow = self.settings.redirect_renamed;
        let (package, row) = self
            .catalog
            .read(move |tx| {
                let may = may_pull::<PullError>(tx, &presented, &name, follow, now)?;
                let row =
                    tx.manifest(&may, &asked)?.ok_or_else(|| PullError::ManifestUnknown(asked.clone()))?;
                Ok::<_, PullError>((may.package(), row))
            })
            .await?;
        self.downloads.note(package, row.version, reference);
        Ok(found(row)?)
    }

    /// Finds a blob of the package (end-2).
    pub async fn blob(
        &self,
        shown: &Shown,
        name: &PackageName,
        digest: Digest,
    ) -> Result<BlobFound, PullError> {
        let presented = self.presented(shown)?;
        let (name, now, follow) = (name.clone(), self.clock.now(), self.settings.redirect_renamed);
        self.catalog
            .read(move |tx| {
                let may = may_pull::<PullError>(tx, &presented, &name, follow, now)?;
                let blob = tx.blob(&may, &digest)?.ok_or(PullError::BlobUnknown(digest))?;
                let room = tx.transfer_room(&may, month_of(now))?;
                Ok(BlobFound { blob, owner: may.owner(), public: may.is_public(), room })
            })
            .await
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
