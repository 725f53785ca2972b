//! The state directory: the files of sandboxes on this machine's disk, and their removal.
//!
//! ```text
//! lock                  locked while a sandbox-local uses the directory; holds its process id
//! sandboxes/ID/         one sandbox's own directories
//! sandboxes/ID/process  the process that runs it, as `Identity`
//! trash/NAME            a directory that is being deleted
//! ```
//!
//! A sandbox's directory is renamed into the trash, which takes no time, and deleted there in the
//! background. A directory that cannot be deleted stays in the trash, blocks no start, and is
//! deleted by the next `sandbox-local`.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remove_tree::remove_tree;
use rustix::process::Signal;
use sandbox_protocol::SandboxId;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::Error;
use crate::bubblewrap::OWN_DIRECTORIES;
use crate::process::Identity;

/// The number of directories that are deleted at a time.
const PARALLEL_DELETIONS: usize = 4;
/// The time that a killed process of a predecessor has to end, before this process goes on without
/// waiting.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for which the end of this process waits for deletions. The next `sandbox-local` deletes
/// the rest.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(10);

/// A state directory that belongs to this process.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Released by the kernel when this process ends, however it ends.
    _lock: File,
    deletions: Mutex<JoinSet<()>>,
    deletion_permits: Arc<Semaphore>,
}

impl StateDir {
    /// Opens the directory `path`, created if it does not exist, kills the sandboxes that a killed
    /// predecessor left running and deletes their files in the background.
    ///
    /// Errors: [`Error::Locked`] while another process has it, [`Error::StateDir`] when it cannot
    /// be used.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let make = |dir: &Path| DirBuilder::new().recursive(true).mode(0o700).create(dir);
        make(path).map_err(|e| unusable(path, e))?;
        // Absolute, because bubblewrap and other processes may have another working directory.
        let path = path.canonicalize().map_err(|e| unusable(path, e))?;
        let state = Self {
            _lock: lock(&path)?,
            path,
            deletions: Mutex::default(),
            deletion_permits: Arc::new(Semaphore::new(PARALLEL_DELETIONS)),
        };
        for directory in [state.sandboxes(), state.trash()] {
            make(&directory).map_err(|e| unusable(&directory, e))?;
        }
        for name in names(&state.sandboxes())? {
            let directory = state.sandboxes().join(name);
            tracing::info!(
                "removing what a killed sandbox-local left: {}",
                directory.display()
            );
            end_recorded(&directory).await;
            state.move_to_trash(&directory);
        }
        for name in names(&state.trash())? {
            state.delete_in_background(name);
        }
        Ok(state)
    }

    fn sandboxes(&self) -> PathBuf {
        self.path.join("sandboxes")
    }

    fn trash(&self) -> PathBuf {
        self.path.join("trash")
    }

    /// The path of the directories of a sandbox.
    pub fn sandbox(&self, id: &SandboxId) -> PathBuf {
        self.sandboxes().join(id.as_str())
    }

    /// Creates the empty directories of a sandbox that has none, and returns the path of their
    /// parent.
    pub fn create(&self, id: &SandboxId) -> io::Result<PathBuf> {
        let directory = self.sandbox(id);
        DirBuilder::new().mode(0o700).create(&directory)?;
        for (name, _, mode) in OWN_DIRECTORIES {
            let own = directory.join(name);
            fs::create_dir(&own)?;
            fs::set_permissions(&own, Permissions::from_mode(mode))?;
        }
        Ok(directory)
    }

    /// Stores the identity of the process that runs the sandbox, for a successor.
    pub fn record(&self, id: &SandboxId, process: &Identity) -> io::Result<()> {
        fs::write(process_file(&self.sandbox(id)), serde_json::to_vec(process)?)
    }

    /// Removes the directories of a sandbox, if there are any: moves them away at once, and deletes
    /// them in the background.
    pub fn discard(&self, id: &SandboxId) {
        if let Some(name) = self.move_to_trash(&self.sandbox(id)) {
            self.delete_in_background(name);
        }
    }

    /// Waits for the deletions that are under way, at most [`CLEAR_TIMEOUT`], and removes all but
    /// the lock file, which a successor may already have opened.
    pub async fn clear(&self) {
        let deletions = self.deletions.lock().map(|mut set| std::mem::take(&mut *set));
        let mut deletions = deletions.unwrap_or_default();
        let all = async { while deletions.join_next().await.is_some() {} };
        if timeout(CLEAR_TIMEOUT, all).await.is_err() {
            tracing::warn!("{} is left to the next sandbox-local", self.trash().display());
            return;
        }
        for directory in [self.sandboxes(), self.trash()] {
            if let Err(e) = fs::remove_dir(&directory) {
                tracing::error!("{} could not be deleted: {e}", directory.display());
            }
        }
    }

    /// Moves a directory into the trash. Returns its name there; `None` when it does not exist, or
    /// cannot be moved.
    fn move_to_trash(&self, directory: &Path) -> Option<OsString> {
        let name = format!("{:016x}", getrandom::u64().ok()?);
        match fs::rename(directory, self.trash().join(&name)) {
            Ok(()) => return Some(name.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => tracing::error!("{} could not be moved away: {e}", directory.display()),
        }
        None
    }

    /// Deletes `name` in the trash.
    fn delete_in_background(&self, name: OsString) {
        let (trash, permits) = (self.trash(), Arc::clone(&self.deletion_permits));
        let Ok(mut deletions) = self.deletions.lock() else {
            return;
        };
        while deletions.try_join_next().is_some() {}
        deletions.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let path = trash.join(&name);
            let deleted = spawn_blocking(move || remove_tree(File::open(trash)?, name)).await;
            if let Err(e) = deleted.map_err(io::Error::other).flatten() {
                tracing::error!("{} could not be deleted: {e}", path.display());
            }
        });
    }
}

/// The names of the entries of a directory.
fn names(directory: &Path) -> Result<Vec<OsString>, Error> {
    let entries = fs::read_dir(directory).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()
    });
    entries.map_err(|e| unusable(directory, e))
}

fn unusable(path: &Path, source: io::Error) -> Error {
    Error::StateDir {
        path: path.to_owned(),
        source,
    }
}

fn process_file(directory: &Path) -> PathBuf {
    directory.join("process")
}

fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| unusable(&path, e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            return Err(Error::Locked {
                path: directory.to_owned(),
                owner,
            });
        }
        Err(fs::TryLockError::Error(e)) => return Err(unusable(&path, e)),
    }
    file.set_len(0)
        .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
        .map_err(|e| unusable(&path, e))?;
    Ok(file)
}

/// Kills the process that is recorded in a sandbox's directory, if that same process still runs,
/// and so the whole sandbox.
async fn end_recorded(directory: &Path) {
    let recorded = fs::read(process_file(directory))
        .ok()
        .and_then(|json| serde_json::from_slice::<Identity>(&json).ok());
    if let Some(process) = recorded.and_then(|identity| identity.open()) {
        process.signal(Signal::KILL);
        if timeout(KILL_TIMEOUT, process.ended()).await.is_err() {
            tracing::error!("a process of {} does not end", directory.display());
        }
    }
}
