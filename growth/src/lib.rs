//! Fills a catalog that no server has open with as many packages, versions and tags as somebody wants to try: up to
//! 10^6 packages and 10^7 versions, at some hundred thousand rows a second.
//!
//! It writes the rows itself. By pushing, a million packages would take an hour, and the rows would be the same but for
//! the digests, which are made up here: `packhouse verify` rightly finds that no manifest has the bytes it should have.
//!
//! What is there afterwards, all private and of one owner:
//!
//! - `<owner>/p0000001`, `<owner>/p0000002`, …: one version each, with the tag `latest`;
//! - `<owner>/large`: all other versions, with the tags `v00000001`, `v00000002`, …, but for [`REFERRERS`] that refer to
//!   the oldest tagged one, [`subject`].

use rusqlite::OpenFlags;
use std::path::Path;

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Packages in all.
    pub packages: u32,
    /// Versions in all: more than [`REFERRERS`] beyond one for each package.
    pub versions: u32,
}

impl Size {
    /// Packages beside the large one: `p0000001` up to this number.
    #[must_use]
    pub fn others(self) -> u32 {
        self.packages.saturating_sub(1).max(1)
    }

    /// Versions of the large one; those beyond [`REFERRERS`] have a tag each, up to this number.
    #[must_use]
    pub fn of_large(self) -> u32 {
        self.versions.saturating_sub(self.others())
    }
}

