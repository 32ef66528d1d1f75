//! A whole house: images, an index with its children, things deleted and taken out, a session that still goes on.

use crate::database::Database;
use bytes::Bytes;
use http_body_util::Full;
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Catalog, Micros, Options, Place};
use packhouse_oci::{Algorithm, Digest, PackageName, Reference};
use packhouse_service::operator::{
    Answer, Command, FindingView, VerifiedView, VerifyCommand, VerifyStatusView,
};
use packhouse_service::{Clock, Part, PutManifest, Service, Settings, Shown};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::runtime::Runtime;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const SECOND: i64 = 1_000_000;
/// Where everything is.
pub(crate) const APP: &str = "mona/app";
/// A layer of `v1`, and of nothing else.
pub(crate) const LAYER: &str = "the layer of v1";

/// A clock that stands still until the test moves it.
struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct House {
    // In the order they must go: the catalog's sessions before its database.
    pub(crate) service: Service,
    pub(crate) runtime: Runtime,
    pub(crate) database: Database,
    watch: Arc<Watch>,
    mona: Shown,
    folder: tempfile::TempDir,
}

impl House {
    /// Empty, but for mona.
    pub(crate) fn empty(database: Database) -> House {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let place = match &database {
            Database::Sqlite(_) => Place::Sqlite(database.file()),
            Database::Postgres(database) => Place::Postgres { url: database.url.clone(), alone: false },
        };
        let catalog = Catalog::open(&Options { connections: 3, ..Options::new(place) }).unwrap();
        let watch = Arc::new(Watch(AtomicI64::new(1_767_225_600 * SECOND)));
        let clock: Arc<dyn Clock> = Arc::clone(&watch) as Arc<dyn Clock>;
        let settings = Settings::new("admin".parse().unwrap());
        let store = BlobStore::files(folder.path()).unwrap();
        let started = Service::start(catalog, store, clock, settings);
        let (service, _) = runtime.block_on(started).unwrap();
        let mut house = House { service, runtime, database, watch, mona: Shown::Nothing, folder };
        house.operate(&Command::UserCreate { name: "mona".into(), site_admin: false });
        let scopes = ["read:packages", "write:packages", "delete:packages"].map(str::to_owned).to_vec();
        let (user, name, expires_seconds) = ("mona".into(), "of a test".into(), None);
        let made = house.operate(&Command::TokenCreate { user, name, scopes, expires_seconds });
        let Answer::Token { token, .. } = made else { panic!("no token") };
        house.mona = Shown::Bearer(token);
        house
    }

    /// With some of everything.
    pub(crate) fn whole(database: Database) -> House {
        let house = House::empty(database);
        house.push_image("v1", LAYER);
        house.push_image("v2", "another layer");
        let arm = house.push_image("", "for arm");
        let amd = house.push_image("", "for amd");
        house.push_index("multi", &[arm, amd]);
        // Told of, and named by nothing.
        house.push_blob("alone");
        // Deleted, and restorable.
        let old = house.push_image("old", "an old layer");
        house.delete(&old);
        // Taken out of the package.
        let out = house.push_blob("taken out");
        house.wait(house.service.delete_blob(&house.mona, &name(), out)).unwrap();
        house.begin_session();
        house
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.watch.0.fetch_add(seconds * SECOND, Ordering::SeqCst);
    }

    pub(crate) fn operate(&self, command: &Command) -> Answer {
        match self.wait(self.service.operate(command.clone())) {
            Answer::Refused { message } => panic!("{command:?}: {message}"),
            answer => answer,
        }
    }

    pub(crate) fn push_blob(&self, content: &str) -> Digest {
        let digest = digest(content);
        let body = Full::new(Bytes::copy_from_slice(content.as_bytes()));
        self.wait(self.service.put_blob(&self.mona, &name(), digest, None, body)).unwrap();
        digest
    }

    /// Some bytes of a session that is not finished.
    fn begin_session(&self) {
        let session = self.wait(self.service.begin_upload(&self.mona, &name(), Algorithm::Sha256)).unwrap();
        let body = Full::new(Bytes::from_static(b"some of it"));
        let name = name();
        let appended = self.service.append(&self.mona, &name, &session.id, Part::default(), body);
        assert_eq!(self.wait(appended).unwrap().received, 10);
    }

    pub(crate) fn put_manifest(&self, tag: &str, media_type: &str, bytes: Vec<u8>) -> Result<Digest, String> {
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let reference = match tag {
            "" => Reference::Digest(digest),
            tag => Reference::Tag(tag.parse().unwrap()),
        };
        let (tags, media_type) = (Vec::new(), Some(media_type.parse().unwrap()));
        let put = PutManifest { reference, tags, media_type, bytes, host: None };
        let put = self.wait(self.service.put_manifest(&self.mona, &name(), put));
        put.map(|_| digest).map_err(|error| error.to_string())
    }

    /// An image of one layer; without a tag when that is empty.
    pub(crate) fn push_image(&self, tag: &str, layer: &str) -> Digest {
        self.push_blob("{}");
        self.push_blob(layer);
        self.put_image(tag, layer).unwrap()
    }

