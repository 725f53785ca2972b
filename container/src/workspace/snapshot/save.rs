//! A save: from its start to the last request for its archive.

use std::io;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{Mode, openat};
use rustix::process::{getegid, geteuid};
use sandbox_protocol::FilePath;
use sandbox_protocol::snapshot::{Contents, HookResult, SaveRequest};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::super::Archives;
use super::super::exclude::Excludes;
use super::super::staging::Staging;
use super::super::writer::Stop as Broken;
use super::archive::Source;
use super::parts::{End, PartSink, Parts};
use super::volatile_files::{Copies, VolatileFiles};
use super::walk::list_tree;
use super::{Snapshots, archive, frames, index, parts};
use crate::error::Error;
use crate::files;
use crate::paths::DIRECTORY;
use crate::quota::BufferPermit;

/// The time of the stop after which no more files are copied because they were changed lately.
const RECENT_COPIES: Duration = Duration::from_millis(500);

/// The longest tick of a kernel's clock.
const TICK: Duration = Duration::from_millis(10);

/// A save of which parts are fetched.
#[derive(Debug)]
pub(super) struct Save {
    pub id: String,
    pub parts: Arc<Parts>,
    /// The number of requests that are under way, and the time at which the last one ended.
    requests: watch::Sender<(usize, Instant)>,
    _exclusive: OwnedSemaphorePermit,
    /// The buffer permit of the parts.
    _buffer: BufferPermit,
}

/// A request for a part of a save, until it is dropped.
#[derive(Debug)]
pub(super) struct Asked(Arc<Save>);

/// A directory that is listed, and is to be archived.
pub(super) struct Begun {
    source: Source,
    version: String,
    hook: Option<HookResult>,
}

impl Begun {
    /// Lists a directory, and copies what is being changed in it, while all processes are stopped.
    /// `None`: it has the version that the request names. It blocks.
    pub(super) fn list(
        snapshots: &Snapshots,
        dir: &FilePath,
        request: &SaveRequest,
        hook: Option<HookResult>,
    ) -> Result<Option<Self>, Error> {
        let failed = |e: io::Error| Error::Snapshot(e.to_string());
        let archives = &snapshots.archives;
        let pinned = match files::open(&archives.roots, dir) {
            Err(Error::Read(e)) => Err(failed(e)),
            opened => opened,
        }?;
        let open = || openat(&pinned, ".", DIRECTORY, Mode::empty()).map_err(|errno| failed(errno.into()));
        let excludes = Excludes::new(&request.excludes);
        // Hydrates come before or after.
        let _merging = archives.turn()?;
        let stop = snapshots.stop();
        let listed_at = now();
        let mut volatile = VolatileFiles::new(snapshots.written(&stop));
        let listed = list_tree(open()?, &excludes, |record| volatile.visit(record)).map_err(failed)?;
        if request.unless.as_ref() == Some(&listed.version) {
            return Ok(None);
        }
        let may_copy = |is_open| stop.holds() && (is_open || stop.elapsed() < RECENT_COPIES);
        let copies = match Staging::create(&archives.staging_parent).and_then(|staging| staging.file()) {
            Ok(file) => volatile.copy(open()?, file, &may_copy),
            // The disk is full, and the directory is saved all the same.
            Err(_) => Copies::default(),
        };
        wait_for_tick(listed.newest);
        tracing::debug!(
            stopped_us = stop.elapsed().as_micros(),
            entries = listed.list.count,
            "listed"
        );
        drop(stop);
        Ok(Some(Self {
            source: Source {
                root: open()?,
                list: listed.list,
                copies,
                listed_at,
            },
            version: listed.version,
            hook,
        }))
    }

    /// The bytes of memory that the archive takes until it is fetched.
    fn held(&self) -> u64 {
        let list = &self.source.list;
        let index = list.count.saturating_mul(index::HELD);
        let archive = list.bytes.saturating_add(index);
        list.held() + list.linked + index + frames::HELD + archive.min(parts::HELD)
    }

    /// Starts a thread that makes the archive. The save holds `exclusive` until it ends.
    pub(super) fn start(
        self,
        archives: &Archives,
        id: String,
        exclusive: OwnedSemaphorePermit,
    ) -> Result<Arc<Save>, Error> {
        let buffer = archives.buffers.take(self.held())?;
        let save = Arc::new(Save {
            id,
            parts: Arc::new(Parts::new()),
            requests: watch::Sender::new((0, Instant::now())),
            _exclusive: exclusive,
            _buffer: buffer,
        });
        let parts = Arc::clone(&save.parts);
        let sink = PartSink::new(Arc::clone(&parts), Handle::current());
        let owner = archives.owner.unwrap_or_else(|| (geteuid(), getegid()));
        let contents = Contents {
            uid: owner.0.as_raw(),
            gid: owner.1.as_raw(),
            version: self.version,
            hook: self.hook,
            ..Contents::default()
        };
        std::thread::Builder::new()
            .name("save".into())
            .spawn(move || {
                // Without an error, the end was sent with the last part, or nobody wants it.
                if let Err(Broken::Failed(e)) = archive::write(self.source, contents, sink) {
                    tracing::warn!(error = %e, "a save broke off");
                    parts.end(End::Failed(e.to_string()));
                }
            })
            .map_err(|e| Error::Snapshot(e.to_string()))?;
        Ok(save)
    }
}

/// The time now: seconds since 1970, and nanoseconds.
fn now() -> (i64, u32) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    (
        i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        now.subsec_nanos(),
    )
}

/// Waits until a change gets a later ctime than the `newest` one: the clock of file systems may be
/// behind by a tick.
fn wait_for_tick(newest: (i64, u32)) {
    let (seconds, nanoseconds) = newest;
    let newest = Duration::new(u64::try_from(seconds).unwrap_or(0), nanoseconds);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left = (newest + TICK).saturating_sub(now.unwrap_or_default());
    // Not for a time in the future.
    if left <= TICK {
        sleep(left);
    }
}

impl Save {
    /// Begins a request.
    pub(super) fn asked(self: &Arc<Self>) -> Asked {
        self.requests.send_modify(|(count, _)| *count += 1);
        Asked(Arc::clone(self))
    }

    /// Returns when nothing was asked for this time, or the save has ended. The future does not keep
    /// the save.
    pub(super) fn idle(&self, limit: Duration) -> impl Future<Output = ()> + Send + use<> {
        let mut requests = self.requests.subscribe();
        async move {
            loop {
                let (count, last) = *requests.borrow_and_update();
                tokio::select! {
                    changed = requests.changed() => if changed.is_err() {
                        return;
                    },
                    () = tokio::time::sleep_until((last + limit).into()), if count == 0 => return,
                }
            }
        }
    }
}

impl Asked {
    /// The save.
    pub(super) fn save(&self) -> &Save {
        &self.0
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.requests.send_modify(|(count, last)| {
            *count -= 1;
            *last = Instant::now();
        });
    }
}
