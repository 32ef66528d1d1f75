//! What lies in a store, seen from outside: every file or object, read and hashed.

use packhouse_tests::House;
use packhouse_tests::image::sha256;
use std::collections::BTreeSet;
use std::path::Path;

/// A store's own list.
pub(crate) struct Stored {
    /// What the bytes hash to.
    pub(crate) digests: BTreeSet<String>,
    /// How many there are.
    pub(crate) count: usize,
    /// What has a name that no blob has.
    pub(crate) unknown: Vec<String>,
}

impl Stored {
    fn of(things: impl Iterator<Item = (String, Vec<u8>)>) -> Self {
        let mut stored = Stored { digests: BTreeSet::new(), count: 0, unknown: Vec::new() };
        for (name, bytes) in things {
            let last = name.rsplit('/').next().unwrap();
            if last == "identity" {
                continue;
            }
            // In a bucket the number of a lease may follow.
            let (name_of_key, lease) = last.split_once('.').unwrap_or((last, "0"));
            let hex = name_of_key.len() == 32 && name_of_key.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !hex || lease.parse::<u64>().is_err() {
                stored.unknown.push(name);
                continue;
            }
            stored.count += 1;
            stored.digests.insert(sha256(&bytes));
        }
        stored
    }

    /// The blobs of a data folder.
    pub(crate) fn in_folder(blobs: &Path) -> Self {
        let mut found = Vec::new();
        let mut folders = vec![blobs.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
                }
            }
        }
        Self::of(found.into_iter())
    }

    /// The objects below a house's prefix.
    pub(crate) fn in_bucket(house: &House) -> Self {
        use object_store::{ObjectStore as _, ObjectStoreExt as _};
        // The client asks for a kind of TLS before it is told that it needs none.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let setting = |name: &str| house.setting(&format!("PACKHOUSE_S3_{name}")).expect("it is on S3");
        let bucket = object_store::aws::AmazonS3Builder::new()
            .with_endpoint(setting("ENDPOINT"))
            .with_allow_http(true)
            .with_region(setting("REGION"))
            .with_bucket_name(setting("BUCKET"))
            .with_access_key_id(setting("ACCESS_KEY"))
            .with_secret_access_key(setting("SECRET_KEY"))
            .build()
            .unwrap();
        let prefix = object_store::path::Path::from(setting("PREFIX"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(async {
            let (mut folders, mut found) = (vec![prefix], Vec::new());
            while let Some(folder) = folders.pop() {
                let listed = bucket.list_with_delimiter(Some(&folder)).await.unwrap();
                folders.extend(listed.common_prefixes);
                for object in listed.objects {
                    let got = match bucket.get(&object.location).await {
                        // Removed a moment ago: a node that has not heard of it yet may still list it.
                        Err(object_store::Error::NotFound { .. }) => continue,
                        got => got.unwrap(),
                    };
                    found.push((object.location.to_string(), got.bytes().await.unwrap().to_vec()));
                }
            }
            found
        });
        Self::of(found.into_iter())
    }
}
