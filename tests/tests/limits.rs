//! Sizes: what is just small enough passes, one byte more is refused in words, and neither costs memory.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use packhouse_tests::crash_wire::Wire;
use packhouse_tests::image::{MANIFEST, Parcel as _, sha256};
use packhouse_tests::{Answer, Blob, Caller, House, Image, User, until};
use serde_json::json;

/// The largest layer, unless the operator says otherwise.
const LAYER_BYTES_MAX: u64 = 10_000_000_000;
/// `sha256` of the largest layer as [`piece`] makes it: 10,000 pieces of a million bytes, each beginning with its
/// number as eight bytes, big end first, and zero from there on.
const LAYER_DIGEST: &str = "sha256:94a553b6844a314f86ce0301f40fc5352670231a46f4823b7ae63d75d4267305";
const PIECE_BYTES: usize = 1_000_000;
/// What the program may use at its highest, whatever comes.
const MEMORY_BYTES_MAX: u64 = 100_000_000;
const STREAM: (&str, &str) = ("content-type", "application/octet-stream");
const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");

/// The highest resident memory of the program since it started.
#[track_caller]
fn memory_peak(house: &House) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", house.pid())).expect("the program runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the kernel counts");
    let kibibytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kibibytes.expect("a number") * 1024
}

#[track_caller]
fn assert_small(house: &House, when: &str) {
    assert_smaller(house, when, MEMORY_BYTES_MAX);
}

#[track_caller]
fn assert_smaller(house: &House, when: &str, max: u64) {
    let peak = memory_peak(house);
    println!("{when}: at most {:.1} MB of memory", peak as f64 / 1e6);
    assert!(peak < max, "{when} the program used {peak} bytes of memory");
}

/// A piece of the largest layer.
fn piece(number: u64, into: &mut [u8]) {
    into[..8].copy_from_slice(&number.to_be_bytes());
}

/// Sends the largest layer in chunks that leave its end open.
fn send_layer(wire: &mut Wire) -> std::io::Result<()> {
    let mut bytes = vec![0; PIECE_BYTES];
    for number in 0..LAYER_BYTES_MAX / PIECE_BYTES as u64 {
        piece(number, &mut bytes);
        wire.send_chunk(&bytes)?;
    }
    Ok(())
}

/// Starts an upload to `mona/large`.
#[track_caller]
fn begin(door: &Caller) -> String {
    let session = door.send_bytes("POST", "/v2/mona/large/blobs/uploads/", STREAM.1, &[]);
    assert_eq!(session.status, 202, "{session}");
    session.header("location").expect("a Location").to_owned()
}

/// The answer says what is too large, how large it may be, and ends in the spec's form.
#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 413, "{answer}");
    assert_eq!(answer.code(), "SIZE_INVALID", "{answer}");
    let message = answer.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("a layer may have at most 10000000000 bytes"), "{answer}");
}

/// Bytes that all files below a folder have.
fn bytes_below(folder: &Path) -> u64 {
    let entries =
        std::fs::read_dir(folder).expect("a folder can be read").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let kind = entry.metadata().expect("it can be looked at");
            if kind.is_dir() { bytes_below(&entry.path()) } else { kind.len() }
        })
        .sum()
}

/// Bytes of uploads and blobs; the store's name is a file of its own.
fn stored(house: &House) -> u64 {
    let blobs = house.data().join("blobs");
    bytes_below(&blobs) - std::fs::metadata(blobs.join("identity")).map_or(0, |identity| identity.len())
}

