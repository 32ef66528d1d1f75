//! Packages, versions and tags through the API: what is answered, and what is so afterwards.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Micros, Options, Place};
use packhouse_github::{Edge, Space};
use packhouse_oci::{PackageName, Reference};
use packhouse_service::operator::{Answer as Told, Command};
use packhouse_service::{Clock, PullError, PutManifest, RateSettings, Service, Settings, Shown};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const SECOND: i64 = 1_000_000;
const OPENING: i64 = 1_767_225_600 * SECOND;
const DAY: i64 = 86_400;

/// A clock that stands still until the test moves it.
struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

struct House {
    service: Service,
    edge: Edge,
    watch: Arc<Watch>,
    _folder: TempDir,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    link: Option<String>,
    body: Value,
}

impl Answer {
    /// The status, and the message when it is an error.
    fn says(&self) -> String {
        match self.body.get("message").and_then(Value::as_str) {
            Some(message) => format!("{} {message}", self.status.as_u16()),
            None => self.status.as_u16().to_string(),
        }
    }

    /// One field of each item of a list.
    fn each(&self, field: &str) -> Vec<Value> {
        self.body.as_array().expect("a list").iter().map(|item| item[field].clone()).collect()
    }
}

impl House {
    async fn new() -> House {
        House::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> House {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&Options::new(Place::Sqlite(folder.path().join("catalog.sqlite")))).unwrap();
        let store = BlobStore::files(folder.path()).unwrap();
        let watch = Arc::new(Watch(AtomicI64::new(OPENING)));
        let clock: Arc<dyn Clock> = Arc::clone(&watch) as Arc<dyn Clock>;
        let mut settings =
            Settings { rates: RateSettings::default(), ..Settings::new("admin".parse().unwrap()) };
        change(&mut settings);
        let (service, _) = Service::start(catalog, store, clock, settings).await.unwrap();
        let edge = Edge::new(service.clone());
        let house = House { service, edge, watch, _folder: folder };
        for name in ["mona", "hubot", "eve"] {
            house.operate(Command::UserCreate { name: name.into(), site_admin: false }).await;
        }
        house.operate(Command::OrgCreate { name: "acme".into(), owner: "mona".into() }).await;
        house
    }

    fn pass(&self, seconds: i64) {
        self.watch.0.fetch_add(seconds * SECOND, Ordering::SeqCst);
    }

    async fn operate(&self, command: Command) -> Told {
        match self.service.operate(command.clone()).await {
            Told::Refused { message } => panic!("{command:?}: {message}"),
            answer => answer,
        }
    }

    async fn token(&self, user: &str, scopes: &[&str]) -> String {
        let command = Command::TokenCreate {
            user: user.into(),
            name: "of a test".into(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            expires_seconds: None,
        };
        let Told::Token { token, .. } = self.operate(command).await else { panic!("no token") };
        token
    }

    /// Somebody with a token for packages.
    async fn person(&self, user: &str) -> String {
        self.token(user, &["read:packages", "write:packages", "delete:packages"]).await
    }

    async fn ask(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.pass(1);
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path).header("user-agent", "a test");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).unwrap();
        let space = Space::beside("https://h.test", "https://api.h.test");
        let (_, response) = self.edge.handle(request, &space, IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let link = parts.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        Answer { status: parts.status, link, body }
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, Method::GET, path, None).await
    }

    async fn delete(&self, token: &str, path: &str) -> String {
        self.ask(token, Method::DELETE, path, None).await.says()
    }

    async fn post(&self, token: &str, path: &str) -> String {
        self.ask(token, Method::POST, path, None).await.says()
    }

    async fn patch(&self, token: &str, path: &str, body: Value) -> Answer {
        self.ask(token, Method::PATCH, path, Some(body)).await
    }

    /// Pushes an index of some children, different by its word; gives its digest.
    async fn push(
        &self,
        token: &str,
        name: &str,
        tag: Option<&str>,
        word: &str,
        children: &[&str],
    ) -> String {
        self.pass(1);
        let children: Vec<Value> = children
            .iter()
            .map(|digest| json!({ "mediaType": INDEX, "digest": digest, "size": 3 }))
            .collect();
        let bytes = json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": children, "annotations": { "word": word }
        })
        .to_string()
        .into_bytes();
        let digest = packhouse_oci::Digest::of(packhouse_oci::Algorithm::Sha256, &bytes);
        let reference = match tag {
            Some(tag) => Reference::Tag(tag.parse().unwrap()),
            None => Reference::Digest(digest),
        };
        let put = PutManifest {
            reference,
            tags: Vec::new(),
            media_type: Some(INDEX.parse().unwrap()),
            bytes,
            host: None,
        };
        let name: PackageName = name.parse().unwrap();
        self.service.put_manifest(&Shown::Bearer(token.to_owned()), &name, put).await.unwrap();
        digest.to_string()
    }

    /// Whether a manifest can be pulled.
    async fn pulls(&self, token: &str, name: &str, reference: &str) -> bool {
        let shown = if token.is_empty() { Shown::Nothing } else { Shown::Bearer(token.to_owned()) };
        let name: PackageName = name.parse().unwrap();
        match self.service.manifest(&shown, &name, &reference.parse().unwrap()).await {
            Ok(_) => true,
            Err(PullError::Fault(fault)) => panic!("{fault:?}"),
            Err(_) => false,
        }
    }
}

