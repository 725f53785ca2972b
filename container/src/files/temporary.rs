//! Temporary files: what is incomplete has a name of its own beside its target.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, fstatfs, fsync, openat};
use rustix::io::Errno;

use crate::random::random_name;

/// The prefix of the names of incomplete files.
pub(crate) const TEMPORARY: &str = ".sandbar-upload-";

/// A new file that only the server can read, and its name in `directory`.
pub(super) fn create_temporary(directory: impl AsFd) -> Result<(File, String), Errno> {
    let name = temporary_name()?;
    let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    let file = openat(directory, &name, create, Mode::from_raw_mode(0o600))?;
    Ok((file.into(), name))
}

/// A new name for an incomplete file.
pub(crate) fn temporary_name() -> Result<String, Errno> {
    random_name(TEMPORARY)
}

/// Writes all of `bytes`.
pub(super) fn write_all(file: &File, bytes: &[u8]) -> Result<(), Errno> {
    write_slices(file, &mut [IoSlice::new(bytes)])
}

/// Writes all bytes of `slices`, in order.
pub(super) fn write_slices(file: &File, mut slices: &mut [IoSlice<'_>]) -> Result<(), Errno> {
    // Empty slices at the front would make a complete write look like one without progress.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match rustix::io::writev(file, slices) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Uploads the bytes of a file in a bucket.
pub(crate) fn flush(file: &File) -> Result<(), Errno> {
    // s3fs uploads the bytes when the file is closed, and `close` would not report an error.
    if is_on_fuse(file)? { fsync(file) } else { Ok(()) }
}

fn is_on_fuse(file: &File) -> Result<bool, Errno> {
    const FUSE_SUPER_MAGIC: i128 = 0x6573_5546;
    // The type of the field differs between architectures.
    Ok(i128::from(fstatfs(file)?.f_type) == FUSE_SUPER_MAGIC)
}
