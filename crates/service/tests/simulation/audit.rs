//! What must be true when all is quiet, and in the end.

use crate::house::{DELETED_SECONDS, GRACE_SECONDS};
use crate::scheduler::Run;
use crate::universe::{PACKAGES, TAGS, sha256, universe};
use crate::world::World;
use packhouse_oci::Digest;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// After so many times of all graces together everything that is dead is gone.
const ROUNDS: usize = 5;
/// Sweeps after which there must be nothing left to do at one time.
const SWEEPS_MAX: usize = 40;

type Alive = BTreeSet<(&'static str, Digest)>;

/// Everything that was acknowledged is there; then time passes, and what nothing needs is gone.
pub(crate) async fn audit(run: &mut Run) {
    run.world.trace("all is quiet");
    look(run).await;
    // While pins still hold.
    for _ in 0..2 {
        run.world.pass(GRACE_SECONDS / 4);
        sweep(run).await;
        look_at_promises(run).await;
    }
    for _ in 0..ROUNDS {
        if run.is_wrong() {
            return;
        }
        run.world.pass(DELETED_SECONDS + GRACE_SECONDS);
        sweep(run).await;
    }
    let alive = look(run).await;
    if !run.is_wrong() {
        compare(&run.world, &alive);
    }
}

/// Reads everything that may be there.
async fn look(run: &mut Run) -> Alive {
    let op = run.next_op();
    let mut client = run.client(op);
    let alive = Arc::new(Mutex::new(Alive::new()));
    let found = Arc::clone(&alive);
    run.alone(op, async move {
        for package in PACKAGES {
            for tag in TAGS {
                client.look_at_tag(package, tag).await;
            }
            let mut blobs = BTreeSet::new();
            for manifest in &universe().manifests {
                if client.look_at(package, manifest).await.is_some() {
                    found.lock().unwrap().insert((package, manifest.digest));
                    blobs.extend(manifest.blobs());
                }
            }
            for digest in blobs {
                client.look_at_blob(package, digest).await;
            }
        }
    })
    .await;
    look_at_promises(run).await;
    Arc::into_inner(alive).unwrap().into_inner().unwrap()
}

async fn look_at_promises(run: &mut Run) {
    let op = run.next_op();
    let mut client = run.client(op);
    let (step, clock) = (run.world.now_step() + 1, run.world.clock());
    let promised: Vec<_> = {
        let ledger = run.world.ledger();
        let held =
            |(package, digest): &(&'static str, Digest)| ledger.is_promised(package, digest, step, clock);
        ledger.promised().into_iter().filter(held).collect()
    };
    run.alone(op, async move {
        for (package, digest) in promised {
            client.look_at_blob(package, digest).await;
        }
    })
    .await;
}

/// Sweeps until nothing is left to do now.
async fn sweep(run: &mut Run) {
    let op = run.next_op();
    let client = run.client(op);
    run.alone(op, async move {
        let Some(node) = client.nodes.first() else { return };
        for _ in 0..SWEEPS_MAX {
            match node.sweep().await {
                Ok(swept) if !swept.more => return,
                Ok(_) => {}
                Err(error) => {
                    client.world.ledger().wrong(format!("a sweep without faults failed: {}", error.chain()));
                    return;
                }
            }
        }
        client.world.ledger().wrong("sweeping does not come to an end".to_owned());
    })
    .await;
}

/// The store's own listing and the catalog's rows against what live manifests need.
fn compare(world: &World, alive: &Alive) {
    let stored = world.disk().list();
    let strays = world.disk().strays.clone();
    let needed: BTreeSet<(&str, Digest)> = alive
        .iter()
        .flat_map(|(package, digest)| universe().manifest(digest).blobs().map(|blob| (*package, blob)))
        .collect();
    let stepped = world.stepped.lock().unwrap();
    let sqlite = stepped.sqlite().unwrap();
    let digest = |bytes: Vec<u8>| Digest::from_bytes(&bytes).unwrap();
    let mut ledger = world.ledger();
    for (what, text) in [
        ("keys in the trash", "SELECT COUNT(*) FROM trash"),
        ("upload sessions", "SELECT COUNT(*) FROM uploads"),
        ("blobs that a restored version might get back", "SELECT COUNT(*) FROM package_blobs_unlinked"),
        ("deleted versions", "SELECT COUNT(*) FROM versions WHERE deleted_at IS NOT NULL"),
        ("reviews", "SELECT COUNT(*) FROM reviews"),
    ] {
        let left: i64 = sqlite.prepare_cached(text).unwrap().query_row([], |row| row.get(0)).unwrap();
        if left > 0 {
            ledger.wrong(format!("{left} {what} are left for ever"));
        }
    }
    let rows = |text: &str| -> Vec<(String, Vec<u8>)> {
        let mut asked = sqlite.prepare_cached(text).unwrap();
        let rows = asked.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    for (_, bytes) in rows("SELECT '', digest FROM manifests") {
        let digest = digest(bytes);
        if !alive.iter().any(|(_, live)| *live == digest) {
            ledger.wrong(format!("the manifest {} is left", universe().manifest(&digest).name));
        }
    }
    for (package, bytes) in
        rows("SELECT p.path, l.digest FROM package_blobs l JOIN packages p ON p.id = l.package_id")
    {
        let digest = digest(bytes);
        if !needed.contains(&(package.as_str(), digest)) {
            ledger.wrong(format!("the link of {digest} in {package} is left"));
        }
    }
    let blobs = rows("SELECT storage_key, digest FROM blobs");
    for (key, bytes) in &blobs {
        let digest = digest(bytes.clone());
        if !needed.iter().any(|(_, blob)| *blob == digest) {
            ledger.wrong(format!("the blob {digest} is left"));
        }
        match stored.iter().find(|(name, _)| name == key) {
            Some((_, found)) if sha256(found) == digest => {}
            Some(_) => ledger.wrong(format!("the stored bytes of {digest} are others")),
            None => ledger.wrong(format!("the stored bytes of {digest} are gone")),
        }
    }
    for (name, _) in &stored {
        if !blobs.iter().any(|(key, _)| key == name) && !strays.contains(name) {
            ledger.wrong(format!("{name} is left in the store, which nothing names"));
        }
    }
}
