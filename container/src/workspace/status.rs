//! What something is, and on which mounted file system.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Statx, StatxFlags, statx};
use rustix::io::Errno;

/// What tells one mounted file system from another, and one place it is mounted at from another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Mount {
    #[default]
    Unknown,
    Id(u64),
    /// Where the kernel does not know the former. Not together: on an overlay the devices of files may differ.
    Device(u32, u32),
}

impl Mount {
    /// That of what has this status.
    pub(super) fn of(status: &Statx) -> Self {
        if StatxFlags::from_bits_retain(status.stx_mask).contains(StatxFlags::MNT_ID) {
            Self::Id(status.stx_mnt_id)
        } else {
            Self::Device(status.stx_dev_major, status.stx_dev_minor)
        }
    }
}

/// What `name` in a directory is, or the descriptor itself when it is empty. Follows no link.
pub(super) fn status(directory: BorrowedFd<'_>, name: &CStr) -> Result<Statx, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    statx(
        directory,
        name,
        flags,
        StatxFlags::BASIC_STATS | StatxFlags::MNT_ID,
    )
}
