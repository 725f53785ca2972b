//! The state directory: what sandboxes keep on this machine's disk, and how it goes away again.
//!
//! ```text
//! lock                  locked while a sandbox-local uses the directory; holds its process id
//! sandboxes/ID/         one sandbox's own directories
//! sandboxes/ID/process  the process that runs it, as `Identity`
//! trash/N               what is being deleted
//! ```
//!
//! A sandbox's directory is renamed into the trash, which takes no time, and deleted there in the background.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use sandbox_protocol::SandboxId;
use tokio::task::JoinSet;

use crate::Error;
use crate::bubblewrap::OWN_DIRECTORIES;
use crate::process::Identity;

/// A state directory that belongs to this process.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Released by the kernel when this process ends, however it ends.
    _lock: File,
    trashed: AtomicU64,
    deletions: Mutex<JoinSet<()>>,
}

impl StateDir {
    /// Takes the directory `path`, made if it is not there, and removes what a killed predecessor left in it: first
    /// its processes, then its files.
    ///
    /// Errors: [`Error::Locked`] while another process has it, [`Error::StateDir`] when it cannot be used.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let make = |dir: &Path| DirBuilder::new().recursive(true).mode(0o700).create(dir);
        make(path).map_err(|e| unusable(path, e))?;
        // bubblewrap is told paths, and other processes may have another working directory.
        let path = path.canonicalize().map_err(|e| unusable(path, e))?;
        let state = Self {
            _lock: lock(&path)?,
            path,
            trashed: AtomicU64::new(0),
            deletions: Mutex::default(),
        };
        state.remove_leftovers().await?;
        for name in ["sandboxes", "trash"] {
            make(&state.path.join(name)).map_err(|e| unusable(&state.path, e))?;
        }
        Ok(state)
    }

    /// Where the directories of a sandbox lie.
    pub fn sandbox(&self, id: &SandboxId) -> PathBuf {
        self.path.join("sandboxes").join(id.as_str())
    }

    /// Makes the directories of a sandbox that has none, empty, and gives the path of the one that holds them.
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

    /// Writes down which process runs the sandbox, for a successor.
    pub fn record(&self, id: &SandboxId, process: &Identity) -> io::Result<()> {
        fs::write(process_file(&self.sandbox(id)), serde_json::to_vec(process)?)
    }

    /// Removes the directories of a sandbox, if there are any: at once from their place, soon from the disk.
    pub fn discard(&self, id: &SandboxId) {
        let trash = self.path.join("trash");
        let target = trash.join(self.trashed.fetch_add(1, Ordering::Relaxed).to_string());
        match fs::rename(self.sandbox(id), &target) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => return tracing::error!(sandbox = %id, "its directory could not be moved away: {e}"),
        }
        let Ok(mut deletions) = self.deletions.lock() else {
            return;
        };
        while deletions.try_join_next().is_some() {}
        deletions.spawn_blocking(move || {
            if let Err(e) = delete(&target) {
                tracing::error!("{} could not be deleted: {e}", target.display());
            }
        });
    }

    /// Waits for the deletions that are under way and removes everything but the lock file. (To remove that could
    /// take it from a successor who has opened it already.)
    pub async fn clear(&self) {
        let deletions = self.deletions.lock().map(|mut set| std::mem::take(&mut *set));
        if let Ok(mut deletions) = deletions {
            while deletions.join_next().await.is_some() {}
        }
        for name in ["sandboxes", "trash"] {
            if let Err(e) = delete(&self.path.join(name)) {
                tracing::error!("{name} could not be deleted: {e}");
            }
        }
    }

    async fn remove_leftovers(&self) -> Result<(), Error> {
        let sandboxes = self.path.join("sandboxes");
        let entries = match fs::read_dir(&sandboxes) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e),
        };
        for entry in entries.map_err(|e| unusable(&sandboxes, e))? {
            tracing::info!(
                "removing what a killed sandbox-local left: {}",
                entry.path().display()
            );
            end_recorded(&entry.path()).await;
        }
        for name in ["sandboxes", "trash"] {
            let path = self.path.join(name);
            delete(&path).map_err(|e| unusable(&path, e))?;
        }
        Ok(())
    }
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

/// Ends the process that a sandbox's directory names, if that very process still runs, and with it the whole sandbox.
async fn end_recorded(directory: &Path) {
    let recorded = fs::read(process_file(directory))
        .ok()
        .and_then(|json| serde_json::from_slice::<Identity>(&json).ok());
    if let Some(process) = recorded.and_then(|identity| identity.open()) {
        process.signal(Signal::KILL);
        let _ = process.ended().await;
    }
}

/// Deletes a directory with everything in it. It is no error when there is none.
fn delete(path: &Path) -> io::Result<()> {
    let result = match fs::remove_dir_all(path) {
        // A command may have taken the right to write from its own directories.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path).and_then(|()| fs::remove_dir_all(path))
        }
        result => result,
    };
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn open_up(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}
