//! What a transaction promises, whatever is in it.

use crate::database::wait_for;
use crate::house::{Done, Fault, House, WRITERS, move_tag, on_every_database};
use packhouse_access::AccountId;
use packhouse_catalog::{AccountKind, CatalogError, Micros, ReadTx, WriteTx};
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::time::Duration;

on_every_database!(
    what_was_answered_is_there,
    an_error_of_a_closure_rolls_back,
    a_panic_fails_that_one_and_not_its_neighbours,
    a_failed_statement_that_was_swallowed_never_commits,
    neighbours_of_every_fate_each_get_their_own_answer,
    many_writers_lose_nothing,
    of_many_that_make_the_same_account_one_does,
    of_many_that_push_the_same_things_all_succeed,
    a_read_sees_one_moment,
    a_writer_sees_what_it_wrote,
    what_nobody_waits_for_is_done_all_the_same,
    a_full_queue_is_busy_and_then_is_not,
    a_setting_is_remembered,
    deciding_on_settings_is_done_by_one_at_a_time,
);

/// Writes one setting.
fn put(tx: &mut WriteTx<'_, '_>, name: &str) -> Done<()> {
    Ok(tx.put_setting(name, "there")?)
}

fn is_there(house: &House, name: &'static str) -> bool {
    house.read(move |tx| Ok(tx.setting(name)?.is_some())).unwrap()
}

/// A statement that fails on both databases: a membership of nobody.
fn fail(tx: &mut WriteTx<'_, '_>) -> Result<(), CatalogError> {
    let operator = tx.caller(&packhouse_catalog::Presented::Operator, Micros(1))?.unwrap();
    let may = packhouse_access::decide_operate(&operator).unwrap();
    tx.put_member(&may, AccountId(9_998), AccountId(9_999), true)
}

/// A transaction that was sent and whose answer was not taken yet.
pub(crate) struct Started<T>(Pin<Box<dyn Future<Output = Done<T>>>>);

impl House {
    /// Sends a transaction without waiting for it. They run in the order they were sent, on SQLite.
    pub(crate) fn start<T: Send + 'static>(
        &self,
        body: impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>) -> Done<T> + Send + 'static,
    ) -> Started<T> {
        let catalog = self.catalog.clone();
        let mut sent: Pin<Box<dyn Future<Output = Done<T>>>> =
            Box::pin(async move { catalog.write(body).await });
        match self.wait(poll_fn(|context| Poll::Ready(sent.as_mut().poll(context)))) {
            Poll::Ready(answer) => Started(Box::pin(ready(answer))),
            Poll::Pending => Started(sent),
        }
    }

    /// Whether the answer has come; it is kept.
    pub(crate) fn is_answered<T: 'static>(&self, started: &mut Started<T>) -> bool {
        match self.wait(poll_fn(|context| Poll::Ready(started.0.as_mut().poll(context)))) {
            Poll::Ready(answer) => {
                started.0 = Box::pin(ready(answer));
                true
            }
            Poll::Pending => false,
        }
    }

    pub(crate) fn answer<T>(&self, started: Started<T>) -> Done<T> {
        self.wait(started.0)
    }

    /// Holds every thread that writes in a transaction until this is dropped: what is sent meanwhile waits, and on
    /// SQLite shares a commit.
    fn hold(&self) -> Held {
        let (held, holds) = channel();
        let mut release = Vec::new();
        let writers = if self.is_on_postgres() { WRITERS } else { 1 };
        for _ in 0..writers {
            let (go, wait) = channel::<()>();
            let held = held.clone();
            drop(self.start(move |_| {
                let _ = held.send(());
                let _ = wait.recv();
                Ok(())
            }));
            await_signal(&holds);
            release.push(go);
        }
        Held(release)
    }
}

