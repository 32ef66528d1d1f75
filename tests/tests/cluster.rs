//! Three nodes on one PostgreSQL and a Garage of three, behind a plain TCP balancer, while one after the other goes away.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use packhouse_tests::balancer::Balancer;
use packhouse_tests::image::{Parcel as _, sha256};
use packhouse_tests::services::{Garage, Postgres};
use packhouse_tests::{Answer, Blob, Caller, House, Image, until};

const CLIENTS: usize = 3;
const PACKAGE: &str = "mona/app";
const UPLOADS: &str = "/v2/mona/app/blobs/uploads/";
const BYTES: &str = "application/octet-stream";
const WAIT: Duration = Duration::from_secs(60);
/// How long PostgreSQL is away.
const AWAY: Duration = Duration::from_secs(30);
/// How long a client tries the same again: PostgreSQL's absence, and some more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(200);

/// What clients share.
struct Shop {
    over: AtomicBool,
    /// Images that were acknowledged, by their tag.
    sold: Mutex<Vec<(String, Image)>>,
    /// Requests that had to be sent again.
    again: AtomicUsize,
}

impl Shop {
    fn sold(&self) -> usize {
        self.sold.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until clients have pushed as many images more, all of them begun meanwhile or before.
    #[track_caller]
    fn goes_on(&self, what: &str) {
        let before = self.sold();
        until(&format!("pushes while {what}"), WAIT, || (self.sold() >= before + CLIENTS).then_some(()));
    }
}

/// A client as they are: what gets no answer, or one that says "later", is sent again, wherever the balancer leads.
struct Client<'s> {
    shop: &'s Shop,
    caller: Caller,
}

impl Client<'_> {
    /// Sends a request until its answer is one of `wanted`.
    #[track_caller]
    fn send(&self, method: &str, path: &str, media_type: &str, body: &[u8], wanted: &[u16]) -> Answer {
        let end = Instant::now() + PATIENCE;
        loop {
            // A connection of its own each time, so that the balancer has a say.
            let request = self.caller.request(method, path).header("connection", "close");
            let request = request.header("content-type", media_type).body(body).unwrap();
            match self.caller.try_send(request) {
                Ok(answer) if wanted.contains(&answer.status) => return answer,
                // Not ours to try again: it would be refused for ever.
                Ok(answer) if !matches!(answer.status, 409 | 429 | 500..=599) => {
                    panic!("{method} {path}: {answer}")
                }
                Ok(_) | Err(_) => {}
            }
            assert!(Instant::now() < end, "{method} {path} gets nowhere in {PATIENCE:?}");
            self.shop.again.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(PAUSE);
        }
    }

    /// In two parts and an end, each wherever it may go; resumed where the registry says that it stands.
    fn push_blob(&self, blob: &Blob) {
        let head =
            self.send("HEAD", &format!("/v2/{PACKAGE}/blobs/{}", blob.digest), BYTES, b"", &[200, 404]);
        if head.status == 200 {
            return;
        }
        let begun = self.send("POST", UPLOADS, BYTES, b"", &[202]);
        let place = begun.header("location").unwrap().to_owned();
        self.push_rest(&place, blob, blob.bytes.len() / 2);
    }

    /// Sends the bytes up to `half`, then the rest.
    fn push_rest(&self, place: &str, blob: &Blob, half: usize) {
        let deadline = Instant::now() + PATIENCE;
        for end in [half, blob.bytes.len()] {
            loop {
                assert!(Instant::now() < deadline, "{place} gets nowhere in {PATIENCE:?}");
                let at = self.stands_at(place);
                if at >= end {
                    break;
                }
                let request = self.caller.request("PATCH", place).header("connection", "close");
                let request = request.header("content-range", format!("{at}-{}", end - 1));
                let request = request.header("content-type", BYTES).body(&blob.bytes[at..end]).unwrap();
                match self.caller.try_send(request) {
                    Ok(answer) if answer.status == 202 => {}
                    // 416: an earlier request of ours has come so far after all.
                    Ok(answer) if !matches!(answer.status, 409 | 416 | 429 | 500..=599) => {
                        panic!("PATCH {place}: {answer}")
                    }
                    Ok(_) | Err(_) => {
                        self.shop.again.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(PAUSE);
                    }
                }
            }
        }
        let mark = if place.contains('?') { '&' } else { '?' };
        self.send("PUT", &format!("{place}{mark}digest={}", blob.digest), BYTES, b"", &[201]);
    }

    fn stands_at(&self, place: &str) -> usize {
        let answer = self.send("GET", place, BYTES, b"", &[204]);
        let last = answer.header("range").and_then(|range| range.split_once('-')?.1.parse::<usize>().ok());
        // `0-0` says of none and of one byte the same; no part of ours is one byte long.
        last.filter(|last| *last > 0).map_or(0, |last| last + 1)
    }

    fn push(&self, tag: &str, image: &Image) {
        for blob in image.blobs() {
            self.push_blob(blob);
        }
        let manifest = &image.manifest;
        let path = format!("/v2/{PACKAGE}/manifests/{tag}");
        self.send("PUT", &path, &manifest.media_type, &manifest.bytes, &[201]);
    }

    /// What was acknowledged is there, and whole.
    fn pull(&self, tag: &str, image: &Image) {
        let path = format!("/v2/{PACKAGE}/manifests/{tag}");
        let found = self.send("GET", &path, BYTES, b"", &[200]);
        assert!(found.body == image.manifest.bytes, "{tag} has another manifest");
        for blob in image.blobs() {
            let path = format!("/v2/{PACKAGE}/blobs/{}", blob.digest);
            let found = self.send("GET", &path, BYTES, b"", &[200]);
            assert_eq!(sha256(&found.body), blob.digest, "a blob of {tag} has other bytes");
        }
    }

    /// Pushes new images, and pulls old ones, until the shop closes.
    fn shops(&self, number: usize) {
        for round in 0.. {
            if self.shop.over.load(Ordering::Relaxed) {
                return;
            }
            let (tag, image) = (format!("c{number}-{round}"), Image::random(150_000));
            self.push(&tag, &image);
            let old = {
                let mut sold = self.shop.sold.lock().unwrap_or_else(PoisonError::into_inner);
                sold.push((tag, image));
                sold[round * 7 % sold.len()].clone()
            };
            self.pull(&old.0, &old.1);
        }
    }
}

