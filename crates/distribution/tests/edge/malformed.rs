//! What is not in the grammar gets a 4xx and leaves nothing: no row, no file, no session moved on.

use crate::answer::Answer;
use crate::bodies::{breaking_off_after, full};
use crate::content::{Manifest, OCI_INDEX, OCI_MANIFEST, image, index, sha256};
use crate::house::{Ask, House, Person};
use crate::stored::assert_same;

const APP: &str = "mona/app";

/// A house in which there is something to damage, and a session to damage it with.
async fn furnished() -> (House, Person, String) {
    let house = House::with(|plan| plan.manifest_bytes_max = 20_000).await;
    let mona = house.user("mona").await;
    mona.push(APP, "1.0", &image().layer("one").manifest()).await;
    let session = mona.begin(APP).await;
    mona.patch(&session).body("hello").await;
    (house, mona, session)
}

/// Sends each request and compares what is stored before and after all of them.
async fn refused(house: &House, asks: Vec<(String, Ask)>, is_right: impl Fn(&Answer) -> bool) {
    assert!(!asks.is_empty());
    let before = house.stored();
    for (what, ask) in asks {
        let commits = house.commits();
        let answer = ask.await;
        assert!(is_right(&answer), "{what}: {answer}");
        assert_eq!(house.commits(), commits, "{what}: something was committed");
    }
    assert_same(&before, &house.stored(), "malformed requests");
}

fn is(status: u16, code: &'static str) -> impl Fn(&Answer) -> bool {
    move |answer| answer.says() == format!("{status} {code}")
}

#[tokio::test]
async fn names_outside_the_grammar_are_400() {
    let (house, mona, _) = furnished().await;
    let digest = sha256("one");
    let long = format!("mona/{}", "a".repeat(251));
    let names = [
        "mona",
        "Mona/app",
        "mona/App",
        "mona/a..b",
        "mona/.a",
        "mona/a.",
        "mona/_a",
        "mona/a___b",
        "mona/a._b",
        "mona//a",
        "/mona/a",
        "mona/a/",
        "mona/a%20b",
        "mona/%C3%A4",
        "mona%2Fapp",
        "mona/%2e%2e/b",
        "mona/..",
        "mona/a%00b",
        "mona/a%",
        "-/-",
        &long,
    ];
    for name in names {
        let asks = [
            ("tags", mona.get(&format!("/v2/{name}/tags/list"))),
            ("manifest", mona.get(&format!("/v2/{name}/manifests/1.0"))),
            ("put", mona.put(&format!("/v2/{name}/manifests/1.0")).body(index(&[]).bytes)),
            ("delete", mona.delete(&format!("/v2/{name}/manifests/1.0"))),
            ("blob", mona.get(&format!("/v2/{name}/blobs/{digest}"))),
            ("delete blob", mona.delete(&format!("/v2/{name}/blobs/{digest}"))),
            ("begin", mona.post(&format!("/v2/{name}/blobs/uploads/"))),
            ("at once", mona.post(&format!("/v2/{name}/blobs/uploads/?digest={digest}")).body("one")),
            ("patch", mona.patch(&format!("/v2/{name}/blobs/uploads/{:032x}", 1)).body("one")),
            ("referrers", mona.get(&format!("/v2/{name}/referrers/{digest}"))),
        ];
        let asks = asks.into_iter().map(|(what, ask)| (format!("{what} of `{name}`"), ask)).collect();
        refused(&house, asks, is(400, "NAME_INVALID")).await;
    }
}