/// The only test that needs much disk: 10 GB, for as long as it runs.
#[test]
fn a_layer_of_ten_billion_bytes_passes_and_one_byte_more_is_refused() {
    let space = rustix::fs::statvfs(std::env::temp_dir()).expect("the disk says how full it is");
    let free = space.f_bavail * space.f_frsize;
    assert!(
        free > 11_000_000_000,
        "this test writes 10 GB to {:?}; free there: {free}",
        std::env::temp_dir()
    );
    let house = House::start();
    let mona = house.user("mona");
    let door = house.caller(&mona);

    // One byte too many, in one body whose length nobody said. It is refused when that byte comes, although
    // the body has not ended.
    let start = Instant::now();
    let location = begin(&door);
    let mut wire = Wire::open(&house, &mona);
    wire.ask("PATCH", &location, &[STREAM, CHUNKED]).unwrap();
    send_layer(&mut wire).unwrap();
    wire.send_chunk(b"!").unwrap();
    assert_refused(&wire.answer().expect("an answer and not only a reset"));
    println!("refused {:.1} s after the start", start.elapsed().as_secs_f64());
    assert_small(&house, "after a layer that was one byte too large");
    assert_eq!(door.get(&location).code(), "BLOB_UPLOAD_UNKNOWN", "such an upload comes to nothing");
    assert_eq!(stored(&house), 0, "what was refused takes no disk");

    // The same without that byte.
    let start = Instant::now();
    let location = begin(&door);
    let mut wire = Wire::open(&house, &mona);
    wire.ask("PATCH", &location, &[STREAM, CHUNKED]).unwrap();
    send_layer(&mut wire).unwrap();
    wire.send_chunk(b"").unwrap();
    let taken = wire.answer().unwrap();
    assert_eq!((taken.status, taken.header("range")), (202, Some("0-9999999999")), "{taken}");
    println!("received and synced in {:.1} s", start.elapsed().as_secs_f64());

    // It is full: no way brings one byte more.
    let put = format!("{location}?digest={LAYER_DIGEST}");
    // (Each on a connection of its own: who refuses a body may close.)
    assert_refused(&house.caller(&mona).send_bytes("PATCH", &location, STREAM.1, b"!"));
    assert_refused(&house.caller(&mona).send_bytes("PUT", &put, STREAM.1, b"!"));
    let done = door.send_bytes("PUT", &put, STREAM.1, &[]);
    assert_eq!(done.status, 201, "{done}");
    assert_eq!(stored(&house), LAYER_BYTES_MAX);
    assert_small(&house, "after a layer of 10,000,000,000 bytes");

    pull_back(&house, &mona);
}

/// Every byte of the largest layer, and a few from its end.
#[track_caller]
fn pull_back(house: &House, user: &User) {
    let start = Instant::now();
    let path = format!("/v2/mona/large/blobs/{LAYER_DIGEST}");
    let mut wire = Wire::open(house, user);
    wire.ask("GET", &path, &[]).unwrap();
    let head = wire.head().unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("10000000000")), "{head}");
    let mut expected = vec![0; PIECE_BYTES];
    let mut at: u64 = 0;
    wire.body(LAYER_BYTES_MAX, |mut bytes| {
        while !bytes.is_empty() {
            let inside = usize::try_from(at % PIECE_BYTES as u64).unwrap();
            piece(at / PIECE_BYTES as u64, &mut expected);
            let same = bytes.len().min(PIECE_BYTES - inside);
            assert!(bytes[..same] == expected[inside..inside + same], "other bytes after {at}");
            at += same as u64;
            bytes = &bytes[same..];
        }
    })
    .unwrap();
    println!("pulled back in {:.1} s", start.elapsed().as_secs_f64());

    wire.ask("GET", &path, &[("range", "bytes=9999000000-9999000008")]).unwrap();
    let end = wire.answer().unwrap();
    assert_eq!(end.status, 206, "{end}");
    assert_eq!(end.header("content-range"), Some("bytes 9999000000-9999000008/10000000000"));
    assert_eq!(end.body, [0, 0, 0, 0, 0, 0, 0x27, 0x0f, 0], "piece 9999 and a zero");
    wire.ask("GET", &path, &[("range", "bytes=-1")]).unwrap();
    assert_eq!(
        wire.answer().unwrap().header("content-range"),
        Some("bytes 9999999999-9999999999/10000000000")
    );
    assert_small(house, "after pulling 10,000,000,000 bytes");
}

