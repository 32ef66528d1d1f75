//! What is recorded of a session with each part that is acknowledged, and before bytes go out.

use super::settings::PARTS_MAX;
use crate::{BlobError, key};
use serde::{Deserialize, Serialize};

/// The longest that is read: 10,000 parts with their names.
const BYTES_MAX: usize = 2 << 20;
/// Numbers of parts that are reserved at once; more the longer a request writes.
const RESERVED_MIN: u32 = 16;
const RESERVED_MAX: u32 = 256;

/// A session's bytes in the bucket, as they were acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// Bytes of each part but the last: of one size, whatever the settings say later.
    pub(super) part_bytes: u64,
    /// The upload in parts, once there is one.
    pub(super) multipart: Option<String>,
    /// Parts that are acknowledged, all full.
    pub(super) parts: Vec<Part>,
    /// Numbers up to this one may have been used, also by requests that broke off.
    pub(super) spent: u32,
    /// Bytes behind the last part, in an object of their own.
    pub(super) tail: Option<Tail>,
    /// The lease under which this was acknowledged. Those after it may have left objects behind.
    pub(super) epoch: u64,
}

/// A part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its number, from 1.
    pub(super) number: u32,
    /// What the bucket calls it.
    pub(super) tag: String,
}

/// Bytes too few for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tail {
    /// The lease under which they were written: part of the object's name.
    pub(super) epoch: u64,
    /// How many.
    pub(super) bytes: u64,
}

impl State {
    /// What was recorded; of a session that was never recorded, its beginning.
    pub(super) fn read(recorded: &[u8], part_bytes: u64) -> Result<Self, BlobError> {
        if recorded.is_empty() {
            return Ok(State {
                part_bytes,
                multipart: None,
                parts: Vec::new(),
                spent: 0,
                tail: None,
                epoch: 0,
            });
        }
        if recorded.len() > BYTES_MAX {
            return Err(BlobError::Parts);
        }
        serde_json::from_slice(recorded).map_err(|_| BlobError::Parts)
    }

    pub(super) fn write(&self) -> Result<Vec<u8>, BlobError> {
        serde_json::to_vec(self).map_err(|_| BlobError::Parts)
    }

    /// Bytes that it accounts for.
    pub(super) fn bytes(&self) -> u64 {
        let tail = self.tail.map_or(0, |tail| tail.bytes);
        self.part_bytes.saturating_mul(self.parts.len() as u64).saturating_add(tail)
    }

    /// Numbers to reserve when those below are spent; none when there are no more.
    pub(super) fn reserve(&self, used: u32) -> Result<u32, BlobError> {
        let more = used.clamp(RESERVED_MIN, RESERVED_MAX);
        let up_to = self.spent.max(used).saturating_add(more).min(PARTS_MAX);
        if up_to <= used { Err(BlobError::PartNumbers) } else { Ok(up_to) }
    }

    /// Objects of the session's leases that may be there: the tail, and what requests left that were never
    /// acknowledged, up to the lease `until`.
    pub(super) fn small_objects(&self, session: &str, until: u64) -> Vec<String> {
        let tail = self.tail.map(|tail| tail.epoch);
        let broken = self.epoch.saturating_add(1)..=until;
        tail.into_iter().chain(broken).map(|epoch| key::leased(session, epoch)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let mut state = State::read(&[], 7).unwrap();
        assert_eq!((state.bytes(), state.part_bytes), (0, 7));
        state.multipart = Some("id".to_owned());
        state.parts.push(Part { number: 3, tag: "\"etag\"".to_owned() });
        state.tail = Some(Tail { epoch: 4, bytes: 2 });
        let again = State::read(&state.write().unwrap(), 99).unwrap();
        assert_eq!(again, state);
        assert_eq!(again.bytes(), 9);
        for damaged in [&b"{"[..], b"[]", b"{\"part_bytes\":1}", &[0xff; 40]] {
            assert!(matches!(State::read(damaged, 7), Err(BlobError::Parts)));
        }
    }

    #[test]
    fn the_longest_state_can_be_read() {
        let mut state = State::read(&[], 8 << 20).unwrap();
        let tag = format!("\"{}\"", "0".repeat(64));
        state.parts = (1..=PARTS_MAX).map(|number| Part { number, tag: tag.clone() }).collect();
        assert!(State::read(&state.write().unwrap(), 1).is_ok());
    }

    #[test]
    fn numbers_are_reserved_ahead_and_end() {
        let mut state = State::read(&[], 7).unwrap();
        assert_eq!(state.reserve(0).unwrap(), 16);
        state.spent = 16;
        assert_eq!(state.reserve(16).unwrap(), 32);
        state.spent = 4_000;
        assert_eq!(state.reserve(4_000).unwrap(), 4_256);
        state.spent = 9_999;
        assert_eq!(state.reserve(9_999).unwrap(), 10_000);
        state.spent = 10_000;
        assert!(matches!(state.reserve(10_000), Err(BlobError::PartNumbers)));
    }

    #[test]
    fn what_requests_may_have_left_is_named() {
        let mut state = State::read(&[], 7).unwrap();
        assert_eq!(state.small_objects("k", 2), ["k.1", "k.2"]);
        state.epoch = 5;
        state.tail = Some(Tail { epoch: 3, bytes: 1 });
        assert_eq!(state.small_objects("k", 7), ["k.3", "k.6", "k.7"]);
        assert_eq!(state.small_objects("k", 5), ["k.3"]);
    }
}
