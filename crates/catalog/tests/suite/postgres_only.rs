//! What only several writers can show: transactions that meet, and connections that break.
//!
//! Each meeting is arranged: one transaction stops where the test wants it, and goes on when the server says that the
//! other one waits for it.

use crate::database::{Database, end_sessions, wait_for, wait_for_a_waiter};
use crate::house::{
    Done, Fault, House, caller, collector, hash_of, image, may_change, sha256, tag, token_of,
};
use crate::transactions::await_signal;
use packhouse_access::{
    Administer, Delete, Push, Refusal, Refused, Role, TokenId, decide, decide_make_token,
};
use packhouse_catalog::{
    AccountKind, Catalog, CatalogError, Finished, Micros, Options, Place, Presented, Upload, WriteTx,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};

/// A house on PostgreSQL and the URL of its database.
fn stage() -> Option<(House, String)> {
    let house = House::on_postgres()?;
    let Database::Postgres(database) = &house.database else { return None };
    let url = database.url.clone();
    Some((house, url))
}

/// Where a transaction stops, at its first run, until the test lets go.
struct Stop {
    reached: Sender<()>,
    go: Receiver<()>,
}

impl Stop {
    fn new() -> (Stop, Receiver<()>, Sender<()>) {
        let (reached, there) = channel();
        let (release, go) = channel();
        (Stop { reached, go }, there, release)
    }

    fn here(&self) {
        let _ = self.reached.send(());
        let _ = self.go.recv();
    }
}

/// Runs `first` up to its stop, then `second`, which must come to wait for the first; lets the first go on; the
/// answers of both, and how often each ran.
fn meet<A: Send + 'static, B: Send + 'static>(
    house: &House,
    url: &str,
    mut first: impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>, &Stop) -> Done<A> + Send + 'static,
    mut second: impl for<'c, 'tx> FnMut(&mut WriteTx<'c, 'tx>) -> Done<B> + Send + 'static,
) -> ((Done<A>, usize), (Done<B>, usize)) {
    let runs = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let counted = runs.clone();
    let (stop, there, release) = Stop::new();
    let first = house.start(move |tx| {
        counted[0].fetch_add(1, Ordering::SeqCst);
        first(tx, &stop)
    });
    await_signal(&there);
    let counted = runs.clone();
    let second = house.start(move |tx| {
        counted[1].fetch_add(1, Ordering::SeqCst);
        second(tx)
    });
    wait_for_a_waiter(url);
    drop(release);
    let (first, second) = (house.answer(first), house.answer(second));
    ((first, runs[0].load(Ordering::SeqCst)), (second, runs[1].load(Ordering::SeqCst)))
}

/// Check and change are one: who waits for the row decides on what it finds then.
#[test]
fn a_right_that_is_taken_meanwhile_is_gone_for_who_waited() {
    let Some((house, url)) = stage() else { return };
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, "mona/tool");
    house.grant("mona/tool", &hubot, Role::Write);
    let (owner, writer) = (mona.shows.clone(), hubot.shows.clone());
    let ((revoked, _), (pushed, _)) = meet(
        &house,
        &url,
        move |tx, stop| {
            let may = may_change::<Administer>(tx, &owner, "mona/tool")?;
            let revoked = tx.revoke(&may, hubot.id)?;
            stop.here();
            Ok(revoked)
        },
        move |tx| {
            let may = may_change::<Push>(tx, &writer, "mona/tool")?;
            Ok(tx.put_manifest(&may, &image("c", &[]).build(), Micros(1))?)
        },
    );
    assert!(revoked.unwrap());
    assert!(matches!(pushed, Err(Fault::Refused(Refused { refusal: Refusal::NotFound, .. }))), "{pushed:?}");
    assert_eq!(house.number("SELECT count(*) FROM versions"), 0);
}

