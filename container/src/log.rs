//! The log on standard error, line by line; lines are dropped when nobody reads it.
//!
//! A log that is not read fills its pipe, and the next write would block its thread in the middle
//! of serving clients. So a line is written only when the pipe takes it at once, and dropped
//! otherwise.

use std::io::{self, Stderr, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A writer to standard error, one line at a time.
#[derive(Debug)]
pub struct Log {
    /// The most bytes of a line. Not more than a pipe that is writable takes at once (`PIPE_BUF`).
    max_line: usize,
}

impl Log {
    /// A log whose lines are cut after `max_line` bytes.
    pub fn new(max_line: usize) -> Self {
        Self { max_line }
    }
}

impl Write for Log {
    /// Writes a line, or drops it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let stderr = io::stderr();
        if is_writable(&stderr) {
            let mut stderr = stderr.lock();
            match line.get(..self.max_line) {
                Some(beginning) if line.len() > self.max_line => {
                    let (cut, _) = beginning.split_at(self.max_line - 1);
                    stderr.write_all(&[cut, b"\n"].concat())?;
                }
                _ => stderr.write_all(line)?,
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_writable(stderr: &Stderr) -> bool {
    let mut fds = [PollFd::new(stderr, PollFlags::OUT)];
    let ready = poll(&mut fds, Some(&Timespec::default()));
    ready.is_ok() && fds.iter().all(|fd| fd.revents().contains(PollFlags::OUT))
}
