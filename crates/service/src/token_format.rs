//! What a personal access token looks like: GitHub's form with a prefix of our own.
//!
//! `phr_`, 30 random base-62 characters (178 bits), and the CRC-32 of those as 6 base-62 digits. A secret
//! scanner finds it without asking anyone, and tells it from GitHub's. Tokens of the device flow begin with GitHub's
//! own `gho_`: its command line tells scopes of no others.

use std::fmt;

/// In front of every personal access token.
const PREFIX: &str = "phr_";
/// In front of those that a program gets at the end of the device flow.
const DEVICE_PREFIX: &str = "gho_";
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
        Secret::random_with(PREFIX)
    }

    /// Makes one for a program that a person lets in.
    pub(crate) fn random_of_device() -> Result<Self, getrandom::Error> {
        Secret::random_with(DEVICE_PREFIX)
    }

    fn random_with(prefix: &str) -> Result<Self, getrandom::Error> {
        let token = random_code(ALPHABET, RANDOM)?;
        let sum = checksum(&token);
        Ok(Secret(format!("{prefix}{token}{sum}")))
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

/// Random characters of an alphabet, each as likely as the others.
pub(crate) fn random_code(alphabet: &[u8], length: usize) -> Result<String, getrandom::Error> {
    // Bytes behind the last whole alphabet would make its first characters likelier.
    let fair = 256 - 256 % alphabet.len();
    let mut code = String::with_capacity(length);
    let mut pool = [0_u8; 64];
    while code.len() < length {
        getrandom::fill(&mut pool)?;
        let drawn = pool.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let letters = drawn.map(|byte| char::from(alphabet[byte % alphabet.len()]));
        code.extend(letters.take(length - code.len()));
    }
    Ok(code)
}

/// Whether it is one of our tokens by its looks.
pub fn is_well_formed(token: &str) -> bool {
    token
        .strip_prefix(PREFIX)
        .or_else(|| token.strip_prefix(DEVICE_PREFIX))
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
        let device = Secret::random_of_device().unwrap();
        assert!(device.reveal().starts_with("gho_") && device.reveal().len() == 40);
        assert!(is_well_formed(device.reveal()));
    }

    #[test]
    fn codes_are_of_their_alphabet_and_length() {
        let code = random_code(b"BCD", 3_000).unwrap();
        assert_eq!(code.len(), 3_000);
        for letter in ['B', 'C', 'D'] {
            let count = code.chars().filter(|c| *c == letter).count();
            assert!((800..1_200).contains(&count), "{letter}: {count}");
        }
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
