//! An old registry with something of everything, pushed there by real clients.

use crate::scene::Scene;
use packhouse_tests::image::Parcel;
use packhouse_tests::{Artifact, Distribution, Image, Index};
use std::collections::BTreeMap;

/// What is in it.
pub(crate) struct Old {
    pub(crate) registry: Distribution,
    /// `team/web/app:v1` and `:latest`, by skopeo, with every platform.
    pub(crate) index: Index,
    /// `team/web/app`, by digest only.
    pub(crate) untagged: Image,
    /// `team/tool:v1`, with the layers of `team/web/app`'s first image, by crane.
    pub(crate) image: Image,
    /// A signature of `team/tool:v1`, as cosign tags it, by oras.
    pub(crate) signature: Artifact,
    /// An SBOM of `team/tool:v1`: a referrer by its subject, which this registry lists only under a tag.
    pub(crate) bill: Artifact,
}

/// The tag under which clients keep what refers to a digest.
pub(crate) fn tag_of(digest: &str, suffix: &str) -> String {
    digest.replace(':', "-") + suffix
}

impl Old {
    #[track_caller]
    pub(crate) fn fill(scene: &Scene) -> Self {
        let registry = Distribution::start();
        let user = registry.user();
        let desk = scene.desk();
        let there = |path: &str| format!("{}/{path}", registry.address());
        let words = ["login", registry.address(), "-u", &user.name, "--password-stdin"];
        scene.client("crane", ["auth"]).args(words).stdin(user.token.as_str()).succeeds();

        let index = Index::of_two_platforms();
        index.write_oci_layout(&desk.join("index"), "v1");
        let target = format!("docker://{}", there("team/web/app:v1"));
        let words = ["copy", "--all", "--dest-tls-verify=false", "oci:index:v1", &target];
        scene.client("skopeo", words).succeeds();
        scene.client("crane", ["tag", &there("team/web/app:v1"), "latest"]).succeeds();
        let untagged = Image::random(50_000);
        registry.caller().push("team/web/app", &untagged.manifest.digest, &untagged);

        let image = index.images[0].clone();
        image.write_oci_layout(&desk.join("image"), "v1");
        scene.client("crane", ["push", "image", &there("team/tool:v1")]).succeeds();
        let signature = Artifact::new("application/vnd.dev.cosign.artifact.sig.v1+json", None);
        signature.write_oci_layout(&desk.join("signature"), "sig");
        let tag = there(&format!("team/tool:{}", tag_of(image.digest(), ".sig")));
        scene
            .client("oras", ["cp", "--from-oci-layout", "--to-plain-http", "signature:sig", &tag])
            .succeeds();
        let bill = Artifact::new("application/spdx+json", Some(&image.manifest));
        bill.write_oci_layout(&desk.join("bill"), "bill");
        // A registry without the referrers API: oras keeps the list of them under a tag.
        let file = desk.join("bill.json");
        std::fs::write(file, "{}").unwrap();
        let kind = "--artifact-type=application/vnd.example.seal";
        let words = ["attach", "--plain-http", kind, &there("team/tool:v1"), "bill.json"];
        scene.client("oras", words).succeeds();
        registry.caller().push("team/tool", bill.digest(), &bill);

        // A chart: what it is does not matter to a registry, that its types come back does.
        scene.client("helm4", ["create", "chart"]).succeeds();
        scene.client("helm4", ["package", "chart"]).succeeds();
        let login = ["registry", "login", "--plain-http", registry.address(), "-u", &user.name];
        scene.client("helm4", login).args(["--password-stdin"]).stdin(user.token.as_str()).succeeds();
        let charts = format!("oci://{}/team/charts", registry.address());
        scene.client("helm4", ["push", "--plain-http", "chart-0.1.0.tgz", &charts]).succeeds();
        Self { registry, index, untagged, image, signature, bill }
    }

    /// Each tag of each repository, with its digest, as crane sees them.
    #[track_caller]
    pub(crate) fn tags(&self, scene: &Scene) -> BTreeMap<(String, String), String> {
        let mut found = BTreeMap::new();
        let address = self.registry.address();
        let repositories = scene.client("crane", ["catalog", address]).succeeds();
        for repository in repositories.text().lines() {
            let name = format!("{address}/{repository}");
            for tag in scene.client("crane", ["ls", &name]).succeeds().text().lines() {
                let digest = scene.client("crane", ["digest", &format!("{name}:{tag}")]).succeeds();
                let key = (repository.to_owned(), tag.to_owned());
                found.insert(key, digest.text().trim().to_owned());
            }
        }
        assert!(found.len() >= 6, "the old registry has too little: {found:?}");
        found
    }

    /// All of it is in the new house, below `octo/`.
    #[track_caller]
    pub(crate) fn is_here(&self, scene: &Scene) {
        let (old, new) = (self.registry.caller(), scene.mona_looks());
        for ((repository, tag), digest) in self.tags(scene) {
            let package = format!("octo/{repository}");
            assert_eq!(new.digest_of(&package, &tag), digest, "{package}:{tag}");
            assert_eq!(new.contents(&package, &tag), old.contents(&repository, &tag), "{package}:{tag}");
        }
        scene.holds("octo/team/web/app", "v1", &self.index);
        scene.holds("octo/team/tool", "v1", &self.image);
        scene.holds("octo/team/tool", &tag_of(self.image.digest(), ".sig"), &self.signature);
    }
}