/// Two transactions that insert the same new row meet as a unique violation; run again, the second finds it.
#[test]
fn a_unique_violation_is_run_again() {
    let Some((house, url)) = stage() else { return };
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    let one = house.push(&mona, "mona/tool", &image("c", &[]).build(), None).version;
    let two = house.push(&mona, "mona/tool", &image("d", &[]).build(), None).version;
    // Without the package's lock, which would keep the two apart.
    fn move_tag(
        tx: &mut WriteTx<'_, '_>,
        shows: &packhouse_catalog::Presented,
        version: packhouse_access::VersionId,
        at: i64,
    ) -> Done<()> {
        let may = crate::house::may::<Push>(tx, shows, "mona/tool")?;
        crate::house::move_tag(tx, &may, &tag("v1"), version, Micros(at))
    }
    let (first, second) = (mona.shows.clone(), mona.shows.clone());
    let ((moved, once), (moved_again, twice)) = meet(
        &house,
        &url,
        move |tx, stop| {
            move_tag(tx, &first, one, 1)?;
            stop.here();
            Ok(())
        },
        move |tx| move_tag(tx, &second, two, 2),
    );
    assert!(moved.is_ok() && moved_again.is_ok());
    assert_eq!((once, twice), (1, 2));
    let rows = house.rows("SELECT version_id, valid_from, valid_to FROM tags ORDER BY id");
    assert_eq!(rows, [format!("{one} 1 2"), format!("{two} 2 -")]);
}

/// What was taken by a transaction that then failed is free.
#[test]
fn an_account_whose_maker_failed_can_be_made() {
    let Some((house, url)) = stage() else { return };
    let make = |tx: &mut WriteTx<'_, '_>| {
        let may = crate::house::operator(tx)?;
        Ok(tx.create_account(&may, "mona", AccountKind::User, false, Micros(1))?.is_some())
    };
    let ((failed, _), (made, runs)) = meet(
        &house,
        &url,
        move |tx, stop| -> Done<bool> {
            make(tx)?;
            stop.here();
            Err(Fault::Wanted)
        },
        make,
    );
    assert!(matches!(failed, Err(Fault::Wanted)));
    assert_eq!((made.unwrap(), runs), (true, 1));
    assert_eq!(house.rows("SELECT name FROM accounts"), ["mona"]);
}

#[test]
fn of_two_that_keep_the_same_new_blob_one_goes_to_the_trash() {
    let Some((house, url)) = stage() else { return };
    let (mona, hubot) = (house.user("mona"), house.user("hubot"));
    house.package(&mona, "mona/tool");
    house.package(&hubot, "hubot/tool");
    let finished = Finished { digest: sha256("layer"), size: 5 };
    let push =
        move |tx: &mut WriteTx<'_, '_>, shows: &packhouse_catalog::Presented, path: &str, key: &str| {
            let may = may_change::<Push>(tx, shows, path)?;
            let upload = tx.begin_upload(&may, key, key, &[], Micros(1), Micros(9))?;
            Ok(tx.finish_upload(&may, &upload, &finished, Micros(2), Micros(9), Micros(99))?)
        };
    let (first, second) = (mona.shows.clone(), hubot.shows.clone());
    let ((one, _), (two, _)) = meet(
        &house,
        &url,
        move |tx, stop| -> Done<bool> {
            let done = push(tx, &first, "mona/tool", "key-1")?;
            stop.here();
            Ok(done)
        },
        move |tx| push(tx, &second, "hubot/tool", "key-2"),
    );
    assert!(one.unwrap() && two.unwrap());
    assert_eq!(house.rows("SELECT storage_key FROM blobs"), ["key-1"]);
    assert_eq!(house.rows("SELECT storage_key FROM trash"), ["key-2"]);
    assert_eq!(house.number("SELECT count(*) FROM package_blobs"), 2);
}

const PATH: &str = "mona/tool";

/// A session of mona's, and the closures that act on it.
fn session(house: &House, expires: i64) -> (packhouse_catalog::Presented, Upload) {
    let mona = house.user("mona");
    house.package(&mona, PATH);
    let (shows, key) = (mona.shows.clone(), house.key());
    let begun = house.write(move |tx| {
        let may = may_change::<Push>(tx, &shows, PATH)?;
        Ok(tx.begin_upload(&may, "one", &key, &[], Micros(1), Micros(expires))?)
    });
    (mona.shows, begun.unwrap())
}

