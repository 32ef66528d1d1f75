//! Reading what strace writes with `-f -y -xx`: every byte that the program wrote, and when.
//!
//! A call is one line, or two when another thread came between. What ended on a line before another began had its
//! effect before it; of two that overlap nobody knows, and the disk's model takes them as such.

use std::collections::HashMap;

/// The calls to ask strace for: all that change files or move a file's position, and what answers a client.
/// `?`: some of these are not there on every processor or for every strace.
pub(crate) const CALLS: &str = "trace=?open,openat,?creat,?mkdir,mkdirat,?rename,renameat,renameat2,?unlink,\
     unlinkat,?rmdir,?link,linkat,?symlink,symlinkat,read,readv,write,writev,pwrite64,pwritev,pwritev2,sendto,\
     sendmsg,sendfile,copy_file_range,splice,?truncate,ftruncate,fallocate,fsync,fdatasync,sync_file_range,sync,\
     syncfs,lseek,close,dup,?dup2,dup3,fcntl,mmap,?io_uring_setup";

/// A system call, with the bytes of its strings.
pub(crate) struct Call {
    /// The lines on which it began and ended.
    pub(crate) begun: usize,
    pub(crate) ended: usize,
    pub(crate) name: String,
    /// The arguments without their strings: `7<%0>, %1, 4096, 4176`.
    pub(crate) shape: String,
    /// The strings, in their order.
    pub(crate) strings: Vec<Vec<u8>>,
    /// What it returned; none: it failed, or it was cut.
    pub(crate) result: Option<i64>,
    /// The end of the program came while it ran: it may have done its work.
    pub(crate) cut: bool,
    /// The text behind the result: a path, for a call that opens.
    pub(crate) path: Option<String>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = |bytes: &Vec<u8>| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let strings: Vec<String> = self.strings.iter().map(start).collect();
        write!(
            f,
            "line {}: {}({}) = {:?} with {strings:?}",
            self.begun + 1,
            self.name,
            self.shape,
            self.result
        )
    }
}

impl Call {
    /// The file descriptor that stands first, and its path.
    #[track_caller]
    pub(crate) fn file(&self) -> (i32, &str) {
        let number = self.shape.split_once('<').and_then(|(number, _)| number.parse().ok());
        let path = std::str::from_utf8(self.strings.first().map_or(b"", Vec::as_slice));
        (number.unwrap_or_else(|| panic!("no file in {self:?}")), path.expect("a path is text"))
    }

    /// The `number`th argument of the shape, as a number.
    #[track_caller]
    pub(crate) fn number(&self, number: usize) -> u64 {
        let argument = self.shape.split(", ").nth(number).and_then(|word| word.trim().parse().ok());
        argument.unwrap_or_else(|| panic!("no number {number} in {self:?}"))
    }
}

/// All calls of a trace, by their end.
///
/// # Panics
///
/// When a line cannot be read: what is not understood cannot be judged.
#[track_caller]
pub(crate) fn read(trace: &str) -> Vec<Call> {
    let mut waiting: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let (thread, rest) =
            line.trim_start().split_once(' ').unwrap_or_else(|| panic!("no thread: {}", short(line)));
        let rest = rest.trim_start();
        if rest.starts_with("+++") {
            if let Some((begun, start)) = waiting.remove(thread) {
                calls.push(call(begun, number, &format!("{start}) = ?")));
            }
        } else if rest.starts_with("---") {
            // A signal.
        } else if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            waiting.insert(thread, (number, start));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (begun, start) =
                waiting.remove(thread).unwrap_or_else(|| panic!("never begun: {}", short(line)));
            let (_, end) =
                resumed.split_once(" resumed>").unwrap_or_else(|| panic!("not understood: {}", short(line)));
            calls.push(call(begun, number, &format!("{start}{end}")));
        } else {
            calls.push(call(number, number, rest));
        }
    }
    calls
}

#[track_caller]
fn call(begun: usize, ended: usize, text: &str) -> Call {
    let (name, rest) = text.split_once('(').unwrap_or_else(|| panic!("no call: {}", short(text)));
    let (arguments, result) = rest.rsplit_once(" = ").unwrap_or_else(|| panic!("no result: {}", short(text)));
    let (shape, strings) = strings(arguments.trim_end().trim_end_matches(')'));
    let (result, behind) = result.split_once(['<', ' ']).unwrap_or((result, ""));
    let path = behind.strip_suffix('>').map(|path| String::from_utf8(bytes(path)).expect("a path is text"));
    let cut = result == "?";
    let result = match result.strip_prefix("0x") {
        Some(address) => i64::from_str_radix(address, 16).ok(),
        None => result.parse().ok(),
    };
    let result = result.filter(|result: &i64| *result >= 0);
    Call { begun, ended, name: name.to_owned(), shape, strings, result, cut, path }
}

/// Takes the strings and the paths of file descriptors out of the arguments.
#[track_caller]
fn strings(arguments: &str) -> (String, Vec<Vec<u8>>) {
    let (mut shape, mut strings) = (String::new(), Vec::new());
    let mut rest = arguments;
    while let Some(start) = rest.find(['"', '<']) {
        let close = if rest[start..].starts_with('"') { '"' } else { '>' };
        let (before, after) = rest.split_at(start + 1);
        let Some((inside, behind)) = after.split_once(close) else { break };
        shape.push_str(before);
        shape.push_str(&format!("%{}{close}", strings.len()));
        strings.push(bytes(inside));
        assert!(!behind.starts_with("..."), "strace cut a string of {} bytes", inside.len() / 4);
        rest = behind;
    }
    shape.push_str(rest);
    (shape, strings)
}

/// `\x2f\x74` as bytes; what is not written so stands for itself, as in `socket:[77]`.
#[track_caller]
fn bytes(text: &str) -> Vec<u8> {
    let mut found = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        match behind {
            [b'x', high, low, behind @ ..] if *first == b'\\' => {
                let digit = |byte: &u8| {
                    char::from(*byte)
                        .to_digit(16)
                        .and_then(|digit| u8::try_from(digit).ok())
                        .expect("a hexadecimal digit")
                };
                found.push(digit(high) << 4 | digit(low));
                rest = behind;
            }
            _ => {
                found.push(*first);
                rest = behind;
            }
        }
    }
    found
}

fn short(line: &str) -> String {
    line.chars().take(200).collect()
}
