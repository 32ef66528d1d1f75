//! The tests' own view of a registry, through plain HTTP and none of the code under test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{self, HeaderMap, Method, request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody};

use crate::image::{Blob, Parcel, sha256};
use crate::operator::User;

/// Every manifest type a client may ask for.
pub const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// As whom a [`Caller`] speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    Nobody,
    User(User),
    Bearer(String),
}

/// One person's door to a house.
///
/// Requests are sent as they are: no redirect is followed, no status is an error, and a 401 is an answer.
#[derive(Debug, Clone)]
pub struct Caller {
    agent: Agent,
    url: String,
    identity: Identity,
}

impl Caller {
    pub(crate) fn new(url: &str, certificate: Option<PathBuf>, identity: Identity) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(Duration::from_secs(600)))
            .timeout_connect(Some(Duration::from_secs(10)));
        if let Some(file) = certificate {
            let pem = std::fs::read(file).expect("the certificate can be read");
            let certificate = Certificate::from_pem(&pem).expect("the certificate is PEM");
            let roots = RootCerts::new_with_certs(&[certificate]);
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider);
            config = config.tls_config(tls.build());
        }
        Self { agent: config.build().new_agent(), url: url.to_owned(), identity }
    }

    /// The same door of a registry that has another address now.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The same door with a ready bearer token, or any other word, after `Authorization: Bearer`.
    #[must_use]
    pub fn with_bearer(&self, token: &str) -> Self {
        Self { identity: Identity::Bearer(token.to_owned()), ..self.clone() }
    }

    /// The HTTP client, for bodies that are streamed: `caller.agent().run(caller.request(…).body(…)?)`.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// A request with this caller's credentials; `path` begins with a slash, or is an absolute URL as in a
    /// `Location` header.
    #[must_use]
    pub fn request(&self, method: &str, path: &str) -> request::Builder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let url = if path.starts_with('/') { format!("{}{path}", self.url) } else { path.to_owned() };
        let request = http::Request::builder().method(method).uri(url);
        match &self.identity {
            Identity::Nobody => request,
            Identity::User(user) => request.header("authorization", format!("Basic {}", user.auth())),
            Identity::Bearer(token) => request.header("authorization", format!("Bearer {token}")),
        }
    }

    /// Sends a request built with [`Caller::request`].
    ///
    /// # Errors
    ///
    /// When there was no answer: no connection, or it broke off.
    pub fn try_send(&self, request: http::Request<impl AsSendBody>) -> Result<Answer, ureq::Error> {
        let mut response = self.agent.run(request)?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.body_mut().with_config().limit(1 << 30).read_to_vec()?,
        })
    }

    #[track_caller]
    fn send(&self, request: http::Request<impl AsSendBody>) -> Answer {
        let line = format!("{} {}", request.method(), request.uri());
        self.try_send(request).unwrap_or_else(|error| panic!("no answer to {line}: {error}"))
    }

    /// GET, with an `Accept` for every kind of manifest.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path).header("accept", MANIFEST_TYPES).body(()).expect("a request"))
    }

    /// GET while the registry may not be there.
    #[must_use]
    pub fn try_get(&self, path: &str) -> Option<Answer> {
        self.try_send(self.request("GET", path).body(()).expect("a request")).ok()
    }

    /// HEAD, with an `Accept` for every kind of manifest.
    #[track_caller]
    pub fn head(&self, path: &str) -> Answer {
        self.send(self.request("HEAD", path).header("accept", MANIFEST_TYPES).body(()).expect("a request"))
    }

    /// DELETE.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path).body(()).expect("a request"))
    }

    /// POST, PUT or PATCH with a body.
    #[track_caller]
    pub fn send_bytes(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> Answer {
        self.send(
            self.request(method, path).header("content-type", media_type).body(body).expect("a request"),
        )
    }

    /// Fetches a bearer token for `repository:<package>:<actions>` and returns the door with it.
    ///
    /// # Panics
    ///
    /// When the token service refuses.
    #[track_caller]
    #[must_use]
    pub fn with_scope(&self, package: &str, actions: &str) -> Self {
        let host = self.url.rsplit_once('/').map_or("", |(_, host)| host);
        let answer = self.get(&format!("/token?service={host}&scope=repository:{package}:{actions}"));
        assert_eq!(answer.status, 200, "no token for {package}: {answer}");
        let token = answer.json()["token"].as_str().expect("the answer has a token").to_owned();
        self.with_bearer(&token)
    }

    /// Pushes all of it with POST and PUT; the root gets the tag (or digest) `reference`.
    ///
    /// # Panics
    ///
    /// When any answer is not 201 or 202 as it should.
    #[track_caller]
    pub fn push(&self, package: &str, reference: &str, parcel: &impl Parcel) {
        for blob in parcel.blobs() {
            self.push_blob(package, blob);
        }
        let manifests = parcel.manifests();
        let (root, children) = manifests.split_last().expect("there is a root");
        for child in children {
            self.push_manifest(package, &child.digest, child);
        }
        self.push_manifest(package, reference, root);
    }

    /// Pushes one blob with POST and PUT.
    #[track_caller]
    pub fn push_blob(&self, package: &str, blob: &Blob) {
        let session = self.send_bytes("POST", &format!("/v2/{package}/blobs/uploads/"), "text/plain", &[]);
        assert_eq!(session.status, 202, "upload of {blob:?} to {package}: {session}");
        let location = session.header("location").expect("a Location");
        let mark = if location.contains('?') { '&' } else { '?' };
        let put = format!("{location}{mark}digest={}", blob.digest);
        let done = self.send_bytes("PUT", &put, "application/octet-stream", &blob.bytes);
        assert_eq!(done.status, 201, "upload of {blob:?} to {package}: {done}");
    }

    /// Pushes one manifest.
    #[track_caller]
    pub fn push_manifest(&self, package: &str, reference: &str, manifest: &Blob) {
        let path = format!("/v2/{package}/manifests/{reference}");
        let done = self.send_bytes("PUT", &path, &manifest.media_type, &manifest.bytes);
        assert_eq!(done.status, 201, "manifest {reference} of {package}: {done}");
    }

    /// The digest that a tag names now.
    #[track_caller]
    #[must_use]
    pub fn digest_of(&self, package: &str, tag: &str) -> String {
        let door = self.reader_of(package);
        let answer = door.head(&format!("/v2/{package}/manifests/{tag}"));
        assert_eq!(answer.status, 200, "{package}:{tag}: {answer}");
        answer.header("docker-content-digest").expect("a digest").to_owned()
    }

    /// The tags of a package, as the registry lists them.
    #[track_caller]
    #[must_use]
    pub fn tags(&self, package: &str) -> Vec<String> {
        let answer = self.reader_of(package).get(&format!("/v2/{package}/tags/list"));
        assert_eq!(answer.status, 200, "tags of {package}: {answer}");
        let tags = answer.json()["tags"].as_array().cloned().unwrap_or_default();
        tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
    }

    /// Every manifest and blob that `reference` reaches, each checked against its digest.
    ///
    /// # Panics
    ///
    /// When something is missing or its bytes are wrong.
    #[track_caller]
    #[must_use]
    pub fn contents(&self, package: &str, reference: &str) -> Contents {
        let door = self.reader_of(package);
        let mut found = Contents::default();
        let mut wanted = vec![reference.to_owned()];
        while let Some(reference) = wanted.pop() {
            let answer = door.get(&format!("/v2/{package}/manifests/{reference}"));
            assert_eq!(answer.status, 200, "{package} {reference}: {answer}");
            let digest = sha256(&answer.body);
            assert_eq!(
                answer.header("docker-content-digest"),
                Some(digest.as_str()),
                "{package} {reference}"
            );
            assert!(!reference.contains(':') || reference == digest, "{reference} has the bytes of {digest}");
            let manifest = answer.json();
            found.0.insert(digest, answer.body);
            let parts = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
            let digests = |parts: Vec<Value>| {
                parts.iter().filter_map(|part| Some(part["digest"].as_str()?.to_owned())).collect::<Vec<_>>()
            };
            wanted.extend(digests(parts("manifests")));
            let config = manifest.get("config").cloned();
            for digest in digests(config.into_iter().chain(parts("layers")).collect()) {
                let answer = door.get(&format!("/v2/{package}/blobs/{digest}"));
                assert_eq!(answer.status, 200, "{package} {digest}: {answer}");
                assert_eq!(sha256(&answer.body), digest, "the bytes of a blob of {package}");
                found.0.insert(digest, answer.body);
            }
        }
        found
    }

    /// Somebody without credentials needs a token to read even a public package; a user does not.
    #[track_caller]
    fn reader_of(&self, package: &str) -> Self {
        if self.identity == Identity::Nobody { self.with_scope(package, "pull") } else { self.clone() }
    }
}

