//! Limits, tokens, robots, GraphQL and sign-in by a code, through GitHub's edge.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Micros, Options, Place};
use packhouse_github::{Edge, Space};
use packhouse_service::operator::{Answer as Told, Command};
use packhouse_service::{Clock, RateSettings, Service, Settings};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

const URL: &str = "https://packs.test";
const SECOND: i64 = 1_000_000;
const OPENING: i64 = 1_767_225_600 * SECOND;

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

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn number(&self, name: &str) -> i64 {
        self.header(name).parse().unwrap_or_else(|_| panic!("no {name} in {:?}", self.headers))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The status, and the message when it is an error.
    fn says(&self) -> String {
        let message = serde_json::from_str(&self.text)
            .ok()
            .and_then(|body: Value| body.get("message").and_then(Value::as_str).map(str::to_owned));
        message.map_or(self.status.as_u16().to_string(), |text| format!("{} {text}", self.status.as_u16()))
    }
}

impl House {
    async fn with(rates: RateSettings) -> House {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Sqlite(folder.path().join("catalog.sqlite"));
        let catalog = Catalog::open(&Options::new(place)).unwrap();
        let store = BlobStore::files(folder.path()).unwrap();
        let watch = Arc::new(Watch(AtomicI64::new(OPENING)));
        let clock: Arc<dyn Clock> = Arc::clone(&watch) as Arc<dyn Clock>;
        let settings = Settings { rates, ..Settings::new("admin".parse().unwrap()) };
        let (service, _) = Service::start(catalog, store, clock, settings).await.unwrap();
        let house = House { edge: Edge::new(service.clone()), service, watch, _folder: folder };
        for name in ["mona", "hubot"] {
            house.operate(Command::UserCreate { name: name.into(), site_admin: false }).await;
        }
        house.operate(Command::OrgCreate { name: "acme".into(), owner: "mona".into() }).await;
        house
    }

    async fn new() -> House {
        House::with(RateSettings::off()).await
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

    fn request(method: Method, path: &str, token: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path).header("user-agent", "test");
        if token.is_empty() { request } else { request.header("authorization", format!("token {token}")) }
    }

    async fn send(&self, request: Request<Full<Bytes>>, from: &str) -> Answer {
        let client: IpAddr = from.parse().unwrap();
        let path = request.uri().path().to_owned();
        let (_, response) = if Edge::signs_in(&path) {
            self.edge.sign_in(request, URL, client).await
        } else {
            let space = Space::below(&path, URL).unwrap();
            self.edge.handle(request, &space, client).await
        };
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let method: Method = method.parse().unwrap();
        let request = House::request(method, &format!("/api/v3{path}"), token);
        self.send(request.body(Full::from(text)).unwrap(), "192.0.2.1").await
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, "GET", path, Value::Null).await
    }

    async fn graphql(&self, token: &str, query: &str) -> Answer {
        let body = json!({ "query": query }).to_string();
        let request = House::request(Method::POST, "/api/graphql", token);
        self.send(request.body(Full::from(body)).unwrap(), "192.0.2.1").await
    }

    /// Sends a form of the sign-in.
    async fn form(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::from(body)).unwrap(), "192.0.2.1").await
    }
}

#[tokio::test]
async fn each_answer_says_how_the_hour_stands_and_the_last_one_when_it_ends() {
    let rates = RateSettings { api_token_hour: 4, api_address_hour: 3, ..RateSettings::off() };
    let house = House::with(rates).await;
    let (mona, other) = (house.token("mona", &["repo"]).await, house.token("mona", &[]).await);
    let first = house.get(&mona, "/versions").await;
    let rate = |answer: &Answer| {
        ["limit", "remaining", "used", "reset"].map(|name| answer.number(&format!("x-ratelimit-{name}")))
    };
    assert_eq!(rate(&first), [4, 3, 1, OPENING / SECOND + 3600]);
    assert_eq!(first.header("x-ratelimit-resource"), "core");

    // What the client has already is not counted (GitHub: conditional requests).
    let etag = first.header("etag").to_owned();
    let request = House::request(Method::GET, "/api/v3/versions", &mona);
    let request = request.header("if-none-match", etag).body(Full::default()).unwrap();
    let known = house.send(request, "192.0.2.1").await;
    assert_eq!((known.status, rate(&known)[2]), (StatusCode::NOT_MODIFIED, 1));

    let asked = house.get(&mona, "/rate_limit").await;
    assert_eq!(
        asked.json()["resources"]["core"],
        json!({ "limit": 4, "used": 1, "remaining": 3, "reset": 1_767_229_200 })
    );
    assert_eq!(rate(&asked)[2], 1, "asking is free");
    // Another token of the account has an hour of its own.
    for token in [&other, &mona] {
        for _ in 0..3 {
            assert_eq!(house.get(token, "/versions").await.status, StatusCode::OK);
        }
    }
    house.watch.0.fetch_add(600 * SECOND, Ordering::SeqCst);
    let over = house.get(&mona, "/versions").await;
    assert_eq!(over.says(), "429 API rate limit exceeded for user ID 2.");
    assert_eq!((over.number("retry-after"), rate(&over)[1]), (3000, 0));

    // Who is refused is counted as their address, and learns nothing more when that is used up.
    for _ in 0..3 {
        assert_eq!(house.get("phr_guess", "/versions").await.says(), "401 Bad credentials");
    }
    for token in ["phr_guess", ""] {
        let over = house.get(token, "/versions").await;
        assert!(over.says().starts_with("429 API rate limit exceeded for 192.0.2.1."), "{}", over.says());
    }
}

