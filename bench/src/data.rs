//! What is pushed: random bytes, and blobs of which no two are alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The type of an image's manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The bytes at the end of a blob that are its own.
const TAIL_BYTES: usize = 64;

/// Numbers that look random, made faster than memory takes them (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by the system.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(std::io::Error::other).context("no random numbers")?;
        Ok(Self(u64::from_ne_bytes(seed)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_ne_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// Random bytes to cut blobs from.
#[derive(Debug, Clone)]
pub(crate) struct Stock {
    bytes: Arc<Vec<u8>>,
    /// Differs from blob to blob, whatever stock they are of.
    counter: Arc<AtomicU64>,
    mark: u64,
}

impl Stock {
    pub(crate) fn new(length: usize) -> anyhow::Result<Self> {
        let mut random = Random::new()?;
        let (bytes, mark) = (random.bytes(length), random.next());
        Ok(Self { bytes: Arc::new(bytes), counter: Arc::default(), mark })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Blobs of one length. All of their bytes are random; the last 64 are each blob's own, so that a digest costs
    /// nothing while the clock runs: the rest was hashed here.
    pub(crate) fn cut(&self, length: usize) -> Cut {
        let head = length.saturating_sub(TAIL_BYTES).min(self.bytes.len());
        let state = Sha256::new_with_prefix(&self.bytes[..head]);
        Cut { stock: self.clone(), head, tail: length - head, state }
    }
}

/// Makes blobs of one length.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    stock: Stock,
    head: usize,
    tail: usize,
    state: Sha256,
}

impl Cut {
    /// A blob that was never there before.
    pub(crate) fn blob(&self) -> Blob {
        let number = self.stock.counter.fetch_add(1, Ordering::Relaxed);
        let tail = Random(self.stock.mark ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03)).bytes(self.tail);
        let digest = digest_of(self.state.clone().chain_update(&tail));
        let head = Some((Arc::clone(&self.stock.bytes), self.head));
        Blob { head, tail, digest, media_type: LAYER }
    }
}

/// Bytes with a digest.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    head: Option<(Arc<Vec<u8>>, usize)>,
    tail: Vec<u8>,
    pub(crate) digest: String,
    media_type: &'static str,
}

impl Blob {
    pub(crate) fn of(bytes: Vec<u8>, media_type: &'static str) -> Self {
        let digest = digest_of(Sha256::new_with_prefix(&bytes));
        Self { head: None, tail: bytes, digest, media_type }
    }

    pub(crate) fn len(&self) -> usize {
        self.head.as_ref().map_or(0, |(_, length)| *length) + self.tail.len()
    }

    /// Its bytes, in two pieces.
    pub(crate) fn pieces(&self) -> [&[u8]; 2] {
        self.part(0, self.len())
    }

    /// Its bytes from one place up to another, in two pieces.
    pub(crate) fn part(&self, from: usize, to: usize) -> [&[u8]; 2] {
        let head = self.head.as_ref().map_or(&[][..], |(bytes, length)| &bytes[..*length]);
        let middle = head.len();
        let tail = &self.tail[from.max(middle) - middle..to.max(middle) - middle];
        [&head[from.min(middle)..to.min(middle)], tail]
    }

    fn descriptor(&self) -> serde_json::Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.len()})
    }
}

/// An image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The config, then the layers.
    pub(crate) blobs: Vec<Blob>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) digest: String,
}

impl Image {
    /// An image of these layers, with a config of its own. `subject` is a manifest that this one is about.
    pub(crate) fn new(layers: Vec<Blob>, subject: Option<&Image>) -> Self {
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        let rootfs = json!({"type": "layers", "diff_ids": diff_ids});
        let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs});
        let config = Blob::of(config.to_string().into_bytes(), CONFIG);
        let blobs: Vec<Blob> = std::iter::once(config).chain(layers).collect();
        Self::document(blobs, subject, None)
    }

    /// An artifact of one blob, as signatures are, with a note that makes it another one.
    pub(crate) fn artifact(blob: &Blob, subject: Option<&Image>, note: u64) -> Self {
        Self::document(vec![blob.clone()], subject, Some(note))
    }

    fn document(blobs: Vec<Blob>, subject: Option<&Image>, note: Option<u64>) -> Self {
        let (config, layers) = blobs.split_at(1);
        let layers = if note.is_some() { config } else { layers };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.first().map(Blob::descriptor),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        if let Some(note) = note {
            manifest["artifactType"] = json!("application/vnd.example.note");
            manifest["annotations"] = json!({"number": note.to_string()});
        }
        if let Some(subject) = subject {
            manifest["subject"] =
                json!({"mediaType": MANIFEST, "digest": subject.digest, "size": subject.manifest.len()});
        }
        let manifest = manifest.to_string().into_bytes();
        let digest = digest_of(Sha256::new_with_prefix(&manifest));
        Self { blobs, manifest, digest }
    }
}

/// `sha256:…` of what was hashed.
pub(crate) fn digest_of(hasher: Sha256) -> String {
    let hex: Vec<String> = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_differ_and_have_the_digest_of_their_bytes() {
        let cut = Stock::new(1_000).unwrap().cut(1_000);
        let (one, other) = (cut.blob(), cut.blob());
        assert_ne!(one.digest, other.digest);
        for blob in [&one, &other] {
            assert_eq!(blob.pieces().concat().len(), 1_000);
            assert_eq!(digest_of(Sha256::new_with_prefix(blob.pieces().concat())), blob.digest);
        }
        let parts: Vec<u8> =
            [0, 300, 940, 980].windows(2).flat_map(|ends| one.part(ends[0], ends[1]).concat()).collect();
        assert_eq!(parts, one.pieces().concat()[..980]);
    }
}
