//! The small files of a layout, and headers of a tar.

use super::BLOCK;
use crate::{MANIFEST_BYTES_MAX, SourceError, TargetError};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn header_of(name: &str, size: u64) -> std::io::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

/// What an index names, each entry as it was written, and what is for docker. One that is not there names nothing.
pub(super) fn read_index(path: &Path) -> Result<(Vec<Value>, Vec<Value>), TargetError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Default::default()),
        Err(error) => return Err(TargetError::write(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(TargetError::write(path))?;
    let not = |why: String| SourceError::NotLayout { path: path.to_owned(), why };
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(not(format!("it has more than {MANIFEST_BYTES_MAX} bytes")).into());
    }
    let mut value: Value = serde_json::from_slice(&bytes).map_err(|error| not(error.to_string()))?;
    match (value["manifests"].take(), value["docker"].take()) {
        (Value::Array(entries), Value::Array(docker)) => Ok((entries, docker)),
        (Value::Array(entries), _) => Ok((entries, Vec::new())),
        _ => Err(not("it has no list `manifests`".to_owned()).into()),
    }
}

/// Puts a small file in the place of another one, or of none.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), TargetError> {
    let new = beside(path, ".new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(TargetError::write(path))?;
    sync_folder_of(path)
}

pub(super) fn sync_folder_of(path: &Path) -> Result<(), TargetError> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(TargetError::write(folder))
}

/// The names of a tar's entries before a place where a whole one ends.
pub(super) fn names_before(file: &mut File, end: u64) -> std::io::Result<HashSet<String>> {
    let (mut names, mut at) = (HashSet::new(), 0);
    file.seek(SeekFrom::Start(0))?;
    let mut archive = tar::Archive::new(&mut *file);
    for entry in archive.entries_with_seek()? {
        if at >= end {
            break;
        }
        let entry = entry?;
        if entry.raw_file_position() > end {
            break;
        }
        names.insert(String::from_utf8_lossy(&entry.path_bytes()).into_owned());
        at = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK);
    }
    Ok(names)
}
