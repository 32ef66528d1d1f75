//! Storage keys.

use crate::BlobError;
use std::path::{Path, PathBuf};

const PREFIX: &str = "blobs/";

/// A new key: 128 random bits, so two uploads never meet.
pub fn new_key() -> Result<String, BlobError> {
    let name = random_name()?;
    Ok(format!("{PREFIX}{}/{name}", &name[..2]))
}

/// 128 random bits as 32 hex digits.
pub(crate) fn random_name() -> Result<String, BlobError> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|_| BlobError::Random)?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

/// The folder of a key, for who lists them in order.
pub(crate) fn fan(key: &str) -> Option<u8> {
    u8::from_str_radix(key.strip_prefix(PREFIX)?.get(..2)?, 16).ok()
}

/// Where the bytes of a key lie below the data folder. A key comes out of the catalog, but a file name is
/// made of it, so it is looked at again.
pub(crate) fn path(root: &Path, key: &str) -> Result<PathBuf, BlobError> {
    let bad = || BlobError::Key(key.chars().take(80).collect());
    let (fan, name) = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')).ok_or_else(bad)?;
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if fan.len() != 2 || name.len() != 32 || !hex(fan) || !hex(name) {
        return Err(bad());
    }
    Ok(root.join("blobs").join(fan).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_a_path() {
        let key = new_key().unwrap();
        assert_eq!(path(Path::new("/d"), &key).unwrap(), Path::new("/d").join(&key));
        assert_ne!(key, new_key().unwrap());
    }

    #[test]
    fn a_key_never_leaves_the_folder() {
        for key in [
            "",
            "blobs/../../etc/passwd",
            "blobs/aa/..",
            "blobs/AA/00000000000000000000000000000000",
            "x/aa/b",
        ] {
            assert!(matches!(path(Path::new("/d"), key), Err(BlobError::Key(_))), "{key}");
        }
    }
}