/// The ways in which a body comes: whole, as a part, as the last part.
fn ways(door: &Caller) -> [(&'static str, String); 3] {
    let digest = LAYER_DIGEST;
    [
        ("POST", format!("/v2/mona/large/blobs/uploads/?digest={digest}")),
        ("PATCH", begin(door)),
        ("PUT", format!("{}?digest={digest}", begin(door))),
    ]
}

#[test]
fn a_length_that_is_too_large_is_refused_before_the_body_comes() {
    let house = House::start();
    let mona = house.user("mona");
    let door = house.caller(&mona);
    let length = (LAYER_BYTES_MAX + 1).to_string();
    let length = ("content-length", length.as_str());
    for (method, path) in ways(&door) {
        // Who asks first is told before sending anything: the refusal comes in place of `100 Continue`.
        let mut wire = Wire::open(&house, &mona);
        wire.ask(method, &path, &[STREAM, length, ("expect", "100-continue")]).unwrap();
        assert_refused(&wire.answer().unwrap());
    }
    for (method, path) in ways(&door) {
        // Who does not ask sends on until the answer comes, and reads it.
        let mut wire = Wire::open(&house, &mona);
        wire.ask(method, &path, &[STREAM, length]).unwrap();
        let mut sender = wire.second_hand().unwrap();
        std::thread::scope(|scope| {
            let sending = scope.spawn(move || {
                let bytes = vec![0; PIECE_BYTES];
                // Bounded by the layer's size, and ended by the answer.
                (0..LAYER_BYTES_MAX / PIECE_BYTES as u64).take_while(|_| sender.send(&bytes).is_ok()).count()
            });
            let answer = wire.answer();
            wire.finish_sending();
            let sent = sending.join().expect("sending does not panic");
            assert_refused(&answer.expect("an answer and not only a reset"));
            assert!(sent < 1_000, "{method}: {sent} MB were sent before the answer came");
        });
    }
    // A range says a length too.
    let range = ("content-range", "0-10000000000");
    let mut wire = Wire::open(&house, &mona);
    wire.ask("PATCH", &begin(&door), &[STREAM, CHUNKED, range]).unwrap();
    assert_refused(&wire.answer().unwrap());
    assert_eq!(stored(&house), 0, "nothing was stored");
    assert_small(&house, "after refusals");
}

#[test]
fn who_asks_before_sending_a_body_that_is_fine_is_told_to_continue() {
    let house = House::start();
    let mona = house.user("mona");
    let blob = Blob::random(70_000);
    let mut wire = Wire::open(&house, &mona);
    let path = format!("/v2/mona/app/blobs/uploads/?digest={}", blob.digest);
    wire.ask("POST", &path, &[STREAM, ("content-length", "70000"), ("expect", "100-continue")]).unwrap();
    assert_eq!(wire.answer().unwrap().status, 100);
    wire.send(&blob.bytes).unwrap();
    assert_eq!(wire.answer().unwrap().status, 201);
}

/// What a refused or broken push has written is not kept for somebody who will never ask for it.
#[test]
fn a_blob_in_one_post_that_is_refused_or_breaks_off_leaves_nothing_behind() {
    let house = House::builder().env("PACKHOUSE_LAYER_BYTES_MAX", "3000000").start();
    let mona = house.user("mona");
    let blob = Blob::random(3_000_001);
    let path = format!("/v2/mona/app/blobs/uploads/?digest={}", blob.digest);
    let mut wire = Wire::open(&house, &mona);
    wire.ask("POST", &path, &[STREAM, CHUNKED]).unwrap();
    wire.send_chunk(&blob.bytes).unwrap();
    assert_eq!(wire.answer().unwrap().status, 413);
    assert_eq!(stored(&house), 0, "of what was refused");

    let mut wire = Wire::open(&house, &mona);
    wire.ask("POST", &path, &[STREAM, CHUNKED]).unwrap();
    wire.send_chunk(&blob.bytes[..2_500_000]).unwrap();
    until("bytes of an upload on disk", Duration::from_secs(30), || {
        (stored(&house) > 1_000_000).then_some(())
    });
    drop(wire);
    until("no bytes of an upload that nobody can resume", Duration::from_secs(90), || {
        (stored(&house) == 0).then_some(())
    });
}

/// RFC 9112 §9.6: who closes says so, lest the next request on the connection be lost.
#[test]
fn a_connection_that_ends_with_a_refusal_says_so() {
    let house = House::start();
    let mona = house.user("mona");
    let location = begin(&house.caller(&mona));
    let mut wire = Wire::open(&house, &mona);
    wire.ask("PATCH", &location, &[STREAM, ("content-length", "9"), ("content-range", "5-13")]).unwrap();
    let answer = wire.answer().unwrap();
    assert_eq!(answer.status, 416, "{answer}");
    let says = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    // The body was on its way: either it is read and the connection goes on, or the answer says that it ends.
    let sent = wire.send(b"987654321");
    let goes_on = sent.is_ok() && wire.ask("GET", "/v2/", &[]).is_ok() && wire.answer().is_ok();
    assert!(says || goes_on, "the connection ended without a word: {answer}");
}

/// A manifest of exactly `size` bytes.
fn manifest_of(size: usize, image: &Image) -> Blob {
    let with_padding = |padding: usize| {
        Blob::json(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": image.config.descriptor(),
                "layers": image.layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
                "annotations": {"padding": "x".repeat(padding)},
            }),
        )
    };
    let bare = with_padding(0).bytes.len();
    let manifest = with_padding(size - bare);
    assert_eq!(manifest.bytes.len(), size);
    manifest
}

