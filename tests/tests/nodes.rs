//! Several nodes on one database and one bucket, and what a bucket changes for clients.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use packhouse_tests::image::{Parcel as _, random, sha256};
use packhouse_tests::{Caller, Catalog, House, Image, Program, Store, User, tool, until};
use rustix::process::{Pid, Signal, kill_process};

const UPLOADS: &str = "/v2/mona/app/blobs/uploads/";
const BYTES: &str = "application/octet-stream";
const WAIT: Duration = Duration::from_secs(30);

fn on_both() -> House {
    let house = House::builder().catalog(Catalog::Postgres).store(Store::S3);
    // As short as it may be: the tests wait for it.
    house.env("PACKHOUSE_S3_LEASE_SECONDS", "3").start()
}

fn opened(mut node: House) -> House {
    node.open();
    node
}

/// The path of an upload, to be asked at any node.
#[track_caller]
fn begin(caller: &Caller) -> String {
    let begun = caller.send_bytes("POST", UPLOADS, BYTES, b"");
    assert_eq!(begun.status, 202, "{begun}");
    begun.header("location").expect("a Location").to_owned()
}

/// A PATCH that sends what it says later or never, on a connection of its own.
struct Slow(TcpStream);

impl Slow {
    #[track_caller]
    fn patch(house: &House, user: &User, path: &str, length: usize, now: &[u8]) -> Self {
        let mut stream = TcpStream::connect(house.address()).unwrap();
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {}\r\nContent-Type: {BYTES}\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n",
            house.address(),
            user.auth()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(now).unwrap();
        Self(stream)
    }

    /// Sends the rest; the status of the answer, if there is one.
    fn end(mut self, rest: &[u8]) -> Option<u16> {
        self.0.write_all(rest).ok()?;
        self.0.set_read_timeout(Some(WAIT)).unwrap();
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).ok()?;
        String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
    }
}

#[test]
fn three_nodes_write_one_upload() {
    let first = on_both();
    let mona = first.user("mona");
    let (second, third) = (opened(first.node()), opened(first.node()));
    let at = [&first, &second, &third].map(|house| house.caller(&mona));
    let content = random(21_000_000);
    let (one, rest) = content.split_at(6_000_000);
    let (two, three) = rest.split_at(9_000_001);

    let path = begin(&at[0]);
    assert_eq!(at[0].send_bytes("PATCH", &path, BYTES, one).status, 202);
    let appended = at[1].send_bytes("PATCH", &path, BYTES, two);
    assert_eq!((appended.status, appended.header("range")), (202, Some("0-15000000")), "{appended}");
    assert_eq!(at[2].get(&path).header("range"), Some("0-15000000"));
    let finish = format!("{path}?digest={}", sha256(&content));
    assert_eq!(at[2].send_bytes("PUT", &finish, BYTES, three).status, 201);
    // Its answer was lost, and the client asks again, somewhere else.
    assert_eq!(at[0].send_bytes("PUT", &finish, BYTES, b"").status, 201);

    for caller in &at {
        let blob = caller.get(&format!("/v2/mona/app/blobs/{}", sha256(&content)));
        assert_eq!(blob.status, 200);
        assert!(blob.body == content, "other bytes than were pushed");
    }
}

#[test]
fn two_nodes_one_is_killed_in_the_middle_of_a_push() {
    let mut first = on_both();
    let mona = first.user("mona");
    let second = opened(first.node());
    let content = random(20_000_000);

    let path = begin(&first.caller(&mona));
    assert_eq!(first.caller(&mona).send_bytes("PATCH", &path, BYTES, &content[..9_000_000]).status, 202);
    let slow = Slow::patch(&first, &mona, &path, 10_000_000, &content[9_000_000..18_000_000]);
    let other = second.caller(&mona);
    // While the first node writes, the second one refuses, as one node does for two requests.
    until("409 from the other node", WAIT, || {
        let busy = other.send_bytes("PUT", &format!("{path}?digest={}", sha256(b"")), BYTES, b"");
        (busy.status == 409).then_some(())
    });
    first.kill();
    drop(slow);

    // What was acknowledged is there, and what was not is sent again, once the dead node's lease has run out.
    assert_eq!(other.get(&path).header("range"), Some("0-8999999"));
    until("202 from the other node", WAIT, || {
        let appended = other.send_bytes("PATCH", &path, BYTES, &content[9_000_000..]);
        assert!(matches!(appended.status, 202 | 409), "{appended}");
        (appended.status == 202).then_some(())
    });
    let finish = format!("{path}?digest={}", sha256(&content));
    assert_eq!(other.send_bytes("PUT", &finish, BYTES, b"").status, 201);
    first.open();
    let blob = first.caller(&mona).get(&format!("/v2/mona/app/blobs/{}", sha256(&content)));
    assert!(blob.body == content, "other bytes than were pushed");
}

