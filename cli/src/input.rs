//! The standard input of this program.

use std::io::{self, IsTerminal as _, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

/// The bytes of one read.
const BLOCK: usize = 64 * 1024;

/// The blocks that wait to be sent. Nothing more is read meanwhile.
const WAITING: usize = 32;

/// Whether there is an input that a command should get. A command without one reads `/dev/null`, not a
/// pipe, because some programs would read a pipe instead of their arguments.
pub fn is_there() -> bool {
    !io::stdin().is_terminal() && !is_null()
}

fn is_null() -> bool {
    let null = rustix::fs::stat("/dev/null");
    let input = rustix::fs::fstat(io::stdin());
    matches!((null, input), (Ok(null), Ok(input)) if null.st_rdev == input.st_rdev && null.st_mode == input.st_mode)
}

/// Reads the standard input to its end: see [`read_from`].
pub fn read() -> mpsc::Receiver<io::Result<Bytes>> {
    read_from(io::stdin())
}

/// Reads a source to its end, on a thread that the end of the program does not wait for.
pub fn read_from(mut source: impl Read + Send + 'static) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut block = vec![0; BLOCK];
        loop {
            let result = match source.read(&mut block) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(block.get(..length).unwrap_or_default())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = result.is_err();
            if sender.blocking_send(result).is_err() || failed {
                return;
            }
        }
    });
    receiver
}
