//! What went wrong elsewhere, where no other module is its place. Each test is named after its lesson.

use crate::bodies::held;
use crate::content::{image, index, sha256};
use crate::doors::{Target, has_package, knock, ways};
use crate::house::{Caller, House, Shows};
use crate::stored::assert_same;
use packhouse_distribution::ROUTES;
use packhouse_service::{Secret, Settings, Shown};

/// CVE-2026-27771 (Gitea): for four years nobody had to sign in to pull private images.
#[tokio::test]
async fn cve_2026_27771_nobody_in_particular_gets_anything_of_a_private_package() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let secret = image().layer("s3cr3t").config("s3cr3t config").manifest();
    mona.push("mona/secret", "1.0", &secret).await;
    mona.push_blob("mona/other", "x").await;
    let session = mona.begin("mona/secret").await;
    let digest = sha256("s3cr3t");
    let target = Target {
        package: "mona/secret",
        tag: "1.0",
        manifest: &secret,
        blob: &digest,
        session: session.rsplit('/').next().unwrap(),
        source: ("mona/secret", &digest),
    };
    let before = house.stored();
    let bearer = house.anonymous().bearer(&["repository:mona/secret:*"]).await;
    let mut tried = 0;
    for caller in [house.anonymous(), bearer, house.bearing("QQ==")] {
        for route in ROUTES.iter().filter(|route| has_package(route)) {
            for way in ways(route.endpoint) {
                let answer = knock(&caller, route, way, &target).await;
                assert_eq!(answer.status, 401, "{} {way}", route.name.0);
                for header in
                    ["docker-content-digest", "location", "range", "etag", "docker-upload-uuid", "link"]
                {
                    assert_eq!(answer.header(header), None, "{} {way}", route.name.0);
                }
                assert!(!answer.seen().contains(&secret.digest()), "{} {way}", route.name.0);
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 3 * 23);
    assert_same(&before, &house.stored(), "anonymous callers");
}

/// CVE-2026-31801 (zot): who could create, but not update, could overwrite `latest`.
#[tokio::test]
async fn cve_2026_31801_who_may_only_create_cannot_overwrite() {
    let house = House::new().await;
    let (mona, mike) = (house.user("mona").await, house.user("mike").await);
    house.organization("acme", "mona").await;
    house.member("acme", "mike").await;
    let app = "acme/app";
    let image = image().layer("one").manifest();
    mona.push(app, "latest", &image).await;
    // He may create packages here, and does; of his own he is the admin.
    mike.push("acme/his", "latest", &image).await;
    assert_eq!(mike.delete("/v2/acme/his/manifests/latest").await.says(), "202");
    for (visibility, wanted) in
        [("private", "404 NAME_UNKNOWN"), ("internal", "403 DENIED"), ("public", "403 DENIED")]
    {
        house.make(app, visibility).await;
        let before = house.stored();
        let (same, other, all) = (&image, index(&[]), index(&[&image]));
        let blob = sha256("one");
        for caller in [&mike.caller, &mike.bearer(&["repository:acme/app:pull,push,delete"]).await] {
            for answer in [
                caller.put_manifest(app, "latest", &other).await,
                caller.put_manifest(app, "new", &other).await,
                caller.put_manifest(app, &format!("{}?tag=latest", other.digest()), &other).await,
                caller.put_manifest(app, "latest", same).await,
                caller.put_manifest(app, &same.digest(), same).await,
                caller.put_manifest(app, "latest", &all).await,
                caller.post(&format!("/v2/{app}/blobs/uploads/")).await,
                caller.post_blob(app, &blob, "one").await,
                caller.post(&format!("/v2/{app}/blobs/uploads/?mount={blob}&from=acme/his")).await,
                caller.delete(&format!("/v2/{app}/manifests/latest")).await,
            ] {
                assert_eq!(answer.says(), wanted, "{visibility}");
            }
        }
        assert_same(&before, &house.stored(), "what he tried");
    }
    assert_eq!(mona.get("/v2/acme/app/manifests/latest").await.body, image.bytes);
}

/// CVE-2026-32590 (Quay): the state of a resumable hash was trusted to be what it had written.
#[tokio::test]
async fn cve_2026_32590_a_damaged_hash_state_is_a_clean_failure() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    for state in ["x''", "x'00'", "randomblob(200)", "zeroblob(1000000)", "CAST(hash_state || x'00' AS BLOB)"]
    {
        let session = mona.begin("mona/app").await;
        mona.patch(&session).body("hel").await;
        house.tamper(&format!("UPDATE uploads SET hash_state = {state} WHERE digest IS NULL"));
        assert_eq!(mona.patch(&session).body("lo").await.says(), "500 UNKNOWN", "{state}");
        let put = mona.put(&format!("{session}?digest={}", sha256("hello"))).body("lo").await;
        assert_eq!(put.says(), "500 UNKNOWN", "{state}");
        assert_eq!(mona.blob("mona/app", &sha256("hello")).await, None);
        assert_eq!(mona.delete(&session).await.says(), "204", "{state}: its owner can end it");
    }
    // Nothing else suffered.
    mona.push_blob("mona/app", "hello").await;
}

