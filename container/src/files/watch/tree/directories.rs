//! The watched directories of a tree.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::inotify;
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use sandbox_protocol::file::WatchEventType;

use super::kernel::WATCHED;
use super::{Entry, Node, Tree};
use crate::files::watch::log::Record;
use crate::paths::{Descent, Last, Walk, descriptor_path, pin_directory, reopen_directory};
use crate::workspace::is_temporary;

impl Tree {
    pub(super) fn child(&self, entry: &Entry) -> Option<i32> {
        let node = self.nodes.get(&entry.parent)?;
        node.children.get(&entry.name).copied()
    }

    pub(super) fn set_parent(&mut self, watch: i32, to: &Entry) {
        self.detach(watch);
        if let Some(node) = self.nodes.get_mut(&watch) {
            node.parent = to.parent;
            node.name.clone_from(&to.name);
        }
        if let Some(parent) = self.nodes.get_mut(&to.parent) {
            parent.children.insert(to.name.clone(), watch);
        }
    }

    /// Removes a directory from the one above.
    pub(super) fn detach(&mut self, watch: i32) {
        let Some(node) = self.nodes.get(&watch) else {
            return;
        };
        let (parent, name) = (node.parent, node.name.clone());
        if let Some(parent) = self.nodes.get_mut(&parent)
            && parent.children.get(&name) == Some(&watch)
        {
            parent.children.remove(&name);
        }
    }

    /// Forgets a directory whose watch the kernel has removed.
    pub(super) fn forget(&mut self, watch: i32) {
        self.detach(watch);
        self.nodes.remove(&watch);
    }

    /// Stops watching a directory and everything below it.
    pub(super) fn unwatch(&mut self, watch: i32) {
        self.detach(watch);
        let mut left = vec![watch];
        while let Some(watch) = left.pop() {
            if let Some(node) = self.nodes.remove(&watch) {
                left.extend(node.children.into_values());
                // Fails for one that is gone.
                let _ = inotify::remove_watch(&self.inotify, watch);
            }
        }
    }

    /// Watches everything again, after events were lost.
    pub(super) fn begin_again(&mut self) {
        self.records.push(Record::Overflow);
        let old: Vec<i32> = self.nodes.drain().map(|(watch, _)| watch).collect();
        self.moves.clear();
        self.listed.clear();
        let watched = self.open_root().and_then(|root| self.watch_all(root));
        // Where the root is watched, only directories below it are missing, for which `overflow` is
        // sent.
        if watched.is_err() && !self.nodes.contains_key(&self.root) {
            self.has_ended = true;
        }
        for watch in old {
            if !self.nodes.contains_key(&watch) {
                let _ = inotify::remove_watch(&self.inotify, watch);
            }
        }
    }

    /// Opens the root again. Errors: `NOENT` when something else has its path.
    pub(super) fn open_root(&self) -> Result<OwnedFd, Errno> {
        let found = self.workspace.roots.find(&self.path, Last::Follow)?;
        let root = reopen_directory(found.as_fd())?;
        match identity(root.as_fd())? == self.identity {
            true => Ok(root),
            false => Err(Errno::NOENT),
        }
    }

    pub(super) fn watch_all(&mut self, directory: OwnedFd) -> Result<(), Errno> {
        self.root = self.add(directory.as_fd(), None)?;
        match self.is_recursive {
            true => self.watch_below(directory, self.root, false),
            false => Ok(()),
        }
    }

    /// Watches one directory. Errors: `NOSPC` when there are too many.
    pub(super) fn add(
        &mut self,
        directory: BorrowedFd<'_>,
        entry: Option<(i32, &[u8])>,
    ) -> Result<i32, Errno> {
        let permit = self.workspace.watches.directories.take();
        let permit = permit.map_err(|_| Errno::NOSPC)?;
        let watch = inotify::add_watch(&self.inotify, descriptor_path(&directory), WATCHED)?;
        let (parent, name) = entry.unwrap_or((watch, b""));
        // A directory that is known was moved here.
        self.detach(watch);
        let known = self.nodes.remove(&watch);
        self.nodes.insert(
            watch,
            Node {
                parent,
                name: name.to_vec(),
                children: known.map(|node| node.children).unwrap_or_default(),
                _permit: permit,
            },
        );
        if let Some((parent, name)) = entry
            && let Some(parent) = self.nodes.get_mut(&parent)
        {
            parent.children.insert(name.to_vec(), watch);
        }
        Ok(watch)
    }

    /// Watches a directory that has just come, and tells what is in it.
    pub(super) fn watch_new(&mut self, entry: &Entry) {
        let watched = self.open(entry).and_then(|directory| {
            let watch = self.add(directory.as_fd(), Some((entry.parent, &entry.name)))?;
            self.watch_below(directory, watch, true)
        });
        match watched {
            // It is gone, or something else has its name. The kernel tells that, too.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(_) => self.records.push(Record::Overflow),
        }
    }

    /// Watches the directories below a watched one. With `is_new`, tells what is there.
    pub(super) fn watch_below(&mut self, directory: OwnedFd, watch: i32, is_new: bool) -> Result<(), Errno> {
        let mut walk = Walk::new(directory)?;
        // The watches of the directories on the way.
        let mut way = vec![watch];
        while let Some(step) = walk.next() {
            let Ok(step) = step else { continue };
            way.truncate(step.depth);
            let name = step.name.to_bytes();
            if is_temporary(name) {
                continue;
            }
            let Some(parent) = way.last().copied() else {
                break;
            };
            let is_directory = step.file_type() == Ok(FileType::Directory);
            let opened = is_directory.then(|| pin_directory(step.directory, OsStr::from_bytes(name)));
            if is_new {
                let entry = Entry {
                    parent,
                    name: name.to_vec(),
                    is_directory,
                };
                if self.listed.insert((parent, entry.name.clone())) {
                    self.tell_entry(WatchEventType::Created, &entry);
                }
            }
            match opened {
                None | Some(Err(_)) => {}
                Some(Ok(opened)) => match self.add(opened.as_fd(), Some((parent, name))) {
                    Err(errno @ (Errno::NOSPC | Errno::MFILE)) => return Err(errno),
                    Err(_) => {}
                    Ok(watch) => {
                        way.push(watch);
                        walk.enter()?;
                    }
                },
            }
        }
        Ok(())
    }

    /// Pins a directory, through no link.
    pub(super) fn open(&self, entry: &Entry) -> Result<OwnedFd, Errno> {
        let path = self.below_root(entry);
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let mut descent = Descent::new(self.open_root()?);
        let directory = descent.go(&names, pin_directory).map_err(|(_, errno)| errno)?;
        fcntl_dupfd_cloexec(directory, 0)
    }

    /// The path of an entry below the root.
    pub(super) fn below_root(&self, entry: &Entry) -> Vec<u8> {
        let mut names = vec![entry.name.as_slice()];
        let mut watch = entry.parent;
        while watch != self.root
            && let Some(node) = self.nodes.get(&watch)
            && names.len() < 4096
        {
            names.push(&node.name);
            watch = node.parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    pub(super) fn path_of(&self, entry: &Entry) -> String {
        let below = self.below_root(entry);
        format!("{}/{}", self.path, String::from_utf8_lossy(&below))
    }
}

/// Device and inode of a directory.
pub(in crate::files::watch) type Identity = (u64, u64);

/// Tells directories apart.
pub(in crate::files::watch) fn identity(directory: BorrowedFd<'_>) -> Result<Identity, Errno> {
    let status = fstat(directory)?;
    Ok((status.st_dev, status.st_ino))
}
