//! Trees as distribution writes them, and as nobody should.

use super::*;
use crate::SourceError;
use http_body_util::BodyExt;
use packhouse_oci::Algorithm;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

struct Made {
    folder: TempDir,
}

impl Made {
    fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(made.at("repositories")).unwrap();
        made
    }

    fn at(&self, below: &str) -> std::path::PathBuf {
        self.folder.path().join("docker/registry/v2").join(below)
    }

    fn write(&self, below: &str, bytes: impl AsRef<[u8]>) {
        let path = self.at(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        let hex = digest.hex();
        self.write(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]), bytes);
        digest
    }

    fn layer(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = self.blob(bytes);
        self.write(
            &format!("repositories/{repository}/_layers/sha256/{}/link", digest.hex()),
            digest.to_string(),
        );
        digest
    }

    fn revision(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = self.blob(bytes);
        let link = format!("repositories/{repository}/_manifests/revisions/sha256/{}/link", digest.hex());
        self.write(&link, digest.to_string());
        digest
    }

    fn tag(&self, repository: &str, tag: &str, link: &str) {
        self.write(&format!("repositories/{repository}/_manifests/tags/{tag}/current/link"), link);
    }

    fn tree(&self) -> Tree {
        Tree::open(self.folder.path()).unwrap()
    }
}

/// All repositories, by pages that begin anew behind each single one as well.
async fn repositories(tree: &Tree) -> Vec<String> {
    let all = tree.repositories(None).await.unwrap();
    assert_eq!(all.next, None);
    for (at, name) in all.items.iter().enumerate() {
        let rest = tree.repositories(Some(name)).await.unwrap();
        assert_eq!(rest.items, all.items[at + 1..], "behind {name}");
    }
    all.items
}

async fn images(tree: &Tree, repository: &str) -> Vec<(String, Result<String, String>)> {
    let (mut page, mut found) = (None, Vec::new());
    loop {
        let read = tree.images(repository, page.as_deref()).await.unwrap();
        found.extend(read.items.into_iter().map(|image| {
            let manifest = image.manifest.map(|reference| reference.to_string());
            (image.key, manifest.map_err(|error| error.to_string()))
        }));
        match read.next {
            Some(next) => page = Some(next),
            None => return found,
        }
    }
}

#[tokio::test]
async fn repositories_lie_in_one_another() {
    let made = Made::new();
    for name in ["b", "a/b/c", "a", "a-b", "a/b", "z/y/x/w"] {
        made.revision(name, name.as_bytes());
    }
    // Uploads alone make no repository, nor does a file.
    made.write("repositories/half/_uploads/1/data", "x");
    made.write("repositories/README", "x");
    assert_eq!(repositories(&made.tree()).await, ["a", "a/b", "a/b/c", "a-b", "b", "z/y/x/w"]);
    for below in ["docker", "docker/registry", "docker/registry/v2"] {
        let tree = Tree::open(&made.folder.path().join(below)).unwrap();
        assert_eq!(repositories(&tree).await.len(), 6, "{below}");
    }
}

#[tokio::test]
async fn pages_cover_all() {
    let made = Made::new();
    for number in 0..PAGE_MAX + 7 {
        fs::create_dir_all(made.at(&format!("repositories/r{number:04}/_manifests"))).unwrap();
        made.tag("r0000", &format!("t{number:04}"), &Digest::of(Algorithm::Sha256, b"x").to_string());
    }
    let tree = made.tree();
    let first = tree.repositories(None).await.unwrap();
    assert_eq!(
        (first.items.len(), first.next.as_deref()),
        (PAGE_MAX, first.items.last().map(String::as_str))
    );
    let second = tree.repositories(first.next.as_deref()).await.unwrap();
    assert_eq!((second.items.len(), second.next), (7, None));
    assert_eq!(images(&tree, "r0000").await.len(), PAGE_MAX + 7);
}

#[tokio::test]
async fn what_is_linked_is_given_and_nothing_else() {
    let made = Made::new();
    let (manifest, layer) = (made.revision("a/b", b"manifest"), made.layer("a/b", b"0123456789"));
    let (deleted, foreign) = (made.blob(b"deleted"), made.layer("other", b"secret"));
    made.tag("a/b", "v1", &manifest.to_string());
    fs::create_dir_all(made.at("repositories/a/b/_manifests/tags/gone/index")).unwrap();
    fs::create_dir_all(made.at(&format!("repositories/a/b/_manifests/revisions/sha256/{}", deleted.hex())))
        .unwrap();
    let tree = made.tree();
    let found: Vec<_> =
        images(&tree, "a/b").await.into_iter().map(|(_, manifest)| manifest.unwrap()).collect();
    assert_eq!(found, [manifest.to_string(), manifest.to_string()]);
    assert_eq!(tree.manifest("a/b", &manifest).await.unwrap().unwrap().bytes, b"manifest");
    assert!(tree.manifest("a/b", &deleted).await.unwrap().is_none());
    assert!(tree.manifest("absent", &manifest).await.unwrap().is_none());

    let blob = tree.blob("a/b", &layer, 3).await.unwrap().unwrap();
    assert_eq!(blob.size, Some(10));
    assert_eq!(blob.body.collect().await.unwrap().to_bytes(), "3456789");
    assert!(tree.blob("a/b", &Digest::of(Algorithm::Sha256, b"none"), 0).await.unwrap().is_none());
    // Its bytes are there, but this repository never had it.
    assert!(matches!(tree.blob("a/b", &foreign, 0).await, Err(SourceError::Unlinked(_))));
}

