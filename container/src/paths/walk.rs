//! A walk through a tree of any depth, with a bounded number of open directories.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, DirEntry, FileType, Mode, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use super::{DIRECTORY, Descent, OPEN, components, file_type, list, pin_directory};

/// A walk, which goes into a directory only when it is told to. An entry comes before those below
/// it; the order is otherwise that of the file system. Other mounts are entered.
///
/// Every directory is opened by its name in the one above, through no link. Directories far above
/// the current one are closed meanwhile, and opened again by their names. One that was moved or
/// removed meanwhile ends there.
pub(crate) struct Walk {
    /// For directories that were closed.
    descent: Descent,
    levels: Vec<Level>,
    /// The path of the current entry below the root.
    path: Vec<u8>,
    entry: Option<DirEntry>,
}

/// A directory whose entries are being read.
struct Level {
    /// `None` while the walk is more than [`OPEN`] levels below.
    entries: Option<Dir>,
    /// The kernel's offset to continue reading at.
    offset: i64,
    /// The length of the directory's path, its slash included.
    path_length: usize,
}

/// An entry of the tree.
pub(crate) struct Step<'w> {
    /// The directory that it is in.
    pub directory: BorrowedFd<'w>,
    /// Its name there.
    pub name: &'w CStr,
    /// Its path below the root.
    pub path: &'w [u8],
    /// Its type, as far as the directory has it.
    listed_type: FileType,
    /// The number of directories above it, the root included.
    pub depth: usize,
}

impl Step<'_> {
    /// Its type; unknown when it is gone.
    pub(crate) fn file_type(&self) -> Result<FileType, Errno> {
        file_type(self.directory, self.name, self.listed_type)
    }
}

impl Walk {
    /// A walk through the directory `root`.
    pub(crate) fn new(root: OwnedFd) -> Result<Self, Errno> {
        let entries = list(root.as_fd())?;
        Ok(Self {
            descent: Descent::new(root),
            levels: vec![Level::new(entries, 0)],
            path: Vec::new(),
            entry: None,
        })
    }

    /// The next entry; `None` at the end.
    ///
    /// Errors: a directory cannot be read. The walk goes on behind it.
    pub(crate) fn next(&mut self) -> Option<Result<Step<'_>, Errno>> {
        let entry = loop {
            let level = self.levels.last_mut()?;
            self.path.truncate(level.path_length);
            if level.entries.is_none() {
                level.entries = reopen(&mut self.descent, &self.path, level.offset);
            }
            match level.entries.as_mut().and_then(Dir::read) {
                None => drop(self.levels.pop()),
                Some(Err(errno)) => {
                    self.levels.pop();
                    return Some(Err(errno));
                }
                Some(Ok(entry)) => {
                    level.offset = entry.offset();
                    if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                        break entry;
                    }
                }
            }
        };
        self.path.extend_from_slice(entry.file_name().to_bytes());
        let depth = self.levels.len();
        let directory = self.levels.last().and_then(|level| level.entries.as_ref())?;
        let directory = match directory.fd() {
            Ok(directory) => directory,
            Err(errno) => return Some(Err(errno)),
        };
        let entry = self.entry.insert(entry);
        Some(Ok(Step {
            directory,
            name: entry.file_name(),
            path: &self.path,
            listed_type: entry.file_type(),
            depth,
        }))
    }

    /// The directory whose entries are next.
    pub(crate) fn directory(&self) -> Option<BorrowedFd<'_>> {
        let level = self.levels.last()?;
        level.entries.as_ref()?.fd().ok()
    }

    /// Goes into the directory that came last: its entries are next. Nothing happens when it is a
    /// directory no more, or may not be read.
    pub(crate) fn enter(&mut self) -> Result<(), Errno> {
        let (Some(level), Some(entry)) = (self.levels.last(), &self.entry) else {
            return Ok(());
        };
        let Some(directory) = &level.entries else {
            return Ok(());
        };
        let opened = match openat(directory.fd()?, entry.file_name(), DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Ok(()),
            opened => Dir::new(opened?)?,
        };
        self.path.push(b'/');
        self.levels.push(Level::new(opened, self.path.len()));
        let above = self.levels.len().checked_sub(OPEN + 1);
        if let Some(above) = above.and_then(|above| self.levels.get_mut(above)) {
            above.entries = None;
        }
        Ok(())
    }
}

impl Level {
    fn new(entries: Dir, path_length: usize) -> Self {
        Self {
            entries: Some(entries),
            offset: 0,
            path_length,
        }
    }
}

/// Opens a directory of the tree again. `None`: it is gone.
fn reopen(descent: &mut Descent, path: &[u8], offset: i64) -> Option<Dir> {
    let names: Vec<_> = components(path).collect();
    let directory = descent.go(&names, pin_directory).ok()?;
    let mut entries = list(fcntl_dupfd_cloexec(directory, 0).ok()?.as_fd()).ok()?;
    entries.seek(offset).ok()?;
    Some(entries)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_tree_deeper_than_the_open_directories_is_walked_whole() {
        let root = tempfile::tempdir().unwrap();
        let mut directory = root.path().to_owned();
        let mut expected = BTreeSet::new();
        let mut path = String::new();
        for level in 0..3 * OPEN {
            for name in ["a", "z"] {
                fs::write(directory.join(name), "").unwrap();
                expected.insert(format!("{path}{name}"));
            }
            symlink("..", directory.join("up")).unwrap();
            expected.insert(format!("{path}up"));
            let name = format!("d{level}");
            expected.insert(format!("{path}{name}"));
            path = format!("{path}{name}/");
            directory = directory.join(name);
            fs::create_dir(&directory).unwrap();
        }
        let opened = rustix::fs::open(root.path(), DIRECTORY, Mode::empty()).unwrap();
        let mut walk = Walk::new(opened).unwrap();
        let mut found = BTreeSet::new();
        while let Some(step) = walk.next() {
            let step = step.unwrap();
            let path = String::from_utf8(step.path.to_vec()).unwrap();
            assert_eq!(path.matches('/').count() + 1, step.depth);
            let is_directory = step.file_type().unwrap() == FileType::Directory;
            assert!(found.insert(path));
            if is_directory {
                walk.enter().unwrap();
            }
        }
        assert_eq!(found, expected);
    }
}
