//! A hash that can be put down in the middle of an upload and taken up again, by another process if need be.
//!
//! The state is plain data of a fixed size, with a version, a type and a checksum; nothing in it is executed
//! or trusted (CVE-2026-32590: a peer kept a pickle there). A state that does not check out is an error, and
//! the caller's remedy is to hash the bytes it has once more.

use std::fmt;

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use crate::{Algorithm, Digest};

/// Version 1 is the layout of sha2 0.11; a release that changes it takes the next number.
const VERSION: u8 = 1;
/// Version, algorithm, bytes hashed.
const HEADER_BYTES: usize = 1 + 1 + 8;
/// The first bytes of the SHA-256 of all before them.
const CHECKSUM_BYTES: usize = 16;
/// More than any upload has. SHA-256 counts its input in bits in a u64, so a state near that end, which only a
/// forger has, would overflow with the bytes that follow.
const HASHED_BYTES_MAX: u64 = 1 << 60;

/// A running hash of one algorithm.
#[derive(Clone)]
pub struct Hasher {
    inner: Inner,
    hashed_bytes: u64,
}

#[derive(Clone)]
enum Inner {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A hash of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let inner = match algorithm {
            Algorithm::Sha256 => Inner::Sha256(Sha256::new()),
            Algorithm::Sha512 => Inner::Sha512(Sha512::new()),
        };
        Self { inner, hashed_bytes: 0 }
    }

    /// The algorithm it was made with.
    pub fn algorithm(&self) -> Algorithm {
        match self.inner {
            Inner::Sha256(_) => Algorithm::Sha256,
            Inner::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Bytes hashed so far, those before a [`resume`](Self::resume) included: what must be on disk for the
    /// state to belong to it.
    pub fn hashed_bytes(&self) -> u64 {
        self.hashed_bytes
    }

    /// Adds bytes to the end.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.inner {
            Inner::Sha256(hash) => hash.update(bytes),
            Inner::Sha512(hash) => hash.update(bytes),
        }
        self.hashed_bytes += bytes.len() as u64;
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Digest {
        match self.inner {
            Inner::Sha256(hash) => Digest::from_hash(Algorithm::Sha256, &hash.finalize()),
            Inner::Sha512(hash) => Digest::from_hash(Algorithm::Sha512, &hash.finalize()),
        }
    }

    /// The state, for [`resume`](Self::resume): 130 bytes for SHA-256, 234 for SHA-512.
    ///
    /// It holds up to 127 bytes of the content itself, so it is as private as the content.
    pub fn state(&self) -> Vec<u8> {
        let mut state = vec![VERSION, self.algorithm().stored()];
        state.extend_from_slice(&self.hashed_bytes.to_le_bytes());
        match &self.inner {
            Inner::Sha256(hash) => state.extend_from_slice(&hash.serialize()),
            Inner::Sha512(hash) => state.extend_from_slice(&hash.serialize()),
        }
        let checksum = checksum(&state);
        state.extend_from_slice(&checksum);
        state
    }

    /// Continues where [`state`](Self::state) was taken.
    ///
    /// # Errors
    ///
    /// Any state that is damaged, of another version or of another size. Hash the stored bytes again then.
    pub fn resume(state: &[u8]) -> Result<Self, HashStateError> {
        let [version, algorithm, ..] = *state else {
            return Err(HashStateError::Size { found: state.len() });
        };
        if version != VERSION {
            return Err(HashStateError::Version { found: version });
        }
        let algorithm = Algorithm::from_stored(algorithm).ok_or(HashStateError::Algorithm)?;
        if state.len() != state_bytes(algorithm) {
            return Err(HashStateError::Size { found: state.len() });
        }
        let (body, found) = state.split_at(state.len() - CHECKSUM_BYTES);
        if checksum(body) != *found {
            return Err(HashStateError::Checksum);
        }
        let (header, core) = body.split_at(HEADER_BYTES);
        let mut hashed_bytes = [0; 8];
        hashed_bytes.copy_from_slice(&header[2..]);
        let hashed_bytes = u64::from_le_bytes(hashed_bytes);

        // A right checksum proves that the bytes are as written, not that this program wrote them. The block
        // counter and the fill of the last block are compared with our count because sha2 multiplies the
        // counter without looking, and overflows.
        require(hashed_bytes <= HASHED_BYTES_MAX)?;
        let inner = match algorithm {
            Algorithm::Sha256 => {
                require(core[32..40] == (hashed_bytes / 64).to_le_bytes())?;
                require(u64::from(core[40]) == hashed_bytes % 64)?;
                Inner::Sha256(deserialize(core)?)
            }
            Algorithm::Sha512 => {
                require(core[64..80] == u128::from(hashed_bytes / 128).to_le_bytes())?;
                require(u64::from(core[80]) == hashed_bytes % 128)?;
                Inner::Sha512(deserialize(core)?)
            }
        };
        Ok(Self { inner, hashed_bytes })
    }
}

impl fmt::Debug for Hasher {
    // Not the state: it contains content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({}, {} bytes)", self.algorithm(), self.hashed_bytes)
    }
}

/// Why a stored state cannot be resumed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashStateError {
    /// Not the size of a state.
    #[error("a hash state cannot have {found} bytes; hash the stored bytes again")]
    Size {
        /// Its size.
        found: usize,
    },
    /// Written by another version of this program.
    #[error("hash state of version {found} is not known; hash the stored bytes again")]
    Version {
        /// Its first byte.
        found: u8,
    },
    /// No algorithm of ours.
    #[error("the hash state is of an unknown algorithm; hash the stored bytes again")]
    Algorithm,
    /// Damaged.
    #[error("the hash state does not match its checksum; hash the stored bytes again")]
    Checksum,
    /// Whole, but no state that a hash can be in.
    #[error("the hash state contradicts itself; hash the stored bytes again")]
    Inconsistent,
}

