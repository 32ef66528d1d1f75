//! Writing layouts, and going on after a stop.

use super::*;
use crate::Layout;
use packhouse_oci::Algorithm;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// The entries of the index: tag and digest.
fn entries(path: &Path) -> Vec<(Option<String>, String)> {
    let bytes = fs::read(path).unwrap();
    let index: Value = serde_json::from_slice(&bytes).unwrap();
    let entry = |entry: &Value| {
        let tag = entry["annotations"][REF_NAME].as_str().map(str::to_owned);
        (tag, entry["digest"].as_str().unwrap().to_owned())
    };
    index["manifests"].as_array().unwrap().iter().map(entry).collect()
}

#[test]
fn a_blob_goes_on_where_it_stopped_and_is_checked_as_a_whole() {
    let desk = tempfile::tempdir().unwrap();
    let (large, small) = (vec![7_u8; 100_000], b"small".to_vec());
    for name in ["layout", "layout.tar"] {
        let path = desk.path().join(name);
        let mut end = None;
        let mut paused = None;
        for piece in large.chunks(30_000) {
            let mut target = Target::open(&path, end).unwrap();
            let growing = target.resume(&digest(&large), 100_000, paused).unwrap();
            let growing = growing.write(piece).unwrap();
            if growing.written() == 100_000 {
                target.finish(growing).unwrap();
                target.put(&digest(&small), &small).unwrap();
                target.put(&digest(&small), &small).unwrap();
                target.name(&digest(&small), 5, MANIFEST, Some(&"v1".parse().unwrap())).unwrap();
                target.close().unwrap();
                break;
            }
            paused = Some(growing.pause());
            assert!(!target.has(&digest(&large), 100_000));
            end = Some(target.end());
        }
        let layout = Layout::open(&path).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(layout.manifest(&digest(&large))).unwrap().unwrap();
        assert_eq!(read.bytes, large, "{name}");
    }
    let listed: Vec<_> = fs::read_dir(desk.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(listed.len(), 2, "nothing is left behind: {listed:?}");
    // The tar is one for others too.
    let mut archive = tar::Archive::new(File::open(desk.path().join("layout.tar")).unwrap());
    let names: Vec<_> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
    let blob = |bytes: &[u8]| PathBuf::from(name_of(&digest(bytes)));
    assert_eq!(names, ["oci-layout".into(), blob(&large), blob(&small), "index.json".into()]);
}

#[test]
fn bytes_that_are_not_their_digest_do_not_stay() {
    let desk = tempfile::tempdir().unwrap();
    for name in ["layout", "layout.tar"] {
        let mut target = Target::open(&desk.path().join(name), None).unwrap();
        let refused = target.put(&digest(b"right"), b"wrong");
        assert!(matches!(refused, Err(TargetError::Damaged { .. })), "{refused:?}");
        assert!(!target.has(&digest(b"right"), 5));
        target.put(&digest(b"right"), b"right").unwrap();
        assert!(target.has(&digest(b"right"), 5));
        target.close().unwrap();
        Layout::open(&desk.path().join(name)).unwrap();
    }
}

#[test]
fn a_pause_that_is_not_true_begins_anew() {
    let desk = tempfile::tempdir().unwrap();
    let mut target = Target::open(&desk.path().join("layout"), None).unwrap();
    let growing = target.begin(&digest(b"0123456789"), 10).unwrap().write(b"0123").unwrap();
    let (_, state) = growing.pause();
    for paused in [(9, state.clone()), (3, state), (4, vec![1, 2, 3])] {
        let growing = target.resume(&digest(b"0123456789"), 10, Some(paused)).unwrap();
        assert_eq!(growing.written(), 0);
        target.finish(growing.write(b"0123456789").unwrap()).unwrap();
    }
}

#[test]
fn the_index_names_each_once() {
    let desk = tempfile::tempdir().unwrap();
    let path = desk.path().join("layout");
    let tag = |name: &str| name.parse::<Tag>().unwrap();
    let (one, two) = (digest(b"one"), digest(b"two"));
    let mut target = Target::open(&path, None).unwrap();
    target.name(&one, 3, MANIFEST, None).unwrap();
    target.name(&one, 3, MANIFEST, Some(&tag("v1"))).unwrap();
    target.name(&one, 3, MANIFEST, None).unwrap();
    target.name(&one, 3, MANIFEST, Some(&tag("latest"))).unwrap();
    // A tag has one manifest.
    target.name(&two, 3, MANIFEST, Some(&tag("latest"))).unwrap();
    drop(target);
    let mut target = Target::open(&path, None).unwrap();
    target.name(&two, 3, MANIFEST, Some(&tag("latest"))).unwrap();
    let (v1, latest) = (Some("v1".to_owned()), Some("latest".to_owned()));
    assert_eq!(entries(&path.join("index.json")), [(v1, one.to_string()), (latest, two.to_string())]);
}

#[test]
fn what_is_there_is_not_written_over() {
    let desk = tempfile::tempdir().unwrap();
    fs::write(desk.path().join("file.tar"), "mine").unwrap();
    fs::create_dir(desk.path().join("folder")).unwrap();
    fs::write(desk.path().join("folder/mine"), "mine").unwrap();
    for name in ["file.tar", "folder"] {
        let refused = Target::open(&desk.path().join(name), None);
        assert!(matches!(refused, Err(TargetError::There { .. })), "{refused:?}");
    }
    assert_eq!(fs::read(desk.path().join("file.tar")).unwrap(), b"mine");
    let refused = Target::open(&desk.path().join("absent/layout"), None);
    assert!(matches!(refused, Err(TargetError::Write { .. })), "{refused:?}");
}
