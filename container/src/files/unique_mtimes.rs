//! Times of modification that tell each version of a file from the next.
//!
//! The kernel's clock for files ticks every few milliseconds, so two changes within one tick can
//! leave a file with the same times. A file that is written through the API gets a time of its own
//! instead, to the nanosecond. The next change, by a client or a command, gives it another one: so
//! its `ETag` is valid from the first moment on.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Timespec, Timestamps, UTIME_OMIT, futimens};

/// The most stamps that are known. They matter for some milliseconds only.
const KNOWN: usize = 1024;

/// The device, the inode and the time of modification of a file.
type Stamp = (u64, u64, (i64, i64));

/// The stamps that were set last.
#[derive(Debug, Default)]
pub(super) struct UniqueMtimes(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    stamps: VecDeque<Stamp>,
    /// The last time that was set, in nanoseconds since 1970.
    last: u64,
}

impl UniqueMtimes {
    /// Gives an open file a time that no other has. Does nothing where the file system has no such
    /// times, or the server may not set them.
    pub(super) fn set(&self, file: &File) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        recent.last = nanoseconds.max(recent.last.saturating_add(1));
        let time = Timespec {
            tv_sec: (recent.last / 1_000_000_000) as i64,
            tv_nsec: (recent.last % 1_000_000_000) as i64,
        };
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: time,
        };
        drop(recent);
        if futimens(file, &times).is_err() {
            return;
        }
        let Ok(metadata) = file.metadata() else {
            return;
        };
        if (metadata.mtime(), metadata.mtime_nsec()) != (time.tv_sec, time.tv_nsec) {
            return;
        }
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.stamps.len() == KNOWN {
            recent.stamps.pop_front();
        }
        recent.stamps.push_back(stamp_of(&metadata));
    }

    /// Whether the file with this `metadata` still has the time that it was given.
    pub(super) fn has(&self, metadata: &Metadata) -> bool {
        let stamp = stamp_of(metadata);
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.stamps.iter().rev().any(|known| *known == stamp)
    }
}

fn stamp_of(metadata: &Metadata) -> Stamp {
    let time = (metadata.mtime(), metadata.mtime_nsec());
    (metadata.dev(), metadata.ino(), time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_known_until_the_file_changes() {
        let stamps = UniqueMtimes::default();
        let mut times = Vec::new();
        let file = tempfile::tempfile().unwrap();
        for _ in 0..100 {
            assert!(!stamps.has(&file.metadata().unwrap()) || !times.is_empty());
            stamps.set(&file);
            let metadata = file.metadata().unwrap();
            assert!(stamps.has(&metadata));
            times.push((metadata.mtime(), metadata.mtime_nsec()));
        }
        assert!(times.is_sorted_by(|one, next| one < next));
        file.set_len(1).unwrap();
        assert!(!stamps.has(&file.metadata().unwrap()));
    }
}
