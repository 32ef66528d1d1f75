//! Collection against every act that meets it, on PostgreSQL, paused after each statement.
//!
//! Two transactions: a collector's and somebody's. One of them stops behind its first statement, then behind its second,
//! and so on, in a package of its own each time; the other runs meanwhile, to its end or until it waits for a lock of the
//! first. Whatever the order, what was acknowledged is there, and in the end nothing is left that nothing needs.

use crate::collection::collect;
use crate::database::{Database, wait_for, waiting};
use crate::house::{
    Actor, Done, House, PIN_SECONDS, collector, delete_package, delete_version, image, may, may_change,
    restore_version, sha256, unlink_blob,
};
use crate::versions::drift;
use packhouse_access::{Delete, PackageId, Pull, Push, Restore, VersionId, decide};
use packhouse_catalog::{Claimed, Finished, Judgement, Micros, ReviewKind, Work, WriteTx};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

/// Statements of the longest transaction here, with room; a run that reaches it has not ended.
const STATEMENTS_MAX: usize = 60;

/// Stops one transaction behind one of its statements.
#[derive(Clone, Default)]
struct Pauses(Arc<Mutex<Option<Armed>>>);

struct Armed {
    /// The thread that runs the transaction; none: it has not begun.
    thread: Option<ThreadId>,
    left: usize,
    reached: Sender<()>,
    go: Receiver<()>,
}

impl Pauses {
    /// The transaction that next calls [`Pauses::begin`] stops behind its `statement`th statement.
    fn arm(&self, statement: usize) -> (Receiver<()>, Sender<()>) {
        let (reached, there) = channel();
        let (release, go) = channel();
        *self.0.lock().unwrap() = Some(Armed { thread: None, left: statement, reached, go });
        (there, release)
    }

    fn begin(&self) {
        if let Some(armed) = self.0.lock().unwrap().as_mut() {
            armed.thread.get_or_insert(thread::current().id());
        }
    }

    fn observe(&self) {
        let mut armed = self.0.lock().unwrap();
        let Some(mine) = armed.as_mut().filter(|armed| armed.thread == Some(thread::current().id())) else {
            return;
        };
        mine.left -= 1;
        if mine.left == 0 {
            let mine = armed.take();
            drop(armed);
            if let Some(mine) = mine {
                let _ = mine.reached.send(());
                let _ = mine.go.recv();
            }
        }
    }
}

type Body = Box<dyn for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>) -> Done<bool> + Send>;

/// One meeting: its packages have a number of their own.
struct Meeting {
    collect: Body,
    act: Body,
    /// Which blob must be readable, and where, when the act was acknowledged.
    promised: Option<(&'static str, String)>,
}

/// Runs both, `paused` stopping behind its `statement`th; what the act answered, and whether the stop was reached.
fn meet(
    house: &House,
    url: &str,
    pauses: &Pauses,
    meeting: &mut Meeting,
    collector_pauses: bool,
    statement: usize,
) -> (Done<bool>, bool) {
    let empty = || -> Body { Box::new(|_| Ok(false)) };
    let (mut collect, mut act) =
        (std::mem::replace(&mut meeting.collect, empty()), std::mem::replace(&mut meeting.act, empty()));
    let (there, release) = pauses.arm(statement);
    let (begun_by_collector, begun_by_act) = (pauses.clone(), pauses.clone());
    let collect = move |tx: &mut WriteTx<'_, '_>| {
        if collector_pauses {
            begun_by_collector.begin();
        }
        collect(tx)
    };
    let act = move |tx: &mut WriteTx<'_, '_>| {
        if !collector_pauses {
            begun_by_act.begin();
        }
        act(tx)
    };
    let (first, second): (Body, Body) = if collector_pauses {
        (Box::new(collect), Box::new(act))
    } else {
        (Box::new(act), Box::new(collect))
    };
    let mut first = house.start(first);
    let mut reached = false;
    wait_for(|| {
        reached |= there.try_recv().is_ok();
        reached || house.is_answered(&mut first)
    });
    let mut second = house.start(second);
    let mut waits = waiting(url);
    wait_for(|| house.is_answered(&mut second) || waits());
    drop(release);
    let (first, second) = (house.answer(first), house.answer(second));
    let (collected, acted) = if collector_pauses { (first, second) } else { (second, first) };
    assert!(collected.is_ok(), "the collector: {collected:?}");
    (acted, reached)
}

/// A blob in `mona/one-N`, whose pin is over, and which kind of review a collector has claimed for it.
struct Stage<'h> {
    house: &'h House,
    mona: &'h Actor,
    number: usize,
    now: Cell<Micros>,
}

