//! Bearer tokens: what is forged opens nothing, and what is real is never more than its holder has *now*.

use crate::content::{image, index};
use crate::house::{Caller, House, OPENING, Person};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use packhouse_service::operator::Command;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const APP: &str = "mona/app";
const MANIFEST: &str = "/v2/mona/app/manifests/1.0";

/// A public package, so that a token which is refused is refused for itself, and the key that signs tokens.
async fn forge() -> (House, Person, Forge) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    mona.push(APP, "1.0", &image().layer("one").manifest()).await;
    house.make(APP, "public").await;
    let (kid, key) = house.signing_key();
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": kid });
    let claims = json!({
        "iss": "packhouse", "aud": "packhouse", "sub": "x", "iat": OPENING, "nbf": OPENING, "exp": OPENING + 300,
        "token": mona.token.id,
        "access": [{ "type": "repository", "name": APP, "actions": ["pull", "push"] }],
    });
    (house, mona, Forge { header, claims, key })
}

/// Everything that a token is made of, to be changed.
#[derive(Clone)]
struct Forge {
    header: Value,
    claims: Value,
    key: Vec<u8>,
}

impl Forge {
    fn header(&self, field: &str, value: impl Into<Option<Value>>) -> Self {
        let mut forge = self.clone();
        set(&mut forge.header, field, value.into());
        forge
    }

    fn claim(&self, field: &str, value: impl Into<Option<Value>>) -> Self {
        let mut forge = self.clone();
        set(&mut forge.claims, field, value.into());
        forge
    }

    fn key(&self, key: impl AsRef<[u8]>) -> Self {
        Forge { key: key.as_ref().to_vec(), ..self.clone() }
    }

    fn unsigned(&self) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }

    fn token(&self) -> String {
        let unsigned = self.unsigned();
        let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(&self.key, unsigned.as_bytes()));
        format!("{unsigned}.{signature}")
    }
}

fn set(json: &mut Value, field: &str, value: Option<Value>) {
    match value {
        Some(value) => json[field] = value,
        None => drop(json.as_object_mut().unwrap().remove(field)),
    }
}

/// RFC 2104, by hand: the test's own, so that it shares no mistake with the code under test.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    assert!(key.len() <= 64);
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect() };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

async fn assert_useless(house: &House, what: &str, token: &str) {
    let before = house.stored();
    let caller = house.bearing(token);
    let asks = [
        caller.get("/v2/"),
        caller.get("/v2/_catalog"),
        caller.get(MANIFEST),
        caller.head(MANIFEST),
        caller.post("/v2/mona/app/blobs/uploads/"),
        caller.delete(MANIFEST),
        caller.ask_token(&["repository:mona/app:pull"]),
        house.anonymous().post("/token").form(&[("grant_type", "refresh_token"), ("refresh_token", token)]),
    ];
    for (number, ask) in asks.into_iter().enumerate() {
        assert_eq!(ask.await.status, 401, "{what}, request {number}");
    }
    crate::stored::assert_same(&before, &house.stored(), what);
}

#[tokio::test]
async fn the_frame_of_the_forgeries_is_sound() {
    let (house, _, forge) = forge().await;
    let caller = house.bearing(forge.token());
    assert_eq!(caller.get("/v2/").await.says(), "200");
    assert_eq!(caller.post("/v2/mona/app/blobs/uploads/").await.says(), "202");
    // And its holder's credential is what decides, not the name in it.
    assert_eq!(house.bearing(forge.claim("sub", json!("admin")).token()).get(MANIFEST).await.status, 200);
}