#[tokio::test]
async fn a_package_is_the_same_in_its_families() {
    let house = House::new().await;
    let mona = house.person("mona").await;
    house.push(&mona, "mona/app/web", Some("v1"), "one", &[]).await;
    house.push(&mona, "acme/tool", Some("v1"), "one", &[]).await;
    let own = house.get(&mona, "/user/packages/container/app%2Fweb").await;
    assert_eq!(own.status, 200);
    let wanted = json!({
        "name": "app/web", "package_type": "container", "visibility": "private", "version_count": 1,
        "url": "https://api.h.test/users/mona/packages/container/app%2Fweb",
        "html_url": "https://h.test/users/mona/packages/container/package/app%2Fweb",
    });
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(own.body[field], *value, "{field}");
    }
    assert_eq!(own.body["owner"]["login"], "mona");
    assert_eq!(own.body["owner"]["type"], "User");
    assert_eq!(own.body.get("repository"), None);
    assert!(own.body["created_at"].as_str().unwrap().ends_with('Z'));
    for path in ["/user/packages/container/app/web", "/users/Mona/packages/container/app/web"] {
        assert_eq!(house.get(&mona, path).await.body, own.body, "{path}");
    }
    let tool = house.get(&mona, "/orgs/acme/packages/container/tool").await;
    assert_eq!(tool.body["url"], "https://api.h.test/orgs/acme/packages/container/tool");
    // GitHub's own clean-up Action asks below /users for organizations too.
    assert_eq!(house.get(&mona, "/users/acme/packages/container/tool").await.body, tool.body);

    for (path, says) in [
        ("/orgs/mona/packages/container/app%2Fweb", "404 Not Found"),
        ("/orgs/acme/packages/container/none", "404 Package not found."),
        ("/orgs/acme/packages/npm/tool", "404 Package not found."),
        ("/orgs/nobody/packages/container/tool", "404 Not Found"),
        ("/users/mona/packages/container/UPPER", "404 Package not found."),
    ] {
        assert_eq!(house.get(&mona, path).await.says(), says, "{path}");
    }
    assert!(house.get(&mona, "/orgs/acme/packages").await.says().starts_with("400 Invalid argument."));
    assert_eq!(house.get(&mona, "/orgs/acme/packages?package_type=npm").await.body, json!([]));
    assert_eq!(house.get(&mona, "/orgs/acme/docker/conflicts").await.body, json!([]));
    assert_eq!(house.get("", "/user/packages?package_type=container").await.status, 401);
}

