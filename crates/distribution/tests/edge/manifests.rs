//! Pushing and pulling manifests (distribution-spec, end-3, end-7).

use crate::content::{
    DOCKER_LIST, DOCKER_MANIFEST, Manifest, OCI_EMPTY, OCI_FOREIGN, OCI_INDEX, OCI_MANIFEST, descriptor,
    image, index, sha256, sha512, unknown,
};
use crate::house::{House, Person};
use serde_json::json;

const APP: &str = "mona/app";

async fn mona() -> (House, Person) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    (house, mona)
}

fn at(reference: &str) -> String {
    format!("/v2/{APP}/manifests/{reference}")
}

#[tokio::test]
async fn an_image_is_pushed_and_pulled_by_tag_and_by_digest() {
    let (_house, mona) = mona().await;
    let image = image().layer("one").layer("two").manifest();
    mona.push(APP, "1.0", &image).await;
    let digest = image.digest();
    for reference in ["1.0", &digest] {
        let (get, head) = (mona.get(&at(reference)).await, mona.head(&at(reference)).await);
        for answer in [&get, &head] {
            assert_eq!(answer.says(), "200");
            assert_eq!(answer.the("docker-content-digest"), digest);
            assert_eq!(answer.the("content-type"), OCI_MANIFEST);
            assert_eq!(answer.the("content-length"), image.bytes.len().to_string());
            assert_eq!(answer.the("etag"), format!("\"{digest}\""));
        }
        assert_eq!(get.body, image.bytes);
    }
}

#[tokio::test]
async fn the_answer_to_a_push_names_the_digest_and_where_it_is() {
    let (_house, mona) = mona().await;
    let index = index(&[]);
    let answer = mona.put_manifest(APP, "1.0", &index).await;
    assert_eq!(answer.says(), "201");
    assert_eq!(answer.the("docker-content-digest"), index.digest());
    assert_eq!(answer.the("location"), at(&index.digest()));
    assert_eq!(answer.header("oci-subject"), None);
    assert_eq!(answer.header("oci-tag"), None);
    assert_eq!(mona.get(answer.the("location")).await.body, index.bytes);
}

#[tokio::test]
async fn every_byte_of_a_manifest_is_kept() {
    let (_house, mona) = mona().await;
    let text = format!(
        "\n{{ \"unknown\":[1.50, {{\"b\":null}}],\t\"manifests\" :[],\r\n \"schemaVersion\":2,  \"mediaType\":\"{OCI_INDEX}\",\
         \"note\":\"\\u00e9 é /\\/\" }}  \n"
    );
    let odd = Manifest { bytes: text.into_bytes(), ..index(&[]) };
    mona.push(APP, "odd", &odd).await;
    assert_eq!(mona.get(&at("odd")).await.body, odd.bytes);
}

#[tokio::test]
async fn a_manifest_that_is_known_need_not_be_sent() {
    let (_house, mona) = mona().await;
    let index = index(&[]);
    mona.push(APP, "1.0", &index).await;
    let known = format!("\"{}\"", index.digest());
    let answer = mona.get(&at("1.0")).header("if-none-match", &known).await;
    assert_eq!((answer.status, answer.text()), (304, ""));
    assert_eq!(answer.the("docker-content-digest"), index.digest());
    let other = mona.get(&at("1.0")).header("if-none-match", "\"sha256:0\"").await;
    assert_eq!(other.status, 200);
}

/// clients.md: Watchtower asks without the OCI types, and must not get 404 or 406.
#[tokio::test]
async fn the_type_it_was_pushed_with_is_served_whatever_accept_says() {
    let (_house, mona) = mona().await;
    mona.push(APP, "1.0", &index(&[])).await;
    for accept in [DOCKER_MANIFEST, "text/html", "", "*/*"] {
        let answer = mona.get(&at("1.0")).header("accept", accept).await;
        assert_eq!((answer.status, answer.the("content-type")), (200, OCI_INDEX));
    }
}

