//! GHCR's worst trap: whoever deletes "untagged" versions there breaks every multi-arch image. Here each way to do it
//! leaves the image whole.

use packhouse_tests::image::Parcel as _;
use packhouse_tests::{Artifact, Caller, Catalog, House, Image, Index};
use serde_json::Value;

const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const ATTESTATION: &str = "application/vnd.in-toto+json";

struct Stage {
    house: House,
    door: Caller,
    image: Index,
    signature: Artifact,
    attestation: Artifact,
    lonely: Image,
}

/// An image of three platforms with a signature and an attestation, and an untagged image beside it.
fn stage(catalog: Catalog) -> Stage {
    let house = House::builder().catalog(catalog).start();
    house.operator(["user", "create", "mona"]);
    let mona = house.token("mona", "repo,read:org,read:packages,write:packages,delete:packages");
    let door = house.caller(&mona);
    let image = Index::over(["amd64", "arm64", "arm"].map(Image::busybox_for).to_vec());
    door.push("mona/app", "v1", &image);
    let signature = Artifact::new(SIGNATURE, Some(image.root()));
    door.push("mona/app", &signature.manifest.digest, &signature);
    let attestation = Artifact::new(ATTESTATION, Some(&image.images[0].manifest));
    door.push("mona/app", &attestation.manifest.digest, &attestation);
    let lonely = Image::random(1000);
    door.push("mona/app", &lonely.manifest.digest, &lonely);
    Stage { house, door, image, signature, attestation, lonely }
}

impl Stage {
    fn versions(&self, query: &str) -> Vec<Value> {
        let answer = self.door.get(&format!("/api/v3/users/mona/packages/container/app/versions?{query}"));
        assert_eq!(answer.status, 200, "{answer}");
        answer.json().as_array().expect("a list").clone()
    }

    fn delete(&self, version: &Value) -> packhouse_tests::Answer {
        self.door.delete(&format!("/api/v3/users/mona/packages/container/app/versions/{}", version["id"]))
    }

    /// Every platform, and what is said about the image, can be pulled.
    #[track_caller]
    fn assert_whole(&self, reference: &str) {
        assert_eq!(self.door.contents("mona/app", reference), self.image.contents());
        for (artifact, subject) in
            [(&self.signature, self.image.root()), (&self.attestation, &self.image.images[0].manifest)]
        {
            let digest = &artifact.manifest.digest;
            assert_eq!(self.door.contents("mona/app", digest), artifact.contents());
            let about = self.door.get(&format!("/v2/mona/app/referrers/{}", subject.digest)).json();
            assert_eq!(about["manifests"][0]["digest"], digest.as_str(), "{about}");
        }
    }
}

fn untagged(version: &Value) -> bool {
    version["metadata"]["container"]["tags"].as_array().is_none_or(Vec::is_empty)
}

fn every_way_to_delete_the_untagged_leaves_the_image_whole(catalog: Catalog) {
    let stage = stage(catalog);

    // As actions/delete-package-versions and its kin do it: list all, delete what has no tag.
    let listed = stage.versions("per_page=100");
    let names: Vec<&str> = listed.iter().filter_map(|version| version["name"].as_str()).collect();
    assert_eq!(
        names,
        [&stage.lonely.manifest.digest, &stage.image.root().digest],
        "newest first, without parts"
    );
    for version in listed.iter().filter(|version| untagged(version)) {
        assert_eq!(stage.delete(version).status, 204);
    }
    stage.assert_whole("v1");
    assert_eq!(stage.versions("").len(), 1, "what was really untagged is gone");

    // With the parts on the list, each is refused by its number, with its whole named.
    let all = stage.versions("include=parts&per_page=100");
    let parts: Vec<&Value> = all.iter().filter(|version| untagged(version)).collect();
    assert_eq!(parts.len(), 5, "three platforms, a signature, an attestation: {all:?}");
    for part in parts {
        let refused = stage.delete(part);
        assert_eq!(refused.status, 422, "{refused}");
        let message = refused.json()["message"].as_str().unwrap_or_default().to_owned();
        let wholes = [&stage.image.root().digest, &stage.image.images[0].manifest.digest];
        assert!(wholes.iter().any(|whole| message.contains(whole.as_str())), "{message}");
    }
    stage.assert_whole("v1");

    // A second index that takes the tag leaves the first one a whole of its own, which still can be pulled.
    let other = Index::over(["amd64", "arm64"].map(Image::busybox_for).to_vec());
    stage.door.push("mona/app", "v1", &other);
    stage.assert_whole(&stage.image.root().digest.clone());

    // Deleting the whole takes its parts along, and restoring it brings them back.
    let old =
        stage.versions("").into_iter().find(|version| version["name"] == stage.image.root().digest.as_str());
    let old = old.expect("the untagged index is listed");
    assert_eq!(stage.delete(&old).status, 204);
    for digest in stage.image.manifests().iter().map(|manifest| &manifest.digest) {
        assert_eq!(stage.door.get(&format!("/v2/mona/app/manifests/{digest}")).status, 404, "{digest}");
    }
    let restored = stage.door.send_bytes(
        "POST",
        &format!("/api/v3/users/mona/packages/container/app/versions/{}/restore", old["id"]),
        "application/json",
        b"",
    );
    assert_eq!(restored.status, 204, "{restored}");
    stage.assert_whole(&stage.image.root().digest.clone());
    assert_eq!(stage.door.contents("mona/app", "v1"), other.contents());

    // Deleting and restoring the package as well.
    assert_eq!(stage.door.delete("/api/v3/user/packages/container/app").status, 204);
    assert_eq!(stage.door.get("/v2/mona/app/manifests/v1").status, 404);
    let restored =
        stage.door.send_bytes("POST", "/api/v3/user/packages/container/app/restore", "application/json", b"");
    assert_eq!(restored.status, 204, "{restored}");
    stage.assert_whole(&stage.image.root().digest.clone());
    drop(stage.house);
}

#[test]
fn every_way_to_delete_the_untagged_leaves_the_image_whole_on_sqlite() {
    every_way_to_delete_the_untagged_leaves_the_image_whole(Catalog::Sqlite);
}

#[test]
fn every_way_to_delete_the_untagged_leaves_the_image_whole_on_postgres() {
    every_way_to_delete_the_untagged_leaves_the_image_whole(Catalog::Postgres);
}
