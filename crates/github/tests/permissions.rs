//! The table of permissions at the API's door: who sees a package, deletes and restores its versions and changes it is
//! answered as it says. The protocol's door is held to the same table, so the two agree.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[path = "../../access/tests/decisions/permissions/decided.rs"]
mod decided;
#[path = "../../access/tests/decisions/permissions/table.rs"]
mod table;
#[path = "../../access/tests/decisions/permissions/world.rs"]
mod world;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Options, Place};
use packhouse_github::{Edge, Space};
use packhouse_service::{RateSettings, Service, Settings, SystemClock};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use world::{World, owner_of};

const URL: &str = "https://packs.test";

/// The API over a catalog with the world of the table in it.
async fn stage(folder: &std::path::Path) -> Edge {
    let file = folder.join("catalog.sqlite");
    let catalog = Catalog::open(&Options::new(Place::Sqlite(file.clone()))).unwrap();
    let store = BlobStore::files(folder).unwrap();
    let mut settings = Settings::new("admin".parse().unwrap());
    settings.rates = RateSettings::off();
    let (service, _) = Service::start(catalog, store, Arc::new(SystemClock), settings).await.unwrap();
    let outside = rusqlite::Connection::open(file).unwrap();
    let hash = |text: &str| Sha256::digest(text.as_bytes()).into();
    World::new(false, hash, |text| outside.execute_batch(text).unwrap());
    Edge::new(service)
}

/// The status and, of what is not there, the message.
async fn ask(edge: &Edge, secret: Option<&str>, method: Method, path: &str, body: &'static str) -> String {
    let path = format!("{}{path}", Space::REST);
    let mut request = Request::builder().method(method).uri(&path).header("user-agent", "test");
    if let Some(secret) = secret {
        let basic = STANDARD.encode(format!("anyone:{secret}"));
        request = request.header("authorization", format!("Basic {basic}"));
    }
    let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
    let space = Space::below(&path, URL).unwrap();
    let (_, response) = edge.handle(request, &space, IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    if status == 404 {
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        return format!("404 {}", body["message"].as_str().unwrap());
    }
    status.to_string()
}

/// The answer that a word of the table stands for, where `done` is that of what may be done.
fn answer(word: &str, done: &str) -> String {
    match word {
        "yes" => done,
        "sign-in" => "401",
        "none" => "404 Package not found.",
        "role" | "limit" | "-read" | "-write" | "-delete" => "403",
        other => panic!("no answer of the API: {other}"),
    }
    .to_owned()
}

#[tokio::test]
async fn everyone_sees_deletes_restores_and_administers_as_the_table_says() {
    // In memory where there is such a place: no crash is meant here, and each change would wait for a sync.
    let memory = tempfile::tempdir_in("/dev/shm");
    let folder = memory.unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let edge = stage(folder.path()).await;
    let acts = table::part("actions").acts;
    let said = |case: &table::Case, act| case.expected[acts.iter().position(|known| *known == act).unwrap()];
    let expected: HashMap<_, _> =
        table::actions().into_iter().map(|case| (case.keys.clone(), case)).collect();
    let (mut differences, mut asked) = (Vec::new(), 0);
    for role in table::roles() {
        let &[place, package, link, by] = role.keys.as_slice() else { panic!("four columns") };
        if ["operator", "worker"].contains(&by) {
            continue;
        }
        let family = if place == "user" { "users" } else { "orgs" };
        let path = format!("/{family}/{}/packages/container/{package}", owner_of(place, link));
        let (holds, _) = role.expected[0].split_once('/').unwrap_or(("none", ""));
        // Bearer tokens are the protocol's.
        let tokens = table::tokens_of(by).iter().filter(|token| {
            let few = ["all", "read+delete", "fine:package-write", "nobody"];
            !token.contains('>') && (link == "none" || few.contains(token))
        });
        for token in tokens {
            let case = &expected[&vec![package, holds, *token]];
            let secret = World::secret(&format!("{place}-{link}-{by}"), token);
            let secret = (*token != "nobody").then_some(secret.as_str());
            let mut compare = |act: &'static str, found: String, done: &str| {
                let expected = answer(said(case, act), done);
                if found != expected {
                    let (line, keys) = (case.line, role.keys.join(" "));
                    differences.push(format!(
                        "line {line}: {keys} {token}: {act}: expected {expected}, found {found}"
                    ));
                }
                asked += 1;
            };
            compare("see", ask(&edge, secret, Method::GET, &path, "").await, "200");
            // There is no such version, which is said to who might.
            let version = format!("{path}/versions/987654321");
            let unknown = "404 Package version not found.";
            compare("delete", ask(&edge, secret, Method::DELETE, &version, "").await, unknown);
            let restore = format!("{version}/restore");
            compare("restore", ask(&edge, secret, Method::POST, &restore, "").await, unknown);
            // It stays what it is.
            let wanted = match package {
                "internal" => r#"{"visibility":"internal"}"#,
                "public" => r#"{"visibility":"public"}"#,
                _ => r#"{"visibility":"private"}"#,
            };
            compare("administer", ask(&edge, secret, Method::PATCH, &path, wanted).await, "200");
        }
    }
    let count = differences.len();
    differences.truncate(40);
    assert_eq!(count, 0, "differences:\n{}", differences.join("\n"));
    assert!(asked > 10_000, "only {asked} requests");
}
