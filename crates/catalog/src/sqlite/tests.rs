//! The writer's thread from inside: its settings, and batches that are lost.
//!
//! A commit is made to fail by SQLite's commit hook, which turns it into a rollback; a transaction is lost in the
//! middle as a full disk loses it: everything is rolled back, savepoints included.

use super::*;
use crate::catalog::Kind;
use crate::sql::statement;
use crate::transaction::writing;
use crate::warm::stamps::About;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

statement!(JOURNAL_MODE, "PRAGMA journal_mode");
statement!(SYNCHRONOUS, "PRAGMA synchronous");
statement!(FOREIGN_KEYS, "PRAGMA foreign_keys");
statement!(TRUSTED_SCHEMA, "PRAGMA trusted_schema");
statement!(NAMES, "SELECT name FROM settings ORDER BY name");
statement!(FOREIGN_KEYS_DEFERRED, "SELECT sql FROM sqlite_schema WHERE sql LIKE '%DEFERR%'");

const WRITER: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_CREATE);

/// A writer's connection as [`start`] makes it, with what the test wants of its database.
fn writer(prepare: impl FnOnce(&mut rusqlite::Connection)) -> (TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let mut connection = open(&path, None, &Doubt::default(), WRITER).unwrap();
    schema::migrate(&mut connection, schema::Dialect::Sqlite).unwrap();
    let mut bare = bare(&path, WRITER).unwrap();
    prepare(&mut bare);
    (folder, Connection::sqlite(bare, None, Doubt::default()))
}

/// Lets the commits fail whose numbers, from 0 on, are listed.
fn failing(commits: &'static [usize]) -> (TempDir, Connection) {
    writer(|bare| {
        let mut number = 0;
        let hook = move || {
            number += 1;
            commits.contains(&(number - 1))
        };
        bare.commit_hook(Some(hook)).unwrap();
    })
}

fn text(connection: &mut Connection, statement: &'static crate::sql::Statement) -> Vec<String> {
    let mut rows = Vec::new();
    let read = connection.query(statement, &[], &mut |row| {
        rows.push(row.text(0).or_else(|_| row.int(0).map(|number| number.to_string()))?);
        Ok(ControlFlow::Continue(()))
    });
    read.unwrap();
    rows
}

/// What a job does after it wrote its own name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Good,
    Refused,
    /// Loses the whole transaction at its first run.
    LosesOnce,
    /// Loses the whole transaction whenever it runs.
    LosesAlways,
    /// Writes that many bytes as well.
    Large(usize),
}

#[derive(Default)]
struct Heard {
    runs: AtomicUsize,
    answer: Mutex<Option<Result<(), CatalogError>>>,
}

struct Act {
    name: String,
    fate: Fate,
    answer: Option<Result<(), CatalogError>>,
    heard: Arc<Heard>,
}

impl Job for Act {
    fn kind(&self) -> Kind {
        Kind::Write
    }

    fn run(&mut self, connection: &mut Connection) -> bool {
        let first = self.heard.runs.fetch_add(1, Ordering::SeqCst) == 0;
        let value = match self.fate {
            Fate::Large(bytes) => "x".repeat(bytes),
            Fate::Good | Fate::Refused | Fate::LosesOnce | Fate::LosesAlways => String::new(),
        };
        let written = writing(connection, &mut |tx| tx.put_setting(&self.name, &value));
        if self.fate == Fate::LosesAlways || (first && self.fate == Fate::LosesOnce) {
            connection.batch("lost", "ROLLBACK").unwrap();
        }
        let answer = if self.fate == Fate::Refused { Err(CatalogError::Closed) } else { written };
        let keep = answer.is_ok();
        self.answer = Some(answer);
        keep
    }

    fn fail(&mut self, error: CatalogError) {
        self.answer = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        *self.heard.answer.lock().unwrap() = self.answer;
    }
}

/// Runs a batch; the answers by name, and how often each ran.
fn run(connection: &mut Connection, fates: &[Fate]) -> Vec<(String, Result<(), CatalogError>, usize)> {
    let mut batch: Vec<Box<dyn Job>> = Vec::new();
    let mut all = Vec::new();
    for (number, fate) in fates.iter().enumerate() {
        let (name, heard) = (format!("n{number:02}"), Arc::<Heard>::default());
        batch.push(Box::new(Act { name: name.clone(), fate: *fate, answer: None, heard: heard.clone() }));
        all.push((name, heard));
    }
    write(connection, batch);
    assert!(!connection.sqlite_transaction_stands(), "no transaction stays open");
    assert_eq!(connection.take_failure(), None, "no failure stays for the next batch to find");
    all.into_iter()
        .map(|(name, heard)| {
            let answer = heard.answer.lock().unwrap().take().expect("each is answered");
            (name, answer, heard.runs.load(Ordering::SeqCst))
        })
        .collect()
}

/// The names that were acknowledged must be those that are there.
fn acknowledged(answers: &[(String, Result<(), CatalogError>, usize)]) -> Vec<String> {
    answers.iter().filter(|(_, answer, _)| answer.is_ok()).map(|(name, ..)| name.clone()).collect()
}

