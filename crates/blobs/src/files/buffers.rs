//! Buffers for pieces of files that are read: large while few read, small when many do, and used again.
//!
//! Memory that is asked for anew for each piece costs as much as reading it: the system gives it page by page.

use bytes::Bytes;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// For the pieces of all readers together, as long as each has more than the smallest.
const BUDGET_BYTES: usize = 24 << 20;
/// Bytes of one piece. A reader holds two: the one being sent and the next.
const PIECE_BYTES_MAX: usize = 512 << 10;
const PIECE_BYTES_MIN: usize = 64 << 10;
/// Buffers that one reader keeps.
const KEPT_MAX: usize = 2;

/// Who reads now.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// The buffers of one reader; made with its first piece, since most blobs are sent without being read.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    shelf: Option<Arc<Shelf>>,
}

#[derive(Debug)]
struct Shelf {
    kept: Mutex<Vec<Vec<u8>>>,
}

impl Shelf {
    fn new() -> Self {
        READERS.fetch_add(1, Relaxed);
        Self { kept: Mutex::default() }
    }

    fn keep(&self, bytes: Vec<u8>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A smaller one is from when many read.
        if kept.len() < KEPT_MAX {
            kept.push(bytes);
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Relaxed);
    }
}

impl Buffers {
    /// A buffer for the next piece, of which `left` bytes are to come.
    pub(super) fn take(&mut self, left: u64) -> Buffer {
        let shelf = self.shelf.get_or_insert_with(|| Arc::new(Shelf::new()));
        let share = BUDGET_BYTES / KEPT_MAX / READERS.load(Relaxed).max(1);
        let share = share.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
        let length = usize::try_from(left).unwrap_or(share).min(share);
        let kept = shelf.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // One that is too large now is given back to the system, one that is too small is of no use.
        let fits = |bytes: &Vec<u8>| bytes.len() >= length && bytes.len() <= share;
        let bytes = kept.filter(fits).unwrap_or_else(|| vec![0; length]);
        Buffer { bytes, length, shelf: Arc::clone(shelf) }
    }
}

/// A buffer that goes back to its reader, if that one is still there.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    shelf: Arc<Shelf>,
}

impl Buffer {
    /// Where the piece is to be read to.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }

    /// Says how much was read. Nothing means that the file has ended before its promised end.
    pub(super) fn filled(mut self, read: usize) -> io::Result<Self> {
        self.length = self.length.min(read);
        if self.length == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(self) }
    }

    /// The piece; its memory comes back when nobody needs it any more.
    pub(super) fn lend(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.shelf.keep(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_read_into_the_memory_of_one_that_was_sent() {
        let mut buffers = Buffers::default();
        let mut buffer = buffers.take(100_000);
        buffer.room()[..3].copy_from_slice(b"abc");
        let at = buffer.room().as_ptr();
        let piece = buffer.filled(3).unwrap().lend();
        assert_eq!(&piece[..], b"abc");
        let mut other = buffers.take(100_000);
        assert_ne!(other.room().as_ptr(), at, "of a piece that is still being sent");
        drop(piece);
        let mut again = buffers.take(100_000);
        assert_eq!((again.room().len(), again.room().as_ptr()), (100_000, at));
        assert!(again.filled(0).is_err());
    }
}
