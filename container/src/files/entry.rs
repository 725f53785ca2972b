//! The status of a file as an [`Entry`].

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, readlinkat};
use rustix::io::Errno;
use sandbox_protocol::file::{Entry, EntryType};
use sandbox_protocol::time::of_file;

use crate::paths::status;

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
        modified_at: of_file(status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec),
        uid: status.stx_uid,
        gid: status.stx_gid,
        target,
    })
}
