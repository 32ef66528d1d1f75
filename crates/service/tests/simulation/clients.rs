//! What clients do, each as one operation over the service's own functions, and what they note in the ledger.

use crate::dice::Dice;
use crate::house::GRACE_SECONDS;
use crate::ledger::{Deed, Outcome};
use crate::mutants::{self, Mutant};
use crate::universe::{Manifest, PACKAGES, TAGS, sha256, universe};
use crate::world::{OpId, SECOND, World};
use packhouse_oci::{Digest, PackageName, Reference};
use packhouse_service::{BlobFound, DeleteError, PackageError, PullError, Service, Shown, VersionsShown};
use std::future::poll_fn;
use std::sync::Arc;

pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) op: OpId,
    pub(crate) dice: Dice,
    /// The nodes behind the balancer when the client began.
    pub(crate) nodes: Vec<Service>,
    pub(crate) shown: Shown,
}

/// What a client sets out to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Errand {
    PushImage,
    PushBlob,
    SharedSession,
    Pull,
    ReadBlobs,
    DeleteTag,
    DeleteManifest,
    DeleteWhole,
    DeleteBlob,
    Restore,
    Sweep,
}

impl Errand {
    pub(crate) fn any(dice: &mut Dice) -> Errand {
        use Errand::{
            DeleteBlob, DeleteManifest, DeleteTag, DeleteWhole, Pull, PushBlob, PushImage, ReadBlobs,
            Restore, SharedSession, Sweep,
        };
        let errands = [
            (8, PushImage),
            (2, PushBlob),
            (3, SharedSession),
            (3, Pull),
            (4, ReadBlobs),
            (1, DeleteTag),
            (3, DeleteManifest),
            (3, DeleteWhole),
            (1, DeleteBlob),
            (2, Restore),
            (8, Sweep),
        ];
        let mut at = dice.below(errands.iter().map(|(weight, _)| weight).sum());
        for (weight, errand) in errands {
            match at.checked_sub(weight) {
                Some(left) => at = left,
                None => return errand,
            }
        }
        Sweep
    }
}

pub(crate) fn name(path: &str) -> PackageName {
    path.parse().unwrap()
}

pub(crate) fn ended<T, E>(done: &Result<T, E>, is_fault: impl Fn(&E) -> bool) -> Outcome {
    match done {
        Ok(_) => Outcome::Acknowledged,
        Err(error) if is_fault(error) => Outcome::Unknown,
        Err(_) => Outcome::Refused,
    }
}

impl Client {
    pub(crate) async fn run(mut self, errand: Errand) {
        let package = *self.dice.pick(&PACKAGES);
        let manifest = self.dice.pick(&universe().manifests);
        match errand {
            Errand::PushImage => self.push_image(package, manifest).await,
            Errand::PushBlob => {
                let blob = self.dice.pick(&universe().blobs);
                self.have_blob(package, blob.digest, &blob.bytes).await;
            }
            Errand::SharedSession => self.shared_session(package).await,
            Errand::ReadBlobs => {
                for _ in 0..2 {
                    let digest = self.dice.pick(&universe().blobs).digest;
                    self.look_at_blob(package, digest).await;
                }
            }
            Errand::Pull => self.pull(package, manifest).await,
            Errand::DeleteTag => self.delete_tag(package).await,
            Errand::DeleteManifest => self.delete_manifest(package, manifest).await,
            Errand::DeleteWhole => self.delete_whole(package, manifest).await,
            Errand::DeleteBlob => self.delete_blob(package).await,
            Errand::Restore => self.restore(package).await,
            Errand::Sweep => self.sweep().await,
        }
    }

    pub(crate) fn node(&mut self) -> Service {
        self.dice.pick(&self.nodes).clone()
    }

    pub(crate) fn wrong(&self, what: &str) {
        self.world.ledger().wrong(format!("op{}: {what}", self.op));
    }

    async fn pull(&mut self, package: &'static str, manifest: &'static Manifest) {
        let tag = self.dice.percent(60).then(|| *self.dice.pick(&TAGS));
        let found = match tag {
            Some(tag) => self.look_at_tag(package, tag).await,
            None => self.look_at(package, manifest).await,
        };
        let Some(manifest) = found else { return };
        for digest in manifest.blobs().collect::<Vec<_>>() {
            self.look_at_blob(package, digest).await;
        }
    }

