//! The threads of a search.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use grep_regex::RegexMatcher;
use rustix::fs::{FileType, Mode, OFlags, openat};
use rustix::io::Errno;
use sandbox_protocol::file::{SearchMatch, SearchRequest};
use sandbox_protocol::{FilePath, Invalid};
use tokio::sync::mpsc;

use super::ignored::Ignored;
use super::lines::{PART, search_file, searcher};
use super::{Found, size_of_match};
use crate::error::Error;
use crate::files::entry_error;
use crate::files::workspace::Workspace;
use crate::paths::{FILE, Last, Walk, reopen, reopen_directory};
use crate::threads::default_threads;
use crate::workspace::is_temporary;

/// The most files of a batch, and the most batches that wait for a thread.
const BATCH: usize = 16;

/// The longest time that matches wait for others of the same batch.
const WAIT: Duration = Duration::from_millis(50);

/// A file to search, and its path.
type Opened = (File, String);

/// A search that is ready to run.
pub(super) struct Search<'s> {
    request: &'s SearchRequest,
    matcher: RegexMatcher,
    ignored: Ignored,
    found: mpsc::Sender<Found>,
    start: Start,
}

enum Start {
    File(File),
    Directory(Walk),
}

impl<'s> Search<'s> {
    /// Opens what is searched. `found` gets the matches.
    pub(super) fn new(
        workspace: &Workspace,
        request: &'s SearchRequest,
        matcher: RegexMatcher,
        found: mpsc::Sender<Found>,
    ) -> Result<Self, Error> {
        let path = &request.path;
        let refused = |errno| entry_error(path, errno, Error::Read);
        let mut ignored = Ignored::new(request)?;
        let pinned = workspace.roots.find(path, Last::Follow).map_err(refused)?;
        let start = if pinned.metadata().map_err(Error::Read)?.is_file() {
            Start::File(reopen(&pinned, OFlags::RDONLY).map_err(refused)?)
        } else {
            let directory = match reopen_directory(pinned.as_fd()) {
                Err(Errno::NOTDIR) => {
                    let text = format!("{path} is neither a regular file nor a directory");
                    return Err(Invalid::request(text).into());
                }
                opened => opened.map_err(refused)?,
            };
            for parent in parents(workspace, path) {
                let directory = workspace.roots.find(&parent, Last::Follow);
                let directory = directory.and_then(|parent| reopen_directory(parent.as_fd()));
                if let Ok(directory) = directory {
                    ignored.enter(directory.as_fd(), Path::new(parent.as_str()), 0);
                }
            }
            ignored.enter(directory.as_fd(), Path::new(path.as_str()), 0);
            Start::Directory(Walk::new(directory).map_err(refused)?)
        };
        Ok(Self {
            request,
            matcher,
            ignored,
            found,
            start,
        })
    }

    /// Searches until the end, or until nobody receives the matches any more.
    pub(super) fn run(self) -> Result<(), Error> {
        let Self {
            request,
            matcher,
            ignored,
            found,
            start,
        } = self;
        let context = usize::try_from(request.context).unwrap_or(usize::MAX);
        let search = |searcher: &mut _, outbox: &Outbox<'_>, (file, path): Opened| {
            if !found.is_closed() {
                let send = |matches| outbox.add(matches);
                search_file(searcher, &matcher, &file, &path, context, &send);
            }
        };
        match start {
            Start::File(file) => {
                let outbox = Outbox::new(&found);
                search(&mut searcher(context), &outbox, (file, request.path.to_string()));
                outbox.flush();
                Ok(())
            }
            Start::Directory(walk) => {
                let (sender, batches) = sync_channel(BATCH);
                let batches = Mutex::new(batches);
                let work = || {
                    let mut searcher = searcher(context);
                    // Also when nobody receives the matches: the walk must not wait for a thread.
                    let outbox = Outbox::new(&found);
                    while let Some(batch) = next(&batches) {
                        for opened in batch {
                            search(&mut searcher, &outbox, opened);
                        }
                        outbox.flush();
                    }
                };
                thread::scope(|scope| {
                    // Dropped at the end of the walk, which ends the threads.
                    let sender = sender;
                    for _ in 0..default_threads() {
                        let thread = thread::Builder::new().name("search".into());
                        thread.spawn_scoped(scope, work).map_err(Error::Read)?;
                    }
                    let walked = open_files(walk, &request.path, ignored, &sender, &|| found.is_closed());
                    walked.map_err(|errno| entry_error(&request.path, errno, Error::Read))
                })
            }
        }
    }
}

