//! The status of a file, and the mounted file system that it is on.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, statx};
use rustix::io::Errno;

/// The identity of a mount: it differs between file systems, and between two mounts of the same
/// one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Mount {
    #[default]
    Unknown,
    Id(u64),
    /// Where the kernel does not know mount ids. Not both: on an overlay the devices of files may
    /// differ.
    Device(u32, u32),
}

impl Mount {
    /// The mount of a file with this status.
    pub(crate) fn from_status(status: &Statx) -> Self {
        if StatxFlags::from_bits_retain(status.stx_mask).contains(StatxFlags::MNT_ID) {
            Self::Id(status.stx_mnt_id)
        } else {
            Self::Device(status.stx_dev_major, status.stx_dev_minor)
        }
    }
}

/// The status of `name` in a directory, or of the descriptor itself when `name` is empty. Follows
/// no link.
pub(crate) fn status(directory: BorrowedFd<'_>, name: &CStr) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    statx(
        directory,
        name,
        flags,
        StatxFlags::BASIC_STATS | StatxFlags::MNT_ID,
    )
}

/// The type of `name` in a directory, which `listed` is where it is known; unknown when the name is
/// gone.
pub(crate) fn file_type(directory: BorrowedFd<'_>, name: &CStr, listed: FileType) -> Result<FileType, Errno> {
    if listed != FileType::Unknown {
        return Ok(listed);
    }
    match status(directory, name) {
        Err(Errno::NOENT) => Ok(FileType::Unknown),
        status => Ok(FileType::from_raw_mode(status?.stx_mode.into())),
    }
}
