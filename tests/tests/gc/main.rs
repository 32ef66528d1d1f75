//! Garbage collection under load: clients push, skip what they are told is there, mount, pull, delete and push again,
//! while graces of seconds run out. In the end the store holds what a walk over `/v2/` finds, and nothing else.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test expects and does not find is its failure"
)]

mod client;
mod store;

use client::{Cache, Client};
use packhouse_tests::{Catalog, House, Store, until};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use store::Stored;

/// Clients at once, on all nodes together.
const CLIENTS: u64 = 16;
/// A collector that does less than this has shown nothing.
const COLLECTED_MIN: u64 = 1_000;
/// How long what was deleted can be restored, and how long a promise holds.
const DELETED: &str = "1s";
const GRACE: &str = "6s";
/// A push that takes longer than this may have outlived the promise that it was built on.
const PROMISED: Duration = Duration::from_secs(5);
/// Things that the collector may do in a second. This load makes more than the default lets it do, so that it would have
/// minutes of work left when ten minutes of load are over.
const RATE: &str = "5000";
/// For the collector to come to its end.
const END: Duration = Duration::from_secs(180);

/// Ten minutes where somebody asks for it; a minute otherwise.
fn time() -> Duration {
    let long = std::env::var("PACKHOUSE_TEST_LONG").is_ok_and(|value| value == "1");
    Duration::from_secs(if long { 600 } else { 60 })
}

fn run(nodes: &[&House], stored: &dyn Fn() -> Stored) {
    let admin = nodes[0].user("mona");
    let mut cache = Cache::push(&nodes[0].caller(&admin));
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| {
            let node = usize::try_from(number).unwrap() % nodes.len();
            let other = (node + 1) % nodes.len();
            Client::new(number, nodes[node].caller(&admin), nodes[other].caller(&admin))
        })
        .collect();
    std::thread::scope(|scope| {
        for client in &mut clients {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    client.act(began.elapsed());
                }
            });
        }
        scope.spawn(|| {
            while began.elapsed() < time() && !std::thread::panicking() {
                std::thread::sleep(Duration::from_millis(100));
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
    let sums: Vec<String> = clients.iter().map(Client::sum).collect();
    println!("{}", sums.join("\n"));
    // Every image that nobody deleted is whole, by each node.
    for client in &mut clients {
        client.finds_what_it_kept();
    }
    cache.is_whole(&nodes[nodes.len() - 1].caller(&admin));

    // Then nothing happens any more, and everything that nothing needs goes.
    let ended = Instant::now() + END;
    let walked = until("a store of what is alive", 2 * END, || {
        let status = nodes[0].operator(["gc", "status"]);
        let idle = status["reviews"].as_array().is_some_and(Vec::is_empty) && status["trash_keys"] == 0;
        assert!(
            idle || Instant::now() < ended,
            "the collector is not done {END:?} after the last push: {status}"
        );
        idle.then(|| walk(nodes[0], &admin))
    });
    let found = stored();
    assert_eq!(found.unknown, Vec::<String>::new(), "what is no blob");
    let (held, live): (BTreeSet<&String>, BTreeSet<&String>) =
        (found.digests.iter().collect(), walked.iter().collect());
    let lost: Vec<_> = live.difference(&held).collect();
    let left: Vec<_> = held.difference(&live).collect();
    assert!(lost.is_empty(), "live, and not in the store: {lost:?}");
    assert!(left.is_empty(), "in the store, and not alive: {left:?}");
    assert_eq!(found.count, live.len(), "each blob is there once");

    let status = nodes[0].operator(["gc", "status"]);
    let of = |kind: &str| {
        let rows = status["collected"].as_array().unwrap();
        rows.iter().find(|row| row["kind"] == kind).map_or(0, |row| row["things"].as_u64().unwrap())
    };
    println!(
        "collected {} blobs, {} manifests; {} files removed; {} alive",
        of("blob"),
        of("manifest"),
        of("bytes"),
        live.len()
    );
    assert!(of("blob") > COLLECTED_MIN, "only {} blobs were collected", of("blob"));
}

/// Every blob that a client can reach: through the catalogue, the tags, manifests and what they name.
fn walk(house: &House, user: &packhouse_tests::User) -> BTreeSet<String> {
    let door = house.caller(user);
    let packages = door.get("/v2/_catalog?n=1000").json();
    let mut blobs = BTreeSet::new();
    for package in packages["repositories"].as_array().unwrap() {
        let package = package.as_str().unwrap();
        for tag in door.tags(package) {
            let manifest = door.get(&format!("/v2/{package}/manifests/{tag}"));
            assert_eq!(manifest.status, 200, "{package}:{tag}: {manifest}");
            let manifest = manifest.json();
            let named =
                [&manifest["layers"], &manifest["manifests"]].into_iter().filter_map(|list| list.as_array());
            let parts = named.flatten().chain(Some(&manifest["config"]).filter(|config| config.is_object()));
            blobs.extend(parts.map(|part| part["digest"].as_str().unwrap().to_owned()));
        }
    }
    blobs
}

#[test]
fn a_load_on_one_node_leaves_what_is_alive() {
    let house = House::builder()
        .env("PACKHOUSE_GC_GRACE", GRACE)
        .env("PACKHOUSE_GC_RATE", RATE)
        .env("PACKHOUSE_DELETED_RETENTION", DELETED)
        .start();
    let blobs = house.data().join("blobs");
    run(&[&house], &|| Stored::in_folder(&blobs));
}

#[test]
fn a_load_on_two_nodes_leaves_what_is_alive() {
    let first = House::builder()
        .catalog(Catalog::Postgres)
        .store(Store::S3)
        .env("PACKHOUSE_GC_GRACE", GRACE)
        .env("PACKHOUSE_GC_RATE", RATE)
        .env("PACKHOUSE_DELETED_RETENTION", DELETED)
        .start();
    let mut second = first.node();
    second.open();
    run(&[&first, &second], &|| Stored::in_bucket(&first));
}
