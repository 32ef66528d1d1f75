//! A tar whose files are read where they lie.

use super::Extent;
use crate::SourceError;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Entries that are looked at.
const ENTRIES_MAX: usize = 200_000;
/// Bytes of a name that is kept: `blobs/sha512/<128 hex>` and some room.
const NAME_BYTES_MAX: usize = 200;
/// How compressed files begin, and what takes that away.
const COMPRESSED: &[(&[u8], &str)] =
    &[(&[0x1f, 0x8b], "gzip"), (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz")];

/// Where each file of a tar lies in it.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    files: HashMap<String, (u64, u64)>,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let read = || SourceError::read(path);
        let mut file = File::open(path).map_err(read())?;
        if !file.metadata().map_err(read())?.is_file() {
            return Err(SourceError::Kind { path: path.to_owned(), expected: "file or folder" });
        }
        let mut begin = Vec::new();
        file.by_ref().take(8).read_to_end(&mut begin).map_err(read())?;
        if let Some((_, name)) = COMPRESSED.iter().find(|(magic, _)| begin.starts_with(magic)) {
            let why = format!("it is compressed; `{name} --decompress` makes a tar of it");
            return Err(SourceError::NotLayout { path: path.to_owned(), why });
        }
        file.seek(SeekFrom::Start(0)).map_err(read())?;
        let not = |error: std::io::Error| SourceError::NotLayout {
            path: path.to_owned(),
            why: format!("it cannot be read as a tar: {error}"),
        };
        let length = file.metadata().map_err(read())?.len();
        let mut archive = tar::Archive::new(file);
        let mut files = HashMap::new();
        for (count, entry) in archive.entries_with_seek().map_err(not)?.enumerate() {
            if count == ENTRIES_MAX {
                return Err(SourceError::Crowded { path: path.to_owned(), max: ENTRIES_MAX });
            }
            let entry = entry.map_err(not)?;
            // Links, folders, devices: none of them is a blob. A link to one that is a file has that file's name nowhere.
            if entry.header().entry_type() != tar::EntryType::Regular {
                continue;
            }
            let (first, size) = (entry.raw_file_position(), entry.size());
            let name = entry.path_bytes();
            let Ok(name) = std::str::from_utf8(&name) else { continue };
            let name = name.strip_prefix("./").unwrap_or(name);
            let end = first.checked_add(size).filter(|end| *end <= length);
            if let (true, Some(end)) = (name.len() <= NAME_BYTES_MAX, end) {
                files.insert(name.to_owned(), (first, end));
            }
        }
        Ok(Self { path: path.to_owned(), files })
    }

    pub(super) fn file(&self, name: &str) -> Result<Option<Extent>, SourceError> {
        let Some((first, end)) = self.files.get(name).copied() else { return Ok(None) };
        let file = File::open(&self.path).map_err(SourceError::read(&self.path))?;
        Ok(Some(Extent { file, first, end }))
    }
}