#[tokio::test]
async fn a_body_that_does_not_say_what_it_is_is_what_the_request_says() {
    let (_house, mona) = mona().await;
    let untyped = |json: serde_json::Value, media_type: &str| Manifest::of(media_type, &json);
    let list = untyped(json!({ "schemaVersion": 2, "manifests": [] }), DOCKER_LIST);
    mona.push(APP, "list", &list).await;
    assert_eq!(mona.head(&at("list")).await.the("content-type"), DOCKER_LIST);
    // The same bytes under another type: the last push says what they are.
    let index = Manifest { media_type: OCI_INDEX.to_owned(), ..list };
    mona.push(APP, "index", &index).await;
    assert_eq!(mona.head(&at("index")).await.the("content-type"), OCI_INDEX);
    // Without a header the body says it, or its shape does. A parameter says nothing.
    for (body, tag) in [(index.bytes.clone(), "shape"), (crate::content::index(&[]).bytes, "body")] {
        assert_eq!(mona.put(&at(tag)).body(body).await.says(), "201");
        assert_eq!(mona.head(&at(tag)).await.the("content-type"), OCI_INDEX);
    }
    let charset = format!("{OCI_INDEX}; charset=utf-8");
    let put = mona.put(&at("charset")).header("content-type", &charset).body(index.bytes);
    assert_eq!(put.await.says(), "201");
    assert_eq!(mona.head(&at("charset")).await.the("content-type"), OCI_INDEX);
}

#[tokio::test]
async fn dockers_manifests_and_lists_are_taken() {
    let (_house, mona) = mona().await;
    let config = mona.push_blob(APP, "{}").await;
    let manifest = Manifest::of(
        DOCKER_MANIFEST,
        &json!({
            "schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "layers": [],
            "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "digest": config, "size": 2 },
        }),
    );
    let mut platform = manifest.descriptor();
    platform["platform"] = json!({ "os": "linux", "architecture": "arm64" });
    let list = Manifest::of(
        DOCKER_LIST,
        &json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [platform] }),
    );
    for (tag, manifest) in [("one", &manifest), ("all", &list)] {
        mona.push(APP, tag, manifest).await;
        let answer = mona.get(&at(tag)).await;
        assert_eq!(
            (answer.the("content-type"), &answer.body[..]),
            (&*manifest.media_type, &manifest.bytes[..])
        );
    }
}

#[tokio::test]
async fn indexes_may_be_nested_empty_or_of_what_is_not_there_yet() {
    let (_house, mona) = mona().await;
    let child = image().layer("one").manifest();
    let inner = index(&[&child]);
    let outer = index(&[&inner, &inner]);
    // From the outside in: children may come later or never.
    mona.push(APP, "outer", &outer).await;
    mona.push(APP, &inner.digest(), &inner).await;
    mona.push(APP, &child.digest(), &child).await;
    mona.push(APP, "empty", &index(&[])).await;
    for manifest in [&outer, &inner, &child] {
        assert_eq!(mona.get(&at(&manifest.digest())).await.body, manifest.bytes);
    }
}

#[tokio::test]
async fn a_missing_config_or_layer_is_400_with_the_digest_that_is_missing() {
    let (house, mona) = mona().await;
    mona.push_blob(APP, "there").await;
    let before = house.stored();
    let config = image().config("no config").layer("there").manifest();
    let layer = image().config("there").layer("no layer").manifest();
    for (manifest, missing) in [(&config, sha256("no config")), (&layer, sha256("no layer"))] {
        let answer = mona.put_manifest(APP, "1.0", manifest).await;
        assert_eq!(answer.says(), "400 MANIFEST_BLOB_UNKNOWN");
        assert_eq!(answer.json()["errors"][0]["detail"], missing.as_str());
        assert!(answer.message().contains("blob unknown to registry"), "the text people search for");
    }
    crate::stored::assert_same(&before, &house.stored(), "a manifest that is refused");
    // What lies in another package is missing here, even for who owns both.
    mona.push_blob("mona/other", "no layer").await;
    assert_eq!(mona.put_manifest(APP, "1.0", &layer).await.says(), "400 MANIFEST_BLOB_UNKNOWN");
    mona.push_blob(APP, "no layer").await;
    assert_eq!(mona.put_manifest(APP, "1.0", &layer).await.says(), "201");
}

#[tokio::test]
async fn a_refused_first_push_leaves_no_package() {
    let (house, mona) = mona().await;
    let before = house.stored();
    let answer = mona.put_manifest("mona/new", "1.0", &image().layer("no layer").manifest()).await;
    assert_eq!(answer.says(), "400 MANIFEST_BLOB_UNKNOWN");
    crate::stored::assert_same(&before, &house.stored(), "the package was not made");
}

#[tokio::test]
async fn a_mirror_may_take_manifests_whose_blobs_were_never_seen() {
    let house = House::with(|plan| plan.settings.sparse_manifests = true).await;
    let mona = house.user("mona").await;
    let sparse = image().config("no config").layer("no layer").manifest();
    assert_eq!(mona.put_manifest(APP, "1.0", &sparse).await.says(), "201");
    assert_eq!(mona.get(&at("1.0")).await.body, sparse.bytes);
    let layer = format!("/v2/{APP}/blobs/{}", sha256("no layer"));
    assert_eq!(mona.get(&layer).await.says(), "404 BLOB_UNKNOWN");
}