#[test]
fn two_nodes_one_stands_still_and_loses_its_lease() {
    let first = on_both();
    let mona = first.user("mona");
    let second = opened(first.node());
    let content = random(12_000_000);

    let path = begin(&first.caller(&mona));
    let other = second.caller(&mona);
    let slow = Slow::patch(&first, &mona, &path, 6_000_000, &[0xaa; 5_900_000]);
    until("409 from the other node", WAIT, || {
        let busy = other.send_bytes("PUT", &format!("{path}?digest={}", sha256(b"")), BYTES, b"");
        (busy.status == 409).then_some(())
    });
    let process = Pid::from_raw(i32::try_from(first.pid()).unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    until("202 from the other node", WAIT, || {
        (other.send_bytes("PATCH", &path, BYTES, &content).status == 202).then_some(())
    });
    kill_process(process, Signal::CONT).unwrap();

    // It wakes up, receives the rest, and must not say that it has it.
    let late = slow.end(&[0xaa; 100_000]);
    assert!(matches!(late, Some(404 | 409)), "{late:?}");
    let finish = format!("{path}?digest={}", sha256(&content));
    assert_eq!(other.send_bytes("PUT", &finish, BYTES, b"").status, 201);
    let blob = first.caller(&mona).get(&format!("/v2/mona/app/blobs/{}", sha256(&content)));
    assert!(blob.body == content, "other bytes than were acknowledged");
}

#[test]
fn two_nodes_that_start_at_once_have_one_administrator() {
    let mut first = House::builder().catalog(Catalog::Postgres).store(Store::S3).prepare();
    let mut second = first.node();
    House::open_together(&mut [&mut first, &mut second]);
    let made =
        [&first, &second].map(|house| house.words().iter().filter(|line| line.starts_with("phr_")).count());
    assert_eq!(made.iter().sum::<usize>(), 1, "{made:?}");
    // And one key: what one signs, the other takes.
    let mona = first.user("mona");
    let granted =
        first.caller(&mona).get("/token?service=packhouse&scope=repository:mona/app:pull,push").json();
    let bearer = second.nobody().with_bearer(granted["token"].as_str().unwrap());
    let begun = bearer.send_bytes("POST", UPLOADS, BYTES, b"");
    assert_eq!(begun.status, 202, "{begun}");
}

#[test]
fn two_nodes_with_files_are_refused() {
    let house = House::builder().catalog(Catalog::Postgres).start();
    house.node().refuses_to_open().says("another server uses this database");
}

#[test]
fn two_nodes_with_different_buckets_are_refused() {
    let house = on_both();
    let elsewhere = house.node_with(&[("PACKHOUSE_S3_PREFIX", "elsewhere-entirely")]);
    elsewhere.refuses_to_open().says("belongs to another blob store");
    house
        .node_with(&[("PACKHOUSE_S3_SECRET_KEY", "wrong")])
        .refuses_to_open()
        .says("`identity` in the bucket");
}

#[test]
fn a_catalog_goes_on_with_sqlite_and_a_bucket() {
    let mut house = House::builder().store(Store::S3).start();
    let mona = house.user("mona");
    let image = Image::random(3_000_000);
    house.caller(&mona).push("mona/app", "v1", &image);
    house.kill();
    house.open();
    assert_eq!(house.caller(&mona).contents("mona/app", "v1"), image.contents());
}

#[test]
fn skopeo_is_sent_to_the_bucket() {
    let house = House::builder().store(Store::S3).env("PACKHOUSE_S3_REDIRECT", "on").start();
    let mona = house.user("mona");
    let caller = house.caller(&mona);
    let image = Image::random(3_000_000);
    caller.push("mona/app", "v1", &image);
    let layer = &image.layers[0];
    let path = format!("/v2/mona/app/blobs/{}", layer.digest);

    let sent = caller.get(&path);
    assert_eq!(
        (sent.status, sent.header("docker-content-digest")),
        (307, Some(layer.digest.as_str())),
        "{sent}"
    );
    assert_eq!(sent.header("cache-control"), Some("no-store"));
    let there = house.nobody().get(sent.header("location").unwrap());
    assert!(there.status == 200 && there.body == layer.bytes, "the bucket has the layer");
    // Who only asks whether it is there is not sent away, and who may not read it is not told where it is.
    assert_eq!(caller.head(&path).status, 200);
    assert_eq!(house.nobody().get(&path).status, 401);

    let desk = tempfile::tempdir().unwrap();
    Program::new(tool("skopeo"), desk.path())
        .args(["copy", "--src-tls-verify=false", "--src-creds", &mona.credentials()])
        .arg(format!("docker://{}/mona/app:v1", house.address()))
        .arg("dir:image")
        .succeeds();
    let copied = std::fs::read(desk.path().join("image").join(layer.digest.trim_start_matches("sha256:")));
    assert!(copied.unwrap() == layer.bytes, "skopeo got other bytes");
}

/// A wire to a service that can be cut, and mended.
struct Wire {
    address: String,
    /// None while it is cut.
    ends: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Wire {
    fn to(service: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap().to_string(),
            ends: Arc::new(Mutex::new(Some(Vec::new()))),
        };
        let (ends, service) = (Arc::clone(&wire.ends), service.to_owned());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // Held until both ends are noted, so that a cut misses none.
                let mut ends = ends.lock().unwrap();
                if let (Some(ends), Ok(far)) = (ends.as_mut(), TcpStream::connect(&service)) {
                    ends.extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                    let (back, forth) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                    std::thread::spawn(move || pour(far, back));
                    std::thread::spawn(move || pour(near, forth));
                }
            }
        });
        wire
    }

    fn cut(&self) {
        for end in self.ends.lock().unwrap().take().into_iter().flatten() {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        *self.ends.lock().unwrap() = Some(Vec::new());
    }
}

