//! From system calls to what happens to the data folder, and what a client is told meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::strace::Call;

/// A file, whatever its names: an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct File(pub(crate) usize);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// A new file under a new name.
    Make {
        path: String,
        file: File,
    },
    MakeFolder {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    Write {
        file: File,
        at: u64,
        bytes: Arc<[u8]>,
    },
    /// A new length.
    Cut {
        file: File,
        length: u64,
    },
    /// The file's bytes, and the length that reading them takes.
    SyncFile {
        file: File,
    },
    /// The names in a folder.
    SyncFolder {
        path: String,
    },
    /// The first bytes of an answer over HTTP, with its `X-Request-Id`.
    Answer {
        id: String,
        status: u16,
    },
    /// An answer on the operator's socket.
    Told,
    /// Words on standard output.
    Printed {
        text: String,
    },
}

/// An act, from the line of its call to the line of its return.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) begun: usize,
    pub(crate) ended: usize,
    pub(crate) act: Act,
}

/// Everything that happened, by its beginning.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    pub(crate) events: Vec<Event>,
    /// The last path of each file.
    pub(crate) paths: BTreeMap<File, String>,
    /// The data folder's path.
    pub(crate) data: String,
}

/// What an open file descriptor stands for.
#[derive(Clone, Copy)]
struct Open {
    file: File,
    at: u64,
}

struct Reader {
    data: String,
    /// Names that are there now.
    names: HashMap<String, File>,
    paths: BTreeMap<File, String>,
    lengths: HashMap<File, u64>,
    open: HashMap<i32, Open>,
    events: Vec<Event>,
}

impl Recording {
    /// Reads the calls of one run after another on `data`, a path without a slash at its end.
    ///
    /// # Panics
    ///
    /// When bytes reach the data folder in a way that is not followed here.
    #[track_caller]
    pub(crate) fn new(calls: &[Call], data: &str) -> Self {
        let mut reader = Reader {
            data: data.to_owned(),
            names: HashMap::new(),
            paths: BTreeMap::new(),
            lengths: HashMap::new(),
            open: HashMap::new(),
            events: Vec::new(),
        };
        // A number is free as soon as its close begins: another thread may get it before that call returns.
        let mut calls: Vec<&Call> = calls.iter().collect();
        calls.sort_by_key(|call| if call.name == "close" { call.begun } else { call.ended });
        for call in calls {
            // What was cut in the middle may have been done, but a sync that was promises nothing.
            let cut = call.cut && ["pwrite64", "write", "ftruncate", "unlink"].contains(&call.name.as_str());
            if call.result.is_some() || cut {
                reader.take(call);
            }
        }
        reader.events.sort_by_key(|event| event.begun);
        Self { events: reader.events, paths: reader.paths, data: reader.data }
    }
}

impl Reader {
    #[track_caller]
    fn take(&mut self, call: &Call) {
        match call.name.as_str() {
            "open" | "openat" | "creat" => self.opened(call),
            "close" => {
                self.open.remove(&call.file().0);
            }
            "dup" | "dup2" | "dup3" | "fcntl" => self.duplicated(call),
            "lseek" => {
                let at = call.result.unwrap_or(0).unsigned_abs();
                if let Some(open) = self.ours(call) {
                    self.open.insert(call.file().0, Open { at, ..open });
                }
            }
            "read" | "readv" => {
                let read = call.result.unwrap_or(0).unsigned_abs();
                if let Some(open) = self.ours(call) {
                    self.open.insert(call.file().0, Open { at: open.at + read, ..open });
                }
            }
            "mkdir" | "mkdirat" => self.named(call, |path| Act::MakeFolder { path }),
            "unlink" | "unlinkat" => self.removed(call),
            "rename" | "renameat" | "renameat2" => self.renamed(call),
            "write" | "writev" | "pwrite64" | "sendto" | "sendmsg" => self.written(call),
            "ftruncate" => {
                if let Some(open) = self.ours(call) {
                    self.cut(call, open.file, call.number(1));
                }
            }
            "fsync" | "fdatasync" => self.synced(call),
            "mmap" => {
                let shared = call.shape.contains("MAP_SHARED") && call.shape.contains("PROT_WRITE");
                let ours = shared && call.strings.iter().any(|path| path.starts_with(self.data.as_bytes()));
                let index = call.strings.iter().any(|path| path.ends_with(b"-shm"));
                assert!(!ours || index, "a file is written through memory: {call:?}");
            }
            // All else that could change the folder.
            _ => {
                let ours = call.strings.iter().any(|path| path.starts_with(self.data.as_bytes()));
                assert!(!ours && call.name != "io_uring_setup", "not followed here: {call:?}");
            }
        }
    }