/// angos's change log: a manifest that lists the same layer twice, then is deleted.
#[tokio::test]
async fn angos_the_same_layer_may_be_listed_twice() {
    let (_house, mona) = mona().await;
    let twice = image().layer("same").layer("same").manifest();
    mona.push(APP, "1.0", &twice).await;
    assert_eq!(mona.delete(&at(&twice.digest())).await.says(), "202");
    assert!(!mona.has(APP, "1.0").await);
    mona.push(APP, "1.0", &twice).await;
    assert!(mona.has(APP, "1.0").await);
}

#[tokio::test]
async fn layers_that_may_not_be_distributed_need_not_be_here() {
    let (_house, mona) = mona().await;
    let foreign = json!({
        "mediaType": OCI_FOREIGN, "digest": unknown(), "size": 12, "urls": ["https://elsewhere.test/layer"],
    });
    let manifest = image().with("layers", json!([foreign])).manifest();
    mona.push_blob(APP, &manifest.blobs[0]).await;
    assert_eq!(mona.put_manifest(APP, "1.0", &manifest).await.says(), "201");
}

#[tokio::test]
async fn an_artifact_has_an_empty_config_data_and_any_fields() {
    let (_house, mona) = mona().await;
    let mut empty = descriptor(OCI_EMPTY, b"{}");
    empty["data"] = json!("e30=");
    let artifact = image()
        .config("{}")
        .with("config", empty.clone())
        .with("layers", json!([empty]))
        .with("artifactType", json!("application/vnd.example.thing"))
        .with("org.example", json!({ "deep": [[[1]]] }))
        .manifest();
    mona.push(APP, "thing", &artifact).await;
    assert_eq!(mona.get(&at("thing")).await.body, artifact.bytes);
}

#[tokio::test]
async fn a_push_may_set_several_tags_at_once() {
    let (_house, mona) = mona().await;
    let image = image().layer("one").manifest();
    mona.push(APP, "old", &image).await;
    let target = format!("{}?tag=1.0&tag=1&tag=latest&tag=1", at(&image.digest()));
    let answer = mona.put(&target).header("content-type", OCI_MANIFEST).body(image.bytes.clone()).await;
    assert_eq!(answer.says(), "201");
    assert_eq!(answer.the("oci-tag"), "1.0, 1, latest");
    assert_eq!(mona.tags(APP).await, ["1", "1.0", "latest", "old"]);
    for tag in ["1", "1.0", "latest"] {
        assert_eq!(mona.head(&at(tag)).await.the("docker-content-digest"), image.digest());
    }
}

#[tokio::test]
async fn a_hundred_tags_at_once_are_taken_and_one_more_is_414() {
    let (house, mona) = mona().await;
    let index = index(&[]);
    mona.push(APP, "first", &index).await;
    let tags = |count: usize| (0..count).map(|at| format!("&tag=t{at}")).collect::<String>();
    let put = |tags: String| {
        let target = format!("{}?x=y{tags}", at(&index.digest()));
        mona.put(&target).header("content-type", OCI_INDEX).body(index.bytes.clone())
    };
    let before = house.stored();
    assert_eq!(put(tags(101)).await.says(), "414 UNSUPPORTED");
    crate::stored::assert_same(&before, &house.stored(), "one tag too many");
    let answer = put(tags(100)).await;
    assert_eq!(answer.says(), "201");
    assert_eq!(answer.the("oci-tag").split(", ").count(), 100);
    assert_eq!(mona.tags(APP).await.len(), 101);
}

#[tokio::test]
async fn sha512_names_a_manifest_where_it_was_asked_to() {
    let (_house, mona) = mona().await;
    let index = index(&[]);
    let digest = sha512(&index.bytes);
    let target = format!("{}?tag=strong", at(&digest));
    let answer = mona.put(&target).header("content-type", OCI_INDEX).body(index.bytes.clone()).await;
    assert_eq!((answer.says().as_str(), answer.the("docker-content-digest")), ("201", &*digest));
    for reference in ["strong", &digest] {
        let head = mona.head(&at(reference)).await;
        assert_eq!((head.status, head.the("docker-content-digest")), (200, &*digest));
    }
    assert_eq!(
        mona.get(&at(&index.digest())).await.says(),
        "404 MANIFEST_UNKNOWN",
        "it was not pushed as that"
    );
    assert_eq!(mona.delete(&at(&digest)).await.says(), "202");
    assert!(!mona.has(APP, "strong").await);
}

