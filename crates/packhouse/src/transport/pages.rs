//! Whether bytes of a file are in memory, and bringing them there.

use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

/// Between two bytes that are looked at. Pages come and go in runs, by the readahead that brought them; a run that begins
/// and ends between two looks costs one short wait for the disk. A look costs as much as sending some pages.
const LOOK_BYTES: u64 = 64 << 10;
/// The same where what lies before was in memory: what was read as a whole is forgotten in long runs too.
const LOOK_BYTES_BEHIND: u64 = 256 << 10;
/// Read at once from the disk.
const READ_BYTES: usize = 128 << 10;
/// What the kernel is told to read behind the bytes that are waited for.
const AHEAD_BYTES: u64 = 4 << 20;

/// Whether bytes are in memory, asked without waiting for a disk. A file system that cannot tell has none there. `behind`:
/// they lie behind others that were.
pub(super) fn are_warm(file: &File, first: u64, end: u64, behind: bool) -> bool {
    let apart = if behind { LOOK_BYTES_BEHIND } else { LOOK_BYTES };
    let looks = (first..end).step_by(usize::try_from(apart).unwrap_or(usize::MAX));
    let last = end.saturating_sub(1).max(first);
    looks.chain([last]).all(|at| {
        let mut byte = [0];
        // No byte at all is behind the end of the file: nothing to wait for there either.
        preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT).is_ok()
    })
}

/// Brings bytes into memory, and begins with those up to `ahead`. Blocks; comes back early at the end of the file.
pub(super) fn warm(file: &File, first: u64, end: u64, ahead: u64) -> io::Result<()> {
    let ahead = ahead.min(end.saturating_add(AHEAD_BYTES)).saturating_sub(first);
    // Only advice: without it the disk is slower and nothing else.
    let _ = fadvise(file, first, NonZeroU64::new(ahead), Advice::WillNeed);
    let mut buffer = vec![0; READ_BYTES];
    let mut at = first;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(READ_BYTES).min(READ_BYTES);
        match file.read_at(&mut buffer[..length], at) {
            Ok(0) => return Ok(()),
            Ok(read) => at += read as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_was_dropped_is_cold_and_what_was_read_is_warm() {
        // Not in the folder for temporary files, which may be memory itself.
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&vec![7; 8 << 20]).unwrap();
        file.sync_all().unwrap();
        assert!(are_warm(&file, 0, 8 << 20, false));
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        assert!(![false, true].iter().any(|behind| are_warm(&file, 1 << 20, 2 << 20, *behind)));
        warm(&file, 1 << 20, 2 << 20, 2 << 20).unwrap();
        assert!(are_warm(&file, 1 << 20, 2 << 20, false));
        // Nobody waits for what is not there.
        warm(&file, 8 << 20, 9 << 20, 9 << 20).unwrap();
        assert!(are_warm(&file, 8 << 20, 9 << 20, true));
    }
}
