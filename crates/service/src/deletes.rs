//! Deleting tags, manifests and blobs (distribution-spec, "Content Management"). What is deleted is gone with
//! the answer.

use crate::access::may_change;
use crate::identity::Shown;
use crate::{DeleteError, Service};
use packhouse_access::Delete;
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
                let deleted = match &reference {
                    Reference::Tag(tag) => tx.delete_tag(&may, tag, now)?,
                    Reference::Digest(digest) => tx.delete_version(&may, digest, now)?,
                };
                if deleted { Ok(()) } else { Err(DeleteError::ManifestUnknown(reference.clone())) }
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
                if tx.unlink_blob(&may, &digest, now)? {
                    Ok(())
                } else {
                    Err(DeleteError::BlobUnknown(digest))
                }
            })
            .await
    }
}