#[tokio::test]
async fn a_stranger_learns_nothing_and_a_token_does_no_more_than_its_scopes() {
    let house = House::new().await;
    let (mona, eve) = (house.person("mona").await, house.person("eve").await);
    let digest = house.push(&mona, "acme/tool", Some("v1"), "one", &[]).await;
    let versions = house.get(&mona, "/orgs/acme/packages/container/tool/versions").await;
    let id = versions.body[0]["id"].as_i64().unwrap();
    let tool = "/orgs/acme/packages/container/tool";
    let below = ["".to_owned(), "/versions".into(), format!("/versions/{id}"), "/tags".into()];
    for path in below.iter().map(|rest| format!("{tool}{rest}")) {
        assert_eq!(house.get(&eve, &path).await.says(), "404 Package not found.", "{path}");
        assert_eq!(house.get("", &path).await.status, 401, "{path}");
    }
    let history = format!("{tool}/tags/v1/history");
    assert_eq!(house.get(&eve, &history).await.says(), "404 Package not found.");
    for path in [tool.to_owned(), format!("{tool}/versions/{id}"), format!("{tool}/tags/v1")] {
        assert_eq!(house.delete(&eve, &path).await, "404 Package not found.");
    }
    for path in [format!("{tool}/restore"), format!("{tool}/versions/{id}/restore")] {
        assert_eq!(house.post(&eve, &path).await, "404 Package not found.");
    }
    let seized = house.patch(&eve, tool, json!({ "visibility": "public" })).await;
    assert_eq!(seized.says(), "404 Package not found.");
    assert_eq!(house.get(&eve, "/orgs/acme/packages?package_type=container").await.body, json!([]));

    let reader = house.token("mona", &["read:packages"]).await;
    let deleter = house.token("mona", &["delete:packages"]).await;
    assert!(house.delete(&reader, tool).await.starts_with("403 You need at least delete:packages scope"));
    assert!(house.delete(&deleter, tool).await.starts_with("403 You need at least read:packages scope"));
    assert_eq!(house.patch(&reader, tool, json!({ "visibility": "public" })).await.status, 403);
    assert!(house.pulls(&mona, "acme/tool", &digest).await, "nothing happened");
}

#[tokio::test]
async fn versions_leave_parts_out_and_are_found_by_tag_and_digest() {
    let house = House::new().await;
    let mona = house.person("mona").await;
    let child = house.push(&mona, "mona/app", None, "child", &[]).await;
    let whole = house.push(&mona, "mona/app", Some("v1"), "whole", &[&child]).await;
    let path = "/user/packages/container/app/versions";
    let listed = house.get(&mona, path).await;
    assert_eq!(listed.each("name"), [json!(whole)]);
    assert_eq!(listed.link, None);
    let version = &listed.body[0];
    assert_eq!(version["metadata"], json!({ "package_type": "container", "container": { "tags": ["v1"] } }));
    let id = version["id"].as_i64().unwrap();
    assert_eq!(version["url"], format!("https://api.h.test/users/mona/packages/container/app/versions/{id}"));
    assert_eq!(version["html_url"], format!("https://h.test/users/mona/packages/container/app/{id}"));

    let parts = house.get(&mona, &format!("{path}?include=parts")).await;
    assert_eq!(parts.each("name"), [json!(whole), json!(child)]);
    assert_eq!(parts.body[1]["part_of"]["id"], id);
    assert_eq!(house.get(&mona, &format!("{path}?tag=v1")).await.each("id"), [json!(id)]);
    assert_eq!(house.get(&mona, &format!("{path}?tag=v2")).await.body, json!([]));
    assert_eq!(house.get(&mona, &format!("{path}?digest={child}")).await.each("name"), [json!(child)]);
    assert_eq!(house.get(&mona, &format!("{path}?digest=x")).await.status, 422);
    assert_eq!(house.get(&mona, &format!("{path}?tag=v1&state=deleted")).await.status, 422);
    assert_eq!(house.get(&mona, &format!("{path}/{id}")).await.body, *version);
    for wrong in ["999999", "x"] {
        let answer = house.get(&mona, &format!("{path}/{wrong}")).await;
        assert_eq!(answer.says(), "404 Package version not found.");
    }
}

