//! Where lines of the log go: standard error, with those of requests gathered first.
//!
//! A line for each request, written by itself, is a system call for each request, on which all threads wait for each
//! other. So the lines of requests are gathered and a thread of its own writes them, [`GATHER_TIME`] after the first one.
//! All other lines are rare and are what is looked for when something went wrong: they are written at once by whoever
//! logs them, behind what was gathered, so that the order is that of the events.
//!
//! Nothing is dropped: who finds [`GATHERED_BYTES_MAX`] bytes waiting writes them itself. What was gathered is written
//! before the program ends, when [`Flushing`] is dropped, and in front of the line of a panic, which is written at once. Only who
//! kills the program from outside can cost the last moment's lines.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// How long the line of a request may wait for others.
const GATHER_TIME: Duration = Duration::from_millis(20);
/// Bytes that wait at the most; some 2,500 lines.
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// Room that is kept from one time to the next.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// The lines of requests have this target.
pub(super) const GATHERED: &str = "packhouse::access";

/// A log's end: what gives each line its way.
pub(super) struct Out<W>(Arc<Shared<W>>);

impl<W> Clone for Out<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<W> {
    gathered: Mutex<Gathered>,
    /// Something was gathered, or all is over.
    change: Condvar,
    /// Held while bytes are written, and taken before `gathered` by whoever wants both: so lines keep their order.
    sink: Mutex<W>,
}

#[derive(Default)]
struct Gathered {
    lines: Vec<u8>,
    over: bool,
}

/// Writes what was gathered when it is dropped, and ends the thread.
#[must_use = "what was gathered is lost without it"]
pub struct Flushing {
    end: Option<Box<dyn FnOnce() + Send>>,
}

impl std::fmt::Debug for Flushing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flushing").finish_non_exhaustive()
    }
}

impl Drop for Flushing {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end();
        }
    }
}

impl<W: Write + Send + 'static> Out<W> {
    /// Begins to write to a sink. Where no thread can be made, each line is written at once.
    pub(super) fn begin(sink: W) -> (Self, Flushing) {
        let shared =
            Arc::new(Shared { gathered: Mutex::default(), change: Condvar::new(), sink: Mutex::new(sink) });
        let writing = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || writing.gather());
        if thread.is_err() {
            shared.gathered().over = true;
        }
        let ending = Arc::clone(&shared);
        let end = move || ending.end(thread.ok());
        (Self(shared), Flushing { end: Some(Box::new(end)) })
    }
}

impl<W: Write> Shared<W> {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: sleeps until there is something, waits for more of it, writes.
    fn gather(&self) {
        loop {
            let waiting = self.gathered();
            let waiting =
                self.change.wait_while(waiting, |gathered| gathered.lines.is_empty() && !gathered.over);
            let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
            let over = self.change.wait_timeout_while(waiting, GATHER_TIME, |gathered| !gathered.over);
            let over = over.unwrap_or_else(PoisonError::into_inner).0.over;
            self.write(b"");
            if over {
                return;
            }
        }
    }

    /// Writes what was gathered, and a line behind it. A log that cannot be written (nobody reads it any more) is no
    /// reason to stop serving.
    fn write(&self, line: &[u8]) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = std::mem::take(&mut self.gathered().lines);
        lines.extend_from_slice(line);
        if !lines.is_empty() {
            let _ = sink.write_all(&lines).and_then(|()| sink.flush());
        }
        lines.clear();
        let mut gathered = self.gathered();
        // Its room is used again, unless others have begun anew.
        if gathered.lines.capacity() == 0 && lines.capacity() <= KEPT_BYTES_MAX {
            gathered.lines = lines;
        }
    }

    fn add(&self, line: &[u8]) {
        let mut gathered = self.gathered();
        if gathered.over || gathered.lines.len() + line.len() > GATHERED_BYTES_MAX {
            drop(gathered);
            return self.write(line);
        }
        let first = gathered.lines.is_empty();
        gathered.lines.extend_from_slice(line);
        drop(gathered);
        if first {
            self.change.notify_one();
        }
    }

    fn end(&self, thread: Option<JoinHandle<()>>) {
        self.gathered().over = true;
        self.change.notify_one();
        if let Some(thread) = thread {
            // It has no way to panic but in the sink, and then there is nothing left to do.
            let _ = thread.join();
        }
        self.write(b"");
    }
}

impl<'a, W: Write + 'a> MakeWriter<'a> for Out<W> {
    type Writer = Line<'a, W>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { shared: &self.0, gathered: false }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        Line { shared: &self.0, gathered: meta.target() == GATHERED }
    }
}

/// Takes one line as a whole, as the subscriber gives it.
pub(super) struct Line<'a, W> {
    shared: &'a Shared<W>,
    gathered: bool,
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.gathered {
            self.shared.add(line);
        } else {
            self.shared.write(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A sink that tells of each write, and waits for leave before it.
    struct Sink(mpsc::Sender<String>, mpsc::Receiver<()>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.0.send(String::from_utf8(bytes.to_vec()).unwrap()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (Out<Sink>, Flushing, mpsc::Receiver<String>, mpsc::Sender<()>) {
        let ((told, written), (leave, given)) = (mpsc::channel(), mpsc::channel());
        let (out, flushing) = Out::begin(Sink(told, given));
        (out, flushing, written, leave)
    }

    #[test]
    fn lines_of_requests_are_gathered_and_written_soon() {
        let (out, _flushing, written, leave) = log();
        leave.send(()).unwrap();
        for line in ["one\n", "two\n", "three\n"] {
            out.0.add(line.as_bytes());
        }
        // By the thread, since nobody else writes anything.
        let mut all = written.recv().unwrap();
        while all != "one\ntwo\nthree\n" {
            leave.send(()).unwrap();
            all.push_str(&written.recv().unwrap());
        }
    }

    #[test]
    fn another_line_is_written_at_once_behind_those_before_it() {
        let (out, _flushing, written, leave) = log();
        leave.send(()).unwrap();
        leave.send(()).unwrap();
        out.0.add(b"request\n");
        out.0.write(b"error\n");
        let all: String = written.try_iter().collect();
        assert_eq!(all, "request\nerror\n");
    }

    #[test]
    fn who_finds_no_room_waits_and_nothing_is_lost() {
        let (out, flushing, written, leave) = log();
        let line = format!("{}\n", "x".repeat(9_999));
        let count = 3 * GATHERED_BYTES_MAX / line.len();
        let adding = std::thread::spawn({
            let line = line.clone();
            move || (0..count).for_each(|_| out.0.add(line.as_bytes()))
        });
        let mut bytes = 0;
        while bytes < count * line.len() - GATHERED_BYTES_MAX {
            // It cannot end by itself: there is room for a third, and what is being written.
            let _ = leave.send(());
            bytes += written.recv().unwrap().len();
        }
        // More than there are lines: from here on nothing waits.
        (0..2 * count).for_each(|_| leave.send(()).unwrap_or_default());
        adding.join().unwrap();
        drop(flushing);
        bytes += written.try_iter().map(|text| text.len()).sum::<usize>();
        assert_eq!(bytes, count * line.len());
    }

    #[test]
    fn what_waits_at_the_end_is_written_and_what_comes_after_it_too() {
        let (out, flushing, written, leave) = log();
        out.0.add(b"last\n");
        for _ in 0..3 {
            leave.send(()).unwrap();
        }
        drop(flushing);
        out.0.add(b"after\n");
        assert_eq!(written.try_iter().collect::<String>(), "last\nafter\n");
    }
}
