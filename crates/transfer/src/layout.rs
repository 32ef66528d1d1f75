//! OCI layouts (image-spec, image-layout.md): a folder, or a tar of one, as skopeo, crane, oras, buildah and
//! `docker save` make them.
//!
//! `index.json` names the manifests; the annotation `org.opencontainers.image.ref.name` of one is its tag. Some
//! programs write a whole reference there, of which the tag is taken.
//!
//! Left out: compressed tars, whose middle cannot be read without their beginning.

mod archive;
#[cfg(test)]
mod tests;

use crate::beneath::Beneath;
use crate::{Image, MANIFEST_BYTES_MAX, ManifestBytes, PAGE_MAX, Page, SourceBlob, SourceBody, SourceError};
use archive::Archive;
use packhouse_oci::{Descriptor, Digest, Manifest, ManifestError, MediaType, Reference, Tag};
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// The annotation with the tag.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What `oci-layout` holds, and how long it may be.
const MARK_BYTES_MAX: u64 = 4096;

/// An OCI layout.
#[derive(Clone, Debug)]
pub struct Layout {
    path: PathBuf,
    place: Arc<Place>,
    index: Arc<Vec<Descriptor>>,
}

#[derive(Debug)]
enum Place {
    Folder(Beneath),
    Tar(Archive),
}

impl Layout {
    /// Opens a layout. Reads `index.json`, and of a tar the names of its files. Blocks.
    ///
    /// # Errors
    /// There is none, or it is not one.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let kind = std::fs::metadata(path).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => SourceError::Absent { path: path.to_owned(), hint: "" },
            _ => SourceError::Read { path: path.to_owned(), cause },
        })?;
        let place = if kind.is_dir() {
            Place::Folder(Beneath::open(path)?)
        } else {
            Place::Tar(Archive::open(path)?)
        };
        let not = |why: String| SourceError::NotLayout { path: path.to_owned(), why };
        let mark = place.read(&["oci-layout"], MARK_BYTES_MAX)?;
        let mark = mark.ok_or_else(|| not("it has no file `oci-layout`".to_owned()))?;
        let version =
            serde_json::from_slice::<Mark>(&mark).map_err(|error| not(format!("`oci-layout`: {error}")))?;
        if !version.image_layout_version.starts_with("1.") {
            let version: String = version.image_layout_version.chars().take(30).collect();
            return Err(not(format!("its version is `{version}`, and only 1 is known")));
        }
        let index = place.read(&["index.json"], MANIFEST_BYTES_MAX)?;
        let index = index.ok_or_else(|| not("it has no file `index.json`".to_owned()))?;
        let index = Manifest::parse(Some(&MediaType::OCI_INDEX), &index)?;
        Ok(Self { path: path.to_owned(), place: Arc::new(place), index: Arc::new(index.manifests) })
    }

    /// The one image that has a tag, or that is the only one and gets it; and what refers to it. Blocks.
    ///
    /// # Errors
    /// There are several, and none has the tag.
    pub fn one(mut self, tag: &Tag) -> Result<Self, SourceError> {
        let tagged = self.index.iter().find(|entry| tag_of(entry).as_ref() == Some(tag));
        let root = match (tagged, self.index.as_slice()) {
            (Some(entry), _) => entry,
            (None, [only]) => only,
            (None, _) => {
                match self.index.iter().filter(|entry| tag_of(entry).is_some()).collect::<Vec<_>>()[..] {
                    // The others refer to it.
                    [only] => only,
                    _ => {
                        let why =
                            format!("it names {} manifests, and none of them as `{tag}`", self.index.len());
                        return Err(SourceError::NotLayout { path: self.path, why });
                    }
                }
            }
        };
        let mut kept =
            vec![Descriptor { annotations: [(REF_NAME.to_owned(), tag.to_string())].into(), ..root.clone() }];
        let mut subjects = HashSet::from([root.digest]);
        if let Some(Ok(index)) = self.parsed(root)? {
            subjects.extend(index.manifests.iter().map(|child| child.digest));
        }
        // Referrers of referrers come behind their subjects, as whoever wrote them had to.
        for entry in self.index.iter().filter(|entry| tag_of(entry).is_none()).take(PAGE_MAX) {
            let subject = self.parsed(entry)?.and_then(Result::ok).and_then(|manifest| manifest.subject);
            if subject.is_some_and(|subject| subjects.contains(&subject.digest)) {
                subjects.insert(entry.digest);
                kept.push(entry.clone());
            }
        }
        self.index = Arc::new(kept);
        Ok(self)
    }

    fn parsed(&self, entry: &Descriptor) -> Result<Option<Result<Manifest, ManifestError>>, SourceError> {
        let (algorithm, hex) = (entry.digest.algorithm().to_string(), entry.digest.hex());
        let bytes = self.place.read(&["blobs", &algorithm, &hex], MANIFEST_BYTES_MAX)?;
        Ok(bytes.map(|bytes| Manifest::parse(Some(&entry.media_type), &bytes)))
    }

    pub(crate) async fn images(&self) -> Result<Page<Image>, SourceError> {
        let image = |tag: Option<Tag>, number: usize, entry: &Descriptor| Image {
            key: format!("{}:{number}", if tag.is_some() { "t" } else { "r" }),
            manifest: Ok(Reference::Digest(entry.digest)),
            tag,
        };
        let entries = || self.index.iter().enumerate();
        let manifests = entries().map(|(number, entry)| image(None, number, entry));
        let tags = entries().filter_map(|(number, entry)| Some(image(Some(tag_of(entry)?), number, entry)));
        Ok(Page { items: manifests.chain(tags).collect(), next: None })
    }

    pub(crate) async fn manifest(&self, digest: &Digest) -> Result<Option<ManifestBytes>, SourceError> {
        let (place, digest) = (Arc::clone(&self.place), *digest);
        let read = spawn_blocking(move || {
            let (algorithm, hex) = (digest.algorithm().to_string(), digest.hex());
            place.read(&["blobs", &algorithm, &hex], MANIFEST_BYTES_MAX)
        });
        let Some(bytes) = read.await.unwrap_or_else(|_| Err(self.ended()))? else { return Ok(None) };
        let found = Digest::of(digest.algorithm(), &bytes);
        if found != digest {
            return Err(SourceError::Damaged { expected: digest, found });
        }
        // What the index says of it, should it not say so itself.
        let media_type = self.index.iter().find(|entry| entry.digest == digest);
        let media_type = media_type.map(|entry| entry.media_type.clone());
        Ok(Some(ManifestBytes { digest, media_type, bytes }))
    }

    pub(crate) async fn blob(&self, digest: &Digest, from: u64) -> Result<Option<SourceBlob>, SourceError> {
        let (place, hex, algorithm) = (Arc::clone(&self.place), digest.hex(), digest.algorithm().to_string());
        let path = self.path.join("blobs").join(&algorithm).join(&hex);
        let opened = spawn_blocking(move || place.file(&["blobs", &algorithm, &hex]));
        let Some(Extent { file, first, end }) = opened.await.unwrap_or_else(|_| Err(self.ended()))? else {
            return Ok(None);
        };
        let body = SourceBody::of_file(file, path, first.saturating_add(from), end);
        Ok(Some(SourceBlob { size: Some(end - first), body }))
    }

    fn ended(&self) -> SourceError {
        let what = format!("reading `{}`", self.path.display());
        SourceError::Answer { what, why: "a task ended early".to_owned() }
    }
}

