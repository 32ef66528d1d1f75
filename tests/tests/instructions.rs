//! What a request costs, in instructions: times are noise on a machine that others use too, counts repeat.
//!
//! The release build runs under valgrind's callgrind, with one thread for its requests, and is sent some requests and then
//! twice as many. The difference is what that many cost: what a start, a connection and the count itself take is in both.
//! The least of some rounds is taken, since now and then a worker of the program's own comes between.
//!
//! `instructions.txt` says what is expected. A request that costs more than [`MORE_MAX`] beyond it fails the test; when that
//! is meant, or when requests have become cheaper, `cargo xtask instructions` writes what is measured. The counts are those
//! of one compiler and of a processor with the usual extensions (AVX2): another one may want the file written anew.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use packhouse_tests::image::MANIFEST;
use packhouse_tests::{Answer, Blob, Caller, House, tool};
use serde_json::json;

/// How much more than expected is too much.
const MORE_MAX: f64 = 0.05;
/// How much less is worth a line.
const LESS_SHOWN: f64 = 0.05;
/// Before anything is counted: caches are filled, memory is there.
const WARM_UP: u64 = 50;
/// Requests that are counted, and twice as many.
const REQUESTS: u64 = 150;
const ROUNDS: usize = 3;
const PACKAGE: &str = "root/app";

/// The program writes a count when this function of its begins: it is run by `GET /metrics`.
const MARK: &str = "packhouse::telemetry::metrics::Metrics::render";

const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

/// A program that is counted.
struct Counted {
    house: House,
    /// Where the counts are written, each to a file with its number behind this name.
    counts: PathBuf,
    marks: Cell<u32>,
}

impl Counted {
    fn start(desk: &Path) -> Self {
        let counts = desk.join("counts");
        let words = [
            tool("valgrind").display().to_string(),
            "--tool=callgrind".to_owned(),
            format!("--callgrind-out-file={}", counts.display()),
            format!("--dump-before={MARK}"),
        ];
        let house = House::builder()
            .behind(words)
            // One thread for requests: how several share them is another matter each time.
            .env("TOKIO_WORKER_THREADS", "1")
            .env("PACKHOUSE_ADMIN", "root")
            .env("PACKHOUSE_ADMIN_TOKEN", "a-token-of-thirty-two-characters")
            // Longer than all of it takes.
            .env("PACKHOUSE_TOKEN_SECONDS", "86400")
            .start();
        Self { house, counts, marks: Cell::new(0) }
    }

    /// Instructions since the last mark.
    fn mark(&self) -> u64 {
        assert_eq!(self.house.nobody().get("/metrics").status, 200);
        self.marks.set(self.marks.get() + 1);
        let file = format!("{}.{}", self.counts.display(), self.marks.get());
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!("{file}: {error}; is the program the release build, and has it the function `{MARK}`?")
        });
        let count = text.lines().find_map(|line| line.strip_prefix("summary: ")).expect("a summary");
        count.trim().parse().expect("a number")
    }

    /// Instructions of so many requests, and of what surrounds them.
    fn of(&self, requests: u64, mut send: impl FnMut() -> Answer, status: u16) -> u64 {
        self.mark();
        for _ in 0..requests {
            let answer = send();
            assert_eq!(answer.status, status, "{answer}");
        }
        self.mark()
    }

    /// Instructions of one request.
    fn of_one(&self, mut send: impl FnMut() -> Answer, status: u16) -> u64 {
        self.of(WARM_UP, &mut send, status);
        let mut least = [u64::MAX; 2];
        for _ in 0..ROUNDS {
            for (least, requests) in least.iter_mut().zip([REQUESTS, 2 * REQUESTS]) {
                *least = self.of(requests, &mut send, status).min(*least);
            }
        }
        least[1].saturating_sub(least[0]) / REQUESTS
    }
}