/// CVE-2025-24976 (distribution): the key that came inside of the token checked it.
#[tokio::test]
async fn cve_2025_24976_nothing_in_a_token_chooses_how_it_is_checked() {
    let (house, _, forge) = forge().await;
    let kid = forge.header["kid"].as_str().unwrap().to_owned();
    let mine = [7_u8; 32];
    let jwk = json!({ "kty": "oct", "alg": "HS256", "kid": kid, "k": URL_SAFE_NO_PAD.encode(mine) });
    let stranger = forge.key(mine);
    let no_kid = stranger.header("kid", None);
    let mut forgeries = vec![
        ("another key", stranger.token()),
        ("the kid as the key", forge.key(&kid).token()),
        ("no key", forge.key("").token()),
        ("an embedded key", stranger.header("jwk", jwk.clone()).token()),
        ("an embedded key and no kid", no_kid.header("jwk", jwk.clone()).token()),
        ("a key's place", stranger.header("jku", json!("https://attacker.test/keys")).token()),
        ("a certificate", stranger.header("x5c", json!(["TUlJ"])).token()),
        ("a certificate's place", stranger.header("x5u", json!("https://attacker.test/c")).token()),
        ("no kid", forge.header("kid", None).token()),
        ("another kid", forge.header("kid", json!("0000000000000000")).token()),
        ("an empty kid", forge.header("kid", json!("")).token()),
        ("a kid of another type", forge.header("kid", json!([kid])).token()),
        ("a kid that climbs", forge.header("kid", json!("../../../../dev/null")).key("").token()),
        ("a kid that asks", forge.header("kid", json!("x' UNION SELECT 'AA' --")).key("AA").token()),
        ("a kid with a tail", forge.header("kid", json!(format!("{kid}\u{0}"))).token()),
        ("no signature", format!("{}.", forge.unsigned())),
        ("a signature's beginning", forge.token()[..forge.token().len() - 4].to_owned()),
        ("four parts", format!("{}.x", forge.token())),
        ("empty parts", "..".to_owned()),
        ("no JSON", "YQ.YQ.YQ".to_owned()),
    ];
    for algorithm in
        ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "hs256"]
    {
        let with = forge.header("alg", json!(algorithm));
        forgeries.push(("an algorithm, signed", with.token()));
        forgeries.push(("an algorithm, not signed", format!("{}.", with.unsigned())));
    }
    // The signature of a real token under other words.
    let real = forge.token();
    let wider = forge.claim("access", json!([{ "type": "repository", "name": APP, "actions": ["*"] }]));
    forgeries.push(("a wider token", format!("{}.{}", wider.unsigned(), real.rsplit('.').next().unwrap())));
    for (what, token) in &forgeries {
        assert_useless(&house, what, token).await;
    }
}

#[tokio::test]
async fn a_token_for_another_place_or_time_is_useless() {
    let (house, _, forge) = forge().await;
    let now = house.now();
    let cases = [
        ("another audience", forge.claim("aud", json!("elsewhere"))),
        ("a list with our audience", forge.claim("aud", json!(["packhouse"]))),
        ("a list of audiences", forge.claim("aud", json!(["elsewhere", "packhouse"]))),
        ("no audience", forge.claim("aud", None)),
        ("an empty audience", forge.claim("aud", json!(""))),
        ("another issuer", forge.claim("iss", json!("elsewhere"))),
        ("no issuer", forge.claim("iss", None)),
        ("no end", forge.claim("exp", None)),
        ("an end as text", forge.claim("exp", json!("9999999999"))),
        ("an end that is null", forge.claim("exp", Value::Null)),
        ("no beginning", forge.claim("nbf", None)),
        ("no date", forge.claim("iat", None)),
        ("over", forge.claim("exp", json!(now))),
        ("long over", forge.claim("exp", json!(-1))),
        ("not yet", forge.claim("nbf", json!(now + 6))),
        ("far from now", forge.claim("nbf", json!(i64::MAX))),
        ("a personal token that is none", forge.claim("token", json!(999_999))),
        ("a personal token below all", forge.claim("token", json!(-1))),
        ("a personal token as text", forge.claim("token", json!("1"))),
        ("no list", forge.claim("access", json!("all"))),
    ];
    for (what, forge) in cases {
        assert_useless(&house, what, &forge.token()).await;
    }
}

#[tokio::test]
async fn a_bearer_token_ends_by_the_clock() {
    let (house, mona, _) = forge().await;
    let bearer = mona.bearer(&["repository:mona/app:pull"]).await;
    house.wait(299);
    assert!(bearer.has(APP, "1.0").await);
    house.wait(1);
    let answer = bearer.get(MANIFEST).await;
    assert_eq!(answer.says(), "401 UNAUTHORIZED", "public or not: the client is to fetch a new one");
    assert!(answer.the("www-authenticate").ends_with(",error=\"invalid_token\""));
}

