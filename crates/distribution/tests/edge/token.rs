//! The token service (distribution's token and OAuth 2 specifications): GET and POST, and what it grants.

use crate::answer::Answer;
use crate::content::{image, index};
use crate::house::{Ask, Caller, House, OPENING, Person};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const APP: &str = "mona/app";

async fn mona() -> (House, Person) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    mona.push(APP, "1.0", &image().layer("one").manifest()).await;
    (house, mona)
}

/// What a bearer token says that it is for. Clients must not look; a test may.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// What was granted, as `name:actions`.
fn granted(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.says(), "200");
    let claims = claims(answer.json()["token"].as_str().unwrap());
    let access = claims["access"].as_array().unwrap().iter();
    let entry = |entry: &Value| {
        let actions: Vec<&str> =
            entry["actions"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        format!("{}:{}", entry["name"].as_str().unwrap(), actions.join(","))
    };
    access.map(entry).collect()
}

fn post(caller: &Caller, form: &[(&str, &str)]) -> Ask {
    caller.post("/token").form(form)
}

#[tokio::test]
async fn the_answer_has_the_fields_that_clients_read_and_no_others() {
    let (house, mona) = mona().await;
    let get = mona.ask_token(&["repository:mona/app:pull"]).await;
    let posted = post(
        &house.anonymous(),
        &[
            ("grant_type", "password"),
            ("service", "packhouse"),
            ("client_id", "containerd-client"),
            ("scope", "repository:mona/app:pull"),
            ("username", "mona"),
            ("password", &mona.token.secret),
        ],
    )
    .await;
    for answer in [get, posted] {
        assert_eq!(answer.says(), "200");
        assert_eq!(answer.the("content-type"), "application/json");
        assert_eq!(answer.the("cache-control"), "no-store");
        let json = answer.json();
        let token = json["token"].as_str().unwrap().to_owned();
        assert_eq!(
            json,
            json!({ "token": token, "access_token": token, "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z" })
        );
        assert_eq!(
            claims(&token),
            json!({
                "iss": "packhouse", "aud": "packhouse", "sub": claims(&token)["sub"], "token": mona.token.id,
                "iat": OPENING, "nbf": OPENING, "exp": OPENING + 300,
                "access": [{ "type": "repository", "name": APP, "actions": ["pull"] }],
            })
        );
        assert!(house.bearing(token).has(APP, "1.0").await);
    }
}

#[tokio::test]
async fn several_scopes_come_repeated_or_joined_by_blanks() {
    let (house, mona) = mona().await;
    mona.push("mona/b", "1", &index(&[])).await;
    let wanted = ["mona/app:pull", "mona/b:pull,push", "catalog:*"];
    let repeated = ["repository:mona/app:pull", "repository:mona/b:pull,push", "registry:catalog:*"];
    let joined = repeated.join(" ");
    assert_eq!(granted(&mona.ask_token(&repeated).await), wanted);
    assert_eq!(granted(&mona.ask_token(&[&joined]).await), wanted);
    assert_eq!(granted(&mona.ask_token(&[repeated[0], &repeated[1..].join("  ")]).await), wanted);
    let form =
        [("grant_type", "password"), ("username", "x"), ("password", &mona.token.secret), ("scope", &joined)];
    assert_eq!(granted(&post(&house.anonymous(), &form).await), wanted);
    // No scope at all: docker's login.
    assert_eq!(granted(&mona.get("/token?account=mona&client_id=docker&offline_token=true").await), [""; 0]);
}

