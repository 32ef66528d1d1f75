//! Pulling by the name that a package had before: it leads to the package, and is no second door.

use crate::content::{image, index, sha256};
use crate::house::{House, Person};
use packhouse_service::Shown;

const OLD: &str = "acme/old/name";
const NEW: &str = "acme/new";

/// A private package that was renamed, and its owner.
async fn renamed() -> (House, Person) {
    renamed_in(House::new().await).await
}

async fn renamed_in(house: House) -> (House, Person) {
    let mona = house.user("mona").await;
    house.organization("acme", "mona").await;
    mona.push(OLD, "1.0", &image().layer("one").manifest()).await;
    let shown = Shown::Bearer(mona.token.secret.clone());
    house.service.move_package(&shown, &OLD.parse().unwrap(), &NEW.parse().unwrap()).await.unwrap();
    (house, mona)
}

#[tokio::test]
async fn everything_is_pulled_by_the_old_name_with_a_token_for_it() {
    let (_house, mona) = renamed().await;
    let manifest = image().layer("one").manifest();
    for caller in [mona.bearer(&[&format!("repository:{OLD}:pull")]).await, mona.caller.clone()] {
        assert!(caller.has(OLD, "1.0").await && caller.has(OLD, &manifest.digest()).await);
        assert_eq!(caller.blob(OLD, &sha256("one")).await, Some(b"one".to_vec()));
        assert_eq!(caller.tags(OLD).await, ["1.0"]);
        let referrers = caller.get(&format!("/v2/{OLD}/referrers/{}", manifest.digest())).await;
        assert_eq!(referrers.status, 200);
    }
    // A token for one name is none for the other: it carries what was asked for.
    let bearer = mona.bearer(&[&format!("repository:{OLD}:pull")]).await;
    assert_eq!(bearer.get(&format!("/v2/{NEW}/manifests/1.0")).await.status, 401);
}

#[tokio::test]
async fn nothing_is_changed_by_the_old_name() {
    let (_house, mona) = renamed().await;
    let manifest = image().layer("one").manifest();
    for path in [format!("manifests/{}", manifest.digest()), "manifests/1.0".into()] {
        assert_eq!(mona.delete(&format!("/v2/{OLD}/{path}")).await.says(), "404 NAME_UNKNOWN", "{path}");
    }
    assert!(mona.has(NEW, "1.0").await);
    // A push makes a package there, which ends it.
    mona.push(OLD, "2.0", &index(&[])).await;
    assert_eq!(mona.tags(OLD).await, ["2.0"]);
    assert_eq!(mona.tags(NEW).await, ["1.0"]);
}

#[tokio::test]
async fn a_stranger_gets_by_the_old_name_what_one_gets_for_none() {
    for house in [House::forgetful().await, House::new().await] {
        as_for_none(renamed_in(house).await).await;
    }
}

async fn as_for_none((house, mona): (House, Person)) {
    let stranger = house.user("stranger").await;
    let scope = |name: &str| format!("repository:{name}:pull");
    let bearer = stranger.bearer(&[&scope(OLD), &scope("acme/none/at")]).await;
    for caller in [&bearer, &stranger.caller, &house.anonymous()] {
        for rest in ["manifests/1.0", "tags/list", &format!("blobs/{}", sha256("one"))] {
            let mut traces = Vec::new();
            for name in [OLD, "acme/none/at"] {
                // What is remembered of one is remembered of the other.
                caller.get(&format!("/v2/{name}/{rest}")).await;
                house.statements();
                let answer = caller.get(&format!("/v2/{name}/{rest}")).await;
                traces.push((answer.seen().replace(name, "<name>"), house.statements()));
            }
            assert_eq!(traces[0], traces[1], "{rest}");
        }
    }
    // And by the decision of now: open, it is open by both names; closed, by none.
    house.make(NEW, "public").await;
    assert!(
        stranger.has(OLD, "1.0").await
            && house.anonymous().get(&format!("/v2/{OLD}/tags/list")).await.status == 200
    );
    house.make(NEW, "private").await;
    assert!(!stranger.has(OLD, "1.0").await && mona.has(OLD, "1.0").await);
}
