//! The pseudoterminal itself: a pair of descriptors, the kernel's line discipline between them.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, fchmod, fchown};
use rustix::io::{read, retry_on_intr, write};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Winsize, tcgetattr, tcgetpgrp, tcsetattr,
    tcsetwinsize,
};
use sandbox_protocol::pty::Size;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::process::watched::watch;
use crate::user::Ids;

/// The most that becomes one piece of output, in bytes. The kernel gives 4 KiB at a time.
const READ: usize = 64 * 1024;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// Somebody at a keyboard: input is echoed, and output has CR LF where programs write LF.
    Keyboard,
    /// A program: no echo, no flow control by Ctrl-S, and output byte for byte as it is written. Ctrl-C and Ctrl-D still
    /// interrupt and end the input.
    Program,
}

/// A pseudoterminal. Our end is closed when this is dropped, which hangs up on whoever has the other end.
#[derive(Debug)]
pub struct Device {
    ours: AsyncFd<OwnedFd>,
    /// Kept open: without it, programs that close all of theirs would look like the end of the terminal.
    theirs: OwnedFd,
}

impl Device {
    /// A new pseudoterminal, which belongs to the user with `ids` if that is not ourselves.
    pub fn open(size: Size, discipline: Discipline, ids: Option<&Ids>) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags)?;
        unlockpt(&ours)?;
        let theirs = ioctl_tiocgptpeer(&ours, flags)?;
        if let Some(ids) = ids {
            // So that its programs can open it by its name, and other users cannot.
            fchown(&theirs, Some(ids.uid), Some(ids.gid))?;
            fchmod(&theirs, Mode::RUSR | Mode::WUSR)?;
        }
        let mut modes = tcgetattr(&theirs)?;
        modes.input_modes |= InputModes::IUTF8;
        if discipline == Discipline::Program {
            modes.input_modes -= InputModes::IXON;
            modes.output_modes -= OutputModes::OPOST;
            modes.local_modes -= LocalModes::ECHO;
        }
        tcsetattr(&theirs, OptionalActions::Now, &modes)?;
        let device = Self {
            ours: watch(ours, Interest::READABLE | Interest::WRITABLE)?,
            theirs,
        };
        device.resize(size)?;
        Ok(device)
    }

    /// The end that a program gets.
    pub fn their_end(&self) -> io::Result<OwnedFd> {
        self.theirs.try_clone()
    }

    /// Tells the programs (SIGWINCH) if the size is another one than before.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        let size = Winsize {
            ws_row: size.rows(),
            ws_col: size.cols(),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(&self.ours, size)?)
    }

    /// Waits until there is output to read, or may be.
    pub async fn readable(&self) {
        // It fails only when the runtime stops.
        let _ = self.ours.readable().await;
    }

    /// Reads what there is, about [`READ`] bytes at most; nothing when there is nothing now. That is certain: the kernel
    /// brings along what is still on its way. `room` is used again by the next read.
    pub fn read(&self, room: &mut Vec<u8>) -> io::Result<Bytes> {
        room.clear();
        room.reserve(READ);
        loop {
            let mut read = |ours: &OwnedFd| Ok(retry_on_intr(|| read(ours, spare_capacity(room)))?);
            let mut result = self.ours.try_io(Interest::READABLE, &mut read);
            if result.as_ref().is_err_and(is_nothing_now) {
                // The runtime may not have heard of it yet. Only what is asked first lets it listen anew.
                result = read(self.ours.get_ref());
            }
            match result {
                Ok(1..) if room.len() < READ => {}
                Ok(_) => break,
                Err(e) if room.is_empty() && !is_nothing_now(&e) => return Err(e),
                Err(_) => break,
            }
        }
        if room.len() > READ / 2 {
            return Ok(mem::take(room).into());
        }
        // A key's echo shall not keep the whole buffer.
        Ok(Bytes::copy_from_slice(room))
    }

    /// Writes as much of `bytes` as is taken, once something is; how much it was. May be dropped at any time, and has
    /// written nothing then.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.ours
            .async_io(Interest::WRITABLE, |ours| {
                Ok(retry_on_intr(|| write(ours, bytes))?)
            })
            .await
    }

    /// Sends SIGHUP to the process group in the foreground and to that of `leader`, and lets stopped ones go on to see it.
    pub fn hang_up(&self, leader: Pid) {
        let foreground = tcgetpgrp(&self.ours).ok().filter(|group| *group != leader);
        for group in [Some(leader), foreground].into_iter().flatten() {
            for signal in [Signal::HUP, Signal::CONT] {
                // An error says that it is empty.
                let _ = kill_process_group(group, signal);
            }
        }
    }
}

fn is_nothing_now(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock
}
