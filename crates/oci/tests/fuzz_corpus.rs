//! Runs every file of `fuzz-corpus/` through its parser: none may panic, and each is taken or refused as its
//! name says (`….ok` and `….ok.json` are taken). A fuzzer's finding becomes a file there.

#![expect(clippy::unwrap_used, reason = "a test may panic; clippy sees only the functions marked as tests")]

use std::fs;
use std::path::Path;

use packhouse_oci::{
    ContentRange, Digest, Hasher, Manifest, MediaType, PackageName, Reference, Requested, Tag, V2Path,
    requested,
};

/// Calls `run` with name and content of each file of a folder; fewer files than `at_least` are a mistake.
fn each(folder: &str, at_least: usize, mut run: impl FnMut(&str, &[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz-corpus").join(folder);
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        run(path.file_name().unwrap().to_str().unwrap(), &fs::read(&path).unwrap());
        seen += 1;
    }
    assert!(seen >= at_least, "{} has {seen} files, expected {at_least}", folder.display());
}

/// A file whose name says that it is taken.
fn is_good(file: &str) -> bool {
    file.ends_with(".ok") || file.ends_with(".ok.json")
}

/// Headers and paths come as text; what is not UTF-8 never reaches these parsers.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn manifests() {
    let types = [
        None,
        Some(MediaType::OCI_MANIFEST),
        Some(MediaType::OCI_INDEX),
        Some(MediaType::DOCKER_MANIFEST),
        Some(MediaType::DOCKER_LIST),
        Some(MediaType::OCI_CONFIG),
    ];
    each("manifest", 90, |file, bytes| {
        let taken = Manifest::parse(None, bytes);
        assert_eq!(taken.is_ok(), is_good(file), "{file}: {:?}", taken.err());
        for content_type in &types {
            match Manifest::parse(content_type.as_ref(), bytes) {
                Ok(manifest) => {
                    assert!(is_good(file), "{file} is taken as {content_type:?}");
                    let descriptors = manifest.blobs().count() + manifest.manifests.len();
                    assert!(descriptors <= 10_000, "{file}");
                }
                Err(error) => {
                    // What a person reads in a terminal.
                    let message = error.to_string();
                    assert!(message.chars().count() < 600, "{file}: {message}");
                    assert!(!message.contains(char::is_control), "{file}: {message:?}");
                }
            }
        }
    });
}

#[test]
fn paths() {
    each("path", 45, |file, bytes| {
        let path = text(bytes);
        let endpoint = V2Path::parse(&path);
        assert_eq!(endpoint.is_some(), is_good(file), "{file}: {endpoint:?}");
        let Some(endpoint) = endpoint else { return };
        if let Some(Ok(name)) = endpoint.name().map(str::parse::<PackageName>) {
            assert!(!name.as_str().contains(['%', '\\', '\0']) && !name.as_str().contains(".."), "{file}");
        }
        if let V2Path::Manifest { reference, .. } = endpoint
            && let Ok(reference) = reference.parse::<Reference>()
        {
            assert!(!reference.to_string().contains(['/', '%', '\\', '\0']), "{file}");
        }
    });
}

#[test]
fn digests() {
    each("digest", 35, |file, bytes| {
        let digest = text(bytes).parse::<Digest>();
        assert_eq!(digest.is_ok(), is_good(file), "{file}: {digest:?}");
        match digest {
            Ok(digest) => assert_eq!(digest.to_string().as_bytes(), bytes, "{file}"),
            Err(error) => assert!(error.to_string().len() < 200, "{file}: {error}"),
        }
        // The same bytes at the other doors.
        let _ = Digest::from_bytes(bytes);
        assert!(Hasher::resume(bytes).is_err(), "{file}");
        let _ = text(bytes).parse::<Tag>();
        let _ = text(bytes).parse::<MediaType>();
        let _ = text(bytes).parse::<PackageName>();
    });
}

#[test]
fn ranges() {
    each("range", 45, |file, bytes| {
        let header = text(bytes);
        for size in [0, 1, 2000, u64::MAX] {
            if let Requested::Part { first, last } = requested(Some(&header), size) {
                assert!(first <= last && last < size, "{file} of {size}");
            }
        }
        if let Ok(range) = header.parse::<ContentRange>() {
            assert!(file.starts_with("chunk"), "{file}");
            assert!(range.first <= range.last && range.last <= i64::MAX as u64, "{file}");
        }
    });
}
