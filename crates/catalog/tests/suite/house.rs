//! The stage: a fresh catalog, actors, and the few acts that many clauses begin with. Everything goes through the
//! catalog's public functions; only [`House::rows`] looks at tables, from outside.

use crate::database::Database;
use packhouse_access::{
    AccountId, Action, Caller, Collect, Delete, EndsVersions, Granted, Operate, Pull, Push, Refused, Restore,
    Role, Scopes, TagHeld, TokenId, TouchesVersions, VersionId, Visibility, decide, decide_blob_end,
    decide_collect, decide_create, decide_operate, decide_package_end, decide_publish, decide_tag_end,
    decide_tag_move, decide_tags_back, decide_version_end,
};
use packhouse_catalog::{
    AccountKind, Catalog, CatalogError, Finished, Micros, NewManifest, NewToken, Options, Place, Presented,
    Pushed, ReadTx, TokenKind, Version, WriteTx,
};
use packhouse_oci::{Algorithm, Digest, Manifest, MediaType, Reference, Tag};
use std::future::Future;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::runtime::Runtime;

/// The error of the tests' closures.
#[derive(Debug)]
pub(crate) enum Fault {
    Catalog(CatalogError),
    Refused(Refused),
    Held(TagHeld),
    /// The closure's own.
    Wanted,
}

impl From<CatalogError> for Fault {
    fn from(error: CatalogError) -> Fault {
        Fault::Catalog(error)
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Fault {
        Fault::Refused(refused)
    }
}

impl From<TagHeld> for Fault {
    fn from(held: TagHeld) -> Fault {
        Fault::Held(held)
    }
}

pub(crate) type Done<T> = Result<T, Fault>;

/// Stamps one test per clause and database: `accounts::sqlite::a_name_is_taken_once`.
macro_rules! on_every_database {
    ($($clause:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $clause() { super::$clause(&$crate::house::House::on_sqlite()); })+
        }
        mod postgres {
            $(#[test] fn $clause() {
                if let Some(house) = $crate::house::House::on_postgres() {
                    super::$clause(&house);
                }
            })+
        }
    };
}
pub(crate) use on_every_database;

/// Connections of a test's catalog: the threads that write, on PostgreSQL.
pub(crate) const WRITERS: usize = 4;

/// How long a blob stays in a package after it came there, though nothing names it.
pub(crate) const PIN_SECONDS: u64 = 3_600;

/// One test's catalog.
pub(crate) struct House {
    // In the order they must go: the catalog's sessions before its database.
    pub(crate) catalog: Catalog,
    pub(crate) runtime: Runtime,
    clock: AtomicI64,
    keys: AtomicU64,
    pub(crate) database: Database,
}

/// Someone with a token of all scopes.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) id: AccountId,
    pub(crate) token: TokenId,
    pub(crate) shows: Presented,
}

impl House {
    pub(crate) fn on_sqlite() -> House {
        House::open(Database::sqlite(), |_| {})
    }

    pub(crate) fn on_postgres() -> Option<House> {
        Database::postgres().map(|database| House::open(database, |_| {}))
    }

    pub(crate) fn is_on_postgres(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }

    /// Opens a catalog on a database, with other options than usual.
    pub(crate) fn open(database: Database, options: impl FnOnce(&mut Options)) -> House {
        let place = match &database {
            Database::Sqlite(_) => Place::Sqlite(database.file()),
            Database::Postgres(database) => Place::Postgres { url: database.url.clone(), alone: false },
        };
        let mut chosen = Options::new(place);
        chosen.connections = WRITERS;
        options(&mut chosen);
        let catalog = Catalog::open(&chosen).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        House { catalog, runtime, clock: AtomicI64::new(1_000_000), keys: AtomicU64::new(0), database }
    }

