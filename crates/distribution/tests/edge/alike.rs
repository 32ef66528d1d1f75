//! A package that one may not see and one that does not exist are the same thing: the same bytes come back, but
//! for the name, and the same statements run for them. So neither words nor time tell a stranger anything.

use crate::answer::Answer;
use crate::content::{image, sha256, unknown};
use crate::doors::{Target, has_package, knock, title, ways};
use crate::house::{Ask, Caller, House, Person};
use packhouse_distribution::ROUTES;

/// A private package, one that was never pushed, and one in a namespace that nobody has: names of one length.
const SECRET: &str = "acme/secret";
const ABSENT: &str = "acme/absent";
const NOWHERE: &str = "nope/absent";

/// Two packages to mount from, of which the stranger has as little: one private, one never pushed.
const HIDDEN: &str = "acme/hidden";
const MISSING: &str = "acme/missing";

const NAME: &str = "<name>";

/// What came back and what was done for it, without what may differ: the name, and a new session's identifier.
async fn traces(house: &House, ask: Ask, package: &str) -> (String, Vec<&'static str>) {
    house.statements();
    let answer = ask.await;
    (without_names(&answer, package), house.statements())
}

fn without_names(answer: &Answer, package: &str) -> String {
    let seen = answer.seen().replace(package, NAME);
    match answer.header("docker-upload-uuid") {
        Some(id) => seen.replace(id, "<id>"),
        None => seen,
    }
}

struct Town {
    house: House,
    owner: Person,
    secret: String,
    session: String,
}

async fn town(house: House) -> Town {
    let owner = house.user("owner").await;
    house.organization("acme", "owner").await;
    owner.push(SECRET, "1.0", &image().layer("s3cr3t").manifest()).await;
    owner.push(HIDDEN, "1.0", &image().layer("s3cr3t").manifest()).await;
    let session = owner.begin(SECRET).await.rsplit('/').next().unwrap().to_owned();
    Town { house, owner, secret: sha256("s3cr3t"), session }
}

