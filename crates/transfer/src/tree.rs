//! The folders of distribution's registry: `docker/registry/v2/{blobs,repositories}`.
//!
//! A repository is a folder with `_manifests`; names have slashes, so repositories lie in one another. What it holds
//! is in small files, each with one digest: `_manifests/revisions/<algorithm>/<hex>/link` for its manifests,
//! `_manifests/tags/<tag>/current/link` for its tags, `_layers/<algorithm>/<hex>/link` for its blobs. The bytes of
//! both are `blobs/<algorithm>/<2 hex>/<hex>/data`, shared by all.
//!
//! A revision without its link was deleted, and a blob without its link was never readable in that repository: neither
//! is given, though its bytes may lie there.
//!
//! Left out: uploads, the history of tags, and Harbor's and GitLab's own databases.

#[cfg(test)]
mod tests;

use crate::beneath::Beneath;
use crate::{Image, MANIFEST_BYTES_MAX, ManifestBytes, PAGE_MAX, Page, SourceBlob, SourceBody, SourceError};
use packhouse_oci::{Digest, Reference, Tag};
use std::path::Path;
use tokio::task::spawn_blocking;

/// Bytes of a link: the longest digest and some room.
const LINK_BYTES_MAX: u64 = 512;
/// Folders that are looked into for one page of repositories.
const FOLDERS_MAX: usize = 200_000;
/// Levels of names. A longer name is given as it is, and refused as a name.
const LEVELS_MAX: usize = 64;
/// What `key` and `page` begin with.
const REVISION: &str = "r:";
const TAG: &str = "t:";

/// A folder with `docker/registry/v2` in it.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Beneath,
}

