//! The parts of an archive between the thread that makes them and the requests that fetch them.
//!
//! A window of the last parts is kept. It moves on when a later part is asked for, so that parts can
//! be on their way at the same time, and can be sent again.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use sandbox_protocol::Invalid;
use sandbox_protocol::snapshot::{Contents, PART_BYTES, PARTS_KEPT};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::Error;

/// The bytes of all parts of an archive that are held at a time: those that are kept, and the one
/// that is being filled.
pub(super) const HELD: u64 = (PARTS_KEPT as u64 + 1) * PART_BYTES;

/// The parts of an archive.
#[derive(Debug)]
pub(super) struct Parts(watch::Sender<Window>);

#[derive(Debug)]
struct Window {
    /// The number of the first part that is kept, from 1.
    first: u32,
    parts: VecDeque<Bytes>,
    end: Option<End>,
}

/// Why no more parts come.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// The archive is complete.
    Complete(Arc<Contents>),
    /// It cannot be completed. The text has the reason.
    Failed(String),
}

impl Parts {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Window {
            first: 1,
            parts: VecDeque::new(),
            end: None,
        }))
    }

    /// Part `number`, once it is complete, and whether it is the last one.
    ///
    /// Errors: 400 for a number that has no part or is too far ahead, 502 for a part that is not
    /// kept any longer and when the save has failed.
    pub(super) async fn get(&self, number: u32) -> Result<(Bytes, bool), Error> {
        let mut checked = Ok(());
        self.0.send_if_modified(|window| {
            checked = window.check(number);
            checked.is_ok() && window.advance(number)
        });
        checked?;
        let mut receiver = self.0.subscribe();
        let window = receiver.wait_for(|window| window.end.is_some() || window.last() >= number);
        // The sender is `self`.
        let window = window.await.map_err(|e| Error::Snapshot(e.to_string()))?;
        window.check(number)?;
        let part = window.get(number).cloned();
        let part = part.ok_or_else(|| Invalid::request(format!("there is no part {number}")))?;
        let is_last = window.end.is_some() && number == window.last();
        Ok((part, is_last))
    }

    /// The contents of the archive, once it is complete. Error: 502 when the save has failed.
    pub(super) async fn contents(&self) -> Result<Arc<Contents>, Error> {
        let mut receiver = self.0.subscribe();
        let window = receiver.wait_for(|window| window.end.is_some()).await;
        match window.map(|window| window.end.clone()) {
            Ok(Some(End::Complete(contents))) => Ok(contents),
            Ok(Some(End::Failed(why))) => Err(Error::Snapshot(why)),
            Ok(None) | Err(_) => Err(Error::Snapshot("the save has ended".into())),
        }
    }

    /// Ends the archive, if it has not ended. A complete one keeps its parts.
    pub(super) fn end(&self, end: End) {
        self.0.send_if_modified(|window| {
            let ends = window.end.is_none();
            if ends {
                window.end = Some(end);
            }
            ends
        });
    }

    /// Ends the archive and drops its parts.
    pub(super) fn abandon(&self, why: &str) {
        self.0.send_modify(|window| {
            window.end = Some(End::Failed(why.to_owned()));
            window.parts.clear();
        });
    }

    /// Adds a part, and `then` ends the archive. Waits until one fewer is kept. `runtime` is that of the
    /// requests. Error: the archive has ended.
    fn push(&self, part: Bytes, runtime: &Handle, then: Option<End>) -> io::Result<()> {
        let mut receiver = self.0.subscribe();
        let is_free = |window: &Window| window.end.is_some() || window.parts.len() < PARTS_KEPT as usize;
        let freed = runtime.block_on(receiver.wait_for(is_free)).map(drop);
        freed.map_err(io::Error::other)?;
        let is_taken = self.0.send_if_modified(|window| {
            let takes = window.end.is_none();
            if takes {
                window.parts.push_back(part);
                window.end = then;
            }
            takes
        });
        is_taken.then_some(()).ok_or(io::ErrorKind::BrokenPipe.into())
    }
}

impl Window {
    /// The number of the last part that is complete.
    fn last(&self) -> u32 {
        self.first + u32::try_from(self.parts.len()).unwrap_or(u32::MAX) - 1
    }

    fn get(&self, number: u32) -> Option<&Bytes> {
        let index = number.checked_sub(self.first)?;
        self.parts.get(usize::try_from(index).ok()?)
    }

    fn check(&self, number: u32) -> Result<(), Error> {
        if let Some(End::Failed(why)) = &self.end {
            return Err(Error::Snapshot(why.clone()));
        }
        if number == 0 {
            return Err(Invalid::request("parts are numbered from 1").into());
        }
        if number < self.first {
            return Err(Error::Snapshot(format!("part {number} is not kept any longer")));
        }
        if number > self.last().saturating_add(PARTS_KEPT) {
            return Err(Invalid::request(format!("part {number} is too far ahead")).into());
        }
        Ok(())
    }

    /// Drops the parts that a client no longer needs that asks for `number`. Returns whether there
    /// were any.
    fn advance(&mut self, number: u32) -> bool {
        let keep = (number + 1).saturating_sub(PARTS_KEPT);
        let before = self.first;
        while self.first < keep && self.parts.pop_front().is_some() {
            self.first += 1;
        }
        self.first > before
    }
}

/// Divides bytes into parts.
pub(super) struct PartSink {
    parts: Arc<Parts>,
    runtime: Handle,
    part: Vec<u8>,
}

impl PartSink {
    /// Fills `parts`, whose requests `runtime` serves.
    pub(super) fn new(parts: Arc<Parts>, runtime: Handle) -> Self {
        Self {
            parts,
            runtime,
            part: Vec::new(),
        }
    }

    /// Takes bytes. Waits while enough parts are kept. Errors: nobody wants them any more.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // A full part waits for more bytes: the last one must be known.
            if self.part.len() as u64 == PART_BYTES {
                let part = std::mem::take(&mut self.part);
                self.parts.push(part.into(), &self.runtime, None)?;
            }
            if self.part.capacity() == 0 {
                self.part
                    .reserve_exact(usize::try_from(PART_BYTES).unwrap_or(usize::MAX));
            }
            let free = usize::try_from(PART_BYTES).unwrap_or(usize::MAX) - self.part.len();
            let (now, later) = bytes.split_at_checked(free).unwrap_or((bytes, &[]));
            self.part.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Sends the last part and the end.
    pub(super) fn finish(mut self, contents: Contents) -> io::Result<()> {
        let part = std::mem::take(&mut self.part);
        let end = End::Complete(Arc::new(contents));
        self.parts.push(part.into(), &self.runtime, Some(end))
    }
}
