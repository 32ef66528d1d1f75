//! Engines of their own for the tests: dockerd and containerd, each with its folders and its socket.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::program::Program;
use crate::tools::tool;
use crate::wait::until;

const READY: Duration = Duration::from_secs(60);

/// How many engines may run at once in one test process: they are heavy, and the machine has two cores.
const PLACES: usize = 2;

static TAKEN: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

/// One of the [`PLACES`].
#[derive(Debug)]
struct Place;

impl Place {
    fn take() -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken =
            LEFT.wait_while(taken, |taken| *taken >= PLACES).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        LEFT.notify_one();
    }
}

/// A Docker engine that touches nothing outside its folder: no bridge, no firewall rules.
#[derive(Debug)]
pub struct Dockerd {
    engine: Engine,
}

impl Dockerd {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not start; its log is in the message. It needs root.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts it with variables in its environment, such as `HTTPS_PROXY`, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not start; its log is in the message. It needs root.
    #[track_caller]
    #[must_use]
    pub fn start_with(environment: &[(&str, &str)]) -> Self {
        let mut engine = Engine::prepare();
        let folder = engine.path().to_owned();
        let dockerd = Program::new(tool("dockerd"), &folder)
            .arg("--host")
            .arg(format!("unix://{}", folder.join("engine.sock").display()))
            .arg("--data-root")
            .arg(folder.join("root"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("dockerd.pid"))
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2"]);
        let with = |program: Program, (name, value): &(&str, &str)| program.env(name, value);
        engine.start(environment.iter().fold(dockerd, with));
        let dockerd = Self { engine };
        dockerd.engine.ready(|| dockerd.docker(&folder).args(["version"]));
        dockerd
    }

    /// `docker`, speaking to this engine, with its settings in `desk`.
    #[must_use]
    pub fn docker(&self, desk: &Path) -> Program {
        self.client("docker", desk)
    }

    /// Another client of the engine, such as `docker-compose`.
    #[must_use]
    pub fn client(&self, name: &str, desk: &Path) -> Program {
        Program::new(tool(name), desk)
            .env("DOCKER_HOST", format!("unix://{}", self.engine.path().join("engine.sock").display()))
            .env("DOCKER_CONFIG", desk.join("docker"))
    }
}

/// A containerd of its own.
#[derive(Debug)]
pub struct Containerd {
    engine: Engine,
}

impl Containerd {
    /// Starts it, with the Kubernetes interface (CRI) or without, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not start; its log is in the message. It needs root.
    #[track_caller]
    #[must_use]
    pub fn start(with_cri: bool) -> Self {
        let mut engine = Engine::prepare();
        let folder = engine.path().to_owned();
        let at = |name: &str| folder.join(name).display().to_string();
        let disabled = if with_cri { "" } else { "\"io.containerd.grpc.v1.cri\"" };
        let config = format!(
            r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [{disabled}]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{opt}"
    conf_dir = "{opt}"
"#,
            root = at("root"),
            state = at("state"),
            socket = at("engine.sock"),
            opt = at("opt"),
        );
        std::fs::write(folder.join("config.toml"), config).expect("the settings can be written");
        engine
            .start(Program::new(tool("containerd"), &folder).arg("--config").arg(folder.join("config.toml")));
        let containerd = Self { engine };
        containerd.engine.ready(|| containerd.ctr(&folder).arg("version"));
        containerd
    }

    /// The path of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.engine.path().join("engine.sock")
    }

    /// `ctr`, speaking to this containerd.
    #[must_use]
    pub fn ctr(&self, desk: &Path) -> Program {
        Program::new(tool("ctr"), desk).arg("--address").arg(self.socket())
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.engine.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }
}

/// A service in a folder, and the mounts it made there.
#[derive(Debug)]
struct Engine {
    daemon: Option<Daemon>,
    folder: TempDir,
    _place: Place,
}

impl Engine {
    fn prepare() -> Self {
        let place = Place::take();
        let folder = tempfile::Builder::new().prefix("packhouse-engine-").tempdir().expect("a folder");
        Self { daemon: None, folder, _place: place }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    #[track_caller]
    fn start(&mut self, program: Program) {
        self.daemon = Some(Daemon::start(&program.into_command(), &self.path().join("engine.log")));
    }

    /// Asks with a client of it until that succeeds.
    #[track_caller]
    fn ready(&self, question: impl Fn() -> Program) {
        let log = || self.daemon.as_ref().map(Daemon::log).unwrap_or_default();
        let end = std::time::Instant::now() + READY;
        until("the engine answers", READY + Duration::from_secs(1), || {
            let answered = question().run().status.success();
            assert!(answered || std::time::Instant::now() < end, "the engine does not answer:\n{}", log());
            answered.then_some(())
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.daemon.take());
        unmount_below(self.path());
    }
}

/// Ends every mount below a folder, the inner ones first, so that the folder can be removed.
pub fn unmount_below(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for point in points.filter(|point| point.starts_with(folder)).collect::<Vec<_>>().into_iter().rev() {
        // Left mounted, the folder stays behind: unpleasant, but no reason to fail a test that has passed.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(point).status();
    }
}