/// CVE-2026-4404 (Harbor): everyone knew the first password.
#[tokio::test]
async fn cve_2026_4404_the_first_administrators_token_is_random_and_there_is_no_password() {
    let (one, two) = (House::new().await, House::new().await);
    let Shows::Basic { password, .. } = &one.admin.shows else { panic!("a token") };
    assert!(packhouse_service::is_well_formed(password));
    assert_ne!(one.admin.token.secret, two.admin.token.secret);
    assert_eq!(one.admin.get("/v2/").await.says(), "200");
    assert_eq!(two.basic("admin", password).get("/v2/").await.says(), "401 UNAUTHORIZED");
    for guess in ["admin", "password", "Harbor12345", "packhouse", "changeme", "1"] {
        assert_eq!(one.basic("admin", guess).get("/v2/").await.says(), "401 UNAUTHORIZED");
    }
}

/// zot, hardening of April 2026: `Access-Control-Allow-Origin: *` beside credentials.
#[tokio::test]
async fn zot_cors_other_sites_scripts_are_told_nothing() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    mona.push("mona/app", "1", &index(&[])).await;
    for method in [http::Method::OPTIONS, http::Method::GET] {
        for target in ["/v2/", "/token", "/v2/_catalog", "/v2/mona/app/manifests/1", "/v2/mona/app/tags/list"]
        {
            let ask = mona.ask(method.clone(), target).header("origin", "https://attacker.test");
            let answer = ask.header("access-control-request-method", "GET").await;
            assert_eq!(answer.status, if method == "GET" { 200 } else { 405 });
            let cors = answer.headers.keys().find(|name| name.as_str().starts_with("access-control"));
            assert_eq!(cors, None, "{target}");
        }
    }
}

/// Harbor #23675: names that begin like somebody else's, or like one of the house's own.
#[tokio::test]
async fn harbor_23675_a_name_that_begins_like_another_opens_nothing() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    mona.push("mona/app", "1", &index(&[])).await;
    for name in ["mon", "mona-2", "mona.x", "anonymous", "operator", "worker", "packhouse", "admin-2", "1"] {
        let user = house.user(name).await;
        for caller in [&user.caller, &user.bearer(&["repository:mona/app:*"]).await] {
            assert_eq!(caller.get("/v2/mona/app/manifests/1").await.says(), "404 NAME_UNKNOWN", "{name}");
            assert_eq!(caller.post("/v2/mona/new/blobs/uploads/").await.says(), "404 NAME_UNKNOWN", "{name}");
        }
        assert_eq!(user.get("/v2/_catalog").await.list("repositories"), [""; 0], "{name}");
    }
    assert_eq!(house.anonymous().get("/v2/mona/app/manifests/1").await.says(), "401 UNAUTHORIZED");
}

/// Harbor #23418: what comes in a query is a value, never a piece of a statement.
#[tokio::test]
async fn harbor_23418_parameters_are_values() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let subject = image().manifest();
    mona.push("mona/app", "1", &subject).await;
    mona.push("mona/app", "sbom", &image().subject(&subject).layer("x").manifest()).await;
    let before = house.stored();
    let referrers = format!("/v2/mona/app/referrers/{}", subject.digest());
    assert_eq!(mona.get(&referrers).await.list("manifests").len(), 1);
    for kind in ["'OR'1'='1", "x')/**/OR/**/1=1--", "%25", "_", "';DELETE/**/FROM/**/tags;--", "*"] {
        let answer = mona.get(&format!("{referrers}?artifactType={kind}")).await;
        assert_eq!(answer.list("manifests"), [""; 0], "{kind}");
    }
    for last in ["%25", "'", "1'OR'1'='1"] {
        assert_eq!(mona.get(&format!("/v2/mona/app/tags/list?last={last}")).await.says(), "400 TAG_INVALID");
    }
    assert_same(&before, &house.stored(), "odd parameters");
}

