//! Lists of tags (distribution-spec, end-8) and of packages (`_catalog`), and their pages.

use crate::answer::Answer;
use crate::content::{image, index};
use crate::house::{Caller, House, Person};

const APP: &str = "mona/app";

async fn with_tags(tags: &[&str]) -> (House, Person) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let query: String = tags.iter().map(|tag| format!("&tag={tag}")).collect();
    let index = index(&[]);
    let target = format!("/v2/{APP}/manifests/{}?{}", index.digest(), query.trim_start_matches('&'));
    let answer = mona.put(&target).header("content-type", &index.media_type).body(index.bytes).await;
    assert_eq!(answer.says(), "201");
    (house, mona)
}

/// Follows `Link` from page to page.
async fn pages(caller: &Caller, first: &str, field: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(target) = next {
        assert!(target.starts_with("/v2/"), "relative, so that it stays on the client's host: {target}");
        let answer = caller.get(&target).await;
        pages.push(answer.list(field));
        next = answer.next();
        assert!(pages.len() < 100, "the pages end");
    }
    pages
}

fn no_link(answer: &Answer) -> bool {
    answer.header("link").is_none()
}

#[tokio::test]
async fn tags_are_listed_in_the_order_of_their_bytes() {
    let (_house, mona) = with_tags(&["latest", "1.0", "B", "a", "1.0-rc", "_x", "1.10", "Z"]).await;
    let answer = mona.get(&format!("/v2/{APP}/tags/list")).await;
    assert_eq!(answer.the("content-type"), "application/json");
    assert_eq!(answer.json()["name"], APP);
    assert_eq!(answer.list("tags"), ["1.0", "1.0-rc", "1.10", "B", "Z", "_x", "a", "latest"]);
    assert!(no_link(&answer));
}

#[tokio::test]
async fn tags_come_in_pages_and_the_links_lead_to_the_end() {
    let (_house, mona) = with_tags(&["a", "b", "c", "d", "e"]).await;
    let list = format!("/v2/{APP}/tags/list");
    assert_eq!(
        pages(&mona, &format!("{list}?n=2"), "tags").await,
        [vec!["a", "b"], vec!["c", "d"], vec!["e"]]
    );
    assert_eq!(pages(&mona, &format!("{list}?n=1"), "tags").await.concat(), ["a", "b", "c", "d", "e"]);
    // The last page is the last, full or not.
    for n in [5, 6] {
        assert!(no_link(&mona.get(&format!("{list}?n={n}")).await));
    }
    let first = mona.get(&format!("{list}?n=3")).await;
    assert_eq!(first.next().unwrap(), format!("{list}?n=3&last=c"));
}

#[tokio::test]
async fn a_page_starts_behind_last_which_need_not_be_a_tag() {
    let (_house, mona) = with_tags(&["a", "c", "e"]).await;
    for (query, wanted) in [
        ("last=a", vec!["c", "e"]),
        ("last=b", vec!["c", "e"]),
        ("last=b&n=1", vec!["c"]),
        ("last=e", vec![]),
        ("last=", vec!["a", "c", "e"]),
        ("n=0", vec![]),
    ] {
        let answer = mona.get(&format!("/v2/{APP}/tags/list?{query}")).await;
        assert_eq!(answer.list("tags"), wanted, "{query}");
    }
    let nothing = mona.get(&format!("/v2/{APP}/tags/list?n=0")).await;
    assert!(no_link(&nothing), "a page without entries has none to go on from: {nothing}");
}

/// CVE-2023-2253 (distribution): `n=2147483647` allocated that many. Renovate asks for 10,000.
#[tokio::test]
async fn cve_2023_2253_a_huge_page_is_a_page() {
    let (_house, mona) = with_tags(&["a", "b"]).await;
    for n in
        ["10000", "2147483647", "2147483648", "4294967296", "18446744073709551616", "100000000000000000000"]
    {
        let tags = mona.get(&format!("/v2/{APP}/tags/list?n={n}")).await;
        assert_eq!(tags.list("tags"), ["a", "b"], "{n}");
        let catalog = mona.get(&format!("/v2/_catalog?n={n}")).await;
        assert_eq!(catalog.list("repositories"), [APP], "{n}");
    }
}