/// Without the package's lock, so that the session's own row is what they meet at.
fn finish(
    tx: &mut WriteTx<'_, '_>,
    shows: &packhouse_catalog::Presented,
    before: &Upload,
    bytes: &str,
) -> Done<bool> {
    let may = crate::house::may::<Push>(tx, shows, PATH)?;
    let finished = Finished { digest: sha256(bytes), size: bytes.len() as u64 };
    Ok(tx.finish_upload(&may, before, &finished, Micros(2), Micros(1_000), Micros(2_000))?)
}

#[test]
fn of_two_that_finish_a_session_one_does() {
    let Some((house, url)) = stage() else { return };
    let (shows, before) = session(&house, 100);
    let (shows_too, before_too) = (shows.clone(), before.clone());
    let ((one, _), (two, _)) = meet(
        &house,
        &url,
        move |tx, stop| {
            let done = finish(tx, &shows, &before, "one")?;
            stop.here();
            Ok(done)
        },
        move |tx| finish(tx, &shows_too, &before_too, "two"),
    );
    assert_eq!((one.unwrap(), two.unwrap()), (true, false));
    assert_eq!(house.number("SELECT count(*) FROM blobs"), 1);
    assert_eq!(house.number("SELECT count(*) FROM trash"), 0);
}

#[test]
fn cancelling_a_session_that_is_being_finished_finds_none() {
    let Some((house, url)) = stage() else { return };
    let (shows, before) = session(&house, 100);
    let (shows_too, held) = (shows.clone(), before.clone());
    let ((finished, _), (cancelled, _)) = meet(
        &house,
        &url,
        move |tx, stop| {
            let done = finish(tx, &shows, &before, "one")?;
            stop.here();
            Ok(done)
        },
        move |tx| {
            let may = crate::house::may::<Push>(tx, &shows_too, PATH)?;
            Ok(tx.cancel_upload(&may, &held, Micros(3))?)
        },
    );
    assert_eq!((finished.unwrap(), cancelled.unwrap()), (true, false));
    assert_eq!(house.number("SELECT count(*) FROM trash"), 0);
}

/// A part that arrives in the session's last moment puts its end off, even when the sweep is already there.
#[test]
fn a_session_that_goes_on_while_it_is_swept_lives() {
    let Some((house, url)) = stage() else { return };
    let (shows, before) = session(&house, 100);
    let ((recorded, _), (ended, _)) = meet(
        &house,
        &url,
        move |tx, stop| {
            let may = crate::house::may::<Push>(tx, &shows, PATH)?;
            let recorded = tx.record_part(&may, &before, 5, &[5], Micros(900))?;
            stop.here();
            Ok(recorded)
        },
        move |tx| {
            let may = collector(tx)?;
            Ok(tx.end_expired_uploads(&may, Micros(200), 9, &mut |_| true)?)
        },
    );
    assert_eq!((recorded.unwrap(), ended.unwrap()), (true, 0));
    assert_eq!(house.rows("SELECT received, expires_at FROM uploads"), ["5 900"]);
    assert_eq!(house.number("SELECT count(*) FROM trash"), 0);
}