/// The matches of one thread that are not sent yet. A message for each file would take longer than
/// its search.
struct Outbox<'o> {
    found: &'o mpsc::Sender<Found>,
    matches: RefCell<Vec<SearchMatch>>,
    /// About the bytes of the matches.
    size: Cell<usize>,
    /// The time of the last message.
    sent: Cell<Instant>,
}

impl<'o> Outbox<'o> {
    fn new(found: &'o mpsc::Sender<Found>) -> Self {
        Self {
            found,
            matches: RefCell::default(),
            size: Cell::new(0),
            sent: Cell::new(Instant::now()),
        }
    }

    /// Adds matches, and sends them when they are many or had to wait. Returns whether somebody
    /// receives them.
    fn add(&self, matches: Vec<SearchMatch>) -> bool {
        let size: usize = matches.iter().map(size_of_match).sum();
        self.size.set(self.size.get() + size);
        self.matches.borrow_mut().extend(matches);
        if self.size.get() < PART && self.sent.get().elapsed() < WAIT {
            return true;
        }
        self.flush()
    }

    fn flush(&self) -> bool {
        self.size.set(0);
        self.sent.set(Instant::now());
        let matches = self.matches.take();
        // Fails when the client left.
        matches.is_empty() || self.found.blocking_send(Ok(matches)).is_ok()
    }
}

fn next(batches: &Mutex<Receiver<Vec<Opened>>>) -> Option<Vec<Opened>> {
    let batches = batches.lock().unwrap_or_else(PoisonError::into_inner);
    batches.recv().ok()
}

/// The directories above `path`, from its root on.
fn parents(workspace: &Workspace, path: &FilePath) -> Vec<FilePath> {
    let mut parents = Vec::new();
    let mut rest = path.as_str();
    while rest.len() > path.root().len() {
        let Some((parent, _)) = rest.rsplit_once('/') else {
            break;
        };
        rest = parent;
        parents.extend(FilePath::parse("path", parent, &workspace.file_roots));
    }
    parents.reverse();
    parents
}

/// Opens the files of a tree that are not ignored, and sends them in batches.
fn open_files(
    mut walk: Walk,
    root: &FilePath,
    mut ignored: Ignored,
    batches: &SyncSender<Vec<Opened>>,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(), Errno> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut path = PathBuf::new();
    while !is_cancelled() {
        let Some(step) = walk.next() else { break };
        let step = step?;
        let depth = step.depth;
        ignored.leave(depth);
        let name = step.name.to_bytes();
        // A path that is not UTF-8 cannot be in JSON.
        let Ok(below) = std::str::from_utf8(step.path) else {
            continue;
        };
        path.clear();
        path.push(root.as_str());
        path.push(below);
        let file_type = step.file_type()?;
        let is_directory = file_type == FileType::Directory;
        if is_temporary(name) || ignored.has(&path, name, is_directory) {
            continue;
        }
        if is_directory {
            walk.enter()?;
            if let Some(directory) = walk.directory() {
                ignored.enter(directory, &path, depth);
            }
        } else if file_type == FileType::RegularFile {
            let file = match openat(step.directory, step.name, FILE, Mode::empty()) {
                Err(Errno::NOENT | Errno::LOOP | Errno::ACCESS | Errno::NXIO) => continue,
                file => File::from(file?),
            };
            if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                batch.push((file, path.to_string_lossy().into_owned()));
            }
            if batch.len() == BATCH {
                // Fails when no thread is left, after a panic.
                batches.send(std::mem::take(&mut batch)).map_err(|_| Errno::IO)?;
            }
        }
    }
    let _ = batches.send(batch);
    Ok(())
}