    /// A time that was not given out before.
    pub(crate) fn now(&self) -> Micros {
        Micros(self.clock.fetch_add(1_000_000, Ordering::Relaxed))
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn read<T: Send + 'static>(
        &self,
        body: impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>) -> Done<T> + Send + 'static,
    ) -> Done<T> {
        self.wait(self.catalog.read(body))
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        body: impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>) -> Done<T> + Send + 'static,
    ) -> Done<T> {
        self.wait(self.catalog.write(body))
    }

    /// A transaction of the operator, with the proof.
    pub(crate) fn operate<T: Send + 'static>(
        &self,
        mut body: impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>, &Granted<'tx, Operate>) -> Done<T>
        + Send
        + 'static,
    ) -> Done<T> {
        self.write(move |tx| {
            let may = operator(tx)?;
            body(tx, &may)
        })
    }

    /// As [`House::operate`], for one that reads.
    pub(crate) fn operate_reading<T: Send + 'static>(
        &self,
        mut body: impl for<'c, 'tx> FnMut(&mut ReadTx<'c, 'tx>, &Granted<'tx, Operate>) -> Done<T>
        + Send
        + 'static,
    ) -> Done<T> {
        self.read(move |tx| {
            let may = operator(tx)?;
            body(tx, &may)
        })
    }

    /// See [`Database::rows`].
    pub(crate) fn rows(&self, text: &str) -> Vec<String> {
        self.database.rows(text)
    }

    /// The one number that a statement of the test's own gives.
    pub(crate) fn number(&self, text: &str) -> i64 {
        self.rows(text)[0].parse().unwrap()
    }

    /// Makes a user with a token of all scopes.
    pub(crate) fn user(&self, name: &str) -> Actor {
        self.user_with(name, false)
    }

    /// Makes an administrator of the site.
    pub(crate) fn site_admin(&self, name: &str) -> Actor {
        self.user_with(name, true)
    }

    fn user_with(&self, name: &str, site_admin: bool) -> Actor {
        let (now, hash) = (self.now(), hash_of(name));
        let owned = name.to_owned();
        let (id, token) = self
            .operate(move |tx, may| {
                let id = tx.create_account(may, &owned, AccountKind::User, site_admin, now)?.unwrap();
                let token = tx.create_token(may, &token_of(id, hash), now)?.unwrap();
                Ok((id, token))
            })
            .unwrap();
        Actor { name: name.to_owned(), id, token, shows: Presented::Token { hash, or: None } }
    }

    /// Makes an organization with its first owner.
    pub(crate) fn organization(&self, name: &str, owner: &Actor) -> AccountId {
        let (now, name, owner) = (self.now(), name.to_owned(), owner.id);
        self.operate(move |tx, may| {
            let id = tx.create_account(may, &name, AccountKind::Organization, false, now)?.unwrap();
            tx.put_member(may, id, owner, true)?;
            Ok(id)
        })
        .unwrap()
    }

    pub(crate) fn join(&self, organization: AccountId, user: &Actor, owner: bool) {
        let user = user.id;
        self.operate(move |tx, may| Ok(tx.put_member(may, organization, user, owner)?)).unwrap();
    }

    /// Makes a package as its owner would, by a first push.
    pub(crate) fn package(&self, owner: &Actor, path: &str) {
        let (now, shows, path) = (self.now(), owner.shows.clone(), path.to_owned());
        self.write(move |tx| {
            let caller = caller(tx, &shows)?;
            let facts = tx.facts(&caller, &path)?;
            Ok(tx.create_package(&decide_create(&facts)?, now)?)
        })
        .unwrap();
    }

    pub(crate) fn set_visibility(&self, path: &str, visibility: Visibility) {
        let (now, path) = (self.now(), path.to_owned());
        self.write(move |tx| {
            let caller = caller(tx, &Presented::Operator)?;
            let may = decide_publish(&tx.facts(&caller, &path)?, visibility)?;
            Ok(tx.set_visibility(&may, now)?)
        })
        .unwrap();
    }

    pub(crate) fn grant(&self, path: &str, to: &Actor, role: Role) {
        let (now, path, to) = (self.now(), path.to_owned(), to.id);
        self.write(move |tx| {
            let may = may_change(tx, &Presented::Operator, &path)?;
            Ok(tx.grant(&may, to, role, now)?)
        })
        .unwrap();
    }

    /// A storage key that was not used before.
    pub(crate) fn key(&self) -> String {
        let number = self.keys.fetch_add(1, Ordering::Relaxed);
        format!("blobs/00/{number:032x}")
    }

    /// Uploads a blob whole; returns its digest and the storage key of the upload.
    pub(crate) fn push_blob(&self, by: &Actor, path: &str, content: &str) -> (Digest, String) {
        let (now, shows, path, key) = (self.now(), by.shows.clone(), path.to_owned(), self.key());
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        let finished = Finished { digest, size: content.len() as u64 };
        let stored = key.clone();
        let done = self.write(move |tx| {
            let may = may_change::<Push>(tx, &shows, &path)?;
            let upload = tx.begin_upload(&may, &key, &key, b"state", now, now.plus_seconds(60))?;
            Ok(tx.finish_upload(
                &may,
                &upload,
                &finished,
                now,
                now.plus_seconds(60),
                now.plus_seconds(PIN_SECONDS),
            )?)
        });
        assert!(done.unwrap());
        (digest, stored)
    }

    /// Puts a manifest, and its tag when it has one.
    pub(crate) fn push(&self, by: &Actor, path: &str, manifest: &NewManifest, tag: Option<&str>) -> Pushed {
        let (now, shows, path) = (self.now(), by.shows.clone(), path.to_owned());
        let (manifest, tag) = (manifest.clone(), tag.map(self::tag));
        self.write(move |tx| {
            let may = may_change::<Push>(tx, &shows, &path)?;
            let pushed = put(tx, &may, &manifest, now)?;
            if let Some(tag) = &tag {
                move_tag(tx, &may, tag, pushed.version, now)?;
            }
            Ok(pushed)
        })
        .unwrap()
    }

    /// The digest that a reference resolves to.
    pub(crate) fn resolve(&self, by: &Actor, path: &str, reference: &str) -> Option<Digest> {
        let (shows, path, reference) = (by.shows.clone(), path.to_owned(), self::reference(reference));
        self.read(move |tx| {
            let may = may::<Pull>(tx, &shows, &path)?;
            Ok(tx.manifest_head(&may, &reference)?.map(|row| row.digest))
        })
        .unwrap()
    }
}

