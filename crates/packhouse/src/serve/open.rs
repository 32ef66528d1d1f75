//! From a configuration to a service: catalog, blobs, settings.

use crate::config::{Config, SparseManifests};
use crate::lock::DataFolder;
use anyhow::Context;
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Options, Place};
use packhouse_service::{Clock, FirstStart, Secret, Service, Settings, SystemClock};
use std::sync::Arc;

const CATALOG_FILE: &str = "catalog.sqlite";

/// An open house.
pub struct Opened {
    /// Every rule.
    pub service: Service,
    /// What the first start made.
    pub first_start: Option<FirstStart>,
}

/// Opens catalog and blobs in a folder that is locked, and starts the service on them.
///
/// # Errors
/// One of them cannot be opened, or they do not belong together.
pub async fn open(config: &Config, folder: &DataFolder) -> anyhow::Result<Opened> {
    let where_to = match &config.database_url {
        Some(url) => format!("the catalog at {url}"),
        None => format!("the catalog in `{}`", folder.path().display()),
    };
    let options = catalog_options(config, folder);
    let catalog = tokio::task::spawn_blocking(move || {
        Catalog::open(&options).with_context(|| format!("cannot open {where_to}"))
    })
    .await
    .context("opening the catalog panicked")??;
    let store = store(config, folder).await?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (service, first_start) = Service::start(catalog, store, clock, settings(config)).await?;
    Ok(Opened { service, first_start })
}

/// Where the catalog is, and how it is opened.
pub fn catalog_options(config: &Config, folder: &DataFolder) -> Options {
    let options = Options::new(match &config.database_url {
        // Where the blobs are this machine's files, no second server may use the same database.
        Some(url) => Place::Postgres { url: url.reveal().to_owned(), alone: config.s3.is_none() },
        None => Place::Sqlite(folder.path().join(CATALOG_FILE)),
    });
    Options { cache_bytes: config.cache_bytes, ..options }
}

/// Opens the place of the blobs.
///
/// # Errors
/// Its folders cannot be made, or the bucket's settings do not work.
pub async fn store(config: &Config, folder: &DataFolder) -> anyhow::Result<BlobStore> {
    let (path, s3) = (folder.path().to_owned(), config.s3.clone());
    tokio::task::spawn_blocking(move || match s3 {
        Some(s3) => BlobStore::s3(&s3).context("cannot use the bucket"),
        None => {
            BlobStore::files(&path).with_context(|| format!("cannot open the blobs in `{}`", path.display()))
        }
    })
    .await
    .context("opening the blobs panicked")?
}

fn settings(config: &Config) -> Settings {
    Settings {
        admin_token: config.admin_token.as_ref().map(|token| Secret::given(token.reveal())),
        sparse_manifests: config.sparse_manifests == SparseManifests::Allow,
        known_forges: config.known_forges.clone(),
        create_repositories: config.create_repositories,
        layer_bytes_max: config.layer_bytes_max,
        upload_idle_seconds_max: config.upload_idle_max.as_secs(),
        token_seconds: config.token_life.as_secs(),
        rates: config.rates,
        deleted_seconds: config.deleted_retention.as_secs(),
        gc_grace_seconds: config.gc_grace.as_secs(),
        downloads_max: config.deleted_downloads_max,
        redirect_renamed: config.redirect_renamed,
        lease_seconds: config.upload_lease.as_secs(),
        ..Settings::new(config.admin.clone())
    }
}