/// CVE-2024-3727 (containers/image): digests were used as paths and URLs without a look at them.
#[tokio::test]
async fn cve_2024_3727_what_is_no_digest_never_becomes_a_path() {
    let (house, mona, session) = furnished().await;
    let hex = "a".repeat(64);
    let digests = [
        "sha256:../../x".to_owned(),
        "sha256:..%2F..%2Fx".to_owned(),
        "sha256:%2e%2e".to_owned(),
        "sha256:AA".to_owned(),
        "sha256:".to_owned(),
        ":".to_owned(),
        format!("sha256:{}", "A".repeat(64)),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}a"),
        format!("sha256:{}g", &hex[1..]),
        format!("sha256:{hex}%00"),
        format!("SHA256:{hex}"),
        format!("sha384:{}", "a".repeat(96)),
        format!("sha256+b64:{hex}"),
        format!("sha512:{hex}"),
        format!("md5:{}", "a".repeat(32)),
        format!("sha256:{}", "a".repeat(10_000)),
        format!("{}:{hex}", "a".repeat(10_000)),
    ];
    for digest in &digests {
        let in_query = digest.replace('+', "%2B");
        let asks = [
            ("blob", mona.get(&format!("/v2/{APP}/blobs/{digest}"))),
            ("delete blob", mona.delete(&format!("/v2/{APP}/blobs/{digest}"))),
            ("manifest", mona.get(&format!("/v2/{APP}/manifests/{digest}"))),
            ("put", mona.put(&format!("/v2/{APP}/manifests/{digest}")).body(index(&[]).bytes)),
            ("delete", mona.delete(&format!("/v2/{APP}/manifests/{digest}"))),
            ("referrers", mona.get(&format!("/v2/{APP}/referrers/{digest}"))),
            ("at once", mona.post(&format!("/v2/{APP}/blobs/uploads/?digest={in_query}")).body("x")),
            ("mount", mona.post(&format!("/v2/{APP}/blobs/uploads/?mount={in_query}&from={APP}"))),
            ("anonymous mount", mona.post(&format!("/v2/{APP}/blobs/uploads/?mount={in_query}"))),
            ("finish", mona.put(&format!("{session}?digest={in_query}")).body("x")),
        ];
        let asks: Vec<_> =
            asks.into_iter().map(|(what, ask)| (format!("{what} of `{digest}`"), ask)).collect();
        // With a slash in it, it is another path: no endpoint, or a name that is none.
        refused(&house, asks, |answer| {
            let says = answer.says();
            says == "400 DIGEST_INVALID"
                || digest.contains('/') && ["400 NAME_INVALID", "404 NAME_UNKNOWN"].contains(&&*says)
        })
        .await;
    }
    let nothing = vec![("no digest".to_owned(), mona.put(&session).body("x"))];
    refused(&house, nothing, is(400, "DIGEST_INVALID")).await;
    assert_eq!(mona.get(&session).await.the("range"), "0-4", "the session stands where it stood");
}

#[tokio::test]
async fn tags_outside_the_grammar_are_400() {
    let (house, mona, _) = furnished().await;
    let bytes = index(&[]).bytes;
    let digest = sha256(&bytes);
    let long = "a".repeat(129);
    for tag in [".a", "-a", "a%20b", "a%2Fb", "%C3%A4", "a+b", "a%00", "%", "a@b", &long] {
        let in_query = tag.replace('+', "%2B");
        let asks = [
            ("get", mona.get(&format!("/v2/{APP}/manifests/{tag}"))),
            ("put", mona.put(&format!("/v2/{APP}/manifests/{tag}")).body(bytes.clone())),
            ("delete", mona.delete(&format!("/v2/{APP}/manifests/{tag}"))),
            (
                "?tag=",
                mona.put(&format!("/v2/{APP}/manifests/{digest}?tag=ok&tag={in_query}")).body(bytes.clone()),
            ),
            ("last", mona.get(&format!("/v2/{APP}/tags/list?last={in_query}"))),
        ];
        let asks = asks.into_iter().map(|(what, ask)| (format!("{what} `{tag}`"), ask)).collect();
        refused(&house, asks, is(400, "TAG_INVALID")).await;
    }
    let empty = mona.put(&format!("/v2/{APP}/manifests/{digest}?tag=")).body(bytes);
    refused(&house, vec![("an empty tag".to_owned(), empty)], is(400, "TAG_INVALID")).await;
}

