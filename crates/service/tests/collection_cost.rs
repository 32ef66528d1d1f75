//! What collection costs grows with the garbage, not with the store: the same fifty dead versions among a thousand blobs
//! and among a hundred thousand take the same statements, the same rows, and the same calls of the store.

// The lint's own exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use packhouse_blobs::driver::{Driver, Extent, Removal, Sink, Source, Start, Stored, Work};
use packhouse_blobs::{BlobError, BlobStore};
use packhouse_catalog::{Catalog, Micros, Options, Place, Work as Statement};
use packhouse_oci::{Digest, PackageName, Reference};
use packhouse_service::operator::{Answer, Command};
use packhouse_service::{Clock, Service, Settings, Shown};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 3600;
const BLOBS_OF_A_VERSION: usize = 5;
const DEAD: usize = 50;
/// Versions, half of them in the package that the garbage is in.
const SMALL: usize = 200;
const LARGE: usize = 20_000;
/// Instructions of SQLite's machine at the large size, against those at the small one: its trees are deeper.
const INSTRUCTIONS_MAX: f64 = 1.2;

struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

/// A store that holds nothing and writes down what is asked of it.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<String>>);

impl Asked {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

fn done<T: Send + 'static>(what: T) -> Work<'static, T> {
    Box::pin(std::future::ready(Ok(what)))
}

fn refused<T: Send + 'static>() -> Work<'static, T> {
    Box::pin(std::future::ready(Err(BlobError::Ended)))
}

impl Driver for Asked {
    fn identity(&self) -> Work<'_, Option<String>> {
        done(Some("counted".to_owned()))
    }
    fn adopt(&self, _identity: String) -> Work<'_, ()> {
        done(())
    }
    fn ready(&self) -> Work<'_, ()> {
        self.note("ready".to_owned());
        done(())
    }
    fn is_shared(&self) -> bool {
        false
    }
    fn write(&self, from: Start) -> Work<'_, Box<dyn Sink>> {
        self.note(format!("write {}", from.key));
        refused()
    }
    fn read(&self, what: Extent) -> Work<'_, Box<dyn Source>> {
        self.note(format!("read {}", what.key));
        refused()
    }
    fn address(&self, key: &str) -> Work<'_, Option<String>> {
        self.note(format!("address {key}"));
        done(None)
    }
    fn remove(&self, what: Removal) -> Work<'_, ()> {
        self.note(what.key);
        done(())
    }
    fn list(&self, _after: Option<String>, _limit: usize) -> Work<'_, Vec<Stored>> {
        self.note("list".to_owned());
        done(Vec::new())
    }
    fn stat(&self, key: String) -> Work<'_, Option<u64>> {
        self.note(format!("stat {key}"));
        done(None)
    }
}

/// Where the rows are.
enum Rows {
    Sqlite(tempfile::TempDir),
    Postgres { server: String, name: String },
}

impl Rows {
    /// A new database on the tests' server, if there is one.
    fn postgres() -> Option<Rows> {
        let server = std::env::var("PACKHOUSE_TEST_DATABASE_URL").ok()?;
        let name = format!("cost_{}_{}", std::process::id(), packhouse_blobs::new_identity().unwrap());
        let rows = Rows::Postgres { server, name };
        rows.on_server("CREATE DATABASE");
        Some(rows)
    }

    fn on_server(&self, order: &str) {
        if let Rows::Postgres { server, name } = self {
            let mut client = postgres::Client::connect(server, postgres::NoTls).unwrap();
            client.batch_execute(&format!("{order} {name}")).unwrap();
        }
    }

    fn url(server: &str, name: &str) -> String {
        format!("{}/{name}", server.rsplit_once('/').unwrap().0)
    }

    fn place(&self) -> Place {
        match self {
            Rows::Sqlite(folder) => Place::Sqlite(folder.path().join("catalog.sqlite")),
            Rows::Postgres { server, name } => Place::Postgres { url: Rows::url(server, name), alone: false },
        }
    }

