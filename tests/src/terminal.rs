//! A terminal with a person at it, for programs that ask questions.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::program::{DEADLINE, Program, end_of};
use crate::wait::until;

/// What a terminal answers, when a program asks where the cursor is.
const CURSOR_ASKED: &str = "\x1b[6n";
const CURSOR: &[u8] = b"\x1b[1;1R";

/// A command of `sh` that runs at a terminal of its own (`script`, of util-linux).
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: Arc<Mutex<ChildStdin>>,
    said: Arc<Mutex<String>>,
    seen: usize,
}

impl Terminal {
    /// Opens one for commands; `script` is the program of that name, with the environment that they get.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    #[must_use]
    pub fn open(script: Program, commands: &str) -> Self {
        let commands = format!("stty rows 40 cols 200\n{commands}");
        let script = script.env("SHELL", "/bin/sh").env("TERM", "xterm");
        let mut command =
            script.args(["--quiet", "--return", "--command", &commands, "/dev/null"]).into_command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("`script` starts");
        let keys = Arc::new(Mutex::new(child.stdin.take().expect("a pipe")));
        let mut screen = child.stdout.take().expect("a pipe");
        let said: Arc<Mutex<String>> = Arc::default();
        let (heard, typing) = (Arc::clone(&said), Arc::clone(&keys));
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut part) {
                let text = String::from_utf8_lossy(&part[..length]);
                for _ in text.matches(CURSOR_ASKED) {
                    let _ = typing.lock().unwrap_or_else(PoisonError::into_inner).write_all(CURSOR);
                }
                heard.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Self { child, keys, said, seen: 0 }
    }

    /// All that was on the screen so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a question, behind what was answered before, and answers it with these keys.
    #[track_caller]
    pub fn answer(&mut self, question: &str, keys: &str) -> &mut Self {
        self.seen = until(&format!("the question `{question}`"), DEADLINE, || {
            let said = self.said();
            let found = said.get(self.seen..).and_then(|new| new.find(question));
            let ended = self.child.try_wait().expect("it can be waited for").is_some();
            assert!(
                found.is_some() || !ended,
                "it ended without the question `{question}`:\n{}",
                end_of(&said)
            );
            found.map(|at| self.seen + at + question.len())
        });
        let mut typing = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        typing.write_all(keys.as_bytes()).expect("the program reads its keys");
        typing.flush().expect("the program reads its keys");
        drop(typing);
        self
    }

    /// Waits until it ends, as it should, and gives what was on the screen.
    #[track_caller]
    pub fn succeeds(mut self) -> String {
        let status = until("the end of the commands", DEADLINE, || {
            self.child.try_wait().expect("it can be waited for")
        });
        let said = self.said();
        assert!(status.success(), "{status}:\n{}", end_of(&said));
        said
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Its terminal goes with it, and with the terminal what runs there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
