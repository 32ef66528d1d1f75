//! Reading what strace writes with `-f -y`: one system call a line, or two when another thread came between.

use std::collections::HashMap;

/// The calls to ask strace for. `?`: some of these are not there on every processor.
pub(crate) const CALLS: &str = "trace=?open,openat,?creat,?mkdir,mkdirat,?rename,renameat,renameat2,?unlink,\
     unlinkat,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendfile,copy_file_range,splice,ftruncate,\
     fallocate,fsync,fdatasync";

/// A system call that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Number of the line on which it began, and of the one on which it ended. They are the order of things:
    /// what ended before another began had its effect before.
    pub(crate) begun: usize,
    pub(crate) ended: usize,
    pub(crate) what: What,
}

/// What a call does to files, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The file was opened so that it would be made.
    Create(String),
    MakeFolder(String),
    Rename {
        from: String,
        to: String,
    },
    Remove(String),
    /// Bytes, or a new length.
    Write {
        path: String,
        bytes: u64,
    },
    Sync(String),
    /// An answer's first bytes on a socket.
    Answer(u16),
    /// Words for the person at the terminal.
    Print(String),
}

/// All calls of a trace that succeeded and matter here, by their beginning.
///
/// # Panics
///
/// When a line cannot be read: what is not understood cannot be judged.
#[track_caller]
pub(crate) fn read(trace: &str) -> Vec<Call> {
    let mut waiting: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let (thread, rest) = line.trim_start().split_once(' ').unwrap_or_else(|| panic!("no thread: {line}"));
        let rest = rest.trim_start();
        // Signals and ends of threads.
        if rest.starts_with("---") || rest.starts_with("+++") {
            continue;
        }
        let (begun, text) = if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            waiting.insert(thread, (number, start.to_owned()));
            continue;
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (begun, start) = waiting.remove(thread).unwrap_or_else(|| panic!("never begun: {line}"));
            let (_, end) =
                resumed.split_once(" resumed>").unwrap_or_else(|| panic!("not understood: {line}"));
            (begun, start + end)
        } else {
            (number, rest.to_owned())
        };
        if let Some(what) = what(&text) {
            calls.push(Call { begun, ended: number, what });
        }
    }
    calls.sort_by_key(|call| call.begun);
    calls
}

#[track_caller]
fn what(text: &str) -> Option<What> {
    let (call, result) = text.rsplit_once(" = ").unwrap_or_else(|| panic!("no result: {text}"));
    let (name, arguments) = call.split_once('(').unwrap_or_else(|| panic!("no call: {text}"));
    // A call that failed did nothing, and one that the end of the program cut (`?`) promised nothing.
    if result.starts_with('-') || result.starts_with('?') {
        return None;
    }
    match name {
        "open" | "openat" | "creat" => {
            let makes = name == "creat" || arguments.contains("O_CREAT");
            makes.then(|| What::Create(path_in(result)))
        }
        "mkdir" | "mkdirat" => Some(What::MakeFolder(quoted(arguments, 0))),
        "rename" | "renameat" | "renameat2" => {
            Some(What::Rename { from: quoted(arguments, 0), to: quoted(arguments, 1) })
        }
        "unlink" | "unlinkat" => Some(What::Remove(quoted(arguments, 0))),
        "fsync" | "fdatasync" => Some(What::Sync(path_in(arguments))),
        "ftruncate" | "fallocate" => Some(What::Write { path: path_in(arguments), bytes: 0 }),
        "splice" | "sendfile" | "copy_file_range" => {
            panic!("bytes moved in a way that is not followed here: {text}")
        }
        "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" | "sendto" | "sendmsg" => {
            written(arguments, result)
        }
        _ => None,
    }
}

#[track_caller]
fn written(arguments: &str, result: &str) -> Option<What> {
    let bytes = result.trim().parse().unwrap_or_else(|_| panic!("no count of bytes: {arguments} = {result}"));
    let path = path_in(arguments);
    if path.starts_with('/') {
        return Some(What::Write { path, bytes });
    }
    let start = arguments.split_once('"').map_or("", |(_, start)| start);
    if let Some(status) = start.strip_prefix("HTTP/1.1 ") {
        return Some(What::Answer(status.get(..3)?.parse().expect("a status")));
    }
    // Standard output is a pipe here.
    (arguments.starts_with("1<")).then(|| What::Print(start.to_owned()))
}

/// The path that `-y` writes behind a file descriptor: `7</data/blobs>`, `9<socket:[12]>`.
#[track_caller]
fn path_in(text: &str) -> String {
    let path = text.split_once('<').and_then(|(_, rest)| Some(rest.split_once('>')?.0));
    path.unwrap_or_else(|| panic!("no path in {text}")).to_owned()
}

/// The `number`th string in quotes. Paths of these tests need no escapes.
#[track_caller]
fn quoted(arguments: &str, number: usize) -> String {
    let mut strings = arguments.split('"').skip(1).step_by(2);
    strings.nth(number).unwrap_or_else(|| panic!("no path in {arguments}")).to_owned()
}
