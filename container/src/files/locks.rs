//! Locks of directory entries. A check of a condition and the change that it allows happen under
//! one, so that of two clients with the same condition only one changes the file.
//!
//! Commands do not take part. What they change between the two is changed after the check.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::fs::fstat;
use rustix::io::Errno;

use crate::paths::Entry;

/// A name in a directory, which its device and inode identify.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    device: u64,
    inode: u64,
    name: OsString,
}

impl Key {
    pub(super) fn new(entry: &Entry) -> Result<Self, Errno> {
        let directory = fstat(entry.directory.as_fd())?;
        Ok(Self {
            device: directory.st_dev,
            inode: directory.st_ino,
            name: entry.name.clone(),
        })
    }
}

/// The entries that are locked.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Mutex<HashSet<Key>>,
    freed: Condvar,
}

/// Locked entries, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Lock<'l> {
    locks: &'l Locks,
    keys: Vec<Key>,
}

impl Locks {
    /// Locks these entries, which differ, once none of them is locked. It takes all of them at the
    /// same moment, so that two callers never wait for each other.
    pub(super) fn lock(&self, keys: Vec<Key>) -> Lock<'_> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = |held: &mut HashSet<Key>| keys.iter().any(|key| held.contains(key));
        let mut held = self
            .freed
            .wait_while(held, is_taken)
            .unwrap_or_else(PoisonError::into_inner);
        held.extend(keys.iter().cloned());
        Lock { locks: self, keys }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let mut held = self.locks.held.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            held.remove(key);
        }
        self.locks.freed.notify_all();
    }
}
