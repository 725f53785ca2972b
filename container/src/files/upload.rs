//! A file that is being uploaded: a temporary name beside the target, until it is complete.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, fchmod, fstatfs, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use sandbox_protocol::{Invalid, WorkspacePath};

use super::contain::{self, Place, Workspace};
use super::refusal;
use crate::error::Error;

/// The mode of a new file. An existing one keeps its own.
const NEW_FILE: u32 = 0o644;

/// How the names of files begin that are not complete.
pub(crate) const TEMPORARY: &str = ".sandbar-upload-";

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
        let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
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
        fchmod(&self.file, Mode::from_raw_mode(mode))?;
        // A bucket gets what was written when the file is closed, and whether it has it nobody would say then.
        if is_on_fuse(&self.file)? {
            fsync(&self.file)
        } else {
            Ok(())
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.renamed {
            return;
        }
        if let Err(e) = unlinkat(&self.place.directory, &self.temporary, AtFlags::empty()) {
            tracing::warn!(error = %e, "a temporary file of an upload is left");
        }
    }
}

fn is_on_fuse(file: &File) -> Result<bool, Errno> {
    const FUSE_SUPER_MAGIC: i128 = 0x6573_5546;
    // The type of the field differs between architectures.
    Ok(i128::from(fstatfs(file)?.f_type) == FUSE_SUPER_MAGIC)
}

/// A new name for a file that is not complete.
pub(crate) fn temporary_name() -> Result<String, Errno> {
    random_name(TEMPORARY)
}

/// `prefix` with something behind it that nothing else has.
pub(crate) fn random_name(prefix: &str) -> Result<String, Errno> {
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    Ok(format!("{prefix}{:016x}", u64::from_ne_bytes(random)))
}

/// Whether this can be what [`random_name`] puts behind a prefix.
pub(crate) fn is_random(suffix: &[u8]) -> bool {
    suffix.len() == 16 && suffix.iter().all(u8::is_ascii_hexdigit)
}