    /// Whether a path is the data folder or in it, and holds what is promised. The lock, the socket and SQLite's
    /// index of its log hold nothing that outlives a crash: SQLite makes the index anew whenever it is the first to
    /// open the catalog.
    fn counts(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.data.as_str());
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && ![".lock", ".sock", "-shm"].iter().any(|end| path.ends_with(end))
    }

    fn event(&mut self, call: &Call, act: Act) {
        self.events.push(Event { begun: call.begun, ended: call.ended, act });
    }

    /// The open file that a call is about, if it is one of ours.
    #[track_caller]
    fn ours(&self, call: &Call) -> Option<Open> {
        let (number, path) = call.file();
        if !self.counts(path.trim_end_matches(" (deleted)")) {
            return None;
        }
        let open = self.open.get(&number).copied();
        // A folder is open as well, and has nothing to follow.
        let known = open.filter(|open| path.ends_with(" (deleted)") || self.paths[&open.file] == path);
        assert!(known.is_some() || open.is_none(), "another file than was opened: {call:?}");
        known
    }

    #[track_caller]
    fn opened(&mut self, call: &Call) {
        let (Some(path), Some(number)) = (&call.path, call.result) else { return };
        let number = i32::try_from(number).expect("a file descriptor");
        self.open.remove(&number);
        let makes = call.name == "creat" || call.shape.contains("O_CREAT");
        if !self.counts(path) || call.shape.contains("O_DIRECTORY") {
            return;
        }
        assert!(!call.shape.contains("O_APPEND"), "positions are not followed here: {call:?}");
        let file = match self.names.get(path) {
            Some(file) => *file,
            None if makes => {
                let file = File(self.paths.len());
                self.names.insert(path.clone(), file);
                self.paths.insert(file, path.clone());
                self.event(call, Act::Make { path: path.clone(), file });
                file
            }
            // A folder.
            None => return,
        };
        if call.shape.contains("O_TRUNC") || call.name == "creat" {
            self.cut(call, file, 0);
        }
        self.open.insert(number, Open { file, at: 0 });
    }

    #[track_caller]
    fn duplicated(&mut self, call: &Call) {
        if call.name == "fcntl" && !call.shape.contains("F_DUPFD") {
            return;
        }
        assert!(self.ours(call).is_none(), "two hands on one position are not followed here: {call:?}");
        let number = call.result.and_then(|number| i32::try_from(number).ok()).expect("a file descriptor");
        self.open.remove(&number);
    }

    /// The path of a call that names one, below the folder that it may begin with.
    fn path(call: &Call, number: usize) -> String {
        let at = call.shape.contains("AT_FDCWD<");
        // `AT_FDCWD</tmp>, "/data/a", AT_FDCWD</tmp>, "/data/b"`
        let place = if at { number * 2 + 1 } else { number };
        String::from_utf8(call.strings[place].clone()).expect("a path is text")
    }

    fn named(&mut self, call: &Call, act: impl FnOnce(String) -> Act) {
        let path = Self::path(call, 0);
        if self.counts(&path) {
            self.event(call, act(path));
        }
    }

    fn removed(&mut self, call: &Call) {
        // What was never made here (the socket of an earlier run) is nothing to us.
        if self.names.remove(&Self::path(call, 0)).is_some() {
            self.named(call, |path| Act::Remove { path });
        }
    }

    #[track_caller]
    fn renamed(&mut self, call: &Call) {
        let (from, to) = (Self::path(call, 0), Self::path(call, 1));
        let Some(file) = self.names.remove(&from) else { return };
        assert!(self.counts(&to), "a file leaves the folder: {call:?}");
        self.names.insert(to.clone(), file);
        self.paths.insert(file, to.clone());
        self.event(call, Act::Rename { from, to });
    }

    #[track_caller]
    fn cut(&mut self, call: &Call, file: File, length: u64) {
        if self.lengths.insert(file, length).unwrap_or(0) != length {
            self.event(call, Act::Cut { file, length });
        }
    }

    #[track_caller]
    fn synced(&mut self, call: &Call) {
        let path = call.file().1.to_owned();
        if let Some(open) = self.ours(call) {
            self.event(call, Act::SyncFile { file: open.file });
        } else if self.counts(&path) || self.data.starts_with(&path) {
            assert!(!self.names.contains_key(&path), "a file that was not seen being opened: {call:?}");
            self.event(call, Act::SyncFolder { path });
        }
    }

    #[track_caller]
    fn written(&mut self, call: &Call) {
        let mut bytes: Vec<u8> = call.strings.get(1..).unwrap_or_default().concat();
        let returned = call.result.and_then(|count| usize::try_from(count).ok());
        let count = returned.unwrap_or(bytes.len());
        let (number, path) = call.file();
        if !self.counts(path) {
            self.told(call, path, &bytes);
            return;
        }
        let open = self.ours(call).unwrap_or_else(|| panic!("written without being opened: {call:?}"));
        assert!(bytes.len() >= count, "{} of {count} bytes were recorded: {call:?}", bytes.len());
        bytes.truncate(count);
        let at = if call.name == "pwrite64" { call.number(3) } else { open.at };
        if call.name != "pwrite64" {
            self.open.insert(number, Open { at: at + count as u64, ..open });
        }
        let length = self.lengths.entry(open.file).or_default();
        *length = (*length).max(at + count as u64);
        self.event(call, Act::Write { file: open.file, at, bytes: bytes.into() });
    }

    fn told(&mut self, call: &Call, path: &str, bytes: &[u8]) {
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned();
        if call.file().0 == 1 {
            self.event(call, Act::Printed { text: head });
            return;
        }
        if !path.starts_with("socket:") {
            return;
        }
        let head = head.to_lowercase();
        if let Some(status) = head.strip_prefix("http/1.1 ") {
            let id = head.split("\r\n").find_map(|line| line.strip_prefix("x-request-id: "));
            let status = status.get(..3).and_then(|status| status.parse().ok());
            if let (Some(id), Some(status)) = (id, status) {
                self.event(call, Act::Answer { id: id.to_owned(), status });
            }
        } else if bytes.starts_with(b"{\"") {
            self.event(call, Act::Told);
        }
    }
}
