//! Larger things than one image: indexes and artifacts.

use serde_json::{Value, json};

use crate::image::{Blob, INDEX, Image, MANIFEST, Parcel};

/// An index over images for several platforms, or over other indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The images it reaches, directly or through other indexes.
    pub images: Vec<Image>,
    /// The indexes below this one.
    pub inner: Vec<Index>,
    /// The index document.
    pub manifest: Blob,
}

impl Index {
    /// One image each for amd64 and arm64.
    #[must_use]
    pub fn of_two_platforms() -> Self {
        Self::over(vec![Image::busybox_for("amd64"), Image::busybox_for("arm64")])
    }

    /// An index over these images.
    #[must_use]
    pub fn over(images: Vec<Image>) -> Self {
        let entries: Vec<Value> = images
            .iter()
            .map(|image| {
                let mut entry = image.manifest.descriptor();
                entry["platform"] = json!({"architecture": image.architecture, "os": "linux"});
                entry
            })
            .collect();
        Self { manifest: document(&entries), images, inner: Vec::new() }
    }

    /// An index over an index of two platforms.
    #[must_use]
    pub fn nested() -> Self {
        let inner = Self::of_two_platforms();
        Self { manifest: document(&[inner.manifest.descriptor()]), images: Vec::new(), inner: vec![inner] }
    }

    /// The image for `architecture`.
    #[track_caller]
    #[must_use]
    pub fn image_for(&self, architecture: &str) -> &Image {
        self.images.iter().find(|image| image.architecture == architecture).expect("there is such an image")
    }
}

impl Parcel for Index {
    fn blobs(&self) -> Vec<&Blob> {
        let below = self.inner.iter().flat_map(Self::blobs);
        self.images.iter().flat_map(Image::blobs).chain(below).collect()
    }

    fn manifests(&self) -> Vec<&Blob> {
        let below = self.inner.iter().flat_map(Self::manifests);
        self.images.iter().flat_map(Image::manifests).chain(below).chain([&self.manifest]).collect()
    }
}

/// Something that is no image: one blob of any type, perhaps about another manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The two bytes `{}` that artifacts have for a config (image-spec, "guidelines for artifact usage").
    pub config: Blob,
    /// What it carries.
    pub content: Blob,
    /// The manifest.
    pub manifest: Blob,
}

impl Artifact {
    /// An artifact of `artifact_type` with random content, about the manifest `subject` if there is one.
    #[must_use]
    pub fn new(artifact_type: &str, subject: Option<&Blob>) -> Self {
        let config = Blob::new("application/vnd.oci.empty.v1+json", "{}");
        let content = Blob::random(1_000);
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": config.descriptor(),
            "layers": [content.descriptor()],
        });
        if let Some(subject) = subject {
            manifest["subject"] = subject.descriptor();
        }
        Self { manifest: Blob::json(MANIFEST, &manifest), config, content }
    }
}

impl Parcel for Artifact {
    fn blobs(&self) -> Vec<&Blob> {
        vec![&self.config, &self.content]
    }

    fn manifests(&self) -> Vec<&Blob> {
        vec![&self.manifest]
    }
}

fn document(entries: &[Value]) -> Blob {
    Blob::json(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
}