/// A manifest with one small blob, and a number in it.
fn manifest(blob: &Blob, number: u64) -> Blob {
    let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": blob.digest, "size": blob.bytes.len()});
    let number = format!("{number:08}");
    let annotations = json!({"org.opencontainers.image.version": number});
    Blob::json(
        MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [config], "annotations": annotations}),
    )
}

fn measured() -> BTreeMap<String, u64> {
    let desk = tempfile::tempdir().expect("a folder");
    let counted = Counted::start(desk.path());
    let root: Caller = counted.house.caller(&counted.house.admin());
    let blob = Blob::new("application/octet-stream", vec![b'x'; 2_000]);
    root.push_blob(PACKAGE, &blob);
    let first = manifest(&blob, 0);
    root.push_manifest(PACKAGE, "v1", &first);
    let door = root.with_scope(PACKAGE, "pull,push");

    let by_tag = format!("/v2/{PACKAGE}/manifests/v1");
    let by_digest = format!("/v2/{PACKAGE}/manifests/{}", first.digest);
    let of_blob = format!("/v2/{PACKAGE}/blobs/{}", blob.digest);
    let token = format!("/token?service=packhouse&scope=repository:{PACKAGE}:pull");
    let mut number = 0;
    let mut push = || {
        number += 1;
        let manifest = manifest(&blob, number);
        let path = format!("/v2/{PACKAGE}/manifests/n{number:08}");
        door.send_bytes("PUT", &path, MANIFEST, &manifest.bytes)
    };
    let mut measured = BTreeMap::new();
    let mut note = |name: &str, count: u64| {
        println!("{name}: {count}");
        measured.insert(name.to_owned(), count);
    };
    note("GET /healthz", counted.of_one(|| door.get("/healthz"), 200));
    note("GET /v2/, bearer token", counted.of_one(|| door.get("/v2/"), 200));
    note("GET manifest by tag, bearer token", counted.of_one(|| door.get(&by_tag), 200));
    note("HEAD manifest by digest, bearer token", counted.of_one(|| door.head(&by_digest), 200));
    note("GET blob of 2 kB, bearer token", counted.of_one(|| door.get(&of_blob), 200));
    note("GET /token, Basic", counted.of_one(|| root.get(&token), 200));
    note("PUT small manifest, bearer token", counted.of_one(&mut push, 201));
    measured
}

/// A count and a name on each line.
fn expected() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(EXPECTED).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.trim().split_once("  "));
    pairs.map(|(count, name)| (name.trim().to_owned(), count.parse().expect("a count"))).collect()
}

fn write(measured: &BTreeMap<String, u64>) {
    let mut text = "# Instructions of a request, as `tests/tests/instructions.rs` counts them; written by \
                    `cargo xtask instructions`.\n"
        .to_owned();
    for (name, count) in measured {
        writeln!(text, "{count:>8}  {name}").expect("a text");
    }
    std::fs::write(EXPECTED, text).expect("the file can be written");
}

#[test]
fn counted_by_callgrind_no_request_costs_more_than_it_did() {
    let measured = measured();
    if std::env::var_os("PACKHOUSE_TEST_WRITE_INSTRUCTIONS").is_some() {
        return write(&measured);
    }
    let expected = expected();
    let mut wrong = Vec::new();
    for (name, &count) in &measured {
        let Some(&known) = expected.get(name) else {
            wrong.push(format!("{name}: {count}, and nothing is expected"));
            continue;
        };
        let more = count as f64 / known as f64 - 1.0;
        let line = format!("{name}: {count}, {known} expected ({:+.1} %)", more * 100.0);
        if more > MORE_MAX {
            wrong.push(line);
        } else if more < -LESS_SHOWN {
            println!("cheaper; `cargo xtask instructions` writes it down: {line}");
        }
    }
    let gone = expected.keys().filter(|name| !measured.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name}: expected, and not measured")));
    assert!(
        wrong.is_empty(),
        "requests cost more instructions than `tests/instructions.txt` says:\n{}\n\
         If that is meant, `cargo xtask instructions` writes down what is measured.",
        wrong.join("\n")
    );
}
