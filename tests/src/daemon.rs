//! Programs that run until they are told to stop.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::program::{end_of, read_so_far, shown};

/// How long a program may take to end after SIGTERM.
const FAREWELL: Duration = Duration::from_secs(30);

/// A program in the background, in a process group of its own, with its output in a file.
///
/// Dropping it ends it (SIGTERM, then SIGKILL to the whole group). It also ends when the thread that started
/// it ends, however that comes about: `setpriv --pdeathsig` asks the kernel for that, so that a killed test
/// run leaves nothing behind. Hence: start it on the test's own thread.
#[derive(Debug)]
pub struct Daemon {
    line: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Daemon {
    /// Starts `command`; standard error goes to the file `log`, and so does standard output unless the
    /// command already says where it goes with [`Daemon::start_piped`].
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    #[must_use]
    pub fn start(command: &Command, log: &Path) -> Self {
        let out = create(log);
        Self::spawn(command, log, out.into())
    }

    /// As [`Daemon::start`], with standard output in a pipe for [`Daemon::take_stdout`].
    #[track_caller]
    #[must_use]
    pub fn start_piped(command: &Command, log: &Path) -> Self {
        Self::spawn(command, log, Stdio::piped())
    }

    #[track_caller]
    fn spawn(command: &Command, log: &Path, stdout: Stdio) -> Self {
        let line = shown(command);
        let error = File::options().create(true).append(true).open(log).expect("a log can be written");
        let mut tied = tied_to_this_thread(command);
        let child = tied
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(error)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{line}`: {error}"));
        Self { line, child, log: log.to_owned(), ended: None }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The reading end of its standard output, once.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// All it has written to its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        read_so_far(&self.log)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
            if self.ended.is_some() {
                // Children that outlive it would keep files and mounts busy. Not later: its number is free now.
                let _ = kill_process_group(self.process(), Signal::KILL);
            }
        }
        self.ended
    }

    /// Panics with its log if it has ended: for use while waiting until it is ready.
    #[track_caller]
    pub fn must_be_running(&mut self) {
        if let Some(status) = self.ended() {
            panic!("`{}` ended ({status}) with\n{}", self.line, end_of(&self.log()));
        }
    }

    /// Sends one signal to the program itself.
    pub fn signal(&self, signal: Signal) {
        // Already gone is as good as told; its number may be another's by now.
        if self.ended.is_none() {
            let _ = kill_process(self.process(), signal);
        }
    }

    /// SIGKILL to it and all its children, and waits until it is gone.
    pub fn kill(&mut self) -> ExitStatus {
        if self.ended.is_none() {
            let _ = kill_process_group(self.process(), Signal::KILL);
        }
        self.wait(FAREWELL).expect("a killed process ends")
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    ///
    /// When it is still there after 30 seconds (it is killed then).
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
        }
        if let Some(status) = self.wait(FAREWELL) {
            return status;
        }
        self.kill();
        panic!("`{}` did not end within {FAREWELL:?} of SIGTERM\n{}", self.line, end_of(&self.log()));
    }

    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        while self.ended().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.ended
    }

    fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
            self.wait(FAREWELL);
        }
        if self.ended.is_none() {
            let _ = kill_process_group(self.process(), Signal::KILL);
            self.wait(FAREWELL);
        }
    }
}

fn create(file: &Path) -> File {
    File::options().create(true).append(true).open(file).expect("a log can be written")
}

/// The same command behind `setpriv --pdeathsig KILL`, which becomes it (the process id stays).
fn tied_to_this_thread(command: &Command) -> Command {
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args()).env_clear();
    if let Some(folder) = command.get_current_dir() {
        tied.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            tied.env(name, value);
        }
    }
    tied
}
