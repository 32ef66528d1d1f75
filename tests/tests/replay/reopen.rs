//! The real program on what a crash left: it opens, keeps its promises, and goes on.

use packhouse_tests::image::{MANIFEST, sha256};
use packhouse_tests::{Blob, Caller, House, User};
use serde_json::json;

use crate::day::hash;
use crate::judge::Crash;
use crate::ledger::{Chain, Truth};

const STREAM: &str = "application/octet-stream";

/// Starts the program on the remains. Returns how many promises it was asked for.
///
/// # Panics
///
/// When it does not start, or one of them is broken.
#[track_caller]
pub(crate) fn reopen(crash: &Crash, data: &str, chain: &Chain, user: &User) -> usize {
    let mut house = House::builder().prepare();
    let place =
        |path: &str| house.data().join(path.strip_prefix(data).unwrap_or(path).trim_start_matches('/'));
    for folder in &crash.remains.folders {
        std::fs::create_dir_all(place(folder)).expect("a folder can be made");
    }
    for (path, found) in &crash.remains.files {
        std::fs::write(place(path), &*found.bytes).expect("a file can be written");
    }
    house.open();
    let truth = &crash.truths[0];
    let mut asked = 0;
    if truth.tokens.contains(&hash(&user.token)) {
        let door = house.caller(user);
        asked += promises(&door, chain, truth, &crash.words);
        goes_on(&door, chain, truth, &crash.words);
    }
    house.close();
    assert!(!house.log().contains("panicked"), "{}: {}", crash.words, house.log());
    asked
}

/// What is there is whole, and what was deleted is not there.
#[track_caller]
fn promises(door: &Caller, chain: &Chain, truth: &Truth, words: &str) -> usize {
    let everything = chain.steps.iter().flat_map(|step| {
        let kinds = [("blobs", &step.truth.blobs), ("manifests", &step.truth.manifests)];
        kinds.into_iter().flat_map(|(kind, things)| things.iter().map(move |thing| (kind, thing)))
    });
    let everything: std::collections::BTreeSet<_> = everything.collect();
    for (kind, thing) in &everything {
        let (package, digest) = thing;
        let answer = door.get(&format!("/v2/{package}/{kind}/{digest}"));
        let there =
            if *kind == "blobs" { truth.blobs.contains(thing) } else { truth.manifests.contains(thing) };
        assert_eq!(answer.status, if there { 200 } else { 404 }, "{words}: {kind} {digest}: {answer}");
        assert!(!there || sha256(&answer.body) == *digest, "{words}: the bytes of {digest}");
    }
    for ((package, tag), digest) in &truth.tags {
        assert_eq!(&door.digest_of(package, tag), digest, "{words}: {package}:{tag}");
    }
    everything.len() + truth.tags.len()
}

/// Sessions are continued behind what was acknowledged, and something new is pushed.
#[track_caller]
fn goes_on(door: &Caller, chain: &Chain, truth: &Truth, words: &str) {
    for (id, received) in &truth.sessions {
        let sent = &chain.sent[id];
        let (package, whole) = (&sent.package, Blob::new(STREAM, sent.whole.to_vec()));
        let path = format!("/v2/{package}/blobs/uploads/{id}?digest={}", whole.digest);
        let answer = door.send_bytes("PUT", &path, STREAM, &whole.bytes[*received..]);
        assert_eq!(answer.status, 201, "{words}: the session {id}: {answer}");
        let answer = door.get(&format!("/v2/{package}/blobs/{}", whole.digest));
        assert_eq!((answer.status, &answer.body), (200, &whole.bytes), "{words}: the session {id}");
    }
    let layer = Blob::random(2_000);
    door.push_blob("mona/again", &layer);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": layer.descriptor(), "layers": [layer.descriptor()],
    });
    door.push_manifest("mona/again", "v1", &Blob::json(MANIFEST, &manifest));
}