    /// Its manifest alone.
    pub(crate) fn put_image(&self, tag: &str, layer: &str) -> Result<Digest, String> {
        self.put_manifest(tag, IMAGE, image(layer))
    }

    fn push_index(&self, tag: &str, children: &[Digest]) -> Digest {
        let children: Vec<String> = children
            .iter()
            .map(|digest| format!(r#"{{"mediaType":"{IMAGE}","digest":"{digest}","size":3}}"#))
            .collect();
        let bytes =
            format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, children.join(","));
        self.put_manifest(tag, INDEX, bytes.into_bytes()).unwrap()
    }

    pub(crate) fn delete(&self, manifest: &Digest) {
        let reference = Reference::Digest(*manifest);
        self.wait(self.service.delete_manifest(&self.mona, &name(), &reference)).unwrap();
    }

    /// The bytes that a client gets, or why not.
    pub(crate) fn pull(&self, content: &str) -> Result<String, String> {
        let blob = self.wait(self.service.blob(&self.mona, &name(), digest(content)));
        let blob = blob.map_err(|error| error.to_string())?;
        self.wait(async {
            let size = blob.size();
            let mut reader =
                self.service.read_blob(&blob, 0, size).await.map_err(|error| error.to_string())?;
            let mut bytes = Vec::new();
            while let Some(piece) = std::future::poll_fn(|context| reader.poll_piece(context)).await {
                bytes.extend_from_slice(&piece.map_err(|error| error.to_string())?);
            }
            Ok(String::from_utf8(bytes).unwrap())
        })
    }

    /// The digest of the manifest that a client gets, or why not.
    pub(crate) fn pull_manifest(&self, reference: &str) -> Result<Digest, String> {
        let (name, reference) = (name(), reference.parse().unwrap());
        let found = self.service.manifest(&self.mona, &name, &reference);
        let found = self.wait(found).map_err(|error| error.to_string())?;
        Ok(Digest::of(Algorithm::Sha256, &found.payload))
    }

    /// Rounds of a worker until there is nothing to do.
    pub(crate) fn sweep(&self) {
        while self.wait(self.service.sweep()).unwrap().more {}
    }

    pub(crate) fn verify(&self, command: VerifyCommand) -> Answer {
        self.operate(&Command::Verify(command))
    }

    /// A run from the beginning to its end, in steps of so many bytes.
    pub(crate) fn scrub_by(&self, repair: bool, bytes: u64) -> VerifiedView {
        self.verify(VerifyCommand::Begin { repair, resume: false, again: true });
        for _ in 0..10_000 {
            let Answer::VerifyRun(run) = self.verify(VerifyCommand::Step { bytes }) else { panic!("no run") };
            if run.ended_at.is_some() {
                let Answer::Verified(verified) = self.verify(VerifyCommand::Findings) else { panic!() };
                return verified;
            }
        }
        panic!("a scrub does not come to an end");
    }

    pub(crate) fn scrub(&self, repair: bool) -> Vec<FindingView> {
        let verified = self.scrub_by(repair, u64::MAX);
        let open = verified.findings.iter().filter(|finding| finding.done != "repaired").count();
        assert_eq!((verified.run.found, verified.run.open), (verified.findings.len() as u64, open as u64));
        verified.findings
    }

    pub(crate) fn status(&self) -> VerifyStatusView {
        let Answer::VerifyStatus(status) = self.verify(VerifyCommand::Status) else { panic!("no status") };
        status
    }

    /// Changes rows behind the back of foreign keys.
    pub(crate) fn run(&self, text: &str) {
        match &self.database {
            Database::Sqlite(_) => self.database.run(&format!("PRAGMA foreign_keys = OFF; {text}")),
            Database::Postgres(_) => self.database.run(&format!(
                "DO $$ DECLARE r RECORD; BEGIN
                   FOR r IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE contype = 'f' LOOP
                     EXECUTE 'ALTER TABLE ' || r.t || ' DROP CONSTRAINT ' || quote_ident(r.conname);
                   END LOOP; END $$; {text}"
            )),
        }
    }

    pub(crate) fn rows(&self, text: &str) -> Vec<String> {
        self.database.rows(text)
    }

    /// A byte string of the database in use.
    pub(crate) fn bytes(&self, hex: &str) -> String {
        match self.database {
            Database::Sqlite(_) => format!("x'{hex}'"),
            Database::Postgres(_) => format!("'\\x{hex}'::bytea"),
        }
    }

    pub(crate) fn digest(&self, content: &str) -> String {
        let hex: String = digest(content).to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        self.bytes(&hex)
    }

    /// Where the bytes of a blob lie.
    pub(crate) fn file(&self, content: &str) -> PathBuf {
        let found =
            self.rows(&format!("SELECT storage_key FROM blobs WHERE digest = {}", self.digest(content)));
        self.folder.path().join(&found[0])
    }

    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(key)
    }
}

pub(crate) fn name() -> PackageName {
    APP.parse().unwrap()
}

pub(crate) fn digest(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

pub(crate) fn image(layer: &str) -> Vec<u8> {
    let config = digest("{}");
    let (layer, size) = (digest(layer), layer.len());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{size}}}]}}"#
    )
    .into_bytes()
}
