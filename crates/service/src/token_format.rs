//! What a personal access token looks like: GitHub's form with a prefix of our own.
//!
//! `phr_`, 30 random base-62 characters (178 bits), and the CRC-32 of those as 6 base-62 digits. A secret
//! scanner finds it without asking anyone, and tells it from GitHub's.

use std::fmt;

/// In front of every personal access token.
const PREFIX: &str = "phr_";
const RANDOM: usize = 30;
const CHECKSUM: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token in the clear. It is printed where [`Secret::reveal`] says so and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a token that was given.
    pub fn given(token: impl Into<String>) -> Self {
        Secret(token.into())
    }

    /// Makes a new one.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut token = String::with_capacity(PREFIX.len() + RANDOM + CHECKSUM);
        let mut pool = [0_u8; 64];
        while token.len() < RANDOM {
            getrandom::fill(&mut pool)?;
            // Bytes from 248 on would make the first characters of the alphabet likelier.
            let fair = pool.iter().filter(|byte| **byte < 248).map(|byte| ALPHABET[usize::from(*byte) % 62]);
            token.extend(fair.take(RANDOM - token.len()).map(char::from));
        }
        let sum = checksum(&token);
        Ok(Secret(format!("{PREFIX}{token}{sum}")))
    }

    /// The token itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The six digits behind the random part: its CRC-32 (IEEE) in base 62, padded with zeros on the left.
pub fn checksum(random: &str) -> String {
    let mut rest = crc32fast::hash(random.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

/// Whether it is one of our tokens by its looks.
pub fn is_well_formed(token: &str) -> bool {
    token
        .strip_prefix(PREFIX)
        .filter(|body| body.is_ascii() && body.len() == RANDOM + CHECKSUM)
        .is_some_and(|body| checksum(&body[..RANDOM]) == body[RANDOM..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_published_example() {
        assert_eq!(checksum("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ"), "0mLq17");
    }

    #[test]
    fn a_new_token_has_the_form_and_is_never_shown_by_debug() {
        let token = Secret::random().unwrap();
        assert_eq!(token.reveal().len(), 40);
        assert!(is_well_formed(token.reveal()), "{}", token.reveal());
        assert!(!format!("{token:?}").contains(token.reveal()));
        assert_ne!(token, Secret::random().unwrap());
    }

    #[test]
    fn a_changed_token_is_seen_at_once() {
        let mut token = Secret::random().unwrap().reveal().to_owned();
        let last = token.pop().unwrap();
        token.push(if last == 'a' { 'b' } else { 'a' });
        assert!(!is_well_formed(&token));
        for other in ["", "phr_", "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", "phr_ü"] {
            assert!(!is_well_formed(other));
        }
    }
}