#[tokio::test]
async fn neither_kind_of_signed_token_passes_for_the_other() {
    let (house, mona, forge) = forge().await;
    let answer = mona.get("/token?offline_token=true&scope=repository:mona/app:pull").await.json();
    let (bearer, refresh) = (answer["token"].as_str().unwrap(), answer["refresh_token"].as_str().unwrap());
    let as_refresh = |token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        house.anonymous().post("/token").form(&form)
    };
    assert_eq!(as_refresh(refresh).await.status, 200);
    assert_eq!(as_refresh(bearer).await.says(), "401 UNAUTHORIZED");
    let refreshing = house.bearing(refresh);
    assert_eq!(refreshing.get(MANIFEST).await.says(), "401 UNAUTHORIZED");
    assert_eq!(refreshing.get("/v2/").await.says(), "401 UNAUTHORIZED");
    // A bearer token begets no other one, nor does a refresh token as one.
    for caller in
        [house.bearing(bearer), refreshing, house.basic("mona", bearer), house.basic("mona", refresh)]
    {
        assert_eq!(caller.ask_token(&["repository:mona/app:pull"]).await.says(), "401 UNAUTHORIZED");
    }
    // Nor can one be made of the other by its claims: the names in it are signed.
    let both = forge.claim("aud", json!("packhouse-refresh")).token();
    assert_eq!(house.bearing(both).get("/v2/").await.says(), "401 UNAUTHORIZED");
    let nobody = forge.claim("token", None).claim("aud", json!("packhouse-refresh")).token();
    assert_eq!(as_refresh(&nobody).await.says(), "401 UNAUTHORIZED", "a refresh token of nobody");
}

#[tokio::test]
async fn an_anonymous_bearer_token_is_nobodys_wherever_it_is_shown() {
    let (house, _, _) = forge().await;
    let token = house.anonymous().bearer_token(&["repository:mona/app:pull,push"]).await;
    let caller = house.bearing(&*token);
    assert!(caller.has(APP, "1.0").await);
    // For another token it gets what nobody gets.
    let again = caller.bearer(&["repository:mona/app:*", "registry:catalog:*"]).await;
    assert!(again.has(APP, "1.0").await);
    assert_eq!(again.post("/v2/mona/app/blobs/uploads/").await.says(), "401 UNAUTHORIZED");
    assert_eq!(again.get("/v2/_catalog").await.says(), "401 UNAUTHORIZED");
    let form = [("grant_type", "refresh_token"), ("refresh_token", &token)];
    assert_eq!(house.anonymous().post("/token").form(&form).await.says(), "401 UNAUTHORIZED");
    house.make(APP, "private").await;
    assert_eq!(caller.get(MANIFEST).await.says(), "401 UNAUTHORIZED", "closed at once");
}

/// A private package of mona's, to which hubot may push, and his bearer token for it.
async fn hubot_at_work() -> (House, Person, Person, Caller) {
    let house = House::new().await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    mona.push(APP, "1.0", &image().layer("one").manifest()).await;
    house.grant(APP, "hubot", "write").await;
    let bearer = hubot.bearer(&["repository:mona/app:pull,push"]).await;
    works(&bearer, true).await;
    (house, mona, hubot, bearer)
}

async fn works(caller: &Caller, wanted: bool) {
    assert_eq!(caller.has(APP, "1.0").await, wanted);
    assert_eq!(caller.post("/v2/mona/app/blobs/uploads/").await.status == 202, wanted);
}

#[tokio::test]
async fn a_revoked_token_takes_its_bearer_tokens_with_it_at_once() {
    let (house, _, hubot, bearer) = hubot_at_work().await;
    let other = house.token("hubot", &["write:packages"]).await;
    let others = other.bearer(&["repository:mona/app:pull,push"]).await;
    house.revoke(&hubot).await;
    assert_eq!(bearer.get(MANIFEST).await.says(), "401 UNAUTHORIZED");
    works(&bearer, false).await;
    works(&others, true).await;
}

#[tokio::test]
async fn a_token_that_expires_takes_its_bearer_tokens_with_it() {
    let (house, _, _, _) = hubot_at_work().await;
    let short = house.token_until("hubot", &["write:packages"], Some(60)).await;
    let bearer = short.bearer(&["repository:mona/app:pull,push"]).await;
    house.wait(59);
    works(&bearer, true).await;
    house.wait(1);
    works(&bearer, false).await;
    assert_eq!(bearer.get(MANIFEST).await.says(), "401 UNAUTHORIZED");
}

