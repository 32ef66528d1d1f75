//! People, teams, repositories and the access to packages through the API: what is answered, and who may then pull.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Options, Place};
use packhouse_github::{Edge, Space};
use packhouse_service::operator::{Answer as Told, Command};
use packhouse_service::{PutManifest, Service, Settings, Shown, SystemClock};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tempfile::TempDir;

const ALL: &[&str] =
    &["repo", "delete_repo", "admin:org", "user", "read:packages", "write:packages", "delete:packages"];

struct House {
    service: Service,
    edge: Edge,
    _folder: TempDir,
}

impl House {
    /// An organization `acme` of mona's with hubot in it, and a package of each; eve is nobody to them.
    async fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(Place::Sqlite(folder.path().join("catalog.sqlite")));
        let catalog = Catalog::open(&options).unwrap();
        let store = BlobStore::files(folder.path()).unwrap();
        let settings = Settings::new("admin".parse().unwrap());
        let (service, _) = Service::start(catalog, store, Arc::new(SystemClock), settings).await.unwrap();
        let edge = Edge::new(service.clone());
        let house = House { service, edge, _folder: folder };
        for name in ["Mona", "hubot", "eve"] {
            house.operate(Command::UserCreate { name: name.into(), site_admin: false }).await;
        }
        house.operate(Command::OrgCreate { name: "acme".into(), owner: "mona".into() }).await;
        let (org, user) = ("acme".to_owned(), "hubot".to_owned());
        house.operate(Command::OrgAddMember { org, user, owner: false }).await;
        house
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

    /// Makes a package with one version.
    async fn push(&self, token: &str, package: &str) {
        let put = PutManifest {
            reference: "1".parse().unwrap(),
            tags: Vec::new(),
            media_type: Some("application/vnd.oci.image.index.v1+json".parse().unwrap()),
            bytes: json!({ "schemaVersion": 2, "manifests": [], "annotations": { "of": package } })
                .to_string()
                .into_bytes(),
            host: None,
        };
        let name = package.parse().unwrap();
        self.service.put_manifest(&Shown::Bearer(token.to_owned()), &name, put).await.unwrap();
    }