/// The time of questions: tests that are about expiry bring their own.
pub(crate) const NOW: Micros = Micros(500);

pub(crate) fn caller<'tx>(tx: &mut ReadTx<'_, 'tx>, shows: &Presented) -> Done<Caller<'tx>> {
    Ok(tx.caller(shows, NOW)?.expect("the credential is good"))
}

/// The proof for reading.
pub(crate) fn may<'tx, A: Action>(
    tx: &mut ReadTx<'_, 'tx>,
    shows: &Presented,
    path: &str,
) -> Done<Granted<'tx, A>> {
    let caller = caller(tx, shows)?;
    Ok(decide(&tx.facts(&caller, path)?)?)
}

/// The proof for writing, with the package's row locked.
pub(crate) fn may_change<'tx, A: Action>(
    tx: &mut WriteTx<'_, 'tx>,
    shows: &Presented,
    path: &str,
) -> Done<Granted<'tx, A>> {
    let caller = caller(tx, shows)?;
    Ok(decide(&tx.facts(&caller, path)?)?)
}

// What ends or moves something under the rules about tags, as the service does it.

/// Puts a manifest, and lets it be what this push says it is.
pub(crate) fn put<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Push>,
    manifest: &NewManifest,
    now: Micros,
) -> Done<Pushed> {
    let pushed = tx.put_manifest(may, manifest, now)?;
    if let Some(retyped) = pushed.retyped {
        let end = may_end(tx, may, pushed.version)?;
        tx.retype_version(may, &end, retyped, manifest, now)?;
    }
    Ok(pushed)
}

pub(crate) fn move_tag<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Push>,
    tag: &Tag,
    version: VersionId,
    now: Micros,
) -> Done<()> {
    let rules = tx.tag_rules(may)?;
    let at = tx.tag_at(may, tag)?;
    Ok(tx.move_tag(may, &decide_tag_move(may, &rules, at, version)?, now)?)
}

pub(crate) fn delete_tag<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Delete>,
    tag: &Tag,
    now: Micros,
) -> Done<bool> {
    let rules = tx.tag_rules(may)?;
    let at = tx.tag_at(may, tag)?;
    Ok(tx.delete_tag(may, &decide_tag_end(may, &rules, at)?, now)?)
}

pub(crate) fn may_end<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &impl TouchesVersions<'tx>,
    version: VersionId,
) -> Done<packhouse_access::VersionEnd<'tx>> {
    let rules = tx.tag_rules_for(may)?;
    let reached = tx.reached(may, &rules, version)?;
    Ok(decide_version_end(may, &rules, &reached)?)
}

/// By its digest, as the protocol does; whether it was there.
pub(crate) fn delete_version<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Delete>,
    digest: &Digest,
    now: Micros,
) -> Done<bool> {
    let Some(version) = tx.live_version(may, digest)? else { return Ok(false) };
    let end = may_end(tx, may, version)?;
    tx.delete_version(may, &end, now)?;
    Ok(true)
}

/// With its parts, as the API and retention do; how many went along.
pub(crate) fn delete_whole<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &impl EndsVersions<'tx>,
    (version, digest): (VersionId, &Digest),
    now: Micros,
) -> Done<u64> {
    let end = may_end(tx, may, version)?;
    Ok(tx.delete_whole(may, (version, digest), &end, now)?)
}

