//! One client: it behaves as real ones do, and remembers what it was promised.

use crate::PROMISED;
use packhouse_tests::image::{random, sha256};
use packhouse_tests::{Answer, Caller};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BYTES: &str = "application/octet-stream";

/// Layers that clients share at a time; after some seconds there are others.
const SHARED: u64 = 24;
const SHARED_SECONDS: u64 = 4;
/// Images that a client keeps.
const KEPT: usize = 3;

/// A layer that every client can make: the same number is the same bytes.
fn shared_layer(number: u64) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().repeat(200);
    bytes.extend_from_slice(sha256(&bytes).as_bytes());
    bytes
}

struct Image {
    tag: String,
    digest: String,
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

/// Pushes, pulls and deletes in a package of its own.
pub(crate) struct Client {
    package: String,
    door: Caller,
    other: Caller,
    state: u64,
    images: VecDeque<Image>,
    gone: Option<Image>,
    tags: u64,
    counts: [u64; 6],
}

/// What it counts.
const PUSHED: usize = 0;
const SKIPPED: usize = 1;
const MOUNTED: usize = 2;
const PULLED: usize = 3;
const DELETED: usize = 4;
const AGAIN: usize = 5;

impl Client {
    pub(crate) fn new(number: u64, door: Caller, other: Caller) -> Self {
        Client {
            package: format!("mona/package-{number}"),
            door,
            other,
            state: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            images: VecDeque::new(),
            gone: None,
            tags: 0,
            counts: [0; 6],
        }
    }

    /// What it did, in words.
    pub(crate) fn sum(&self) -> String {
        let [pushed, skipped, mounted, pulled, deleted, again] = self.counts;
        format!(
            "{}: {pushed} images pushed ({skipped} blobs skipped, {mounted} mounted), {pulled} pulled, {deleted} deleted, \
             {again} pushed again",
            self.package
        )
    }

    /// The next of a sequence that depends on the client's number alone (xorshift).
    fn dice(&mut self, sides: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % sides
    }

    /// One act.
    pub(crate) fn act(&mut self, elapsed: Duration) {
        match self.dice(10) {
            0..=5 => self.push_new(elapsed),
            6..=7 => self.pull(),
            _ => self.push_again(),
        }
        while self.images.len() > KEPT {
            self.delete();
        }
    }

    fn push_new(&mut self, elapsed: Duration) {
        let age = elapsed.as_secs() / SHARED_SECONDS;
        let mut blobs = vec![random(200)];
        for _ in 0..=self.dice(2) {
            let layer = age * SHARED + self.dice(SHARED);
            blobs.push(shared_layer(layer));
        }
        self.tags += 1;
        let manifest = manifest(&blobs);
        let image = Image { tag: format!("v{}", self.tags), digest: sha256(&manifest), manifest, blobs };
        self.push(image);
    }

    /// An image that was deleted comes back: what it needs may be there still, or be gone already.
    fn push_again(&mut self) {
        if let Some(image) = self.gone.take() {
            self.counts[AGAIN] += 1;
            self.push(image);
        }
    }

    fn push(&mut self, image: Image) {
        let began = Instant::now();
        for blob in &image.blobs {
            self.bring(blob);
        }
        let path = format!("/v2/{}/manifests/{}", self.package, image.tag);
        let answer = self.door.send_bytes("PUT", &path, IMAGE, &image.manifest);
        if answer.status != 201 && began.elapsed() > PROMISED {
            // The machine was so slow that the promises ended; a client would begin again.
            return;
        }
        assert_eq!(answer.status, 201, "after {:?}: {answer}", began.elapsed());
        self.counts[PUSHED] += 1;
        self.images.push_back(image);
    }

