//! Immutable and protected tags, at every door that the protocol has to a tag.
//!
//! The lessons: PROJQUAY-10504 (an immutable tag was removed by deleting its digest), CVE-2026-31801 (zot: who could
//! make could overwrite), CVE-2026-41888 (distribution: deleting by tag was not asked about).

use crate::content::{DOCKER_MANIFEST, Manifest, image, index, sha256};
use crate::house::{House, Person};
use crate::stored::assert_same;
use packhouse_service::operator::{Command, RuleCommand};

const APP: &str = "mona/app";

async fn rule(house: &House, of: &str, hold: &str, role: Option<&str>) {
    let command = RuleCommand::Create {
        of: of.to_owned(),
        hold: hold.to_owned(),
        role: role.map(str::to_owned),
        pattern: "v*".to_owned(),
        except: vec!["v0*".to_owned()],
        allow_package_deletion: false,
    };
    house.operate(Command::Rules(command)).await;
}

/// A house with an index of an image, tagged `v1`, and somebody with the role write.
async fn stage() -> (House, Person, Person, Manifest, Manifest) {
    let house = House::new().await;
    let (mona, hubot) = (house.user("mona").await, house.user("hubot").await);
    // Without a media type of its own, so that it can be pushed as something else.
    let mut one = image().layer("one").manifest();
    let mut json: serde_json::Value = serde_json::from_slice(&one.bytes).unwrap();
    json.as_object_mut().unwrap().remove("mediaType");
    one.bytes = json.to_string().into_bytes();
    mona.push(APP, &one.digest(), &one).await;
    let all = index(&[&one]);
    mona.push(APP, "v1", &all).await;
    mona.push(APP, "v0.1", &one).await;
    house.grant(APP, "hubot", "write").await;
    (house, mona, hubot, one, all)
}

/// Every way of the protocol to change `v1`, or what it leads to: the answer of each.
async fn doors(by: &Person, one: &Manifest, all: &Manifest) -> Vec<(&'static str, String)> {
    let other = index(&[]);
    let docker = Manifest { media_type: DOCKER_MANIFEST.to_owned(), ..one.clone() };
    let at = |what: &str| format!("/v2/{APP}/{what}");
    vec![
        ("push by tag", by.put_manifest(APP, "v1", &other).await.says()),
        ("push with ?tag=", by.put_manifest(APP, &format!("{}?tag=v1", other.digest()), &other).await.says()),
        (
            "push among others",
            by.put_manifest(APP, &format!("{}?tag=x&tag=v1", other.digest()), &other).await.says(),
        ),
        ("push the child as something else", by.put_manifest(APP, &one.digest(), &docker).await.says()),
        ("delete the tag", by.delete(&at("manifests/v1")).await.says()),
        ("delete its manifest", by.delete(&at(&format!("manifests/{}", all.digest()))).await.says()),
        ("delete a child", by.delete(&at(&format!("manifests/{}", one.digest()))).await.says()),
        ("delete a layer", by.delete(&at(&format!("blobs/{}", sha256("one")))).await.says()),
    ]
}

#[tokio::test]
async fn an_immutable_tag_is_changed_through_no_door() {
    for of in [APP, "mona"] {
        let (house, mona, hubot, one, all) = stage().await;
        rule(&house, of, "immutable", None).await;
        for by in [&mona, &hubot] {
            let before = house.stored();
            for (door, says) in doors(by, &one, &all).await {
                assert_eq!(says, "403 DENIED", "{door}");
            }
            assert_same(&before, &house.stored(), "what was tried");
            // What changes nothing is well.
            assert_eq!(by.put_manifest(APP, "v1", &all).await.says(), "201");
            assert_eq!(by.put_manifest(APP, &format!("{}?tag=v1", all.digest()), &all).await.says(), "201");
        }
        assert_eq!(mona.get(&format!("/v2/{APP}/manifests/v1")).await.body, all.bytes);
        // A new tag is made once; exceptions are let go.
        assert_eq!(hubot.put_manifest(APP, "v2", &all).await.says(), "201");
        assert_eq!(hubot.put_manifest(APP, "v2", &index(&[])).await.says(), "403 DENIED");
        assert_eq!(hubot.put_manifest(APP, "v0.1", &all).await.says(), "201");
        assert_eq!(mona.delete(&format!("/v2/{APP}/manifests/v0.1")).await.says(), "202");
    }
}

#[tokio::test]
async fn a_protected_tag_takes_its_role() {
    for (role, mona_says, hubot_says) in
        [("write", "201", "201"), ("admin", "201", "403 DENIED"), ("nobody", "403 DENIED", "403 DENIED")]
    {
        let (house, mona, hubot, _, all) = stage().await;
        rule(&house, APP, "protected", Some(role)).await;
        for (by, wanted) in [(&hubot, hubot_says), (&mona, mona_says)] {
            assert_eq!(by.put_manifest(APP, "v1", &index(&[])).await.says(), wanted, "move {role}");
            assert_eq!(by.put_manifest(APP, "v9", &all).await.says(), wanted, "make {role}");
        }
        let gone = mona.delete(&format!("/v2/{APP}/manifests/v1")).await.says();
        assert_eq!(gone, if role == "nobody" { "403 DENIED" } else { "202" }, "{role}");
    }
}

#[tokio::test]
async fn a_refusal_names_the_tag_and_the_rule() {
    let (house, mona, ..) = stage().await;
    rule(&house, "mona", "immutable", None).await;
    let answer = mona.put_manifest(APP, "v1", &index(&[])).await;
    let error = answer.json()["errors"][0].clone();
    assert_eq!((error["code"].as_str(), error["detail"].as_str()), (Some("DENIED"), Some("v1")), "{answer}");
    let message = error["message"].as_str().unwrap();
    for part in ["`v1`", "immutable", "rule 1 of `mona`", "`v*`", "push under another tag"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

/// A rule that ended holds nothing.
#[tokio::test]
async fn a_rule_that_is_removed_lets_go() {
    let (house, mona, _, one, all) = stage().await;
    rule(&house, APP, "immutable", None).await;
    house.operate(Command::Rules(RuleCommand::Remove { of: APP.to_owned(), id: 1 })).await;
    assert_eq!(mona.put_manifest(APP, "v1", &index(&[])).await.says(), "201");
    for digest in [all.digest(), one.digest()] {
        assert_eq!(mona.delete(&format!("/v2/{APP}/manifests/{digest}")).await.says(), "202");
    }
}