#[tokio::test]
async fn pages_are_linked_by_key_and_by_number() {
    let house = House::new().await;
    let mona = house.person("mona").await;
    for number in 0..5 {
        house.push(&mona, "mona/app", Some(&format!("v{number}")), &number.to_string(), &[]).await;
        house.push(&mona, &format!("mona/p{number}"), Some("v"), "x", &[]).await;
    }
    for (path, field) in
        [("/user/packages/container/app/versions?", "id"), ("/user/packages?package_type=container&", "name")]
    {
        let all = house.get(&mona, &format!("{path}per_page=100")).await.each(field);
        let (mut pages, mut next) = (Vec::new(), Some(format!("{path}per_page=2")));
        while let Some(at) = next {
            let page = house.get(&mona, &at).await;
            pages.extend(page.each(field));
            let link = page.link.unwrap();
            next = link
                .split(", ")
                .find(|link| link.ends_with("rel=\"next\""))
                .map(|link| link.split(['<', '>']).nth(1).unwrap().replace("https://api.h.test", ""));
            if next.is_some() {
                assert!(link.contains("rel=\"last\""), "{link}");
            }
        }
        assert_eq!(pages, all);
        let third = house.get(&mona, &format!("{path}per_page=2&page=2")).await.each(field);
        assert_eq!(third, all[2..4]);
        assert_eq!(house.get(&mona, &format!("{path}per_page=100&page=101")).await.status, 400);
    }
}

#[tokio::test]
async fn a_part_goes_with_its_whole_and_comes_back_with_it() {
    let house = House::new().await;
    let mona = house.person("mona").await;
    let child = house.push(&mona, "mona/app", None, "child", &[]).await;
    let whole = house.push(&mona, "mona/app", Some("v1"), "whole", &[&child]).await;
    house.push(&mona, "mona/app", Some("v2"), "other", &[]).await;
    let path = "/user/packages/container/app/versions";
    let id_of = async |digest: &str| {
        house.get(&mona, &format!("{path}?digest={digest}")).await.body[0]["id"].as_i64().unwrap()
    };
    let (child_id, whole_id) = (id_of(&child).await, id_of(&whole).await);

    let refused = house.delete(&mona, &format!("{path}/{child_id}")).await;
    let named = format!("part of version {whole_id} ({whole}, tagged v1)");
    assert!(refused.starts_with("422 ") && refused.contains(&named), "{refused}");

    assert_eq!(house.delete(&mona, &format!("{path}/{whole_id}")).await, "204");
    assert!(!house.pulls(&mona, "mona/app", "v1").await && !house.pulls(&mona, "mona/app", &child).await);
    let deleted = house.get(&mona, &format!("{path}?state=deleted")).await;
    assert_eq!(deleted.each("id"), [json!(whole_id)]);
    assert!(deleted.body[0]["deleted_at"].is_string());
    assert_eq!(house.get(&mona, &format!("{path}/{whole_id}")).await.status, 404);
    assert_eq!(house.delete(&mona, &format!("{path}/{whole_id}")).await, "404 Package version not found.");

    assert_eq!(house.post(&mona, &format!("{path}/{whole_id}/restore")).await, "204");
    assert!(house.pulls(&mona, "mona/app", "v1").await && house.pulls(&mona, "mona/app", &child).await);
    assert_eq!(
        house.post(&mona, &format!("{path}/{whole_id}/restore")).await,
        "404 Package version not found."
    );

    // Its time is over.
    assert_eq!(house.delete(&mona, &format!("{path}/{whole_id}")).await, "204");
    house.pass(31 * DAY);
    assert_eq!(house.get(&mona, &format!("{path}?state=deleted")).await.body, json!([]));
    assert!(house.post(&mona, &format!("{path}/{whole_id}/restore")).await.starts_with("404 "));
}

#[tokio::test]
async fn what_was_pushed_again_cannot_be_restored() {
    let house = House::new().await;
    let mona = house.person("mona").await;
    let path = "/user/packages/container/app/versions";
    house.push(&mona, "mona/app", Some("keep"), "keep", &[]).await;
    house.push(&mona, "mona/app", Some("v1"), "one", &[]).await;
    let id = house.get(&mona, &format!("{path}?tag=v1")).await.body[0]["id"].as_i64().unwrap();
    assert_eq!(house.delete(&mona, &format!("{path}/{id}")).await, "204");
    house.push(&mona, "mona/app", Some("v1"), "one", &[]).await;
    assert!(house.post(&mona, &format!("{path}/{id}/restore")).await.starts_with("422 "));
    let again = house.get(&mona, &format!("{path}?tag=v1")).await.body[0]["id"].as_i64().unwrap();
    assert!(again > id, "another number");
}

