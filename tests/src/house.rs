//! One registry: the real program with a data folder of its own.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::caller::{Caller, Identity};
use crate::daemon::Daemon;
use crate::operator::User;
use crate::program::{Program, end_of};
use crate::tools::packhouse;
use crate::wait::until;

/// How long the program may take from its start until `/readyz` answers 200.
const READY: Duration = Duration::from_secs(30);

/// Where the catalog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catalog {
    /// The embedded SQLite, in the data folder.
    Sqlite,
    /// A new database on the server that `PACKHOUSE_TEST_DATABASE_URL` names, dropped with the house.
    Postgres,
}

/// Where the blobs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Files in the data folder.
    Files,
    /// The bucket that the variables `PACKHOUSE_TEST_S3_…` name, below a prefix of the house's own.
    S3,
}

/// What is asked of a house before it opens.
#[derive(Debug, Clone)]
pub struct HouseBuilder {
    catalog: Catalog,
    store: Store,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    wrapper: Vec<OsString>,
    tls: bool,
    limits: bool,
}

/// The rate limits, which a test of something else would only run into.
const LIMITS: [&str; 8] = [
    "API_TOKEN_HOUR",
    "API_ADDRESS_HOUR",
    "API_POINTS_MINUTE",
    "API_CONCURRENT",
    "API_WRITES_MINUTE",
    "API_WRITES_HOUR",
    "REGISTRY_READS_MINUTE",
    "REGISTRY_WRITES_MINUTE",
];

impl HouseBuilder {
    /// Chooses the catalog; SQLite if nobody asks.
    #[must_use]
    pub fn catalog(mut self, catalog: Catalog) -> Self {
        self.catalog = catalog;
        self
    }

    /// Chooses the place of the blobs; files if nobody asks.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// One variable of the program's environment, for example `PACKHOUSE_SPARSE_MANIFESTS`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more argument of `packhouse serve`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Runs the program behind another one, which must keep the process id as `strace -D -f -o FILE` does.
    #[must_use]
    pub fn behind(mut self, wrapper: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
        self
    }

    /// HTTPS with a certificate made on the spot for `127.0.0.1`, `localhost` and `packs.test`:
    /// [`House::certificate`].
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// With the rate limits that the program has by itself; without this, there are none.
    #[must_use]
    pub fn limits(mut self) -> Self {
        self.limits = true;
        self
    }

    /// Starts the program and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it ends instead, or is not ready within 30 seconds; its log is in the message.
    #[track_caller]
    #[must_use]
    pub fn start(self) -> House {
        let mut house = self.prepare();
        house.open();
        house
    }

    /// All that is needed to start, without starting: for tests of a start that must fail.
    #[track_caller]
    #[must_use]
    pub fn prepare(mut self) -> House {
        let folder =
            tempfile::Builder::new().prefix("packhouse-test-").tempdir().expect("a temporary folder");
        let database = (self.catalog == Catalog::Postgres).then(|| Arc::new(Database::create()));
        if let Some(database) = &database {
            self.environment.push(("PACKHOUSE_DATABASE_URL".to_owned(), database.url.clone()));
        }
        if self.store == Store::S3 {
            // In front as well: a test may name an address of its own for the bucket.
            self.environment.splice(0..0, bucket());
        }
        if !self.limits {
            // In front: what a test asks for itself comes after it and wins.
            let off = LIMITS.map(|name| (format!("PACKHOUSE_RATE_{name}"), "0".to_owned()));
            self.environment.splice(0..0, off);
        }
        if self.tls {
            let (certificate, key) = write_certificate(folder.path());
            self.environment
                .push(("PACKHOUSE_TLS_CERTIFICATE".to_owned(), certificate.display().to_string()));
            self.environment.push(("PACKHOUSE_TLS_KEY".to_owned(), key.display().to_string()));
        }
        House {
            server: None,
            address: String::new(),
            said: Arc::default(),
            first_words: Vec::new(),
            database,
            plan: self,
            folder,
        }
    }
}

/// A running registry. Dropping it sends SIGTERM and expects a clean exit.
#[derive(Debug)]
pub struct House {
    server: Option<Daemon>,
    address: String,
    said: Arc<Mutex<Vec<String>>>,
    first_words: Vec<String>,
    plan: HouseBuilder,
    /// Held to be dropped after the program has ended, as all fields are dropped after [`House::drop`].
    database: Option<Arc<Database>>,
    folder: TempDir,
}

impl House {
    /// A house as the README starts it: SQLite and files, no configuration.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A house with wishes.
    #[must_use]
    pub fn builder() -> HouseBuilder {
        HouseBuilder {
            catalog: Catalog::Sqlite,
            store: Store::Files,
            environment: Vec::new(),
            arguments: Vec::new(),
            wrapper: Vec::new(),
            tls: false,
            limits: false,
        }
    }

