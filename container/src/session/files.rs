//! The files from which a shell restores the state, and into which it saves its own.
//!
//! Both are memory without a name (`memfd`). So no other process can open them, a full disk or `rm
//! -rf /tmp` does not affect them, and they are freed with the last process that has them. That may
//! be a background process, which inherits the descriptors; hence they are emptied when the shell
//! has ended.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, fstat, ftruncate, memfd_create};
use rustix::io::{Errno, pread, write};

use super::overrides::Overrides;
use super::parse_dump::Dump;
use super::script::{RESTORE_FD, SAVED_FD};
use super::state::{Env, Part, State};
use crate::process::descriptors::Passed;

/// The state that a shell restores.
#[derive(Debug)]
pub struct Restored {
    /// The state.
    pub state: Arc<State>,
    /// The names of the variables of the command alone, without values.
    pub overrides: Env,
    /// The names of the options of the command alone.
    pub overridden_options: BTreeSet<Vec<u8>>,
}

impl Restored {
    /// The state, without the variables in `overrides` and without `overridden_options`.
    pub fn new(state: Arc<State>, overrides: &Overrides, overridden_options: BTreeSet<Vec<u8>>) -> Self {
        let names = overrides.env.keys().map(|name| (name.clone(), OsString::new()));
        Self {
            state,
            overrides: names.collect(),
            overridden_options,
        }
    }

    /// The parts of the state that a shell with the dump `found` has not restored.
    pub fn lost(&self, found: &Dump<'_>) -> Vec<Part> {
        self.state
            .unrestored(found, &self.overrides, &self.overridden_options)
    }
}

/// The descriptors of a shell of a session.
#[derive(Debug)]
pub struct ShellFiles {
    /// The state that the shell restores.
    pub restored: Restored,
    restore: OwnedFd,
    saved: OwnedFd,
}

impl ShellFiles {
    /// The files; the first holds `commands`, which restore `restored`.
    pub fn new(commands: &[u8], restored: Restored) -> io::Result<Self> {
        let files = Self {
            restored,
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

    /// The files with their numbers in the shell.
    pub fn descriptors(&self) -> [Passed<'_>; 2] {
        [(self.restore.as_fd(), RESTORE_FD), (self.saved.as_fd(), SAVED_FD)]
    }

    /// The size of the shell's dumps, in bytes.
    pub fn saved_bytes(&self) -> u64 {
        fstat(&self.saved).map_or(0, |status| u64::try_from(status.st_size).unwrap_or_default())
    }

    /// The shell's dumps, unless they exceed `limit` bytes. Empties both files.
    pub fn take(&self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let mut output = Vec::new();
        let mut chunk = vec![0; 64 * 1024];
        let read = loop {
            match pread(&self.saved, &mut *chunk, output.len() as u64) {
                Ok(0) => break Ok(true),
                Ok(read) => output.extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(e) => break Err(e.into()),
            }
            if output.len() > limit {
                break Ok(false);
            }
        };
        for file in [&self.restore, &self.saved] {
            // Fails harmlessly: the memory is freed with the last process that has the file open.
            let _ = ftruncate(file, 0);
        }
        read.map(|is_whole| is_whole.then_some(output))
    }
}
