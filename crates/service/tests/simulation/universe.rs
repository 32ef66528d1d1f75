//! What is pushed in a simulation: few blobs and manifests, so that everybody meets.

use packhouse_oci::{Algorithm, Digest};
use std::sync::OnceLock;

pub(crate) const PACKAGES: [&str; 2] = ["mona/one", "mona/two"];
pub(crate) const TAGS: [&str; 2] = ["v1", "v2"];

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Manifest {
    pub(crate) name: &'static str,
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
    /// Config and layers.
    pub(crate) needs: Vec<Digest>,
    /// Blobs that it names as children, as BuildKit's caches do.
    pub(crate) blob_children: Vec<Digest>,
    /// Manifests that go and come back with it: children, and what refers to any of them.
    pub(crate) parts: Vec<Digest>,
}

pub(crate) struct Universe {
    pub(crate) blobs: Vec<Blob>,
    pub(crate) manifests: Vec<Manifest>,
}

pub(crate) fn universe() -> &'static Universe {
    static UNIVERSE: OnceLock<Universe> = OnceLock::new();
    UNIVERSE.get_or_init(make)
}

impl Universe {
    pub(crate) fn blob(&self, digest: &Digest) -> Option<&Blob> {
        self.blobs.iter().find(|blob| blob.digest == *digest)
    }
    pub(crate) fn manifest(&self, digest: &Digest) -> &Manifest {
        self.manifests.iter().find(|manifest| manifest.digest == *digest).unwrap()
    }
}

impl Manifest {
    /// All blobs that it keeps.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        self.needs.iter().chain(&self.blob_children).copied()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

fn descriptor(media_type: &str, digest: Digest, size: usize) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

fn make() -> Universe {
    let blobs: Vec<Blob> = (0..8_usize)
        .map(|number| {
            let bytes = format!("blob {number} {}", "~".repeat(number * 3)).into_bytes();
            Blob { digest: sha256(&bytes), bytes }
        })
        .collect();
    let named = |media_type: &str, number: usize| {
        descriptor(media_type, blobs[number].digest, blobs[number].bytes.len())
    };
    let image = |name: &'static str, config: usize, layers: &[usize], subject: Option<&Manifest>| {
        let named_layers: Vec<String> = layers.iter().map(|layer| named(LAYER, *layer)).collect();
        let subject = subject.map_or(String::new(), |of| {
            format!(r#","subject":{}"#, descriptor(of.media_type, of.digest, of.bytes.len()))
        });
        let bytes = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]{subject}}}"#,
            named(CONFIG, config),
            named_layers.join(",")
        );
        let needs = std::iter::once(config).chain(layers.iter().copied()).map(|at| blobs[at].digest);
        made(name, MANIFEST, bytes, needs.collect(), Vec::new(), Vec::new())
    };
    let first = image("first", 5, &[0, 1], None);
    let second = image("second", 6, &[1, 2], None);
    let third = image("third", 7, &[2, 3], None);
    let referrer = image("referrer", 5, &[3], Some(&first));
    let children: Vec<String> =
        [&first, &second].map(|of| descriptor(of.media_type, of.digest, of.bytes.len())).to_vec();
    let index = index("index", &children, Vec::new(), vec![first.digest, second.digest, referrer.digest]);
    let cached = [named(LAYER, 0), named(LAYER, 4)];
    let cache = self::index("cache", &cached, vec![blobs[0].digest, blobs[4].digest], Vec::new());
    let first = Manifest { parts: vec![referrer.digest], ..first };
    Universe { manifests: vec![first, second, third, referrer, index, cache], blobs }
}

fn index(
    name: &'static str,
    children: &[String],
    blob_children: Vec<Digest>,
    parts: Vec<Digest>,
) -> Manifest {
    let children = children.join(",");
    let bytes = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{children}]}}"#);
    made(name, INDEX, bytes, Vec::new(), blob_children, parts)
}

fn made(
    name: &'static str,
    media_type: &'static str,
    bytes: String,
    needs: Vec<Digest>,
    blob_children: Vec<Digest>,
    parts: Vec<Digest>,
) -> Manifest {
    let bytes = bytes.into_bytes();
    Manifest { name, digest: sha256(&bytes), bytes, media_type, needs, blob_children, parts }
}
