//! What the operator says of a bucket, and the clients made of it.

use crate::BlobError;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use std::fmt;
use std::time::Duration;

/// Parts that an upload may have in S3.
pub(super) const PARTS_MAX: u32 = 10_000;
/// Parts that the largest layer takes: the other numbers are for requests that broke off.
const PARTS_OF_LAYER_MAX: u64 = 5_000;
/// The least that S3 takes for a part that is not the last.
const PART_BYTES_MIN: u64 = 5 << 20;
/// A part is in memory while it is sent.
const PART_BYTES_MAX: u64 = 512 << 20;

const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Between two pieces of an answer, and for its first.
const READ_TIME: Duration = Duration::from_secs(20);
/// For a request that writes, beside the time that its bytes take.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// The slowest that a bucket may take bytes.
const BYTES_SECOND_MIN: u64 = 1 << 20;
pub(super) const TRIES_AGAIN_MAX: usize = 4;
/// After which no request is tried again.
const TRIES_TIME: Duration = Duration::from_secs(30);

/// Where a bucket is, and how it is used.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// `https://host:port` of the engine; none for AWS.
    pub endpoint: Option<String>,
    /// The bucket's name.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// What all names of objects begin with: empty, or ends with a slash.
    pub prefix: String,
    /// Keys; none when they are to be found as AWS's programs do.
    pub keys: Option<S3Keys>,
    /// Whether the bucket stands in the path of the address, not in its host.
    pub path_style: bool,
    /// For how long a client may read at an address of its own; none when it reads through us.
    pub redirect: Option<Duration>,
    /// Bytes of a part; more when the largest layer asks for it.
    pub part_bytes: u64,
    /// Bytes of the largest layer.
    pub layer_bytes_max: u64,
}

/// An access key with its secret. `Debug` masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Keys {
    /// The key's name.
    pub access_key: String,
    /// The secret.
    pub secret_key: String,
}

impl fmt::Debug for S3Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Keys({})", self.access_key)
    }
}

impl S3Settings {
    /// The size of a part: the largest layer must fit in half of the parts that there may be.
    pub(super) fn part_bytes(&self) -> Result<u64, BlobError> {
        let least = self.layer_bytes_max.div_ceil(PARTS_OF_LAYER_MAX).next_multiple_of(1 << 20);
        let bytes = self.part_bytes.max(PART_BYTES_MIN).max(least);
        if bytes > PART_BYTES_MAX {
            let most = PART_BYTES_MAX * PARTS_OF_LAYER_MAX;
            return Err(settings(format!("`layer_bytes_max` may be at most {most} with a bucket")));
        }
        Ok(bytes)
    }

    pub(super) fn prefix(&self) -> Result<String, BlobError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
        let whole = self.prefix.is_empty() || self.prefix.ends_with('/');
        let odd = self.prefix.trim_end_matches('/').split('/').any(|part| matches!(part, "." | ".."))
            || self.prefix.starts_with('/')
            || self.prefix.contains("//");
        if !whole || odd || !self.prefix.bytes().all(good) {
            return Err(settings(format!("the prefix `{}` is none", self.prefix)));
        }
        Ok(self.prefix.clone())
    }

    pub(super) fn reads(&self) -> Result<AmazonS3, BlobError> {
        self.client(options().with_timeout_disabled().with_read_timeout(READ_TIME))
    }

    pub(super) fn writes(&self, part_bytes: u64) -> Result<AmazonS3, BlobError> {
        let time = WRITE_TIME + Duration::from_secs(part_bytes / BYTES_SECOND_MIN);
        self.client(options().with_timeout(time))
    }

    fn client(&self, options: ClientOptions) -> Result<AmazonS3, BlobError> {
        // The library asks for a default of the whole program; who set one before us keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            max_retries: TRIES_AGAIN_MAX,
            retry_timeout: TRIES_TIME,
        };
        let mut builder = match &self.keys {
            Some(keys) => AmazonS3Builder::new()
                .with_access_key_id(&keys.access_key)
                .with_secret_access_key(&keys.secret_key),
            // Environment, web identity, the container's or the machine's own role.
            None => AmazonS3Builder::from_env(),
        };
        builder = builder
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(!self.path_style)
            // One object at a time, which every engine has.
            .with_disable_bulk_delete(true)
            .with_retry(retry);
        if let Some(endpoint) = &self.endpoint {
            let endpoint = endpoint.trim_end_matches('/');
            let address = match endpoint.split_once("://") {
                Some((scheme, host)) if !self.path_style => format!("{scheme}://{}.{host}", self.bucket),
                Some(_) | None => endpoint.to_owned(),
            };
            builder = builder.with_endpoint(address);
        }
        let http = self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        builder
            .with_client_options(options.with_allow_http(http))
            .build()
            .map_err(|error| settings(error.to_string()))
    }
}

fn options() -> ClientOptions {
    // HTTP/1.1: a connection of its own for each transfer, so that none waits behind another one's window.
    ClientOptions::new().with_connect_timeout(CONNECT_TIME).with_http1_only()
}

fn settings(why: String) -> BlobError {
    BlobError::BucketSettings(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> S3Settings {
        S3Settings {
            endpoint: Some("http://127.0.0.1:3900".to_owned()),
            bucket: "packs".to_owned(),
            region: "garage".to_owned(),
            prefix: String::new(),
            keys: Some(S3Keys { access_key: "key".to_owned(), secret_key: "hush".to_owned() }),
            path_style: true,
            redirect: None,
            part_bytes: 8 << 20,
            layer_bytes_max: 10_000_000_000,
        }
    }

    #[test]
    fn the_largest_layer_fits_in_half_of_the_parts() {
        assert_eq!(some().part_bytes().unwrap(), 8 << 20);
        assert_eq!(S3Settings { part_bytes: 1, ..some() }.part_bytes().unwrap(), 5 << 20);
        let large = S3Settings { layer_bytes_max: 1 << 40, ..some() }.part_bytes().unwrap();
        assert!(large * PARTS_OF_LAYER_MAX >= 1 << 40 && large < 256 << 20, "{large}");
        assert!(S3Settings { layer_bytes_max: 1 << 50, ..some() }.part_bytes().is_err());
    }

    #[test]
    fn a_prefix_stays_where_it_is() {
        for good in ["", "packhouse/", "a/b-c/d_e.f/"] {
            assert_eq!(S3Settings { prefix: good.to_owned(), ..some() }.prefix().unwrap(), good);
        }
        for bad in ["a", "/", "/a/", "a//b/", "../", "a/../", "a b/", "ä/"] {
            assert!(S3Settings { prefix: bad.to_owned(), ..some() }.prefix().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_secret_is_never_shown() {
        assert!(!format!("{:?}", some()).contains("hush"));
    }
}
