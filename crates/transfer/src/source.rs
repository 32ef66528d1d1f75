//! One way to read all kinds of sources.

use crate::{Layout, Registry, SourceBlob, SourceError, Tree};
use packhouse_oci::{Digest, MediaType, Reference, Tag};

/// Some things in the source's own order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The things.
    pub items: Vec<T>,
    /// What to ask for the next page with; none: this was the last.
    pub next: Option<String>,
}

/// Something to bring along from a repository.
#[derive(Debug)]
pub struct Image {
    /// Its name on its page, by which it is found again when the page is read once more.
    pub key: String,
    /// The manifest, or why the source cannot say which.
    pub manifest: Result<Reference, SourceError>,
    /// The tag that points there.
    pub tag: Option<Tag>,
}

/// A manifest as it lies in the source. Its bytes are what its digest says.
#[derive(Clone, Debug)]
pub struct ManifestBytes {
    /// Its digest.
    pub digest: Digest,
    /// What the source says it is, where that is said outside of it.
    pub media_type: Option<MediaType>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Where images come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Distribution's folders.
    Tree(Tree),
    /// An OCI layout, which is one repository without a name.
    Layout(Layout),
    /// Another registry.
    Registry(Registry),
}

impl Source {
    /// Whether it is one repository, whatever its name.
    #[must_use]
    pub fn is_one_repository(&self) -> bool {
        match self {
            Source::Tree(_) => false,
            Source::Layout(_) => true,
            Source::Registry(registry) => registry.is_one_repository(),
        }
    }

    /// Whether one image was asked for by its name.
    #[must_use]
    pub fn is_one_image(&self) -> bool {
        match self {
            Source::Tree(_) | Source::Layout(_) => false,
            Source::Registry(registry) => registry.is_one_image(),
        }
    }

    /// Names of repositories. `page`: none for the first one, then what the page before said.
    ///
    /// # Errors
    /// The source cannot be read.
    pub async fn repositories(&self, page: Option<&str>) -> Result<Page<String>, SourceError> {
        match self {
            Source::Tree(tree) => tree.repositories(page).await,
            Source::Layout(_) => Ok(Page { items: vec![String::new()], next: None }),
            Source::Registry(registry) => registry.repositories(page).await,
        }
    }

    /// What a repository holds: manifests first, the tags that point at them last.
    ///
    /// # Errors
    /// The source cannot be read.
    pub async fn images(&self, repository: &str, page: Option<&str>) -> Result<Page<Image>, SourceError> {
        match self {
            Source::Tree(tree) => tree.images(repository, page).await,
            Source::Layout(layout) => layout.images().await,
            Source::Registry(registry) => registry.images(repository, page).await,
        }
    }

    /// A manifest. None: it is not in the source.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub async fn manifest(
        &self,
        repository: &str,
        reference: &Reference,
    ) -> Result<Option<ManifestBytes>, SourceError> {
        match (self, reference) {
            (Source::Tree(tree), Reference::Digest(digest)) => tree.manifest(repository, digest).await,
            (Source::Layout(layout), Reference::Digest(digest)) => layout.manifest(digest).await,
            // These two name all that they hold by digest.
            (Source::Tree(_) | Source::Layout(_), Reference::Tag(_)) => Ok(None),
            (Source::Registry(registry), reference) => registry.manifest(repository, reference).await,
        }
    }

    /// A blob from its byte `from` on. None: it is not in the source.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        from: u64,
    ) -> Result<Option<SourceBlob>, SourceError> {
        match self {
            Source::Tree(tree) => tree.blob(repository, digest, from).await,
            Source::Layout(layout) => layout.blob(digest, from).await,
            Source::Registry(registry) => registry.blob(repository, digest, from).await,
        }
    }

    /// Manifests that name this one as their subject, where [`Source::images`] does not name them anyway.
    ///
    /// # Errors
    /// The source cannot be read.
    pub async fn referrers(&self, repository: &str, subject: &Digest) -> Result<Vec<Reference>, SourceError> {
        match self {
            Source::Tree(_) | Source::Layout(_) => Ok(Vec::new()),
            Source::Registry(registry) => registry.referrers(repository, subject).await,
        }
    }
}
