//! A plain TCP stream that sends files by `sendfile(2)`: what it is told to write out of the hole ([`super::hole`]) it lets
//! the kernel send from the promised file.
//!
//! - Pages that are not in memory are read on the blocking pool first, so that no disk holds up a thread that serves
//!   connections, and again after a long wait for the client, who may take hours.
//! - One poll sends a bounded number of bytes, however fast the client takes them.
//! - A file that is shorter than promised, and a frame that is not the next one promised, end the connection.

use super::hole::{self, Promise, Promises};
use super::pages;
use super::progress::Progress;
use rustix::fs::sendfile;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::error;

/// Bytes of one poll, after which others have their turn: about a millisecond.
const POLL_BYTES_MAX: usize = 2 << 20;

/// How long pages count as in memory that were found there. A client that takes what it is sent makes us wait a thousand
/// times in a second.
const FRESH: Duration = Duration::from_millis(100);

/// What of a file was in memory when it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Its address: it tells files apart, and keeps none open.
    file: usize,
    /// The byte behind the last one that was looked at.
    end: u64,
}

pub(super) struct FileStream {
    socket: TcpStream,
    promises: Arc<Promises>,
    progress: Arc<Progress>,
    current: Option<Promise>,
    /// The pool's work on the pages that the current promise needs next.
    warming: Option<JoinHandle<io::Result<()>>>,
    /// Where the bytes end that were last in memory.
    seen: Option<Seen>,
    sent_in_poll: usize,
}

impl FileStream {
    pub(super) fn new(socket: TcpStream, promises: Arc<Promises>, progress: Arc<Progress>) -> Self {
        Self { socket, promises, progress, current: None, warming: None, seen: None, sent_in_poll: 0 }
    }

    /// Sends what comes first of these: bytes up to the hole, or bytes of the promised file.
    fn poll_send(&mut self, cx: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Some(first) = buffers.iter().position(|buffer| !buffer.is_empty()) else {
            return Poll::Ready(Ok(0));
        };
        if let Some(place) = hole::place(&buffers[first]) {
            return self.poll_send_file(cx, place, buffers[first].len());
        }
        let in_hole = |buffer: &IoSlice<'_>| hole::place(buffer).is_some();
        let end = buffers[first..].iter().position(in_hole).map_or(buffers.len(), |count| first + count);
        Pin::new(&mut self.socket).poll_write_vectored(cx, &buffers[first..end])
    }

    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        place: usize,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let promise = match &mut self.current {
            Some(promise) => promise,
            none => match self.promises.take() {
                Some(promise) => none.insert(promise),
                None => return Poll::Ready(Err(not_promised())),
            },
        };
        if promise.place != place || promise.end - promise.next < length as u64 {
            return Poll::Ready(Err(not_promised()));
        }
        loop {
            // First, since this may wait for long; what is warm now may be cold by then.
            ready!(self.socket.poll_write_ready(cx))?;
            let warm = poll_warm(cx, promise, &mut self.warming, &mut self.seen, &self.progress);
            ready!(warm).inspect_err(|error| error!(%error, "a blob could not be read"))?;
            let length = length.min(usize::try_from(promise.warm - promise.next).unwrap_or(length));
            let mut next = promise.next;
            let sent = self.socket.try_io(Interest::WRITABLE, || {
                Ok(sendfile(&self.socket, &*promise.file, Some(&mut next), length)?)
            });
            match sent {
                Ok(0) => {
                    error!("a blob is shorter than it was promised; its connection is closed");
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(sent) => {
                    promise.next += sent as u64;
                    promise.place += sent;
                    if promise.next >= promise.end {
                        self.current = None;
                    }
                    return Poll::Ready(Ok(sent));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                    _ => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

/// Makes sure that the next bytes of a promise are in memory.
fn poll_warm(
    cx: &mut Context<'_>,
    promise: &mut Promise,
    warming: &mut Option<JoinHandle<io::Result<()>>>,
    seen: &mut Option<Seen>,
    progress: &Progress,
) -> Poll<io::Result<()>> {
    if warming.is_none() {
        let fresh = promise.looked.is_some_and(|looked| looked.elapsed() < FRESH);
        if fresh && promise.warm > promise.next {
            return Poll::Ready(Ok(()));
        }
        let file = Arc::as_ptr(&promise.file).addr();
        let behind = *seen == Some(Seen { file, end: promise.next });
        if pages::are_warm(&promise.file, promise.next, promise.end, behind) {
            *seen = Some(Seen { file, end: promise.end });
            promise.found_warm();
            return Poll::Ready(Ok(()));
        }
        *seen = None;
        let file = Arc::clone(&promise.file);
        let (next, end, ahead) = (promise.next, promise.end, promise.file_end);
        *warming = Some(spawn_blocking(move || pages::warm(&file, next, end, ahead)));
        progress.reading_disk(true);
    }
    if let Some(task) = warming {
        let done = ready!(Pin::new(task).poll(cx));
        *warming = None;
        progress.reading_disk(false);
        done.unwrap_or_else(|ended| Err(io::Error::other(ended)))?;
    }
    promise.found_warm();
    Poll::Ready(Ok(()))
}

/// Never while hyper hands on what it is given.
fn not_promised() -> io::Error {
    io::Error::other("a frame of a file came that is not the next one promised")
}

impl AsyncRead for FileStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for FileStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.sent_in_poll >= POLL_BYTES_MAX {
            this.sent_in_poll = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let sent = this.poll_send(cx, buffers);
        match &sent {
            Poll::Ready(Ok(sent)) => this.sent_in_poll += sent,
            Poll::Ready(Err(_)) | Poll::Pending => this.sent_in_poll = 0,
        }
        sent
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
