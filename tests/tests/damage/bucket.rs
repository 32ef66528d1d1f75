//! The objects of a house, changed by another door than the program's.

use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use packhouse_tests::House;
use tokio::runtime::Runtime;

pub(crate) struct Bucket {
    inner: AmazonS3,
    prefix: String,
    runtime: Runtime,
}

impl Bucket {
    pub(crate) fn of(house: &House) -> Bucket {
        // The client asks for a kind of TLS before it is told that it needs none.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let setting = |name: &str| house.setting(&format!("PACKHOUSE_S3_{name}")).expect("it is on S3");
        let inner = object_store::aws::AmazonS3Builder::new()
            .with_endpoint(setting("ENDPOINT"))
            .with_allow_http(true)
            .with_region(setting("REGION"))
            .with_bucket_name(setting("BUCKET"))
            .with_access_key_id(setting("ACCESS_KEY"))
            .with_secret_access_key(setting("SECRET_KEY"))
            .build()
            .unwrap();
        let prefix = setting("PREFIX").trim_end_matches('/').to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Bucket { inner, prefix, runtime }
    }

    fn path(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.prefix))
    }

    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        self.runtime
            .block_on(async { self.inner.get(&self.path(key)).await.unwrap().bytes().await.unwrap() })
            .to_vec()
    }

    pub(crate) fn put(&self, key: &str, bytes: Vec<u8>) {
        self.runtime.block_on(self.inner.put(&self.path(key), bytes.into())).unwrap();
    }

    pub(crate) fn remove(&self, key: &str) {
        self.runtime.block_on(self.inner.delete(&self.path(key))).unwrap();
    }

    /// The key of the object that is meant.
    pub(crate) fn find(&self, is_it: impl Fn(&[u8]) -> bool) -> String {
        let mut folders = vec![self.path("blobs")];
        while let Some(folder) = folders.pop() {
            let listed = self.runtime.block_on(self.inner.list_with_delimiter(Some(&folder))).unwrap();
            folders.extend(listed.common_prefixes);
            for object in listed.objects {
                let key =
                    object.location.as_ref().strip_prefix(&format!("{}/", self.prefix)).unwrap().to_owned();
                if is_it(&self.get(&key)) {
                    return key;
                }
            }
        }
        panic!("there is no such object")
    }
}