    /// As clients do: ask, then try to mount, then send.
    fn bring(&mut self, blob: &[u8]) {
        let digest = sha256(blob);
        if self.door.head(&format!("/v2/{}/blobs/{digest}", self.package)).status == 200 {
            self.counts[SKIPPED] += 1;
            return;
        }
        let from = format!("mona/package-{}", self.dice(crate::CLIENTS));
        let uploads = format!("/v2/{}/blobs/uploads/", self.package);
        let begun = if self.dice(2) == 0 && from != self.package {
            self.door.send_bytes("POST", &format!("{uploads}?mount={digest}&from={from}"), BYTES, b"")
        } else {
            self.door.send_bytes("POST", &uploads, BYTES, b"")
        };
        if begun.status == 201 {
            self.counts[MOUNTED] += 1;
            return;
        }
        assert_eq!(begun.status, 202, "{begun}");
        let place = begun.header("location").expect("a Location").to_owned();
        let mark = if place.contains('?') { '&' } else { '?' };
        let sent = self.door.send_bytes("PUT", &format!("{place}{mark}digest={digest}"), BYTES, blob);
        assert_eq!(sent.status, 201, "{sent}");
    }

    /// By another node than the one that it pushes to.
    fn pull(&mut self) {
        let count = self.images.len() as u64;
        if count == 0 {
            return;
        }
        let at = usize::try_from(self.dice(count)).unwrap();
        check(&self.other, &self.package, &self.images[at]);
        self.counts[PULLED] += 1;
    }

    fn delete(&mut self) {
        let Some(image) = self.images.pop_front() else { return };
        let path = format!("/v2/{}/manifests/{}", self.package, image.digest);
        let answer = self.door.delete(&path);
        assert_eq!(answer.status, 202, "{answer}");
        assert_eq!(self.other.head(&path).status, 404, "what was deleted is gone at every node");
        self.counts[DELETED] += 1;
        self.gone = Some(image);
    }

    /// Everything that it did not delete is there, and whole.
    pub(crate) fn finds_what_it_kept(&mut self) {
        for image in &self.images {
            check(&self.door, &self.package, image);
        }
    }
}

fn check(door: &Caller, package: &str, image: &Image) {
    let found = door.get(&format!("/v2/{package}/manifests/{}", image.tag));
    assert_eq!((found.status, &found.body), (200, &image.manifest), "{package}:{}", image.tag);
    for blob in &image.blobs {
        let digest = sha256(blob);
        let found: Answer = door.get(&format!("/v2/{package}/blobs/{digest}"));
        assert_eq!(found.status, 200, "{package}@{digest}: {found}");
        assert!(found.body == *blob, "{package}@{digest}: other bytes");
    }
}

fn descriptor(media_type: &str, blob: &[u8]) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, sha256(blob), blob.len())
}

fn manifest(blobs: &[Vec<u8>]) -> Vec<u8> {
    let layers: Vec<String> = blobs[1..].iter().map(|blob| descriptor(LAYER, blob)).collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{},"layers":[{}]}}"#,
        descriptor(CONFIG, &blobs[0]),
        layers.join(",")
    )
    .into_bytes()
}

/// A cache as BuildKit keeps it: an index whose children are layers.
pub(crate) struct Cache {
    blobs: Vec<Vec<u8>>,
}

impl Cache {
    pub(crate) fn push(door: &Caller) -> Self {
        let blobs: Vec<Vec<u8>> = (0..3).map(|_| random(5_000)).collect();
        for blob in &blobs {
            let path = format!("/v2/mona/cache/blobs/uploads/?digest={}", sha256(blob));
            assert_eq!(door.send_bytes("POST", &path, BYTES, blob).status, 201);
        }
        let children: Vec<String> = blobs.iter().map(|blob| descriptor(LAYER, blob)).collect();
        let index =
            format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, children.join(","));
        let pushed = door.send_bytes("PUT", "/v2/mona/cache/manifests/cache", INDEX, index.as_bytes());
        assert_eq!(pushed.status, 201, "{pushed}");
        Cache { blobs }
    }

    pub(crate) fn is_whole(&mut self, door: &Caller) {
        for blob in &self.blobs {
            let found = door.get(&format!("/v2/mona/cache/blobs/{}", sha256(blob)));
            assert!(found.status == 200 && found.body == *blob, "a blob of the cache: {}", found.status);
        }
    }
}
