//! Reading below one folder, and nowhere else.
//!
//! Each step of a path is opened by itself and no link is followed, so that a folder that was made to harm cannot lead
//! out of itself, whatever is changed in it meanwhile.

use crate::{NAMES_MAX, SourceError};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of somebody else's.
#[derive(Clone, Debug)]
pub(crate) struct Beneath {
    path: PathBuf,
    folder: Arc<OwnedFd>,
}

impl Beneath {
    /// Opens the folder. The path itself is the operator's own word, so links in it are followed.
    pub(crate) fn open(path: &Path) -> Result<Self, SourceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        let folder = opened.map_err(|errno| match errno {
            Errno::NOENT => SourceError::Absent { path: path.to_owned(), hint: "" },
            Errno::NOTDIR => SourceError::Kind { path: path.to_owned(), expected: "folder" },
            errno => SourceError::Read { path: path.to_owned(), cause: errno.into() },
        })?;
        Ok(Self { path: path.to_owned(), folder: Arc::new(folder) })
    }

    /// The path of something below, for messages.
    pub(crate) fn path_of(&self, parts: &[&str]) -> PathBuf {
        parts.iter().fold(self.path.clone(), |path, part| path.join(part))
    }

    /// Opens a file. None: it is not there.
    pub(crate) fn file(&self, parts: &[&str]) -> Result<Option<(File, u64)>, SourceError> {
        let Some((name, folders)) = parts.split_last() else { return Ok(None) };
        let Some(folder) = self.descend(folders)? else { return Ok(None) };
        let Some(opened) = self.step(folder.as_ref(), parts, name, OFlags::NONBLOCK, "file")? else {
            return Ok(None);
        };
        let stat = fstat(&opened).map_err(|errno| self.error(parts, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(SourceError::Kind { path: self.path_of(parts), expected: "file" });
        }
        Ok(Some((File::from(opened), u64::try_from(stat.st_size).unwrap_or(0))))
    }

    /// The bytes of a file of at most `max`. None: it is not there.
    pub(crate) fn read(&self, parts: &[&str], max: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let Some((file, _)) = self.file(parts)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(max + 1).read_to_end(&mut bytes).map_err(SourceError::read(self.path_of(parts)))?;
        if bytes.len() as u64 > max {
            return Err(SourceError::Large { what: format!("`{}`", self.path_of(parts).display()), max });
        }
        Ok(Some(bytes))
    }

    /// Whether there is a folder.
    pub(crate) fn has_folder(&self, parts: &[&str]) -> Result<bool, SourceError> {
        Ok(self.descend(parts)?.is_some())
    }

    /// The names in a folder, sorted; those that are no text are none of ours. None: it is not there.
    pub(crate) fn names(&self, parts: &[&str]) -> Result<Option<Vec<String>>, SourceError> {
        let Some(folder) = self.descend(parts)? else { return Ok(None) };
        let listed = Dir::read_from(folder.as_ref().map_or(self.folder.as_fd(), AsFd::as_fd));
        let mut names = Vec::new();
        for entry in listed.map_err(|errno| self.error(parts, errno))? {
            let entry = entry.map_err(|errno| self.error(parts, errno))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            if names.len() == NAMES_MAX {
                return Err(SourceError::Crowded { path: self.path_of(parts), max: NAMES_MAX });
            }
            names.push(name.to_owned());
        }
        names.sort_unstable();
        Ok(Some(names))
    }

    /// The folder at the end of the parts; an empty list is our own. `Some(None)` stands for that one.
    fn descend(&self, parts: &[&str]) -> Result<Option<Option<OwnedFd>>, SourceError> {
        let mut at: Option<OwnedFd> = None;
        for (depth, name) in parts.iter().enumerate() {
            match self.step(at.as_ref(), &parts[..=depth], name, OFlags::DIRECTORY, "folder")? {
                Some(next) => at = Some(next),
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    fn step(
        &self,
        at: Option<&OwnedFd>,
        parts: &[&str],
        name: &str,
        more: OFlags,
        expected: &'static str,
    ) -> Result<Option<OwnedFd>, SourceError> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(SourceError::Name(parts.join("/").chars().take(300).collect()));
        }
        let at = at.map_or(self.folder.as_fd(), AsFd::as_fd);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | more;
        match openat(at, name, flags, Mode::empty()) {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => {
                let path = self.path_of(parts);
                let stat = statat(at, name, AtFlags::SYMLINK_NOFOLLOW);
                let link = stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
                Err(if link { SourceError::Link { path } } else { SourceError::Kind { path, expected } })
            }
            Err(errno) => Err(self.error(parts, errno)),
        }
    }

    fn error(&self, parts: &[&str], errno: Errno) -> SourceError {
        SourceError::Read { path: self.path_of(parts), cause: io::Error::from(errno) }
    }
}