#[tokio::test]
async fn a_manifest_under_a_wrong_digest_is_400() {
    let (house, mona) = mona().await;
    let index = index(&[]);
    mona.push(APP, "1.0", &index).await;
    let before = house.stored();
    for wrong in [unknown(), sha512("no"), sha256([&index.bytes[..], b"\n"].concat())] {
        assert_eq!(mona.put_manifest(APP, &wrong, &index).await.says(), "400 DIGEST_INVALID");
    }
    crate::stored::assert_same(&before, &house.stored(), "a wrong digest");
}

#[tokio::test]
async fn a_tag_moves_and_what_it_pointed_at_stays() {
    let (_house, mona) = mona().await;
    let (old, new) = (image().layer("old").manifest(), image().layer("new").manifest());
    mona.push(APP, "latest", &old).await;
    mona.push(APP, "latest", &new).await;
    assert_eq!(mona.get(&at("latest")).await.body, new.bytes);
    assert_eq!(mona.get(&at(&old.digest())).await.body, old.bytes);
    mona.push(APP, "latest", &old).await;
    assert_eq!(mona.get(&at("latest")).await.body, old.bytes);
    assert_eq!(mona.tags(APP).await, ["latest"]);
}

#[tokio::test]
async fn tags_tell_upper_and_lower_case_apart() {
    let (_house, mona) = mona().await;
    let (upper, lower) = (image().layer("upper").manifest(), image().layer("lower").manifest());
    mona.push(APP, "RC", &upper).await;
    mona.push(APP, "rc", &lower).await;
    assert_eq!(mona.get(&at("RC")).await.body, upper.bytes);
    assert_eq!(mona.get(&at("rc")).await.body, lower.bytes);
}

#[tokio::test]
async fn the_same_manifest_in_two_packages_is_two_things() {
    let (house, mona) = mona().await;
    let index = index(&[]);
    mona.push(APP, "1.0", &index).await;
    mona.push("mona/other", "1.0", &index).await;
    assert_eq!(house.count("SELECT count(*) FROM manifests"), 1, "its bytes are kept once");
    assert_eq!(mona.delete(&at(&index.digest())).await.says(), "202");
    assert!(!mona.has(APP, "1.0").await);
    assert!(mona.has("mona/other", "1.0").await);
    assert!(mona.has("mona/other", &index.digest()).await);
}

/// The conformance suite pushes 390 annotations of 10,000 characters; clients read 4 MiB.
#[tokio::test]
async fn a_manifest_of_almost_four_megabytes_is_taken_listed_and_served() {
    let (_house, mona) = mona().await;
    let subject = index(&[]);
    mona.push(APP, "subject", &subject).await;
    let notes: serde_json::Map<_, _> =
        (0..390).map(|at| (format!("note-{at}"), json!("x".repeat(10_000)))).collect();
    let large = image().layer("one").subject(&subject).with("annotations", notes.into()).manifest();
    assert!(large.bytes.len() > 3_900_000);
    mona.push(APP, "large", &large).await;
    assert!(mona.get(&at("large")).await.body == large.bytes, "the same bytes come back");
    let referrers = mona.get(&format!("/v2/{APP}/referrers/{}", subject.digest())).await;
    assert_eq!(referrers.list("manifests"), [large.digest()]);
}

#[tokio::test]
async fn two_first_pushes_at_once_make_one_package() {
    let (house, mona) = mona().await;
    let pushes: Vec<_> = (0..8)
        .map(|at| {
            let put = mona.put(&at_new(&format!("t{at}"))).header("content-type", OCI_INDEX);
            tokio::spawn(put.body(index(&[]).bytes).into_future())
        })
        .collect();
    for push in pushes {
        assert_eq!(push.await.unwrap().says(), "201");
    }
    assert_eq!(mona.tags("mona/new").await.len(), 8);
    assert_eq!(house.count("SELECT count(*) FROM packages"), 1);
}

fn at_new(tag: &str) -> String {
    format!("/v2/mona/new/manifests/{tag}")
}

#[tokio::test]
async fn a_digest_may_come_percent_encoded() {
    let (_house, mona) = mona().await;
    let image = image().layer("one").manifest();
    mona.push(APP, "1.0", &image).await;
    assert_eq!(mona.get(&at(&image.digest().replace(':', "%3A"))).await.body, image.bytes);
    let blob = format!("/v2/{APP}/blobs/{}", sha256("one").replace(':', "%3a"));
    assert_eq!(mona.get(&blob).await.text(), "one");
}