#[tokio::test]
async fn writes_in_a_minute_are_a_secondary_limit_and_queries_are_no_writes() {
    let rates = RateSettings { api_writes_minute: 2, ..RateSettings::off() };
    let house = House::with(rates).await;
    let mona = house.token("mona", &["admin:org"]).await;
    for name in ["a", "b"] {
        let made = house.ask(&mona, "POST", "/orgs/acme/robots", json!({ "name": name })).await;
        assert_eq!(made.status, StatusCode::CREATED);
    }
    let over = house.ask(&mona, "POST", "/orgs/acme/robots", json!({ "name": "c" })).await;
    assert!(over.says().starts_with("429 You have exceeded a secondary rate limit."), "{}", over.says());
    assert_eq!(over.number("retry-after"), 60);
    let documentation = over.json()["documentation_url"].as_str().unwrap().to_owned();
    assert!(documentation.ends_with("secondary-rate-limits"), "go-github knows it by this: {documentation}");
    assert_eq!(house.get(&mona, "/orgs/acme/robots").await.json().as_array().unwrap().len(), 2);
    // A clean-up deletes a hundred at once, and is not held up by it.
    for name in ["a", "b", "c"] {
        let gone = house.ask(&mona, "DELETE", &format!("/orgs/acme/robots/{name}"), json!({})).await;
        assert_ne!(gone.status, StatusCode::TOO_MANY_REQUESTS, "{}", gone.text);
        assert_ne!(gone.status, StatusCode::FORBIDDEN, "{}", gone.text);
    }
    assert_eq!(house.graphql(&mona, "{viewer{login}}").await.status, StatusCode::OK);
}

#[tokio::test]
async fn fine_grained_tokens_are_made_seen_and_revoked() {
    let house = House::new().await;
    let mona = house.token("mona", &["user", "write:packages"]).await;
    let limits = json!([{ "owner": "acme", "permission": "write" }]);
    let body = json!({ "name": "ci", "limits": limits, "expires_at": "2026-02-01T00:00:00Z" });
    let made = house.ask(&mona, "POST", "/user/tokens", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.header("cache-control"), "no-store");
    let made = made.json();
    let (token, id) = (made["token"].as_str().unwrap().to_owned(), made["id"].to_string());
    assert_eq!((&made["kind"], &made["limits"]), (&json!("fine_grained"), &limits));
    assert_eq!(made["expires_at"], "2026-02-01T00:00:00Z");

    let listed = house.get(&mona, "/user/tokens?per_page=1").await;
    assert!(listed.header("link").contains("rel=\"next\""), "{:?}", listed.headers);
    let one = house.get(&mona, &format!("/user/tokens/{id}")).await.json();
    assert_eq!((&one["name"], one.get("token")), (&json!("ci"), None), "it is shown once");
    // With the token itself: only it, and no scopes in the headers.
    let own = house.get(&token, "/user/tokens").await;
    assert_eq!(own.json().as_array().unwrap().len(), 1);
    assert!(!own.headers.contains_key("x-oauth-scopes"));

    let hubot = house.token("hubot", &["user", "write:packages"]).await;
    for method in ["GET", "DELETE"] {
        let stranger = house.ask(&hubot, method, &format!("/user/tokens/{id}"), Value::Null).await;
        assert_eq!(stranger.says(), "404 Token not found.");
    }
    for (wrong, why) in [
        (json!({ "name": "x", "limits": [{ "permission": "read" }] }), "either an owner or a package"),
        (json!({ "name": "x", "limits": [{ "package": "acme/none", "permission": "read" }] }), "no package"),
        (json!({ "name": "x", "limits": limits, "expires_at": "soon" }), "expires_at is a time"),
        (json!({ "name": "x", "limits": limits, "scopes": ["repo"] }), "unknown field"),
        (json!({ "name": "x" }), "Validation Failed"),
    ] {
        let refused = house.ask(&mona, "POST", "/user/tokens", wrong).await;
        assert!(refused.says().starts_with("422 Validation Failed"), "{}", refused.text);
        assert!(refused.says().contains(why), "{}", refused.text);
    }
    let wider = json!({ "name": "x", "limits": [{ "owner": "acme", "permission": "admin" }] });
    assert_eq!(house.ask(&mona, "POST", "/user/tokens", wider).await.status, StatusCode::FORBIDDEN);

    let gone = house.ask(&mona, "DELETE", &format!("/user/tokens/{id}"), Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get(&token, "/versions").await.says(), "401 Bad credentials");
}