/// angos 1.4.5: who guesses user names must not see by the work which ones there are, or what became of a token.
#[tokio::test]
async fn angos_145_all_bad_credentials_are_alike_in_answer_and_work() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let revoked = house.token("mona", &["read:packages"]).await;
    let expired = house.token_until("mona", &["read:packages"], Some(1)).await;
    let suspended = house.user("suspended").await;
    house.revoke(&revoked).await;
    house.suspend("suspended").await;
    house.wait(1);
    mona.push("mona/app", "1", &index(&[])).await;
    let never = "phr_0000000000000000000000000000000000000";
    let callers: [(&str, Caller); 6] = [
        ("nobody's name", house.basic("nobody", never)),
        ("somebody's name", house.basic("mona", never)),
        ("the administrator's name", house.basic("admin", never)),
        ("revoked", revoked.caller),
        ("expired", expired.caller),
        ("suspended", suspended.caller),
    ];
    for target in
        ["/v2/", "/token?scope=repository:mona/app:pull", "/v2/mona/app/manifests/1", "/v2/_catalog"]
    {
        let mut all = Vec::new();
        for (who, caller) in &callers {
            house.statements();
            let answer = caller.get(target).await;
            assert_eq!(answer.says(), "401 UNAUTHORIZED", "{who}");
            all.push((answer.seen(), house.statements()));
        }
        assert!(all.iter().all(|traces| *traces == all[0]), "{target}: {all:#?}");
    }
}

/// distribution #3743, #4569: a memory said that a blob is there, and a push "succeeded" without bytes.
#[tokio::test]
async fn distribution_3743_a_push_asks_what_is_stored_and_no_memory_of_it() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let image = image().layer("one").manifest();
    mona.push("mona/app", "1", &image).await;
    let blob = format!("/v2/mona/app/blobs/{}", sha256("one"));
    for _ in 0..3 {
        assert_eq!(mona.head(&blob).await.status, 200);
        assert_eq!(mona.get(&blob).await.status, 200);
    }
    assert_eq!(mona.delete(&blob).await.says(), "202");
    assert_eq!(mona.put_manifest("mona/app", "2", &image).await.says(), "400 MANIFEST_BLOB_UNKNOWN");
    let mount = format!("/v2/mona/new/blobs/uploads/?mount={}", sha256("one"));
    assert_eq!(mona.post(&mount).await.says(), "202");
    assert_eq!(mona.post(&format!("{mount}&from=mona/app")).await.says(), "202");
}

/// distribution #4713: cleaning up fell over what it did not expect in its folders.
#[tokio::test]
async fn distribution_4713_garbage_among_the_blobs_disturbs_nobody() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let folder = house.blobs_folder();
    let odd = [folder.join("odd"), folder.join("00").join("odd"), folder.join("00").join("0".repeat(32))];
    for path in &odd {
        std::fs::write(path, "garbage").unwrap();
    }
    std::fs::create_dir(folder.join("00").join("folder")).unwrap();
    let session = mona.begin("mona/app").await;
    mona.patch(&session).body("hello").await;
    mona.delete(&session).await;
    assert_eq!(house.sweep().await, 1, "what a row names, and nothing else");
    for path in &odd {
        std::fs::remove_file(path).unwrap();
    }
    mona.push_blob("mona/app", "hello").await;
}

/// GitLab #732: manifests that were deleted at once locked each other out.
#[tokio::test]
async fn gitlab_732_many_manifests_are_deleted_at_once() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let images: Vec<_> =
        (0..24).map(|at| image().layer("shared").layer(format!("{at}")).manifest()).collect();
    for (at, image) in images.iter().enumerate() {
        mona.push("mona/app", &format!("t{at}"), image).await;
    }
    let all = index(&images.iter().collect::<Vec<_>>());
    mona.push("mona/app", "all", &all).await;
    let targets =
        images.iter().chain([&all]).map(|image| format!("/v2/mona/app/manifests/{}", image.digest()));
    let deletes: Vec<_> = targets.map(|target| tokio::spawn(mona.delete(&target).into_future())).collect();
    for delete in deletes {
        assert_eq!(delete.await.unwrap().says(), "202");
    }
    assert_eq!(mona.get("/v2/mona/app/tags/list").await.says(), "404 NAME_UNKNOWN");
}

