//! A program that runs until its target is dropped.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a program may take to end after SIGTERM.
const FAREWELL: Duration = Duration::from_secs(5);

/// A program in a process group of its own, which ends when this value does; and when this program is killed, since
/// `setpriv --pdeathsig` asks the kernel for that.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it with what it prints in the file `log`. Call it on the main thread: the kernel's promise is bound to
    /// the thread that asked.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        folder: &Path,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        // SIGTERM and not SIGKILL: nginx takes its workers along only then.
        command.args(["--pdeathsig", "TERM", "--"]).arg(program).args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder);
        command.envs(environment.iter().map(|(name, value)| (name, value))).current_dir(folder);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child })
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let process = Pid::from_child(&self.child);
        if !self.ended() {
            let _ = kill_process(process, Signal::TERM);
            let end = Instant::now() + FAREWELL;
            while !self.ended() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // Also when it ended by itself: its children may not have.
        let _ = kill_process_group(process, Signal::KILL);
        let _ = self.child.wait();
    }
}
