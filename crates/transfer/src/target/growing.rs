//! A blob that is being written.

use super::files::sync_folder_of;
use crate::TargetError;
use packhouse_oci::{Digest, Hasher};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

/// Where the bytes go.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Where in the file the blob begins.
    pub(super) first: u64,
    /// The name that the file gets at the end.
    pub(super) rename: Option<PathBuf>,
}

/// A blob that is being written, and hashed meanwhile.
#[derive(Debug)]
pub struct Growing {
    place: Place,
    digest: Digest,
    hasher: Hasher,
    written: u64,
}

impl Growing {
    pub(super) fn open(
        mut place: Place,
        digest: Digest,
        paused: Option<(u64, Vec<u8>)>,
    ) -> Result<Self, TargetError> {
        let write = || TargetError::write(&place.path);
        let length = place.file.metadata().map_err(write())?.len().saturating_sub(place.first);
        let resumed = paused.and_then(|(written, state)| Some((written, Hasher::resume(&state).ok()?)));
        let resumed = resumed.filter(|(written, hasher)| {
            *written <= length
                && hasher.hashed_bytes() == *written
                && hasher.algorithm() == digest.algorithm()
        });
        let (written, hasher) = resumed.unwrap_or_else(|| (0, Hasher::new(digest.algorithm())));
        let at = place.first + written;
        place.file.set_len(at).map_err(TargetError::write(&place.path))?;
        place.file.seek(SeekFrom::Start(at)).map_err(TargetError::write(&place.path))?;
        Ok(Self { place, digest, hasher, written })
    }

    /// Bytes that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn write(mut self, bytes: &[u8]) -> Result<Self, TargetError> {
        self.place.file.write_all(bytes).map_err(TargetError::write(&self.place.path))?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(self)
    }

    /// What to go on with later.
    #[must_use]
    pub fn pause(self) -> (u64, Vec<u8>) {
        (self.written, self.hasher.state())
    }

    pub(super) fn finish(self) -> Result<(Digest, u64), TargetError> {
        let found = self.hasher.finish();
        let write = || TargetError::write(&self.place.path);
        if found != self.digest {
            match &self.place.rename {
                Some(_) => std::fs::remove_file(&self.place.path).map_err(write())?,
                None => self.place.file.set_len(self.place.first).map_err(write())?,
            }
            return Err(TargetError::Damaged { expected: self.digest, found });
        }
        if let Some(name) = &self.place.rename {
            // A tar is brought to disk as a whole, at its end.
            self.place.file.sync_all().map_err(write())?;
            std::fs::rename(&self.place.path, name).map_err(TargetError::write(name))?;
            sync_folder_of(name)?;
        }
        Ok((self.digest, self.written))
    }
}