#[tokio::test]
async fn the_last_tagged_version_stays() {
    let house = House::new().await;
    let mona = house.person("mona").await;
    let path = "/user/packages/container/app/versions";
    house.push(&mona, "mona/app", Some("v1"), "one", &[]).await;
    let untagged = house.push(&mona, "mona/app", None, "two", &[]).await;
    let of = async |query: String| {
        house.get(&mona, &format!("{path}?{query}")).await.body[0]["id"].as_i64().unwrap()
    };
    let (tagged, untagged) = (of("tag=v1".into()).await, of(format!("digest={untagged}")).await);
    let last =
        "400 You cannot delete the last tagged version of a package. You must delete the package instead.";
    assert_eq!(house.delete(&mona, &format!("{path}/{tagged}")).await, last);
    assert_eq!(house.delete(&mona, &format!("{path}/{untagged}")).await, "204");
    assert_eq!(house.delete(&mona, &format!("{path}/{tagged}")).await, last);
    // Without its tag it is still the last version.
    assert_eq!(house.delete(&mona, "/user/packages/container/app/tags/v1").await, "204");
    let last = "400 You cannot delete the last version of a package. You must delete the package instead.";
    assert_eq!(house.delete(&mona, &format!("{path}/{tagged}")).await, last);
    assert_eq!(house.delete(&mona, "/user/packages/container/app").await, "204");
}

#[tokio::test]
async fn what_many_have_downloaded_stays_while_it_is_public() {
    let house = House::with(|settings| settings.downloads_max = 3).await;
    let mona = house.person("mona").await;
    let app = "/user/packages/container/app";
    house.push(&mona, "mona/app", Some("v1"), "one", &[]).await;
    house.push(&mona, "mona/app", Some("v2"), "two", &[]).await;
    assert_eq!(house.patch(&mona, app, json!({ "visibility": "public" })).await.status, 200);
    let pull = async |times| {
        for _ in 0..times {
            assert!(house.pulls("", "mona/app", "v1").await);
        }
        house.service.store_downloads().await.unwrap();
    };
    pull(3).await;
    let version = house.get(&mona, &format!("{app}/versions?tag=v1")).await.body[0].clone();
    assert_eq!(version["download_count"], 3);
    let version = format!("{app}/versions/{}", version["id"]);
    pull(1).await;
    let many = "400 Publicly visible packages with a version with more than 3 downloads cannot be deleted.";
    assert!(house.delete(&mona, &version).await.starts_with(many));
    assert!(house.delete(&mona, app).await.starts_with(many));
    let tags = house.get(&mona, &format!("{app}/tags")).await;
    assert_eq!(tags.each("download_count"), [json!(4), json!(0)]);
    assert_eq!(house.get(&mona, app).await.body["download_count"], 4);
    // A HEAD is none.
    let name: PackageName = "mona/app".parse().unwrap();
    let head = house.service.manifest_head(&Shown::Nothing, &name, &"v1".parse().unwrap()).await;
    assert!(head.is_ok());
    house.service.store_downloads().await.unwrap();
    assert_eq!(house.get(&mona, app).await.body["download_count"], 4);

    assert_eq!(house.patch(&mona, app, json!({ "visibility": "private" })).await.status, 200);
    assert_eq!(house.delete(&mona, &version).await, "204");
    assert_eq!(house.delete(&mona, app).await, "204");
}

