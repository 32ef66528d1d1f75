//! `WWW-Authenticate`: how a client that was refused gets the token it needs (RFC 6750, and distribution's token
//! specification). One challenge on one line, nothing in it empty.

use crate::content::{image, index, sha256};
use crate::doors::{Target, has_package, knock, ways};
use crate::house::{Caller, House, URL};
use packhouse_distribution::{Endpoint, ROUTES};

const REALM: &str = r#"Bearer realm="https://packs.test/token",service="packhouse""#;

fn scope(scope: &str) -> String {
    format!("{REALM},scope=\"{scope}\"")
}

async fn house_of_mona() -> (House, crate::house::Person) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    mona.push("mona/app", "1.0", &image().layer("one").manifest()).await;
    (house, mona)
}

#[tokio::test]
async fn each_challenge_names_what_its_endpoint_takes() {
    let (house, _) = house_of_mona().await;
    let anonymous = house.anonymous();
    let manifest = index(&[]);
    let digest = sha256("one");
    let target = Target {
        package: "mona/app",
        tag: "1.0",
        manifest: &manifest,
        blob: &digest,
        session: &"0".repeat(32),
        source: ("mona/other", &digest),
    };
    let mut seen = 0;
    for route in &ROUTES {
        for way in ways(route.endpoint) {
            let wanted = match route.endpoint {
                // Nobody is asked for a token where tokens are made.
                Endpoint::Token | Endpoint::TokenPost => continue,
                Endpoint::Base => REALM.to_owned(),
                Endpoint::Catalog => scope("registry:catalog:*"),
                Endpoint::Tags | Endpoint::Manifest | Endpoint::Blob | Endpoint::Referrers => {
                    scope("repository:mona/app:pull")
                }
                Endpoint::DeleteManifest | Endpoint::DeleteBlob => scope("repository:mona/app:delete"),
                // Both, or a client that got one of them would upload in place of mounting.
                Endpoint::BeginUpload if *way == "?mount=" => {
                    scope("repository:mona/app:pull,push repository:mona/other:pull")
                }
                Endpoint::PutManifest
                | Endpoint::BeginUpload
                | Endpoint::Upload
                | Endpoint::AppendUpload
                | Endpoint::FinishUpload
                | Endpoint::CancelUpload => scope("repository:mona/app:pull,push"),
            };
            let answer = knock(&anonymous, route, way, &target).await;
            assert_eq!(answer.status, 401);
            assert_eq!(answer.the("www-authenticate"), wanted, "{} {way}", route.name.0);
            assert_eq!(answer.headers.get_all("www-authenticate").iter().count(), 1);
            seen += 1;
        }
    }
    assert_eq!(seen, 4 + 23);
}

#[tokio::test]
async fn the_token_that_a_challenge_asks_for_opens_the_door() {
    let (house, mona) = house_of_mona().await;
    let image = image().layer("one").manifest();
    let digest = sha256("one");
    mona.push("mona/other", "1", &image).await;
    let narrow = mona.bearer(&["repository:mona/none:pull"]).await;
    for route in ROUTES.iter().filter(|route| has_package(route)) {
        for way in ways(route.endpoint) {
            mona.push("mona/app", "1.0", &image).await;
            let session = mona.begin("mona/app").await;
            let target = Target {
                package: "mona/app",
                tag: "1.0",
                manifest: &image,
                blob: &digest,
                session: session.rsplit('/').next().unwrap(),
                source: ("mona/other", &digest),
            };
            for before in [&house.anonymous(), &narrow] {
                let challenge = knock(before, route, way, &target).await.the("www-authenticate").to_owned();
                let scopes = challenge.split("scope=\"").nth(1).unwrap().split('"').next().unwrap();
                let after = mona.bearer(&[scopes]).await;
                let answer = knock(&after, route, way, &target).await;
                assert!(answer.status < 300, "{} {way} with {scopes}: {answer}", route.name.0);
                mona.push("mona/app", "1.0", &image).await;
                if route.pattern.as_str().contains("<id>") {
                    // The session has served; the other caller's turn needs another one.
                    break;
                }
            }
        }
    }
}