/// Where a catalog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// `catalog.sqlite` in a data folder.
    Sqlite(&'a Path),
    /// A database by its URL.
    Postgres(&'a str),
}

/// Referrers of one subject: more than a page of them.
pub const REFERRERS: u32 = 1_200;

/// The digest of the manifest that the referrers refer to, as a path has it.
#[must_use]
pub fn subject(place: Place<'_>) -> String {
    digest_of(place, REFERRERS + 1)
}

/// The digest of the manifest of `<owner>/large` under the tag `v<number>`, which has eight digits.
#[must_use]
pub fn digest_of(place: Place<'_>, number: u32) -> String {
    let bytes = match place {
        Place::Sqlite(_) => format!("{number:032}").into_bytes(),
        Place::Postgres(_) => {
            use sha2::Digest as _;
            sha2::Sha256::digest(number.to_string()).to_vec()
        }
    };
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Why a catalog was not filled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for cannot be made.
    #[error("{packages} packages of {owner:?} with {versions} versions: too few versions, or no name")]
    Size {
        /// The account that should own them.
        owner: String,
        /// Packages in all.
        packages: u32,
        /// Versions in all.
        versions: u32,
    },
    /// SQLite's, also when the file is not there.
    #[error("the catalog's file cannot be filled")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL's.
    #[error("the catalog's database cannot be filled")]
    Postgres(#[from] postgres::Error),
}

/// Fills a catalog. The owner is there already, and has no package yet.
///
/// # Errors
///
/// When the size cannot be made, or the rows cannot be written.
pub fn fill(place: Place<'_>, owner: &str, size: Size) -> Result<(), Error> {
    let script = script(place, owner, size)?;
    match place {
        Place::Postgres(url) => {
            let mut database = postgres::Client::connect(url, postgres::NoTls)?;
            database.batch_execute(&format!("{script} ANALYZE;"))?;
        }
        Place::Sqlite(file) => {
            let database = rusqlite::Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            // A crash in the middle loses what nobody needs; so nothing is written twice.
            let quick = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;";
            database.execute_batch(quick)?;
            database.execute_batch(&format!("BEGIN; {script} COMMIT;"))?;
            database.execute_batch("PRAGMA journal_mode = WAL;")?;
        }
    }
    Ok(())
}

/// The numbers begin far from those that the program gives.
fn script(place: Place<'_>, owner: &str, size: Size) -> Result<String, Error> {
    let (others, large) = (size.others(), size.of_large());
    let plain = owner.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if large <= REFERRERS || !plain {
        let Size { packages, versions } = size;
        return Err(Error::Size { owner: owner.to_owned(), packages, versions });
    }
    let of_sqlite = matches!(place, Place::Sqlite(_));
    let series = |from: u32, to: u32| match of_sqlite {
        false => format!("(SELECT n FROM generate_series({from}, {to}) AS n) AS n"),
        true => format!(
            "(WITH RECURSIVE n (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM n WHERE n < {to}) SELECT n FROM n) AS n"
        ),
    };
    let digest = |number: &str| match of_sqlite {
        false => format!("('\\x01'::bytea || sha256(({number})::text::bytea))"),
        true => format!("CAST(x'01' || CAST(printf('%032d', {number}) AS BLOB) AS BLOB)"),
    };
    let padded = |digits: u32| match of_sqlite {
        false => format!("lpad(n::text, {digits}, '0')"),
        true => format!("printf('%0{digits}d', n)"),
    };
    // As long as those that a build writes.
    let text = format!(
        "'{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{{\"mediaType\":\
         \"application/vnd.oci.empty.v1+json\",\"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61c\
         aaff8a\",\"size\":2}},\"layers\":[],\"annotations\":{{\"number\":\"' || {} || '\",\"padding\":\"{}\"}}}}'",
        padded(8),
        "x".repeat(200)
    );
    let payload = match of_sqlite {
        false => format!("({text})::bytea"),
        true => format!("CAST({text} AS BLOB)"),
    };
    let owner = format!("(SELECT id FROM accounts WHERE name = '{owner}')");
    let path = format!("(SELECT name FROM accounts WHERE id = {owner})");
    Ok(format!(
        "INSERT INTO packages (id, path, owner_id, type, visibility, created_at, updated_at, held, version_count, tagged_count)
           SELECT 1000000 + n, {path} || '/p' || {p_number}, {owner}, 1, 0, 1, 1, 1, 1, 1 FROM {others_series};
         INSERT INTO packages
             (id, path, owner_id, type, visibility, created_at, updated_at, held, version_count, tagged_count, part_count)
           SELECT 1000000, {path} || '/large', {owner}, 1, 0, 1, 1, 1, {tagged}, {tagged}, {REFERRERS};
         INSERT INTO manifests (id, digest, media_type, kind, size, payload, subject, artifact_type)
           SELECT 10000000 + n, {digest}, 'application/vnd.oci.image.manifest.v1+json', 1, LENGTH(payload), payload,
             CASE WHEN n <= {REFERRERS} THEN {subject} END, CASE WHEN n <= {REFERRERS} THEN 'application/test' END
           FROM (SELECT n, {payload} AS payload FROM {large_series}) AS made;
         INSERT INTO versions (id, package_id, manifest_id, digest, created_at, updated_at, subject, part)
           SELECT 10000000 + n, 1000000, 10000000 + n, {digest}, 10000000 + n, 10000000 + n,
             CASE WHEN n <= {REFERRERS} THEN {subject} END, CASE WHEN n <= {REFERRERS} THEN 1 ELSE 0 END
           FROM {large_series};
         INSERT INTO tags (package_id, name, version_id, valid_from)
           SELECT 1000000, 'v' || {v_number}, 10000000 + n, 1 FROM {tagged_series};
         INSERT INTO versions (id, package_id, manifest_id, digest, created_at, updated_at)
           SELECT 30000000 + n, 1000000 + n, 10000000 + {first}, {first_digest}, 1, 1 FROM {others_series};
         INSERT INTO tags (package_id, name, version_id, valid_from)
           SELECT 1000000 + n, 'latest', 30000000 + n, 1 FROM {others_series};
         UPDATE accounts SET package_count = {packages} WHERE id = {owner};",
        p_number = padded(7),
        v_number = padded(8),
        others_series = series(1, others),
        large_series = series(1, large),
        tagged_series = series(REFERRERS + 1, large),
        tagged = large - REFERRERS,
        digest = digest("n"),
        subject = digest(&(REFERRERS + 1).to_string()),
        first = REFERRERS + 1,
        first_digest = digest(&(REFERRERS + 1).to_string()),
        packages = others + 1,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_made_is_refused() {
        let nowhere = Place::Sqlite(Path::new("/nowhere/catalog.sqlite"));
        let few = Size { packages: 1_000, versions: 2_000 };
        let enough = Size { packages: 1_000, versions: 4_000 };
        assert!(matches!(fill(nowhere, "acme", few), Err(Error::Size { .. })));
        assert!(matches!(fill(nowhere, "ac'me", enough), Err(Error::Size { .. })));
        assert!(matches!(fill(nowhere, "acme", enough), Err(Error::Sqlite(_))));
        assert_eq!((enough.others(), enough.of_large()), (999, 3_001));
    }
}
