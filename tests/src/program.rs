//! One run of a program, with a deadline and everything it said.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// How long one command may take before it is killed and the test fails.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A command line about to run.
///
/// It starts with an environment of its own: `PATH`, and a `HOME` in the folder it works in, so that no
/// client finds or changes the settings of the person at this desk. Standard input is empty.
#[derive(Debug)]
pub struct Program {
    command: Command,
    stdin: Vec<u8>,
    deadline: Duration,
}

impl Program {
    /// `path` is run in `folder`, which is its home as well.
    #[must_use]
    pub fn new(path: impl AsRef<OsStr>, folder: impl AsRef<Path>) -> Self {
        let mut command = Command::new(path);
        own_environment(&mut command, folder.as_ref());
        Self { command, stdin: Vec::new(), deadline: DEADLINE }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// One variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads from standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Another deadline than [`DEADLINE`].
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or does not end in time (it is killed then, with its children).
    #[track_caller]
    #[must_use]
    pub fn run(mut self) -> Finished {
        let line = shown(&self.command);
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("cannot start `{line}`: {error}"));
        let group = process_group(&child);
        let stdin = child.stdin.take();
        let input = std::mem::take(&mut self.stdin);
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            if let Some(mut stdin) = stdin {
                // A program that ends without reading its input is fine: its exit status tells.
                let _ = stdin.write_all(&input);
            }
        });
        std::thread::spawn(move || done.send(child.wait_with_output()));
        let output = match ended.recv_timeout(self.deadline) {
            Ok(output) => output.unwrap_or_else(|error| panic!("cannot wait for `{line}`: {error}")),
            Err(_) => {
                let _ = kill_process_group(group, Signal::KILL);
                panic!("`{line}` was not done after {:?}", self.deadline);
            }
        };
        Finished {
            line,
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it and expects success.
    #[track_caller]
    pub fn succeeds(self) -> Finished {
        let finished = self.run();
        assert!(finished.status.success(), "expected success of {finished}");
        finished
    }

    /// Runs it and expects it to refuse; [`Finished::says`] then looks at the reason.
    #[track_caller]
    pub fn fails(self) -> Finished {
        let finished = self.run();
        assert!(!finished.status.success(), "expected a failure of {finished}");
        finished
    }

    /// The command itself, for a [`crate::Daemon`].
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Finished {
    /// Expects `text` somewhere in what it printed, on either stream, in any letter case.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        let said = format!("{}\n{}", self.stdout, self.stderr).to_lowercase();
        assert!(said.contains(&text.to_lowercase()), "expected the words `{text}` from {self}");
        self
    }

    /// Expects that `text` (a token, say) is nowhere in what it printed.
    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        assert!(!self.stdout.contains(text) && !self.stderr.contains(text), "`{text}` leaked from {self}");
        self
    }

    /// What it printed, without the blanks and line ends around it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// What it printed, as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}) from {self}"))
    }

    /// The lines it printed, trimmed, without empty ones.
    #[must_use]
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` ({})\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.status,
            end_of(&self.stdout),
            end_of(&self.stderr)
        )
    }
}

/// The last 8,000 bytes: enough to see why, little enough to read.
pub(crate) fn end_of(text: &str) -> &str {
    let mut from = text.len().saturating_sub(8_000);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// Nothing of the environment of whoever runs the tests but `PATH`, with the folders of services added.
pub(crate) fn own_environment(command: &mut Command, folder: &Path) {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
    command.env_clear().env("PATH", path).env("HOME", folder).env("LC_ALL", "C.UTF-8").current_dir(folder);
}

pub(crate) fn process_group(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// The command as one would type it, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let words: Vec<OsString> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_owned).collect();
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Reads a file that a program is writing; a file that is not there yet is empty.
pub(crate) fn read_so_far(file: &PathBuf) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = std::fs::File::open(file) {
        let _ = file.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
