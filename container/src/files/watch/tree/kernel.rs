//! Events as the kernel has them: names in watched directories.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::inotify::{ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// The events of a watched directory.
pub(super) const WATCHED: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// The size of the buffer for events of the kernel, in bytes.
const BUFFER: usize = 64 * 1024;

/// An event of the kernel.
pub(super) struct Raw {
    pub watch: i32,
    pub flags: ReadFlags,
    pub cookie: u32,
    pub name: Vec<u8>,
}

/// Reads a buffer of events that the kernel has; none when it has none.
pub(super) fn read(inotify: &OwnedFd) -> Vec<Raw> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut reader = Reader::new(inotify, &mut buffer);
    let mut events = Vec::new();
    loop {
        match reader.next() {
            Ok(event) => events.push(Raw {
                watch: event.wd(),
                flags: event.events(),
                cookie: event.cookie(),
                name: event
                    .file_name()
                    .map_or(Vec::new(), |name| name.to_bytes().to_vec()),
            }),
            Err(Errno::INTR) => {}
            // WOULDBLOCK: there are no more.
            Err(_) => return events,
        }
        if reader.is_buffer_empty() {
            return events;
        }
    }
}
