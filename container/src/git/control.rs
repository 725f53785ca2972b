//! The socket between `sandboxd` and the driver of a checkout.
//!
//! It keeps messages apart and holds all of them until they are read, so neither side waits for the
//! other. A socket cannot be opened through `/proc`, as a pipe can.

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};
use sandbox_protocol::ErrorBody;
use sandbox_protocol::git::{Auth, Checkout};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

/// The number of the driver's side in the driver.
pub const NUMBER: RawFd = 210;

/// The largest message, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;

/// One side of the socket.
#[derive(Debug)]
pub struct Control(Socket);

/// A message of the driver.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The commits are there.
    Fetched,
    /// The checkout is done.
    Done(Checkout),
    /// There is no checkout.
    Failed(ErrorBody),
}

impl Control {
    /// The side of `sandboxd`, and that for the driver, which has the credentials `auth` to read.
    pub fn pair(auth: Option<&Auth>) -> io::Result<(Self, OwnedFd)> {
        let (own, inherited) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        own.set_nonblocking(true)?;
        let own = Self(own);
        own.send(&auth)?;
        Ok((own, inherited.into()))
    }

    /// The driver's side, which this process has inherited. Fails when it has not.
    pub fn inherited() -> io::Result<Self> {
        // SAFETY: nothing else in this process owns this number. If it is not open, the next line
        // fails.
        let inherited = unsafe { OwnedFd::from_raw_fd(NUMBER) };
        // Not for git.
        if let Err(e) = fcntl_setfd(&inherited, FdFlags::CLOEXEC) {
            // Not open, so not to be closed.
            std::mem::forget(inherited);
            return Err(e.into());
        }
        Ok(Self(inherited.into()))
    }

    /// Reads the credentials in the driver.
    pub fn auth(&self) -> io::Result<Option<Auth>> {
        self.receive()
    }

    /// Sends a message to `sandboxd`.
    pub fn send(&self, message: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_vec(message).map_err(io::Error::other)?;
        self.0.send(&json).map(drop)
    }

    /// The next message of the driver, if it has sent one.
    pub fn received(&self) -> Option<Message> {
        self.receive().ok()
    }

    fn receive<T: DeserializeOwned>(&self) -> io::Result<T> {
        let mut message = vec![0; MAX_MESSAGE];
        let length = (&self.0).read(&mut message)?;
        serde_json::from_slice(message.get(..length).unwrap_or_default()).map_err(io::Error::other)
    }
}

/// Lets children inherit this descriptor.
pub fn inherit(socket: &Socket) -> io::Result<()> {
    Ok(fcntl_setfd(socket.as_fd(), FdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::path::Path;

    use sandbox_protocol::ErrorCode;

    use super::*;

    #[test]
    fn credentials_go_one_way_and_the_result_the_other() {
        let auth = Auth {
            username: "u".into(),
            token: "t".into(),
        };
        let (own, inherited) = Control::pair(Some(&auth)).unwrap();
        let path = format!("/proc/self/fd/{}", inherited.as_raw_fd());
        // Nobody can open the socket a second time.
        assert!(std::fs::File::open(Path::new(&path)).is_err());
        let driver = Control(inherited.into());
        assert_eq!(driver.auth().unwrap(), Some(auth));
        assert!(own.received().is_none());
        driver.send(&Message::Fetched).unwrap();
        let error = ErrorBody::new(ErrorCode::GitError, "x");
        driver.send(&Message::Failed(error.clone())).unwrap();
        drop(driver);
        assert!(matches!(own.received(), Some(Message::Fetched)));
        assert!(matches!(own.received(), Some(Message::Failed(failed)) if failed == error));
        assert!(own.received().is_none());
    }
}