/// Dropped, it lets go.
struct Held(#[expect(dead_code, reason = "dropping them is the signal")] Vec<Sender<()>>);

fn what_was_answered_is_there(house: &House) {
    for number in 0..50 {
        let name = format!("s{number}");
        let again = name.clone();
        house.write(move |tx| put(tx, &name)).unwrap();
        // Another connection sees it as soon as the answer is there.
        assert!(house.read(move |tx| Ok(tx.setting(&again)?.is_some())).unwrap());
    }
    assert_eq!(house.number("SELECT count(*) FROM settings"), 50);
}

fn an_error_of_a_closure_rolls_back(house: &House) {
    let failed: Done<()> = house.write(|tx| {
        put(tx, "half")?;
        Err(Fault::Wanted)
    });
    assert!(matches!(failed, Err(Fault::Wanted)));
    assert!(!is_there(house, "half"));
    // The connection is as good as before.
    house.write(|tx| put(tx, "whole")).unwrap();
    assert!(is_there(house, "whole"));
}

fn a_panic_fails_that_one_and_not_its_neighbours(house: &House) {
    let held = house.hold();
    let before = house.start(|tx| put(tx, "before"));
    let panicked = house.start(|tx| -> Done<()> {
        put(tx, "panicked")?;
        panic!("wanted by a test");
    });
    let after = house.start(|tx| put(tx, "after"));
    drop(held);
    let panicked = house.answer(panicked);
    assert!(matches!(panicked, Err(Fault::Catalog(CatalogError::Panicked))), "{panicked:?}");
    assert!(house.answer(before).is_ok() && house.answer(after).is_ok());
    assert_eq!(house.rows("SELECT name FROM settings ORDER BY name"), ["after", "before"]);
    // A read may panic as well.
    let read: Done<()> = house.read(|_| panic!("wanted by a test"));
    assert!(matches!(read, Err(Fault::Catalog(CatalogError::Panicked))));
    assert!(is_there(house, "before"));
}

/// A closure that takes a failed statement for success must not be told that its changes are on disk.
fn a_failed_statement_that_was_swallowed_never_commits(house: &House) {
    let swallowed = |name: &'static str| {
        house.start(move |tx| {
            put(tx, name)?;
            let _ = fail(tx);
            Ok(())
        })
    };
    // By itself, and together with others in one commit.
    let alone = house.answer(swallowed("alone"));
    assert!(matches!(alone, Err(Fault::Catalog(CatalogError::Lost(1)))), "{alone:?}");
    let held = house.hold();
    let good = house.start(|tx| put(tx, "good"));
    let together = swallowed("together");
    let fine = house.start(|tx| put(tx, "fine"));
    drop(held);
    let together = house.answer(together);
    assert!(matches!(together, Err(Fault::Catalog(CatalogError::Lost(1)))), "{together:?}");
    assert!(house.answer(good).is_ok() && house.answer(fine).is_ok());
    assert_eq!(house.rows("SELECT name FROM settings ORDER BY name"), ["fine", "good"]);
}

fn neighbours_of_every_fate_each_get_their_own_answer(house: &House) {
    let held = house.hold();
    let started: Vec<_> = (0..60)
        .map(|number: usize| {
            house.start(move |tx| {
                put(tx, &format!("n{number}"))?;
                match number % 5 {
                    0 => Err(Fault::Wanted),
                    1 => Ok(fail(tx).map(|()| number)?),
                    2 => panic!("wanted by a test"),
                    _ => Ok(number),
                }
            })
        })
        .collect();
    drop(held);
    let mut kept = 0;
    for (number, started) in started.into_iter().enumerate() {
        let answer = house.answer(started);
        let as_it_should = match number % 5 {
            0 => matches!(answer, Err(Fault::Wanted)),
            1 => matches!(
                answer,
                Err(Fault::Catalog(CatalogError::Sqlite { .. } | CatalogError::Postgres { .. }))
            ),
            2 => matches!(answer, Err(Fault::Catalog(CatalogError::Panicked))),
            _ => matches!(answer, Ok(own) if own == number),
        };
        assert!(as_it_should, "{number}: {answer:?}");
        kept += i64::from(number % 5 > 2);
    }
    assert_eq!(house.number("SELECT count(*) FROM settings"), kept);
}

