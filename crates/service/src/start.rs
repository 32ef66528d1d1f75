//! Putting the house together, and its first day.

use crate::Denied;
use crate::bearer::Keys;
use crate::begun::Begun;
use crate::buffers::Buffers;
use crate::clock::Clock;
use crate::downloads::Downloads;
use crate::error::Fault;
use crate::identity::hash;
use crate::linking::CreateRepositories;
use crate::rate_limits::{Limits, RateSettings};
use crate::token_format::Secret;
use crate::usage::Transfers;
use packhouse_access::{Granted, Operate, Refused, Scopes, decide_operate};
use packhouse_blobs::{BlobError, BlobStore, new_identity};
use packhouse_catalog::{
    AccountKind, Catalog, CatalogError, Micros, NewToken, Presented, SigningKey, TokenKind, WriteTx,
};
use packhouse_oci::AccountName;
use std::sync::Arc;

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The site administrator that the first start makes.
    pub admin: AccountName,
    /// A token for it, in place of one that is printed; each start replaces the one given before.
    pub admin_token: Option<Secret>,
    /// Whether manifests may name blobs that were never seen.
    pub sparse_manifests: bool,
    /// Bytes of a blob.
    pub layer_bytes_max: u64,
    /// Seconds after which an upload session that receives nothing ends.
    pub upload_idle_seconds_max: u64,
    /// Seconds that a bearer token lives; 60 at least, which clients take for granted.
    pub token_seconds: u64,
    /// Seconds that a refresh token lives.
    pub refresh_seconds: u64,
    /// Hosts whose repositories count when the label of an image names one; this server's own always does.
    pub known_forges: Vec<String>,
    /// Who may make a repository by mentioning it in a label.
    pub create_repositories: CreateRepositories,
    /// Seconds that what was deleted by the API can be restored.
    pub deleted_seconds: u64,
    /// Downloads beyond which a public version, or a package with such a one, is not deleted by the API.
    pub downloads_max: u64,
    /// Whether the path that a package had before it was renamed leads to it, for who pulls.
    pub redirect_renamed: bool,
    /// Seconds that a blob stays which a client was told of, though nothing names it, and that its bytes stay after it
    /// was collected.
    pub gc_grace_seconds: u64,
    /// How many groups of things, and files, a collector has in hand at once; 1 at least. More would take a database's
    /// connections from those who wait for an answer.
    pub collect_at_once: usize,
    /// How often somebody may ask.
    pub rates: RateSettings,
    /// Seconds after which an upload session can be taken over from a node that died, where nodes share a store.
    pub lease_seconds: u64,
}

impl Settings {
    /// The usual ones.
    pub fn new(admin: AccountName) -> Self {
        Settings {
            admin,
            admin_token: None,
            sparse_manifests: false,
            layer_bytes_max: 10_000_000_000,
            upload_idle_seconds_max: 7 * 24 * 3600,
            token_seconds: 300,
            refresh_seconds: 90 * 24 * 3600,
            known_forges: vec!["github.com".to_owned()],
            create_repositories: CreateRepositories::Own,
            deleted_seconds: 30 * 24 * 3600,
            downloads_max: 5_000,
            redirect_renamed: true,
            gc_grace_seconds: 24 * 3600,
            collect_at_once: 4,
            rates: RateSettings::default(),
            lease_seconds: 30,
        }
    }
}

/// Every rule, over one catalog and one blob store. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(crate) catalog: Catalog,
    pub(crate) store: BlobStore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) downloads: Arc<Downloads>,
    /// For the bytes of uploads that are received and not written yet.
    pub(crate) buffers: Buffers,
    pub(crate) begun: Begun,
    pub(crate) transfers: Arc<Transfers>,
    pub(crate) backups: Arc<crate::Backups>,
    /// A random name of this process among those that share the catalog.
    pub(crate) node: Arc<str>,
}

/// The first start made this, and shows it once.
#[derive(Clone, Debug)]
pub struct FirstStart {
    /// The administrator's name.
    pub account: String,
    /// Their token.
    pub token: Secret,
}

/// The house does not open.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The blob store.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// A rule.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A rule.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
    /// The catalog's blobs lie elsewhere.
    #[error(
        "this catalog belongs to another blob store (its blobs are in the store `{expected}`, here is {}); start with \
         the data folder, or the bucket and prefix, that it was used with",
        found.as_ref().map_or("an empty one".to_owned(), |found| format!("`{found}`"))
    )]
    OtherStore {
        /// The store that the catalog knows.
        expected: String,
        /// The one at hand, if it was ever used.
        found: Option<String>,
    },
    /// Not all of its blobs are there.
    #[error(
        "this house is being restored from {0}, and not all of it is there; give the same `packhouse restore` again, \
             which goes on where it stopped"
    )]
    Restoring(String),
    /// The configured administrator's name is an organization's.
    #[error("`{0}` is an organization; choose another name for the administrator")]
    AdminIsOrganization(String),
}

/// The setting that names the blob store a catalog belongs to.
const STORE: &str = "blob_store";
/// The setting that says that the store was given that name by this catalog's first start: until it has it, a start that
/// finds a store without a name goes on there.
const NAMING: &str = "blob_store_naming";
/// The setting that says that the first start is over.
const STARTED: &str = "started";
/// Bytes of the key that signs bearer tokens.
const KEY_BYTES: usize = 32;

