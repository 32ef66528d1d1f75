//! What a list, a page and a deletion cost does not grow with what there is: with a hundred times the packages and five
//! hundred times the versions the same statements run, give the same rows, and take SQLite's machine hardly more
//! instructions.
//!
//! The program itself tells (its log has each statement with its rows and instructions at the level of traces).

use packhouse_tests::{Caller, Catalog, House};
use serde_json::Value;

/// Packages and versions of one organization.
struct Size {
    packages: u32,
    versions: u32,
}

const SMALL: Size = Size { packages: 1_000, versions: 2_000 };
const LARGE: Size = Size { packages: 100_000, versions: 1_000_000 };

/// Instructions at the large size, against those at the small one.
const INSTRUCTIONS_MAX: f64 = 1.2;

/// Statements of workers, which run when they will.
const OF_WORKERS: &[&str] = &[
    "ADD_TRANSFER",
    "COUNT_ON_PACKAGES",
    "COUNT_ON_TAGS",
    "COUNT_ON_VERSIONS",
    "EXPIRED",
    "LOCK_COUNTED",
    "PING",
    "TRASH_DUE",
    "USED",
];

/// What a statement did.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Work {
    statement: String,
    rows: u64,
    steps: u64,
}

/// `acme` with so many private packages, one of which, `acme/large`, has all versions but one for each other package.
fn fill(house: &House, size: &Size) {
    let others = size.packages - 1;
    let large = size.versions.saturating_sub(others).max(1);
    let series = |from: u32, to: u32| match house.database_url() {
        Some(_) => format!("(SELECT n FROM generate_series({from}, {to}) AS n) AS n"),
        None => format!(
            "(WITH RECURSIVE n (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM n WHERE n < {to}) SELECT n FROM n) AS n"
        ),
    };
    let digest = |seed: &str| match house.database_url() {
        Some(_) => format!("('\\x01'::bytea || sha256(({seed})::text::bytea))"),
        None => format!("CAST(x'01' || CAST(printf('%032d', {seed}) AS BLOB) AS BLOB)"),
    };
    let padded = match house.database_url() {
        Some(_) => "lpad(n::text, 7, '0')",
        None => "printf('%07d', n)",
    };
    // Numbers far from those that the program gives.
    let script = format!(
        "INSERT INTO packages (id, path, owner_id, type, visibility, created_at, updated_at, version_count)
           SELECT 1000000 + n, 'acme/p' || {padded}, (SELECT id FROM accounts WHERE name = 'acme'), 1, 0, 1, 1, 1
           FROM {others_series};
         INSERT INTO packages (id, path, owner_id, type, visibility, created_at, updated_at, version_count)
           SELECT 1000000, 'acme/large', id, 1, 0, 1, 1, {large} FROM accounts WHERE name = 'acme';
         INSERT INTO manifests (id, digest, media_type, kind, size, payload)
           SELECT 1000000 + n, {digest}, 'application/vnd.oci.image.manifest.v1+json', 1, 2, {payload}
           FROM {large_series};
         INSERT INTO versions (id, package_id, manifest_id, digest, created_at)
           SELECT 1000000 + n, 1000000, 1000000 + n, {digest}, 1000000 + n FROM {large_series};
         INSERT INTO versions (id, package_id, manifest_id, digest, created_at)
           SELECT 5000000 + n, 1000000 + n, 1000001, {first}, 1 FROM {others_series};
         UPDATE accounts SET package_count = {packages} WHERE name = 'acme';",
        others_series = series(1, others),
        large_series = series(1, large),
        digest = digest("n"),
        first = digest("1"),
        payload = if house.database_url().is_some() { "'{}'::bytea" } else { "x'7b7d'" },
        packages = size.packages,
    );
    match house.database_url() {
        Some(url) => {
            let mut database = postgres::Client::connect(url, postgres::NoTls).expect("the database");
            database.batch_execute(&format!("{script} ANALYZE;")).expect("rows");
        }
        None => {
            let file = house.data().join("catalog.sqlite");
            assert!(file.is_file(), "the catalog's file");
            let database = rusqlite::Connection::open(file).expect("the database");
            database.execute_batch(&format!("BEGIN; {script} COMMIT;")).expect("rows");
        }
    }
}

struct Stage {
    house: House,
    owner: Caller,
    member: Caller,
}

fn stage(catalog: Catalog, size: &Size) -> Stage {
    let mut house = House::builder()
        .catalog(catalog)
        .env("PACKHOUSE_LOG", "error,packhouse::sql=trace")
        .env("PACKHOUSE_LOG_FORMAT", "json")
        .start();
    for name in ["mona", "hubot"] {
        house.operator(["user", "create", name]);
    }
    let mona = house.token("mona", "read:packages,write:packages,delete:packages");
    let hubot = house.token("hubot", "read:packages");
    house.organization("acme", &mona);
    house.operator(["org", "add-member", "acme", "hubot"]);
    house.close();
    fill(&house, size);
    house.open();
    let (owner, member) = (house.caller(&mona), house.caller(&hubot));
    Stage { house, owner, member }
}

