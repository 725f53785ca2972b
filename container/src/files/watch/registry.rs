//! The watches of a boot, and their tasks.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use sandbox_protocol::FilePath;
use sandbox_protocol::limits::Limit;
use tokio::io::Interest;
use tokio::sync::{Notify, mpsc, oneshot};

use super::log::Log;
use super::task::Task;
use super::tree::{Identity, Tree, gone, identity};
use crate::error::Error;
use crate::files::list::open;
use crate::files::workspace::Workspace;
use crate::files::{blocking, entry_error};
use crate::off_runtime::OffRuntime;
use crate::process::watched::watch;
use crate::quota::{Permit, Quota};

/// The time that a watch stays without a client.
const LINGER: Duration = Duration::from_secs(600);

/// The watches of a boot, by path and whether they are recursive.
#[derive(Debug)]
pub(in crate::files) struct Watches {
    all: Mutex<HashMap<Key, Arc<Watch>>>,
    quota: Quota,
    /// Limits the directories of all watches.
    pub(super) directories: Quota,
}

/// The path of a watch, and whether the watch is recursive.
pub(super) type Key = (FilePath, bool);

/// A watch.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) log: Log,
    /// The directory that is watched.
    identity: Identity,
    uses: Mutex<Uses>,
    /// Given back when the watch ends.
    permit: Mutex<Option<Permit>>,
    /// Tells the task that the watch has ended.
    pub(super) ended: Notify,
    /// Asks the task to read what the kernel has, and to say when it has.
    drain: mpsc::Sender<oneshot::Sender<()>>,
}

#[derive(Debug)]
struct Uses {
    clients: usize,
    last: Instant,
}

/// A client of a watch, until it is dropped.
#[derive(Debug)]
pub(super) struct Client {
    watch: Arc<Watch>,
    path: FilePath,
}

impl Watches {
    /// No watches, at most `watches` with `directories` in all.
    pub(in crate::files) fn new(watches: Limit, directories: Limit) -> Self {
        Self {
            all: Mutex::default(),
            quota: Quota::new("watches", watches),
            directories: Quota::new("watched directories", directories),
        }
    }

    /// A client of the watch of `path`, which begins if there is none.
    pub(super) async fn client(
        workspace: &Arc<Workspace>,
        path: FilePath,
        is_recursive: bool,
    ) -> Result<Client, Error> {
        let watches = &workspace.watches;
        let key = (path.clone(), is_recursive);
        if let Some(watch) = watches.running(&key) {
            let found = {
                let (workspace, path) = (Arc::clone(workspace), path.clone());
                let find = move || {
                    let directory = open(&workspace.roots, &path)?;
                    identity(directory.as_fd()).map_err(|errno| entry_error(&path, errno, Error::Read))
                };
                blocking(Error::Read, find).await?
            };
            if found == watch.identity {
                return Ok(Client::new(watch, path));
            }
            watch.end_gone(&path);
        }
        let permit = watches.permit()?;
        let tree = {
            let (workspace, path) = (Arc::clone(workspace), path.clone());
            let build = move || {
                let directory = open(&workspace.roots, &path)?;
                Tree::new(&workspace, directory, path.clone(), is_recursive)
                    .map_err(|errno| watch_error(&workspace, &path, errno))
            };
            blocking(Error::Read, build).await?
        };
        let inotify = fcntl_dupfd_cloexec(tree.inotify(), 0).map_err(|e| Error::Read(e.into()))?;
        let readable = watch(inotify, Interest::READABLE).map_err(Error::Read)?;
        let (drain, drains) = mpsc::channel(1);
        let created = Arc::new(Watch {
            log: Log::new(),
            identity: tree.identity(),
            uses: Mutex::new(Uses {
                clients: 0,
                last: Instant::now(),
            }),
            permit: Mutex::new(Some(permit)),
            ended: Notify::new(),
            drain,
        });
        // Another client may have created the same watch meanwhile.
        let other = watches.insert(&key, &created);
        if let Some(other) = other {
            drop(OffRuntime::new(tree));
            return Ok(Client::new(other, path));
        }
        let client = Client::new(Arc::clone(&created), path);
        let task = Task {
            workspace: Arc::clone(workspace),
            watch: created,
            key,
            readable,
            drains,
        };
        tokio::spawn(task.run(tree));
        Ok(client)
    }

    fn running(&self, key: &Key) -> Option<Arc<Watch>> {
        let all = self.all();
        all.get(key).filter(|watch| !watch.log.has_ended()).cloned()
    }

    /// Adds a watch, unless there is one. Returns the one that there is.
    fn insert(&self, key: &Key, created: &Arc<Watch>) -> Option<Arc<Watch>> {
        let mut all = self.all();
        let other = all.get(key).filter(|watch| !watch.log.has_ended()).cloned();
        if other.is_none() {
            all.insert(key.clone(), Arc::clone(created));
        }
        other
    }

    /// A permit for one more watch. Ends the one that has had no client for the longest time, if
    /// there are too many.
    fn permit(&self) -> Result<Permit, Error> {
        let full = match self.quota.take() {
            Ok(permit) => return Ok(permit),
            Err(full) => full,
        };
        let mut all = self.all();
        let idle = all.iter().filter(|(_, watch)| watch.uses().clients == 0);
        let oldest = idle.min_by_key(|(_, watch)| watch.uses().last);
        let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
            return Err(full);
        };
        if let Some(watch) = all.remove(&oldest) {
            watch.end();
        }
        self.quota.take()
    }

    /// Removes a watch that has ended, unless another one has taken its place.
    pub(super) fn forget(&self, key: &Key, ended: &Arc<Watch>) {
        let mut all = self.all();
        if all.get(key).is_some_and(|watch| Arc::ptr_eq(watch, ended)) {
            all.remove(key);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, Arc<Watch>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn watch_error(workspace: &Workspace, path: &FilePath, errno: Errno) -> Error {
    match errno {
        // Limits of `sandboxd` and of the kernel.
        Errno::NOSPC | Errno::MFILE => workspace.watches.directories.limit_error(),
        errno => entry_error(path, errno, Error::Read),
    }
}

impl Watch {
    /// Ends the watch, as its path leads to another directory, or to none.
    pub(super) fn end_gone(&self, path: &FilePath) {
        self.log.push(vec![gone(path)]);
        self.end();
    }

    pub(super) fn end(&self) {
        self.log.end();
        self.ended.notify_one();
        drop(self.permit.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Whether a client waits for events.
    pub(super) fn has_client(&self) -> bool {
        self.uses().clients > 0
    }

    /// Whether there was no client for a long time.
    pub(super) fn is_abandoned(&self) -> bool {
        let uses = self.uses();
        uses.clients == 0 && uses.last.elapsed() > LINGER
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn new(watch: Arc<Watch>, path: FilePath) -> Self {
        watch.uses().clients += 1;
        Self { watch, path }
    }

    /// The events of the watch.
    pub(super) fn log(&self) -> &Log {
        &self.watch.log
    }

    /// The watched path.
    pub(super) fn path(&self) -> &str {
        self.path.as_str()
    }

    /// Waits until everything that the kernel has reported is in the log.
    pub(super) async fn drain(&self) {
        let (done, drained) = oneshot::channel();
        // Fails when the watch is over.
        if self.watch.drain.send(done).await.is_ok() {
            let _ = drained.await;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut uses = self.watch.uses();
        uses.clients -= 1;
        uses.last = Instant::now();
    }
}
