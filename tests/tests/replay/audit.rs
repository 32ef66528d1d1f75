//! Whether what a crash left is what clients were promised.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use packhouse_tests::image::sha256;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row};

use crate::disk::{Found, Remains};
use crate::ledger::{Chain, Truth};

const CATALOG: &str = "catalog.sqlite";

/// An upload session's row.
#[derive(Debug, Clone)]
struct Upload {
    id: String,
    key: String,
    received: usize,
    finished: bool,
}

/// What SQLite finds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    truth: Truth,
    /// Storage key, digest and size.
    blobs: BTreeMap<String, (String, u64)>,
    uploads: Vec<Upload>,
    trash: BTreeSet<String>,
}

/// What audits share: the same catalog is read once, the same file hashed once.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    catalogs: Mutex<HashMap<u64, Arc<Result<Rows, String>>>>,
    digests: Mutex<HashMap<u64, String>>,
}

impl Memory {
    /// How many catalogs that differed were read.
    pub(crate) fn catalogs(&self) -> usize {
        self.catalogs.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn digest(&self, found: &Found) -> String {
        let digests = || self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = digests().get(&found.key) {
            return digest.clone();
        }
        let digest = sha256(&found.bytes);
        digests().insert(found.key, digest.clone());
        digest
    }
}

/// Looks at what is left in the data folder `data`. `answered`: how many requests of each chain were answered when
/// the power went. `scratch` is a folder for SQLite. Returns which of the possible truths each chain found.
///
/// # Errors
///
/// In words: what was promised and is not there, or is there and should not be.
pub(crate) fn audit(
    remains: &Remains,
    data: &str,
    chains: &[Chain],
    answered: &[usize],
    scratch: &Path,
    memory: &Memory,
) -> Result<Vec<Truth>, String> {
    let rows = catalog(remains, data, scratch, memory);
    let rows = rows.as_ref().as_ref().map_err(Clone::clone)?;
    let mut truths = Vec::new();
    for (chain, answered) in chains.iter().zip(answered) {
        truths.push(compare(chain, *answered, rows)?);
    }
    files(remains, data, chains, rows, memory)?;
    Ok(truths)
}

fn catalog(remains: &Remains, data: &str, scratch: &Path, memory: &Memory) -> Arc<Result<Rows, String>> {
    let names = ["", "-journal", "-wal"].map(|end| format!("{CATALOG}{end}"));
    let found = names.each_ref().map(|name| remains.files.get(&format!("{data}/{name}")));
    let mut key = DefaultHasher::new();
    found.map(|found| found.map(|found| found.key)).hash(&mut key);
    let key = key.finish();
    let catalogs = || memory.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(rows) = catalogs().get(&key) {
        return Arc::clone(rows);
    }
    for (name, found) in names.iter().zip(found) {
        let path = scratch.join(name);
        let _ = std::fs::remove_file(&path);
        if let Some(found) = found {
            std::fs::write(&path, &*found.bytes).expect("the scratch folder can be written");
        }
    }
    // The index of the log survives as it likes.
    let junk: Vec<u8> = (0..32_768_u32)
        .map(|byte| (byte.wrapping_mul(31) ^ u32::try_from(key & 0xff).unwrap_or(0)).to_le_bytes()[0])
        .collect();
    std::fs::write(scratch.join(format!("{CATALOG}-shm")), junk).expect("the scratch folder can be written");
    let rows = if found[0].is_some() {
        read(&scratch.join(CATALOG)).map_err(|error| format!("the catalog is damaged: {error}"))
    } else {
        Ok(Ok(Rows::default()))
    };
    let rows = Arc::new(rows.and_then(|rows| rows));
    catalogs().insert(key, Arc::clone(&rows));
    rows
}

fn read(file: &Path) -> rusqlite::Result<Result<Rows, String>> {
    let catalog = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    catalog.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let sound = all(&catalog, "PRAGMA integrity_check(3)", |row| row.get::<_, String>(0))?;
    if sound != ["ok"] {
        return Ok(Err(format!("the catalog is damaged: {sound:?}")));
    }
    let tables = all(&catalog, "SELECT name FROM sqlite_schema WHERE name = 'uploads'", |row| {
        row.get::<_, String>(0)
    })?;
    if tables.is_empty() {
        // The very first start was cut off.
        return Ok(Ok(Rows::default()));
    }
    let of_package = |what: &str| {
        // A digest is an algorithm byte and the hash.
        format!(
            "SELECT p.path, 'sha256:' || lower(hex(substr(x.digest, 2))) FROM {what} x \
             JOIN packages p ON p.id = x.package_id WHERE p.deleted_at IS NULL"
        )
    };
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let tags = "SELECT p.path, t.name, 'sha256:' || lower(hex(substr(v.digest, 2))) FROM tags t \
                JOIN versions v ON v.id = t.version_id JOIN packages p ON p.id = t.package_id \
                WHERE t.valid_to IS NULL AND p.deleted_at IS NULL";
    let uploads =
        all(&catalog, "SELECT id, storage_key, received, digest IS NOT NULL FROM uploads", |row| {
            let received = usize::try_from(row.get::<_, i64>(2)?).unwrap_or(usize::MAX);
            Ok(Upload { id: row.get(0)?, key: row.get(1)?, received, finished: row.get(3)? })
        })?;
    let open = uploads.iter().filter(|upload| !upload.finished);
    let truth = Truth {
        public: set(all(
            &catalog,
            "SELECT path FROM packages WHERE visibility = 2 AND deleted_at IS NULL",
            |row| row.get(0),
        )?),
        blobs: set(all(&catalog, &of_package("package_blobs"), pair)?),
        manifests: set(all(
            &catalog,
            &of_package("(SELECT * FROM versions WHERE deleted_at IS NULL)"),
            pair,
        )?),
        tags: all(&catalog, tags, |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?.into_iter().collect(),
        tokens: set(all(&catalog, "SELECT lower(hex(hash)) FROM tokens WHERE revoked_at IS NULL", |row| {
            row.get(0)
        })?),
        sessions: open.map(|upload| (upload.id.clone(), upload.received)).collect(),
    };
    let blobs = "SELECT storage_key, 'sha256:' || lower(hex(substr(digest, 2))), size FROM blobs";
    let blobs =
        all(&catalog, blobs, |row| Ok((row.get(0)?, (row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs()))))?;
    let trash = set(all(&catalog, "SELECT storage_key FROM trash", |row| row.get(0))?);
    Ok(Ok(Rows { truth, blobs: blobs.into_iter().collect(), uploads, trash }))
}

fn all<T>(
    catalog: &Connection,
    query: &str,
    each: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    catalog.prepare(query)?.query_map([], each)?.collect()
}

fn set<T: Ord>(items: Vec<T>) -> BTreeSet<T> {
    items.into_iter().collect()
}

/// A client finds what it was promised last, or what the request on its way asks for, whole. Nothing between.
fn compare(chain: &Chain, answered: usize, rows: &Rows) -> Result<Truth, String> {
    let mine = |package: &String| package.starts_with(&chain.packages);
    let all = &rows.truth;
    let found = Truth {
        public: all.public.iter().filter(|package| mine(package)).cloned().collect(),
        blobs: all.blobs.iter().filter(|(package, _)| mine(package)).cloned().collect(),
        manifests: all.manifests.iter().filter(|(package, _)| mine(package)).cloned().collect(),
        tags: all
            .tags
            .iter()
            .filter(|((package, _), _)| mine(package))
            .map(|(tag, digest)| (tag.clone(), digest.clone()))
            .collect(),
        tokens: if chain.tokens { all.tokens.clone() } else { BTreeSet::new() },
        // A session whose 202 never came is nobody's, and ends by itself.
        sessions: all
            .sessions
            .iter()
            .filter(|(id, _)| chain.sent.contains_key(*id))
            .map(|(id, received)| (id.clone(), *received))
            .collect(),
    };
    let possible = chain.possible(answered);
    if possible.contains(&found) {
        return Ok(found);
    }
    let last = answered.checked_sub(1).map_or("nothing", |last| chain.steps[last].what.as_str());
    Err(format!("after the answer to {last}: {}", difference(&possible[0], &found)))
}

fn difference(promised: &Truth, found: &Truth) -> String {
    let mut words = Vec::new();
    fn sides<T: Ord + std::fmt::Debug>(
        what: &str,
        promised: &BTreeSet<T>,
        found: &BTreeSet<T>,
        words: &mut Vec<String>,
    ) {
        words.extend(promised.difference(found).take(3).map(|one| format!("{what} {one:?} is missing")));
        words
            .extend(found.difference(promised).take(3).map(|one| format!("{what} {one:?} was not promised")));
    }
    sides("the public package", &promised.public, &found.public, &mut words);
    sides("blob", &promised.blobs, &found.blobs, &mut words);
    sides("manifest", &promised.manifests, &found.manifests, &mut words);
    sides("tag", &promised.tags.iter().collect(), &found.tags.iter().collect(), &mut words);
    sides("token", &promised.tokens, &found.tokens, &mut words);
    sides("session", &promised.sessions.iter().collect(), &found.sessions.iter().collect(), &mut words);
    words.join(", ")
}

/// Every row has its bytes, and every file its row.
fn files(
    remains: &Remains,
    data: &str,
    chains: &[Chain],
    rows: &Rows,
    memory: &Memory,
) -> Result<(), String> {
    let there = |key: &str| remains.files.get(&format!("{data}/{key}"));
    for (key, (digest, size)) in &rows.blobs {
        let found = there(key).ok_or_else(|| format!("the blob {digest} has no file {key}"))?;
        if found.bytes.len() as u64 != *size || memory.digest(found) != *digest {
            return Err(format!("the file {key} of {} bytes is not the blob {digest}", found.bytes.len()));
        }
    }
    for upload in rows.uploads.iter().filter(|upload| !upload.finished && upload.received > 0) {
        let found = there(&upload.key).map_or(&[][..], |found| &found.bytes);
        let sent = chains.iter().find_map(|chain| chain.sent.get(&upload.id));
        let whole = found.get(..upload.received);
        if whole.is_none() || sent.is_some_and(|sent| sent.whole.get(..upload.received) != whole) {
            return Err(format!("the session {} lacks bytes of its {}", upload.id, upload.received));
        }
    }
    let folder = format!("{data}/blobs/");
    for path in remains.files.keys() {
        let Some(name) = path.strip_prefix(&folder).filter(|name| name.contains('/')) else { continue };
        let key = format!("blobs/{name}");
        let named = rows.blobs.contains_key(&key)
            || rows.trash.contains(&key)
            || rows.uploads.iter().any(|upload| upload.key == key);
        if !named {
            return Err(format!("no row names the file {key}"));
        }
    }
    Ok(())
}