#[tokio::test]
async fn paths_that_are_no_endpoint_are_404_and_methods_that_are_none_405() {
    let (house, mona, _) = furnished().await;
    let paths = [
        "/v2/x",
        "/v2/mona/app",
        "/v2/mona/app/tags",
        "/v2/mona/app/tags/list/x",
        "/v2/mona/app/blobs/",
        "/v2//",
        "/v3/",
        "/v2/_catalog/x",
        "/v2/mona/app/manifests/",
    ];
    let asks = paths.map(|path| (path.to_owned(), mona.get(path))).into();
    refused(&house, asks, |answer| ["404 NAME_UNKNOWN", "400 NAME_INVALID"].contains(&&*answer.says())).await;
    for (path, allowed) in [
        ("/v2/", "GET, HEAD"),
        ("/v2/_catalog", "GET, HEAD"),
        ("/token", "GET, POST"),
        ("/v2/mona/app/tags/list", "GET, HEAD"),
        ("/v2/mona/app/manifests/1.0", "GET, HEAD, PUT, DELETE"),
        ("/v2/mona/app/blobs/uploads/", "POST"),
        ("/v2/mona/app/blobs/uploads/x", "GET, PATCH, PUT, DELETE"),
        ("/v2/mona/app/referrers/x", "GET, HEAD"),
    ] {
        let answer = mona.ask(http::Method::OPTIONS, path).await;
        assert_eq!((answer.says().as_str(), answer.the("allow")), ("405 UNSUPPORTED", allowed), "{path}");
        assert_eq!(answer.route, "none");
    }
}

#[tokio::test]
async fn content_ranges_outside_the_grammar_are_400() {
    let (house, mona, session) = furnished().await;
    let ranges = [
        "",
        "5",
        "5-",
        "-9",
        "a-b",
        "9-5",
        "bytes=5-9",
        "bytes 5-9/9",
        "bytes */*",
        "5-9/x",
        "+5-9",
        "5 - 9",
        "\u{fc}",
        "5-99999999999999999999",
        "5-9,10-11",
    ];
    for range in ranges {
        let digest = sha256("hello, wor");
        let asks = vec![
            (format!("PATCH {range}"), mona.patch(&session).header("content-range", range).body(", wor")),
            (
                format!("PUT {range}"),
                mona.put(&format!("{session}?digest={digest}")).header("content-range", range).body(", wor"),
            ),
        ];
        refused(&house, asks, is(400, "BLOB_UPLOAD_INVALID")).await;
    }
    assert_eq!(mona.get(&session).await.the("range"), "0-4");
}

/// CVE-2023-2253 (distribution), on every paged endpoint. What is a number, but a huge one, is in `lists.rs`.
#[tokio::test]
async fn cve_2023_2253_paging_values_that_are_none_are_400() {
    let (house, mona, _) = furnished().await;
    let referrers = format!("/v2/{APP}/referrers/{}", sha256("x"));
    for n in ["-1", "abc", "1e3", "", "%201", "0x10", "1.5", "+1", "%D9%A3", "-99999999999999999999"] {
        let asks = vec![
            (format!("tags n={n}"), mona.get(&format!("/v2/{APP}/tags/list?n={n}"))),
            (format!("catalog n={n}"), mona.get(&format!("/v2/_catalog?n={n}"))),
            (format!("referrers after={n}"), mona.get(&format!("{referrers}?after={n}"))),
        ];
        refused(&house, asks, is(400, "PAGINATION_NUMBER_INVALID")).await;
    }
    let huge = vec![("after".to_owned(), mona.get(&format!("{referrers}?after=100000000000000000000")))];
    refused(&house, huge, is(400, "PAGINATION_NUMBER_INVALID")).await;
    for last in ["Mona/app", "mona", "mona/..", "%00", "'; DROP TABLE tags; --"] {
        let last = last.replace(' ', "%20");
        let asks = vec![("last".to_owned(), mona.get(&format!("/v2/_catalog?last={last}")))];
        refused(&house, asks, is(400, "NAME_INVALID")).await;
    }
}

