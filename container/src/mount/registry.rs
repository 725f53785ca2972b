//! The paths that have a mount, and those that are being mounted or unmounted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::Pid;
use sandbox_protocol::mount::MountPath;
use serde_json::value::RawValue;

use super::daemon::Daemon;
use super::point::Point;
use crate::quota::Permit;

/// A bucket that is mounted.
#[derive(Debug)]
pub struct Mounted {
    /// The directory it is mounted on.
    pub point: Arc<Point>,
    /// The s3fs that serves it.
    pub daemon: Daemon,
    /// Its permit in the quota of mounts.
    pub permit: Arc<Permit>,
    /// The request for it, with its credentials.
    pub request: Box<RawValue>,
}

/// Every path that has a mount or gets one.
#[derive(Debug, Default)]
pub struct Registry {
    slots: Arc<Mutex<Slots>>,
}

#[derive(Debug, Default)]
struct Slots {
    /// `None`: the path is being mounted or unmounted.
    by_path: BTreeMap<MountPath, Option<Mounted>>,
    closed: bool,
}

/// Exclusive access to a path. Dropping it leaves the path without a mount.
#[derive(Debug)]
pub struct Held {
    slots: Arc<Mutex<Slots>>,
    path: MountPath,
}

impl Registry {
    /// Holds `path` for a mount. Also returns the old mount there if its s3fs has ended. The error
    /// says what prevents a mount.
    pub fn hold_for_mount(&self, path: &MountPath) -> Result<(Held, Option<Mounted>), String> {
        let mut slots = lock(&self.slots);
        slots.open()?;
        for (other, slot) in &slots.by_path {
            if path.is_below(other) {
                return Err(format!("{path} lies inside the mount at {other}"));
            }
            if other.is_below(path) {
                return Err(format!("a bucket is mounted inside it, at {other}"));
            }
            if other == path {
                match slot {
                    None => return Err(under_way(path)),
                    Some(mounted) if !mounted.daemon.has_ended() => {
                        return Err(format!("a bucket is mounted at {path} already; unmount it first"));
                    }
                    Some(_) => {}
                }
            }
        }
        let dead = slots.by_path.insert(path.clone(), None).flatten();
        Ok((self.held(path), dead))
    }

    /// Holds `path` to unmount it, and returns the mount there. The error says why there is nothing
    /// to unmount.
    pub fn hold_for_unmount(&self, path: &MountPath) -> Result<(Held, Mounted), String> {
        let mut slots = lock(&self.slots);
        slots.open()?;
        let slot = slots
            .by_path
            .get_mut(path)
            .ok_or_else(|| format!("no bucket is mounted at {path}"))?;
        let mounted = slot.take().ok_or_else(|| under_way(path))?;
        Ok((self.held(path), mounted))
    }

    /// The processes that serve mounts.
    pub fn processes(&self) -> Vec<Pid> {
        let slots = lock(&self.slots);
        slots
            .by_path
            .values()
            .flatten()
            .map(|mounted| mounted.daemon.pid)
            .collect()
    }

    /// The paths that have a mount.
    pub fn paths(&self) -> Vec<String> {
        let slots = lock(&self.slots);
        let mounted = slots.by_path.iter().filter(|(_, slot)| slot.is_some());
        mounted.map(|(path, _)| path.to_string()).collect()
    }

    /// The requests for the mounts.
    pub fn requests(&self) -> Vec<Box<RawValue>> {
        let slots = lock(&self.slots);
        let mounted = slots.by_path.values().flatten();
        mounted.map(|mounted| mounted.request.clone()).collect()
    }

    /// The paths that have a mount, or are being mounted or unmounted.
    pub fn used_paths(&self) -> Vec<String> {
        lock(&self.slots)
            .by_path
            .keys()
            .map(MountPath::to_string)
            .collect()
    }

    /// Returns every mount and takes no more.
    pub fn close(&self) -> Vec<Mounted> {
        let mut slots = lock(&self.slots);
        slots.closed = true;
        slots.by_path.values_mut().filter_map(Option::take).collect()
    }

    fn held(&self, path: &MountPath) -> Held {
        Held {
            slots: Arc::clone(&self.slots),
            path: path.clone(),
        }
    }
}

impl Slots {
    fn open(&self) -> Result<(), String> {
        if self.closed {
            return Err("the sandbox is shutting down".into());
        }
        Ok(())
    }
}

impl Held {
    /// Registers `mounted` at this path. Returns it when the registry is closed.
    pub fn keep(self, mounted: Mounted) -> Option<Mounted> {
        let mut slots = lock(&self.slots);
        if slots.closed {
            return Some(mounted);
        }
        slots.by_path.insert(self.path.clone(), Some(mounted));
        None
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut slots = lock(&self.slots);
        if let Some(None) = slots.by_path.get(&self.path) {
            slots.by_path.remove(&self.path);
        }
    }
}

fn under_way(path: &MountPath) -> String {
    format!("another mount or unmount is under way at {path}")
}

fn lock(slots: &Mutex<Slots>) -> MutexGuard<'_, Slots> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
