//! A page of a listing: entries in the order of the bytes of their paths.
//!
//! A directory holds any number of entries, and a page few. So of each directory on the way the
//! smallest names are read, [`BATCH`] at a time, and the rest only when these are used up.
//!
//! In the order of paths, `a/b` comes behind `a-b`, as `/` is behind `-`. So what is in a directory
//! has a place of its own among its neighbours, that of its name with a slash.

use std::collections::{BinaryHeap, VecDeque};
use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::FileType;
use rustix::io::Errno;
use sandbox_protocol::FilePath;
use sandbox_protocol::file::{DirectoryPage, DirectoryQuery};

use super::entry::describe;
use super::list::Filter;
use crate::paths::{Descent, components, file_type, list, pin_directory};

/// The most names of a directory that are held.
const BATCH: usize = 1024;

pub(super) struct Page {
    descent: Descent,
    query: DirectoryQuery,
    filter: Filter,
    page: DirectoryPage,
    levels: Vec<Level>,
    /// The path of the current directory below the listed one, with a slash at its end.
    path: Vec<u8>,
}

/// A directory on the way to the current one.
struct Level {
    /// The next names, each with a slash where it stands for what is in that directory.
    names: VecDeque<Vec<u8>>,
    /// Whether there are more behind these.
    has_more: bool,
    /// The last of them that was taken.
    last: Vec<u8>,
    /// The length of the directory's path.
    path_length: usize,
}

impl Page {
    /// A page of `directory`, which clients know as `path`.
    pub(super) fn new(directory: OwnedFd, path: &FilePath, query: DirectoryQuery, filter: Filter) -> Self {
        Self {
            descent: Descent::new(directory),
            query,
            filter,
            page: DirectoryPage::empty(path),
            levels: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Reads the page. Fails with `INTR` when it `is_cancelled`.
    pub(super) fn read(mut self, is_cancelled: &dyn Fn() -> bool) -> Result<DirectoryPage, Errno> {
        self.enter()?;
        while let Some(level) = self.levels.last_mut() {
            self.path.truncate(level.path_length);
            let Some(name) = level.names.pop_front() else {
                if level.has_more {
                    self.fill()?;
                } else {
                    self.levels.pop();
                }
                if is_cancelled() {
                    return Err(Errno::INTR);
                }
                continue;
            };
            level.last.clone_from(&name);
            if name.ends_with(b"/") {
                self.path.extend_from_slice(&name);
                match self.enter() {
                    // Gone, replaced, or not readable for this server.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => {}
                    entered => entered?,
                }
            } else if !self.take(name)? {
                let last = self.page.entries.last();
                let prefix = format!("{}/", self.page.path);
                let cursor = last.and_then(|last| last.path.strip_prefix(&prefix));
                self.page.cursor = cursor.map(str::to_owned);
                break;
            }
        }
        Ok(self.page)
    }

    /// Adds an entry of the current directory to the page. Returns whether there was room.
    fn take(&mut self, name: Vec<u8>) -> Result<bool, Errno> {
        let path = [self.path.as_slice(), &name].concat();
        if !self.filter.lists(&path) {
            return Ok(true);
        }
        let Ok(path) = String::from_utf8(path) else {
            self.page.unnamed += 1;
            return Ok(true);
        };
        if self.page.entries.len() == self.query.limit {
            return Ok(false);
        }
        // Names from a directory have no NUL.
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        let names: Vec<_> = components(&self.path).collect();
        let directory = match self.descent.go(&names, pin_directory) {
            Err((_, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => return Ok(true),
            directory => directory.map_err(|(_, errno)| errno)?,
        };
        match describe(directory, &name, format!("{}/{path}", self.page.path)) {
            // It is gone.
            Err(Errno::NOENT) => {}
            entry => self.page.entries.push(entry?),
        }
        Ok(true)
    }

    /// Goes to the directory with the current path.
    fn enter(&mut self) -> Result<(), Errno> {
        self.levels.push(Level {
            names: VecDeque::new(),
            has_more: true,
            last: Vec::new(),
            path_length: self.path.len(),
        });
        self.fill().inspect_err(|_| drop(self.levels.pop()))
    }

    /// Reads the next names of the current directory.
    fn fill(&mut self) -> Result<(), Errno> {
        let names: Vec<_> = components(&self.path).collect();
        let directory = self
            .descent
            .go(&names, pin_directory)
            .map_err(|(_, errno)| errno)?;
        let is_deepest = self.levels.len() >= self.query.depth;
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        let cursor = self.query.cursor.as_deref().unwrap_or_default();
        // Without it, all that is here comes behind the cursor.
        let cursor = cursor.as_bytes().strip_prefix(self.path.as_slice());
        let mut next = Smallest::default();
        for entry in list(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || !self.filter.shows(name) {
                continue;
            }
            let is_behind = |key: &[u8]| *key > *level.last;
            if is_behind(name) && cursor.is_none_or(|cursor| name > cursor) {
                next.offer(name.to_vec());
            }
            if is_deepest || std::str::from_utf8(name).is_err() {
                continue;
            }
            let inside = [name, b"/"].concat();
            let holds_cursor = |cursor: &[u8]| cursor.starts_with(&inside) || *inside > *cursor;
            if is_behind(&inside)
                && cursor.is_none_or(holds_cursor)
                && file_type(directory, entry.file_name(), entry.file_type()) == Ok(FileType::Directory)
            {
                next.offer(inside);
            }
        }
        level.has_more = next.has_more;
        level.names = next.names.into_sorted_vec().into();
        Ok(())
    }
}

/// The smallest names, at most [`BATCH`].
#[derive(Default)]
struct Smallest {
    names: BinaryHeap<Vec<u8>>,
    /// Whether there were others.
    has_more: bool,
}

impl Smallest {
    fn offer(&mut self, name: Vec<u8>) {
        if self.names.len() < BATCH {
            return self.names.push(name);
        }
        self.has_more = true;
        if let Some(mut largest) = self.names.peek_mut()
            && name < *largest
        {
            *largest = name;
        }
    }
}