#[tokio::test]
async fn a_deleted_package_frees_its_name_and_comes_back_once() {
    let house = House::new().await;
    let mona = house.person("mona").await;
    let app = "/orgs/acme/packages/container/app";
    let list = "/orgs/acme/packages?package_type=container";
    let first = house.push(&mona, "acme/app", Some("v1"), "first", &[]).await;
    assert_eq!(house.post(&mona, &format!("{app}/restore")).await, "404 Package not found.");
    assert_eq!(house.delete(&mona, app).await, "204");
    assert_eq!(house.get(&mona, app).await.status, 404);
    assert!(!house.pulls(&mona, "acme/app", "v1").await);
    assert_eq!(house.get(&mona, list).await.body, json!([]));
    assert_eq!(house.get(&mona, &format!("{list}&state=deleted")).await.each("name"), [json!("app")]);
    assert_eq!(house.post(&mona, &format!("{app}/restore")).await, "204");
    assert!(house.pulls(&mona, "acme/app", &first).await);

    // The name was used again: that one is to be deleted first, and then it is the one that comes back.
    assert_eq!(house.delete(&mona, app).await, "204");
    let second = house.push(&mona, "acme/app", Some("v1"), "second", &[]).await;
    assert!(house.post(&mona, &format!("{app}/restore")).await.starts_with("422 The name acme/app is taken"));
    assert_eq!(house.delete(&mona, app).await, "204");
    assert_eq!(house.post(&mona, &format!("{app}/restore")).await, "204");
    assert!(house.pulls(&mona, "acme/app", &second).await && !house.pulls(&mona, "acme/app", &first).await);

    assert_eq!(house.delete(&mona, app).await, "204");
    house.pass(31 * DAY);
    assert_eq!(house.get(&mona, &format!("{list}&state=deleted")).await.body, json!([]));
    assert_eq!(house.post(&mona, &format!("{app}/restore")).await, "404 Package not found.");
}

#[tokio::test]
async fn visibility_is_changed_in_both_forms() {
    let house = House::new().await;
    let mona = house.person("mona").await;
    house.push(&mona, "mona/app", Some("v1"), "one", &[]).await;
    let app = "/user/packages/container/app";
    let id = house.get(&mona, &format!("{app}/versions")).await.body[0]["id"].clone();
    assert!(!house.pulls("", "mona/app", "v1").await);
    let changed =
        house.patch(&mona, &format!("{app}/versions/{id}"), json!({ "visibility": "public" })).await;
    assert_eq!(changed.status, 200);
    assert!(house.pulls("", "mona/app", "v1").await);
    let changed = house.patch(&mona, app, json!({ "visibility": "private" })).await;
    assert_eq!(changed.body["visibility"], "private");
    assert!(!house.pulls("", "mona/app", "v1").await);
    for body in
        [json!({ "visibility": "internal" }), json!({ "visibility": "open" }), json!({ "hidden": true })]
    {
        assert_eq!(house.patch(&mona, app, body.clone()).await.status, 422, "{body}");
    }
}

#[tokio::test]
async fn a_renamed_package_is_pulled_by_its_old_name_and_decided_on_as_it_is() {
    let house = House::new().await;
    let (mona, eve) = (house.person("mona").await, house.person("eve").await);
    house.push(&mona, "acme/old", Some("v1"), "one", &[]).await;
    let old = "/orgs/acme/packages/container/old";
    let renamed = house.patch(&mona, old, json!({ "name": "new/name" })).await;
    assert_eq!((renamed.status, &renamed.body["name"]), (StatusCode::OK, &json!("new/name")));
    assert!(house.pulls(&mona, "acme/new/name", "v1").await && house.pulls(&mona, "acme/old", "v1").await);
    assert_eq!(house.get(&mona, old).await.status, 404, "the API knows it by its name");
    // Not a second door.
    assert!(!house.pulls(&eve, "acme/old", "v1").await && !house.pulls("", "acme/old", "v1").await);
    let new = "/orgs/acme/packages/container/new%2Fname";
    assert_eq!(house.patch(&mona, new, json!({ "visibility": "public" })).await.status, 200);
    assert!(house.pulls(&eve, "acme/old", "v1").await && house.pulls("", "acme/old", "v1").await);

    // A name that is another's.
    house.push(&mona, "acme/other", Some("v1"), "two", &[]).await;
    assert_eq!(house.patch(&mona, new, json!({ "name": "other" })).await.status, 422);
    assert_eq!(house.patch(&mona, new, json!({ "name": "UPPER" })).await.status, 422);

    // To another owner: only where the caller may create.
    assert_eq!(house.patch(&mona, new, json!({ "owner": "eve" })).await.status, 404);
    let moved = house.patch(&mona, new, json!({ "owner": "mona", "name": "mine" })).await;
    assert_eq!((moved.status, &moved.body["owner"]["login"]), (StatusCode::OK, &json!("mona")));
    for name in ["mona/mine", "acme/new/name", "acme/old"] {
        assert!(house.pulls("", name, "v1").await, "{name}");
    }
    // Who makes a package there ends it.
    let fresh = house.push(&mona, "acme/old", Some("v2"), "fresh", &[]).await;
    assert!(house.pulls(&mona, "acme/old", &fresh).await && !house.pulls(&mona, "acme/old", "v1").await);
    assert!(!house.pulls("", "acme/old", "v2").await, "the new one is private");
    let counts = ["/users/acme", "/users/mona"].map(|user| format!("{user}/packages?package_type=container"));
    assert_eq!(house.get(&mona, &counts[0]).await.each("name"), [json!("old"), json!("other")]);
    assert_eq!(house.get(&mona, &counts[1]).await.each("name"), [json!("mine")]);
}

