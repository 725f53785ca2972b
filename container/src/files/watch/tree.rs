//! The kernel's side of a watch: a watch descriptor for each directory, and events as paths.
//!
//! inotify tells names in directories. The path of a directory is the chain of names above it, so
//! that a directory that is moved keeps its watch. A directory is watched before it is listed:
//! what is created in it meanwhile is reported by the kernel and by the listing, and is one event.
//!
//! Directories are watched through their descriptors, which are opened by name in the one above,
//! through no link.

mod directories;
mod kernel;

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags};
use rustix::io::Errno;
use sandbox_protocol::FilePath;
use sandbox_protocol::file::{WatchEvent, WatchEventType};

use super::log::Record;
use crate::files::workspace::Workspace;
use crate::quota::Permit;
use crate::workspace::is_temporary;
use kernel::Raw;

pub(super) use directories::{Identity, identity};

/// The time in which the second half of a move must come.
const MOVE_TIME: Duration = Duration::from_millis(2);

/// The most events that are read at a time.
const PART: usize = 4096;

/// The directories of a watch.
pub(super) struct Tree {
    workspace: Arc<Workspace>,
    inotify: OwnedFd,
    /// The path of the root. It is not kept open: the kernel tells of its end only when nobody has
    /// it open.
    path: FilePath,
    /// The root.
    identity: Identity,
    is_recursive: bool,
    root: i32,
    nodes: HashMap<i32, Node>,
    /// Moves whose second half has not come yet.
    moves: Vec<Move>,
    /// Entries that were reported because a new directory had them. The kernel may report them, too.
    listed: HashSet<(i32, Vec<u8>)>,
    records: Vec<Record>,
    has_ended: bool,
}

/// A watched directory.
struct Node {
    /// The directory above; the root has itself.
    parent: i32,
    name: Vec<u8>,
    children: HashMap<Vec<u8>, i32>,
    _permit: Permit,
}

/// The first half of a move.
struct Move {
    cookie: u32,
    from: Entry,
}

/// A name in a watched directory.
#[derive(Clone)]
struct Entry {
    parent: i32,
    name: Vec<u8>,
    is_directory: bool,
}

/// The events of one read.
pub(super) struct Events {
    pub records: Vec<Record>,
    /// Whether the kernel has more.
    pub has_more: bool,
    /// Whether nothing comes any more: the root is gone.
    pub has_ended: bool,
}

/// Tells that the watched directory is gone.
pub(super) fn gone(path: &FilePath) -> Record {
    let event = WatchEvent {
        path: path.to_string(),
        from: None,
        is_directory: true,
    };
    Record::Event(WatchEventType::Deleted, event)
}

impl Tree {
    /// Watches `directory`, which is at `path`.
    ///
    /// Errors: `NOSPC` and `MFILE` for limits.
    pub(super) fn new(
        workspace: &Arc<Workspace>,
        directory: OwnedFd,
        path: FilePath,
        is_recursive: bool,
    ) -> Result<Self, Errno> {
        let mut tree = Self {
            workspace: Arc::clone(workspace),
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            path,
            identity: identity(directory.as_fd())?,
            is_recursive,
            root: 0,
            nodes: HashMap::new(),
            moves: Vec::new(),
            listed: HashSet::new(),
            records: Vec::new(),
            has_ended: false,
        };
        tree.watch_all(directory)?;
        Ok(tree)
    }