/// angos's change log: malformed `?from=`, `?mount=` and `?artifactType=` were ignored.
#[tokio::test]
async fn angos_malformed_parameters_are_refused_and_not_ignored() {
    let (house, mona, _) = furnished().await;
    let digest = sha256("one");
    let uploads = format!("/v2/{APP}/blobs/uploads/");
    let froms = ["", "mona", "Mona/app", "mona/..", "../../x", "mona/app%00"];
    let asks = froms
        .map(|from| (format!("from={from}"), mona.post(&format!("{uploads}?mount={digest}&from={from}"))));
    refused(&house, asks.into(), is(400, "NAME_INVALID")).await;
    let mounts = vec![("mount=".to_owned(), mona.post(&format!("{uploads}?mount=")))];
    refused(&house, mounts, is(400, "DIGEST_INVALID")).await;
    let hints = ["", "md5", "SHA256", "sha384"];
    let asks =
        hints.map(|hint| (format!("hint {hint}"), mona.post(&format!("{uploads}?digest-algorithm={hint}"))));
    refused(&house, asks.into(), is(400, "DIGEST_INVALID")).await;
    let long = "a".repeat(256);
    let types = ["", "a%20b", "a%0Ab", "%00", &long];
    let referrers = format!("/v2/{APP}/referrers/{digest}");
    let asks = types
        .map(|kind| (format!("artifactType={kind}"), mona.get(&format!("{referrers}?artifactType={kind}"))));
    refused(&house, asks.into(), is(400, "UNSUPPORTED")).await;
    let many: String = (0..5).map(|at| format!("&artifactType=a/{at}")).collect();
    let asks = vec![("five types".to_owned(), mona.get(&format!("{referrers}?{}", &many[1..])))];
    refused(&house, asks, is(400, "UNSUPPORTED")).await;
    let flood = "a=b&".repeat(257);
    let asks = vec![("257 parameters".to_owned(), mona.get(&format!("/v2/{APP}/tags/list?{flood}")))];
    refused(&house, asks, is(414, "UNSUPPORTED")).await;
}

#[tokio::test]
async fn upload_ids_that_nobody_was_given_are_404() {
    let (house, mona, session) = furnished().await;
    let real = session.rsplit('/').next().unwrap();
    let upper = real.to_uppercase();
    let digest = sha256("x");
    for id in [
        "x",
        "..",
        "%2e%2e",
        "%00",
        &real[1..],
        &format!("{real}0"),
        &upper,
        &"0".repeat(32),
        &"a".repeat(10_000),
    ] {
        let at = format!("/v2/{APP}/blobs/uploads/{id}");
        let asks = [
            mona.get(&at),
            mona.patch(&at).body("x"),
            mona.put(&format!("{at}?digest={digest}")).body("x"),
            mona.delete(&at),
        ];
        let asks = asks.into_iter().map(|ask| (id.to_owned(), ask)).collect();
        refused(&house, asks, is(404, "BLOB_UPLOAD_UNKNOWN")).await;
    }
}

#[tokio::test]
async fn encoded_bodies_are_415() {
    let (house, mona, session) = furnished().await;
    let bytes = index(&[]).bytes;
    let digest = sha256("x");
    for encoding in ["gzip", "zstd", "br", "identity, gzip", "x"] {
        let asks = [
            ("manifest", mona.put(&format!("/v2/{APP}/manifests/2.0")).body(bytes.clone())),
            ("at once", mona.post(&format!("/v2/{APP}/blobs/uploads/?digest={digest}")).body("x")),
            ("patch", mona.patch(&session).body("x")),
            ("finish", mona.put(&format!("{session}?digest={digest}")).body("x")),
        ];
        let asks = asks
            .into_iter()
            .map(|(what, ask)| (format!("{what} {encoding}"), ask.header("content-encoding", encoding)));
        refused(&house, asks.collect(), is(415, "UNSUPPORTED")).await;
    }
    let plain = mona.patch(&session).header("content-encoding", "identity").body(", world").await;
    assert_eq!(plain.says(), "202");
}