/// Header; the eight words, the block counter, the fill of the last block and its bytes; checksum.
const fn state_bytes(algorithm: Algorithm) -> usize {
    let core = match algorithm {
        Algorithm::Sha256 => 32 + 8 + 64,
        Algorithm::Sha512 => 64 + 16 + 128,
    };
    HEADER_BYTES + core + CHECKSUM_BYTES
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&Sha256::digest(body)[..CHECKSUM_BYTES]);
    checksum
}

fn require(holds: bool) -> Result<(), HashStateError> {
    if holds { Ok(()) } else { Err(HashStateError::Inconsistent) }
}

fn deserialize<H: SerializableState>(core: &[u8]) -> Result<H, HashStateError> {
    let state = <&SerializedState<H>>::try_from(core).map_err(|_| HashStateError::Inconsistent)?;
    H::deserialize(state).map_err(|_| HashStateError::Inconsistent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(algorithm: Algorithm, bytes: &[u8]) -> Hasher {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher
    }

    fn with_checksum(mut body: Vec<u8>) -> Vec<u8> {
        body.extend_from_slice(&checksum(&body));
        body
    }

    #[test]
    fn the_state_has_the_documented_size_however_much_was_hashed() {
        for hashed in [0, 1, 63, 64, 127, 128, 100_000] {
            assert_eq!(after(Algorithm::Sha256, &vec![7; hashed]).state().len(), 130);
            assert_eq!(after(Algorithm::Sha512, &vec![7; hashed]).state().len(), 234);
        }
    }

    // The layout is on people's disks: this state must be readable for ever, or get a new version number.
    #[test]
    fn version_one_stays_readable() {
        let mut known = vec![1, 1, 3, 0, 0, 0, 0, 0, 0, 0];
        for word in [
            0x6a09_e667_u32,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ] {
            known.extend_from_slice(&word.to_le_bytes());
        }
        known.extend_from_slice(&[0; 8]);
        known.extend_from_slice(b"\x03abc");
        known.resize(HEADER_BYTES + 104, 0);
        let known = with_checksum(known);
        assert_eq!(after(Algorithm::Sha256, b"abc").state(), known);
        assert_eq!(Hasher::resume(&known).unwrap().finish(), Digest::of(Algorithm::Sha256, b"abc"));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for algorithm in Algorithm::ALL {
            let state = after(algorithm, &[42; 200]).state();
            for bit in 0..state.len() * 8 {
                let mut damaged = state.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(Hasher::resume(&damaged).is_err(), "{algorithm} bit {bit}");
            }
        }
    }

    #[test]
    fn a_state_of_another_size_is_refused() {
        for algorithm in Algorithm::ALL {
            let state = after(algorithm, b"x").state();
            for length in 0..state.len() {
                assert!(Hasher::resume(&state[..length]).is_err());
            }
            let oversize = [&state[..], &[0; 10_000]].concat();
            assert_eq!(Hasher::resume(&oversize).err(), Some(HashStateError::Size { found: oversize.len() }));
        }
    }

    #[test]
    fn a_forged_counter_with_a_right_checksum_is_refused() {
        for algorithm in Algorithm::ALL {
            let state = after(algorithm, &[]).state();
            let mut body = state[..state.len() - CHECKSUM_BYTES].to_vec();
            body[2..10].copy_from_slice(&u64::MAX.to_le_bytes());
            let refused = Some(HashStateError::Inconsistent);
            assert_eq!(Hasher::resume(&with_checksum(body.clone())).err(), refused);
            let counter = HEADER_BYTES + algorithm.hash_bytes();
            body[counter..counter + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            assert_eq!(Hasher::resume(&with_checksum(body)).err(), refused);
        }
    }

    #[test]
    fn debug_output_holds_no_content() {
        assert_eq!(format!("{:?}", after(Algorithm::Sha512, b"secret")), "Hasher(sha512, 6 bytes)");
    }

    proptest! {
        #[test]
        fn resumed_at_any_split_it_equals_one_pass(
            content in prop::collection::vec(any::<u8>(), 0..2000),
            splits in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut splits: Vec<usize> = splits.iter().map(|split| split.index(content.len() + 1)).collect();
            splits.sort_unstable();
            for algorithm in Algorithm::ALL {
                let mut hasher = Hasher::new(algorithm);
                let mut from = 0;
                for &to in &splits {
                    hasher.update(&content[from..to]);
                    from = to;
                    hasher = Hasher::resume(&hasher.state()).unwrap();
                    prop_assert_eq!(hasher.hashed_bytes(), to as u64);
                }
                hasher.update(&content[from..]);
                prop_assert_eq!(hasher.finish(), Digest::of(algorithm, &content));
            }
        }

        // The attacker who can write to the catalog and knows how the checksum is made.
        #[test]
        fn a_forged_state_is_refused_or_harmless(
            algorithm in prop::sample::select(&Algorithm::ALL[..]),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        ) {
            let state = after(algorithm, &[9; 300]).state();
            let mut body = state[..state.len() - CHECKSUM_BYTES].to_vec();
            for (place, value) in edits {
                let place = place.index(body.len());
                body[place] = value;
            }
            if let Ok(mut hasher) = Hasher::resume(&with_checksum(body)) {
                hasher.update(&[1; 1000]);
                let _ = hasher.finish();
            }
        }

        #[test]
        fn any_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Hasher::resume(&bytes).is_err());
        }
    }
}