/// Everyone to whom `acme` is closed, with bearer tokens that were asked for all three packages.
async fn outsiders(house: &House) -> Vec<(&'static str, Caller)> {
    let stranger = house.user("stranger").await;
    let scopes: Vec<String> =
        [SECRET, ABSENT, NOWHERE].iter().map(|name| format!("repository:{name}:pull,push,delete")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    vec![
        ("anonymous", house.anonymous()),
        ("anonymous with a bearer token", house.anonymous().bearer(&scopes).await),
        ("a stranger with a bearer token", stranger.bearer(&scopes).await),
        ("a stranger who only reads", house.token("stranger", &["read:packages"]).await.caller),
        ("a stranger without scopes", house.token("stranger", &[]).await.caller),
        ("a stranger", stranger.caller),
    ]
}

#[tokio::test]
async fn private_and_absent_are_alike_in_answer_and_work_at_every_door() {
    every_door(town(House::forgetful().await).await, true).await;
}

#[tokio::test]
async fn private_and_absent_are_alike_in_what_is_remembered_of_them() {
    every_door(town(House::new().await).await, false).await;
}

async fn every_door(town: Town, forgetful: bool) {
    let house = &town.house;
    let manifest = image().layer("s3cr3t").manifest();
    let mut compared = 0;
    for (who, caller) in outsiders(house).await {
        // Who asks, and what they are to a namespace, is remembered whatever they asked for there.
        for elsewhere in ["acme/elsewhere", "nope/elsewhere"] {
            caller.get(&format!("/v2/{elsewhere}/tags/list")).await;
        }
        for route in ROUTES.iter().filter(|route| has_package(route)) {
            for way in ways(route.endpoint) {
                let target = |package| Target {
                    package,
                    tag: "1.0",
                    manifest: &manifest,
                    blob: &town.secret,
                    session: &town.session,
                    source: (HIDDEN, &town.secret),
                };
                let (answer, work) = traces(house, knock(&caller, route, way, &target(SECRET)), SECRET).await;
                assert!(answer.starts_with('4'), "{who}, {}: {answer}", title(route, way));
                assert!(!forgetful || !work.is_empty(), "the facts are looked at");
                for other in [ABSENT, NOWHERE] {
                    let traces = traces(house, knock(&caller, route, way, &target(other)), other).await;
                    assert_eq!(traces.0, answer, "{who}, {}, {other}", title(route, way));
                    assert_eq!(traces.1, work, "{who}, {}, {other}", title(route, way));
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 6 * 23 * 2);
}

#[tokio::test]
async fn lists_ranges_and_filters_of_what_is_hidden_are_alike_too() {
    let town = town(House::forgetful().await).await;
    let house = &town.house;
    let digest = &town.secret;
    for (who, caller) in outsiders(house).await {
        let asks = |package: &str| {
            let get = |path: &str| caller.get(&format!("/v2/{package}/{path}"));
            let uploads = format!("/v2/{package}/blobs/uploads/");
            [
                get("tags/list?n=1&last=0.9"),
                get("tags/list?n=0"),
                get(&format!("referrers/{digest}?artifactType=application%2Fx&after=0")),
                get(&format!("blobs/{digest}")).header("range", "bytes=0-1"),
                get("manifests/1.0").header("if-none-match", "\"x\""),
                caller.post(&format!("{uploads}?mount={digest}")),
                caller.post(&format!("{uploads}?mount={digest}&from={HIDDEN}")),
                caller.post(&format!("{uploads}?mount={digest}&from={MISSING}")),
                caller.post(&format!("{uploads}?digest-algorithm=sha512")),
                caller.post(&format!("{uploads}?digest={digest}")).body("s3cr3t"),
                caller.post(&format!("{uploads}?digest={digest}")).body("not it"),
                caller.patch(&format!("{uploads}{}", town.session)).header("content-range", "5-6").body("ab"),
                caller.delete("/v2/x/y/manifests/z").header("x-odd", package),
            ]
        };
        for (number, (secret, absent)) in asks(SECRET).into_iter().zip(asks(ABSENT)).enumerate() {
            let secret = traces(house, secret, SECRET).await;
            let absent = traces(house, absent, ABSENT).await;
            assert_eq!(secret, absent, "{who}, request {number}");
        }
    }
}

#[tokio::test]
async fn the_token_endpoint_is_alike_for_private_and_absent() {
    let town = town(House::forgetful().await).await;
    let house = &town.house;
    let stranger = house.user("stranger").await;
    for caller in [house.anonymous(), stranger.caller.clone()] {
        for actions in ["pull", "pull,push", "*", "delete"] {
            let ask = |package| caller.ask_token(&[&format!("repository:{package}:{actions}")]);
            let secret = traces(house, ask(SECRET), SECRET).await;
            assert!(secret.0.starts_with("200"), "{}", secret.0);
            assert_eq!(secret, traces(house, ask(ABSENT), ABSENT).await);
            assert_eq!(secret, traces(house, ask(NOWHERE), NOWHERE).await);
        }
    }
    let form = |package: &str| {
        stranger.post("/token").form(&[
            ("grant_type", "password".to_owned()),
            ("password", stranger.token.secret.clone()),
            ("scope", format!("repository:{package}:pull,push")),
        ])
    };
    assert_eq!(traces(house, form(SECRET), SECRET).await, traces(house, form(ABSENT), ABSENT).await);
}

/// CVE-2024-39897 (zot): who knew a digest could mount it out of any package, or learn that it is there.
#[tokio::test]
async fn cve_2024_39897_a_mount_tells_nothing_of_blobs_one_may_not_read() {
    let town = town(House::forgetful().await).await;
    let house = &town.house;
    let stranger = house.user("stranger").await;
    let mine = "stranger/mine";
    stranger.push(mine, "1.0", &image().manifest()).await;
    let bearer = stranger.bearer(&["repository:stranger/mine:pull,push"]).await;
    for caller in [&stranger.caller, &bearer] {
        let mount = |digest: &str, from: &str| {
            caller.post(&format!("/v2/{mine}/blobs/uploads/?mount={digest}{from}"))
        };
        let never = unknown();
        let nothing = traces(house, mount(&never, &format!("&from={ABSENT}")), ABSENT).await;
        assert!(nothing.0.starts_with("202"), "an upload session, as for any missing blob: {}", nothing.0);
        for from in [SECRET, ABSENT, NOWHERE] {
            for digest in [&never, &town.secret] {
                let tried = traces(house, mount(digest, &format!("&from={from}")), from).await;
                assert_eq!(tried, nothing, "from {from}");
            }
        }
        // Without a place to look, and in the wrong place: one's own package, which has not got it.
        let nothing = traces(house, mount(&never, ""), ABSENT).await;
        assert_eq!(traces(house, mount(&town.secret, ""), ABSENT).await, nothing, "anonymous mount");
        let nothing = traces(house, mount(&never, &format!("&from={mine}")), ABSENT).await;
        assert_eq!(traces(house, mount(&town.secret, &format!("&from={mine}")), ABSENT).await, nothing);
        // By its digest in one's own package: HEAD, GET and DELETE find nothing either.
        for method in [http::Method::GET, http::Method::HEAD, http::Method::DELETE] {
            let ask = |digest: &str| caller.ask(method.clone(), &format!("/v2/{mine}/blobs/{digest}"));
            let nothing = traces(house, ask(&never), &never).await;
            assert_eq!(traces(house, ask(&town.secret), &town.secret).await, nothing, "{method}");
        }
        assert_eq!(stranger.blob(mine, &town.secret).await, None);
    }
    // Who may read it is told.
    let owner = town.owner.post(&format!("/v2/acme/other/blobs/uploads/?mount={}", town.secret)).await;
    assert_eq!(owner.says(), "201");
}

#[tokio::test]
async fn a_list_of_packages_names_nothing_hidden_and_works_the_same_for_it() {
    let town = town(House::forgetful().await).await;
    let stranger = town.house.user("stranger").await;
    let before = traces(&town.house, stranger.get("/v2/_catalog"), SECRET).await;
    town.owner.push("acme/another", "1.0", &image().manifest()).await;
    assert_eq!(traces(&town.house, stranger.get("/v2/_catalog"), SECRET).await, before);
    assert!(before.0.ends_with(r#"{"repositories":[]}"#), "{}", before.0);
}
