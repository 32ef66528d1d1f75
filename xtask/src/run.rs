//! Running other programs so that none outlives this one.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// No program may run longer than this: something hangs then.
const DEADLINE: Duration = Duration::from_secs(60 * 60);

/// How often a running program is looked at for a signal to this one.
const GLANCE: Duration = Duration::from_millis(200);

static STOPPED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT, SIGTERM and SIGHUP end the program that is running and let this one clean up.
///
/// # Errors
///
/// When the system refuses.
pub(crate) fn watch_for_signals() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| STOPPED.store(true, Ordering::SeqCst))
}

/// Whether somebody asked this program to end.
pub(crate) fn stopped() -> bool {
    STOPPED.load(Ordering::SeqCst)
}

/// A program's end, and all it printed on both streams.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

/// Runs a program to its end, without input, passing on what it prints as it comes and keeping a copy.
///
/// # Errors
///
/// When it cannot be started, takes an hour, or somebody asked to stop; it is killed then.
pub(crate) fn loudly(command: &mut Command) -> anyhow::Result<Ran> {
    run(command, true)
}

/// As [`loudly`], but prints nothing.
///
/// # Errors
///
/// As [`loudly`].
pub(crate) fn quietly(command: &mut Command) -> anyhow::Result<Ran> {
    run(command, false)
}

fn run(command: &mut Command, loud: bool) -> anyhow::Result<Ran> {
    let line = shown(command);
    if stopped() {
        bail!("stopped before `{line}`");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let group = Pid::from_child(&child);
    let output = Arc::new(Mutex::new(String::new()));
    let readers = [
        child.stdout.take().map(|stream| copy(stream, &output, loud)),
        child.stderr.take().map(|stream| copy(stream, &output, loud)),
    ];
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait()));
    let start = Instant::now();
    let status = loop {
        match ended.recv_timeout(GLANCE) {
            Ok(status) => break status.with_context(|| format!("cannot wait for `{line}`"))?,
            Err(RecvTimeoutError::Timeout) if !stopped() && start.elapsed() < DEADLINE => {}
            Err(_) => {
                let _ = kill_process_group(group, Signal::TERM);
                if ended.recv_timeout(Duration::from_secs(10)).is_err() {
                    let _ = kill_process_group(group, Signal::KILL);
                }
                bail!("ended `{line}` after {:?}", start.elapsed());
            }
        }
    };
    // What the program left running would hold the pipes open for ever.
    let _ = kill_process_group(group, Signal::KILL);
    for reader in readers.into_iter().flatten() {
        let _ = reader.join();
    }
    let output = std::mem::take(&mut *output.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Ran { status, output })
}

fn copy(
    stream: impl Read + Send + 'static,
    output: &Arc<Mutex<String>>,
    loud: bool,
) -> std::thread::JoinHandle<()> {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            if loud {
                let mut screen = std::io::stdout().lock();
                // A closed screen is no reason to end the tests.
                let _ = screen.write_all(text.as_bytes()).and_then(|()| screen.flush());
            }
            output.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            line.clear();
        }
    })
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
