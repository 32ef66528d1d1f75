//! A client that pushes small images, writes down what it was promised, and tries again what failed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use packhouse_tests::image::{MANIFEST, sha256};
use packhouse_tests::{Answer, Blob, Caller, House, User, until};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::strike::Strike;

const PACKAGE: &str = "mona/app";
const STREAM: &str = "application/octet-stream";
/// A client that waits longer has been left hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// An image to push, whose layer has a session already.
pub(crate) struct Round {
    pub(crate) layer: Blob,
    config: Blob,
    manifest: Blob,
    tag: String,
    pub(crate) session: String,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Requests that were answered by a clear error.
    pub(crate) refused: usize,
    /// Rounds that met a fault and still got all they asked for.
    pub(crate) unharmed: usize,
}

pub(crate) struct Client {
    pub(crate) user: User,
    door: Caller,
    number: usize,
    blobs: Vec<String>,
    tags: Vec<(String, String)>,
    /// Whether a refusal must say that the same may succeed later.
    passes: bool,
    pub(crate) tally: Tally,
}

impl Client {
    #[track_caller]
    pub(crate) fn new(house: &House) -> Self {
        let user = house.user("mona");
        let door = house.caller(&user);
        Self {
            user,
            door,
            number: 0,
            blobs: Vec::new(),
            tags: Vec::new(),
            passes: false,
            tally: Tally::default(),
        }
    }

    /// After a restart the port is another one.
    pub(crate) fn meet(&mut self, house: &House) {
        self.door = house.caller(&self.user);
    }