fn pour(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// `host:port` of a URL.
fn place(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split('/').next().unwrap()
}

/// What a node does while one of its services is away, and after it.
#[track_caller]
fn is_cut_off(first: &House, mut second: House, wire: &Wire) {
    let mona = first.user("mona");
    second.open();
    let (whole, cut_off) = (first.caller(&mona), second.caller(&mona));
    let before = Image::random(100_000);
    cut_off.push("mona/app", "v1", &before);

    wire.cut();
    until("503 from /readyz", WAIT, || cut_off.try_get("/readyz").filter(|answer| answer.status == 503));
    let blob = random(1_000);
    let put = format!("{UPLOADS}?digest={}", sha256(&blob));
    let refused = cut_off.send_bytes("POST", &put, BYTES, &blob);
    assert_eq!(refused.status, 503, "{refused}");
    assert!(refused.header("retry-after").is_some(), "it says when to come back: {refused}");
    // The process lives, and the other node does not mind.
    assert_eq!(cut_off.get("/healthz").status, 200);
    assert_eq!(whole.get("/readyz").status, 200);
    assert_eq!(whole.send_bytes("POST", &put, BYTES, &blob).status, 201);

    wire.mend();
    until("200 from /readyz", WAIT, || cut_off.try_get("/readyz").filter(|answer| answer.status == 200));
    assert_eq!(cut_off.contents("mona/app", "v1"), before.contents());
    cut_off.push("mona/app", "v2", &Image::random(100_000));
}

#[test]
fn two_nodes_one_is_cut_from_the_bucket() {
    let first = on_both();
    let endpoint = std::env::var("PACKHOUSE_TEST_S3_ENDPOINT").unwrap();
    let wire = Wire::to(place(&endpoint));
    let second = first.node_with(&[("PACKHOUSE_S3_ENDPOINT", &format!("http://{}", wire.address))]);
    is_cut_off(&first, second, &wire);
}

#[test]
fn two_nodes_one_is_cut_from_the_database() {
    let first = on_both();
    let url = first.database_url().unwrap().to_owned();
    let wire = Wire::to(place(&url));
    let second = first.node_with(&[("PACKHOUSE_DATABASE_URL", &url.replace(place(&url), &wire.address))]);
    is_cut_off(&first, second, &wire);
}
