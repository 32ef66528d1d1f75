//! A store with many blobs, made without a client: files, and the rows that name them.

use packhouse_tests::image::sha256;
use packhouse_tests::{House, Image, User};
use rusqlite::params;
use serde_json::json;

/// Blobs of an image.
pub(crate) const BLOBS: usize = 10;

fn stored(digest: &str) -> Vec<u8> {
    let hex = digest.trim_start_matches("sha256:");
    let bytes = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
    std::iter::once(1).chain(bytes).collect()
}

/// Fills a closed house on SQLite and files with so many images of ten small blobs, all of `mona/stock`, tagged by
/// number. One of them was pushed by `mona`, so the package is there.
pub(crate) fn fill(house: &mut House, mona: &User, images: usize) {
    house.caller(mona).push("mona/stock", "first", &Image::random(100));
    house.close();
    let mut catalog = rusqlite::Connection::open(house.data().join("catalog.sqlite")).unwrap();
    let tx = catalog.transaction().unwrap();
    let package: i64 =
        tx.query_row("SELECT id FROM packages WHERE path = 'mona/stock'", [], |row| row.get(0)).unwrap();
    let mut number = 0_u64;
    for image in 0..images {
        let mut descriptors = Vec::new();
        for at in 0..BLOBS {
            number += 1;
            let bytes =
                format!("blob {at} of image {image} ").repeat(1 + (number % 20) as usize).into_bytes();
            let digest = sha256(&bytes);
            let key = format!("blobs/{:02x}/{number:032x}", number % 256);
            std::fs::write(house.data().join(&key), &bytes).unwrap();
            let size = bytes.len() as i64;
            tx.prepare_cached(
                "INSERT INTO blobs (digest, size, storage_key, created_at) VALUES (?1, ?2, ?3, 5)",
            )
            .unwrap()
            .execute(params![stored(&digest), size, key])
            .unwrap();
            tx.prepare_cached("INSERT INTO package_blobs (package_id, digest, linked_at) VALUES (?1, ?2, 5)")
                .unwrap()
                .execute(params![package, stored(&digest)])
                .unwrap();
            descriptors
                .push(json!({"mediaType": "application/octet-stream", "digest": digest, "size": size}));
        }
        let config = descriptors.remove(0);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": descriptors,
        });
        let payload = serde_json::to_vec(&manifest).unwrap();
        let digest = stored(&sha256(&payload));
        tx.prepare_cached(
            "INSERT INTO manifests (digest, media_type, kind, size, payload)
             VALUES (?1, 'application/vnd.oci.image.manifest.v1+json', 1, ?2, ?3)",
        )
        .unwrap()
        .execute(params![digest, payload.len() as i64, payload])
        .unwrap();
        let id = tx.last_insert_rowid();
        tx.prepare_cached(
            "INSERT INTO versions (package_id, manifest_id, digest, created_at, updated_at) VALUES (?1, ?2, ?3, 6, 6)",
        )
        .unwrap()
        .execute(params![package, id, digest])
        .unwrap();
        let version = tx.last_insert_rowid();
        tx.prepare_cached(
            "INSERT INTO tags (package_id, name, version_id, valid_from) VALUES (?1, ?2, ?3, 6)",
        )
        .unwrap()
        .execute(params![package, format!("t{image}"), version])
        .unwrap();
        let parts = std::iter::once((1, &config)).chain(descriptors.iter().map(|layer| (2, layer)));
        for (kind, part) in parts {
            let part = stored(part["digest"].as_str().unwrap());
            tx.prepare_cached("INSERT INTO manifest_refs (manifest_id, kind, digest) VALUES (?1, ?2, ?3)")
                .unwrap()
                .execute(params![id, kind, part])
                .unwrap();
            tx.prepare_cached(
                "INSERT INTO version_blobs (version_id, digest, package_id) VALUES (?1, ?2, ?3)",
            )
            .unwrap()
            .execute(params![version, part, package])
            .unwrap();
        }
    }
    let more = images as i64;
    tx.execute(
        "UPDATE packages SET version_count = version_count + ?1, tagged_count = tagged_count + ?1 WHERE id = ?2",
        params![more, package],
    )
    .unwrap();
    tx.commit().unwrap();
}

/// What lies in a house's store on files: how many, and the digests of all.
pub(crate) fn digests(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for fan in 0..=255_u8 {
        for entry in std::fs::read_dir(house.data().join(format!("blobs/{fan:02x}"))).unwrap() {
            found.push(sha256(&std::fs::read(entry.unwrap().path()).unwrap()));
        }
    }
    found.sort();
    found
}