/// CVE-2017-11468 (distribution): a manifest of any length was read into memory.
#[tokio::test]
async fn cve_2017_11468_a_manifest_too_long_is_413_whether_its_length_is_told_or_not() {
    let (house, mona, _) = furnished().await;
    let padded = |length: usize| {
        let mut bytes = index(&[]).bytes;
        bytes.resize(length, b' ');
        bytes
    };
    let put = || mona.put(&format!("/v2/{APP}/manifests/long")).header("content-type", OCI_INDEX);
    let asks = vec![
        ("told".to_owned(), put().body(padded(20_001))),
        ("untold".to_owned(), put().chunked(padded(20_001))),
        ("told, and a lie".to_owned(), put().chunked(padded(20_001)).header("content-length", "100")),
        ("far too long".to_owned(), put().sending(full("x")).header("content-length", "99999999999999")),
    ];
    refused(&house, asks, is(413, "SIZE_INVALID")).await;
    assert_eq!(put().body(padded(20_000)).await.says(), "201");
    assert_eq!(put().chunked(padded(20_000)).await.says(), "201");
}

/// zot #3977 and the hardening of April 2026: every body is bounded, a form too.
#[tokio::test]
async fn zot_3977_a_form_too_long_is_413() {
    let (house, mona, _) = furnished().await;
    let long = format!("grant_type=password&password={}", "a".repeat(70_000));
    let post = || mona.post("/token").header("content-type", "application/x-www-form-urlencoded");
    let asks =
        vec![("told".to_owned(), post().body(long.clone())), ("untold".to_owned(), post().chunked(long))];
    refused(&house, asks, is(413, "SIZE_INVALID")).await;
}

fn manifest_with(body: &str) -> Manifest {
    Manifest { media_type: OCI_MANIFEST.to_owned(), bytes: body.as_bytes().to_vec(), blobs: Vec::new() }
}