#[tokio::test]
async fn a_package_that_was_only_begun_has_no_list() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    mona.push_blob(APP, "no manifest yet").await;
    assert_eq!(mona.get(&format!("/v2/{APP}/tags/list")).await.says(), "404 NAME_UNKNOWN");
    // A manifest without a tag makes it one.
    let index = index(&[]);
    mona.push(APP, &index.digest(), &index).await;
    assert_eq!(mona.tags(APP).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_catalog_lists_what_one_may_pull() {
    let house = House::new().await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    let mike = house.user("mike").await;
    house.organization("acme", "mona").await;
    house.member("acme", "mike").await;
    let image = image().manifest();
    for package in ["mona/private", "mona/public", "mona/granted", "acme/private", "acme/internal"] {
        mona.push(package, "1", &image).await;
    }
    hubot.push("hubot/own", "1", &image).await;
    house.make("mona/public", "public").await;
    house.make("acme/internal", "internal").await;
    house.grant("mona/granted", "hubot", "read").await;

    for (who, caller, wanted) in [
        ("hubot", &hubot.caller, vec!["hubot/own", "mona/granted", "mona/public"]),
        ("mike", &mike, vec!["acme/internal", "mona/public"]),
        ("mona", &mona, vec!["acme/internal", "acme/private", "mona/granted", "mona/private", "mona/public"]),
        (
            "admin",
            &house.admin,
            vec!["acme/internal", "acme/private", "hubot/own", "mona/granted", "mona/private", "mona/public"],
        ),
    ] {
        assert_eq!(caller.get("/v2/_catalog").await.list("repositories"), wanted, "{who}");
        assert_eq!(
            pages(caller, "/v2/_catalog?n=2", "repositories").await.concat(),
            wanted,
            "{who}, in pages"
        );
        // What is listed can be read.
        for package in wanted {
            assert!(caller.has(package, "1").await, "{who}: {package}");
        }
    }
}

#[tokio::test]
async fn the_catalog_comes_in_pages_behind_last() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    for package in ["mona/a", "mona/a-b", "mona/a/b", "mona/b"] {
        mona.push(package, "1", &index(&[])).await;
    }
    let first = mona.get("/v2/_catalog?n=3").await;
    assert_eq!(first.list("repositories"), ["mona/a", "mona/a-b", "mona/a/b"]);
    assert_eq!(first.next().unwrap(), "/v2/_catalog?n=3&last=mona%2Fa%2Fb");
    assert_eq!(pages(&mona, "/v2/_catalog?n=1", "repositories").await.len(), 4);
    assert_eq!(mona.get("/v2/_catalog?last=mona/a-b").await.list("repositories"), ["mona/a/b", "mona/b"]);
    assert_eq!(mona.get("/v2/_catalog?n=0").await.list("repositories"), Vec::<String>::new());
    // Where the next package would be, if there was one.
    assert!(no_link(&mona.get("/v2/_catalog?n=4").await));
}

#[tokio::test]
async fn a_bearer_token_for_the_catalog_lists_it_and_opens_nothing() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    mona.push(APP, "1", &index(&[])).await;
    let bearer = mona.bearer(&["registry:catalog:*"]).await;
    assert_eq!(bearer.get("/v2/_catalog").await.list("repositories"), [APP]);
    assert_eq!(bearer.get(&format!("/v2/{APP}/manifests/1")).await.says(), "401 UNAUTHORIZED");
    let other = mona.bearer(&["repository:mona/app:pull"]).await;
    assert_eq!(other.get("/v2/_catalog").await.says(), "401 UNAUTHORIZED");
    assert_eq!(house.anonymous().get("/v2/_catalog").await.says(), "401 UNAUTHORIZED");
}
