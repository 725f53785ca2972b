//! `POST /edit`: replaces texts in files, in all of them or in none.
//!
//! The new version of each file is written beside it first. Then the two change places, file by
//! file. When that fails for one, those before it change back.

mod text;

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::fs::{fchmod, renameat, renameat_with, unlinkat};
use rustix::io::Errno;
use sandbox_protocol::Invalid;
use sandbox_protocol::file::{EditRequest, Edited, EditedFile, FileEdits, MAX_EDIT_BODY};

use super::locks::Key;
use super::preconditions::Preconditions;
use super::read::read_exact_at;
use super::temporary::{create_temporary, flush, temporary_name, write_all};
use super::upload::check_file;
use super::validators::Validators;
use super::workspace::Workspace;
use super::{cancellable, entry_error};
use crate::error::Error;
use crate::paths::{Entry, chown_if_permitted, pin, reopen};
use crate::{body, heartbeat};
use text::{check_size, replace_all};

/// Answers with the new versions once all files are changed.
pub(super) async fn edit(
    State(workspace): State<Arc<Workspace>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let (body, permit) = body::read(&headers, body, MAX_EDIT_BODY, &workspace.buffers).await?;
    let request = EditRequest::parse(&body, &workspace.file_roots)?;
    let edited = cancellable(Error::Write, move |is_cancelled| {
        let _permit = permit;
        apply(&workspace, &request, is_cancelled)
    });
    Ok(heartbeat::json(edited).await)
}

fn apply(
    workspace: &Workspace,
    request: &EditRequest,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Edited, Error> {
    let mut entries = Vec::new();
    let mut keys = Vec::new();
    for file in &request.files {
        let refused = |errno| entry_error(&file.path, errno, Error::Write);
        let entry = workspace.roots.entry_behind_links(&file.path).map_err(refused)?;
        let key = Key::new(&entry).map_err(refused)?;
        if keys.contains(&key) {
            let text = format!("files has the file at {} twice", file.path);
            return Err(Invalid::request(text).into());
        }
        keys.push(key);
        entries.push(entry);
    }
    let _lock = workspace.locks.lock(keys);
    let mut versions = Vec::new();
    for (file, entry) in request.files.iter().zip(&entries) {
        versions.push(Version::prepare(workspace, file, entry, is_cancelled)?);
    }
    swap_all(&mut versions)?;
    let files = versions.iter().map(|version| version.describe(workspace));
    Ok(Edited {
        files: files.collect::<Result<_, _>>()?,
    })
}

/// Swaps every version in, or none.
fn swap_all(versions: &mut [Version<'_>]) -> Result<(), Error> {
    for at in 0..versions.len() {
        let swapped = versions.get_mut(at).map_or(Ok(()), Version::swap_in);
        if let Err(errno) = swapped {
            for version in versions.iter_mut().take(at).rev() {
                if let Err(e) = version.swap_out() {
                    tracing::error!(error = %e, path = %version.request.path, "an edit could not be taken back");
                }
            }
            return Err(Error::from_errno(errno));
        }
    }
    Ok(())
}

/// The new version of a file. Dropping it removes what has its temporary name: the new version
/// before it is swapped in, the old one after.
struct Version<'e> {
    request: &'e FileEdits,
    entry: &'e Entry,
    file: File,
    temporary: String,
    replaced: u64,
    old: Old,
}

/// The place of the old version.
enum Old {
    /// At the path.
    AtPath,
    /// At the temporary name.
    Exchanged,
    /// At a name of its own, on a file system that cannot exchange two names.
    Moved(String),
}

impl<'e> Version<'e> {
    /// Checks the file and writes its new version.
    fn prepare(
        workspace: &Workspace,
        request: &'e FileEdits,
        entry: &'e Entry,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Self, Error> {
        let path = &request.path;
        let refused = |errno| entry_error(path, errno, Error::Write);
        // Under the lock: another request may have replaced what was found before.
        let found = File::from(pin(entry.directory.as_fd(), &entry.name).map_err(refused)?);
        let metadata = found.metadata().map_err(Error::Read)?;
        check_file(path, &metadata)?;
        let preconditions = Preconditions::if_match(request.if_match.as_deref());
        preconditions.check(workspace, path.as_str(), Some(&found))?;
        let old = reopen(&found, OFlags::RDONLY).map_err(refused)?;
        check_size(workspace, request, metadata.size())?;
        let mut permit = workspace.buffers.take(metadata.size())?;
        let text = read_exact_at(&old, 0, metadata.size()).map_err(Error::Read)?;
        let (text, replaced) = replace_all(workspace, request, text, &mut permit, is_cancelled)?;
        let (file, temporary) = create_temporary(&entry.directory).map_err(refused)?;
        let version = Self {
            request,
            entry,
            file,
            temporary,
            replaced,
            old: Old::AtPath,
        };
        write_all(&version.file, &text).map_err(refused)?;
        let owner = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
        chown_if_permitted(&version.file, owner).map_err(refused)?;
        fchmod(&version.file, Mode::from_raw_mode(metadata.mode() & 0o777)).map_err(refused)?;
        flush(&version.file).map_err(refused)?;
        workspace.unique_mtimes.set(&version.file);
        workspace.renames.note(&version.temporary, true);
        Ok(version)
    }

    fn swap_in(&mut self) -> Result<(), Errno> {
        match self.exchange() {
            Ok(()) => {
                self.old = Old::Exchanged;
                Ok(())
            }
            // The file system, such as a bucket, has no exchange.
            Err(Errno::INVAL | Errno::NOSYS) => {
                let Entry { directory, name, .. } = self.entry;
                let old = temporary_name()?;
                renameat(directory, name, directory, &old)?;
                let renamed = renameat(directory, &self.temporary, directory, name);
                if renamed.is_err() {
                    renameat(directory, &old, directory, name)?;
                } else {
                    self.old = Old::Moved(old);
                }
                renamed
            }
            Err(errno) => Err(errno),
        }
    }

    fn swap_out(&mut self) -> Result<(), Errno> {
        match &self.old {
            Old::AtPath => return Ok(()),
            Old::Exchanged => self.exchange()?,
            Old::Moved(old) => {
                let Entry { directory, name, .. } = self.entry;
                renameat(directory, old, directory, name)?;
            }
        }
        self.old = Old::AtPath;
        Ok(())
    }

    fn exchange(&self) -> Result<(), Errno> {
        let Entry { directory, name, .. } = self.entry;
        renameat_with(directory, &self.temporary, directory, name, RenameFlags::EXCHANGE)
    }

    fn describe(&self, workspace: &Workspace) -> Result<EditedFile, Error> {
        let metadata = self.file.metadata().map_err(Error::Write)?;
        let validators = Validators::new(&metadata, SystemTime::now(), &workspace.unique_mtimes);
        Ok(EditedFile {
            path: self.request.path.to_string(),
            etag: validators.etag().to_owned(),
            replaced: self.replaced,
        })
    }
}

impl Drop for Version<'_> {
    fn drop(&mut self) {
        let left = match &self.old {
            Old::AtPath | Old::Exchanged => &self.temporary,
            Old::Moved(old) => old,
        };
        match unlinkat(&self.entry.directory, left, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => tracing::warn!(error = %e, "a temporary file of an edit is left"),
        }
    }
}
