//! The hole: frames that stand for bytes of a file.
//!
//! hyper hands the frames of an HTTP/1.1 body to a vectored stream without looking into them. So the body of a file
//! gives slices of a static array that nobody ever reads or writes, and with each of them a promise: which bytes of which
//! file it stands for. The stream knows the slices by their address and lets the kernel send the promised bytes.
//!
//! Each slice lies behind the one before. So a slice tells which promise it belongs to, and a frame that was cut or
//! left out on its way ends the connection instead of shifting the bytes of what follows.

use super::file_body::FileBody;
use bytes::Bytes;
use packhouse_blobs::BlobError;
use packhouse_blobs::driver::{FileRange, Source};
use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

/// Bytes of one frame. A client that goes away is counted to have got at most this much more than it took.
const FRAME_BYTES_MAX: u64 = 1 << 20;
/// Shorter answers are read and leave in one system call together with their head.
const FILE_BYTES_MIN: u64 = 64 << 10;

/// In `.bss`, and never touched: addresses without memory.
static HOLE: [u8; 16 << 20] = [0; 16 << 20];

/// Where in the hole a slice lies, if it does.
pub(super) fn place(slice: &[u8]) -> Option<usize> {
    let (hole, at) = (HOLE.as_ptr().addr(), slice.as_ptr().addr());
    at.checked_sub(hole).filter(|place| !slice.is_empty() && *place < HOLE.len())
}

/// What one frame stands for.
#[derive(Debug)]
pub(super) struct Promise {
    /// Where the rest of the frame lies in the hole.
    pub(super) place: usize,
    pub(super) file: Arc<File>,
    /// The next byte to send.
    pub(super) next: u64,
    /// The byte behind the last one of the frame.
    pub(super) end: u64,
    /// The byte behind the last one of all that will be promised of this file.
    pub(super) file_end: u64,
    /// Up to where the pages were in memory when they were last looked at.
    pub(super) warm: u64,
    /// When that was.
    pub(super) looked: Option<Instant>,
}

impl Promise {
    /// All that is left of it is in memory now.
    pub(super) fn found_warm(&mut self) {
        self.warm = self.end;
        self.looked = Some(Instant::now());
    }
}

/// The promises of one connection that were not kept yet, in the order of their bytes. Answers of HTTP/1.1 are serial, and
/// a promise is made when its frame is handed over.
#[derive(Debug, Default)]
pub(super) struct Promises {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Promise>,
    place: usize,
}

impl Promises {
    /// Lets the kernel send the bytes of a body, if they lie in a file and are worth it. For answers of HTTP/1.1 only:
    /// HTTP/2 copies frames.
    pub(super) fn reroute(self: &Arc<Self>, body: &mut impl FileBody) {
        body.reroute(&mut |range| {
            let long = range.end.saturating_sub(range.first) >= FILE_BYTES_MIN;
            long.then(|| Box::new(HolePieces { promises: Arc::clone(self), range }) as Box<dyn Source>)
        });
    }

    pub(super) fn take(&self) -> Option<Promise> {
        self.lock().waiting.pop_front()
    }

    fn make(&self, range: &FileRange, end: u64) -> Bytes {
        // At most a frame, so it fits.
        let length = usize::try_from(end - range.first).unwrap_or(0).min(HOLE.len());
        let mut state = self.lock();
        let place = if state.place + length > HOLE.len() { 0 } else { state.place };
        state.place = place + length;
        let (file, next) = (Arc::clone(&range.file), range.first);
        let promise = Promise { place, file, next, end, file_end: range.end, warm: next, looked: None };
        state.waiting.push_back(promise);
        Bytes::from_static(&HOLE[place..place + length])
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a file, as frames out of the hole.
#[derive(Debug)]
struct HolePieces {
    promises: Arc<Promises>,
    range: FileRange,
}

impl Source for HolePieces {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BlobError>>> {
        if self.range.first >= self.range.end {
            return Poll::Ready(None);
        }
        let end = self.range.end.min(self.range.first.saturating_add(FRAME_BYTES_MAX));
        let frame = self.promises.make(&self.range, end);
        self.range.first = end;
        Poll::Ready(Some(Ok(frame)))
    }
}