#[tokio::test]
async fn robots_come_and_go_through_the_api_of_their_organization_alone() {
    let house = House::new().await;
    let mona = house.token("mona", &["admin:org", "write:packages"]).await;
    let hubot = house.token("hubot", &["admin:org", "write:packages"]).await;
    house.operate(Command::OrgCreate { name: "octo".into(), owner: "hubot".into() }).await;
    let body = json!({ "name": "deploy", "permission": "write", "description": "deploys" });
    let made = house.ask(&mona, "POST", "/orgs/acme/robots", body.clone()).await.json();
    assert_eq!((&made["login"], &made["permission"]), (&json!("acme+deploy"), &json!("write")));
    assert_eq!(made["url"], "https://packs.test/api/v3/orgs/acme/robots/deploy");
    let again = house.ask(&mona, "POST", "/orgs/acme/robots", body.clone()).await;
    assert_eq!(again.json()["errors"][0]["code"], "already_exists");

    let tokens = "/orgs/acme/robots/deploy/tokens";
    let scopes = json!({ "name": "ci", "scopes": ["write:packages"] });
    let token = house.ask(&mona, "POST", tokens, scopes.clone()).await.json();
    let secret = token["token"].as_str().unwrap().to_owned();
    assert_eq!(house.get(&secret, "/versions").await.status, StatusCode::OK);
    let viewer = house.graphql(&secret, "{viewer{login}}").await.json();
    assert_eq!(viewer["data"]["viewer"]["login"], "acme+deploy");

    // Another organization's owner: in its own path, and in ours.
    let one = format!("{tokens}/{}", token["id"]);
    for (method, path, body) in [
        ("GET", "/orgs/acme/robots".to_owned(), Value::Null),
        ("POST", "/orgs/acme/robots".to_owned(), body),
        ("GET", "/orgs/acme/robots/deploy".to_owned(), Value::Null),
        ("PATCH", "/orgs/acme/robots/deploy".to_owned(), json!({ "permission": "admin" })),
        ("DELETE", "/orgs/acme/robots/deploy".to_owned(), Value::Null),
        ("GET", tokens.to_owned(), Value::Null),
        ("POST", tokens.to_owned(), scopes),
        ("DELETE", one.clone(), Value::Null),
    ] {
        for path in [path.clone(), path.replace("/orgs/acme/", "/orgs/octo/")] {
            if path == "/orgs/octo/robots" {
                continue;
            }
            let refused = house.ask(&hubot, method, &path, body.clone()).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND, "{method} {path}: {}", refused.text);
        }
    }
    assert_eq!(house.get(&mona, "/orgs/acme/robots/deploy").await.json()["permission"], "write");

    let changed = house.ask(&mona, "PATCH", "/orgs/acme/robots/deploy", json!({ "permission": null })).await;
    assert_eq!(changed.json()["permission"], Value::Null);
    assert_eq!(changed.json()["description"], "deploys", "what is absent stays");
    assert_eq!(house.ask(&mona, "DELETE", &one, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get(&secret, "/versions").await.says(), "401 Bad credentials");
    let gone = house.ask(&mona, "DELETE", "/orgs/acme/robots/deploy", Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get(&mona, "/orgs/acme/robots/deploy").await.says(), "404 Robot not found.");
}

