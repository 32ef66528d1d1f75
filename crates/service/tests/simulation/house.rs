//! A house that is made once and used for many runs: each is rolled back, so that the next begins with the same rows.

use crate::driver::Place;
use crate::mutants::Mutant;
use crate::scheduler::Run;
use crate::world::World;
use packhouse_blobs::BlobStore;
use packhouse_catalog::{Ending, Stepped};
use packhouse_service::operator::{Answer, Command};
use packhouse_service::{Clock, Service, Settings, Shown};
use std::sync::{Arc, Mutex};
use tokio::runtime::{Builder, Runtime};

pub(crate) const GRACE_SECONDS: i64 = 100;
pub(crate) const DELETED_SECONDS: i64 = 300;
pub(crate) const IDLE_SECONDS: i64 = 200;
const LEASE_SECONDS: u64 = 30;

pub(crate) struct House {
    runtime: Runtime,
    stepped: Arc<Mutex<Stepped>>,
    shown: Shown,
    mutant: Mutant,
}

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) trace: String,
    /// What was found to be wrong.
    pub(crate) wrong: Option<String>,
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::new("admin".parse().unwrap());
    settings.gc_grace_seconds = GRACE_SECONDS.cast_unsigned();
    // A step at a time: what happens between two of a collector's is another one's, or a client's.
    settings.collect_at_once = 1;
    settings.deleted_seconds = DELETED_SECONDS.cast_unsigned();
    settings.upload_idle_seconds_max = IDLE_SECONDS.cast_unsigned();
    settings.lease_seconds = LEASE_SECONDS;
    settings
}

impl House {
    pub(crate) fn new(mutant: Mutant) -> House {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let stepped = Stepped::open(rusqlite::Connection::open_in_memory().unwrap()).unwrap();
        let stepped = Arc::new(Mutex::new(stepped));
        let shown = runtime.block_on(first_day(&stepped));
        execute(&stepped, mutant.triggers());
        stepped.lock().unwrap().forget();
        House { runtime, stepped, shown, mutant }
    }

    /// One run, which the seed decides.
    pub(crate) fn run(&self, seed: u64) -> Outcome {
        execute(&self.stepped, "BEGIN");
        let world = Arc::new(World::new(self.mutant, Arc::clone(&self.stepped)));
        let outcome = self.runtime.block_on(Run::new(Arc::clone(&world), self.shown.clone(), seed).play());
        execute(&self.stepped, "ROLLBACK");
        self.stepped.lock().unwrap().forget();
        outcome
    }
}

fn execute(stepped: &Mutex<Stepped>, text: &str) {
    stepped.lock().unwrap().sqlite().unwrap().execute_batch(text).unwrap();
}

/// The first start, a user and their token.
async fn first_day(stepped: &Arc<Mutex<Stepped>>) -> Shown {
    let world = Arc::new(World::new(Mutant::None, Arc::clone(stepped)));
    let (catalog, door) = stepped.lock().unwrap().door();
    let store = BlobStore::of(Arc::new(Place { world: Arc::clone(&world), node: 0, shared: false }));
    let clock: Arc<dyn Clock> = world;
    let making = tokio::spawn(async move {
        let (service, _) = Service::start(catalog, store, clock, settings()).await.unwrap();
        let made = service.operate(Command::UserCreate { name: "mona".into(), site_admin: false }).await;
        assert!(!matches!(made, Answer::Refused { .. }), "{made:?}");
        let command = Command::TokenCreate {
            user: "mona".into(),
            name: "of the simulation".into(),
            scopes: ["read:packages", "write:packages", "delete:packages"].map(str::to_owned).to_vec(),
            expires_seconds: None,
        };
        match service.operate(command).await {
            Answer::Token { token, .. } => Shown::Bearer(token),
            other => panic!("{other:?}"),
        }
    });
    while !making.is_finished() {
        while let Some(step) = door.next() {
            stepped.lock().unwrap().run(step, Ending::Answered);
        }
        tokio::task::yield_now().await;
    }
    making.await.unwrap()
}