    /// Another node of the same registry, not yet open: the same catalog and bucket, a data folder of its own.
    #[track_caller]
    #[must_use]
    pub fn node(&self) -> Self {
        self.node_with(&[])
    }

    /// As [`House::node`], with other words in its environment.
    #[track_caller]
    #[must_use]
    pub fn node_with(&self, environment: &[(&str, &str)]) -> Self {
        let mut plan = self.plan.clone();
        plan.environment
            .extend(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        House {
            server: None,
            address: String::new(),
            said: Arc::default(),
            first_words: Vec::new(),
            database: self.database.clone(),
            plan,
            folder: tempfile::Builder::new().prefix("packhouse-test-").tempdir().expect("a temporary folder"),
        }
    }

    /// `127.0.0.1:PORT`, as in the names of images. The port is another one after each start.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `http://127.0.0.1:PORT`, or `https://…` with [`HouseBuilder::tls`].
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.plan.tls { "https" } else { "http" }, self.address)
    }

    /// The data folder given with `--data`.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The PEM file of the certificate of a house with TLS; it is its own authority.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// The lines of standard output of the first start, up to and with `listening on`.
    #[must_use]
    pub fn first_words(&self) -> &[String] {
        &self.first_words
    }

    /// All lines of standard output since the last start.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The administrator that the first start made, with the token it printed or was given.
    ///
    /// # Panics
    ///
    /// When the first start printed no token and none was given in the environment.
    #[track_caller]
    #[must_use]
    pub fn admin(&self) -> User {
        let given = |name| self.plan.environment.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
        let printed = || {
            let words = self.first_words.iter().flat_map(|line| line.split_whitespace());
            words.map(str::to_owned).find(|word| word.starts_with("phr_"))
        };
        let token = given("PACKHOUSE_ADMIN_TOKEN").or_else(printed);
        User {
            name: given("PACKHOUSE_ADMIN").unwrap_or_else(|| "admin".to_owned()),
            token: token.unwrap_or_else(|| panic!("no token in the first words: {:?}", self.first_words)),
        }
    }

    /// What the program has logged (standard error) since the house was built.
    #[must_use]
    pub fn log(&self) -> String {
        crate::program::read_so_far(&self.log_file())
    }

    /// The URL of the catalog's database, of a house on PostgreSQL.
    #[must_use]
    pub fn database_url(&self) -> Option<&str> {
        self.database.as_ref().map(|database| database.url.as_str())
    }

    /// A variable of the program's environment that this house was given.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        let found = self.plan.environment.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The process id of the program.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the house is closed").pid()
    }

    /// Speaks to the registry over plain HTTP with a user's token.
    #[must_use]
    pub fn caller(&self, user: &User) -> Caller {
        Caller::new(&self.url(), self.tls_certificate(), Identity::User(user.clone()))
    }

    /// Speaks to the registry by another address than the house's own: a balancer's.
    #[must_use]
    pub fn caller_at(&self, address: &str, user: &User) -> Caller {
        Caller::new(&format!("http://{address}"), None, Identity::User(user.clone()))
    }

    /// Speaks to the registry over plain HTTP without credentials.
    #[must_use]
    pub fn nobody(&self) -> Caller {
        Caller::new(&self.url(), self.tls_certificate(), Identity::Nobody)
    }

    /// Ends the program with SIGKILL, as a power cut would; the data stays for [`House::open`].
    #[track_caller]
    pub fn kill(&mut self) {
        self.server.take().expect("the house is closed").kill();
    }

    /// Ends the program with SIGTERM and expects that it ends cleanly.
    #[track_caller]
    pub fn close(&mut self) {
        let mut server = self.server.take().expect("the house is closed");
        let status = server.stop();
        assert!(status.success(), "after SIGTERM: {status}\n{}", end_of(&self.log()));
    }

    /// Starts the program (again) on the same data and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it is running, or does not get ready.
    #[track_caller]
    pub fn open(&mut self) {
        let server = self.launch();
        self.get_ready(server);
    }

    /// Closes the house, opens it again, and says how long that took from the start of the program to its first answer.
    #[track_caller]
    pub fn reopen_timed(&mut self) -> Duration {
        self.close();
        let began = Instant::now();
        let mut server = self.launch();
        let url = loop {
            server.must_be_running();
            if let Some(url) = self.words().iter().find_map(|line| line.strip_prefix("listening on ")) {
                break url.trim().to_owned();
            }
            assert!(began.elapsed() < READY, "not ready:\n{}", end_of(&self.log()));
            // Those that `until` makes grow to what would be most of what is measured.
            std::thread::sleep(Duration::from_millis(1));
        };
        let nobody = Caller::new(&url, self.tls_certificate(), Identity::Nobody);
        assert_eq!(nobody.get("/readyz").status, 200);
        let took = began.elapsed();
        self.get_ready(server);
        took
    }

    /// Resident memory of the program, in bytes.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kib << 10
    }

    /// Starts several at once, as a deployment does with the nodes of one registry.
    #[track_caller]
    pub fn open_together(houses: &mut [&mut House]) {
        // All from this thread: the programs end with the thread that started them.
        let servers: Vec<Daemon> = houses.iter_mut().map(|house| house.launch()).collect();
        for (house, server) in houses.iter_mut().zip(servers) {
            house.get_ready(server);
        }
    }

    #[track_caller]
    fn launch(&mut self) -> Daemon {
        assert!(self.server.is_none(), "the house is open");
        self.said = Arc::default();
        let mut server = Daemon::start_piped(&self.serve().into_command(), &self.log_file());
        let stdout = server.take_stdout().expect("standard output is a pipe");
        let said = Arc::clone(&self.said);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        server
    }

    #[track_caller]
    fn get_ready(&mut self, mut server: Daemon) {
        let url = until("the line `listening on …`", READY, || {
            server.must_be_running();
            self.words().iter().find_map(|line| Some(line.split_once("listening on ")?.1.trim().to_owned()))
        });
        let address = url.split_once("://").map_or(url.as_str(), |(_, address)| address);
        address.trim_end_matches('/').clone_into(&mut self.address);
        let nobody = self.nobody();
        until("200 from /readyz", READY, || {
            server.must_be_running();
            nobody.try_get("/readyz").filter(|answer| answer.status == 200)
        });
        if self.first_words.is_empty() {
            self.first_words = self.words();
        }
        self.server = Some(server);
    }

    /// Runs the program although it must refuse to start.
    #[track_caller]
    pub fn refuses_to_open(&self) -> crate::Finished {
        self.serve().deadline(READY).fails()
    }

    /// The program with this house's settings and other words, for example of the operator.
    #[must_use]
    pub fn program(&self) -> Program {
        self.with_environment(Program::new(packhouse(), self.folder.path()))
    }

    fn serve(&self) -> Program {
        let mut words = self.plan.wrapper.clone();
        words.push(packhouse().into());
        words.extend(["serve", "--listen", "127.0.0.1:0", "--data"].map(OsString::from));
        words.push(self.data().into());
        words.extend(self.plan.arguments.iter().map(OsString::from));
        let (first, others) = words.split_first().expect("there is at least the program");
        self.with_environment(Program::new(first, self.folder.path()).args(others))
    }

    fn with_environment(&self, program: Program) -> Program {
        self.plan.environment.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn tls_certificate(&self) -> Option<PathBuf> {
        self.plan.tls.then(|| self.certificate())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        if std::thread::panicking() {
            drop(server);
            eprintln!("--- log of the registry\n{}", end_of(&self.log()));
            return;
        }
        let early: Option<ExitStatus> = server.ended();
        assert!(early.is_none(), "the registry ended by itself: {early:?}\n{}", end_of(&self.log()));
        let status = server.stop();
        assert!(status.success(), "after SIGTERM: {status}\n{}", end_of(&self.log()));
    }
}