#[tokio::test]
async fn graphql_answers_who_is_signed_in_and_is_bounded() {
    let house = House::new().await;
    let mona = house.token("mona", &["repo"]).await;
    // As gh sends it.
    let viewer = house.graphql(&mona, "query UserCurrent{viewer{login}}").await;
    assert_eq!(viewer.json(), json!({ "data": { "viewer": { "login": "mona" } } }));
    assert_eq!(viewer.header("x-oauth-scopes"), "repo");
    let nobody = house.graphql("", "{viewer{login}}").await;
    assert_eq!(nobody.says(), "401 This endpoint requires you to be authenticated.");
    let absent = house.graphql(&mona, "{repository(owner:\"a\",name:\"b\"){id}}").await.json();
    assert_eq!(absent["errors"][0]["type"], "NOT_FOUND");
    assert_eq!(absent["data"], json!({ "repository": null }));
    let version = "mutation{deletePackageVersion(input:{packageVersionId:\"MDE0\"}){success}}";
    let version = house.graphql(&mona, version).await.json();
    let message = version["errors"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("Could not resolve to a node with the global id of 'MDE0'."), "{message}");

    let wide: String = (0..300).map(|n| format!("a{n}:viewer{{login}} ")).collect();
    let wide = house.graphql(&mona, &format!("{{{wide}}}")).await.json();
    assert_eq!((&wide["data"], wide["errors"].as_array().map(Vec::len)), (&Value::Null, Some(1)));
    let types = "{ofType".repeat(30) + "{name}" + &"}".repeat(30);
    let deep = format!("{{__schema{{types{types}}}}}");
    let deep = house.graphql(&mona, &deep).await.json();
    assert!(deep["errors"][0]["message"].as_str().unwrap().contains("nested too deep"), "{deep}");
}

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[tokio::test]
async fn the_device_flow_is_githubs_in_both_forms() {
    let house = House::new().await;
    let mona = house.token("mona", &["repo", "gist"]).await;
    let begin = [("client_id", "tool"), ("scope", "repo gist")];
    let form = house.form("/login/device/code", &begin, &[]).await;
    assert_eq!(form.header("content-type"), "application/x-www-form-urlencoded; charset=utf-8");
    assert!(form.text.contains("&interval=5") && form.text.contains("%2Flogin%2Fdevice&"), "{}", form.text);
    let json = [("accept", "application/json")];
    let begun = house.form("/login/device/code", &begin, &json).await.json();
    assert_eq!(begun["verification_uri"], "https://packs.test/login/device");
    assert_eq!((&begun["expires_in"], &begun["interval"]), (&json!(900), &json!(5)));
    let code = begun["device_code"].as_str().unwrap().to_owned();
    let poll = |grant: &'static str, client: &'static str, code: &str| {
        let fields = [("client_id", client), ("device_code", code), ("grant_type", grant)];
        let fields = fields.map(|(name, value)| (name, value.to_owned()));
        let house = &house;
        async move {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = house.form("/login/oauth/access_token", &fields, &json).await;
            assert_eq!(answer.status, StatusCode::OK, "errors too, as GitHub has it");
            answer.json()
        }
    };
    for (grant, client, code, error) in [
        ("password", "tool", code.as_str(), "unsupported_grant_type"),
        (GRANT, "", &code, "incorrect_client_credentials"),
        (GRANT, "other", &code, "incorrect_client_credentials"),
        (GRANT, "tool", "none", "incorrect_device_code"),
        (GRANT, "tool", &code, "authorization_pending"),
        (GRANT, "tool", &code, "slow_down"),
    ] {
        let said = poll(grant, client, code).await;
        assert_eq!(said["error"], error, "{said}");
        assert!(said["error_description"].is_string() && said["error_uri"].is_string());
        assert_eq!(said.get("interval"), (error == "slow_down").then_some(&json!(10)));
    }
    let user_code = begun["user_code"].as_str().unwrap();
    let decide = [("user_code", user_code), ("token", &mona), ("decision", "approve")];
    // Browsers say that a form is another site's.
    let foreign = house.form("/login/device", &decide, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let asked = house.form("/login/device", &[("user_code", user_code)], &[]).await;
    assert!(asked.text.contains("<strong>tool</strong>") && asked.text.contains("<code>gist</code>"));
    assert!(!asked.text.contains("<script"));
    let policy = asked.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert_eq!(asked.header("cache-control"), "no-store");
    assert_eq!(asked.header("set-cookie"), "");
    assert_eq!(poll(GRANT, "tool", &code).await["error"], "slow_down", "nothing was decided");

    let done = house.form("/login/device", &decide, &[("sec-fetch-site", "same-origin")]).await;
    assert!(done.text.contains("is signed in"), "{}", done.text);
    let token = poll(GRANT, "tool", &code).await;
    assert_eq!((&token["token_type"], &token["scope"]), (&json!("bearer"), &json!("gist,repo")));
    let token = token["access_token"].as_str().unwrap();
    assert_eq!(house.get(token, "/versions").await.header("x-oauth-scopes"), "gist, repo");
}