impl Stage<'_> {
    fn path(&self, name: &str) -> String {
        format!("mona/{name}-{}", self.number)
    }
    fn layer(&self) -> String {
        format!("layer {}", self.number)
    }

    /// A collector that looks at all claimed reviews of a kind.
    fn collector(&self, kind: ReviewKind) -> Body {
        let now = self.now.get();
        let claimed: Vec<Claimed> = self
            .house
            .write(move |tx| {
                let may = collector(tx)?;
                Ok(tx.claim_reviews(&may, now, now.plus_seconds(60), 200)?)
            })
            .unwrap();
        let path = self.path("one");
        let package = PackageId(self.house.number(&format!("SELECT id FROM packages WHERE path = '{path}'")));
        let mine = |claimed: &Claimed| claimed.kind == kind && claimed.package.is_none_or(|id| id == package);
        let claimed: Vec<Claimed> = claimed.into_iter().filter(mine).collect();
        assert!(!claimed.is_empty(), "there is nothing to look at");
        let judgement = Judgement { now, restorable_since: now.minus_seconds(1), trash_at: now };
        Box::new(move |tx| {
            let may = collector(tx)?;
            match claimed[0].package {
                Some(package) => tx.collect_in_package(&may, package, &claimed, &judgement)?,
                None if kind == ReviewKind::Manifest => tx.collect_manifests(&may, &claimed)?,
                None => tx.collect_blobs(&may, &claimed, &judgement)?,
            };
            Ok(true)
        })
    }

    fn push_blob_to(&self, name: &'static str) -> Body {
        let (shows, path, now) = (self.mona.shows.clone(), self.path(name), self.now.get());
        let (digest, size) = (sha256(&self.layer()), self.layer().len() as u64);
        let key = self.house.key();
        Box::new(move |tx| {
            let may = may_change::<Push>(tx, &shows, &path)?;
            let upload = tx.begin_upload(&may, &key, &key, &[], now, now.plus_seconds(60))?;
            let pinned = now.plus_seconds(PIN_SECONDS);
            Ok(tx.finish_upload(
                &may,
                &upload,
                &Finished { digest, size },
                now,
                now.plus_seconds(60),
                pinned,
            )?)
        })
    }

    fn push_manifest(&self) -> Body {
        let (shows, path, now) = (self.mona.shows.clone(), self.path("one"), self.now.get());
        let manifest = image(&self.layer(), &[]).build();
        let needed = [sha256(&self.layer())];
        Box::new(move |tx| {
            let may = may_change::<Push>(tx, &shows, &path)?;
            if !tx.missing_blobs(&may, &needed)?.is_empty() {
                return Ok(false);
            }
            tx.put_manifest(&may, &manifest, now)?;
            Ok(true)
        })
    }

    fn mount(&self) -> Body {
        let (shows, from, into, now) =
            (self.mona.shows.clone(), self.path("one"), self.path("two"), self.now.get());
        let digest = sha256(&self.layer());
        Box::new(move |tx| {
            let into = may_change::<Push>(tx, &shows, &into)?;
            let from = may::<Pull>(tx, &shows, &from)?;
            Ok(tx.mount_blob(&into, &from, &digest, now, now.plus_seconds(PIN_SECONDS))?)
        })
    }

    fn head(&self) -> Body {
        let (shows, path, now) = (self.mona.shows.clone(), self.path("one"), self.now.get());
        let digest = sha256(&self.layer());
        Box::new(move |tx| {
            let may = may_change::<Push>(tx, &shows, &path)?;
            Ok(tx.pin_blob(&may, &digest, now.plus_seconds(PIN_SECONDS))?)
        })
    }

    fn take_out(&self) -> Body {
        let (shows, path, now) = (self.mona.shows.clone(), self.path("one"), self.now.get());
        let digest = sha256(&self.layer());
        Box::new(move |tx| {
            let may = may_change::<Delete>(tx, &shows, &path)?;
            unlink_blob(tx, &may, &digest, now)
        })
    }

    fn restore(&self, version: i64) -> Body {
        let (shows, path, now) = (self.mona.shows.clone(), self.path("one"), self.now.get());
        Box::new(move |tx| {
            let caller = crate::house::caller(tx, &shows)?;
            let may = decide::<Restore>(&tx.facts(&caller, &path)?)?;
            let Some((deleted, false)) = tx.version_to_restore(&may, VersionId(version))? else {
                return Ok(false);
            };
            restore_version(tx, &may, &deleted, now)?;
            Ok(true)
        })
    }

    fn delete(&self, name: &str) -> Body {
        let (shows, path, now) = (self.mona.shows.clone(), self.path(name), self.now.get());
        let digest = image(&self.layer(), &[]).build().digest;
        Box::new(move |tx| {
            let may = may_change::<Delete>(tx, &shows, &path)?;
            delete_version(tx, &may, &digest, now)
        })
    }

    fn delete_package(&self) -> Body {
        let (shows, path, now) = (self.mona.shows.clone(), self.path("one"), self.now.get());
        Box::new(move |tx| {
            let may = may_change::<Delete>(tx, &shows, &path)?;
            delete_package(tx, &may, now)
        })
    }

    fn restore_package(&self) -> Body {
        let (shows, path, now) = (self.mona.shows.clone(), self.path("one"), self.now.get());
        Box::new(move |tx| {
            let caller = crate::house::caller(tx, &shows)?;
            // It may be over.
            let Ok(may) = decide::<Restore>(&tx.facts_deleted(&caller, &path, Micros(0))?) else {
                return Ok(false);
            };
            Ok(tx.restore_package(&may, now)?)
        })
    }

    fn run(&self, mut body: Body) {
        assert!(self.house.write(move |tx| body(tx)).unwrap());
    }

    /// The link is gone, and its blob is under review.
    fn drop_link(&self) {
        let mut link = self.collector(ReviewKind::Link);
        self.house.write(move |tx| link(tx)).unwrap();
    }
}

