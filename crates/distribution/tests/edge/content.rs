//! What is pushed: blobs, images, indexes. Builders say only what matters to a test.

use crate::answer::Answer;
use crate::house::Caller;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const OCI_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
pub(crate) const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `sha256:…` of some bytes.
pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// `sha512:…` of some bytes.
pub(crate) fn sha512(bytes: impl AsRef<[u8]>) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes)))
}

/// The digest of nothing that anyone pushed.
pub(crate) fn unknown() -> String {
    sha256("never pushed")
}

/// A descriptor of some bytes.
pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() })
}

/// A manifest, with the type to send it by.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
    /// Its config and layers; none for an index.
    pub(crate) blobs: Vec<Vec<u8>>,
}

impl Manifest {
    pub(crate) fn of(media_type: &str, json: &Value) -> Self {
        Manifest {
            media_type: media_type.to_owned(),
            bytes: json.to_string().into_bytes(),
            blobs: Vec::new(),
        }
    }

    /// Its sha256 digest.
    pub(crate) fn digest(&self) -> String {
        sha256(&self.bytes)
    }

    /// A descriptor of it.
    pub(crate) fn descriptor(&self) -> Value {
        descriptor(&self.media_type, &self.bytes)
    }
}

/// An image to be.
#[derive(Clone)]
pub(crate) struct Image {
    config: Vec<u8>,
    layers: Vec<Vec<u8>>,
    fields: Value,
}

/// An image without layers.
pub(crate) fn image() -> Image {
    Image {
        config: br#"{"architecture":"amd64","os":"linux"}"#.to_vec(),
        layers: Vec::new(),
        fields: json!({}),
    }
}

impl Image {
    pub(crate) fn config(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.config = bytes.as_ref().to_vec();
        self
    }

    pub(crate) fn layer(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.layers.push(bytes.as_ref().to_vec());
        self
    }

    /// With a field of its manifest, in place of the usual one.
    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.fields[field] = value;
        self
    }

    /// Refers to `subject`.
    pub(crate) fn subject(self, subject: &Manifest) -> Self {
        let subject = subject.descriptor();
        self.with("subject", subject)
    }

    pub(crate) fn manifest(&self) -> Manifest {
        let layers: Vec<Value> = self.layers.iter().map(|layer| descriptor(OCI_LAYER, layer)).collect();
        let mut json = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, &self.config),
            "layers": layers,
        });
        for (field, value) in self.fields.as_object().unwrap() {
            json[field] = value.clone();
        }
        let mut blobs = vec![self.config.clone()];
        blobs.extend(self.layers.iter().cloned());
        let media_type = json["mediaType"].as_str().unwrap_or(OCI_MANIFEST).to_owned();
        Manifest { blobs, ..Manifest::of(&media_type, &json) }
    }
}

/// An index of some manifests.
pub(crate) fn index(children: &[&Manifest]) -> Manifest {
    let children: Vec<Value> = children.iter().map(|child| child.descriptor()).collect();
    Manifest::of(OCI_INDEX, &json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children }))
}

impl Caller {
    /// Pushes a blob in one request; its digest.
    pub(crate) async fn push_blob(&self, package: &str, bytes: impl AsRef<[u8]>) -> String {
        let digest = sha256(&bytes);
        let answer = self.post_blob(package, &digest, bytes).await;
        assert_eq!(answer.says(), "201", "{answer}");
        digest
    }

    /// `POST …?digest=` with a body.
    pub(crate) async fn post_blob(&self, package: &str, digest: &str, bytes: impl AsRef<[u8]>) -> Answer {
        let target = format!("/v2/{package}/blobs/uploads/?digest={digest}");
        self.post(&target).body(bytes.as_ref().to_vec()).await
    }

    /// `PUT` of a manifest, and no more.
    pub(crate) async fn put_manifest(&self, package: &str, reference: &str, manifest: &Manifest) -> Answer {
        let put = self.put(&format!("/v2/{package}/manifests/{reference}"));
        put.header("content-type", &manifest.media_type).body(manifest.bytes.clone()).await
    }

    /// Pushes a manifest, its blobs first.
    pub(crate) async fn push(&self, package: &str, reference: &str, manifest: &Manifest) {
        for blob in &manifest.blobs {
            self.push_blob(package, blob).await;
        }
        let answer = self.put_manifest(package, reference, manifest).await;
        assert_eq!(answer.says(), "201", "{answer}");
        assert_eq!(answer.the("docker-content-digest"), manifest.digest());
    }

    /// Starts an upload session; its location.
    pub(crate) async fn begin(&self, package: &str) -> String {
        let answer = self.post(&format!("/v2/{package}/blobs/uploads/")).await;
        assert_eq!(answer.says(), "202", "{answer}");
        answer.the("location").to_owned()
    }

    /// What a blob reads as; nothing when it is not there.
    pub(crate) async fn blob(&self, package: &str, digest: &str) -> Option<Vec<u8>> {
        let answer = self.get(&format!("/v2/{package}/blobs/{digest}")).await;
        (answer.status == 200).then(|| answer.body.to_vec())
    }

    /// Whether a manifest or a tag is there.
    pub(crate) async fn has(&self, package: &str, reference: &str) -> bool {
        self.get(&format!("/v2/{package}/manifests/{reference}")).await.status == 200
    }

    /// The package's tags.
    pub(crate) async fn tags(&self, package: &str) -> Vec<String> {
        self.get(&format!("/v2/{package}/tags/list")).await.list("tags")
    }
}