#[tokio::test]
async fn redirects_can_be_switched_off() {
    let house = House::with(|settings| settings.redirect_renamed = false).await;
    let mona = house.person("mona").await;
    house.push(&mona, "mona/old", Some("v1"), "one", &[]).await;
    let renamed = house.patch(&mona, "/user/packages/container/old", json!({ "name": "new" })).await;
    assert_eq!(renamed.status, 200);
    assert!(house.pulls(&mona, "mona/new", "v1").await && !house.pulls(&mona, "mona/old", "v1").await);
}

#[tokio::test]
async fn tags_are_listed_deleted_and_remembered() {
    let house = House::new().await;
    let mona = house.person("mona").await;
    let first = house.push(&mona, "mona/app", Some("latest"), "one", &[]).await;
    let second = house.push(&mona, "mona/app", Some("latest"), "two", &[]).await;
    house.push(&mona, "mona/app", Some("v2"), "two", &[]).await;
    let tags = "/user/packages/container/app/tags";
    let listed = house.get(&mona, tags).await;
    assert_eq!(listed.each("name"), [json!("latest"), json!("v2")]);
    assert_eq!(listed.body[0]["version"]["name"], json!(second));
    assert_eq!(house.delete(&mona, &format!("{tags}/latest")).await, "204");
    assert_eq!(house.delete(&mona, &format!("{tags}/latest")).await, "404 Tag not found.");
    assert!(!house.pulls(&mona, "mona/app", "latest").await && house.pulls(&mona, "mona/app", "v2").await);
    let history = house.get(&mona, &format!("{tags}/latest/history")).await;
    let pointed: Vec<_> =
        history.body.as_array().unwrap().iter().map(|row| &row["version"]["name"]).collect();
    assert_eq!(pointed, [&json!(second), &json!(first)]);
    assert_eq!(history.each("moved_by"), [json!("mona"), json!("mona")]);
    assert!(history.body[0]["valid_to"].is_string());
    assert_eq!(house.get(&mona, &format!("{tags}/never/history")).await.says(), "404 Tag not found.");
}