pub(crate) fn restore_version<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Restore>,
    deleted: &Version,
    now: Micros,
) -> Done<u64> {
    let rules = tx.tag_rules(may)?;
    let tags = tx.tags_taken_back(may, deleted)?;
    let back = decide_tags_back(may, &rules, &tags)?;
    Ok(tx.restore_version(may, deleted, &back, now)?)
}

pub(crate) fn delete_package<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Delete>,
    now: Micros,
) -> Done<bool> {
    let end = decide_package_end(may, tx.survey_package(may)?)?;
    Ok(tx.delete_package(may, &end, now)?)
}

pub(crate) fn unlink_blob<'tx>(
    tx: &mut WriteTx<'_, 'tx>,
    may: &Granted<'tx, Delete>,
    digest: &Digest,
    now: Micros,
) -> Done<bool> {
    let rules = tx.tag_rules(may)?;
    let reached = tx.blob_reached(may, &rules, digest)?;
    Ok(tx.unlink_blob(may, &decide_blob_end(may, &rules, reached)?, now)?)
}

pub(crate) fn operator<'tx>(tx: &mut ReadTx<'_, 'tx>) -> Done<Granted<'tx, Operate>> {
    let caller = caller(tx, &Presented::Operator)?;
    Ok(decide_operate(&caller)?)
}

pub(crate) fn collector<'tx>(tx: &mut ReadTx<'_, 'tx>) -> Done<Granted<'tx, Collect>> {
    let caller = caller(tx, &Presented::Worker)?;
    Ok(decide_collect(&caller)?)
}

pub(crate) fn hash_of(text: &str) -> [u8; 32] {
    Digest::of(Algorithm::Sha256, text.as_bytes()).hash().try_into().unwrap()
}

pub(crate) fn token_of(account: AccountId, hash: [u8; 32]) -> NewToken {
    let (kind, name) = (TokenKind::Personal, "laptop".to_owned());
    NewToken { account, kind, name, hash, scopes: Scopes::ALL, expires_at: None }
}

pub(crate) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

pub(crate) fn sha256(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

fn descriptor(media_type: &str, digest: &Digest) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":3}}"#)
}

/// The bytes of a manifest as its client would send them.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    content_type: &'static str,
    fields: Vec<String>,
    annotations: Option<String>,
}

/// An image of a config and some layers.
pub(crate) fn image(config: &str, layers: &[&str]) -> Build {
    let layers: Vec<String> = layers.iter().map(|layer| descriptor(LAYER, &sha256(layer))).collect();
    let fields = vec![
        format!(r#""config":{}"#, descriptor(CONFIG, &sha256(config))),
        format!(r#""layers":[{}]"#, layers.join(",")),
    ];
    Build { content_type: IMAGE, fields, annotations: None }
}

/// An index of some children.
pub(crate) fn index(children: &[Digest]) -> Build {
    let children: Vec<String> = children.iter().map(|child| descriptor(IMAGE, child)).collect();
    let fields = vec![format!(r#""manifests":[{}]"#, children.join(","))];
    Build { content_type: INDEX, fields, annotations: None }
}

impl Build {
    pub(crate) fn subject(mut self, subject: &Digest) -> Build {
        self.fields.push(format!(r#""subject":{}"#, descriptor(IMAGE, subject)));
        self
    }

    pub(crate) fn artifact_type(mut self, artifact_type: &str) -> Build {
        self.fields.push(format!(r#""artifactType":"{artifact_type}""#));
        self
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Build {
        let annotations = format!(r#"{{"{key}":"{value}"}}"#);
        self.fields.push(format!(r#""annotations":{annotations}"#));
        self.annotations = Some(annotations);
        self
    }

    /// With the media type in the header only, as Docker's.
    pub(crate) fn sent_as(mut self, content_type: &'static str) -> Build {
        self.content_type = content_type;
        self
    }

    pub(crate) fn build(&self) -> NewManifest {
        let payload = format!(r#"{{"schemaVersion":2,{}}}"#, self.fields.join(",")).into_bytes();
        let content_type: MediaType = self.content_type.parse().unwrap();
        let parsed = Manifest::parse(Some(&content_type), &payload).unwrap();
        let digest = Digest::of(Algorithm::Sha256, &payload);
        NewManifest { digest, payload, parsed, annotations: self.annotations.clone() }
    }
}
