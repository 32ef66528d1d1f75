//! Services of a test's own, which it may kill: a PostgreSQL, and a Garage of three nodes that each have all of it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::program::Program;
use crate::tools::tool;
use crate::wait::until;

const READY: Duration = Duration::from_secs(60);
const BUCKET: &str = "packhouse";
const REGION: &str = "garage";
/// Keys of a cluster that only this machine reaches, and that ends with the test.
const ACCESS_KEY: &str = "GK7061636b686f7573650002";
const SECRET: &str = "7061636b686f7573657061636b686f7573657061636b686f7573657061636b69";

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

fn folder(prefix: &str) -> TempDir {
    tempfile::Builder::new().prefix(prefix).tempdir().expect("a temporary folder")
}

/// A PostgreSQL that can be stopped in the middle of its work.
#[derive(Debug)]
pub struct Postgres {
    server: Option<Daemon>,
    port: u16,
    programs: PathBuf,
    /// Removed after the server has ended.
    folder: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Panics
    ///
    /// When Debian's `postgresql` is not there, or does not start.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        let folder = folder("packhouse-test-postgres-");
        if rustix::process::geteuid().is_root() {
            Program::new("chown", folder.path()).arg("postgres:postgres").arg(folder.path()).succeeds();
        }
        let mut postgres = Self { server: None, port: free_port(), programs: programs(), folder };
        postgres
            .program("initdb")
            .args(["--username=packhouse", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg("--pgdata")
            .arg(postgres.data())
            .succeeds();
        postgres.open();
        postgres
    }

    /// The URL of its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://packhouse@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it as a crash does ("immediate shutdown"): no client is waited for, and it recovers when it starts.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn crash(&mut self) {
        let mut server = self.server.take().expect("PostgreSQL runs");
        server.signal(Signal::QUIT);
        until("the end of PostgreSQL", READY, || server.ended());
    }

    /// Starts it (again) and waits until it takes connections.
    ///
    /// # Panics
    ///
    /// When it does not within a minute.
    #[track_caller]
    pub fn open(&mut self) {
        let program = self.program("postgres").arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        let program = program.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        let mut server = Daemon::start(&program.into_command(), &self.log());
        until("PostgreSQL takes connections", READY, || {
            server.must_be_running();
            postgres::Client::connect(&self.url(), postgres::NoTls).ok()
        });
        self.server = Some(server);
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// One of its programs, as the user `postgres` if we are root: the server refuses to run as that.
    fn program(&self, name: &str) -> Program {
        let program = self.programs.join(name);
        let run = if rustix::process::geteuid().is_root() {
            // The wish to end with the test is lost with the change of user, so it is said again.
            Program::new(tool("setpriv"), self.folder.path())
                .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig", "KILL", "--"])
                .arg(program)
        } else {
            Program::new(program, self.folder.path())
        };
        run.env("LC_ALL", "C")
    }
}

/// The folder of the newest installed version's programs.
#[track_caller]
fn programs() -> PathBuf {
    if let Some(path) = std::env::var_os("PACKHOUSE_TEST_POSTGRESQL") {
        return PathBuf::from(path);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("Debian's `postgresql` is installed");
    let newest = versions.filter_map(|version| {
        let folder = version.ok()?;
        let number: u32 = folder.file_name().to_str()?.parse().ok()?;
        Some((number, folder.path().join("bin")))
    });
    newest.max().expect("a version of PostgreSQL").1
}

/// Three Garage nodes with a bucket, any one of which may be away.
#[derive(Debug)]
pub struct Garage {
    nodes: Vec<GarageNode>,
    _folder: TempDir,
}

#[derive(Debug)]
struct GarageNode {
    server: Option<Daemon>,
    folder: PathBuf,
    s3_port: u16,
}

impl Garage {
    /// Starts the nodes, tells them of each other, and makes the bucket and its key.
    ///
    /// # Panics
    ///
    /// When they do not find each other within a minute.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        let folder = folder("packhouse-test-garage-");
        let nodes = (0..3).map(|number| GarageNode::start(&folder.path().join(number.to_string()))).collect();
        let garage = Self { nodes, _folder: folder };
        let named: Vec<String> =
            garage.nodes.iter().map(|node| node.says(&["node", "id", "-q"], "@").trim().to_owned()).collect();
        let first = &garage.nodes[0];
        for name in &named[1..] {
            first.says(&["node", "connect", name], "");
        }
        let ids = named.iter().map(|name| name.split('@').next().unwrap_or_default());
        let assign: Vec<&str> =
            ["layout", "assign", "-z", "here", "-c", "1G"].into_iter().chain(ids).collect();
        first.says(&assign, "");
        first.says(&["layout", "apply", "--version", "1"], "");
        first.says(&["bucket", "create", BUCKET], "");
        first.says(&["key", "import", "--yes", "-n", "tests", ACCESS_KEY, SECRET], "");
        first.says(&["bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", "tests"], "");
        for node in &garage.nodes {
            node.says(&["bucket", "info", BUCKET], ACCESS_KEY);
        }
        garage
    }

    /// Where each node answers, `host:port`.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.s3_port)).collect()
    }

