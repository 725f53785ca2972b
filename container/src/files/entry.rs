//! The status of a file as an [`Entry`].

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Statx, readlinkat};
use rustix::io::Errno;
use sandbox_protocol::file::{Entry, EntryType};
use sandbox_protocol::time::to_text;

use crate::paths::status;

/// The latest time that RFC 3339 can express, in seconds since 1970.
const LATEST: u64 = 253_402_300_799;

/// Describes `name` in a directory, or the descriptor itself when `name` is empty, as what clients
/// know as `path`. Follows no link.
pub(super) fn describe(directory: BorrowedFd<'_>, name: &CStr, path: String) -> Result<Entry, Errno> {
    let status = status(directory, name)?;
    let file_type = FileType::from_raw_mode(status.stx_mode.into());
    let target = match file_type {
        FileType::Symlink => {
            let target = readlinkat(directory, name, Vec::new())?;
            target.into_string().ok()
        }
        _ => None,
    };
    Ok(Entry {
        name: path.rsplit('/').next().unwrap_or_default().to_owned(),
        path,
        entry_type: match file_type {
            FileType::RegularFile => EntryType::File,
            FileType::Directory => EntryType::Directory,
            FileType::Symlink => EntryType::Symlink,
            _ => EntryType::Other,
        },
        size: status.stx_size,
        mode: format!("{:04o}", status.stx_mode & 0o7777),
        modified_at: modified_at(&status),
        uid: status.stx_uid,
        gid: status.stx_gid,
        target,
    })
}

/// The time of modification; the nearest one that can be expressed.
fn modified_at(status: &Statx) -> String {
    let time = match u64::try_from(status.stx_mtime.tv_sec) {
        Ok(seconds) => Duration::new(seconds.min(LATEST), status.stx_mtime.tv_nsec),
        // Before 1970.
        Err(_) => Duration::ZERO,
    };
    let time: SystemTime = UNIX_EPOCH + time;
    to_text(time)
}