    /// Begins the upload of a layer, so that it is known where its bytes will lie.
    #[track_caller]
    pub(crate) fn prepare(&mut self) -> Round {
        self.number += 1;
        let (layer, config) = (Blob::random(3_000), Blob::random(200));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor(), "layers": [layer.descriptor()],
        });
        let manifest = Blob::json(MANIFEST, &manifest);
        let session = self.begin();
        Round { layer, config, manifest, tag: format!("v{}", self.number), session }
    }

    #[track_caller]
    fn begin(&self) -> String {
        let answer = self.door.send_bytes("POST", &format!("/v2/{PACKAGE}/blobs/uploads/"), STREAM, &[]);
        assert_eq!(answer.status, 202, "{answer}");
        answer.header("location").expect("a Location").to_owned()
    }

    /// Pushes while a fault is there, and again when it is over. Returns whether it was met.
    #[track_caller]
    pub(crate) fn round(&mut self, house: &House, round: &Round, strike: &Strike) -> bool {
        let words = format!("{strike:?}");
        // A disk that is full and a process without file descriptors get better by themselves. SQLite tells a log that
        // cannot be synced from one that has no room.
        let of_log = strike.files.iter().any(|file| file.ends_with("catalog.sqlite-wal"));
        let unsynced = strike.call.ends_with("sync") && of_log;
        self.passes = matches!(strike.error, "ENOSPC" | "EMFILE") && !unsynced;
        let struck = strike.on(house);
        let pushed = self.try_push(round);
        self.passes = false;
        let met = struck.ended();
        assert!(met || pushed.is_ok(), "{words}: an error without a fault: {pushed:?}");
        self.tally.unharmed += usize::from(met && pushed.is_ok());
        self.is_whole(round, &words);
        self.push(round);
        met
    }

    /// All requests of a push, up to the first that is refused.
    pub(crate) fn try_push(&mut self, round: &Round) -> Result<(), Answer> {
        let half = round.layer.bytes.len() / 2;
        self.ask("PATCH", &round.session, STREAM, &round.layer.bytes[..half], 202)?;
        let put = format!("{}?digest={}", round.session, round.layer.digest);
        self.ask("PUT", &put, STREAM, &round.layer.bytes[half..], 201)?;
        self.blobs.push(round.layer.digest.clone());
        let post = format!("/v2/{PACKAGE}/blobs/uploads/?digest={}", round.config.digest);
        self.ask("POST", &post, STREAM, &round.config.bytes, 201)?;
        self.blobs.push(round.config.digest.clone());
        self.put_manifest(round)
    }

    fn put_manifest(&mut self, round: &Round) -> Result<(), Answer> {
        let path = format!("/v2/{PACKAGE}/manifests/{}", round.tag);
        self.ask("PUT", &path, MANIFEST, &round.manifest.bytes, 201)?;
        self.tags.push((round.tag.clone(), round.manifest.digest.clone()));
        Ok(())
    }

    /// One request: what it should be answered, or a clear error.
    #[track_caller]
    fn ask(
        &mut self,
        method: &str,
        path: &str,
        media_type: &str,
        bytes: &[u8],
        status: u16,
    ) -> Result<Answer, Answer> {
        let start = Instant::now();
        let answer = self.door.send_bytes(method, path, media_type, bytes);
        assert!(start.elapsed() < PATIENCE, "{method} {path} took {:?}: {answer}", start.elapsed());
        if answer.status == status {
            return Ok(answer);
        }
        let clear = matches!(answer.status, 500 | 503) && !answer.code().is_empty();
        assert!(clear, "{method} {path}: {answer}");
        let later = answer.status == 503 && answer.header("retry-after").is_some();
        assert!(later || !self.passes, "the client may try again: {answer}");
        // Where the fault is, is not for the client to know.
        let text = String::from_utf8_lossy(&answer.body);
        assert!(
            !["catalog", "sqlite", "blobs/", "os error"].iter().any(|word| text.contains(word)),
            "{text}"
        );
        self.tally.refused += 1;
        Err(answer)
    }

    /// What is visible of a push that may have failed is whole.
    #[track_caller]
    fn is_whole(&self, round: &Round, words: &str) {
        for blob in [&round.layer, &round.config] {
            let answer = self.door.get(&format!("/v2/{PACKAGE}/blobs/{}", blob.digest));
            let whole = answer.status == 200 && answer.body == blob.bytes;
            assert!(whole || answer.status == 404, "{words}: {answer}");
            assert!(whole || !self.blobs.contains(&blob.digest), "{words}: an acknowledged blob is gone");
        }
        let answer = self.door.get(&format!("/v2/{PACKAGE}/manifests/{}", round.tag));
        let whole = answer.status == 200 && answer.body == round.manifest.bytes;
        assert!(whole || answer.status == 404, "{words}: {answer}");
    }

    /// The same push without a fault: the session goes on where it stands, or a new one is begun.
    #[track_caller]
    pub(crate) fn push(&mut self, round: &Round) {
        if !self.blobs.contains(&round.layer.digest) {
            // After a failed sync no session is given out for a moment: 503, with when to come back.
            let stands = until("an answer about the session", PATIENCE, || {
                Some(self.door.get(&round.session)).filter(|answer| answer.status != 503)
            });
            let range = stands.header("range").and_then(|range| range.strip_prefix("0-")?.parse().ok());
            let (session, from) = match (stands.status, range) {
                (204, Some(0)) => (round.session.clone(), 0),
                (204, Some(last)) => (round.session.clone(), last + 1),
                // Finished unheard, or not: a new session does in both cases.
                (404, _) => (self.begin(), 0),
                _ => panic!("{stands}"),
            };
            let put = format!("{session}?digest={}", round.layer.digest);
            let bytes: &[u8] = &round.layer.bytes;
            self.ask("PUT", &put, STREAM, &bytes[from..], 201).expect("the fault is over");
            self.blobs.push(round.layer.digest.clone());
        }
        if !self.blobs.contains(&round.config.digest) {
            let post = format!("/v2/{PACKAGE}/blobs/uploads/?digest={}", round.config.digest);
            self.ask("POST", &post, STREAM, &round.config.bytes, 201).expect("the fault is over");
            self.blobs.push(round.config.digest.clone());
        }
        self.put_manifest(round).expect("the fault is over");
        self.is_whole(round, "without a fault");
    }

    /// Everything that was ever acknowledged.
    #[track_caller]
    pub(crate) fn verify_all(&self) {
        for digest in &self.blobs {
            let answer = self.door.get(&format!("/v2/{PACKAGE}/blobs/{digest}"));
            assert_eq!((answer.status, &sha256(&answer.body)), (200, digest), "{digest}");
        }
        for (tag, digest) in &self.tags {
            assert_eq!(&self.door.digest_of(PACKAGE, tag), digest, "{tag}");
        }
        assert!(!self.tags.is_empty(), "nothing was acknowledged");
    }
}

impl Round {
    /// The file of the layer and its folder.
    #[track_caller]
    pub(crate) fn files(&self, house: &House) -> Vec<PathBuf> {
        let id = self.session.rsplit('/').next().expect("a session's name");
        let catalog = house.data().join("catalog.sqlite");
        let catalog =
            Connection::open_with_flags(catalog, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a catalog");
        let key: String = catalog
            .query_row("SELECT storage_key FROM uploads WHERE id = ?1", [id], |row| row.get(0))
            .expect("the session has a row");
        let file = house.data().join(key);
        let folder = file.parent().expect("a folder").to_owned();
        vec![file, folder]
    }
}
