//! One manifest and all that it needs: blobs and children first, then itself, then what refers to it, and its tag when
//! all of that is here. So what an import leaves half done is never in the way of who pulls.

use super::copy::{Copied, Errand};
use super::import::{Digests, Importer, Repository, pushing, shown_as};
use super::{BLOBS_AT_ONCE, Halt, LEVELS_MAX, VISITS_MAX};
use crate::{PullError, PutManifest};
use packhouse_oci::{Descriptor, Digest, Manifest, ManifestKind, Reference, Tag};
use packhouse_transfer::ManifestBytes;
use std::pin::Pin;
use tokio::task::JoinSet;

/// What was gone through in this step.
#[derive(Debug, Default)]
pub(super) struct Visited {
    whole: Digests,
    count: usize,
}

type Work<'w, T> = Pin<Box<dyn Future<Output = Result<T, Halt>> + Send + 'w>>;

impl Importer<'_> {
    /// The manifest of an image, with all that it needs. None: it is not in the source.
    pub(super) async fn root(
        &mut self,
        at: &Repository,
        reference: &Reference,
    ) -> Result<Option<ManifestBytes>, Halt> {
        self.visited.count = 0;
        let found = self.source.manifest(&at.from, reference).await;
        let found = match found {
            Err(error) if !error.passes() => {
                // So that tags know it.
                self.cursor.root = match reference {
                    Reference::Digest(digest) => Some(digest.to_string()),
                    Reference::Tag(_) => None,
                };
                return Err(error.into());
            }
            found => found?,
        };
        let Some(found) = found else { return Ok(None) };
        // A tag that was moved in the source meanwhile leads to another one, with other things in other places.
        let digest = found.digest.to_string();
        if self.cursor.root.as_ref() != Some(&digest) {
            self.cursor.root = Some(digest);
            self.cursor.path.clear();
        }
        self.manifest(at, &found, 0).await?;
        Ok(Some(found))
    }

    fn manifest<'w>(
        &'w mut self,
        at: &'w Repository,
        found: &'w ManifestBytes,
        depth: usize,
    ) -> Work<'w, ()> {
        Box::pin(async move {
            let digest = found.digest;
            if self.visited.whole.contains(&digest) {
                return Ok(());
            }
            self.visited.count += 1;
            if depth >= LEVELS_MAX {
                return Err(Halt::Refused(format!(
                    "manifest `{digest}` is nested deeper than {LEVELS_MAX} levels"
                )));
            }
            if self.visited.count > VISITS_MAX {
                return Err(Halt::Refused(format!("it names more than {VISITS_MAX} manifests")));
            }
            if depth > 0 && self.cursor.failed.contains(&digest.to_string()) {
                return Err(Halt::Refused(format!("its manifest `{digest}` was refused")));
            }
            let parsed = Manifest::parse(found.media_type.as_ref(), &found.bytes)
                .map_err(|why| Halt::Refused(format!("manifest `{digest}`: {why}")))?;
            let present = self.has_manifest(at, digest).await?;
            let needed = match parsed.kind {
                ManifestKind::Image if present => Vec::new(),
                ManifestKind::Image => unique(parsed.blobs()),
                ManifestKind::Index => unique(&parsed.manifests),
            };
            self.needed(at, &needed, parsed.kind, digest, depth).await?;
            if present {
                self.sums.manifests_present += u64::from(self.counting);
            } else {
                self.put(at, found, Vec::new()).await?;
                self.sums.manifests += 1;
            }
            self.referrers(at, digest, depth).await?;
            self.cursor.path.truncate(depth);
            self.visited.whole.insert(digest);
            Ok(())
        })
    }

    /// Blobs of an image, children of an index, from where the cursor stands.
    async fn needed(
        &mut self,
        at: &Repository,
        needed: &[Descriptor],
        kind: ManifestKind,
        parent: Digest,
        depth: usize,
    ) -> Result<(), Halt> {
        let start = self.cursor.path.get(depth).copied().unwrap_or(0).min(needed.len());
        let at_once = if kind == ManifestKind::Image { BLOBS_AT_ONCE } else { 1 };
        for (number, some) in needed[start..].chunks(at_once).enumerate() {
            let number = start + number * at_once;
            if number > start || self.cursor.path.len() <= depth {
                self.cursor.path.truncate(depth);
                self.cursor.path.push(number);
            }
            if self.over() {
                return Err(Halt::Time);
            }
            let absent = match (kind, some) {
                (ManifestKind::Index, [child]) if self.child(at, child, depth).await? => Vec::new(),
                (ManifestKind::Index, children) => children.to_vec(),
                (ManifestKind::Image, blobs) => self.blobs(at, blobs).await?,
            };
            self.moved = true;
            for descriptor in absent {
                match kind {
                    ManifestKind::Image if descriptor.media_type.is_non_distributable() => {}
                    ManifestKind::Image => {
                        let blob = descriptor.digest;
                        self.fail(blob.to_string());
                        let why = format!("blob `{blob}` of manifest `{parent}` is not in the source");
                        return Err(Halt::Refused(why));
                    }
                    // An index may name what a registry does not have, and this one did.
                    ManifestKind::Index => {
                        let why = format!("names `{}`, which is not in the source", descriptor.digest);
                        self.note(shown_as(&at.from, Some(&parent.to_string())), why);
                    }
                }
            }
        }
        self.cursor.path.truncate(depth);
        self.cursor.path.push(needed.len());
        Ok(())
    }

    /// A child of an index: a manifest, or (as BuildKit's caches have it) a blob. Whether the source has it.
    async fn child(&mut self, at: &Repository, descriptor: &Descriptor, depth: usize) -> Result<bool, Halt> {
        let known = descriptor.media_type.is_image_manifest() || descriptor.media_type.is_index();
        if known {
            let reference = Reference::Digest(descriptor.digest);
            return match self.source.manifest(&at.from, &reference).await? {
                Some(found) => self.manifest(at, &found, depth + 1).await.map(|()| true),
                None => Ok(false),
            };
        }
        Ok(self.blobs(at, std::slice::from_ref(descriptor)).await?.is_empty())
    }

    /// Brings in some blobs, all at once. Those that neither we nor the source have are given back.
    async fn blobs(&mut self, at: &Repository, blobs: &[Descriptor]) -> Result<Vec<Descriptor>, Halt> {
        for blob in blobs {
            if self.cursor.failed.contains(&blob.digest.to_string()) {
                return Err(Halt::Refused(format!("blob `{}` was refused before", blob.digest)));
            }
        }
        if self.order.dry_run {
            return self.look_at(at, blobs).await;
        }
        let Some(shown) = &at.shown else { return Ok(blobs.to_vec()) };
        let errand = Errand {
            source: self.source.clone(),
            from: at.from.clone(),
            into: at.into.clone(),
            shown: shown.clone(),
            deadline: self.deadline,
        };
        let mut copying = JoinSet::new();
        for blob in blobs.iter().cloned() {
            let resumed = self.cursor.uploads.remove(&blob.digest.to_string());
            let (service, errand) = (self.service.clone(), errand.clone());
            copying.spawn(async move {
                let mut bytes = 0;
                let copied = service.copy_blob(&errand, blob.digest, resumed, &mut bytes).await;
                (blob, copied, bytes)
            });
        }
        let (mut absent, mut halted) = (Vec::new(), None);
        while let Some(ended) = copying.join_next().await {
            let ended = ended.map_err(|_| Halt::Ended("a task ended early".to_owned()));
            let (blob, copied, bytes) = ended?;
            self.sums.bytes += bytes;
            let key = blob.digest.to_string();
            let halt = match copied {
                Ok(Copied::Present) => {
                    self.sums.blobs_present += 1;
                    continue;
                }
                Ok(Copied::Whole) => {
                    self.sums.blobs += 1;
                    continue;
                }
                Ok(Copied::Absent) => {
                    absent.push(blob);
                    continue;
                }
                Ok(Copied::Half { upload, broke_off }) => {
                    self.cursor.uploads.insert(key, upload);
                    self.moved = true;
                    broke_off.map_or(Halt::Time, Halt::Wait)
                }
                Err(halt) => {
                    if matches!(halt, Halt::Refused(_)) {
                        self.fail(key);
                    }
                    halt
                }
            };
            if halted.as_ref().is_none_or(|held: &Halt| held.weight() < halt.weight()) {
                halted = Some(halt);
            }
        }
        halted.map_or(Ok(absent), Err)
    }

    /// Counts what would be copied.
    async fn look_at(&mut self, at: &Repository, blobs: &[Descriptor]) -> Result<Vec<Descriptor>, Halt> {
        for blob in blobs {
            let there = match &at.shown {
                Some(shown) => self.service.has_blob(shown, &at.into, blob.digest).await?,
                None => false,
            };
            if there {
                self.sums.blobs_present += 1;
            } else {
                self.sums.blobs += 1;
                self.sums.bytes = self.sums.bytes.saturating_add(blob.size);
            }
        }
        Ok(Vec::new())
    }

    /// What refers to a manifest, where the source does not list it anyway. One that is refused holds up nothing.
    async fn referrers(&mut self, at: &Repository, subject: Digest, depth: usize) -> Result<(), Halt> {
        for reference in self.source.referrers(&at.from, &subject).await? {
            // Their list may have changed since the last step: what is here is passed over by its digest.
            self.cursor.path.truncate(depth + 1);
            let done = match self.source.manifest(&at.from, &reference).await {
                Ok(Some(found)) => match self.manifest(at, &found, depth + 1).await {
                    Ok(()) => match &reference {
                        // Cosign's: what refers is found by its tag.
                        Reference::Tag(tag) => self.tag(at, tag, found).await,
                        Reference::Digest(_) => Ok(()),
                    },
                    halted => halted,
                },
                Ok(None) => Ok(()),
                Err(error) => Err(error.into()),
            };
            match done {
                Err(Halt::Refused(why)) => {
                    self.problem(shown_as(&at.from, Some(&reference.to_string())), why);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Points a tag at a manifest that is here, when it does not yet.
    pub(super) async fn tag(&mut self, at: &Repository, tag: &Tag, found: ManifestBytes) -> Result<(), Halt> {
        let held = match &at.shown {
            Some(shown) => {
                let reference = Reference::Tag(tag.clone());
                let head = self.service.manifest_head(shown, &at.into, &reference).await;
                heads(head.map(|held| held.digest))?
            }
            None => None,
        };
        if held == Some(found.digest) {
            self.sums.tags_present += 1;
            return Ok(());
        }
        self.put(at, &found, vec![tag.clone()]).await?;
        self.sums.tags += 1;
        Ok(())
    }

    async fn has_manifest(&self, at: &Repository, digest: Digest) -> Result<bool, Halt> {
        let Some(shown) = &at.shown else { return Ok(false) };
        let head = self.service.manifest_head(shown, &at.into, &Reference::Digest(digest)).await;
        Ok(heads(head.map(|held| held.digest))?.is_some())
    }

    async fn put(&self, at: &Repository, found: &ManifestBytes, tags: Vec<Tag>) -> Result<(), Halt> {
        let (Some(shown), false) = (&at.shown, self.order.dry_run) else { return Ok(()) };
        let put = PutManifest {
            reference: Reference::Digest(found.digest),
            tags,
            media_type: found.media_type.clone(),
            bytes: found.bytes.clone(),
            host: None,
        };
        let refused = |halt| match halt {
            Halt::Refused(why) => Halt::Refused(format!("manifest `{}`: {why}", found.digest)),
            halt => halt,
        };
        self.service.put_manifest(shown, &at.into, put).await.map(drop).map_err(pushing).map_err(refused)
    }
}

/// What a HEAD found. A package that is not there, or that may not be read, has nothing; the push says what is wrong.
fn heads(head: Result<Digest, PullError>) -> Result<Option<Digest>, Halt> {
    match head {
        Ok(digest) => Ok(Some(digest)),
        Err(PullError::Fault(fault)) => Err(Halt::fault(&fault)),
        Err(PullError::ManifestUnknown(_) | PullError::BlobUnknown(_) | PullError::Denied(_)) => Ok(None),
    }
}

/// Each once, in their order: a layer may be there twice.
fn unique<'d>(descriptors: impl IntoIterator<Item = &'d Descriptor>) -> Vec<Descriptor> {
    let mut seen = Digests::new();
    descriptors.into_iter().filter(|descriptor| seen.insert(descriptor.digest)).cloned().collect()
}
