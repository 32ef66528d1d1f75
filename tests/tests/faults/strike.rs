//! System calls of a running program that fail because strace says so.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use packhouse_tests::{Daemon, House, Program, tool, until};
use rustix::process::Signal;

/// How long it may take until strace holds all threads.
const ATTACH: Duration = Duration::from_secs(30);

/// Which of the calls fail. Each thread counts its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    Only(usize),
    From(usize),
}

/// A fault to come.
#[derive(Debug, Clone)]
pub(crate) struct Strike {
    pub(crate) call: &'static str,
    pub(crate) error: &'static str,
    pub(crate) when: When,
    /// Only calls on these files.
    pub(crate) files: Vec<PathBuf>,
}

/// A fault that is there until it is ended.
pub(crate) struct Struck {
    strace: Daemon,
    log: PathBuf,
    _desk: tempfile::TempDir,
}

impl Strike {
    /// Attaches strace to the running program.
    #[track_caller]
    pub(crate) fn on(&self, house: &House) -> Struck {
        let desk = tempfile::tempdir().expect("a temporary folder");
        let (log, said) = (desk.path().join("calls"), desk.path().join("said"));
        let when = match self.when {
            When::Only(number) => number.to_string(),
            When::From(number) => format!("{number}+"),
        };
        let mut inject = String::new();
        write!(inject, "inject={}:error={}:when={when}", self.call, self.error)
            .expect("a string can be written");
        let program = Program::new(tool("strace"), desk.path())
            .args(["-f", "-e", &format!("trace={}", self.call), "-e", &inject])
            .args(self.files.iter().flat_map(|file| ["-P".into(), file.clone().into_os_string()]))
            .arg("-o")
            .arg(&log)
            .args(["-p", &house.pid().to_string()]);
        let mut strace = Daemon::start(&program.into_command(), &said);
        until("strace to hold all threads", ATTACH, || {
            strace.must_be_running();
            strace.log().contains(" attached").then_some(())
        });
        Struck { strace, log, _desk: desk }
    }
}

impl Struck {
    /// Whether a call failed so far.
    pub(crate) fn met(&self) -> bool {
        std::fs::read_to_string(&self.log).is_ok_and(|calls| calls.contains("(INJECTED)"))
    }

    /// Lets the program go. Returns whether a call failed.
    pub(crate) fn ended(mut self) -> bool {
        self.strace.signal(Signal::INT);
        until("strace to let go", ATTACH, || self.strace.ended());
        self.met()
    }
}