/// What a rule holds is held at each of the API's doors.
#[tokio::test]
async fn a_tag_that_a_rule_holds_is_changed_through_no_door() {
    let house = House::new().await;
    let mona = house.token("mona", &["admin:org", "write:packages", "delete:packages"]).await;
    for (of, app) in [
        ("/orgs/acme/packages/container/one", "one"),
        ("/orgs/acme/packages/container/two", "two"),
        ("/orgs/acme", "three"),
    ] {
        let name = format!("acme/{app}");
        let at = format!("/orgs/acme/packages/container/{app}");
        house.push(&mona, &name, Some("v1"), "old", &[]).await;
        let child = house.push(&mona, &name, None, "child", &[]).await;
        house.push(&mona, &name, Some("v1"), "one", &[&child]).await;
        house.push(&mona, &name, Some("free"), "free", &[]).await;
        let rule = if app == "two" {
            json!({ "hold": "protected", "role": "nobody", "pattern": "v*" })
        } else {
            json!({ "hold": "immutable", "pattern": "v*", "except": ["v0*"] })
        };
        let made = house.ask(&mona, Method::POST, &format!("{of}/rules"), Some(rule)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let id = made.body["id"].as_i64().unwrap();

        let tagged = house.get(&mona, &format!("{at}/versions?tag=v1")).await;
        let version = tagged.body[0]["id"].as_i64().unwrap();
        let held = |says: &str| {
            let told = says.starts_with("422 Repository rule violations found: the tag `v1` is ")
                && says.contains(&format!("rule {id} of"));
            assert!(told, "{says}");
        };
        held(&house.delete(&mona, &format!("{at}/tags/v1")).await);
        held(&house.delete(&mona, &format!("{at}/versions/{version}")).await);
        held(&house.delete(&mona, &at).await);
        held(&house.post(&mona, &format!("{at}/tags/v1/undo")).await);
        held(&house.patch(&mona, &at, json!({ "name": "elsewhere" })).await.says());
        held(&house.patch(&mona, &at, json!({ "owner": "mona" })).await.says());
        held(&house.delete(&mona, "/orgs/acme").await);
        // Other tags are free, and so is what a rule lets go.
        assert_eq!(house.delete(&mona, &format!("{at}/tags/free")).await, "204");
        assert_eq!(house.delete(&mona, &format!("{of}/rules/{id}")).await, "204");
        assert_eq!(house.delete(&mona, &format!("{of}/rules/{id}")).await, "404 Rule not found.");
        assert_eq!(house.post(&mona, &format!("{at}/tags/v1/undo")).await, "200");
        assert_eq!(house.delete(&mona, &format!("{at}/tags/v1")).await, "204");
    }
    assert_eq!(house.delete(&mona, "/orgs/acme").await, "202");
}

#[tokio::test]
async fn retention_is_set_planned_and_run() {
    let house = House::new().await;
    let mona = house.token("mona", &["admin:org", "write:packages", "delete:packages"]).await;
    let at = "/orgs/acme/packages/container/app";
    for word in ["a", "b", "c"] {
        house.push(&mona, "acme/app", Some(word), word, &[]).await;
    }
    let put = |path: &'static str, body: Value| house.ask(&mona, Method::PUT, path, Some(body));
    assert_eq!(house.get(&mona, &format!("{at}/retention")).await.says(), "404 Retention policy not found.");
    let refused = put("/orgs/acme/retention", json!({ "keep_last": 1 })).await;
    assert!(refused.says().starts_with("422 Validation Failed: the policy drops nothing"), "{refused:?}");
    let set =
        put("/orgs/acme/retention", json!({ "keep_last": 1, "drop_rest": true, "daily_at": "03:30" })).await;
    assert_eq!(set.body["next_run_at"], "2026-01-01T03:30:00Z", "{set:?}");
    let seen = house.get(&mona, &format!("{at}/retention")).await.body;
    assert_eq!((&seen["of"], &seen["own"]), (&json!("acme"), &json!(false)));
    let plan = house.get(&mona, &format!("{at}/retention/plan")).await.body;
    let verdicts: Vec<_> =
        plan["versions"].as_array().unwrap().iter().map(|row| row["verdict"].clone()).collect();
    assert_eq!(verdicts, ["keep", "drop", "drop"]);
    assert_eq!(house.get(&mona, &format!("{at}/tags/a")).await.status, 200);
    assert_eq!(house.post(&mona, &format!("{at}/retention/run")).await, "200");
    assert_eq!(house.get(&mona, &format!("{at}/tags/a")).await.says(), "404 Tag not found.");
    assert_eq!(house.get(&mona, &format!("{at}/tags/c")).await.status, 200);
    let when = house.get(&mona, &format!("{at}/tags/c?as_of=2025-01-01T00:00:00Z")).await.says();
    assert_eq!(when, "404 Tag not found.");
    assert_eq!(house.delete(&mona, "/orgs/acme/retention").await, "204");
    assert_eq!(house.delete(&mona, "/orgs/acme/retention").await, "404 Retention policy not found.");
}