impl Service {
    /// Opens the house on a catalog and a store. The first time, makes the administrator.
    pub async fn start(
        catalog: Catalog,
        store: BlobStore,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<(Service, Option<FirstStart>), StartError> {
        // Before the first token is made: a store that cannot be named now must not cost it.
        belong_together(&catalog, &store).await?;
        let now = clock.now();
        let token = Secret::random()?;
        let mut key = vec![0_u8; KEY_BYTES + 8];
        getrandom::fill(&mut key)?;
        let name: String = key[KEY_BYTES..].iter().map(|byte| format!("{byte:02x}")).collect();
        let node: Arc<str> = format!("{}-{name}", std::process::id()).into();
        let key = SigningKey { name, private_key: key[..KEY_BYTES].to_vec() };
        let settings = Arc::new(settings);
        let wanted = Arc::clone(&settings);
        let (keys, first) = catalog
            .write(move |tx| {
                tx.lock_settings()?;
                if tx.signing_keys()?.is_empty() {
                    tx.create_signing_key(&key, now)?;
                }
                let first = first_start(tx, &wanted, &token, now)?;
                Ok::<_, StartError>((tx.signing_keys()?, first))
            })
            .await?;
        let service = Service {
            catalog,
            store,
            clock,
            keys: Arc::new(Keys::new(&keys)),
            settings,
            limits: Arc::default(),
            downloads: Arc::default(),
            buffers: Buffers::default(),
            begun: Begun::default(),
            transfers: Arc::default(),
            backups: Arc::default(),
            node,
        };
        Ok((service, first))
    }

    /// Whether the catalog answers and the blob store can be reached.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method alone is not general enough over the transaction's lifetimes"
    )]
    pub async fn ready(&self) -> Result<(), Fault> {
        self.catalog.read(|tx| tx.ping()).await?;
        Ok(self.store.ready().await?)
    }
}

/// What is to be done about the store's name.
enum Naming {
    Known,
    Adopt(String),
}

/// Catalog and store know each other by the store's name; at the first start they are told it.
async fn belong_together(catalog: &Catalog, store: &BlobStore) -> Result<(), StartError> {
    let mut again = true;
    loop {
        let (found, fresh) = (store.identity().await?, new_identity()?);
        let naming = catalog.write(move |tx| {
            tx.lock_settings()?;
            naming(tx, found.as_deref(), &fresh)
        });
        match naming.await {
            Ok(Naming::Known) => return Ok(()),
            Ok(Naming::Adopt(identity)) => return name_store(catalog, store, identity).await,
            // Another node's first start may have named the store since we looked.
            Err(StartError::OtherStore { found: None, .. }) if again => again = false,
            Err(error) => return Err(error),
        }
    }
}

/// Decided where one start at a time decides: of two first starts at once, the second takes the first one's name.
fn naming(tx: &mut WriteTx<'_, '_>, found: Option<&str>, fresh: &str) -> Result<Naming, StartError> {
    if let Some(restoring) = tx.restoring()? {
        return Err(StartError::Restoring(restoring.from));
    }
    match (tx.setting(STORE)?, found) {
        (Some(known), Some(found)) if known == found => Ok(Naming::Known),
        (Some(known), None) if tx.setting(NAMING)?.as_deref() == Some("yes") => Ok(Naming::Adopt(known)),
        (Some(expected), found) => Err(StartError::OtherStore { expected, found: found.map(str::to_owned) }),
        (None, Some(found)) => {
            tx.put_setting(STORE, found)?;
            Ok(Naming::Known)
        }
        (None, None) => {
            tx.put_setting(STORE, fresh)?;
            tx.put_setting(NAMING, "yes")?;
            Ok(Naming::Adopt(fresh.to_owned()))
        }
    }
}

/// The catalog knows the name; now the store gets it. Only then a store without a name is another one.
async fn name_store(catalog: &Catalog, store: &BlobStore, identity: String) -> Result<(), StartError> {
    store.adopt(&identity).await?;
    let found = store.identity().await?;
    if found.as_deref() != Some(identity.as_str()) {
        // Another catalog's first start in the same place at the same time.
        return Err(StartError::OtherStore { expected: identity, found });
    }
    Ok(catalog.write(|tx| tx.put_setting(NAMING, "no")).await?)
}

fn first_start(
    tx: &mut WriteTx<'_, '_>,
    settings: &Settings,
    token: &Secret,
    now: Micros,
) -> Result<Option<FirstStart>, StartError> {
    let started = tx.setting(STARTED)?.is_some();
    if started && settings.admin_token.is_none() {
        return Ok(None);
    }
    let operator = crate::access::caller::<StartError>(tx, &Presented::Operator, now)?;
    let may = decide_operate(&operator)?;
    let account = admin(tx, &may, settings, now)?;
    tx.put_setting(STARTED, "yes")?;
    let mut new = NewToken {
        account,
        kind: TokenKind::Personal,
        name: "first start".to_owned(),
        hash: hash(token.reveal()),
        scopes: Scopes::ALL,
        expires_at: None,
    };
    if let Some(given) = &settings.admin_token {
        new.kind = TokenKind::Configured;
        new.name = "configuration".to_owned();
        new.hash = hash(given.reveal());
        tx.replace_configured_token(&may, &new, now)?;
        return Ok(None);
    }
    tx.create_token(&may, &new, now)?;
    Ok(Some(FirstStart { account: settings.admin.to_string(), token: token.clone() }))
}

fn admin<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Operate>,
    settings: &Settings,
    now: Micros,
) -> Result<packhouse_access::AccountId, StartError> {
    let name = settings.admin.as_str();
    if let Some(made) = tx.create_account(may, name, AccountKind::User, true, now)? {
        return Ok(made);
    }
    match tx.account(name)? {
        Some(account) if account.kind == AccountKind::User => {
            tx.set_site_admin(may, account.id, true)?;
            Ok(account.id)
        }
        Some(_) | None => Err(StartError::AdminIsOrganization(name.to_owned())),
    }
}
