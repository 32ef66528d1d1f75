//! A Garage cluster of our own, three nodes that each have all of it, for as long as the tests run: the S3 engine that
//! they use.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::run::{Ran, quietly, shown};

const READY: Duration = Duration::from_secs(60);
const FAREWELL: Duration = Duration::from_secs(10);
const NODES: usize = 3;

const BUCKET: &str = "packhouse";
const REGION: &str = "garage";
/// Keys of a cluster that only this machine reaches, and that ends with the run.
const ACCESS_KEY: &str = "GK7061636b686f7573650001";
const SECRET: &str = "7061636b686f7573657061636b686f7573657061636b686f7573657061636b68";

/// The running cluster. Dropping it ends it and removes its folder; should this program be killed, the kernel ends it
/// (`setpriv --pdeathsig`).
#[derive(Debug)]
pub(crate) struct Garage {
    nodes: Vec<Node>,
    /// Removed after the nodes have ended, as fields are dropped after [`Garage::drop`].
    _folder: TempDir,
}

#[derive(Debug)]
struct Node {
    server: Child,
    program: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
    s3_port: u16,
}

impl Garage {
    /// Starts three nodes on free ports of the loopback, tells them of each other, and makes a bucket and a key.
    ///
    /// # Errors
    ///
    /// When the nodes do not find each other in a minute.
    pub(crate) fn start(program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("packhouse-garage-").tempdir()?;
        let mut garage = Self { nodes: Vec::new(), _folder: folder };
        for number in 0..NODES {
            let node = Node::start(program, &garage._folder.path().join(number.to_string()))?;
            garage.nodes.push(node);
        }
        let end = Instant::now() + READY;
        let mut names = Vec::new();
        for node in &mut garage.nodes {
            names.push(node.until(end, "its name", &["node", "id", "-q"], |said| said.contains('@'))?);
        }
        let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
        let Some((first, others)) = garage.nodes.split_first_mut() else { bail!("a cluster without nodes") };
        for name in &names[1..] {
            first.until(end, "the others", &["node", "connect", name], |_| true)?;
        }
        let ids = names.iter().map(|name| name.split('@').next().unwrap_or_default());
        let assign =
            ["layout", "assign", "-z", "here", "-c", "1G"].into_iter().chain(ids).collect::<Vec<_>>();
        first.until(end, "a layout", &assign, |_| true)?;
        first.until(end, "the layout", &["layout", "apply", "--version", "1"], |_| true)?;
        first.until(end, "a bucket", &["bucket", "create", BUCKET], |_| true)?;
        first
            .until(end, "a key", &["key", "import", "--yes", "-n", "tests", ACCESS_KEY, SECRET], |_| true)?;
        let allow = ["bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", "tests"];
        first.until(end, "its rights", &allow, |_| true)?;
        for node in others {
            // The bucket has come to each of them.
            node.until(end, "the bucket", &["bucket", "info", BUCKET], |said| said.contains(ACCESS_KEY))?;
        }
        Ok(garage)
    }

    /// What tells the tests of it.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let port = self.nodes.first().map_or(0, |node| node.s3_port);
        vec![
            ("PACKHOUSE_TEST_S3_ENDPOINT", format!("http://127.0.0.1:{port}")),
            ("PACKHOUSE_TEST_S3_BUCKET", BUCKET.to_owned()),
            ("PACKHOUSE_TEST_S3_REGION", REGION.to_owned()),
            ("PACKHOUSE_TEST_S3_ACCESS_KEY", ACCESS_KEY.to_owned()),
            ("PACKHOUSE_TEST_S3_SECRET_KEY", SECRET.to_owned()),
        ]
    }
}

impl Node {
    fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir(folder)?;
        let (rpc_port, s3_port) = (free_port()?, free_port()?);
        let (meta, data) = (folder.join("meta"), folder.join("data"));
        let configuration = folder.join("garage.toml");
        let text = format!(
            "metadata_dir = {meta:?}\ndata_dir = {data:?}\ndb_engine = \"sqlite\"\nreplication_factor = {NODES}\n\
             rpc_bind_addr = \"127.0.0.1:{rpc_port}\"\nrpc_public_addr = \"127.0.0.1:{rpc_port}\"\n\
             rpc_secret = \"{SECRET}\"\n[s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"127.0.0.1:{s3_port}\"\n"
        );
        std::fs::write(&configuration, text)?;
        // It refuses a file with a secret that others can read.
        let mut permissions = std::fs::metadata(&configuration)?.permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
        std::fs::set_permissions(&configuration, permissions)?;
        let log = folder.join("server.log");
        let file = std::fs::File::create(&log)?;
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .arg("-c")
            .arg(&configuration)
            .arg("server")
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot start Garage")?;
        Ok(Self { server, program: program.to_owned(), configuration, log, s3_port })
    }

    /// Gives an order again and again until it succeeds and says what is expected.
    fn until(
        &mut self,
        end: Instant,
        what: &str,
        words: &[&str],
        enough: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        loop {
            let mut command = Command::new(&self.program);
            command.arg("-c").arg(&self.configuration).args(words).env("RUST_LOG", "error");
            let Ran { status, output } = quietly(&mut command)?;
            if status.success() && enough(&output) {
                return Ok(output);
            }
            let ended = self.server.try_wait()?;
            if ended.is_some() || Instant::now() > end {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let line = shown(&command);
                bail!("Garage did not get {what} ({ended:?}): `{line}` said:\n{output}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        for node in &self.nodes {
            let _ = kill_process(Pid::from_child(&node.server), Signal::TERM);
        }
        let end = Instant::now() + FAREWELL;
        for node in &mut self.nodes {
            while matches!(node.server.try_wait(), Ok(None)) {
                if Instant::now() > end {
                    let _ = kill_process(Pid::from_child(&node.server), Signal::KILL);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