#[derive(serde::Deserialize)]
struct Mark {
    #[serde(rename = "imageLayoutVersion")]
    image_layout_version: String,
}

/// The tag of an entry: the whole annotation, or what is behind the last colon of a reference.
pub(crate) fn tag_of(entry: &Descriptor) -> Option<Tag> {
    let name = entry.annotations.get(REF_NAME)?;
    name.parse().ok().or_else(|| name.rsplit_once(':')?.1.parse().ok())
}

/// Some bytes of a file.
#[derive(Debug)]
pub(crate) struct Extent {
    file: File,
    first: u64,
    end: u64,
}

impl Place {
    fn file(&self, parts: &[&str]) -> Result<Option<Extent>, SourceError> {
        match self {
            Place::Folder(folder) => {
                Ok(folder.file(parts)?.map(|(file, size)| Extent { file, first: 0, end: size }))
            }
            Place::Tar(archive) => archive.file(&parts.join("/")),
        }
    }

    fn read(&self, parts: &[&str], max: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(Extent { mut file, first, end }) = self.file(parts)? else { return Ok(None) };
        let what = parts.join("/");
        if end - first > max {
            return Err(SourceError::Large { what: format!("`{what}`"), max });
        }
        let mut bytes = Vec::new();
        let read =
            file.seek(SeekFrom::Start(first)).and_then(|_| file.take(end - first).read_to_end(&mut bytes));
        read.map_err(SourceError::read(what))?;
        Ok(Some(bytes))
    }
}
