//! One connection to a target, plain or TLS, with HTTP/1.1 spoken by hand.
//!
//! A generator shares the machine's few cores with the target, so it must cost little and the same for every target:
//! requests are ready bytes, answers go into one buffer that is used again and are looked at no closer than needed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustix::net::RecvFlags;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::answer::{Framing, Head};

/// What is read at once: small enough to stay in the cache of a core.
const BUFFER_BYTES: usize = 256 * 1024;

/// How to reach a target.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    /// As in the `Host` header.
    pub(crate) host: String,
    /// The TLS client, for a target that speaks TLS.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// `user:password` in base64, for a target that asks who is there.
    pub(crate) basic: Option<String>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into).await,
            Self::Tls(stream) => stream.read(into).await,
        }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => stream.write_all(bytes).await,
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            // There is no buffer of ours in front of the socket.
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush().await,
        }
    }
}

/// An open connection.
pub(crate) struct Connection {
    stream: Stream,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    discards: bool,
}

impl Connection {
    pub(crate) async fn open(door: &Door) -> io::Result<Self> {
        Self::with_socket(door, None).await
    }

    /// A connection that can take only so many bytes at once, of a client on a slow line.
    pub(crate) async fn open_slow(door: &Door, receive_bytes: u32) -> io::Result<Self> {
        Self::with_socket(door, Some(receive_bytes)).await
    }

    async fn with_socket(door: &Door, receive_bytes: Option<u32>) -> io::Result<Self> {
        let socket = if door.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(door.address).await?;
        stream.set_nodelay(true)?;
        let stream = match &door.tls {
            None => Stream::Plain(stream),
            Some(config) => {
                let name = door.host.rsplit_once(':').map_or(door.host.as_str(), |(name, _)| name).to_owned();
                let name = ServerName::try_from(name).map_err(io::Error::other)?;
                let connector = TlsConnector::from(Arc::clone(config));
                Stream::Tls(Box::new(connector.connect(name, stream).await?))
            }
        };
        let size = receive_bytes.map_or(BUFFER_BYTES, |bytes| bytes as usize);
        Ok(Self { stream, buffer: vec![0; size].into_boxed_slice(), start: 0, end: 0, discards: false })
    }

    /// From now on bodies are dropped in the kernel where that can be (plain TCP), and only counted: what is handed on
    /// then has the right length and no meaning.
    pub(crate) fn discard(&mut self) {
        self.discards = true;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().await
    }

    /// Reads one answer; the body goes to `body` piece by piece. `to_head` says that the request was a HEAD, whose
    /// answer has a length and no body.
    pub(crate) async fn receive(&mut self, to_head: bool, mut body: impl FnMut(&[u8])) -> io::Result<Head> {
        let head = self.receive_head().await?;
        match if to_head { Framing::None } else { head.framing } {
            Framing::None => {}
            Framing::Length(length) => self.pass(length, &mut body).await?,
            Framing::Chunked => loop {
                let size = self.chunk_size().await?;
                self.pass(size, &mut body).await?;
                self.skip_line().await?;
                if size == 0 {
                    break;
                }
            },
            Framing::UntilEnd => loop {
                body(&self.buffer[self.start..self.end]);
                (self.start, self.end) = (0, 0);
                if self.fill().await? == 0 {
                    break;
                }
            },
        }
        Ok(head)
    }

    /// Reads up to the end of the head of an answer, and leaves the body.
    pub(crate) async fn receive_head(&mut self) -> io::Result<Head> {
        let mut searched = self.start;
        loop {
            let seen = &self.buffer[searched..self.end];
            if let Some(place) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let end = searched + place + 4;
                let head = Head::parse(&self.buffer[self.start..end])
                    .ok_or_else(|| io::Error::other("what came is no head of an HTTP/1.1 answer"))?;
                self.start = end;
                return Ok(head);
            }
            searched = self.start.max(self.end.saturating_sub(3));
            let moved = self.start;
            self.fill_or_fail().await?;
            // Filling may move what is there to the front.
            searched -= moved - self.start;
        }
    }

    /// What is there of the body, at most as much as the buffer holds; 0 is the end of the connection.
    pub(crate) async fn some(&mut self) -> io::Result<usize> {
        (self.start, self.end) = (0, 0);
        self.fill().await
    }

    async fn pass(&mut self, length: u64, body: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
                if self.discards
                    && let Stream::Plain(stream) = &self.stream
                {
                    let most = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let gone = drop_some(stream, &mut self.buffer[..most]).await?;
                    body(&self.buffer[..gone]);
                    left -= gone as u64;
                    continue;
                }
                self.fill_or_fail().await?;
            }
            let here = (self.end - self.start).min(usize::try_from(left).unwrap_or(usize::MAX));
            body(&self.buffer[self.start..self.start + here]);
            self.start += here;
            left -= here as u64;
        }
        Ok(())
    }

    async fn chunk_size(&mut self) -> io::Result<u64> {
        let line = self.line().await?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(digits, 16).map_err(io::Error::other)
    }

    async fn skip_line(&mut self) -> io::Result<()> {
        self.line().await.map(drop)
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            let seen = &self.buffer[self.start..self.end];
            if let Some(place) = seen.windows(2).position(|bytes| bytes == b"\r\n") {
                let line = String::from_utf8_lossy(&seen[..place]).into_owned();
                self.start += place + 2;
                return Ok(line);
            }
            self.fill_or_fail().await?;
        }
    }

    async fn fill_or_fail(&mut self) -> io::Result<()> {
        if self.fill().await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended in an answer"));
        }
        Ok(())
    }

    async fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            if self.start == 0 {
                return Err(io::Error::other("the head of an answer is longer than the buffer"));
            }
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let read = self.stream.read(&mut self.buffer[self.end..]).await?;
        self.end += read;
        Ok(read)
    }
}

/// Drops what came, at most as much as `space`, without copying it (`MSG_TRUNC` of tcp(7)).
async fn drop_some(stream: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        let dropped = stream.try_io(Interest::READABLE, || {
            let (_, dropped) = rustix::net::recv(stream, &mut *space, RecvFlags::TRUNC)?;
            Ok(dropped)
        });
        match dropped {
            Ok(0) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended in a body"));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}
