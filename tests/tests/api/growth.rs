//! What a pull, a push, a list, a page, a deletion and a start cost does not grow with what there is: with a hundred times
//! the packages and three hundred times the versions the same statements run, give the same rows, and take SQLite's machine
//! hardly more instructions. Nor does the memory of a program that has nothing to do.
//!
//! The program itself tells (its log has each statement with its rows and instructions at the level of traces). Times are
//! printed and not compared: they are what neighbours make of them.

use packhouse_growth::{self as growth, Place, Size};
use packhouse_tests::{Caller, Catalog, House};
use serde_json::Value;

const SMALL: Size = Size { packages: 1_000, versions: 4_000 };

/// With `PACKHOUSE_TEST_LONG` some minutes and 12 GB of disk.
fn large() -> Size {
    match std::env::var_os("PACKHOUSE_TEST_LONG") {
        Some(_) => Size { packages: 1_000_000, versions: 10_000_000 },
        None => Size { packages: 100_000, versions: 1_000_000 },
    }
}

/// Resident memory of a program that has just started, and has nothing to do.
const IDLE_BYTES_MAX: u64 = 30 << 20;
/// The same with many packages. A tenth of a million must leave room for the rest.
const IDLE_LARGE_BYTES_MAX: u64 = 48 << 20;
/// Starts whose median is printed.
const STARTS: usize = 5;

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
    "POLICIES_DUE",
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

struct Stage {
    house: House,
    owner: Caller,
    member: Caller,
    /// What the start did.
    started: Vec<Work>,
}

/// The statements that a part of the log tells of, without those of workers.
fn statements_in(log: &str) -> Vec<Work> {
    let work = log.lines().filter_map(|line| {
        let said: Value = serde_json::from_str(line).ok()?;
        let statement = said["statement"].as_str()?.to_owned();
        let work = Work { statement, rows: said["rows"].as_u64()?, steps: said["steps"].as_u64()? };
        (!OF_WORKERS.contains(&work.statement.as_str())).then_some(work)
    });
    work.collect()
}

/// Where the catalog of a house is, for who fills it.
fn fill(house: &House, size: Size) {
    let file = house.data().join("catalog.sqlite");
    let place = house.database_url().map_or(Place::Sqlite(&file), Place::Postgres);
    growth::fill(place, "acme", size).expect("a filled catalog");
}

fn subject(house: &House) -> String {
    let file = house.data().join("catalog.sqlite");
    growth::subject(house.database_url().map_or(Place::Sqlite(&file), Place::Postgres))
}

fn stage(catalog: Catalog, size: Size) -> Stage {
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
    let before = house.log().len();
    house.open();
    let started = statements_in(&house.log()[before..]);
    let (owner, member) = (house.caller(&mona), house.caller(&hubot));
    Stage { house, owner, member, started }
}

impl Stage {
    /// After another start: its address is another one.
    fn renewed(self) -> Self {
        let (owner, member) = (self.owner.at(&self.house.url()), self.member.at(&self.house.url()));
        Self { owner, member, ..self }
    }

    /// What one request does, once it was done before (so that no cache is filled for the first time).
    fn work(&self, caller: &Caller, method: &str, path: &str, expected: u16) -> (Value, Vec<Work>) {
        let before = self.house.log().len();
        let answer = caller.send_bytes(method, path, "application/json", b"");
        assert_eq!(answer.status, expected, "{method} {path}: {answer}");
        let work = statements_in(&self.house.log()[before..]);
        let mut body = serde_json::from_slice(&answer.body).unwrap_or_default();
        if let (Value::Object(_) | Value::Array(_), Some(link)) = (&body, answer.header("link")) {
            body = serde_json::json!({ "items": body, "link": link });
        }
        (body, work)
    }