#[test]
fn of_two_that_deadlock_one_runs_again_and_both_are_done() {
    let Some((house, _)) = stage() else { return };
    let mona = house.user("mona");
    house.package(&mona, "mona/a");
    house.package(&mona, "mona/b");
    let runs = Arc::new(AtomicUsize::new(0));
    let both = Arc::new(Barrier::new(2));
    let started: Vec<_> = [["mona/a", "mona/b"], ["mona/b", "mona/a"]]
        .map(|paths| {
            let (shows, runs, both) = (mona.shows.clone(), runs.clone(), both.clone());
            let mut first = true;
            house.start(move |tx| {
                runs.fetch_add(1, Ordering::SeqCst);
                let caller = caller(tx, &shows)?;
                let one = tx.facts(&caller, paths[0])?;
                if std::mem::take(&mut first) {
                    both.wait();
                }
                let two = tx.facts(&caller, paths[1])?;
                for facts in [one, two] {
                    tx.put_manifest(&decide::<Push>(&facts)?, &image(paths[0], &[]).build(), Micros(1))?;
                }
                Ok(())
            })
        })
        .into();
    for started in started {
        house.answer(started).unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    assert_eq!(house.number("SELECT count(*) FROM versions"), 4);
}

#[test]
fn connections_that_are_ended_between_transactions_are_made_again() {
    let Some((house, url)) = stage() else { return };
    for round in 0..3 {
        assert_eq!(end_sessions(&url), crate::house::WRITERS, "all of them");
        let started: Vec<_> = (0..12)
            .map(|number| house.start(move |tx| Ok(tx.put_setting(&format!("{round}-{number}"), "there")?)))
            .collect();
        for started in started {
            house.answer(started).unwrap();
        }
        // A read alone as well.
        end_sessions(&url);
        house.read(|tx| Ok(tx.ping()?)).unwrap();
        let idle = || {
            house.number("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'packhouse' AND datname = current_database()")
        };
        wait_for(|| {
            house.read(|tx| Ok(tx.ping()?)).unwrap();
            idle() == i64::try_from(crate::house::WRITERS).unwrap()
        });
    }
    assert_eq!(house.number("SELECT count(*) FROM settings"), 36);
}

/// Ended in the middle, at a statement that this session has run before and at one that it has not.
#[test]
fn a_connection_that_is_ended_in_the_middle_runs_the_closure_again() {
    let Some((house, url)) = stage() else { return };
    for known in [false, true] {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let (stop, there, release) = Stop::new();
        let started = house.start(move |tx| {
            if known {
                tx.put_setting("before", "there")?;
            } else {
                tx.ping()?;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            stop.here();
            Ok(tx.put_setting("after", "there")?)
        });
        await_signal(&there);
        assert!(end_sessions(&url) > 0);
        drop(release);
        let answer = house.answer(started);
        assert!(answer.is_ok(), "{known}: {answer:?}");
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
    assert_eq!(house.rows("SELECT name FROM settings ORDER BY name"), ["after", "before"]);
}

#[test]
fn a_read_whose_connection_is_ended_runs_again() {
    let Some((house, url)) = stage() else { return };
    let mona = house.user("mona");
    let (stop, there, release) = Stop::new();
    let catalog = house.catalog.clone();
    let shows = mona.shows.clone();
    let read = house.runtime.spawn(async move {
        let read: Done<_> = catalog
            .read(move |tx| {
                tx.ping()?;
                stop.here();
                Ok(caller(tx, &shows)?.account())
            })
            .await;
        read
    });
    await_signal(&there);
    end_sessions(&url);
    drop(release);
    assert_eq!(house.wait(read).unwrap().unwrap(), Some(mona.id));
}

/// Whether a commit happened whose answer was lost, nobody knows here: it is neither acknowledged nor done again.
#[test]
fn a_commit_whose_answer_is_lost_is_told_as_unknown() {
    let Some((house, url)) = stage() else { return };
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let own = url.clone();
    let answer: Done<()> = house.write(move |tx| {
        counted.fetch_add(1, Ordering::SeqCst);
        tx.put_setting("unknown", "there")?;
        end_sessions(&own);
        Ok(())
    });
    assert!(matches!(answer, Err(Fault::Catalog(CatalogError::CommitUnknown))), "{answer:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    house.write(|tx| Ok(tx.put_setting("next", "there")?)).unwrap();
    assert_eq!(house.rows("SELECT name FROM settings"), ["next"]);
}

/// A panic between two statements leaves no transaction open on its session.
#[test]
fn no_session_stays_in_a_transaction() {
    let Some((house, _)) = stage() else { return };
    for number in 0..12 {
        let _: Done<()> = house.write(move |tx| {
            tx.put_setting("half", "there")?;
            match number % 3 {
                0 => panic!("wanted by a test"),
                1 => Err(Fault::Wanted),
                _ => Ok(tx.put_setting("half", "")?),
            }
        });
    }
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND application_name = 'packhouse' AND state <> 'idle'";
    wait_for(|| house.number(open) == 0);
}

fn open_alone(url: &str) -> Result<Catalog, CatalogError> {
    let place = Place::Postgres { url: url.to_owned(), alone: true };
    Catalog::open(&Options { connections: 2, ..Options::new(place) })
}

#[test]
fn a_database_is_not_shared_by_servers_with_files_of_their_own() {
    let Some(database) = Database::postgres() else { return };
    let Database::Postgres(postgres) = &database else { return };
    let first = open_alone(&postgres.url).unwrap();
    let second = open_alone(&postgres.url).err();
    assert!(matches!(second, Some(CatalogError::TakenByAnother)), "{second:?}");
    drop(first);
    // Its sessions end a moment after it: a server that is started again at once waits for that.
    open_alone(&postgres.url).unwrap();
}

/// PostgreSQL was started again, and the lock went with the session that held it.
#[test]
fn a_server_takes_its_database_again_after_its_sessions_were_ended() {
    let Some(database) = Database::postgres() else { return };
    let Database::Postgres(postgres) = &database else { return };
    let first = open_alone(&postgres.url).unwrap();
    end_sessions(&postgres.url);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    wait_for(|| {
        runtime.block_on(first.write::<(), CatalogError>(|tx| tx.ping())).unwrap();
        let held = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                    WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()";
        database.rows(held) == ["1"]
    });
    let second = open_alone(&postgres.url).err();
    assert!(matches!(second, Some(CatalogError::TakenByAnother)), "{second:?}");
}

/// Makes a token with the one of these words.
fn make_with<'tx>(tx: &mut WriteTx<'_, 'tx>, words: &str, new: &str) -> Done<bool> {
    let shows = Presented::Token { hash: hash_of(words), or: None };
    let caller = caller(tx, &shows)?;
    let may = decide_make_token(&caller, &[])?;
    let new = token_of(caller.account().unwrap(), hash_of(new));
    Ok(tx.make_token(&may, &new, Micros(600))?.is_some())
}

fn revoke_of<'tx>(tx: &mut WriteTx<'_, 'tx>, token: TokenId) -> Done<bool> {
    let may = crate::house::operator(tx)?;
    Ok(tx.revoke_token(&may, token, Micros(700))?)
}

const WORKING: &str = "SELECT COUNT(*) FROM tokens WHERE revoked_at IS NULL";

#[test]
fn a_token_that_is_made_while_its_parent_is_revoked_ends_with_it() {
    let Some((house, url)) = stage() else { return };
    let mona = house.user("mona");
    // The parent itself, and one between: what that one makes is seen by a later statement only.
    assert!(house.write(|tx| make_with(tx, "mona", "child")).unwrap());
    for (maker, made) in [("mona", "second"), ("child", "grandchild")] {
        house.database.run("UPDATE tokens SET revoked_at = NULL");
        let ((first, _), (second, _)) = meet(
            &house,
            &url,
            move |tx, stop| {
                let made = make_with(tx, maker, made)?;
                stop.here();
                Ok(made)
            },
            move |tx| revoke_of(tx, mona.token),
        );
        assert!(first.unwrap() && second.unwrap(), "both were done");
        assert_eq!(house.number(WORKING), 0, "{made} works no more");
    }
}

#[test]
fn a_token_that_is_being_revoked_makes_none() {
    let Some((house, url)) = stage() else { return };
    let mona = house.user("mona");
    let ((first, _), (second, _)) = meet(
        &house,
        &url,
        move |tx, stop| {
            let done = revoke_of(tx, mona.token)?;
            stop.here();
            Ok(done)
        },
        |tx| make_with(tx, "mona", "child"),
    );
    assert!(first.unwrap());
    assert!(!second.unwrap(), "it was a good credential when it was read, and is none any more");
    assert_eq!((house.number(WORKING), house.number("SELECT COUNT(*) FROM tokens")), (0, 1));
}

/// What changes a tag of mona/tool in one transaction.
type Change = fn(&mut WriteTx<'_, '_>, &Presented) -> Done<()>;

fn over_the_tag(tx: &mut WriteTx<'_, '_>, shows: &Presented) -> Done<()> {
    let may = may_change::<Push>(tx, shows, "mona/tool")?;
    let pushed = crate::house::put(tx, &may, &image("new", &[]).build(), Micros(60))?;
    crate::house::move_tag(tx, &may, &tag("held"), pushed.version, Micros(60))
}

fn without_the_tag(tx: &mut WriteTx<'_, '_>, shows: &Presented) -> Done<()> {
    let may = may_change::<Delete>(tx, shows, "mona/tool")?;
    crate::house::delete_tag(tx, &may, &tag("held"), Micros(60)).map(drop)
}

fn without_the_version(tx: &mut WriteTx<'_, '_>, shows: &Presented) -> Done<()> {
    let may = may_change::<Delete>(tx, shows, "mona/tool")?;
    crate::house::delete_version(tx, &may, &image("c", &[]).build().digest, Micros(60)).map(drop)
}

fn without_the_package(tx: &mut WriteTx<'_, '_>, shows: &Presented) -> Done<()> {
    let may = may_change::<Delete>(tx, shows, "mona/tool")?;
    crate::house::delete_package(tx, &may, Micros(60)).map(drop)
}

const CHANGES: [Change; 4] = [over_the_tag, without_the_tag, without_the_version, without_the_package];

fn hold() -> packhouse_catalog::NewTagRule {
    packhouse_catalog::NewTagRule {
        hold: packhouse_access::Hold::Immutable,
        pattern: "held".parse().unwrap(),
        except: Vec::new(),
        lets_package_go: false,
    }
}

/// Makes the rule, for the package or for all of its owner's.
fn make_hold(tx: &mut WriteTx<'_, '_>, of_owner: bool) -> Done<()> {
    let shows = Presented::Operator;
    let made = match of_owner {
        true => crate::rules::make_owner_rule(tx, &shows, "mona", &hold())?,
        false => crate::rules::make_rule(tx, &shows, "mona/tool", &hold())?,
    };
    assert!(made.is_some());
    Ok(())
}

/// A house where mona/tool has the tag, the URL of its database, and what mona shows.
fn tagged() -> Option<(House, String, Presented)> {
    let (house, url) = stage()?;
    let mona = house.user("mona");
    house.package(&mona, "mona/tool");
    house.push(&mona, "mona/tool", &image("c", &[]).build(), Some("held"));
    Some((house, url, mona.shows))
}

/// Who waited for a rule to be made finds it: what was acknowledged binds everything that comes after.
#[test]
fn a_rule_that_is_being_made_binds_who_waits_for_it() {
    for of_owner in [false, true] {
        for change in CHANGES {
            let Some((house, url, shows)) = tagged() else { return };
            let ((made, _), (changed, _)) = meet(
                &house,
                &url,
                move |tx, stop| {
                    make_hold(tx, of_owner)?;
                    stop.here();
                    Ok(())
                },
                move |tx| change(tx, &shows),
            );
            made.unwrap();
            assert!(matches!(changed, Err(Fault::Held(_))), "{of_owner}: {changed:?}");
            let open = "SELECT count(*) FROM tags t JOIN packages p ON p.id = t.package_id
                        WHERE t.valid_to IS NULL AND p.deleted_at IS NULL";
            assert_eq!(house.number(open), 1);
        }
    }
}

/// And the rule waits for who was there before: when it is acknowledged, nothing is on its way that did not see it.
#[test]
fn a_rule_waits_for_changes_that_did_not_see_it() {
    for of_owner in [false, true] {
        for change in CHANGES {
            let Some((house, url, shows)) = tagged() else { return };
            let ((changed, _), (made, runs)) = meet(
                &house,
                &url,
                move |tx, stop| {
                    change(tx, &shows)?;
                    stop.here();
                    Ok(())
                },
                move |tx| make_hold(tx, of_owner),
            );
            changed.unwrap();
            assert_eq!(runs, 1);
            // Of a package that went meanwhile it is none's; of an owner it is made for those to come.
            let gone = house.number("SELECT count(*) FROM packages WHERE deleted_at IS NOT NULL") == 1;
            assert_eq!(made.is_ok(), !gone || of_owner, "{made:?}");
        }
    }
}

/// A package that is being made while its owner's rule is must not slip past it.
#[test]
fn a_rule_of_an_owner_binds_a_package_that_is_being_made() {
    let Some((house, url, shows)) = tagged() else { return };
    let ((pushed, _), (made, _)) = meet(
        &house,
        &url,
        move |tx, stop| {
            let mona = caller(tx, &shows)?;
            let facts = tx.facts(&mona, "mona/new")?;
            tx.create_package(&packhouse_access::decide_create(&facts)?, Micros(50))?;
            let may = may_change::<Push>(tx, &shows, "mona/new")?;
            let pushed = tx.put_manifest(&may, &image("first", &[]).build(), Micros(50))?;
            crate::house::move_tag(tx, &may, &tag("held"), pushed.version, Micros(50))?;
            stop.here();
            Ok(())
        },
        |tx| make_hold(tx, true),
    );
    pushed.unwrap();
    made.unwrap();
}

/// An account is not deleted over a tag that was pushed while it was looked through.
#[test]
fn an_account_waits_for_the_tags_that_are_being_pushed() {
    let Some((house, url)) = stage() else { return };
    let mona = house.user("mona");
    house.organization("octo", &mona);
    house.package(&mona, "octo/tool");
    let shows = mona.shows.clone();
    house.write(move |tx| crate::rules::make_rule(tx, &shows, "octo/tool", &hold())).unwrap();
    let (owner, pusher) = (mona.shows.clone(), mona.shows.clone());
    let ((pushed, _), (ended, _)) = meet(
        &house,
        &url,
        move |tx, stop| {
            let may = may_change::<Push>(tx, &pusher, "octo/tool")?;
            let pushed = tx.put_manifest(&may, &image("c", &[]).build(), Micros(50))?;
            crate::house::move_tag(tx, &may, &tag("held"), pushed.version, Micros(50))?;
            stop.here();
            Ok(())
        },
        move |tx| {
            let mona = caller(tx, &owner)?;
            let facts = tx.namespace_facts(&mona, "octo")?;
            let may = packhouse_access::decide_namespace::<packhouse_access::Govern>(&facts)?;
            let end = packhouse_access::decide_account_end(&may, tx.survey_account(&may)?)?;
            Ok(tx.delete_organization(&may, &end, Micros(70))?)
        },
    );
    pushed.unwrap();
    assert!(matches!(ended, Err(Fault::Held(_))), "{ended:?}");
}

/// Of two nodes that reach for a job one has it, and the other does not wait.
#[test]
fn a_job_that_is_being_taken_is_passed_over() {
    let Some((house, _)) = stage() else { return };
    let lease = |tx: &mut WriteTx<'_, '_>, holder: &str| {
        let may = collector(tx)?;
        Ok(tx.lease_job(&may, "sweep", holder, 60)?)
    };
    assert!(house.write(move |tx| lease(tx, "one")).unwrap());
    let (stop, there, release) = Stop::new();
    let first = house.start(move |tx| {
        let leased = lease(tx, "one")?;
        stop.here();
        Ok(leased)
    });
    await_signal(&there);
    assert!(!house.write(move |tx| lease(tx, "two")).unwrap(), "without waiting");
    drop(release);
    assert!(house.answer(first).unwrap());
}
