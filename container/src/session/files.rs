//! How a shell gets what it restores, and where it leaves what it says.
//!
//! Both are memory without a name (`memfd`). So nobody else can open them, a full disk or `rm -rf /tmp` does them nothing,
//! and they are gone with the last process that has them. That may be a child in the background, which inherits the
//! descriptors; hence they are emptied when the shell has ended.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{Errno, fcntl_dupfd_cloexec, pread, write};

use super::script::{RESTORE_FD, SAVED_FD};

/// What one shell of a session has open.
#[derive(Debug)]
pub struct ShellFiles {
    restore: OwnedFd,
    saved: OwnedFd,
}

impl ShellFiles {
    /// Files of which the first holds `commands`.
    pub fn new(commands: &[u8]) -> io::Result<Self> {
        let files = Self {
            restore: memfd_create("session-restore", MemfdFlags::CLOEXEC)?,
            saved: memfd_create("session-saved", MemfdFlags::CLOEXEC)?,
        };
        let mut rest = commands;
        while !rest.is_empty() {
            match write(&files.restore, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(files)
    }

    /// Lets the child that `command` starts have them under their numbers. They must be there until it is started.
    pub fn pass_to(&self, command: &mut Command) {
        let files = [
            (self.restore.as_raw_fd(), RESTORE_FD),
            (self.saved.as_raw_fd(), SAVED_FD),
        ];
        let pass = move || {
            for (file, number) in files {
                // SAFETY: the child has a copy of every descriptor of ours; this one is open, see above.
                let file = unsafe { BorrowedFd::borrow_raw(file) };
                // SAFETY: nothing in the child owns this number, as nothing in sandboxd does: see `reserve`.
                let mut number = std::mem::ManuallyDrop::new(unsafe { owned(number) });
                rustix::io::dup2(file, &mut number)?;
            }
            Ok(())
        };
        // SAFETY: runs between fork and exec, where only async-signal-safe calls are allowed: it makes two system calls
        // and touches no lock and no allocator.
        unsafe { command.pre_exec(pass) };
    }

    /// What the shell has said, if it is no more than `limit` bytes. Empties both files.
    pub fn take(self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let mut said = Vec::new();
        let mut chunk = vec![0; 64 * 1024];
        let read = loop {
            match pread(&self.saved, &mut *chunk, said.len() as u64) {
                Ok(0) => break Ok(true),
                Ok(read) => said.extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(e) => break Err(e.into()),
            }
            if said.len() > limit {
                break Ok(false);
            }
        };
        for file in [&self.restore, &self.saved] {
            // An error leaves the memory to whoever still has the file open.
            let _ = ftruncate(file, 0);
        }
        read.map(|is_whole| is_whole.then_some(said))
    }
}

/// Takes the numbers of the files out of use in this process, for good: were one of them given to the pipe by which a child
/// reports that it cannot execute its program, the child would close it.
pub fn reserve() {
    static RESERVED: OnceLock<Vec<OwnedFd>> = OnceLock::new();
    RESERVED.get_or_init(|| {
        let null = std::fs::File::open("/dev/null");
        let reserved = [RESTORE_FD, SAVED_FD].iter().filter_map(|number| {
            let null = null.as_ref().ok()?;
            fcntl_dupfd_cloexec(null.as_fd(), *number).ok()
        });
        reserved.collect()
    });
}

unsafe fn owned(number: i32) -> OwnedFd {
    use std::os::fd::FromRawFd as _;

    // SAFETY: as the caller promises.
    unsafe { OwnedFd::from_raw_fd(number) }
}