    /// What tells the program of the bucket, behind an address of its own.
    #[must_use]
    pub fn settings(address: &str) -> [(&'static str, String); 5] {
        [
            ("PACKHOUSE_S3_ENDPOINT", format!("http://{address}")),
            ("PACKHOUSE_S3_BUCKET", BUCKET.to_owned()),
            ("PACKHOUSE_S3_REGION", REGION.to_owned()),
            ("PACKHOUSE_S3_ACCESS_KEY", ACCESS_KEY.to_owned()),
            ("PACKHOUSE_S3_SECRET_KEY", SECRET.to_owned()),
        ]
    }

    /// Ends one node with SIGKILL.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].server.take().expect("the node runs").kill();
    }

    /// Starts a node again.
    #[track_caller]
    pub fn open(&mut self, number: usize) {
        self.nodes[number].open();
    }
}

impl GarageNode {
    #[track_caller]
    fn start(folder: &Path) -> Self {
        std::fs::create_dir(folder).expect("a folder");
        let (rpc_port, s3_port) = (free_port(), free_port());
        let (meta, data) = (folder.join("meta"), folder.join("data"));
        let text = format!(
            "metadata_dir = {meta:?}\ndata_dir = {data:?}\ndb_engine = \"sqlite\"\nreplication_factor = 3\n\
             rpc_bind_addr = \"127.0.0.1:{rpc_port}\"\nrpc_public_addr = \"127.0.0.1:{rpc_port}\"\n\
             rpc_secret = \"{SECRET}\"\n[s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"127.0.0.1:{s3_port}\"\n"
        );
        let mut node = Self { server: None, folder: folder.to_owned(), s3_port };
        std::fs::write(node.configuration(), text).expect("its settings can be written");
        // It refuses a file with a secret that others can read.
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(node.configuration(), private).expect("its settings can be hidden");
        node.open();
        node
    }

    #[track_caller]
    fn open(&mut self) {
        let server = self.program().arg("server").env("RUST_LOG", "warn");
        self.server = Some(Daemon::start(&server.into_command(), &self.folder.join("server.log")));
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("garage.toml")
    }

    fn program(&self) -> Program {
        Program::new(tool("garage"), &self.folder).arg("-c").arg(self.configuration())
    }

    /// Gives an order again and again until it succeeds and says a word.
    #[track_caller]
    fn says(&self, words: &[&str], word: &str) -> String {
        until(&format!("garage {words:?}"), READY, || {
            let said = self.program().args(words).env("RUST_LOG", "error").run();
            (said.status.success() && said.stdout.contains(word)).then_some(said.stdout)
        })
    }
}
