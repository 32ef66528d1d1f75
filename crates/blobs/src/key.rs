//! Storage keys.

use crate::BlobError;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const PREFIX: &str = "blobs/";
/// Before the names of copies of the catalog.
pub(crate) const CATALOGS: &str = "catalogs/";

/// A new key: 128 random bits, so two uploads never meet.
pub fn new_key() -> Result<String, BlobError> {
    let name = random_name()?;
    Ok(format!("{PREFIX}{}/{name}", &name[..2]))
}

/// A new key for files: when it was made, and 80 random bits. Keys of one moment are neighbours in the catalog's indexes
/// and in one folder, so what is pushed at once changes few pages, and the syncs of its folder are one.
pub(crate) fn new_key_of_now() -> Result<String, BlobError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Enough until the year 10889.
    let millis = u64::try_from(since.as_millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    Ok(format!("{PREFIX}{:02x}/{millis:012x}{}", since.as_secs() & 0xff, &random_name()?[12..]))
}

/// A new name for a store.
pub fn new_identity() -> Result<String, BlobError> {
    random_name()
}

/// 128 random bits as 32 hex digits.
fn random_name() -> Result<String, BlobError> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|_| BlobError::Random)?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

/// The folder of a key, for who lists them in order.
pub(crate) fn fan(key: &str) -> Option<u8> {
    u8::from_str_radix(key.strip_prefix(PREFIX)?.get(..2)?, 16).ok()
}

/// The two parts of a key. It comes out of the catalog, but names of files and objects are made of it, so it is looked
/// at again.
fn parts(key: &str) -> Option<(&str, &str)> {
    let (fan, name) = key.strip_prefix(PREFIX)?.split_once('/')?;
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (fan.len() == 2 && name.len() == 32 && hex(fan) && hex(name)).then_some((fan, name))
}

fn bad(key: &str) -> BlobError {
    BlobError::Key(key.chars().take(80).collect())
}

/// The key of a copy of the catalog, by its name: a time, as `20261125T231711-123456`.
pub(crate) fn snapshot(name: &str) -> Result<String, BlobError> {
    if is_time(name) { Ok(format!("{CATALOGS}{name}")) } else { Err(bad(name)) }
}

/// The name of a copy of the catalog, by its key, or by that of its small object.
pub(crate) fn snapshot_name(key: &str) -> Option<&str> {
    let name = key.strip_prefix(CATALOGS)?;
    let name = name.split_once('.').map_or(name, |(name, _)| name);
    is_time(name).then_some(name)
}

fn is_time(name: &str) -> bool {
    let good = |(at, byte): (usize, u8)| match at {
        8 => byte == b'T',
        15 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    name.len() == 22 && name.bytes().enumerate().all(good)
}

/// Where the bytes of a key lie below the data folder.
pub(crate) fn path(root: &Path, key: &str) -> Result<PathBuf, BlobError> {
    if let Some(name) = key.strip_prefix(CATALOGS).filter(|name| is_time(name)) {
        return Ok(root.join("blobs").join("catalogs").join(name));
    }
    let (fan, name) = parts(key).ok_or_else(|| bad(key))?;
    Ok(root.join("blobs").join(fan).join(name))
}

/// The name of a key's object. A session's small objects have its key, a dot and the number of a lease.
pub(crate) fn object(prefix: &str, key: &str) -> Result<String, BlobError> {
    let (session, lease) = key.split_once('.').unwrap_or((key, "1"));
    let number =
        lease.len() <= 19 && !lease.starts_with('0') && lease.bytes().all(|byte| byte.is_ascii_digit());
    let known = parts(session).is_some() || snapshot_name(session).is_some();
    if !known || lease.is_empty() || !number {
        return Err(bad(key));
    }
    Ok(format!("{prefix}{key}"))
}

/// The small object that the request with the lease of that number may write for a session.
pub(crate) fn leased(key: &str, epoch: u64) -> String {
    format!("{key}.{epoch}")
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
    fn keys_of_one_moment_are_neighbours() {
        let (first, second) = (new_key_of_now().unwrap(), new_key_of_now().unwrap());
        assert_eq!(path(Path::new("/d"), &first).unwrap(), Path::new("/d").join(&first));
        assert_ne!(first, second);
        // The name begins with the time, whatever folder it is in.
        assert!(first[9..21] <= second[9..21], "{first} {second}");
    }

    #[test]
    fn an_object_has_the_name_of_a_key_or_of_one_of_its_leases() {
        let key = new_key().unwrap();
        assert_eq!(object("a/", &key).unwrap(), format!("a/{key}"));
        assert_eq!(object("", &leased(&key, 17)).unwrap(), format!("{key}.17"));
        for bad in ["", "1", "identity", "../x"] {
            assert!(matches!(object("", bad), Err(BlobError::Key(_))), "{bad}");
        }
        for bad in [".", ".0", ".x", ".1.2", ".01", "/1", ".99999999999999999999"] {
            assert!(matches!(object("", &format!("{key}{bad}")), Err(BlobError::Key(_))), "{bad}");
        }
    }

    #[test]
    fn a_copy_of_the_catalog_has_a_key_that_no_blob_has() {
        let key = snapshot("20261125T231711-123456").unwrap();
        assert_eq!(key, "catalogs/20261125T231711-123456");
        assert_eq!(path(Path::new("/d"), &key).unwrap(), Path::new("/d/blobs").join(&key));
        assert_eq!(object("a/", &leased(&key, 1)).unwrap(), format!("a/{key}.1"));
        assert_eq!(snapshot_name(&leased(&key, 1)), Some("20261125T231711-123456"));
        for bad in ["", "latest", "../../x", "20261125T231711_123456", "20261125T231711-12345x"] {
            assert!(snapshot(bad).is_err(), "{bad}");
            assert!(path(Path::new("/d"), &format!("catalogs/{bad}")).is_err(), "{bad}");
        }
        assert!(parts(&key).is_none());
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
