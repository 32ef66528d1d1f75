//! A PostgreSQL of our own for as long as the tests run.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::run::quietly;

const READY: Duration = Duration::from_secs(60);
const FAREWELL: Duration = Duration::from_secs(30);

/// The running server. Dropping it ends it and removes its folder; should this program be killed, the kernel
/// ends it (`setpriv --pdeathsig`).
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Child,
    port: u16,
    /// Removed after the server has ended, as fields are dropped after [`Postgres::drop`].
    folder: TempDir,
}

impl Postgres {
    /// Makes a cluster in a temporary folder and starts it on a free port of the loopback.
    ///
    /// It syncs as in production (`fsync` stays on), for the tests measure themselves against that.
    ///
    /// # Errors
    ///
    /// When Debian's `postgresql` is not there, or does not start.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let programs = programs().context("there is no PostgreSQL in /usr/lib/postgresql")?;
        let folder = tempfile::Builder::new().prefix("packhouse-postgres-").tempdir()?;
        let root = rustix::process::geteuid().is_root();
        if root {
            // The server refuses to run as root; Debian's package has made a user for it.
            succeeds(Command::new("chown").arg("postgres:postgres").arg(folder.path()))?;
        }
        let data = folder.path().join("data");
        let mut initdb = as_postgres(root, &programs.join("initdb"), folder.path());
        initdb.args(["--username=packhouse", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        succeeds(initdb.arg("--pgdata").arg(&data))?;

        let port = free_port()?;
        let log = std::fs::File::create(folder.path().join("server.log"))?;
        let mut server = as_postgres(root, &programs.join("postgres"), folder.path());
        server.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "max_connections=300", "fsync=on"] {
            server.args(["-c", setting]);
        }
        let server = server
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start PostgreSQL")?;
        let mut postgres = Self { server, port, folder };
        postgres.wait_until_ready(&programs)?;
        Ok(postgres)
    }

    /// The URL of its database `postgres`, for a user who may do everything.
    pub(crate) fn url(&self) -> String {
        format!("postgres://packhouse@127.0.0.1:{}/postgres", self.port)
    }

    fn wait_until_ready(&mut self, programs: &Path) -> anyhow::Result<()> {
        let end = Instant::now() + READY;
        loop {
            let mut question = Command::new(programs.join("pg_isready"));
            question.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if quietly(&mut question)?.status.success() {
                return Ok(());
            }
            let ended = self.server.try_wait()?;
            if ended.is_some() || Instant::now() > end {
                let log = std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
                bail!("PostgreSQL did not get ready ({ended:?}):\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let server = Pid::from_child(&self.server);
        // SIGINT is its "fast shutdown": it does not wait for clients.
        let _ = kill_process(server, Signal::INT);
        let end = Instant::now() + FAREWELL;
        while matches!(self.server.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = kill_process(server, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The folder of the newest installed version's programs.
pub(crate) fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|version| {
            let folder = version.ok()?;
            let number: u32 = folder.file_name().to_str()?.parse().ok()?;
            let programs = folder.path().join("bin");
            programs.join("initdb").is_file().then_some((number, programs))
        })
        .max()
        .map(|(_, programs)| programs)
}

/// `program`, as the user `postgres` if we are root, with a signal for when this program dies.
fn as_postgres(root: bool, program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if root {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.args(["--pdeathsig", "INT", "--"]).arg(program).current_dir(folder).env("LC_ALL", "C");
    command
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn succeeds(command: &mut Command) -> anyhow::Result<()> {
    let ran = quietly(command)?;
    if !ran.status.success() {
        bail!("`{}` failed ({}):\n{}", crate::run::shown(command), ran.status, ran.output);
    }
    Ok(())
}
