//! The pseudoterminal: a pair of descriptors with the kernel's line discipline between them.

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

use super::line::{Modes, PendingLine};
use crate::process::watched::watch;
use crate::user::Ids;

/// The maximum size of a piece of output, in bytes. The kernel gives 4 KiB at a time.
const READ_SIZE: usize = 64 * 1024;

/// The kind of client at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// A person at a keyboard: input is echoed, and output has CR LF where programs write LF.
    Keyboard,
    /// A program: no echo, no flow control by Ctrl-S, and output byte for byte as it is written.
    /// Ctrl-C and Ctrl-D still interrupt and end the input.
    Program,
}

/// A pseudoterminal. Dropping it closes our end, which hangs up on the processes that have the
/// other end.
#[derive(Debug)]
pub struct Device {
    /// Our end.
    pty: AsyncFd<OwnedFd>,
    /// The programs' end. Kept open: otherwise programs that close all of their descriptors would
    /// look like the end of the terminal.
    tty: OwnedFd,
}

impl Device {
    /// Opens a new pseudoterminal, which belongs to the user with `ids`, if they are given.
    pub fn open(size: Size, discipline: Discipline, ids: Option<&Ids>) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let pty = openpt(flags)?;
        unlockpt(&pty)?;
        let tty = ioctl_tiocgptpeer(&pty, flags)?;
        if let Some(ids) = ids {
            // Its programs can then open it by its name, and other users cannot.
            fchown(&tty, Some(ids.uid), Some(ids.gid))?;
            fchmod(&tty, Mode::RUSR | Mode::WUSR)?;
        }
        let mut modes = tcgetattr(&tty)?;
        modes.input_modes |= InputModes::IUTF8;
        if discipline == Discipline::Program {
            modes.input_modes -= InputModes::IXON;
            modes.output_modes -= OutputModes::OPOST;
            modes.local_modes -= LocalModes::ECHO;
        }
        tcsetattr(&tty, OptionalActions::Now, &modes)?;
        let device = Self {
            pty: watch(pty, Interest::READABLE | Interest::WRITABLE)?,
            tty,
        };
        device.resize(size)?;
        Ok(device)
    }

    /// Another descriptor of the end that a program gets.
    pub fn clone_tty(&self) -> io::Result<OwnedFd> {
        self.tty.try_clone()
    }

    /// Sets the size, and notifies the programs (SIGWINCH) if it has changed.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        let size = Winsize {
            ws_row: size.rows(),
            ws_col: size.cols(),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(&self.pty, size)?)
    }

    /// Waits until there is output to read, or there may be.
    pub async fn readable(&self) {
        // It fails only when the runtime stops.
        let _ = self.pty.readable().await;
    }

    /// Reads the output that there is, about [`READ_SIZE`] bytes at most; none when there is none
    /// now. That is certain: the kernel flushes bytes that are still on their way. The next read
    /// uses `buffer` again.
    pub fn read(&self, buffer: &mut Vec<u8>) -> io::Result<Bytes> {
        buffer.clear();
        buffer.reserve(READ_SIZE);
        loop {
            let mut read = |pty: &OwnedFd| Ok(retry_on_intr(|| read(pty, spare_capacity(buffer)))?);
            let mut result = self.pty.try_io(Interest::READABLE, &mut read);
            if result.as_ref().is_err_and(is_would_block) {
                // The runtime may not have been notified yet. Only the failed attempt before this
                // one makes it wait again.
                result = read(self.pty.get_ref());
            }
            match result {
                Ok(1..) if buffer.len() < READ_SIZE => {}
                Ok(_) => break,
                Err(e) if buffer.is_empty() && !is_would_block(&e) => return Err(e),
                Err(_) => break,
            }
        }
        if buffer.len() > READ_SIZE / 2 {
            return Ok(mem::take(buffer).into());
        }
        // The echo of a key must not hold the whole buffer.
        Ok(Bytes::copy_from_slice(buffer))
    }

    /// Waits until the terminal takes input, and writes as much of `bytes` as it takes; returns
    /// that number. `line` is the part of the same line that was written before; a line may be of
    /// any length. Cancel-safe: nothing is written then.
    pub async fn write(&self, bytes: &[u8], line: &mut PendingLine) -> io::Result<usize> {
        self.pty
            .async_io(Interest::WRITABLE, |pty| {
                let termios = tcgetattr(pty)?;
                let modes = Modes::new(&termios);
                let part = line.next_part(bytes, &modes);
                let of_input = bytes.get(..part.length).unwrap_or(bytes);
                let count = match part.end_of_file {
                    None => retry_on_intr(|| write(pty, of_input))?,
                    // In one call: the program must not see the line between the two.
                    Some(code) => {
                        let divided = [of_input, &[code]].concat();
                        retry_on_intr(|| write(pty, &divided))?
                    }
                };
                Ok(line.written(&part, bytes, count, &modes))
            })
            .await
    }

    /// Sends SIGHUP to the process group in the foreground and to that of `leader`, and continues
    /// stopped processes, so that they receive it.
    pub fn hang_up(&self, leader: Pid) {
        let foreground = tcgetpgrp(&self.pty).ok().filter(|group| *group != leader);
        for group in [Some(leader), foreground].into_iter().flatten() {
            for signal in [Signal::HUP, Signal::CONT] {
                // Fails when the group is empty.
                let _ = kill_process_group(group, signal);
            }
        }
    }
}

fn is_would_block(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock
}