    /// `METHOD /path` with a body; the status and the answer.
    async fn ask(&self, token: &str, line: &str, body: Value) -> (u16, Value) {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut request = Request::builder()
            .method(method.parse::<Method>().unwrap())
            .uri(path)
            .header("user-agent", "a test");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let request = request.body(Full::new(body)).unwrap();
        let space = Space::beside("https://h.test", "https://api.h.test");
        let (_, answer) = self.edge.handle(request, &space, client).await;
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn status(&self, token: &str, line: &str, body: Value) -> u16 {
        self.ask(token, line, body).await.0
    }
}

#[tokio::test]
async fn a_login_keeps_its_case_and_is_found_in_any() {
    let house = House::new().await;
    let mona = house.token("MONA", ALL).await;
    for path in ["/user", "/users/mona", "/users/MoNa"] {
        let (status, user) = house.ask(&mona, &format!("GET {path}"), Value::Null).await;
        assert_eq!((status, &user["login"]), (200, &json!("Mona")), "{path}");
    }
    let (_, made) = house.ask(&mona, "POST /user/repos", json!({ "name": "Hello-World" })).await;
    assert_eq!(made["full_name"], "Mona/Hello-World");
    let (status, found) = house.ask("", "GET /repos/mona/hello-world", Value::Null).await;
    assert_eq!((status, &found["name"]), (200, &json!("Hello-World")));
    assert_eq!(house.status(&mona, "POST /user/repos", json!({ "name": "hello-world" })).await, 422);
}

#[tokio::test]
async fn null_takes_a_value_away_and_unknown_fields_are_refused() {
    let house = House::new().await;
    let mona = house.token("mona", ALL).await;
    let body = json!({ "name": "Mona Lisa", "bio": "Paints.", "email": "mona@example.org" });
    assert_eq!(house.status(&mona, "PATCH /user", body).await, 200);
    let (_, user) = house.ask(&mona, "PATCH /user", json!({ "bio": null })).await;
    assert_eq!((&user["bio"], &user["name"]), (&Value::Null, &json!("Mona Lisa")));
    for body in [json!({ "login": "root" }), json!({ "id": 1 }), json!({ "email": "no address" })] {
        assert_eq!(house.status(&mona, "PATCH /user", body.clone()).await, 422, "{body}");
    }
    assert_eq!(house.status(&mona, "PATCH /orgs/acme", json!({ "owner": "eve" })).await, 422);
}

#[tokio::test]
async fn what_is_anothers_is_not_found_and_does_not_change() {
    let house = House::new().await;
    let (mona, eve) = (house.token("mona", ALL).await, house.token("eve", ALL).await);
    house.operate(Command::OrgCreate { name: "evil".into(), owner: "eve".into() }).await;
    house.status(&mona, "POST /orgs/acme/repos", json!({ "name": "anvil", "private": true })).await;
    house.status(&mona, "POST /orgs/acme/teams", json!({ "name": "core", "privacy": "closed" })).await;
    house.status(&eve, "POST /orgs/evil/repos", json!({ "name": "plan", "private": true })).await;
    house.status(&eve, "POST /orgs/evil/teams", json!({ "name": "minions", "privacy": "closed" })).await;
    house.push(&mona, "acme/app").await;
    house.push(&eve, "evil/app").await;
    let (_, core) = house.ask(&mona, "GET /orgs/acme/teams/core", Value::Null).await;
    for (line, body, expected) in [
        ("GET /orgs/acme/teams", Value::Null, 404),
        ("GET /orgs/acme/teams/core", Value::Null, 404),
        ("PATCH /orgs/acme/teams/core", json!({ "name": "mine" }), 404),
        ("DELETE /orgs/acme/teams/core", Value::Null, 404),
        ("PUT /orgs/acme/teams/core/memberships/eve", Value::Null, 404),
        ("PUT /orgs/acme/memberships/eve", json!({ "role": "admin" }), 404),
        ("DELETE /orgs/acme/members/hubot", Value::Null, 404),
        ("PATCH /orgs/acme", json!({ "description": "mine" }), 404),
        ("DELETE /orgs/acme", Value::Null, 403),
        ("GET /repos/acme/anvil", Value::Null, 404),
        ("PATCH /repos/acme/anvil", json!({ "private": false }), 404),
        ("DELETE /repos/acme/anvil", Value::Null, 404),
        ("GET /repos/acme/anvil/collaborators", Value::Null, 404),
        ("PUT /repos/acme/anvil/collaborators/eve", Value::Null, 404),
        ("GET /repos/acme/anvil/teams", Value::Null, 404),
        // The team of one's own with the repository of another, and the reverse.
        ("PUT /orgs/evil/teams/minions/repos/acme/anvil", Value::Null, 404),
        ("PUT /orgs/acme/teams/core/repos/evil/plan", Value::Null, 404),
        // In the body: a team above one's own, by its number.
        ("PATCH /orgs/evil/teams/minions", json!({ "parent_team_id": core["id"] }), 422),
        ("GET /orgs/acme/packages/container/app/access", Value::Null, 404),
        ("PUT /orgs/acme/packages/container/app/access/users/eve", json!({ "role": "admin" }), 404),
        ("PUT /orgs/evil/packages/container/app/access/teams/core", json!({ "role": "read" }), 404),
        (
            "PUT /orgs/evil/packages/container/app/access/repositories/acme%2Fanvil",
            json!({ "role": "read" }),
            404,
        ),
        ("PUT /orgs/evil/packages/container/app/repository", json!({ "repository": "acme/anvil" }), 404),
        ("PUT /orgs/acme/packages/container/app/repository", json!({ "repository": "evil/plan" }), 404),
    ] {
        let (status, answer) = house.ask(&eve, line, body).await;
        assert_eq!(status, expected, "{line}: {answer}");
    }
    let (_, members) = house.ask(&eve, "GET /orgs/acme/members", Value::Null).await;
    assert_eq!(members, json!([]), "memberships are not public");
    let (_, after) = house.ask(&mona, "GET /orgs/acme/teams/core", Value::Null).await;
    assert_eq!(after, core, "nothing changed");
    let (_, anvil) = house.ask(&mona, "GET /repos/acme/anvil", Value::Null).await;
    assert_eq!((&anvil["private"], &anvil["permissions"]["admin"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn the_access_to_a_package_is_read_given_and_taken() {
    let house = House::new().await;
    let (mona, hubot) = (house.token("mona", ALL).await, house.token("hubot", ALL).await);
    house.push(&mona, "acme/tools/forge").await;
    house.status(&mona, "POST /orgs/acme/teams", json!({ "name": "core", "privacy": "closed" })).await;
    house.status(&mona, "POST /orgs/acme/repos", json!({ "name": "anvil", "private": true })).await;
    let access = "/orgs/acme/packages/container/tools%2Fforge/access";
    let role = |role: &str| json!({ "role": role });
    assert_eq!(house.status(&mona, &format!("PUT {access}/users/hubot"), role("write")).await, 204);
    assert_eq!(house.status(&mona, &format!("PUT {access}/users/hubot"), role("king")).await, 422);
    assert_eq!(house.status(&mona, &format!("PUT {access}/users/eve"), role("read")).await, 403);
    assert_eq!(house.status(&mona, &format!("PUT {access}/users/nobody"), role("read")).await, 404);
    assert_eq!(house.status(&mona, &format!("PUT {access}/teams/core"), role("admin")).await, 204);
    assert_eq!(house.status(&mona, &format!("PUT {access}/repositories/anvil"), role("read")).await, 204);
    assert_eq!(house.status(&hubot, &format!("GET {access}"), Value::Null).await, 403, "a writer");
    let (_, list) = house.ask(&mona, &format!("GET {access}"), Value::Null).await;
    assert_eq!((&list["users"][0]["login"], &list["users"][0]["role"]), (&json!("hubot"), &json!("write")));
    assert_eq!((&list["teams"][0]["slug"], &list["teams"][0]["role"]), (&json!("core"), &json!("admin")));
    assert_eq!(list["repositories"][0]["full_name"], "acme/anvil");
    assert_eq!(house.status(&mona, &format!("DELETE {access}/teams/core"), Value::Null).await, 204);
    assert_eq!(house.status(&mona, &format!("DELETE {access}/teams/core"), Value::Null).await, 404);

    assert_eq!(
        house.status(&mona, &format!("PATCH {access}"), json!({ "inherits_access": true })).await,
        403
    );
    let link = "/orgs/acme/packages/container/tools%2Fforge/repository";
    let body = json!({ "repository": "anvil", "inherits_access": true });
    let (status, linked) = house.ask(&mona, &format!("PUT {link}"), body).await;
    assert_eq!((status, &linked["inherits_access"], &linked["users"]), (200, &json!(true), &json!([])));
    assert_eq!(linked["repository"]["full_name"], "acme/anvil");
    assert_eq!(house.status(&mona, &format!("PUT {access}/users/hubot"), role("read")).await, 403);
    assert_eq!(house.status(&mona, &format!("DELETE {link}"), Value::Null).await, 204);
    assert_eq!(house.status(&mona, &format!("DELETE {link}"), Value::Null).await, 404);
}
