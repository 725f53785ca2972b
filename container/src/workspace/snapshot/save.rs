//! A save: from its start to the last request for its archive.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, openat};
use sandbox_protocol::FilePath;
use sandbox_protocol::snapshot::{Contents, SaveRequest};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::super::Archives;
use super::super::exclude::Excludes;
use super::super::writer::Stop;
use super::parts::{End, PartSink, Parts};
use super::walk::{Listed, list_tree};
use super::{archive, frames, index, parts};
use crate::error::Error;
use crate::files;
use crate::paths::DIRECTORY;
use crate::quota::BufferPermit;

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
    directory: OwnedFd,
    listed: Listed,
}

impl Begun {
    /// Lists a directory. `None`: it has the version that the request names. It blocks.
    pub(super) fn list(
        archives: &Archives,
        dir: &FilePath,
        request: &SaveRequest,
    ) -> Result<Option<Self>, Error> {
        let failed = |e: std::io::Error| Error::Snapshot(e.to_string());
        let pinned = match files::open(&archives.roots, dir) {
            Err(Error::Read(e)) => Err(failed(e)),
            opened => opened,
        }?;
        let open = || openat(&pinned, ".", DIRECTORY, Mode::empty()).map_err(|errno| failed(errno.into()));
        let excludes = Excludes::new(&request.excludes);
        let listed = list_tree(open()?, &excludes, |_| ()).map_err(failed)?;
        let is_unchanged = request.unless.as_ref() == Some(&listed.version);
        let begun = Self {
            directory: open()?,
            listed,
        };
        Ok((!is_unchanged).then_some(begun))
    }

    /// The bytes of memory that the archive takes until it is fetched.
    fn held(&self) -> u64 {
        let list = &self.listed.list;
        let index = list.count.saturating_mul(index::HELD);
        let archive = list.bytes.saturating_add(index);
        list.held() + index + frames::HELD + archive.min(parts::HELD)
    }

    /// Starts a thread that makes the archive. The save holds `exclusive` until it ends.
    pub(super) fn start(
        self,
        archives: &Archives,
        id: String,
        exclusive: OwnedSemaphorePermit,
    ) -> Result<Arc<Save>, Error> {
        let save = Arc::new(Save {
            id,
            parts: Arc::new(Parts::new()),
            requests: watch::Sender::new((0, Instant::now())),
            _exclusive: exclusive,
            _buffer: archives.buffers.take(self.held())?,
        });
        let parts = Arc::clone(&save.parts);
        let sink = PartSink::new(Arc::clone(&parts), Handle::current());
        let contents = Contents {
            version: self.listed.version.clone(),
            ..Contents::default()
        };
        std::thread::Builder::new()
            .name("save".into())
            .spawn(move || {
                // Without an error, the end was sent with the last part, or nobody wants it.
                if let Err(Stop::Failed(e)) =
                    archive::write(self.directory, &self.listed.list, contents, sink)
                {
                    tracing::warn!(error = %e, "a save broke off");
                    parts.end(End::Failed(e.to_string()));
                }
            })
            .map_err(|e| Error::Snapshot(e.to_string()))?;
        Ok(save)
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
