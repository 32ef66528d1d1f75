//! HTTP/1.1 by hand, for what a client library hides: a request that stops in the middle, an answer that comes
//! before the body is sent, an answer that nobody reads.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use crate::caller::Answer;
use crate::house::House;
use crate::operator::User;

/// How long one read or write may wait before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest line of an answer's head.
const LINE_BYTES_MAX: u64 = 16 << 10;
/// Longest body that [`Wire::answer`] reads; more is read with [`Wire::body`].
const BODY_BYTES_MAX: u64 = 16 << 20;

/// One connection to a house, on which every byte is sent by the test.
#[derive(Debug)]
pub struct Wire {
    stream: BufReader<TcpStream>,
    host: String,
    auth: String,
}

impl Wire {
    /// Connects as `user`.
    ///
    /// # Panics
    ///
    /// When the house does not accept.
    #[track_caller]
    #[must_use]
    pub fn open(house: &House, user: &User) -> Self {
        let socket = TcpStream::connect(house.address()).expect("the house accepts connections");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        socket.set_write_timeout(Some(PATIENCE)).expect("a time-out can be set");
        socket.set_nodelay(true).expect("small packets can be sent at once");
        Self { stream: BufReader::new(socket), host: house.address().to_owned(), auth: user.auth() }
    }

    /// A second hand on the same connection, to send while the first one listens.
    ///
    /// # Errors
    ///
    /// When the system has no more file descriptors.
    pub fn second_hand(&self) -> io::Result<Self> {
        let socket = self.stream.get_ref().try_clone()?;
        Ok(Self { stream: BufReader::new(socket), host: self.host.clone(), auth: self.auth.clone() })
    }

    /// Sends the head of a request; its body, if it has one, is up to the caller.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        head.push_str(&format!("Authorization: Basic {}\r\n", self.auth));
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_ref().write_all(bytes)
    }

    /// Sends one chunk of a body with `Transfer-Encoding: chunked`; an empty one ends it (RFC 9112 §7.1).
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn send_chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(format!("{:x}\r\n", bytes.len()).as_bytes())?;
        self.send(bytes)?;
        self.send(b"\r\n")
    }

    /// Reads an answer, of which the first `HTTP/1.1 1xx` counts as one, with its body.
    ///
    /// # Errors
    ///
    /// When the connection ends or stalls before all of it came, or it is more than 16 MiB.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head()?;
        let length = length_of(&answer)?;
        if length > BODY_BYTES_MAX {
            return Err(io::Error::other(format!("an answer of {length} bytes")));
        }
        (&mut self.stream).take(length).read_to_end(&mut answer.body)?;
        if answer.body.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }

    /// Reads the head of an answer and leaves its body to [`Wire::body`].
    ///
    /// # Errors
    ///
    /// When the connection ends or stalls, or what comes is not HTTP.
    pub fn head(&mut self) -> io::Result<Answer> {
        let status = self.line()?;
        let number = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = number.ok_or_else(|| io::Error::other(format!("no status line: `{status}`")))?;
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Answer { status, headers, body: Vec::new() });
            }
            let bad = || io::Error::other(format!("no header: `{line}`"));
            let (name, value) = line.split_once(':').ok_or_else(bad)?;
            let name: HeaderName = name.parse().map_err(|_| bad())?;
            headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| bad())?);
        }
    }

    /// Reads a body of `length` bytes piece by piece.
    ///
    /// # Errors
    ///
    /// When the connection ends or stalls before that.
    pub fn body(&mut self, length: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = length;
        let mut piece = vec![0; 1 << 20];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let read = self.stream.read(&mut piece[..most])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            each(&piece[..read]);
            left -= read as u64;
        }
        Ok(())
    }

    /// Whether the first bytes of an answer, or the end of the connection, are there to be read. Waits for nothing.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        let socket = self.stream.get_ref();
        if socket.set_nonblocking(true).is_err() {
            return true;
        }
        let there = socket.peek(&mut [0]);
        let waits = matches!(&there, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        // One that cannot be set back fails at its next use.
        let _ = socket.set_nonblocking(false);
        !waits
    }

    /// Says that nothing more will be sent, which also ends a write of the other hand.
    pub fn finish_sending(&self) {
        // Already closed is as good.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        (&mut self.stream).take(LINE_BYTES_MAX).read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(text) => Ok(text.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The length that the head says. Answers in chunks are not read here: this registry always knows the length.
fn length_of(answer: &Answer) -> io::Result<u64> {
    if matches!(answer.status, 100..=199 | 204 | 304) {
        return Ok(0);
    }
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    length.ok_or_else(|| io::Error::other(format!("an answer without a length: {answer}")))
}