    /// So many versions of five blobs each, every second one in `mona/app`, the others in `mona/other`.
    fn fill(&self, versions: usize) {
        let blobs = versions * BLOBS_OF_A_VERSION;
        let (of, key) = match self {
            Rows::Sqlite(_) => (
                "(WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {}) SELECT n FROM n) AS n",
                "printf('blobs/%02x/%032x', n % 256, n)",
            ),
            Rows::Postgres { .. } => (
                "(SELECT n FROM generate_series(1, {}) AS n) AS n",
                "'blobs/' || lpad(to_hex(n % 256), 2, '0') || '/' || lpad(to_hex(n), 32, '0')",
            ),
        };
        let digest = |what: &str| match self {
            Rows::Sqlite(_) => format!("CAST(x'01' || CAST(printf('%032d', {what}) AS BLOB) AS BLOB)"),
            Rows::Postgres { .. } => {
                format!("'\\x01'::bytea || convert_to(lpad(({what})::text, 32, '0'), 'UTF8')")
            }
        };
        let (of_versions, of_blobs) =
            (of.replace("{}", &versions.to_string()), of.replace("{}", &blobs.to_string()));
        let (package, version) = ("1000000 + ((n - 1) / 5 + 1) % 2", "1000000 + (n - 1) / 5 + 1");
        let empty = if matches!(self, Rows::Sqlite(_)) { "x'7b7d'" } else { "'{}'::bytea" };
        let script = format!(
            "INSERT INTO packages (id, path, owner_id, type, visibility, created_at, updated_at, held, version_count)
               SELECT 1000000, 'mona/other', id, 1, 0, 1, 1, 1, {half} FROM accounts WHERE name = 'mona';
             INSERT INTO packages (id, path, owner_id, type, visibility, created_at, updated_at, held, version_count)
               SELECT 1000001, 'mona/app', id, 1, 0, 1, 1, 1, {half} FROM accounts WHERE name = 'mona';
             INSERT INTO manifests (id, digest, media_type, kind, size, payload)
               SELECT 1000000 + n, {manifest}, 'application/vnd.oci.image.manifest.v1+json', 1, 2, {empty}
               FROM {of_versions};
             INSERT INTO versions (id, package_id, manifest_id, digest, created_at, updated_at)
               SELECT 1000000 + n, 1000000 + n % 2, 1000000 + n, {manifest}, 1, 1 FROM {of_versions};
             INSERT INTO blobs (digest, size, storage_key, created_at) SELECT {blob}, 7, {key}, 1 FROM {of_blobs};
             INSERT INTO package_blobs (package_id, digest, linked_at) SELECT {package}, {blob}, 1 FROM {of_blobs};
             INSERT INTO version_blobs (version_id, digest, package_id)
               SELECT {version}, {blob}, {package} FROM {of_blobs};
             INSERT INTO manifest_refs (manifest_id, kind, digest) SELECT {version}, 2, {blob} FROM {of_blobs};",
            half = versions / 2,
            manifest = digest("n"),
            blob = digest("1000000000 + n"),
        );
        match self {
            Rows::Sqlite(folder) => {
                let database = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
                database.execute_batch(&format!("BEGIN; {script} COMMIT;")).unwrap();
            }
            Rows::Postgres { server, name } => {
                let mut client =
                    postgres::Client::connect(&Rows::url(server, name), postgres::NoTls).unwrap();
                client.batch_execute(&format!("{script} ANALYZE;")).unwrap();
            }
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if let Rows::Postgres { server, name } = self
            && let Ok(mut client) = postgres::Client::connect(server, postgres::NoTls)
        {
            let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

/// What collecting came to.
struct Cost {
    /// How often each statement ran, and how many rows it gave or changed.
    statements: BTreeMap<&'static str, (u64, u64)>,
    instructions: u64,
    asked: Vec<String>,
    things: BTreeMap<&'static str, u64>,
}

async fn collect(rows: &Rows, versions: usize) -> Cost {
    let seen: Arc<Mutex<Vec<Statement>>> = Arc::default();
    let mut options = Options::new(rows.place());
    let observer = Arc::clone(&seen);
    options.observer = Some(Arc::new(move |work| observer.lock().unwrap().push(work)));
    let catalog = Catalog::open(&options).unwrap();
    let asked = Arc::new(Asked::default());
    let watch = Arc::new(Watch(AtomicI64::new(1_767_225_600 * SECOND)));
    let (store, clock) = (BlobStore::of(Arc::clone(&asked) as Arc<dyn Driver>), Arc::clone(&watch));
    let settings = Settings::new("admin".parse().unwrap());
    let (service, _) = Service::start(catalog, store, clock, settings).await.unwrap();
    service.operate(Command::UserCreate { name: "mona".into(), site_admin: false }).await;
    let token = Command::TokenCreate {
        user: "mona".into(),
        name: "of a test".into(),
        scopes: ["read:packages", "write:packages", "delete:packages"].map(str::to_owned).to_vec(),
        expires_seconds: None,
    };
    let Answer::Token { token, .. } = service.operate(token).await else { panic!("no token") };
    let mona = Shown::Bearer(token);
    std::thread::scope(|scope| scope.spawn(|| rows.fill(versions)).join().unwrap());

    let app: PackageName = "mona/app".parse().unwrap();
    for number in 0..DEAD {
        let mut bytes = vec![1];
        bytes.extend(format!("{:032}", 2 * number + 1).into_bytes());
        let digest = Reference::Digest(Digest::from_bytes(&bytes).unwrap());
        service.delete_manifest(&mona, &app, &digest).await.unwrap();
    }
    // What a sweep does besides is done.
    service.sweep().await.unwrap();
    seen.lock().unwrap().clear();
    let mut things: BTreeMap<&'static str, u64> = BTreeMap::new();
    // Until they can be restored no more, and then until their bytes may go.
    for days in [31, 2] {
        watch.0.fetch_add(days * DAY * SECOND, Ordering::SeqCst);
        loop {
            let swept = service.sweep().await.unwrap();
            for (kind, count) in &swept.collected.things {
                *things.entry(kind).or_default() += count;
            }
            if !swept.more {
                break;
            }
        }
    }
    let mut statements: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    let mut instructions = 0;
    for work in seen.lock().unwrap().iter() {
        let sum = statements.entry(work.statement).or_default();
        *sum = (sum.0 + 1, sum.1 + work.rows);
        instructions += work.steps;
    }
    let asked = asked.0.lock().unwrap().clone();
    Cost { statements, instructions, asked, things }
}

async fn costs_what_the_garbage_costs(small: &Rows, large: &Rows) {
    let (small, large) = (collect(small, SMALL).await, collect(large, LARGE).await);
    let dead = DEAD as u64;
    let blobs = dead * BLOBS_OF_A_VERSION as u64;
    let expected = [("blob", blobs), ("link", blobs), ("manifest", dead), ("version", dead)];
    assert_eq!(large.things, BTreeMap::from(expected), "all that is dead was collected, and no more");
    assert_eq!(small.things, large.things);
    assert_eq!(small.statements, large.statements, "the same statements, and the same rows");
    let rows: u64 = large.statements.values().map(|(_, rows)| rows).sum();
    // Some dozens for a version with its five blobs, where the catalog has 400,000.
    assert!(rows < 100 * dead, "{rows} rows: {:?}", large.statements);
    // Of the store it wants the garbage removed, each once, and nothing else.
    let mut removed = large.asked.clone();
    removed.sort_unstable();
    removed.dedup();
    assert!(removed.iter().all(|key| key.starts_with("blobs/")), "{:?}", large.asked);
    assert_eq!((removed.len() as u64, large.asked.len() as u64), (blobs, blobs));
    assert_eq!(small.asked.len(), large.asked.len());
    if small.instructions > 0 {
        let ratio = large.instructions as f64 / small.instructions as f64;
        println!(
            "{rows} rows, {} instructions, {ratio:.2} times those at the small size",
            large.instructions
        );
        assert!(ratio < INSTRUCTIONS_MAX, "{} and {}", small.instructions, large.instructions);
    }
}

#[tokio::test]
async fn collection_costs_what_the_garbage_costs_on_sqlite() {
    let folder = || Rows::Sqlite(tempfile::tempdir().unwrap());
    costs_what_the_garbage_costs(&folder(), &folder()).await;
}

#[test]
fn collection_costs_what_the_garbage_costs_on_postgres() {
    // Its client blocks, and must not do that on a runtime's thread.
    let (Some(small), Some(large)) = (Rows::postgres(), Rows::postgres()) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(costs_what_the_garbage_costs(&small, &large));
    drop(runtime);
}