/// artifact-keeper #1408: four fifths of its blobs had leaked. What is not a blob in the end goes, to the last file.
#[tokio::test]
async fn artifact_keeper_1408_what_was_not_finished_is_not_kept() {
    let house = House::with(|plan| plan.settings.layer_bytes_max = 100).await;
    let mona = house.user("mona").await;
    let kept = image().config("kept").manifest();
    for package in ["mona/app", "mona/other"] {
        mona.push(package, "v1", &kept).await;
    }
    for _ in 0..2 {
        mona.push_blob("mona/app", "kept").await;
        mona.push_blob("mona/other", "kept").await;
        mona.post_blob("mona/app", &sha256("other"), "wrong").await;
        mona.post(&format!("/v2/mona/app/blobs/uploads/?digest={}", sha256("x"))).chunked(vec![0; 101]).await;
        let cancelled = mona.begin("mona/app").await;
        mona.patch(&cancelled).body("cancelled").await;
        mona.delete(&cancelled).await;
        let forgotten = mona.begin("mona/app").await;
        mona.patch(&forgotten).body("forgotten").await;
        mona.begin("mona/app").await;
    }
    house.wait(8 * 24 * 3600);
    house.sweep().await;
    assert_eq!(house.files(), 1);
    assert_eq!(house.count("SELECT count(*) FROM uploads") + house.count("SELECT count(*) FROM trash"), 0);
    assert_eq!(mona.blob("mona/other", &sha256("kept")).await.unwrap(), b"kept");
}

/// angos's change log: an append that failed had written its bytes, and they were promoted.
#[tokio::test]
async fn angos_bytes_of_a_part_that_was_refused_are_never_in_the_blob() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let session = mona.begin("mona/app").await;
    mona.patch(&session).body("hello, ").await;
    // Ten bytes came of nine that were announced; they lie in the file, and nowhere else.
    let refused = mona.patch(&session).header("content-range", "7-15").chunked("XXXXXXXXXX").await;
    assert_eq!(refused.says(), "400 SIZE_INVALID");
    let done = mona.put(&format!("{session}?digest={}", sha256("hello, you"))).body("you").await;
    assert_eq!(done.says(), "201");
    assert_eq!(mona.blob("mona/app", &sha256("hello, you")).await.unwrap(), b"hello, you");
}

/// angos's change log: secrets in what is printed for debugging.
#[test]
fn angos_debug_shows_no_secret() {
    let secret = "phr_s3cr3t";
    let mut settings = Settings::new("admin".parse().unwrap());
    settings.admin_token = Some(Secret::given(secret));
    let basic = Shown::Basic { user: secret.to_owned(), password: secret.to_owned() };
    let printed = format!("{settings:?} {basic:?} {:?}", Shown::Bearer(secret.to_owned()));
    assert!(!printed.contains("s3cr3t"), "{printed}");
    assert!(printed.contains("Bearer"), "{printed}");
}

#[tokio::test]
async fn a_client_that_goes_away_loses_nothing_of_what_it_sent() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let session = mona.begin("mona/app").await;
    let (sender, body) = held();
    let writing = tokio::spawn(mona.patch(&session).sending(body.sent()).into_future());
    sender.send("hello");
    sender.asked().await;
    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    // Its connection ends; the work that it had asked for does not.
    sender.break_off();
    let mut range = String::new();
    while range != "0-4" {
        tokio::task::yield_now().await;
        range = mona.get(&session).await.the("range").to_owned();
    }
    let done = mona.put(&format!("{session}?digest={}", sha256("hello, world")));
    let mut done = done.body(", world").await;
    while done.status == 409 {
        // Written down, and not yet let go.
        tokio::task::yield_now().await;
        done = mona.put(&format!("{session}?digest={}", sha256("hello, world"))).body(", world").await;
    }
    assert_eq!(done.says(), "201");
}