    /// Reads a manifest by its digest.
    pub(crate) async fn look_at(
        &mut self,
        package: &'static str,
        manifest: &'static Manifest,
    ) -> Option<&'static Manifest> {
        let asked = self.world.now_step();
        let reference = Reference::Digest(manifest.digest);
        let head = self.dice.percent(20);
        let node = self.node();
        let read = if head {
            node.manifest_head(&self.shown, &name(package), &reference).await
        } else {
            node.manifest(&self.shown, &name(package), &reference).await
        };
        let told = self.world.now_step();
        match read {
            Ok(found) => {
                if !head && found.payload != manifest.bytes {
                    self.wrong(&format!("{} has other bytes", manifest.name));
                }
                self.world.ledger().saw_manifest(package, &manifest.digest, true, asked, told);
                Some(manifest)
            }
            Err(PullError::ManifestUnknown(_)) => {
                self.world.ledger().saw_manifest(package, &manifest.digest, false, asked, told);
                None
            }
            Err(_) => None,
        }
    }

    pub(crate) async fn look_at_tag(
        &mut self,
        package: &'static str,
        tag: &'static str,
    ) -> Option<&'static Manifest> {
        let asked = self.world.now_step();
        let reference = Reference::Tag(tag.parse().unwrap());
        let node = self.node();
        let read = node.manifest(&self.shown, &name(package), &reference).await;
        let told = self.world.now_step();
        let found = match read {
            Ok(found) => Some(universe().manifest(&found.digest)),
            Err(PullError::ManifestUnknown(_)) => None,
            Err(_) => return None,
        };
        let digest = found.map(|manifest| manifest.digest);
        self.world.ledger().saw_tag(package, tag, digest, asked, told);
        found
    }

    /// Reads a blob; whether it is there.
    pub(crate) async fn look_at_blob(&mut self, package: &'static str, digest: Digest) -> bool {
        let (asked, clock) = (self.world.now_step(), self.world.clock());
        let node = self.node();
        match node.blob(&self.shown, &name(package), digest).await {
            Ok(found) => {
                self.read(&node, &found, clock).await;
                true
            }
            Err(PullError::BlobUnknown(_)) => {
                self.must_not_be_there(package, &digest, asked);
                false
            }
            Err(_) => false,
        }
    }

    /// Who found a blob reads it, though it may be collected meanwhile.
    async fn read(&mut self, node: &Service, found: &BlobFound, since: i64) {
        let digest = found.digest();
        let Ok(mut reader) = node.read_blob(found, 0, found.size()).await else {
            if self.world.saw_missing(self.op) && self.world.clock() < since + GRACE_SECONDS * SECOND {
                self.wrong(&format!("the bytes of {digest} are not there"));
            }
            return;
        };
        let mut bytes = Vec::new();
        while let Some(Ok(piece)) = poll_fn(|context| reader.poll_piece(context)).await {
            bytes.extend_from_slice(&piece);
        }
        if sha256(&bytes) != digest {
            self.wrong(&format!("the bytes of {digest} are others"));
        }
    }

    async fn delete_tag(&mut self, package: &'static str) {
        let tag = *self.dice.pick(&TAGS);
        let event = self.begin(package, Deed::DeleteTag { tag });
        let reference = Reference::Tag(tag.parse().unwrap());
        let node = self.node();
        let done = node.delete_manifest(&self.shown, &name(package), &reference).await;
        self.end(event, ended(&done, |error| matches!(error, DeleteError::Fault(_))));
    }

    async fn delete_manifest(&mut self, package: &'static str, manifest: &Manifest) {
        let event = self.begin(package, Deed::Delete { digest: manifest.digest });
        let node = self.node();
        let done =
            node.delete_manifest(&self.shown, &name(package), &Reference::Digest(manifest.digest)).await;
        self.end(event, ended(&done, |error| matches!(error, DeleteError::Fault(_))));
    }

    async fn delete_whole(&mut self, package: &'static str, manifest: &Manifest) {
        let (path, digest) = (name(package), manifest.digest);
        let listed = VersionsShown::Digest(digest);
        let Ok(page) = self.node().versions(&self.shown, &path, listed, None, 0, 10).await else { return };
        let Some(version) = page.versions.first() else { return };
        let event = self.begin(package, Deed::DeleteWhole { digest });
        let done = self.node().delete_version(&self.shown, &path, version.id.0).await;
        self.end(event, ended(&done, |error| matches!(error, PackageError::Fault(_))));
    }

    async fn delete_blob(&mut self, package: &'static str) {
        let digest = self.dice.pick(&universe().blobs).digest;
        let event = self.begin(package, Deed::DeleteBlob { digest });
        let done = self.node().delete_blob(&self.shown, &name(package), digest).await;
        self.end(event, ended(&done, |error| matches!(error, DeleteError::Fault(_))));
    }

    async fn restore(&mut self, package: &'static str) {
        let path = name(package);
        let listed = VersionsShown::Deleted;
        let Ok(page) = self.node().versions(&self.shown, &path, listed, None, 0, 10).await else { return };
        if page.versions.is_empty() {
            return;
        }
        let version = self.dice.pick(&page.versions).clone();
        let event = self.begin(package, Deed::Restore { digest: version.digest });
        let done = self.node().restore_version(&self.shown, &path, version.id.0).await;
        self.end(event, ended(&done, |error| matches!(error, PackageError::Fault(_))));
    }

    fn begin(&self, package: &'static str, deed: Deed) -> usize {
        let step = self.world.now_step();
        self.world.ledger().begin(package, deed, step)
    }

    fn end(&self, event: usize, outcome: Outcome) {
        let step = self.world.now_step();
        self.world.ledger().end(event, outcome, step);
        self.world.trace(&format!("op{} {outcome:?}", self.op));
    }

    async fn sweep(&mut self) {
        let node = self.node();
        if self.world.mutant == Mutant::CollectorWithoutLock {
            mutants::collect_blindly(&self.world).await;
        }
        for _ in 0..=self.dice.below(3) {
            if !node.sweep().await.is_ok_and(|swept| swept.more) {
                return;
            }
        }
    }
}