#[test]
fn a_commit_is_on_disk_when_it_returns() {
    let (_folder, mut connection) = writer(|_| {});
    assert_eq!(text(&mut connection, &JOURNAL_MODE), ["wal"]);
    assert_eq!(text(&mut connection, &SYNCHRONOUS), ["2"], "FULL: the log is synced at each commit");
    assert_eq!(text(&mut connection, &FOREIGN_KEYS), ["1"]);
    assert_eq!(text(&mut connection, &TRUSTED_SCHEMA), ["0"]);
    // One deferred key that fails would fail the whole batch.
    assert_eq!(text(&mut connection, &FOREIGN_KEYS_DEFERRED), Vec::<String>::new());
}

#[test]
fn a_reader_cannot_write() {
    let (folder, _connection) = writer(|_| {});
    let path = folder.path().join("catalog.sqlite");
    let mut reader = open(&path, None, &Doubt::default(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    assert!(reader.batch("write", "INSERT INTO settings VALUES ('a', 'b')").is_err());
    assert_eq!(text(&mut reader, &NAMES), Vec::<String>::new());
}

#[test]
fn a_batch_runs_once_and_shares_a_commit() {
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = commits.clone();
    let hook = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        false
    };
    let (_folder, mut connection) = writer(|bare| bare.commit_hook(Some(hook)).unwrap());
    let answers = run(&mut connection, &[Fate::Good, Fate::Refused, Fate::Good]);
    assert!(answers.iter().all(|(_, _, runs)| *runs == 1));
    assert_eq!(acknowledged(&answers), ["n00", "n02"]);
    assert_eq!(text(&mut connection, &NAMES), ["n00", "n02"]);
    assert_eq!(commits.load(Ordering::SeqCst), 1);
}

#[test]
fn a_lost_batch_runs_again_each_by_itself() {
    let (_folder, mut connection) = failing(&[0]);
    let answers = run(&mut connection, &[Fate::Good, Fate::Refused, Fate::Good]);
    assert!(answers.iter().all(|(_, _, runs)| *runs == 2), "{answers:?}");
    assert!(matches!(answers[1].1, Err(CatalogError::Closed)), "a refusal is decided again, on what stands");
    assert_eq!(acknowledged(&answers), ["n00", "n02"]);
    assert_eq!(text(&mut connection, &NAMES), ["n00", "n02"]);
}

#[test]
fn a_commit_that_fails_again_is_told_to_whom_it_concerns() {
    // The shared one, and of the single ones the second.
    let (_folder, mut connection) = failing(&[0, 2]);
    let answers = run(&mut connection, &[Fate::Good, Fate::Good, Fate::Good]);
    assert!(matches!(answers[1].1, Err(CatalogError::Sqlite { statement: "commit", .. })), "{answers:?}");
    assert_eq!(acknowledged(&answers), ["n00", "n02"]);
    assert_eq!(text(&mut connection, &NAMES), ["n00", "n02"]);
    // The next batch is not concerned.
    assert_eq!(acknowledged(&run(&mut connection, &[Fate::Good; 4])).len(), 4);
}

#[test]
fn a_transaction_that_is_lost_in_the_middle_is_seen() {
    let (_folder, mut connection) = writer(|_| {});
    let answers = run(&mut connection, &[Fate::Good, Fate::LosesOnce, Fate::Good]);
    assert_eq!(acknowledged(&answers), ["n00", "n01", "n02"]);
    assert_eq!(text(&mut connection, &NAMES), ["n00", "n01", "n02"]);
    // It was seen right after that closure: the third one did not run outside of any transaction.
    assert_eq!(answers.iter().map(|(_, _, runs)| *runs).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn one_that_loses_every_transaction_fails_alone() {
    let (_folder, mut connection) = writer(|_| {});
    let answers = run(&mut connection, &[Fate::Good, Fate::LosesAlways, Fate::Good]);
    assert!(matches!(answers[1].1, Err(CatalogError::Sqlite { statement: "commit", .. })), "{answers:?}");
    assert_eq!(acknowledged(&answers), ["n00", "n02"]);
    assert_eq!(text(&mut connection, &NAMES), ["n00", "n02"]);
}

#[test]
fn on_a_full_file_what_is_acknowledged_is_there_and_nothing_else() {
    let (_folder, mut connection) = writer(|bare| bare.execute_batch("PRAGMA max_page_count = 80").unwrap());
    let fates: Vec<Fate> = (0..40)
        .map(|number| match number % 4 {
            0 => Fate::Large(30_000),
            1 => Fate::Large(3_000_000),
            2 => Fate::Refused,
            _ => Fate::Good,
        })
        .collect();
    let answers = run(&mut connection, &fates);
    let kept = acknowledged(&answers);
    assert_eq!(text(&mut connection, &NAMES), kept);
    assert!(!kept.is_empty() && kept.len() < 20, "some fit, and some did not: {kept:?}");
    let full = |answer: &Result<(), CatalogError>| match answer {
        Err(CatalogError::Sqlite { source, .. }) => {
            source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        }
        Ok(()) | Err(_) => false,
    };
    assert!(answers.iter().filter(|(_, answer, _)| full(answer)).count() >= 10, "{answers:?}");
}

#[test]
fn a_transaction_that_could_not_begin_spoils_none_that_can() {
    let (folder, mut connection) = writer(|bare| bare.execute_batch("PRAGMA busy_timeout = 0").unwrap());
    let other = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let heard = Arc::<Heard>::default();
    let act = Act { name: "n00".to_owned(), fate: Fate::Good, answer: None, heard: heard.clone() };
    let mut batch: Vec<Box<dyn Job>> = vec![Box::new(act)];
    assert!(!together(&mut connection, &mut batch));
    other.execute_batch("ROLLBACK").unwrap();
    alone(&mut connection, batch[0].as_mut());
    batch.remove(0).answer();
    assert!(matches!(heard.answer.lock().unwrap().take(), Some(Ok(()))));
    assert_eq!(text(&mut connection, &NAMES), ["n00"]);
}

#[test]
fn no_answer_leaves_before_its_commit() {
    let heard = Arc::<Heard>::default();
    let listening = heard.clone();
    let early = Arc::new(AtomicUsize::new(0));
    let counted = early.clone();
    let hook = move || {
        counted.fetch_add(usize::from(listening.answer.lock().unwrap().is_some()), Ordering::SeqCst);
        false
    };
    let (_folder, mut connection) = writer(|bare| bare.commit_hook(Some(hook)).unwrap());
    let act = |fate, heard| Box::new(Act { name: "n00".to_owned(), fate, answer: None, heard });
    // The refusal was decided first, on rows that the commit of its neighbour may still lose.
    write(&mut connection, vec![act(Fate::Refused, heard.clone()), act(Fate::Good, Arc::default())]);
    assert!(heard.answer.lock().unwrap().is_some());
    assert_eq!(early.load(Ordering::SeqCst), 0);
}

/// Readers see a commit in the file a moment before its answers leave. Who has seen it there must not be answered from memory
/// as if it had not been.
#[test]
fn what_a_commit_changes_is_not_answered_from_memory_while_it_is_under_way() {
    let warm = Arc::new(Warm::new(0, true));
    let plans = warm.stamps().shard(About::Plans);
    let before = warm.stamps().now();
    let during: Arc<Mutex<Vec<bool>>> = Arc::default();
    let (looking, seen) = (Arc::clone(&warm), Arc::clone(&during));
    let hook = move || {
        let stamps = looking.stamps();
        seen.lock().unwrap().push(stamps.unchanged(plans, stamps.now()));
        false
    };
    let (_folder, mut connection) = writer(|bare| bare.commit_hook(Some(hook)).unwrap());
    connection.watch(&warm).unwrap();
    let act = |name: &str, heard| {
        Box::new(Act { name: name.to_owned(), fate: Fate::Good, answer: None, heard }) as Box<dyn Job>
    };
    // The schema's own commits.
    during.lock().unwrap().clear();
    write(&mut connection, vec![act("another", Arc::default())]);
    write(&mut connection, vec![act("default_plan", Arc::default())]);
    assert_eq!(*during.lock().unwrap(), [true, false]);
    let stamps = warm.stamps();
    assert!(!stamps.unchanged(plans, before), "what was remembered before is over");
    assert!(stamps.unchanged(plans, stamps.now()), "what is read now may be remembered");
}

#[test]
fn a_commit_that_may_come_back_is_written_over_before_anything_else() {
    // The shared commit, the single one, and the first try to write over them.
    let (_folder, mut connection) = failing(&[0, 1, 2, 3]);
    let refused = run(&mut connection, &[Fate::Good]);
    assert!(matches!(refused[0].1, Err(CatalogError::Sqlite { statement: "commit", .. })), "{refused:?}");
    assert!(connection.doubt().stands(), "the fourth commit is the next batch's");
    let refused = run(&mut connection, &[Fate::Good]);
    assert!(matches!(refused[0].1, Err(CatalogError::InDoubt)), "{refused:?}");
    assert_eq!(refused[0].2, 0, "nothing runs on what may be undone");
    assert_eq!(acknowledged(&run(&mut connection, &[Fate::Good])), ["n00"]);
    assert!(!connection.doubt().stands());
}

#[test]
fn what_cannot_be_opened_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("text");
    std::fs::write(&other, "this is no database, and long enough to be looked at as one: ".repeat(20))
        .unwrap();
    for path in [folder.path().to_owned(), folder.path().join("none/catalog.sqlite"), other] {
        let (_readers, reads) = crossbeam_channel::bounded(1);
        let (_writers, writes) = crossbeam_channel::bounded(1);
        let opened = start(&path, 1, None, &Arc::new(Warm::new(0, true)), &reads, writes);
        assert!(matches!(opened, Err(CatalogError::Sqlite { .. })), "{path:?}: {opened:?}");
    }
}
