//! Layouts that were made to be read, and some that were not.

use super::*;
use http_body_util::BodyExt;
use packhouse_oci::Algorithm;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn entry(bytes: &[u8], name: Option<&str>) -> serde_json::Value {
    let digest = Digest::of(Algorithm::Sha256, bytes).to_string();
    let mut entry = json!({ "mediaType": MANIFEST, "digest": digest, "size": bytes.len() });
    if let Some(name) = name {
        entry["annotations"] = json!({ REF_NAME: name });
    }
    entry
}

fn index(entries: &[serde_json::Value]) -> String {
    json!({ "schemaVersion": 2, "manifests": entries }).to_string()
}

type Files<'f> = &'f [(&'f str, &'f [u8])];

/// Files by name, as a folder and as a tar.
fn both(files: Files<'_>) -> (tempfile::TempDir, [PathBuf; 2]) {
    let desk = tempfile::tempdir().unwrap();
    let (folder, archive) = (desk.path().join("folder"), desk.path().join("layout.tar"));
    let mut tar = tar::Builder::new(File::create(&archive).unwrap());
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, format!("./{name}"), *bytes).unwrap();
    }
    tar.finish().unwrap();
    (desk, [folder, archive])
}

const MARK: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);

#[tokio::test]
async fn a_folder_and_a_tar_say_the_same() {
    let (one, two) = (b"one".as_slice(), b"two".as_slice());
    let list = index(&[
        entry(one, Some("v1")),
        entry(two, Some("docker.io/library/app:v2")),
        entry(two, None),
        entry(two, Some("no tag at all")),
    ]);
    let names =
        [one, two].map(|bytes| format!("blobs/sha256/{}", Digest::of(Algorithm::Sha256, bytes).hex()));
    let files = [MARK, ("index.json", list.as_bytes()), (&names[0], one), (&names[1], two)];
    let (_desk, places) = both(&files);
    for place in places {
        let layout = Layout::open(&place).unwrap();
        let images = layout.images().await.unwrap().items;
        let tags: Vec<_> = images.iter().filter_map(|image| Some(image.tag.as_ref()?.to_string())).collect();
        assert_eq!((images.len(), tags), (6, vec!["v1".to_owned(), "v2".to_owned()]));
        let digest = Digest::of(Algorithm::Sha256, one);
        assert_eq!(layout.manifest(&digest).await.unwrap().unwrap().bytes, one);
        let blob = layout.blob(&digest, 1).await.unwrap().unwrap();
        assert_eq!(blob.size, Some(3));
        assert_eq!(blob.body.collect().await.unwrap().to_bytes(), "ne");
        assert!(layout.blob(&Digest::of(Algorithm::Sha256, b"three"), 0).await.unwrap().is_none());

        let one = Layout::open(&place).unwrap().one(&"v2".parse().unwrap()).unwrap();
        assert_eq!(one.index.len(), 1);
        let said = Layout::open(&place).unwrap().one(&"v3".parse().unwrap()).unwrap_err().to_string();
        assert!(said.contains("none of them as `v3`"), "{said}");
    }
}

#[test]
fn what_is_none_is_refused_in_words() {
    let list = index(&[entry(b"x", None)]);
    let bomb = "[".repeat(100_000);
    let rows: [(Files<'_>, &str); 7] = [
        (&[("x", b"")], "no file `oci-layout`"),
        (&[MARK], "no file `index.json`"),
        (&[("oci-layout", b"{}"), ("index.json", list.as_bytes())], "imageLayoutVersion"),
        (&[("oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#), ("index.json", b"{}")], "version is `2.0.0`"),
        (&[MARK, ("index.json", b"{}")], "schemaVersion"),
        (&[MARK, ("index.json", bomb.as_bytes())], "index.json"),
        (&[MARK, ("index.json", br#"{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":1,"digest":"../../etc/passwd"}]}"#)], "digest"),
    ];
    for (files, why) in rows {
        let (_desk, places) = both(files);
        for place in places {
            let said = Layout::open(&place).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}

#[tokio::test]
async fn links_and_holes_are_not_followed() {
    let digest = Digest::of(Algorithm::Sha256, b"secret");
    let name = format!("blobs/sha256/{}", digest.hex());
    let list = index(&[entry(b"secret", None)]);
    let (desk, [folder, _]) = both(&[MARK, ("index.json", list.as_bytes())]);
    fs::write(desk.path().join("secret"), "secret").unwrap();
    fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    symlink(desk.path().join("secret"), folder.join(&name)).unwrap();
    let layout = Layout::open(&folder).unwrap();
    assert!(matches!(layout.manifest(&digest).await, Err(SourceError::Link { .. })));

    // A tar with links of both kinds, a file that goes beyond its end, and names that lead out.
    let path = desk.path().join("evil.tar");
    let mut tar = tar::Builder::new(File::create(&path).unwrap());
    let mut add = |name: &str, kind: tar::EntryType, size: u64, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_link_name("../../secret").unwrap();
        header.set_size(size);
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    };
    add(MARK.0, tar::EntryType::Regular, MARK.1.len() as u64, MARK.1);
    add("index.json", tar::EntryType::Regular, list.len() as u64, list.as_bytes());
    add(&name, tar::EntryType::Symlink, 0, b"");
    add(&name, tar::EntryType::Link, 0, b"");
    add("../../secret", tar::EntryType::Regular, 3, b"abc");
    add(&name, tar::EntryType::Regular, 1 << 40, b"short");
    drop(tar);
    let layout = Layout::open(&path).unwrap();
    assert!(layout.manifest(&digest).await.unwrap().is_none());
    assert!(layout.blob(&digest, 0).await.unwrap().is_none());
}

#[test]
fn compressed_tars_and_noise_are_refused() {
    let desk = tempfile::tempdir().unwrap();
    for (bytes, why) in [
        (&b"\x1f\x8b\x08\0\0\0\0\0"[..], "`gzip --decompress`"),
        (b"\x28\xb5\x2f\xfd\0\0\0\0", "`zstd --decompress`"),
        (&[b'x'; 2000], "cannot be read as a tar"),
        (b"", "no file `oci-layout`"),
    ] {
        let path = desk.path().join("file");
        fs::write(&path, bytes).unwrap();
        let said = Layout::open(&path).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    assert!(matches!(Layout::open(Path::new("/dev/null")), Err(SourceError::Kind { .. })));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..3000)) {
        let desk = tempfile::tempdir().unwrap();
        let path = desk.path().join("file");
        fs::write(&path, bytes).unwrap();
        let _ = Layout::open(&path);
    }
}