    /// The watched directory.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the path leads to another directory by now, or to none.
    pub(super) fn is_gone(&self) -> bool {
        // Any other error, such as too many open files, says nothing.
        let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::XDEV];
        self.open_root().is_err_and(|errno| gone.contains(&errno))
    }

    /// The descriptor that is readable when there are events.
    pub(super) fn inotify(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Reads the events that the kernel has.
    pub(super) fn read(&mut self) -> Events {
        let mut has_waited = false;
        let mut has_more = false;
        loop {
            let events = kernel::read(&self.inotify);
            if events.is_empty() {
                if self.moves.is_empty() || has_waited {
                    break;
                }
                has_waited = true;
                sleep(MOVE_TIME);
            }
            events.into_iter().for_each(|event| self.translate(event));
            if self.records.len() >= PART {
                has_more = true;
                break;
            }
        }
        if !has_more {
            for lone in std::mem::take(&mut self.moves) {
                self.moved_out(&lone.from);
            }
            self.listed.clear();
        }
        Events {
            records: std::mem::take(&mut self.records),
            has_more,
            has_ended: self.has_ended,
        }
    }

    fn translate(&mut self, event: Raw) {
        let Raw {
            watch,
            flags,
            cookie,
            name,
        } = event;
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.begin_again();
        }
        if watch == self.root
            && flags.intersects(
                ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED,
            )
        {
            if !self.has_ended {
                self.has_ended = true;
                self.records.push(gone(&self.path));
            }
            return;
        }
        if flags.intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT) {
            self.forget(watch);
            return;
        }
        if !self.nodes.contains_key(&watch) {
            return;
        }
        let entry = Entry {
            parent: watch,
            name,
            is_directory: flags.contains(ReadFlags::ISDIR),
        };
        if entry.name.is_empty() {
            // The directory above tells the others.
            if watch == self.root && flags.contains(ReadFlags::ATTRIB) {
                self.tell(WatchEventType::Attributes, self.path.to_string(), None, true);
            }
        } else if flags.contains(ReadFlags::MOVED_FROM) {
            self.moves.push(Move { cookie, from: entry });
        } else if flags.contains(ReadFlags::MOVED_TO) {
            self.moved_to(cookie, entry);
        } else if is_temporary(&entry.name) {
            // An upload that is not complete.
        } else if flags.contains(ReadFlags::CREATE) {
            self.created(&entry);
        } else if flags.contains(ReadFlags::DELETE) {
            self.listed.remove(&(entry.parent, entry.name.clone()));
            self.tell_entry(WatchEventType::Deleted, &entry);
        } else if flags.contains(ReadFlags::MODIFY) {
            self.tell_entry(WatchEventType::Modified, &entry);
        } else if flags.contains(ReadFlags::ATTRIB) {
            self.tell_entry(WatchEventType::Attributes, &entry);
        }
    }

    fn created(&mut self, entry: &Entry) {
        if self.listed.remove(&(entry.parent, entry.name.clone())) {
            return;
        }
        self.appeared(WatchEventType::Created, entry);
    }

    fn appeared(&mut self, event_type: WatchEventType, entry: &Entry) {
        self.tell_entry(event_type, entry);
        if entry.is_directory && self.is_recursive {
            self.watch_new(entry);
        }
    }

    fn moved_to(&mut self, cookie: u32, to: Entry) {
        let from = self.moves.iter().position(|half| half.cookie == cookie);
        let from = from.map(|at| self.moves.swap_remove(at).from);
        match from {
            // The old version of an edited file goes.
            _ if is_temporary(&to.name) => {}
            // The end of an upload, a copy or an edit.
            Some(from) if is_temporary(&from.name) => {
                let event_type = match self.workspace.renames.replaced(&from.name) {
                    true => WatchEventType::Modified,
                    false => WatchEventType::Created,
                };
                self.appeared(event_type, &to);
            }
            None => self.created(&to),
            Some(from) => {
                let old = self.path_of(&from);
                if let Some(watch) = self.child(&from) {
                    self.set_parent(watch, &to);
                }
                let path = self.path_of(&to);
                self.tell(WatchEventType::Moved, path, Some(old), to.is_directory);
            }
        }
    }

    /// Tells of an entry that was moved out of the tree.
    fn moved_out(&mut self, from: &Entry) {
        if is_temporary(&from.name) {
            return;
        }
        self.tell_entry(WatchEventType::Deleted, from);
        if let Some(watch) = self.child(from) {
            self.unwatch(watch);
        }
    }

    fn tell_entry(&mut self, event_type: WatchEventType, entry: &Entry) {
        let path = self.path_of(entry);
        self.tell(event_type, path, None, entry.is_directory);
    }

    fn tell(&mut self, event_type: WatchEventType, path: String, from: Option<String>, is_directory: bool) {
        let event = WatchEvent {
            path,
            from,
            is_directory,
        };
        let record = Record::Event(event_type, event);
        // A file that is written tells each write.
        let is_again = event_type == WatchEventType::Modified && self.records.last() == Some(&record);
        if !is_again {
            self.records.push(record);
        }
    }
}
