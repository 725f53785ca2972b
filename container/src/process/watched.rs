//! File descriptors that the runtime watches.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::ioctl_fionbio;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers `fd`, a pipe or a pidfd, with the runtime for `interest`. Makes it non-blocking.
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    ioctl_fionbio(&fd, true)?;
    // SAFETY: an `OwnedFd` always gives the same descriptor, and closes it only when it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}