#[track_caller]
fn says(houses: &[House], status: u16, what: &str) {
    for house in houses {
        let nobody = house.nobody();
        until(&format!("{status} from /readyz while {what}"), WAIT, || {
            nobody.try_get("/readyz").filter(|answer| answer.status == status)
        });
    }
}

#[test]
fn three_nodes_behind_a_balancer_lose_nothing_while_each_part_goes_away_in_turn() {
    let mut postgres = Postgres::start();
    let mut garage = Garage::start();
    let bucket = Balancer::over(garage.addresses());
    let mut plan = House::builder().env("PACKHOUSE_DATABASE_URL", &postgres.url());
    for (name, value) in Garage::settings(bucket.address()) {
        plan = plan.env(name, &value);
    }
    // As short as it may be: clients wait for the leases of a node that died.
    let first = plan.env("PACKHOUSE_S3_LEASE_SECONDS", "3").start();
    let mona = first.user("mona");
    let mut houses = vec![first];
    for _ in 1..3 {
        let mut node = houses[0].node();
        node.open();
        houses.push(node);
    }
    let balancer = Balancer::over(houses.iter().map(|house| house.address().to_owned()).collect());
    let shop =
        Shop { over: AtomicBool::new(false), sold: Mutex::new(Vec::new()), again: AtomicUsize::new(0) };
    let caller = houses[0].caller_at(balancer.address(), &mona);
    let client = Client { shop: &shop, caller: caller.clone() };

    // An upload that was begun before, and goes on after everything.
    let long = Blob::random(3_000_000);
    let begun = client.send("POST", UPLOADS, BYTES, b"", &[202]).header("location").unwrap().to_owned();
    assert_eq!(client.send("PATCH", &begun, BYTES, &long.bytes[..1_000_000], &[202]).status, 202);

    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let client = Client { shop: &shop, caller: caller.clone() };
            scope.spawn(move || client.shops(number));
        }
        // The scope waits for the clients, whatever is found to be wrong here.
        let closing = Closing(&shop);
        shop.goes_on("all is well");

        for number in 0..houses.len() {
            houses[number].kill();
            shop.goes_on("a node is away");
            let others: Vec<&House> =
                houses.iter().enumerate().filter(|(at, _)| *at != number).map(|(_, h)| h).collect();
            for other in others {
                assert_eq!(other.nobody().get("/readyz").status, 200, "the others do not mind");
            }
            houses[number].open();
            balancer.set(number, houses[number].address());
        }

        garage.kill(1);
        shop.goes_on("a node of the bucket is away");
        says(&houses, 200, "a node of the bucket is away");
        garage.open(1);

        postgres.crash();
        let end = Instant::now() + AWAY;
        says(&houses, 503, "PostgreSQL is away");
        let before = shop.sold();
        for house in &houses {
            assert_eq!(house.nobody().get("/healthz").status, 200, "the process lives");
        }
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        assert_eq!(shop.sold(), before, "nothing is acknowledged without a catalog");
        says(&houses, 503, "PostgreSQL is away");
        postgres.open();
        says(&houses, 200, "PostgreSQL is back");
        shop.goes_on("all is well again");
        drop(closing);
    });

    assert_eq!(client.stands_at(&begun), 1_000_000, "what was acknowledged of the upload is there");
    client.push_rest(&begun, &long, 2_000_000);
    assert!(shop.again.load(Ordering::Relaxed) > 0, "no client had to try again, so nothing was away");
    let sold = shop.sold.into_inner().unwrap();
    println!("{} images were pushed, and {} requests sent again", sold.len(), shop.again.into_inner());
    let paths = [format!("/v2/{PACKAGE}/blobs/{}", long.digest)];
    for house in &houses {
        let caller = house.caller(&mona);
        assert_eq!(sha256(&caller.get(&paths[0]).body), long.digest);
        for (tag, image) in &sold {
            assert_eq!(caller.contents(PACKAGE, tag), image.contents(), "{tag}");
        }
    }
}

/// Closes the shop, after a panic too.
struct Closing<'s>(&'s Shop);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}