#[tokio::test]
async fn manifests_that_are_none_are_400() {
    let (house, mona, _) = furnished().await;
    let config = format!(
        r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":37}}"#,
        sha256(r#"{"architecture":"amd64","os":"linux"}"#)
    );
    let image = |fields: &str| manifest_with(&format!(r#"{{"schemaVersion":2,{fields}}}"#));
    let with_config = |fields: &str| image(&format!(r#""config":{config},{fields}"#));
    let index_of = |entry: String| Manifest {
        media_type: OCI_INDEX.to_owned(),
        ..image(&format!(r#""manifests":[{entry}]"#))
    };
    // An index bomb: more children than anything real has, and nesting that would make its readers recurse.
    let child = format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":2}}"#, sha256("{}"));
    let deep = format!(r#""layers":[],"x":{}{}"#, "[".repeat(101), "]".repeat(101));
    let cases = [
        ("nothing", manifest_with("")),
        ("not JSON", manifest_with("hello")),
        ("a list", manifest_with("[]")),
        ("half", manifest_with(r#"{"schemaVersion":2,"#)),
        ("two", manifest_with("{}{}")),
        ("a byte order mark", manifest_with("\u{feff}{}")),
        ("no schema version", manifest_with(&format!(r#"{{"config":{config},"layers":[]}}"#))),
        ("schema 3", manifest_with(&format!(r#"{{"schemaVersion":3,"config":{config},"layers":[]}}"#))),
        (
            "a version as text",
            manifest_with(&format!(r#"{{"schemaVersion":"2","config":{config},"layers":[]}}"#)),
        ),
        ("no config", image(r#""layers":[]"#)),
        ("no layers", image(&format!(r#""config":{config}"#))),
        ("layers and manifests", with_config(r#""layers":[],"manifests":[]"#)),
        ("a wrong mediaType", with_config(&format!(r#""layers":[],"mediaType":"{OCI_INDEX}""#))),
        ("a mediaType that is none", with_config(r#""layers":[],"mediaType":"x""#)),
        ("a field twice", with_config(r#""layers":[],"layers":[]"#)),
        ("a layer without a digest", with_config(r#""layers":[{"mediaType":"a/b","size":1}]"#)),
        (
            "a layer outside",
            with_config(r#""layers":[{"mediaType":"a/b","size":1,"digest":"sha256:../../x"}]"#),
        ),
        (
            "a negative size",
            with_config(&format!(
                r#""layers":[{{"mediaType":"a/b","size":-1,"digest":"{}"}}]"#,
                sha256("one")
            )),
        ),
        ("a subject that is none", with_config(r#""layers":[],"subject":{}"#)),
        ("a subject as text", with_config(r#""layers":[],"subject":"sha256:x""#)),
        ("annotations of numbers", with_config(r#""layers":[],"annotations":{"a":1}"#)),
        ("a long artifactType", with_config(&format!(r#""layers":[],"artifactType":"{}""#, "a".repeat(256)))),
        ("an index without manifests", Manifest { media_type: OCI_INDEX.to_owned(), ..image(r#""x":1"#) }),
        ("a child that is none", index_of("1".to_owned())),
        ("a child outside", index_of(child.replace("sha256:", "sha256:../"))),
        ("deep", with_config(&deep)),
        (
            "of another type",
            Manifest { media_type: "application/json".to_owned(), ..with_config(r#""layers":[]"#) },
        ),
        ("of no type", Manifest { media_type: "manifest".to_owned(), ..with_config(r#""layers":[]"#) }),
    ];
    let mut asks = Vec::new();
    for (what, manifest) in &cases {
        for reference in ["bad", &manifest.digest(), &format!("{}?tag=bad", manifest.digest())] {
            let ask = mona.put(&format!("/v2/{APP}/manifests/{reference}"));
            let ask = ask.header("content-type", &manifest.media_type).body(manifest.bytes.clone());
            asks.push((what.to_string(), ask));
        }
    }
    refused(&house, asks, is(400, "MANIFEST_INVALID")).await;
    // The frame that they were made in is sound.
    assert_eq!(mona.put_manifest(APP, "good", &with_config(r#""layers":[]"#)).await.says(), "201");
}

/// zot #4318: the walk of nested indexes was exponential.
#[tokio::test]
async fn zot_4318_an_index_bomb_is_bounded() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let child = index(&[]);
    // One level more than a reader has patience for: taken, since nothing here walks them.
    let mut level = child.clone();
    mona.push(APP, &level.digest(), &level).await;
    for _ in 0..20 {
        level = index(&[&level; 10]);
        mona.push(APP, &level.digest(), &level).await;
    }
    assert_eq!(mona.get(&format!("/v2/{APP}/manifests/{}", level.digest())).await.body, level.bytes);
    assert_eq!(mona.get(&format!("/v2/{APP}/referrers/{}", level.digest())).await.status, 200);
    assert_eq!(mona.delete(&format!("/v2/{APP}/manifests/{}", level.digest())).await.says(), "202");
    // Ten thousand children are the most.
    let before = house.stored();
    assert_eq!(
        mona.put_manifest(APP, "bomb", &index(&vec![&child; 10_001])).await.says(),
        "400 MANIFEST_INVALID"
    );
    assert_same(&before, &house.stored(), "too many children");
    assert_eq!(mona.put_manifest(APP, "large", &index(&vec![&child; 10_000])).await.says(), "201");
}

#[tokio::test]
async fn schema_1_is_refused_with_a_word_of_what_to_do() {
    let (house, mona, _) = furnished().await;
    let unsigned = r#"{"schemaVersion":1,"name":"app","tag":"1","fsLayers":[],"history":[]}"#;
    let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for media_type in
        ["application/vnd.docker.distribution.manifest.v1+json", signed, "application/json", OCI_MANIFEST]
    {
        let manifest = Manifest { media_type: media_type.to_owned(), ..manifest_with(unsigned) };
        let commits = house.commits();
        let answer = mona.put_manifest(APP, "old", &manifest).await;
        assert_eq!(answer.says(), "400 MANIFEST_INVALID");
        assert!(answer.message().contains("schema 1 are not supported"), "{answer}");
        assert_eq!(house.commits(), commits);
    }
}

#[tokio::test]
async fn a_manifest_that_broke_off_is_not_half_stored() {
    let (house, mona, _) = furnished().await;
    let bytes = index(&[]).bytes;
    let put = mona.put(&format!("/v2/{APP}/manifests/half")).header("content-type", OCI_INDEX);
    let asks = vec![("broke off".to_owned(), put.sending(breaking_off_after(bytes)))];
    refused(&house, asks, is(400, "SIZE_INVALID")).await;
}
