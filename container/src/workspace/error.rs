//! The errors of archives.

use std::io;

use rustix::io::Errno;
use sandbox_protocol::Invalid;

use crate::error::Error;

/// The most bytes of a name in an error message.
const MAX_PRINTED: usize = 300;

/// Why a member could not be unpacked.
pub(super) enum Failure {
    /// The member, or an earlier one in its way, is not allowed.
    Refused(String),
    /// The archive could not be read further.
    Unreadable(Invalid),
    /// A system call failed.
    Errno(Errno),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Invalid> for Failure {
    fn from(e: Invalid) -> Self {
        Self::Unreadable(e)
    }
}

/// The error for a member that could not be written.
pub(super) fn write_error(name: &[u8], errno: Errno) -> Error {
    let name = printable(name);
    match errno {
        Errno::NAMETOOLONG => Invalid::request(format!("{name}: the name is too long")).into(),
        // The file system does not accept this name.
        Errno::ILSEQ | Errno::INVAL => Invalid::request(format!("{name}: {}", io::Error::from(errno))).into(),
        Errno::NOSPC | Errno::DQUOT => Error::Write(errno.into()),
        errno => {
            let e = io::Error::from(errno);
            Error::Write(io::Error::new(e.kind(), format!("{name}: {e}")))
        }
    }
}

/// A name for an error message: cut, and with invalid bytes replaced.
pub(super) fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..MAX_PRINTED).unwrap_or(name)).into_owned()
}

/// An archive that breaks off.
pub(super) fn truncated() -> Invalid {
    Invalid::request("the archive is truncated")
}

/// An archive that is no valid one, for this reason.
pub(super) fn damaged(why: &str) -> Invalid {
    Invalid::request(format!("the archive is damaged: {why}"))
}

/// A body that is no archive.
pub(super) fn no_tar() -> Invalid {
    Invalid::request("the body is not a tar archive, plain or in gzip or Zstandard")
}
