//! What one writer was promised about its package, and whether the registry keeps it.

use std::collections::{BTreeMap, BTreeSet};

use packhouse_tests::image::sha256;
use packhouse_tests::{Answer, Blob, Caller};

use crate::dice::Dice;

/// Whether something is in the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    There,
    Gone,
}

/// A blob in the package, or one that was.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) state: State,
    /// Never deleted: manifests name it, or other writers mount it.
    pub(crate) lasting: bool,
}

/// A manifest in the package, or one that was.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) state: State,
    pub(crate) blob: Blob,
    pub(crate) subject: Option<String>,
    /// Never deleted: an index or a referrer names it.
    pub(crate) lasting: bool,
}

/// What one request changes, if it is carried out.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Blob { digest: String, lasting: bool },
    Manifest { blob: Blob, subject: Option<String>, names: Vec<String>, tags: Vec<String> },
    TagGone(String),
    ManifestGone(String),
    BlobGone(String),
}

impl Change {
    fn in_short(&self) -> String {
        match self {
            Self::Blob { digest, .. } => format!("blob {digest}"),
            Self::Manifest { blob, tags, .. } => format!("manifest {} as {tags:?}", blob.digest),
            Self::TagGone(tag) => format!("the end of tag {tag}"),
            Self::ManifestGone(digest) => format!("the end of manifest {digest}"),
            Self::BlobGone(digest) => format!("the end of blob {digest}"),
        }
    }
}

/// One package as its only writer knows it from the registry's answers.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) package: String,
    pub(crate) blobs: BTreeMap<String, Stored>,
    pub(crate) manifests: BTreeMap<String, Document>,
    pub(crate) tags: BTreeMap<String, String>,
    /// What was asked for and not answered yet.
    open: Option<Change>,
    /// Changed since the last look: all of these are looked at after the next crash.
    fresh: BTreeSet<String>,
}

impl Ledger {
    pub(crate) fn new(package: String) -> Self {
        Self {
            package,
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            tags: BTreeMap::new(),
            open: None,
            fresh: BTreeSet::new(),
        }
    }

    /// A request is about to leave.
    pub(crate) fn asked(&mut self, change: Change) {
        assert!(self.open.is_none(), "one request at a time");
        self.open = Some(change);
    }