#[tokio::test]
async fn nothing_leads_out_of_the_tree() {
    let made = Made::new();
    let secret = made.folder.path().join("secret");
    fs::create_dir_all(secret.join("_manifests/tags/v1/current")).unwrap();
    fs::write(secret.join("_manifests/tags/v1/current/link"), "x").unwrap();
    fs::write(secret.join("data"), "secret").unwrap();
    made.revision("good", b"m");
    symlink(&secret, made.at("repositories/linked")).unwrap();
    symlink(secret.join("_manifests"), made.at("repositories/good/_layers")).unwrap();
    let (tree, digest) = (made.tree(), Digest::of(Algorithm::Sha256, b"secret"));
    // It is named, so that its owner hears of it, and then not read.
    assert_eq!(repositories(&tree).await, ["good", "linked"]);
    let link = |found: Result<(), SourceError>| match found.unwrap_err() {
        SourceError::Link { path } => path.file_name().unwrap().to_str().unwrap().to_owned(),
        error => panic!("{error}"),
    };
    assert_eq!(link(tree.images("linked", None).await.map(drop)), "linked");
    let hex = digest.hex();
    fs::create_dir_all(made.at(&format!("blobs/sha256/{}", &hex[..2]))).unwrap();
    symlink(&secret, made.at(&format!("blobs/sha256/{}/{hex}", &hex[..2]))).unwrap();
    assert_eq!(link(tree.blob("good", &digest, 0).await.map(drop)), hex);
    let m = Digest::of(Algorithm::Sha256, b"m");
    assert_eq!(link(tree.blob("good", &m, 0).await.map(drop)), "_layers");

    for name in ["..", "../../..", "good/../good", "/etc", "good//x", "", ".", "good/\0"] {
        assert!(matches!(tree.images(name, None).await, Err(SourceError::Name(_))), "{name}");
        assert!(matches!(tree.manifest(name, &m).await, Err(SourceError::Name(_))), "{name}");
    }
    for page in ["..", "../..", "\0", "/"] {
        assert!(tree.repositories(Some(page)).await.unwrap().items.len() <= 2, "{page}");
    }
}

#[tokio::test]
async fn wrong_links_are_named() {
    let made = Made::new();
    let (right, other) = (made.revision("a", b"right"), Digest::of(Algorithm::Sha256, b"other"));
    made.write(
        &format!("repositories/a/_manifests/revisions/sha256/{}/link", other.hex()),
        right.to_string(),
    );
    made.write("repositories/a/_manifests/revisions/sha256/abc/link", "x");
    made.tag("a", "long", &"x".repeat(5_000));
    made.tag("a", "no-digest", "sha256:../../../etc/passwd");
    made.tag("a", "-bad-name", &right.to_string());
    made.tag("a", "old", &format!("{right}\n"));
    fs::create_dir_all(made.at("repositories/a/_manifests/tags/folder/current/link")).unwrap();
    let said: Vec<_> = images(&made.tree(), "a")
        .await
        .into_iter()
        .map(|(key, found)| match found {
            Ok(digest) => (key.contains(&right.hex()) || key == "t:old") && digest == right.to_string(),
            Err(why) => {
                let expected = match key.as_str() {
                    "t:long" => "has more than 512 bytes",
                    "t:no-digest" => "holds no digest",
                    "t:-bad-name" => "is no name",
                    "t:folder" => "a plain file",
                    key if key.contains(&other.hex()) => "though its name says",
                    _ => "holds no digest",
                };
                why.contains(expected)
            }
        })
        .collect();
    assert_eq!(said, [true; 8]);
}

#[tokio::test]
async fn what_is_not_its_digest_or_too_large_is_refused() {
    let made = Made::new();
    let (damaged, large) = (made.revision("a", b"damaged"), made.revision("a", b"large"));
    let file =
        |digest: &Digest| made.at(&format!("blobs/sha256/{}/{}/data", &digest.hex()[..2], digest.hex()));
    fs::write(file(&damaged), "damages").unwrap();
    let long = fs::File::create(file(&large)).unwrap();
    // A hole: nothing is read of it that is not asked for.
    long.set_len(1 << 40).unwrap();
    let tree = made.tree();
    assert!(matches!(tree.manifest("a", &damaged).await, Err(SourceError::Damaged { .. })));
    assert!(matches!(tree.manifest("a", &large).await, Err(SourceError::Large { .. })));
}

#[tokio::test]
async fn deep_folders_end() {
    let made = Made::new();
    fs::create_dir_all(made.at(&format!("repositories/{}_manifests", "d/".repeat(300)))).unwrap();
    let found = repositories(&made.tree()).await;
    assert_eq!(found.len(), 1);
    // It is given as a name, which is then refused.
    assert_eq!(found[0].matches('d').count(), LEVELS_MAX + 1);
}

#[tokio::test]
async fn no_tree_is_refused_in_words() {
    let empty = tempfile::tempdir().unwrap();
    let said = Tree::open(empty.path()).unwrap_err().to_string();
    assert!(said.contains("docker/registry/v2/repositories") && said.contains("rootdirectory"), "{said}");
    let said = Tree::open(&empty.path().join("absent")).unwrap_err().to_string();
    assert!(said.contains("there is no"), "{said}");
}