impl Tree {
    /// Opens a tree: the folder that the registry was configured with (`rootdirectory`), or one of the folders
    /// `docker`, `docker/registry`, `docker/registry/v2` in it.
    ///
    /// # Errors
    /// There is no tree.
    pub fn open(root: &Path) -> Result<Self, SourceError> {
        for below in ["docker/registry/v2", "registry/v2", "v2", ""] {
            let path = if below.is_empty() { root.to_owned() } else { root.join(below) };
            match Beneath::open(&path) {
                Ok(root) if root.has_folder(&["repositories"])? => return Ok(Self { root }),
                Ok(_) | Err(SourceError::Absent { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let hint = "; an import takes the folder that the registry has as its `rootdirectory`";
        Err(SourceError::Absent { path: root.join("docker/registry/v2/repositories"), hint })
    }

    pub(crate) async fn repositories(&self, after: Option<&str>) -> Result<Page<String>, SourceError> {
        let after: Option<Vec<String>> = after.map(|after| after.split('/').map(str::to_owned).collect());
        self.blocking(move |tree| {
            let mut walk = Walk { root: &tree.root, found: Vec::new(), folders: 0 };
            walk.below(&[], after.as_deref())?;
            let more = walk.found.len() > PAGE_MAX;
            walk.found.truncate(PAGE_MAX);
            let next = walk.found.last().filter(|_| more).cloned();
            Ok(Page { items: walk.found, next })
        })
        .await
    }

    pub(crate) async fn images(
        &self,
        repository: &str,
        page: Option<&str>,
    ) -> Result<Page<Image>, SourceError> {
        let (repository, page) = (repository.to_owned(), page.unwrap_or(REVISION).to_owned());
        self.blocking(move |tree| match page.strip_prefix(TAG) {
            Some(after) => tree.tags(&repository, after),
            None => tree.revisions(&repository, page.strip_prefix(REVISION).unwrap_or_default()),
        })
        .await
    }

    pub(crate) async fn manifest(
        &self,
        repository: &str,
        digest: &Digest,
    ) -> Result<Option<ManifestBytes>, SourceError> {
        let (repository, digest) = (repository.to_owned(), *digest);
        self.blocking(move |tree| {
            let (algorithm, hex) = (digest.algorithm().to_string(), digest.hex());
            let link = ["_manifests", "revisions", &algorithm, &hex, "link"];
            if tree.link(&repository, &link, Some(digest))?.is_none() {
                return Ok(None);
            }
            let path = ["blobs", &algorithm, &hex[..2], &hex, "data"];
            let Some(bytes) = tree.root.read(&path, MANIFEST_BYTES_MAX)? else { return Ok(None) };
            let found = Digest::of(digest.algorithm(), &bytes);
            if found != digest {
                return Err(SourceError::Damaged { expected: digest, found });
            }
            Ok(Some(ManifestBytes { digest, media_type: None, bytes }))
        })
        .await
    }

    pub(crate) async fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        from: u64,
    ) -> Result<Option<SourceBlob>, SourceError> {
        let (repository, digest) = (repository.to_owned(), *digest);
        self.blocking(move |tree| {
            let (algorithm, hex) = (digest.algorithm().to_string(), digest.hex());
            let path = ["blobs", &algorithm, &hex[..2], &hex, "data"];
            let Some((file, size)) = tree.root.file(&path)? else { return Ok(None) };
            if tree.link(&repository, &["_layers", &algorithm, &hex, "link"], Some(digest))?.is_none() {
                return Err(SourceError::Unlinked(digest));
            }
            let body = SourceBody::of_file(file, tree.root.path_of(&path), from, size);
            Ok(Some(SourceBlob { size: Some(size), body }))
        })
        .await
    }

    /// Manifests behind a digest as `sha256/<hex>`; then come the tags.
    fn revisions(&self, repository: &str, after: &str) -> Result<Page<Image>, SourceError> {
        let mut items = Vec::new();
        let algorithms = self.names(repository, &["_manifests", "revisions"])?;
        for algorithm in algorithms {
            for hex in self.names(repository, &["_manifests", "revisions", &algorithm])? {
                let name = format!("{algorithm}/{hex}");
                if name.as_str() <= after {
                    continue;
                }
                if items.len() == PAGE_MAX {
                    let next = items.last().map(|last: &Image| last.key.clone());
                    return Ok(Page { items, next });
                }
                let link = ["_manifests", "revisions", &algorithm, &hex, "link"];
                let manifest = match format!("{algorithm}:{hex}").parse::<Digest>() {
                    // One without its link was deleted.
                    Ok(digest) => match self.link(repository, &link, Some(digest)) {
                        Ok(None) => continue,
                        Ok(Some(digest)) => Ok(Reference::Digest(digest)),
                        Err(error) => Err(error),
                    },
                    Err(cause) => Err(SourceError::NoDigest { path: self.path(repository, &link), cause }),
                };
                items.push(Image { key: format!("{REVISION}{name}"), manifest, tag: None });
            }
        }
        Ok(Page { items, next: Some(TAG.to_owned()) })
    }

    fn tags(&self, repository: &str, after: &str) -> Result<Page<Image>, SourceError> {
        let mut items = Vec::new();
        for name in self.names(repository, &["_manifests", "tags"])? {
            if name.as_str() <= after {
                continue;
            }
            if items.len() == PAGE_MAX {
                let next = items.last().map(|last: &Image| last.key.clone());
                return Ok(Page { items, next });
            }
            let manifest =
                match self.link(repository, &["_manifests", "tags", &name, "current", "link"], None) {
                    // A deleted tag leaves its folder behind.
                    Ok(None) => continue,
                    Ok(Some(digest)) => Ok(Reference::Digest(digest)),
                    Err(error) => Err(error),
                };
            let (tag, manifest) = match name.parse::<Tag>() {
                Ok(tag) => (Some(tag), manifest),
                Err(_) => (None, Err(SourceError::Name(name.chars().take(300).collect()))),
            };
            items.push(Image { key: format!("{TAG}{name}"), manifest, tag });
        }
        Ok(Page { items, next: None })
    }

    fn names(&self, repository: &str, below: &[&str]) -> Result<Vec<String>, SourceError> {
        Ok(self.root.names(&parts(repository, below))?.unwrap_or_default())
    }

    fn path(&self, repository: &str, below: &[&str]) -> std::path::PathBuf {
        self.root.path_of(&parts(repository, below))
    }

    /// The digest in a link. None: there is no such link.
    fn link(
        &self,
        repository: &str,
        below: &[&str],
        expected: Option<Digest>,
    ) -> Result<Option<Digest>, SourceError> {
        let Some(bytes) = self.root.read(&parts(repository, below), LINK_BYTES_MAX)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let parsed = text.trim_end_matches('\n').parse::<Digest>();
        let found =
            parsed.map_err(|cause| SourceError::NoDigest { path: self.path(repository, below), cause })?;
        match expected {
            Some(expected) if expected != found => {
                Err(SourceError::OtherDigest { path: self.path(repository, below), expected, found })
            }
            Some(_) | None => Ok(Some(found)),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Tree) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let tree = self.clone();
        spawn_blocking(move || read(&tree)).await.unwrap_or_else(|_| {
            let what = "reading the folder".to_owned();
            Err(SourceError::Answer { what, why: "a task ended early".to_owned() })
        })
    }
}

fn parts<'a>(repository: &'a str, below: &[&'a str]) -> Vec<&'a str> {
    ["repositories"].into_iter().chain(repository.split('/')).chain(below.iter().copied()).collect()
}

/// A walk over repositories in the order of their names' parts, from behind one of them.
struct Walk<'t> {
    root: &'t Beneath,
    found: Vec<String>,
    folders: usize,
}

impl Walk<'_> {
    /// Adds what lies below a name and behind `after`, which is below it too, until there is a page and one more.
    fn below(&mut self, name: &[String], after: Option<&[String]>) -> Result<(), SourceError> {
        let mut at = vec!["repositories"];
        at.extend(name.iter().map(String::as_str));
        for child in self.root.names(&at)?.unwrap_or_default() {
            if child.starts_with('_') || self.found.len() > PAGE_MAX {
                continue;
            }
            let (behind, after) = match after.and_then(<[String]>::split_first) {
                Some((first, _)) if child < *first => continue,
                Some((first, rest)) if child == *first => (false, (!rest.is_empty()).then_some(rest)),
                Some(_) | None => (true, None),
            };
            self.folders += 1;
            if self.folders > FOLDERS_MAX {
                return Err(SourceError::Crowded { path: self.root.path_of(&at), max: FOLDERS_MAX });
            }
            let name = [name, std::slice::from_ref(&child)].concat();
            let folder = [at.as_slice(), &[child.as_str()]].concat();
            let repository = match self.root.has_folder(&[folder.as_slice(), &["_manifests"]].concat()) {
                // A file beside the repositories is nobody's.
                Err(SourceError::Kind { .. }) => continue,
                // Given as it is: what reads it says what is wrong.
                Err(SourceError::Link { .. }) => true,
                there => there?,
            };
            let deep = name.len() > LEVELS_MAX;
            if behind && (repository || deep) {
                self.found.push(name.join("/"));
            }
            match self.root.has_folder(&folder) {
                Ok(true) if !deep => self.below(&name, after)?,
                Ok(_) | Err(SourceError::Link { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