#[tokio::test]
async fn actions_come_in_any_order_and_a_star_is_all_of_them() {
    let (_house, mona) = mona().await;
    for actions in ["*", "delete,push,pull", "pull,push,delete", "push,*", "pull,pull,push,delete,explode"] {
        let answer = mona.ask_token(&[&format!("repository:mona/app:{actions}")]).await;
        assert_eq!(granted(&answer), ["mona/app:pull,push,delete"], "{actions}");
    }
    assert_eq!(granted(&mona.ask_token(&["repository:mona/app:push,pull"]).await), ["mona/app:pull,push"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_not_granted_and_is_no_error() {
    let (_house, mona) = mona().await;
    for scope in [
        "",
        "x",
        "repository",
        "repository:",
        "repository::",
        "repository:mona/app",
        "repository:mona/app:",
        "repository:mona/app:explode",
        "repository:Mona/App:pull",
        "repository:../..:pull",
        "repository:user/image",
        "repository:mona:pull",
        "registry:other:*",
        "thing:mona/app:pull",
        "repository:mona/app:pull:push",
    ] {
        let answer = mona.ask_token(&[scope, "repository:mona/app:pull"]).await;
        assert_eq!(granted(&answer), ["mona/app:pull"], "`{scope}`");
    }
    let class = mona.ask_token(&["repository(plugin):mona/app:pull"]).await;
    assert_eq!(granted(&class), ["mona/app:pull"]);
    let many: Vec<String> = (0..101).map(|at| format!("repository:mona/p{at}:pull")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(mona.ask_token(&many).await.says(), "400 UNSUPPORTED");
    assert_eq!(
        granted(&mona.ask_token(&many[..100]).await).len(),
        100,
        "her own namespace: she may create them"
    );
}

#[tokio::test]
async fn only_what_one_may_do_is_granted() {
    let (house, mona) = mona().await;
    let (hubot, stranger) = (house.user("hubot").await, house.user("stranger").await);
    mona.push("mona/public", "1", &index(&[])).await;
    house.make("mona/public", "public").await;
    house.grant(APP, "hubot", "write").await;
    let read = house.token("mona", &["read:packages"]).await;
    let write = house.token("mona", &["write:packages"]).await;
    let none = house.token("mona", &[]).await;
    let everything = [
        "repository:mona/app:*",
        "repository:mona/public:*",
        "repository:mona/new:*",
        "repository:hubot/new:*",
        "repository:nobody/new:*",
        "registry:catalog:*",
    ];
    let anonymous = house.anonymous();
    let cases: [(&str, &Caller, &[&str]); 7] = [
        ("anonymous", &anonymous, &["mona/public:pull"]),
        ("stranger", &stranger, &["mona/public:pull", "catalog:*"]),
        (
            "hubot",
            &hubot,
            &["mona/app:pull,push", "mona/public:pull", "hubot/new:pull,push,delete", "catalog:*"],
        ),
        (
            "mona",
            &mona,
            &[
                "mona/app:pull,push,delete",
                "mona/public:pull,push,delete",
                "mona/new:pull,push,delete",
                "catalog:*",
            ],
        ),
        ("read-only", &read, &["mona/app:pull", "mona/public:pull", "catalog:*"]),
        (
            "without delete",
            &write,
            &["mona/app:pull,push", "mona/public:pull,push", "mona/new:pull,push", "catalog:*"],
        ),
        ("without scopes", &none, &["mona/public:pull"]),
    ];
    for (who, caller, wanted) in cases {
        assert_eq!(granted(&caller.ask_token(&everything).await), wanted, "{who}");
    }
}

#[tokio::test]
async fn anyone_may_ask_with_any_user_name_and_a_token() {
    let (house, mona) = mona().await;
    let token = &mona.token.secret;
    for (user, password) in [
        ("mona", &**token),
        ("hubot", token),
        ("", token),
        ("x:y", ""),
        (token, ""),
        (token, "x-oauth-basic"),
    ] {
        let caller = house.basic(user, password);
        let wanted = if password == token || user == token && password.is_empty() { 200 } else { 401 };
        assert_eq!(caller.ask_token(&["repository:mona/app:pull"]).await.status, wanted, "{user}:{password}");
        assert_eq!(caller.get("/v2/mona/app/tags/list").await.status, wanted, "{user}:{password}");
    }
}

#[tokio::test]
async fn bad_credentials_are_401_at_every_door() {
    let (house, mona) = mona().await;
    let token = &mona.token.secret;
    let mut damaged = token.clone();
    damaged.replace_range(10..11, if &token[10..11] == "a" { "b" } else { "a" });
    let words = [
        format!("Basic {}", STANDARD.encode(format!("mona:{damaged}"))),
        format!("Basic {}", STANDARD.encode("mona:")),
        format!("Basic {}", STANDARD.encode(":")),
        format!("Basic {}", STANDARD.encode("mona")),
        format!("Basic {}", STANDARD.encode([0xff, b':', 0xfe])),
        format!("Basic {}", STANDARD.encode(format!("mona:{token} "))),
        format!("Basic {token}"),
        "Basic !!!".to_owned(),
        "Basic".to_owned(),
        String::new(),
        format!("Digest {token}"),
        token.clone(),
        format!("Bearer {damaged}"),
        "Bearer".to_owned(),
        "Bearer  ".to_owned(),
        format!("Bearer {}", "a".repeat(9000)),
        format!("Basic {}", STANDARD.encode(format!("mona:{}", "a".repeat(9000)))),
        "\u{fc}".to_owned(),
    ];
    for words in &words {
        for target in ["/v2/", "/token", "/v2/_catalog", "/v2/mona/app/manifests/1.0"] {
            let answer = house.anonymous().get(target).header("authorization", words).await;
            assert_eq!(answer.says(), "401 UNAUTHORIZED", "{target} with `{words}`");
            assert!(answer.message().contains("User cannot be authenticated with the token provided"));
        }
    }
    for form in [
        vec![],
        vec![("grant_type", "")],
        vec![("grant_type", "client_credentials")],
        vec![("grant_type", "password")],
        vec![("grant_type", "refresh_token")],
    ] {
        assert_eq!(post(&house.anonymous(), &form).await.says(), "400 UNSUPPORTED");
    }
    for form in [
        vec![("grant_type", "password"), ("username", "mona"), ("password", &*damaged)],
        vec![("grant_type", "password"), ("username", "mona"), ("password", "")],
        vec![("grant_type", "refresh_token"), ("refresh_token", &*damaged)],
        vec![("grant_type", "refresh_token"), ("refresh_token", token)],
        vec![("grant_type", "refresh_token"), ("refresh_token", "")],
    ] {
        assert_eq!(post(&mona, &form).await.says(), "401 UNAUTHORIZED", "{form:?}");
    }
}

#[tokio::test]
async fn a_personal_token_may_be_shown_as_a_bearer_token() {
    let (house, mona) = mona().await;
    let token = &mona.token.secret;
    let pair = format!("mona:{token}");
    let lined = format!("{token}\n");
    let values = [
        token.clone(),
        STANDARD.encode(token),
        STANDARD.encode(&lined),
        STANDARD.encode(&pair),
        STANDARD_NO_PAD.encode(&pair),
        URL_SAFE_NO_PAD.encode(token),
    ];
    for value in &values {
        for scheme in ["Bearer", "bearer", "BEARER", "token"] {
            let words = format!("{scheme} {value}");
            let answer =
                house.anonymous().get("/v2/mona/app/manifests/1.0").header("authorization", &words).await;
            assert_eq!(answer.status, 200, "{words}");
            assert_eq!(
                house.anonymous().get("/v2/").header("authorization", &words).await.status,
                200,
                "{words}"
            );
        }
    }
}

/// Homebrew and others: `QQ==`, the base64 of `A`, is their anonymous token for public content.
#[tokio::test]
async fn homebrews_anonymous_token_is_as_good_as_none() {
    let (house, mona) = mona().await;
    let homebrew = house.bearing("QQ==");
    mona.push("mona/public", "1", &index(&[])).await;
    house.make("mona/public", "public").await;
    assert!(homebrew.has("mona/public", "1").await);
    assert_eq!(homebrew.get("/v2/").await.says(), "200");
    assert_eq!(homebrew.get("/v2/mona/app/tags/list").await.says(), "401 UNAUTHORIZED");
    assert_eq!(homebrew.post("/v2/mona/public/blobs/uploads/").await.says(), "401 UNAUTHORIZED");
    assert_eq!(homebrew.get("/v2/_catalog").await.says(), "401 UNAUTHORIZED");
}

#[tokio::test]
async fn a_public_package_is_pulled_without_any_login() {
    let (house, mona) = mona().await;
    let image = image().layer("one").manifest();
    house.make(APP, "public").await;
    let anonymous = house.anonymous();
    let bearer = anonymous.bearer(&["repository:mona/app:pull,push"]).await;
    let other = anonymous.bearer(&["repository:mona/other:pull"]).await;
    for caller in [&anonymous, &bearer] {
        assert_eq!(caller.get("/v2/mona/app/manifests/1.0").await.body, image.bytes);
        assert_eq!(caller.tags(APP).await, ["1.0"]);
        for blob in &image.blobs {
            assert_eq!(caller.blob(APP, &crate::content::sha256(blob)).await.as_ref(), Some(blob));
        }
        assert_eq!(caller.delete("/v2/mona/app/manifests/1.0").await.says(), "401 UNAUTHORIZED");
    }
    assert_eq!(
        other.get("/v2/mona/app/manifests/1.0").await.says(),
        "401 UNAUTHORIZED",
        "not what it is for"
    );
    drop(mona);
}

#[tokio::test]
async fn a_refresh_token_is_given_to_who_asks_for_one_and_signed_in() {
    let (house, mona) = mona().await;
    let form = |more: &[(&'static str, &'static str)]| {
        let mut form = vec![("grant_type", "password"), ("password", &*mona.token.secret)];
        form.extend(more);
        post(&house.anonymous(), &form)
    };
    for (what, ask, given) in [
        ("GET", mona.get("/token?offline_token=true"), true),
        ("GET for helm", mona.get("/token?offline_token=true&client_id=helm"), true),
        // docker would keep it in place of the password, which a kubelet needs.
        ("GET for docker", mona.get("/token?offline_token=true&client_id=docker"), false),
        ("GET without", mona.get("/token"), false),
        ("GET, anonymous", house.anonymous().get("/token?offline_token=true"), false),
        ("POST", form(&[("access_type", "offline")]), true),
        ("POST without", form(&[]), false),
        ("POST online", form(&[("access_type", "online")]), false),
    ] {
        let answer = ask.await;
        assert_eq!(answer.says(), "200", "{what}");
        assert_eq!(answer.json().get("refresh_token").is_some(), given, "{what}");
    }
}

/// A refresh token, asked for with a personal token of these scopes.
async fn refresh_token(person: &Person) -> String {
    let answer = person.get("/token?offline_token=true").await;
    answer.json()["refresh_token"].as_str().unwrap().to_owned()
}

fn refresh(house: &House, token: &str, scope: &str) -> Ask {
    post(
        &house.anonymous(),
        &[
            ("grant_type", "refresh_token"),
            ("service", "packhouse"),
            ("refresh_token", token),
            ("scope", scope),
        ],
    )
}

#[tokio::test]
async fn a_refresh_token_stands_for_the_personal_token_at_the_token_endpoint_only() {
    let (house, mona) = mona().await;
    let read = house.token("mona", &["read:packages"]).await;
    let (all, reading) = (refresh_token(&mona).await, refresh_token(&read).await);
    house.wait(89 * 24 * 3600);
    let scope = "repository:mona/app:pull,push repository:hubot/x:pull";
    assert_eq!(granted(&refresh(&house, &all, scope).await), ["mona/app:pull,push"]);
    assert_eq!(granted(&refresh(&house, &reading, scope).await), ["mona/app:pull"]);
    for caller in [house.bearing(&*all), house.basic("mona", &all)] {
        assert_eq!(caller.get("/v2/").await.says(), "401 UNAUTHORIZED");
        assert_eq!(caller.get("/v2/mona/app/tags/list").await.says(), "401 UNAUTHORIZED");
        assert_eq!(caller.ask_token(&[scope]).await.says(), "401 UNAUTHORIZED");
    }
    house.wait(24 * 3600);
    assert_eq!(refresh(&house, &all, scope).await.says(), "401 UNAUTHORIZED", "after ninety days");
}

#[tokio::test]
async fn a_refresh_token_dies_with_its_personal_token() {
    let (house, _) = mona().await;
    let scope = "repository:mona/app:pull";
    let revoked = house.token("mona", &["read:packages"]).await;
    let expiring = house.token_until("mona", &["read:packages"], Some(600)).await;
    let hubot = house.user("hubot").await;
    let tokens = [refresh_token(&revoked).await, refresh_token(&expiring).await, refresh_token(&hubot).await];
    for token in &tokens {
        assert_eq!(refresh(&house, token, scope).await.says(), "200");
    }
    house.revoke(&revoked).await;
    house.wait(600);
    house.suspend("hubot").await;
    for token in &tokens {
        assert_eq!(refresh(&house, token, scope).await.says(), "401 UNAUTHORIZED");
    }
}

#[tokio::test]
async fn a_first_push_creates_a_private_package_of_the_namespace() {
    let house = House::new().await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    let bearer = mona.bearer(&["repository:mona/first:pull,push"]).await;
    bearer.push("mona/first", "1", &image().layer("one").manifest()).await;
    assert!(bearer.has("mona/first", "1").await);
    assert_eq!(hubot.get("/v2/mona/first/manifests/1").await.says(), "404 NAME_UNKNOWN");
    assert_eq!(house.anonymous().get("/v2/mona/first/manifests/1").await.says(), "401 UNAUTHORIZED");
    let elsewhere = hubot.put_manifest("mona/second", "1", &index(&[])).await;
    assert_eq!(elsewhere.says(), "404 NAME_UNKNOWN");
    assert!(elsewhere.message().contains("permission_denied: create_package"), "the text people search for");
    let nowhere = mona.put_manifest("nobody/first", "1", &index(&[])).await;
    assert_eq!(nowhere.says(), "404 NAME_UNKNOWN");
}