#[tokio::test]
async fn a_suspended_account_is_out_at_once_and_back_when_it_resumes() {
    let (house, _, hubot, bearer) = hubot_at_work().await;
    house.suspend("hubot").await;
    for caller in [&hubot.caller, &bearer] {
        assert_eq!(caller.get(MANIFEST).await.says(), "401 UNAUTHORIZED");
        assert_eq!(caller.get("/v2/").await.says(), "401 UNAUTHORIZED");
        works(caller, false).await;
    }
    house.operate(Command::UserResume { name: "hubot".to_owned() }).await;
    works(&bearer, true).await;
}

#[tokio::test]
async fn a_role_that_is_taken_or_lowered_is_gone_at_once() {
    let (house, _, hubot, bearer) = hubot_at_work().await;
    house.grant(APP, "hubot", "read").await;
    assert!(bearer.has(APP, "1.0").await);
    assert_eq!(bearer.post("/v2/mona/app/blobs/uploads/").await.says(), "403 DENIED");
    house.operate(Command::PackageRevoke { path: APP.to_owned(), user: "hubot".to_owned() }).await;
    for caller in [&hubot.caller, &bearer] {
        assert_eq!(caller.get(MANIFEST).await.says(), "404 NAME_UNKNOWN");
        assert_eq!(caller.post("/v2/mona/app/blobs/uploads/").await.says(), "404 NAME_UNKNOWN");
    }
}

#[tokio::test]
async fn a_package_that_is_closed_is_closed_at_once() {
    let (house, mona, stranger) = {
        let (house, mona, _) = forge().await;
        let stranger = house.user("stranger").await;
        (house, mona, stranger)
    };
    let bearer = stranger.bearer(&["repository:mona/app:pull"]).await;
    assert!(bearer.has(APP, "1.0").await && stranger.has(APP, "1.0").await);
    house.make(APP, "private").await;
    for caller in [&bearer, &stranger.caller] {
        assert_eq!(caller.get(MANIFEST).await.says(), "404 NAME_UNKNOWN");
    }
    assert_eq!(house.anonymous().get(MANIFEST).await.says(), "401 UNAUTHORIZED");
    assert!(mona.has(APP, "1.0").await);

    // Only packages of organizations can be internal.
    house.organization("acme", "mona").await;
    mona.push("acme/app", "1.0", &image().layer("one").manifest()).await;
    house.make("acme/app", "public").await;
    let bearer = stranger.bearer(&["repository:acme/app:pull"]).await;
    assert!(bearer.has("acme/app", "1.0").await);
    house.make("acme/app", "internal").await;
    for caller in [&bearer, &stranger.caller] {
        assert_eq!(caller.get("/v2/acme/app/manifests/1.0").await.says(), "404 NAME_UNKNOWN");
    }
    assert!(mona.has("acme/app", "1.0").await);
}

/// CVE-2025-23208 (zot): who was taken out of a group kept what it gave.
#[tokio::test]
async fn cve_2025_23208_who_leaves_an_organization_loses_its_rights_at_once() {
    let house = House::new().await;
    let (mona, mike) = (house.user("mona").await, house.user("mike").await);
    house.organization("acme", "mona").await;
    house.member("acme", "mike").await;
    for (package, visibility) in [("acme/internal", "internal"), ("acme/private", "private")] {
        mona.push(package, "1", &index(&[])).await;
        house.make(package, visibility).await;
    }
    let scopes =
        ["repository:acme/internal:pull", "repository:acme/new:pull,push", "repository:acme/private:*"];
    let as_member = mike.bearer(&scopes).await;
    let internal = "/v2/acme/internal/manifests/1";
    let begin = "/v2/acme/new/blobs/uploads/";
    assert_eq!(as_member.get(internal).await.status, 200);
    assert_eq!(as_member.get("/v2/acme/private/manifests/1").await.says(), "404 NAME_UNKNOWN");

    // As an owner he is an admin; lowered to a member again, he is not.
    let owner = |owner| Command::OrgAddMember { org: "acme".to_owned(), user: "mike".to_owned(), owner };
    house.operate(owner(true)).await;
    let as_owner = mike.bearer(&scopes).await;
    assert_eq!(as_owner.get("/v2/acme/private/manifests/1").await.status, 200);
    house.operate(owner(false)).await;
    for caller in [&as_owner, &mike.caller] {
        assert_eq!(caller.get("/v2/acme/private/manifests/1").await.says(), "404 NAME_UNKNOWN");
    }

    let (org, user) = ("acme".to_owned(), "mike".to_owned());
    house.operate(Command::OrgRemoveMember { org, user }).await;
    for caller in [&as_member, &as_owner, &mike.caller] {
        assert_eq!(caller.get(internal).await.says(), "404 NAME_UNKNOWN");
        assert_eq!(caller.post(begin).await.says(), "404 NAME_UNKNOWN");
    }
    assert_eq!(mike.get("/v2/_catalog").await.list("repositories"), [""; 0]);
}

