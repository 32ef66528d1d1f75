//! Referrers (distribution-spec, "Listing Referrers"; end-12), and the fallback tags of older clients.

use crate::content::{Manifest, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, image, index, unknown};
use crate::house::{Caller, House, Person};
use serde_json::{Value, json};

const APP: &str = "mona/app";
const SBOM: &str = "application/vnd.example.sbom";
const SIGNATURE: &str = "application/vnd.example.signature+json";

async fn mona() -> (House, Person, Manifest) {
    let house = House::new().await;
    let mona = house.user("mona").await;
    let subject = image().layer("subject").manifest();
    mona.push(APP, "1.0", &subject).await;
    (house, mona, subject)
}

fn artifact(artifact_type: &str, subject: &Manifest, note: &str) -> Manifest {
    let image = image().subject(subject).with("annotations", json!({ "note": note }));
    image.with("artifactType", json!(artifact_type)).manifest()
}

async fn referrers(caller: &Caller, subject: &Manifest, query: &str) -> Vec<Value> {
    let answer = caller.get(&format!("/v2/{APP}/referrers/{}{query}", subject.digest())).await;
    assert_eq!(answer.says(), "200");
    assert_eq!(answer.the("content-type"), OCI_INDEX, "exactly, or clients think there is no such API");
    let index = answer.json();
    assert_eq!((&index["schemaVersion"], &index["mediaType"]), (&json!(2), &json!(OCI_INDEX)));
    index["manifests"].as_array().unwrap().clone()
}