/// clients.md: containerd gives up when it is told of an error twice; so only a token that was sent is named bad.
#[tokio::test]
async fn an_error_is_named_only_when_a_bearer_token_was_sent() {
    let (house, mona) = house_of_mona().await;
    let challenge = async |caller: &Caller, target: &str| {
        let answer = caller.get(target).await;
        assert_eq!(answer.status, 401, "{target}");
        answer.the("www-authenticate").to_owned()
    };
    let manifest = "/v2/mona/app/manifests/1.0";
    let pull = scope("repository:mona/app:pull");
    let anonymous_bearer = house.anonymous().bearer(&["repository:mona/app:pull"]).await;
    let narrow = mona.bearer(&["repository:mona/other:pull"]).await;
    for (who, caller, wanted) in [
        ("nobody", house.anonymous(), pull.clone()),
        ("a bad password", house.basic("mona", "nope"), pull.clone()),
        ("a bad bearer token", house.bearing("nope"), format!("{pull},error=\"invalid_token\"")),
        ("a forged bearer token", house.bearing("a.b.c"), format!("{pull},error=\"invalid_token\"")),
        ("an anonymous bearer token", anonymous_bearer, format!("{pull},error=\"insufficient_scope\"")),
        ("a narrow bearer token", narrow, format!("{pull},error=\"insufficient_scope\"")),
    ] {
        assert_eq!(challenge(&caller, manifest).await, wanted, "{who}");
    }
    assert_eq!(challenge(&house.basic("mona", "nope"), "/v2/").await, REALM);
    assert_eq!(challenge(&house.bearing("nope"), "/v2/").await, format!("{REALM},error=\"invalid_token\""));
    assert_eq!(challenge(&house.basic("mona", "nope"), "/token").await, REALM);
}

/// clients.md §4.1: a realm elsewhere than where the client went is refused by it.
#[tokio::test]
async fn the_realm_is_where_the_client_came_from() {
    let (house, mona) = house_of_mona().await;
    for url in [URL, "http://127.0.0.1:5000", "https://[::1]:5443"] {
        let answer = house.anonymous().get("/v2/").at(url).await;
        assert_eq!(
            answer.the("www-authenticate"),
            format!(r#"Bearer realm="{url}/token",service="packhouse""#)
        );
        // Everything else is relative, and so on the same host.
        let begun = mona.post("/v2/mona/app/blobs/uploads/").at(url).await;
        assert!(begun.the("location").starts_with("/v2/mona/app/"));
    }
}

#[tokio::test]
async fn who_cannot_be_helped_by_another_token_gets_no_challenge() {
    let (house, mona) = house_of_mona().await;
    let hubot = house.user("hubot").await;
    house.grant("mona/app", "hubot", "read").await;
    let bearer = hubot.bearer(&["repository:mona/app:pull,push"]).await;
    for caller in [&hubot.caller, &bearer] {
        // A loop of 401 and new tokens would never end.
        assert_eq!(caller.post("/v2/mona/app/blobs/uploads/").await.says(), "403 DENIED");
        assert_eq!(caller.get("/v2/mona/other/tags/list").await.says(), "404 NAME_UNKNOWN");
    }
    let read = house.token("mona", &["read:packages"]).await;
    let bearer = read.bearer(&["repository:mona/app:pull,push"]).await;
    for caller in [&read.caller, &bearer] {
        let answer = caller.post("/v2/mona/app/blobs/uploads/").await;
        assert_eq!(answer.says(), "403 DENIED");
        assert!(answer.message().contains("The token provided does not match expected scopes"), "{answer}");
        assert!(answer.message().contains("token lacks write:packages (it has read:packages)"), "{answer}");
    }
    drop(mona);
}
