//! Deleting tags, manifests and blobs (distribution-spec, "Content Management"). What is deleted is gone with
//! the answer.

use crate::access::may_change;
use crate::held::{end_tag, may_end};
use crate::identity::Shown;
use crate::{DeleteError, Service};
use packhouse_access::{Delete, decide_blob_end};
use packhouse_oci::{Digest, PackageName, Reference};

impl Service {
    /// Takes a tag away, or deletes a manifest with all its tags (end-9).
    pub async fn delete_manifest(
        &self,
        shown: &Shown,
        name: &PackageName,
        reference: &Reference,
    ) -> Result<(), DeleteError> {
        let presented = self.presented(shown)?;
        let (name, reference, now) = (name.clone(), reference.clone(), self.clock.now());
        self.catalog
            .write(move |tx| {
                let may = may_change::<Delete, DeleteError>(tx, &presented, &name, now)?;
                let unknown = || DeleteError::ManifestUnknown(reference.clone());
                match &reference {
                    Reference::Tag(tag) => {
                        let deleted = end_tag::<DeleteError>(tx, &may, tag, now)?;
                        deleted.then_some(()).ok_or_else(unknown)
                    }
                    Reference::Digest(digest) => {
                        let version = tx.live_version(&may, digest)?.ok_or_else(unknown)?;
                        let end = may_end::<DeleteError>(tx, &may, version)?;
                        Ok(tx.delete_version(&may, &end, now)?)
                    }
                }
            })
            .await
    }

    /// Makes a blob unreadable in the package (end-10). Other packages keep it.
    pub async fn delete_blob(
        &self,
        shown: &Shown,
        name: &PackageName,
        digest: Digest,
    ) -> Result<(), DeleteError> {
        let presented = self.presented(shown)?;
        let (name, now) = (name.clone(), self.clock.now());
        self.catalog
            .write(move |tx| {
                let may = may_change::<Delete, DeleteError>(tx, &presented, &name, now)?;
                let rules = tx.tag_rules(&may)?;
                let reached = tx.blob_reached(&may, &rules, &digest)?;
                let end = decide_blob_end(&may, &rules, reached)?;
                if tx.unlink_blob(&may, &end, now)? { Ok(()) } else { Err(DeleteError::BlobUnknown(digest)) }
            })
            .await
    }
}