/// Ends the sessions that have expired: they keep their package.
fn sweep(house: &House, now: Micros) {
    house
        .write(move |tx| {
            let may = collector(tx)?;
            Ok(tx.end_expired_uploads(&may, now, 1_000, &mut |_| true)?)
        })
        .unwrap();
}

/// Stages a meeting for every statement of either side, until neither has one more.
fn explore(stage_one: impl Fn(&Stage<'_>) -> Meeting) {
    let pauses = Pauses::default();
    let seen = pauses.clone();
    let Some(database) = Database::postgres() else { return };
    let house = House::open(database, |options| {
        options.observer = Some(Arc::new(move |_: Work| seen.observe()));
    });
    let Database::Postgres(database) = &house.database else { return };
    let url = database.url.clone();
    let mona = house.user("mona");
    let (mut number, mut answers) = (0, BTreeSet::new());
    for collector_pauses in [true, false] {
        for statement in 1..=STATEMENTS_MAX {
            number += 1;
            let stage = Stage { house: &house, mona: &mona, number, now: Cell::new(Micros(0)) };
            for name in ["one", "two"] {
                house.package(&mona, &stage.path(name));
            }
            house.push_blob(&mona, &stage.path("one"), &stage.layer());
            stage.now.set(house.now().plus_seconds(PIN_SECONDS + 1));
            let mut meeting = stage_one(&stage);
            let (acted, reached) = meet(&house, &url, &pauses, &mut meeting, collector_pauses, statement);
            let acted = acted.unwrap_or_else(|error| panic!("behind statement {statement}: {error:?}"));
            answers.insert(acted);
            if let (true, Some((name, blob))) = (acted, &meeting.promised) {
                let (shows, path, digest) = (mona.shows.clone(), stage.path(name), sha256(blob));
                let found = house.read(move |tx| {
                    let may = may::<Pull>(tx, &shows, &path)?;
                    Ok(tx.blob(&may, &digest)?.is_some())
                });
                assert!(
                    found.unwrap(),
                    "lost behind statement {statement}, collector paused: {collector_pauses}"
                );
            }
            whole(&house);
            assert_eq!(drift(&house), Vec::<String>::new(), "behind statement {statement}");
            if !reached {
                assert!(statement > 3, "only {statement} statements: nothing was paused");
                break;
            }
            assert!(statement < STATEMENTS_MAX, "it does not end");
        }
    }
    // In the end, what nothing names is gone, and nothing waits. No upload keeps a package by then.
    let later = house.now().plus_seconds(10 * PIN_SECONDS + 100_000);
    sweep(&house, later);
    collect(&house, later);
    whole(&house);
    assert_eq!(house.rows("SELECT kind, package_id FROM reviews"), Vec::<String>::new());
    let named = house.number("SELECT count(DISTINCT digest) FROM version_blobs");
    assert_eq!(house.number("SELECT count(*) FROM blobs"), named, "nothing is left that nothing names");
}

/// Every link has its blob, every blob or its key is somewhere once, and what nothing names is under review.
fn whole(house: &House) {
    for (what, statement) in [
        ("bytes of a blob in the trash", "SELECT b.storage_key FROM blobs b JOIN trash t ON t.storage_key = b.storage_key"),
        (
            "a blob that nobody will look at",
            "SELECT b.digest FROM blobs b WHERE NOT EXISTS (SELECT 1 FROM package_blobs l WHERE l.digest = b.digest)
               AND NOT EXISTS (SELECT 1 FROM package_blobs_unlinked l WHERE l.digest = b.digest)
               AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.kind = 6 AND r.digest = b.digest)",
        ),
        (
            "a link that nobody will look at",
            "SELECT l.digest FROM package_blobs l WHERE NOT EXISTS (SELECT 1 FROM version_blobs v
                 WHERE v.package_id = l.package_id AND v.digest = l.digest)
               AND NOT EXISTS (SELECT 1 FROM version_children v
                 WHERE v.package_id = l.package_id AND v.digest = l.digest)
               AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.kind = 4 AND r.package_id = l.package_id
                 AND r.digest = l.digest)",
        ),
        (
            "a version without the bytes of its manifest's blobs",
            "SELECT v.digest FROM version_blobs v JOIN versions w ON w.id = v.version_id AND w.deleted_at IS NULL
             WHERE NOT EXISTS (SELECT 1 FROM package_blobs l WHERE l.package_id = v.package_id AND l.digest = v.digest)",
        ),
    ] {
        assert_eq!(house.rows(statement), Vec::<String>::new(), "{what}");
    }
}