/// CVE-2025-68944 (Gitea): the scope of an access token was lost when it was exchanged.
#[tokio::test]
async fn cve_2025_68944_a_bearer_token_never_carries_more_than_the_token_behind_it() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    mona.push(APP, "1.0", &image().layer("one").manifest()).await;
    let read = house.token("mona", &["read:packages"]).await;
    let everything = ["repository:mona/app:pull,push,delete", "repository:mona/new:*", "registry:catalog:*"];
    let bearer = read.bearer(&everything).await;
    let refreshed = {
        let answer = read.get("/token?offline_token=true").await.json();
        let refresh = answer["refresh_token"].as_str().unwrap();
        let scope = everything.join(" ");
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("scope", &scope)];
        let answer = house.anonymous().post("/token").form(&form).await.json();
        house.bearing(answer["access_token"].as_str().unwrap())
    };
    for caller in [&bearer, &refreshed] {
        assert!(caller.has(APP, "1.0").await);
        for ask in [
            caller.post("/v2/mona/app/blobs/uploads/"),
            caller.post("/v2/mona/new/blobs/uploads/"),
            caller.put("/v2/mona/app/manifests/2.0").body(index(&[]).bytes),
            caller.delete(MANIFEST),
        ] {
            assert_eq!(ask.await.says(), "403 DENIED");
        }
    }
    let write = house.token("mona", &["write:packages"]).await.bearer(&everything).await;
    assert_eq!(write.post("/v2/mona/app/blobs/uploads/").await.says(), "202");
    assert_eq!(write.delete(MANIFEST).await.says(), "403 DENIED");
    house.revoke(&read).await;
    assert_eq!(bearer.get(MANIFEST).await.says(), "401 UNAUTHORIZED");
    assert_eq!(refreshed.get(MANIFEST).await.says(), "401 UNAUTHORIZED");
}

/// CVE-2026-24791 (Gitea): a token for public packages only could read private ones.
#[tokio::test]
async fn cve_2026_24791_a_token_without_scopes_reads_what_is_public_and_no_more() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let image = image().layer("one").manifest();
    for package in [APP, "mona/public"] {
        mona.push(package, "1.0", &image).await;
    }
    house.make("mona/public", "public").await;
    let bare = house.token("mona", &[]).await;
    let bearer = bare.bearer(&["repository:mona/app:*", "repository:mona/public:*"]).await;
    let blob = crate::content::sha256("one");
    for caller in [&bare.caller, &bearer] {
        for path in [
            "manifests/1.0".to_owned(),
            "tags/list".to_owned(),
            format!("blobs/{blob}"),
            format!("referrers/{blob}"),
        ] {
            assert_eq!(caller.get(&format!("/v2/mona/public/{path}")).await.status, 200, "{path}");
            assert_eq!(caller.get(&format!("/v2/{APP}/{path}")).await.says(), "403 DENIED", "{path}");
        }
        let mount = format!("/v2/mona/public/blobs/uploads/?mount={blob}&from={APP}");
        assert_eq!(caller.post(&mount).await.says(), "403 DENIED");
    }
    assert_eq!(bare.get("/v2/_catalog").await.says(), "403 DENIED");
}

#[tokio::test]
async fn a_bearer_token_is_for_one_name_and_not_for_its_neighbours() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let names = ["mona/app", "mona/app/sub", "mona/ap", "mona/app-2", "other/app"];
    house.organization("other", "mona").await;
    for name in names {
        mona.push(name, "1", &index(&[])).await;
    }
    let bearer = mona.bearer(&["repository:mona/app:pull"]).await;
    for name in names {
        let answer = bearer.get(&format!("/v2/{name}/manifests/1")).await;
        assert_eq!(answer.status, if name == "mona/app" { 200 } else { 401 }, "{name}");
    }
    assert_eq!(bearer.post("/v2/mona/app/blobs/uploads/").await.says(), "401 UNAUTHORIZED", "nor for more");
}
