//! One budget for the bytes of uploads that were received and are not written yet.
//!
//! Each upload has a little for itself, without which it would not get on; what it gathers beyond that comes out of the
//! budget. It is taken for bytes that are here, never for bytes that are to come, and nobody waits for it: an upload that
//! gets none writes what it has, in smaller pieces. So a client that stalls keeps little from others, and no order of
//! uploads can make two wait for each other.

use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of all uploads together, beyond what each has for itself.
const BUDGET_BYTES: usize = 16 << 20;
/// What an upload gathers without asking. It holds as much again while that is written.
const OWN_BYTES: usize = 64 << 10;
/// Bytes gathered before they are written, if there is room.
const PIECE_BYTES: usize = 1 << 20;
/// What is worth being written while the client sends nothing.
const WORTH_BYTES: usize = 128 << 10;
/// What a frame counts for at least. A body in chunks of one byte would otherwise gather a million of them, each
/// of which costs us fifty times its byte.
const FRAME_BYTES_MIN: usize = 256;
/// Bytes of one permit.
const UNIT_BYTES: usize = 1 << 10;

/// The budget.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    units: Arc<Semaphore>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { units: Arc::new(Semaphore::new(BUDGET_BYTES / UNIT_BYTES)) }
    }
}

/// Bytes to be written together.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    chunks: Vec<Bytes>,
    bytes: usize,
    share: Option<OwnedSemaphorePermit>,
}

/// The last bytes of a piece, with the piece's part of the budget.
#[derive(Debug)]
struct Last {
    bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Last {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Piece {
    /// Adds a frame. Answers whether the piece may grow on; else it is to be written now.
    pub(crate) fn add(&mut self, frame: Bytes, buffers: &Buffers) -> bool {
        self.bytes += frame.len().max(FRAME_BYTES_MIN);
        self.chunks.push(frame);
        self.bytes < PIECE_BYTES && self.pay(buffers)
    }

    /// Whether writing it is better than waiting for a client that sends nothing just now.
    pub(crate) fn is_worth_writing(&self) -> bool {
        self.bytes >= WORTH_BYTES
    }

    /// Its bytes, which give back their part of the budget when the last of them is dropped, whoever has them by then: a
    /// disk may still be writing what was hashed long ago.
    pub(crate) fn into_chunks(mut self) -> Vec<Bytes> {
        if let Some(share) = self.share
            && let Some(bytes) = self.chunks.pop()
        {
            self.chunks.push(Bytes::from_owner(Last { bytes, _share: share }));
        }
        self.chunks
    }

    fn pay(&mut self, buffers: &Buffers) -> bool {
        let due = self.bytes.saturating_sub(OWN_BYTES).div_ceil(UNIT_BYTES);
        let paid = self.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        // At most a piece, so it fits.
        let missing = u32::try_from(due.saturating_sub(paid)).unwrap_or(u32::MAX);
        if missing == 0 {
            return true;
        }
        let Ok(more) = Arc::clone(&buffers.units).try_acquire_many_owned(missing) else { return false };
        match &mut self.share {
            Some(share) => share.merge(more),
            none => *none = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    #[test]
    fn a_piece_grows_to_a_mebibyte_while_there_is_room() {
        let buffers = Buffers::default();
        let mut piece = Piece::default();
        assert!((1..16).all(|_| piece.add(frame(64 << 10), &buffers)));
        assert!(!piece.add(frame(64 << 10), &buffers));
        assert_eq!(piece.chunks.len(), 16);
    }

    #[test]
    fn when_the_budget_is_spent_pieces_are_small_and_nobody_waits() {
        let buffers = Buffers::default();
        let mut held = Vec::new();
        for _ in 0..1000 {
            let mut piece = Piece::default();
            while piece.bytes < 960 << 10 && piece.add(frame(16 << 10), &buffers) {}
            held.push(piece);
        }
        let bytes: usize = held.iter().map(|piece| piece.bytes).sum();
        // Each has its own, and the frame that found no room any more.
        assert!(bytes <= BUDGET_BYTES + 1000 * (OWN_BYTES + (16 << 10)), "{bytes}");
        held.clear();
        let mut piece = Piece::default();
        assert!((0..15).all(|_| piece.add(frame(64 << 10), &buffers)));
    }

    #[test]
    fn a_part_of_the_budget_comes_back_with_the_last_that_has_the_bytes() {
        let buffers = Buffers::default();
        let free = buffers.units.available_permits();
        let mut piece = Piece::default();
        while piece.add(frame(100 << 10), &buffers) {}
        let hashed = piece.into_chunks();
        assert!(hashed.iter().all(|chunk| chunk.len() == 100 << 10));
        let written = hashed.clone();
        drop(hashed);
        assert!(buffers.units.available_permits() < free);
        drop(written);
        assert_eq!(buffers.units.available_permits(), free);
        // One that needed none of it is whole too.
        let mut piece = Piece::default();
        assert!(piece.add(frame(10), &buffers));
        assert_eq!(piece.into_chunks().concat().len(), 10);
    }

    #[test]
    fn frames_of_one_byte_count_for_what_they_cost() {
        let buffers = Buffers::default();
        let mut piece = Piece::default();
        let frames = (0..).take_while(|_| piece.add(frame(1), &buffers)).count();
        assert!(frames < PIECE_BYTES / FRAME_BYTES_MIN, "{frames}");
    }
}