/// The settings of the tests' bucket, with a prefix that nobody else has.
#[track_caller]
fn bucket() -> Vec<(String, String)> {
    let of = |name: &str| {
        std::env::var(format!("PACKHOUSE_TEST_S3_{name}"))
            .expect("PACKHOUSE_TEST_S3_… name an S3 engine: `cargo xtask test` starts one and sets them")
    };
    let mut settings: Vec<(String, String)> = ["ENDPOINT", "BUCKET", "REGION", "ACCESS_KEY", "SECRET_KEY"]
        .map(|name| (format!("PACKHOUSE_S3_{name}"), of(name)))
        .into();
    settings.push(("PACKHOUSE_S3_PREFIX".to_owned(), format!("house-{}", crate::image::random_hex(8))));
    settings
}

/// A database that lives as long as its house, and the other nodes of it.
#[derive(Debug)]
struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    #[track_caller]
    fn create() -> Self {
        let server = std::env::var("PACKHOUSE_TEST_DATABASE_URL").expect(
            "PACKHOUSE_TEST_DATABASE_URL names a PostgreSQL server: `cargo xtask test` starts one and sets it",
        );
        let name = format!("house_{}", crate::image::random_hex(8));
        let (place, options) = server.split_once('?').unwrap_or((&server, ""));
        let (host, _) = place.rsplit_once('/').expect("the URL ends with the name of a database");
        let question = if options.is_empty() { "" } else { "?" };
        let url = format!("{host}/{name}{question}{options}");
        let database = Self { server, name, url };
        database.run(&format!("CREATE DATABASE {}", database.name)).expect("a database can be created");
        database
    }

    fn run(&self, statement: &str) -> Result<(), postgres::Error> {
        postgres::Client::connect(&self.server, postgres::NoTls)?.batch_execute(statement)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server goes away with the test run anyway; a database that stays does no harm.
        let _ = self.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

#[track_caller]
fn write_certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let names = ["127.0.0.1", "localhost", "packs.test"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("the certificate can be written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("the key can be written");
    (certificate, key)
}