#[test]
fn a_manifest_of_four_mebibytes_passes_and_one_over_the_limit_is_refused() {
    let house = House::start();
    let mona = house.user("mona");
    let door = house.caller(&mona);
    let image = Image::random(1_000);
    for blob in image.blobs() {
        door.push_blob("mona/app", blob);
    }
    for size in [4 << 20, 8 << 20] {
        let manifest = manifest_of(size, &image);
        door.push_manifest("mona/app", "large", &manifest);
        assert_eq!(door.get("/v2/mona/app/manifests/large").body, manifest.bytes);
        println!("a manifest of {size} bytes: at most {:.1} MB of memory", memory_peak(&house) as f64 / 1e6);
        if size == 4 << 20 {
            assert_small(&house, "after a manifest of 4 MiB");
        }
    }
    let large = manifest_of((8 << 20) + 1, &image);
    let refused =
        house.caller(&mona).send_bytes("PUT", "/v2/mona/app/manifests/larger", MANIFEST, &large.bytes);
    assert_eq!((refused.status, refused.code().as_str()), (413, "SIZE_INVALID"), "{refused}");
    // Without a length as well.
    let mut wire = Wire::open(&house, &mona);
    wire.ask("PUT", "/v2/mona/app/manifests/larger", &[("content-type", MANIFEST), CHUNKED]).unwrap();
    wire.send_chunk(&large.bytes).unwrap();
    let refused = wire.answer().expect("an answer and not only a reset");
    assert_eq!((refused.status, refused.code().as_str()), (413, "SIZE_INVALID"), "{refused}");
    assert_eq!(door.get("/v2/mona/app/manifests/larger").status, 404);
}