/// One answer, read to its end.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; `null` if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The code of the first error, as the distribution spec writes it; empty if there is none.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} {:?}", self.status, self.headers)?;
        let start = &self.body[..self.body.len().min(2_000)];
        f.write_str(&String::from_utf8_lossy(start))
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Bytes by digest. Two of them are equal if every byte is; the difference prints as digests and sizes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contents(pub BTreeMap<String, Vec<u8>>);

impl Contents {
    /// All that an OCI image layout reaches from the manifest under `tag` (any tag if `None`).
    ///
    /// # Panics
    ///
    /// When a file is missing or is not what its name says.
    #[track_caller]
    #[must_use]
    pub fn of_layout(folder: &std::path::Path, tag: Option<&str>) -> Self {
        let index: Value =
            serde_json::from_slice(&std::fs::read(folder.join("index.json")).expect("an index"))
                .expect("the index is JSON");
        let mut wanted: Vec<String> = index["manifests"]
            .as_array()
            .expect("a list of manifests")
            .iter()
            .filter(|entry| {
                tag.is_none() || entry["annotations"]["org.opencontainers.image.ref.name"].as_str() == tag
            })
            .filter_map(|entry| Some(entry["digest"].as_str()?.to_owned()))
            .collect();
        let mut found = Self::default();
        while let Some(digest) = wanted.pop() {
            let file = folder.join("blobs").join(digest.replace(':', "/"));
            let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert_eq!(sha256(&bytes), digest, "a file of the layout");
            let manifest: Value = serde_json::from_slice(&bytes).expect("a manifest");
            let parts = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
            for part in manifest.get("config").cloned().into_iter().chain(parts("layers")) {
                let digest = part["digest"].as_str().expect("a digest").to_owned();
                let file = folder.join("blobs").join(digest.replace(':', "/"));
                let bytes =
                    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                assert_eq!(sha256(&bytes), digest, "a file of the layout");
                found.0.insert(digest, bytes);
            }
            wanted.extend(parts("manifests").iter().filter_map(|m| Some(m["digest"].as_str()?.to_owned())));
            found.0.insert(digest, bytes);
        }
        assert!(!found.0.is_empty(), "nothing under {tag:?} in {}", folder.display());
        found
    }
}

impl FromIterator<(String, Vec<u8>)> for Contents {
    fn from_iter<T: IntoIterator<Item = (String, Vec<u8>)>>(parts: T) -> Self {
        Self(parts.into_iter().collect())
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(digest, bytes)| (digest, bytes.len()))).finish()
    }
}