/// Stamps a test for an act against the review of a link, and one against that of the blob behind it.
macro_rules! against {
    ($($test:ident: $kind:ident, $promised:expr, $stage:ident => $act:expr;)+) => {$(
        #[test]
        fn $test() {
            explore(|$stage| {
                if ReviewKind::$kind == ReviewKind::Blob {
                    $stage.drop_link();
                }
                let act = $act;
                let promised: Option<&'static str> = $promised;
                let promised = promised.map(|name| (name, $stage.layer()));
                Meeting { collect: $stage.collector(ReviewKind::$kind), act, promised }
            });
        }
    )+};
}

against! {
    a_push_of_the_blob_and_its_link: Link, Some("one"), stage => stage.push_blob_to("one");
    a_push_elsewhere_and_the_link: Link, Some("two"), stage => stage.push_blob_to("two");
    a_push_of_the_blob_and_the_blob: Blob, Some("one"), stage => stage.push_blob_to("one");
    a_push_elsewhere_and_the_blob: Blob, Some("two"), stage => stage.push_blob_to("two");
    a_manifest_and_the_link: Link, Some("one"), stage => stage.push_manifest();
    a_manifest_and_the_blob: Blob, Some("one"), stage => stage.push_manifest();
    a_mount_and_the_link: Link, Some("two"), stage => stage.mount();
    a_mount_and_the_blob: Blob, Some("two"), stage => stage.mount();
    being_told_and_the_link: Link, Some("one"), stage => stage.head();
    being_told_and_the_blob: Blob, Some("one"), stage => stage.head();
    taking_out_and_the_link: Link, None, stage => stage.take_out();
    pushing_again_and_the_blob_that_was_taken_out: Unlinked, Some("two"), stage => {
        stage.run(stage.take_out());
        stage.now.set(stage.now.get().plus_seconds(2));
        stage.push_blob_to("two")
    };
    restoring_and_the_version: Version, Some("one"), stage => {
        stage.run(stage.push_manifest());
        stage.run(stage.delete("one"));
        stage.now.set(stage.now.get().plus_seconds(2));
        stage.restore(stage.house.number("SELECT MAX(id) FROM versions"))
    };
    deleting_the_version_and_the_link: Link, Some("one"), stage => {
        stage.run(stage.push_manifest());
        stage.delete("one")
    };
    deleting_the_package_and_the_link: Link, None, stage => stage.delete_package();
    deleting_the_package_and_the_version: Version, None, stage => {
        stage.run(stage.push_manifest());
        stage.run(stage.delete("one"));
        stage.now.set(stage.now.get().plus_seconds(2));
        stage.delete_package()
    };
    restoring_the_package_and_its_end: Package, Some("one"), stage => {
        stage.run(stage.push_manifest());
        stage.run(stage.delete_package());
        sweep(stage.house, stage.now.get().plus_seconds(PIN_SECONDS));
        stage.now.set(stage.now.get().plus_seconds(2));
        stage.restore_package()
    };
    a_push_of_the_manifest_and_its_bytes: Manifest, Some("one"), stage => {
        stage.run(stage.push_manifest());
        stage.run(stage.delete("one"));
        stage.now.set(stage.now.get().plus_seconds(2));
        let mut version = stage.collector(ReviewKind::Version);
        stage.house.write(move |tx| version(tx)).unwrap();
        stage.push_manifest()
    };
}