#[test]
fn idle_connections_and_slow_clients_cost_little_memory() {
    let house = House::start();
    let mona = house.user("mona");
    let door = house.caller(&mona);
    let blob = Blob::random(20_000_000);
    door.push_blob("mona/app", &blob);

    // Connections on which one request was answered and no other one came.
    let idle: Vec<Wire> = (0..400)
        .map(|_| {
            let mut wire = Wire::open(&house, &mona);
            wire.ask("GET", "/v2/", &[]).unwrap();
            assert_eq!(wire.answer().unwrap().status, 200);
            wire
        })
        .collect();
    // Pulls of which only the head is read.
    let pulls: Vec<Wire> = (0..30)
        .map(|_| {
            let mut wire = Wire::open(&house, &mona);
            wire.ask("GET", &format!("/v2/mona/app/blobs/{}", blob.digest), &[]).unwrap();
            assert_eq!(wire.head().unwrap().status, 200);
            wire
        })
        .collect();
    // Pushes that stop in the middle. `100 Continue` tells that the body is awaited.
    let slow = Blob::random(3_000_000);
    let mut pushes: Vec<Wire> = (0..15)
        .map(|_| {
            let mut wire = Wire::open(&house, &mona);
            let path = format!("/v2/mona/app/blobs/uploads/?digest={}", slow.digest);
            wire.ask("POST", &path, &[STREAM, ("content-length", "3000000"), ("expect", "100-continue")])
                .unwrap();
            assert_eq!(wire.answer().unwrap().status, 100);
            wire.send(&slow.bytes[..1_900_000]).unwrap();
            wire
        })
        .collect();

    // Everybody else is served meanwhile.
    let image = Image::random(2_000_000);
    door.push("mona/app", "v1", &image);
    assert_eq!(door.contents("mona/app", "v1"), image.contents());
    // And so are they, when they go on.
    for push in &mut pushes {
        push.send(&slow.bytes[1_900_000..]).unwrap();
        let answer = push.answer().unwrap();
        assert_eq!(answer.status, 201, "{answer}");
    }
    for mut pull in pulls {
        let mut bytes = Vec::new();
        pull.body(blob.bytes.len() as u64, |piece| bytes.extend_from_slice(piece)).unwrap();
        assert_eq!(sha256(&bytes), blob.digest);
    }
    drop(idle);
    assert_small(&house, "with 400 idle connections, 30 slow pulls and 15 slow pushes");
}

/// Pulls of files cost no memory, whoever takes how little of them; pushes share one budget for what they have received.
#[test]
fn many_pulls_and_pushes_at_once_cost_little_memory() {
    let house = House::start();
    let mona = house.user("mona");
    let blob = Blob::random(20_000_000);
    house.caller(&mona).push_blob("mona/app", &blob);

    let mut pulls: Vec<Wire> = (0..256)
        .map(|_| {
            let mut wire = Wire::open(&house, &mona);
            wire.ask("GET", &format!("/v2/mona/app/blobs/{}", blob.digest), &[]).unwrap();
            assert_eq!(wire.head().unwrap().status, 200);
            wire
        })
        .collect();
    for pull in pulls.iter_mut().take(20) {
        let mut bytes = Vec::new();
        pull.body(blob.bytes.len() as u64, |piece| bytes.extend_from_slice(piece)).unwrap();
        assert_eq!(sha256(&bytes), blob.digest);
    }
    assert_smaller(&house, "with 256 pulls at once", 64_000_000);
    drop(pulls);

    let pushed = Blob::random(2_000_000);
    let mut pushes: Vec<Wire> = (0..256)
        .map(|_| {
            let mut wire = Wire::open(&house, &mona);
            let path = format!("/v2/mona/app/blobs/uploads/?digest={}", pushed.digest);
            wire.ask("POST", &path, &[STREAM, ("content-length", "2000000"), ("expect", "100-continue")])
                .unwrap();
            assert_eq!(wire.answer().unwrap().status, 100);
            wire.send(&pushed.bytes[..1_400_000]).unwrap();
            wire
        })
        .collect();
    for push in &mut pushes {
        push.send(&pushed.bytes[1_400_000..]).unwrap();
        let answer = push.answer().unwrap();
        assert_eq!(answer.status, 201, "{answer}");
    }
    assert_smaller(&house, "with 256 pushes at once", 128_000_000);
}

/// A chunk of one byte costs its sender six; it must not cost the registry sixty.
#[test]
fn a_body_in_chunks_of_one_byte_costs_little_memory() {
    let house = House::start();
    let mona = house.user("mona");
    let door = house.caller(&mona);
    let bytes = vec![b'x'; 800_000];
    let chunks = b"1\r\nx\r\n".repeat(bytes.len());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut wire = Wire::open(&house, &mona);
                wire.ask("PATCH", &begin(&door), &[STREAM, CHUNKED]).unwrap();
                wire.send(&chunks).unwrap();
                wire.send_chunk(b"").unwrap();
                let answer = wire.answer().unwrap();
                assert_eq!((answer.status, answer.header("range")), (202, Some("0-799999")), "{answer}");
            });
        }
    });
    assert_small(&house, "after bodies in chunks of one byte");
}