fn many_writers_lose_nothing(house: &House) {
    const TASKS: usize = 64;
    const WRITES: usize = 50;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let catalog = house.catalog.clone();
            house.runtime.spawn(async move {
                for number in 0..WRITES {
                    let written: Done<()> = catalog
                        .write(move |tx| {
                            tx.lock_settings()?;
                            let count: usize = tx.setting("count")?.map_or(0, |count| count.parse().unwrap());
                            tx.put_setting("count", &(count + 1).to_string())?;
                            let may = crate::house::operator(tx)?;
                            let name = format!("{task}-{number}");
                            let made = tx.create_account(&may, &name, AccountKind::User, false, Micros(1))?;
                            assert!(made.is_some());
                            Ok(())
                        })
                        .await;
                    written.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        house.wait(task).unwrap();
    }
    let count = house.read(|tx| Ok(tx.setting("count")?)).unwrap().unwrap();
    assert_eq!(count, (TASKS * WRITES).to_string());
    let rows = house.number("SELECT count(*) FROM accounts");
    assert_eq!(rows, i64::try_from(TASKS * WRITES).unwrap());
}

fn of_many_that_make_the_same_account_one_does(house: &House) {
    for round in 0..10 {
        let started: Vec<_> = (0..8)
            .map(|_| {
                let name = format!("same-{round}");
                house.start(move |tx| {
                    let may = crate::house::operator(tx)?;
                    let made = tx.create_account(&may, &name, AccountKind::User, false, Micros(1))?;
                    // Who was first has the account, and all others find it.
                    let found = tx.account(&name)?.unwrap().id;
                    assert!(made.is_none_or(|made| made == found));
                    Ok(made.is_some())
                })
            })
            .collect();
        let made = started.into_iter().map(|started| house.answer(started).unwrap());
        assert_eq!(made.filter(|made| *made).count(), 1);
    }
    assert_eq!(house.number("SELECT count(*) FROM accounts"), 10);
}

/// First pushes of eight clients at once: the package, the blob, the manifest, its version and its tag are all new.
fn of_many_that_push_the_same_things_all_succeed(house: &House) {
    use crate::house::{image, sha256, tag};
    use packhouse_access::{Push, decide, decide_create};
    use packhouse_catalog::Finished;
    let mona = house.user("mona");
    for round in 0..5 {
        let started: Vec<_> = (0..8)
            .map(|number| {
                let (shows, path, key) = (mona.shows.clone(), format!("mona/tool-{round}"), house.key());
                let config = format!("config {round}");
                let manifest = image(&config, &[]).build();
                let finished = Finished { digest: sha256(&config), size: 9 };
                house.start(move |tx| {
                    let caller = crate::house::caller(tx, &shows)?;
                    let mut facts = tx.facts(&caller, &path)?;
                    if !facts.exists() {
                        tx.create_package(&decide_create(&facts)?, Micros(1))?;
                        facts = tx.facts(&caller, &path)?;
                    }
                    let may = decide::<Push>(&facts)?;
                    let upload = tx.begin_upload(&may, &key, &key, &[], Micros(1), Micros(100))?;
                    assert!(tx.finish_upload(
                        &may,
                        &upload,
                        &finished,
                        Micros(2),
                        Micros(100),
                        Micros(200)
                    )?);
                    assert_eq!(tx.missing_blobs(&may, &[finished.digest])?, []);
                    let pushed = tx.put_manifest(&may, &manifest, Micros(3))?;
                    move_tag(tx, &may, &tag("latest"), pushed.version, Micros(4 + number))?;
                    Ok(pushed)
                })
            })
            .collect();
        let pushed: Vec<_> = started.into_iter().map(|started| house.answer(started).unwrap()).collect();
        assert_eq!(pushed.iter().filter(|pushed| pushed.created).count(), 1);
        assert!(pushed.iter().all(|each| each.version == pushed[0].version));
    }
    let counts = "SELECT (SELECT count(*) FROM packages), (SELECT count(*) FROM blobs),
        (SELECT count(*) FROM package_blobs), (SELECT count(*) FROM versions), (SELECT count(*) FROM manifests),
        (SELECT count(*) FROM tags), (SELECT count(*) FROM trash)";
    assert_eq!(house.rows(counts), ["5 5 5 5 5 5 35"]);
}

fn a_read_sees_one_moment(house: &House) {
    house.write(|tx| put(tx, "first")).unwrap();
    let (reading, begun) = channel::<()>();
    let (go, wait) = channel::<()>();
    let catalog = house.catalog.clone();
    let read = house.runtime.spawn(async move {
        let seen: Done<(bool, bool, bool)> = catalog
            .read(move |tx: &mut ReadTx<'_, '_>| {
                let first = tx.setting("first")?.is_some();
                let before = tx.setting("second")?.is_some();
                let _ = reading.send(());
                let _ = wait.recv();
                Ok((first, before, tx.setting("second")?.is_some()))
            })
            .await;
        seen
    });
    await_signal(&begun);
    house.write(|tx| put(tx, "second")).unwrap();
    drop(go);
    assert_eq!(house.wait(read).unwrap().unwrap(), (true, false, false));
    assert!(is_there(house, "second"));
}

fn a_writer_sees_what_it_wrote(house: &House) {
    let seen = house.write(|tx| {
        put(tx, "own")?;
        Ok(tx.setting("own")?)
    });
    assert_eq!(seen.unwrap().as_deref(), Some("there"));
}

/// A client that goes away cuts nothing in half: what was sent is done.
fn what_nobody_waits_for_is_done_all_the_same(house: &House) {
    let held = house.hold();
    drop(house.start(|tx| put(tx, "abandoned")));
    assert_eq!(house.number("SELECT count(*) FROM settings"), 0);
    drop(held);
    wait_for(|| is_there(house, "abandoned"));
}

fn a_full_queue_is_busy_and_then_is_not(house: &House) {
    const QUEUE: usize = 8_192;
    let held = house.hold();
    let ran = Arc::new(AtomicUsize::new(0));
    let sent: Vec<_> = (0..QUEUE)
        .map(|_| {
            let ran = ran.clone();
            house.start(move |tx| {
                ran.fetch_add(1, Ordering::Relaxed);
                Ok(tx.ping()?)
            })
        })
        .collect();
    let refused = house.write(|tx| Ok(tx.ping()?));
    assert!(matches!(refused, Err(Fault::Catalog(CatalogError::Busy))), "{refused:?}");
    drop(held);
    assert!(sent.into_iter().all(|sent| house.answer(sent).is_ok()));
    assert_eq!(ran.load(Ordering::Relaxed), QUEUE);
    house.write(|tx| Ok(tx.ping()?)).unwrap();
}

fn a_setting_is_remembered(house: &House) {
    let get = |name: &'static str| house.read(move |tx| Ok(tx.setting(name)?)).unwrap();
    assert_eq!(get("store"), None);
    for value in ["one", "two", ""] {
        house.write(move |tx| Ok(tx.put_setting("store", value)?)).unwrap();
        assert_eq!(get("store").as_deref(), Some(value));
    }
    assert_eq!(get("Store"), None);
    house.read(|tx| Ok(tx.ping()?)).unwrap();
}

fn deciding_on_settings_is_done_by_one_at_a_time(house: &House) {
    let started: Vec<_> = (0..8)
        .map(|number: i32| {
            house.start(move |tx| {
                tx.lock_settings()?;
                if let Some(chosen) = tx.setting("chosen")? {
                    return Ok(chosen);
                }
                tx.put_setting("chosen", &number.to_string())?;
                Ok(number.to_string())
            })
        })
        .collect();
    let chosen: Vec<String> = started.into_iter().map(|started| house.answer(started).unwrap()).collect();
    assert!(chosen.iter().all(|each| *each == chosen[0]), "{chosen:?}");
}

/// Waits for a signal of a closure under test.
pub(crate) fn await_signal(signal: &Receiver<()>) {
    signal.recv_timeout(Duration::from_secs(30)).unwrap();
}

#[test]
fn a_closed_catalog_ends_its_threads() {
    let house = House::on_sqlite();
    house.user("mona");
    let log = house.database.file().with_extension("sqlite-wal");
    assert!(log.exists());
    let House { catalog, database, .. } = house;
    drop(catalog);
    // SQLite removes the log when the last connection closes: every thread is gone.
    wait_for(|| !log.exists());
    assert_eq!(database.rows("SELECT name FROM accounts"), ["mona"]);
}