    /// What the registry does, as clients of images ask.
    fn tour_of_registry(&self, tour: &mut Vec<(String, Vec<Work>)>) {
        let large = "/v2/acme/large";
        let referrers = format!("{large}/referrers/{}", subject(&self.house));
        let by_digest = format!("{large}/manifests/{}", subject(&self.house));
        for (name, method, path) in [
            ("GET of a tag", "GET", format!("{large}/manifests/v00001500")),
            ("GET of a tag of another package", "GET", "/v2/acme/p0000500/manifests/latest".to_owned()),
            ("HEAD by digest", "HEAD", by_digest),
            ("the first page of tags", "GET", format!("{large}/tags/list?n=100")),
            ("a later page of tags", "GET", format!("{large}/tags/list?n=100&last=v00001900")),
            ("the first page of the catalog", "GET", "/v2/_catalog?n=100".to_owned()),
            ("a later page of the catalog", "GET", "/v2/_catalog?n=100&last=acme/p0000500".to_owned()),
            ("the first page of referrers", "GET", referrers),
        ] {
            tour.push((name.to_owned(), self.work(&self.owner, method, &path, 200).1));
        }
        // Who sees none of the packages is told so as quickly.
        for path in ["/v2/_catalog?n=100", "/v2/_catalog?n=100&last=acme/p0000500"] {
            tour.push((format!("a member: {path}"), self.work(&self.member, "GET", path, 200).1));
        }
        let of_none = format!("{large}/referrers/sha256:{}", "0".repeat(64));
        tour.push(("no referrers".to_owned(), self.work(&self.owner, "GET", &of_none, 200).1));
        let blob = packhouse_tests::Blob::new("application/octet-stream", b"{}".to_vec());
        for (package, first) in [("acme/large", true), ("acme/p0000600", true), ("acme/large", false)] {
            let before = self.house.log().len();
            self.owner.push_blob(package, &blob);
            let blobs = self.house.log().len();
            let manifest = format!(
                "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{{\"mediaType\":\
                 \"application/vnd.oci.empty.v1+json\",\"digest\":\"{}\",\"size\":2}},\"layers\":[],\"annotations\":\
                 {{\"first\":\"{first}\"}}}}",
                blob.digest
            );
            let manifest = packhouse_tests::Blob::new(
                "application/vnd.oci.image.manifest.v1+json",
                manifest.into_bytes(),
            );
            self.owner.push_manifest(package, "pushed", &manifest);
            let log = self.house.log();
            let which = if first { "the first" } else { "the second" };
            tour.push((format!("{which} push of a blob to {package}"), statements_in(&log[before..blobs])));
            tour.push((format!("{which} push of a manifest to {package}"), statements_in(&log[blobs..])));
        }
    }

    /// All that is compared, by name.
    fn tour(&self) -> Vec<(String, Vec<Work>)> {
        let mut tour = vec![("the start".to_owned(), self.started.clone())];
        self.tour_of_registry(&mut tour);
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

/// Resident bytes of the program just after its start, and the median time from its start to its first answer.
fn idle(stage: &mut Stage) -> (u64, std::time::Duration) {
    let mut times: Vec<_> = (0..STARTS).map(|_| stage.house.reopen_timed()).collect();
    times.sort();
    (stage.house.memory(), times[STARTS / 2])
}

fn what_is_done_does_not_grow(catalog: Catalog) {
    let mut stages = [SMALL, large()].map(|size| (size, stage(catalog, size)));
    let mut wrong = Vec::new();
    for ((size, stage), most) in stages.iter_mut().zip([IDLE_BYTES_MAX, IDLE_LARGE_BYTES_MAX]) {
        let (bytes, time) = idle(stage);
        println!("{size:?}: {:.1} MB idle, {time:?} from start to answer", bytes as f64 / 1e6);
        // Not optimised, the program itself is some megabytes larger.
        if bytes > most && !cfg!(debug_assertions) {
            wrong.push(format!("{size:?}: {bytes} bytes idle"));
        }
    }
    let [small, large] = stages.map(|(_, stage)| stage.renewed().tour());
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
    let looked_at: usize = small.iter().map(|(_, work)| work.len()).sum();
    assert!(looked_at > 100, "the log tells of {looked_at} statements only");
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