impl Stage {
    /// What one request does, once it was done before (so that no cache is filled for the first time).
    fn work(&self, caller: &Caller, method: &str, path: &str, expected: u16) -> (Value, Vec<Work>) {
        let before = self.house.log().len();
        let answer = caller.send_bytes(method, path, "application/json", b"");
        assert_eq!(answer.status, expected, "{method} {path}: {answer}");
        let log = self.house.log();
        let work = log[before..].lines().filter_map(|line| {
            let said: Value = serde_json::from_str(line).ok()?;
            let fields = said.get("fields").unwrap_or(&said);
            let statement = fields["statement"].as_str()?.to_owned();
            let work = Work { statement, rows: fields["rows"].as_u64()?, steps: fields["steps"].as_u64()? };
            (!OF_WORKERS.contains(&work.statement.as_str())).then_some(work)
        });
        let work: Vec<Work> = work.collect();
        assert!(!work.is_empty(), "the log tells of no statement: {}", &log[before..]);
        let mut body = serde_json::from_slice(&answer.body).unwrap_or_default();
        if let (Value::Object(_) | Value::Array(_), Some(link)) = (&body, answer.header("link")) {
            body = serde_json::json!({ "items": body, "link": link });
        }
        (body, work)
    }

    /// All that is compared, by name.
    fn tour(&self) -> Vec<(String, Vec<Work>)> {
        let mut tour = Vec::new();
        let packages = "/api/v3/orgs/acme/packages?package_type=container&per_page=100";
        let versions = "/api/v3/orgs/acme/packages/container/large/versions?per_page=100";
        for (who, caller) in [("owner", &self.owner), ("member", &self.member)] {
            let (first, work) = self.work(caller, "GET", packages, 200);
            tour.push((format!("{who}: the first page of packages"), work));
            if who == "owner" {
                let next = next_of(&first);
                let (second, work) = self.work(caller, "GET", &next, 200);
                tour.push((format!("{who}: the second page of packages"), work));
                assert_eq!(second["items"].as_array().map(Vec::len), Some(100));
            }
        }
        let (first, work) = self.work(&self.owner, "GET", versions, 200);
        tour.push(("the first page of versions".to_owned(), work));
        let listed = if first.is_array() { &first } else { &first["items"] };
        let newest = listed[0]["id"].to_string();
        let one = format!("/api/v3/orgs/acme/packages/container/large/versions/{newest}");
        for (name, method, path, status) in [
            ("a package", "GET", "/api/v3/orgs/acme/packages/container/large", 200),
            ("a version", "GET", one.as_str(), 200),
            ("a package that is not there", "GET", "/api/v3/orgs/acme/packages/container/none", 404),
            ("deleting a version", "DELETE", one.as_str(), 204),
            ("restoring it", "POST", &format!("{one}/restore"), 204),
            ("deleting a package", "DELETE", "/api/v3/orgs/acme/packages/container/p0000500", 204),
            ("restoring it", "POST", "/api/v3/orgs/acme/packages/container/p0000500/restore", 204),
        ] {
            tour.push((name.to_owned(), self.work(&self.owner, method, path, status).1));
        }
        tour
    }
}

/// The path of the next page.
fn next_of(page: &Value) -> String {
    let link = page["link"].as_str().expect("a link");
    let next = link.split(", <").find(|part| part.ends_with("rel=\"next\"")).expect("a next page");
    let url = next.trim_start_matches('<').split('>').next().expect("a URL");
    format!("/{}", url.splitn(4, '/').nth(3).expect("a path"))
}

fn what_is_done_does_not_grow(catalog: Catalog) {
    let small = stage(catalog, &SMALL).tour();
    let large = stage(catalog, &LARGE).tour();
    let mut wrong = Vec::new();
    for ((name, small), (_, large)) in small.iter().zip(&large) {
        let statements = |work: &[Work]| -> Vec<(String, u64)> {
            work.iter().map(|work| (work.statement.clone(), work.rows)).collect()
        };
        if statements(small) != statements(large) {
            wrong.push(format!("{name}:\n  small {:?}\n  large {:?}", statements(small), statements(large)));
        }
        let steps = |work: &[Work]| work.iter().map(|work| work.steps).sum::<u64>() as f64;
        let ratio = if steps(small) > 0.0 { steps(large) / steps(small) } else { 1.0 };
        println!("{name}: {} statements, {} instructions, {ratio:.2} ×", small.len(), steps(large));
        if ratio > INSTRUCTIONS_MAX {
            wrong.push(format!(
                "{name}: {} instructions, {} at the small size\n  {large:?}",
                steps(large),
                steps(small)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_done_does_not_grow_with_what_there_is_on_sqlite() {
    what_is_done_does_not_grow(Catalog::Sqlite);
}

#[test]
fn what_is_done_does_not_grow_with_what_there_is_on_postgres() {
    what_is_done_does_not_grow(Catalog::Postgres);
}
