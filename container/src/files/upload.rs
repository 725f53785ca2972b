//! A file that is being uploaded: a temporary name beside the target, until it is complete.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt as _, MetadataExt};

use bytes::Bytes;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, fchmod, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use sandbox_protocol::{Invalid, WorkspacePath};

use super::contain::{self, Place, Workspace};
use super::refusal;
use crate::error::Error;

/// The mode of a new file. An existing one keeps its own.
const NEW_FILE: u32 = 0o644;

/// An upload that is not complete. Dropped, it leaves nothing behind. Its calls may block.
#[derive(Debug)]
pub(super) struct Upload {
    path: WorkspacePath,
    place: Place,
    owner: Option<(Uid, Gid)>,
    file: File,
    /// The temporary name, in the directory of `place`.
    temporary: String,
    renamed: bool,
}

impl Upload {
    /// Creates the temporary file for an upload to `path`, and the directories above it that are missing.
    pub(super) fn create(workspace: &Workspace, path: WorkspacePath) -> Result<Self, Error> {
        let refused = |errno| match errno {
            Errno::NOTDIR => Invalid::request(format!("{path}: a parent is not a directory")).into(),
            errno => refusal(&path, errno, Error::Write),
        };
        let place = workspace.place(&path).map_err(refused)?;
        if let Some(found) = &place.found {
            let kind = found.metadata().map_err(Error::Write)?.file_type();
            if kind.is_dir() {
                return Err(Error::IsDirectory(path.to_string()));
            }
            if !kind.is_file() {
                return Err(Invalid::request(format!("{path} is not a regular file")).into());
            }
        }
        let temporary = temporary_name().map_err(refused)?;
        let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
        let private = Mode::from_raw_mode(0o600);
        let file = openat(&place.directory, &temporary, create, private).map_err(refused)?;
        Ok(Self {
            path,
            place,
            owner: workspace.owner,
            file: file.into(),
            temporary,
            renamed: false,
        })
    }

    /// Appends `blocks`, in order.
    pub(super) fn append(self, blocks: &[Bytes]) -> Result<Self, Error> {
        let mut slices: Vec<_> = blocks.iter().map(|block| IoSlice::new(block)).collect();
        let mut rest = slices.as_mut_slice();
        // Empty slices at the front would make a complete write look like one that got nowhere.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::writev(&self.file, rest) {
                Ok(0) => return Err(Error::Write(io::ErrorKind::WriteZero.into())),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(Errno::INTR) => {}
                Err(e) => return Err(Error::Write(e.into())),
            }
        }
        Ok(self)
    }

    /// Removes the end mark, with which a whole upload ends.
    pub(super) fn take_end_mark(self, mark: &[u8]) -> Result<Self, Error> {
        let broken = || Error::from(Invalid::request("the upload broke off: its end is missing"));
        let size = self.file.metadata().map_err(Error::Write)?.len();
        let whole = size.checked_sub(mark.len() as u64).ok_or_else(broken)?;
        let mut tail = vec![0; mark.len()];
        self.file.read_exact_at(&mut tail, whole).map_err(Error::Write)?;
        if tail != mark {
            return Err(broken());
        }
        self.file.set_len(whole).map_err(Error::Write)?;
        Ok(self)
    }

    /// Makes the temporary file the target: mode and owner, then the name. Whoever has the old file open keeps it.
    pub(super) fn commit(mut self) -> Result<(), Error> {
        self.settle()
            .and_then(|()| {
                let Place { directory, name, .. } = &self.place;
                renameat(directory, &self.temporary, directory, name)
            })
            .map_err(|errno| match errno {
                Errno::ISDIR => Error::IsDirectory(self.path.to_string()),
                errno => Error::Write(errno.into()),
            })?;
        self.renamed = true;
        Ok(())
    }

    /// Sets mode and owner: those of the file that is replaced, or those of a new one. Set-id bits are not kept, as
    /// by any write: they vouched for the old content.
    fn settle(&self) -> Result<(), Errno> {
        let found = self.place.found.as_ref().map(File::metadata).transpose();
        let found = found.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        let owner = found
            .as_ref()
            .map(|found| (Uid::from_raw(found.uid()), Gid::from_raw(found.gid())))
            .or(self.owner);
        if let Some(owner) = owner {
            contain::give(&self.file, owner)?;
        }
        let mode = found.map_or(NEW_FILE, |found| found.mode() & 0o777);
        fchmod(&self.file, Mode::from_raw_mode(mode))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.renamed {
            return;
        }
        if let Err(e) = unlinkat(&self.place.directory, &self.temporary, AtFlags::empty()) {
            tracing::warn!(path = %self.path, error = %e, "a temporary file of an upload is left");
        }
    }
}

fn temporary_name() -> Result<String, Errno> {
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    Ok(format!(".sandbar-upload-{:016x}", u64::from_ne_bytes(random)))
}
