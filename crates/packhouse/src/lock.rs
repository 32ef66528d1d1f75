//! The data folder, and the lock that one process at a time holds on it.
//!
//! Two processes that write one SQLite file and one folder of blobs would each believe to be alone. The lock is
//! `flock` on `packhouse.lock`: the system releases it when the process ends, however it ends, so a file that
//! is left behind means nothing. The number in the file is only for the message.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "packhouse.lock";

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The folder cannot be made.
    #[error("cannot make the data folder `{}`", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Another process works in it.
    #[error(
        "the data folder `{}` is in use by another packhouse{}; stop that one, or choose another folder with --data",
        folder.display(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The other process, when it can be told.
        pid: Option<u32>,
    },
    /// The lock's file cannot be opened or locked.
    #[error("cannot lock the data folder `{}`", folder.display())]
    File {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// A data folder that nobody else uses while this exists.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder when it is not there, for its owner only, and locks it.
    ///
    /// # Errors
    /// Another process holds it; it cannot be made or locked.
    pub fn open(folder: &Path) -> Result<Self, LockError> {
        make(folder).map_err(|cause| LockError::Folder { folder: folder.to_owned(), cause })?;
        let file_error = |cause| LockError::File { folder: folder.to_owned(), cause };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(FILE_NAME))
            .map_err(file_error)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(LockError::Held { folder: folder.to_owned(), pid: read_pid(&mut file) });
            }
            Err(error) => return Err(file_error(error.into())),
        }
        write_pid(&mut file).map_err(file_error)?;
        Ok(Self { path: folder.to_owned(), _lock: file })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes the folder, its missing parents too, and puts their names on disk: what is durable in a folder whose own
/// name is lost with the power is lost as well.
fn make(folder: &Path) -> io::Result<()> {
    let there = folder.ancestors().find(|ancestor| ancestor.is_dir()).map(Path::to_owned);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let made = folder.ancestors().take_while(|ancestor| Some(*ancestor) != there.as_deref());
    // Also of a folder that was there: an earlier start may have ended between making and syncing it.
    for parent in made.chain([folder]).filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match File::open(parent).and_then(|parent| parent.sync_all()) {
            Ok(()) => {}
            // A folder that others manage, which we may enter but not read: it is theirs to keep.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_folder_is_its_owners_and_the_second_lock_is_refused_by_name_and_process() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("some/data");
        let held = DataFolder::open(&folder).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let refusal = DataFolder::open(&folder).unwrap_err().to_string();
        let expected = format!(
            "the data folder `{}` is in use by another packhouse (process {}); stop that one, or choose another \
             folder with --data",
            folder.display(),
            std::process::id()
        );
        assert_eq!(refusal, expected);
        drop(held);
        DataFolder::open(&folder).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_an_error() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(DataFolder::open(&file), Err(LockError::Folder { .. })));
    }
}