    /// Its answer came: the registry has promised it.
    pub(crate) fn acknowledged(&mut self) {
        let change = self.open.take().expect("something was asked");
        self.apply(change);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Blob { digest, lasting } => {
                let known = self.blobs.get(&digest).is_some_and(|stored| stored.lasting);
                self.fresh.insert(digest.clone());
                self.blobs.insert(digest, Stored { state: State::There, lasting: lasting || known });
            }
            Change::Manifest { blob, subject, names, tags } => {
                for name in names.iter().chain(&subject) {
                    if let Some(named) = self.manifests.get_mut(name) {
                        named.lasting = true;
                    }
                    if let Some(named) = self.blobs.get_mut(name) {
                        named.lasting = true;
                    }
                }
                let digest = blob.digest.clone();
                self.fresh.insert(digest.clone());
                self.tags.extend(tags.into_iter().map(|tag| (tag, digest.clone())));
                let lasting = self.manifests.get(&digest).is_some_and(|known| known.lasting);
                self.manifests.insert(digest, Document { state: State::There, blob, subject, lasting });
            }
            Change::TagGone(tag) => {
                self.tags.remove(&tag);
            }
            Change::ManifestGone(digest) => {
                self.tags.retain(|_, named| *named != digest);
                self.manifests.get_mut(&digest).expect("a known manifest").state = State::Gone;
                self.fresh.insert(digest);
            }
            Change::BlobGone(digest) => {
                self.blobs.get_mut(&digest).expect("a known blob").state = State::Gone;
                self.fresh.insert(digest);
            }
        }
    }

    /// After a crash: finds out what became of the request whose answer did not come. It was carried out as a
    /// whole or not at all; [`Ledger::verify`] then sees whether that holds for all it touches. Returns whether
    /// it was carried out.
    #[track_caller]
    pub(crate) fn settle(&mut self, door: &Caller) -> Option<bool> {
        let change = self.open.take()?;
        let done = match &change {
            Change::Blob { digest, .. } => self.blob(door, digest).status == 200,
            Change::Manifest { blob, tags, .. } => {
                // A tag that named it before tells nothing.
                let moves = tags.iter().find(|tag| self.tags.get(*tag) != Some(&blob.digest));
                match moves {
                    Some(tag) => self.tag(door, tag).is_some_and(|digest| digest == blob.digest),
                    None => self.manifest(door, &blob.digest).status == 200,
                }
            }
            Change::TagGone(tag) => self.tag(door, tag).is_none(),
            Change::ManifestGone(digest) => self.manifest(door, digest).status == 404,
            Change::BlobGone(digest) => self.blob(door, digest).status == 404,
        };
        let words = if done { "was carried out unheard" } else { "was not carried out" };
        println!("{}: {} {words}", self.package, change.in_short());
        // Whichever it is, it must be so for good: it is looked at now, and may be looked at again later.
        match &change {
            Change::Blob { digest, .. } => {
                let stored = Stored { state: State::Gone, lasting: false };
                self.blobs.entry(digest.clone()).or_insert(stored);
                self.fresh.insert(digest.clone());
            }
            Change::Manifest { blob, subject, .. } => {
                let (blob, subject) = (blob.clone(), subject.clone());
                self.fresh.insert(blob.digest.clone());
                let digest = blob.digest.clone();
                let document = Document { state: State::Gone, blob, subject, lasting: false };
                self.manifests.entry(digest).or_insert(document);
            }
            Change::ManifestGone(digest) | Change::BlobGone(digest) => {
                self.fresh.insert(digest.clone());
            }
            Change::TagGone(_) => {}
        }
        if done {
            self.apply(change);
        }
        Some(done)
    }

    /// Looks at everything that changed since the last look, at every tag, and at `others` older things.
    #[track_caller]
    pub(crate) fn verify(&mut self, door: &Caller, dice: &mut Dice, others: usize) -> usize {
        let mut chosen = std::mem::take(&mut self.fresh);
        let old: Vec<&String> = self.blobs.keys().chain(self.manifests.keys()).collect();
        for _ in 0..others {
            chosen.extend(dice.pick(old.iter().copied()).cloned());
        }
        for digest in &chosen {
            self.look_at(door, digest);
        }
        self.look_at_tags(door);
        chosen.len()
    }

    /// Looks at everything.
    #[track_caller]
    pub(crate) fn verify_all(&self, door: &Caller) -> usize {
        for digest in self.blobs.keys().chain(self.manifests.keys()) {
            self.look_at(door, digest);
        }
        self.look_at_tags(door);
        self.blobs.len() + self.manifests.len()
    }

    #[track_caller]
    fn look_at(&self, door: &Caller, digest: &str) {
        if let Some(stored) = self.blobs.get(digest) {
            let answer = self.blob(door, digest);
            assert_eq!(
                answer.status == 200,
                stored.state == State::There,
                "{} {digest}: {answer}",
                self.package
            );
        }
        if let Some(document) = self.manifests.get(digest) {
            let answer = self.manifest(door, digest);
            assert_eq!(
                answer.status == 200,
                document.state == State::There,
                "{} {digest}: {answer}",
                self.package
            );
            if let Some(subject) = &document.subject {
                self.look_at_referrers(door, subject);
            }
        }
    }

    /// Every tag names what it should, and there is no other one.
    #[track_caller]
    fn look_at_tags(&self, door: &Caller) {
        let answer = door.get(&format!("/v2/{}/tags/list?n=1000", self.package));
        if self.manifests.values().all(|document| document.state == State::Gone) && answer.status == 404 {
            return;
        }
        assert_eq!(answer.status, 200, "tags of {}: {answer}", self.package);
        let json = answer.json();
        let listed: Vec<&str> =
            json["tags"].as_array().into_iter().flatten().filter_map(|tag| tag.as_str()).collect();
        assert_eq!(
            listed,
            self.tags.keys().map(String::as_str).collect::<Vec<_>>(),
            "tags of {}",
            self.package
        );
        for (tag, digest) in &self.tags {
            assert_eq!(self.tag(door, tag).as_ref(), Some(digest), "{}:{tag}", self.package);
        }
    }

    #[track_caller]
    fn look_at_referrers(&self, door: &Caller, subject: &str) {
        let expected: BTreeSet<&str> = self
            .manifests
            .iter()
            .filter(|(_, document)| {
                document.state == State::There && document.subject.as_deref() == Some(subject)
            })
            .map(|(digest, _)| digest.as_str())
            .collect();
        let answer = door.get(&format!("/v2/{}/referrers/{subject}", self.package));
        assert_eq!(answer.status, 200, "referrers of {subject}: {answer}");
        assert!(answer.header("link").is_none(), "one page is enough for the few of this test");
        let json = answer.json();
        let found =
            json["manifests"].as_array().into_iter().flatten().filter_map(|one| one["digest"].as_str());
        assert_eq!(found.collect::<BTreeSet<_>>(), expected, "referrers of {subject} in {}", self.package);
    }

    /// 200 with the whole of a blob, or 404: there is nothing between.
    #[track_caller]
    pub(crate) fn blob(&self, door: &Caller, digest: &str) -> Answer {
        self.whole_or_nothing(door, "blobs", digest, "BLOB_UNKNOWN")
    }

    #[track_caller]
    fn manifest(&self, door: &Caller, digest: &str) -> Answer {
        self.whole_or_nothing(door, "manifests", digest, "MANIFEST_UNKNOWN")
    }

    #[track_caller]
    fn whole_or_nothing(&self, door: &Caller, kind: &str, digest: &str, code: &str) -> Answer {
        let answer = door.get(&format!("/v2/{}/{kind}/{digest}", self.package));
        match answer.status {
            200 => assert_eq!(sha256(&answer.body), digest, "the bytes of {digest} in {}", self.package),
            404 if answer.code() == code => {}
            // A kill before the very first push of a package leaves no package.
            404 if answer.code() == "NAME_UNKNOWN" && self.is_empty() => {}
            _ => panic!("{} {digest}: {answer}", self.package),
        }
        answer
    }

    fn is_empty(&self) -> bool {
        let blobs = self.blobs.values().all(|stored| stored.state == State::Gone);
        blobs && self.manifests.values().all(|document| document.state == State::Gone)
    }

    #[track_caller]
    fn tag(&self, door: &Caller, tag: &str) -> Option<String> {
        let answer = door.head(&format!("/v2/{}/manifests/{tag}", self.package));
        match answer.status {
            200 => Some(answer.header("docker-content-digest").expect("a digest").to_owned()),
            404 => None,
            _ => panic!("{}:{tag}: {answer}", self.package),
        }
    }
}