fn digests(referrers: &[Value]) -> Vec<&str> {
    referrers.iter().map(|referrer| referrer["digest"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_referrer_is_listed_with_what_it_says_of_itself() {
    let (_house, mona, subject) = mona().await;
    let sbom = artifact(SBOM, &subject, "one");
    for blob in &sbom.blobs {
        mona.push_blob(APP, blob).await;
    }
    let answer = mona.put_manifest(APP, &sbom.digest(), &sbom).await;
    assert_eq!(answer.the("oci-subject"), subject.digest());

    let listed = referrers(&mona, &subject, "").await;

    assert_eq!(
        listed,
        [json!({
            "mediaType": OCI_MANIFEST, "digest": sbom.digest(), "size": sbom.bytes.len(),
            "artifactType": SBOM, "annotations": { "note": "one" },
        })]
    );
}

#[tokio::test]
async fn an_image_refers_by_its_configs_type_and_an_index_by_its_own() {
    let (_house, mona, subject) = mona().await;
    let plain = image().subject(&subject).manifest();
    let fields = json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": subject.descriptor(),
    });
    let mut typed = fields.clone();
    typed["artifactType"] = json!(SBOM);
    let (bare, typed) = (Manifest::of(OCI_INDEX, &fields), Manifest::of(OCI_INDEX, &typed));
    for manifest in [&plain, &bare, &typed] {
        mona.push(APP, &manifest.digest(), manifest).await;
    }
    let listed = referrers(&mona, &subject, "").await;
    assert_eq!(digests(&listed), [plain.digest(), bare.digest(), typed.digest()]);
    let of = |at: usize, field: &str| listed[at].get(field).cloned();
    assert_eq!(
        (of(0, "mediaType"), of(0, "artifactType")),
        (Some(json!(OCI_MANIFEST)), Some(json!(OCI_CONFIG)))
    );
    assert_eq!((of(1, "mediaType"), of(1, "artifactType")), (Some(json!(OCI_INDEX)), None));
    assert_eq!((of(2, "mediaType"), of(2, "artifactType")), (Some(json!(OCI_INDEX)), Some(json!(SBOM))));
    assert_eq!(of(2, "annotations"), None);
}

#[tokio::test]
async fn a_filter_is_applied_and_named() {
    let (_house, mona, subject) = mona().await;
    let (sbom, signature) = (artifact(SBOM, &subject, "a"), artifact(SIGNATURE, &subject, "b"));
    mona.push(APP, "sbom", &sbom).await;
    mona.push(APP, "signature", &signature).await;
    let target = format!("/v2/{APP}/referrers/{}", subject.digest());

    let all = mona.get(&target).await;
    assert_eq!(all.header("oci-filters-applied"), None);
    assert_eq!(all.list("manifests"), [sbom.digest(), signature.digest()]);

    let ask = |artifact_type: &str| {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("artifactType", artifact_type)
            .finish();
        mona.get(&format!("{target}?{query}"))
    };
    for (artifact_type, wanted) in
        [(SIGNATURE, vec![signature.digest()]), (SBOM, vec![sbom.digest()]), ("application/other", vec![])]
    {
        let answer = ask(artifact_type).await;
        assert_eq!(answer.the("oci-filters-applied"), "artifactType");
        assert_eq!(answer.list("manifests"), wanted);
    }
    let both = mona.get(&format!("{target}?artifactType={SBOM}&artifactType=application/other")).await;
    assert_eq!(both.list("manifests"), [sbom.digest()]);
}

#[tokio::test]
async fn a_digest_that_nobody_refers_to_has_an_empty_list() {
    let (_house, mona, subject) = mona().await;
    assert!(referrers(&mona, &subject, "").await.is_empty());
    assert!(referrers(&mona, &index(&[]), "").await.is_empty(), "known to nobody");
    // Clients ask before their first push.
    let answer = mona.get(&format!("/v2/mona/new/referrers/{}", unknown())).await;
    assert_eq!(answer.list("manifests"), Vec::<String>::new());
    assert_eq!(
        mona.get("/v2/mona/new/tags/list").await.says(),
        "404 NAME_UNKNOWN",
        "nothing was made by that"
    );
}

#[tokio::test]
async fn a_referrer_may_come_before_its_subject_and_outlive_it() {
    let (_house, mona, _) = mona().await;
    let subject = image().layer("later").manifest();
    let sbom = artifact(SBOM, &subject, "early");
    mona.push(APP, "early", &sbom).await;
    assert_eq!(digests(&referrers(&mona, &subject, "").await), [sbom.digest()]);
    mona.push(APP, "later", &subject).await;
    assert_eq!(mona.delete(&format!("/v2/{APP}/manifests/{}", subject.digest())).await.says(), "202");
    assert_eq!(digests(&referrers(&mona, &subject, "").await), [sbom.digest()]);
    assert!(mona.has(APP, "early").await);
}

#[tokio::test]
async fn a_referrer_that_is_deleted_is_gone_from_the_list_at_once() {
    let (_house, mona, subject) = mona().await;
    let (kept, gone) = (artifact(SBOM, &subject, "kept"), artifact(SBOM, &subject, "gone"));
    mona.push(APP, "kept", &kept).await;
    mona.push(APP, "gone", &gone).await;
    // Taking the tag away does not delete it.
    mona.delete(&format!("/v2/{APP}/manifests/gone")).await;
    assert_eq!(referrers(&mona, &subject, "").await.len(), 2);
    assert_eq!(mona.delete(&format!("/v2/{APP}/manifests/{}", gone.digest())).await.says(), "202");
    assert_eq!(digests(&referrers(&mona, &subject, "").await), [kept.digest()]);
}

#[tokio::test]
async fn referrers_stay_in_their_package() {
    let (_house, mona, subject) = mona().await;
    let sbom = artifact(SBOM, &subject, "elsewhere");
    mona.push("mona/other", "sbom", &sbom).await;
    assert!(referrers(&mona, &subject, "").await.is_empty());
}

/// distribution-spec, "Referrers Tag Schema": what clients of older registries left behind is still found.
#[tokio::test]
async fn the_index_under_the_fallback_tag_is_folded_in() {
    let (_house, mona, subject) = mona().await;
    let by_subject = artifact(SBOM, &subject, "by subject");
    mona.push(APP, &by_subject.digest(), &by_subject).await;
    // Pushed by a client that knows no `subject`.
    let old = image().layer("old signature").with("artifactType", json!(SIGNATURE)).manifest();
    mona.push(APP, &old.digest(), &old).await;
    let lost = image().layer("never pushed").manifest();
    let fallback = index(&[&old, &by_subject, &lost]);
    let tag = subject.digest().replace(':', "-");
    mona.push(APP, &tag, &fallback).await;

    // Each once, and only what is there.
    assert_eq!(digests(&referrers(&mona, &subject, "").await), [by_subject.digest(), old.digest()]);
    let filtered = referrers(&mona, &subject, "?artifactType=application/vnd.example.signature%2Bjson").await;
    assert_eq!(digests(&filtered), [old.digest()]);
    // Taken out of the index, or without the index, it is not found any more.
    mona.delete(&format!("/v2/{APP}/manifests/{tag}")).await;
    assert_eq!(digests(&referrers(&mona, &subject, "").await), [by_subject.digest()]);
}

/// clients.md: containerd reads the first page only, and no client more than 4 MiB of one.
#[tokio::test]
async fn many_referrers_come_in_pages_and_the_links_lead_to_the_end() {
    let (_house, mona, subject) = mona().await;
    let note = "x".repeat(900_000);
    let mut pushed = Vec::new();
    for at in 0..8 {
        let kind = if at % 2 == 0 { SBOM } else { SIGNATURE };
        let artifact = artifact(kind, &subject, &format!("{at}{note}"));
        mona.push(APP, &artifact.digest(), &artifact).await;
        pushed.push((kind, artifact.digest()));
    }
    for (filter, only) in [
        ("", None),
        ("artifactType=application%2Fvnd.example.sbom", Some(SBOM)),
        ("artifactType=application/vnd.example.signature%2Bjson", Some(SIGNATURE)),
    ] {
        let asked = pushed.iter().filter(|(kind, _)| only.is_none_or(|only| only == *kind));
        let wanted: Vec<&String> = asked.map(|(_, digest)| digest).collect();
        let mut found = Vec::new();
        let mut pages = 0;
        let mut next = Some(format!("/v2/{APP}/referrers/{}?{filter}", subject.digest()));
        while let Some(target) = next {
            let answer = mona.get(&target).await;
            assert!(answer.body.len() < 4 << 20, "{} bytes", answer.body.len());
            assert_eq!(answer.header("oci-filters-applied").is_some(), !filter.is_empty(), "on each page");
            found.extend(answer.list("manifests"));
            next = answer.next();
            pages += 1;
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{filter}");
        assert_eq!(pages, wanted.len().div_ceil(3), "{filter}");
    }
}
