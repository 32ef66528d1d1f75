//! Images made on the spot: no test downloads one.

use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::caller::Contents;

/// The OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Bytes with their digest and media type.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob {
    /// What the bytes are.
    pub media_type: String,
    /// `sha256:…` of the bytes.
    pub digest: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// Takes the digest of `bytes`.
    #[must_use]
    pub fn new(media_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { media_type: media_type.to_owned(), digest: sha256(&bytes), bytes }
    }

    /// `size` random bytes.
    #[must_use]
    pub fn random(size: usize) -> Self {
        Self::new("application/octet-stream", random(size))
    }

    /// A JSON document, written compactly.
    #[must_use]
    pub fn json(media_type: &str, value: &Value) -> Self {
        Self::new(media_type, value.to_string())
    }

    /// Its descriptor: `mediaType`, `digest`, `size`.
    #[must_use]
    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({} bytes)", self.media_type, self.digest, self.bytes.len())
    }
}

/// Whatever can be pushed as a whole: an image, an index, an artifact.
pub trait Parcel {
    /// All configs and layers.
    fn blobs(&self) -> Vec<&Blob>;

    /// All manifests, each after those it names; the root is the last.
    fn manifests(&self) -> Vec<&Blob>;

    /// The manifest that a tag names.
    fn root(&self) -> &Blob {
        self.manifests().pop().expect("there is a root")
    }

    /// The digest of the root.
    fn digest(&self) -> &str {
        &self.root().digest
    }

    /// Every byte, by digest, to compare with [`crate::Caller::contents`].
    fn contents(&self) -> Contents {
        let parts = self.blobs().into_iter().chain(self.manifests());
        parts.map(|part| (part.digest.clone(), part.bytes.clone())).collect()
    }

    /// Writes an OCI image layout with the root under `tag`.
    #[track_caller]
    fn write_oci_layout(&self, folder: &Path, tag: &str) {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("a folder can be made");
        for part in self.blobs().into_iter().chain(self.manifests()) {
            let name = part.digest.trim_start_matches("sha256:");
            std::fs::write(blobs.join(name), &part.bytes).expect("a blob can be written");
        }
        let mut root = self.root().descriptor();
        root["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [root]});
        std::fs::write(folder.join("index.json"), index.to_string()).expect("the index can be written");
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("the marker can be written");
    }
}

/// A small image that really runs: busybox in one layer, and a file that no other image has in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `amd64` or another word for a processor.
    pub architecture: String,
    /// The content of `/secret.txt` in the image.
    pub secret: String,
    /// The image config.
    pub config: Blob,
    /// The layers, gzip.
    pub layers: Vec<Blob>,
    /// The manifest.
    pub manifest: Blob,
    tars: Vec<Vec<u8>>,
}

impl Image {
    /// An image for this machine.
    #[must_use]
    pub fn busybox() -> Self {
        let own = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        Self::busybox_for(own)
    }

    /// An image that says it is for `architecture`; only the words in its config differ.
    #[must_use]
    pub fn busybox_for(architecture: &str) -> Self {
        let secret = random_hex(32);
        let program = std::fs::read(crate::tool("busybox")).expect("busybox can be read");
        Self::of(
            architecture,
            &secret,
            vec![
                tar(&[("bin/busybox", 0o755, &program), ("bin/sh", 0o755, &program)]),
                tar(&[("secret.txt", 0o644, secret.as_bytes())]),
            ],
        )
    }

    /// An image of one layer with one random file of `size` bytes.
    #[must_use]
    pub fn random(size: usize) -> Self {
        Self::of("amd64", "", vec![tar(&[("noise", 0o644, &random(size))])])
    }

    fn of(architecture: &str, secret: &str, tars: Vec<Vec<u8>>) -> Self {
        let layers: Vec<Blob> = tars.iter().map(|tar| Blob::new(LAYER, gzip(tar))).collect();
        let config = Blob::json(
            CONFIG,
            &json!({
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": tars.iter().map(|tar| sha256(tar)).collect::<Vec<_>>()},
                "history": tars.iter().map(|_| json!({"created_by": "packhouse tests"})).collect::<Vec<_>>(),
            }),
        );
        let manifest = Blob::json(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(),
                "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
            }),
        );
        let (architecture, secret) = (architecture.to_owned(), secret.to_owned());
        Self { architecture, secret, config, layers, manifest, tars }
    }

    /// Writes the archive that `docker load` and `docker-archive:` read.
    #[track_caller]
    pub fn write_docker_archive(&self, file: &Path, name: &str) {
        let config = format!("{}.json", self.config.digest.trim_start_matches("sha256:"));
        let layers: Vec<String> = (0..self.tars.len()).map(|number| format!("layer{number}.tar")).collect();
        let list = json!([{"Config": config, "RepoTags": [name], "Layers": layers}]).to_string();
        let mut files = vec![("manifest.json", 0o644, list.as_bytes())];
        files.push((&config, 0o644, &self.config.bytes));
        files.extend(layers.iter().zip(&self.tars).map(|(name, tar)| (name.as_str(), 0o644, tar.as_slice())));
        std::fs::write(file, tar(&files)).expect("the archive can be written");
    }
}

impl Parcel for Image {
    fn blobs(&self) -> Vec<&Blob> {
        std::iter::once(&self.config).chain(&self.layers).collect()
    }

    fn manifests(&self) -> Vec<&Blob> {
        vec![&self.manifest]
    }
}

/// `sha256:…` of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// `size` random bytes.
#[must_use]
pub fn random(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// `digits` random hexadecimal digits; an even number.
#[must_use]
pub fn random_hex(digits: usize) -> String {
    hex(&random(digits / 2))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A tar archive of files (name, mode, content) and the folders they are in.
#[must_use]
pub fn tar(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut folders: Vec<&str> =
        files.iter().filter_map(|(name, ..)| Some(name.rsplit_once('/')?.0)).collect();
    folders.dedup();
    for folder in folders {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        archive
            .append_data(&mut header, format!("{folder}/"), std::io::empty())
            .expect("memory can be written");
    }
    for (name, mode, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, *content).expect("memory can be written");
    }
    archive.into_inner().expect("memory can be written")
}

/// The same bytes, compressed the same way each time.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}
