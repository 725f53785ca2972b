//! The standard input of a command.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, ioctl_fionbio, write};
use tokio::io::Interest;

use crate::process::watched::watch;
use crate::quota::BufferPermit;

/// Writes `bytes` into `pipe` and closes it; continues in the background when the pipe does not
/// take them at once. A reader that ends before it has read everything is no error. `permit` is for
/// the bytes.
pub fn feed(pipe: OwnedFd, mut bytes: Vec<u8>, permit: BufferPermit) -> io::Result<()> {
    ioctl_fionbio(&pipe, true)?;
    match write(&pipe, &bytes) {
        Ok(written) if written == bytes.len() => return Ok(()),
        Ok(written) => drop(bytes.drain(..written)),
        Err(Errno::AGAIN | Errno::INTR) => {}
        Err(Errno::PIPE) => return Ok(()),
        Err(e) => return Err(e.into()),
    }
    let pipe = watch(pipe, Interest::WRITABLE)?;
    tokio::spawn(async move {
        let _permit = permit;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let written = pipe.async_io(Interest::WRITABLE, |pipe| Ok(write(pipe, rest)?));
            match written.await {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    Ok(())
}
