//! Archives of directories: tar, as the bridge takes and gives them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf as _, Bytes};
use tar::{Archive, Builder, EntryType, Header, HeaderMode};
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::output::note;
use crate::progress::{Counted, Progress};

/// The bytes of a part of an archive.
const BLOCK: usize = 256 * 1024;

/// The parts of an archive as they come or go.
type Part = io::Result<Bytes>;

/// Writes the archive of a directory. Links are archived, not followed. An archive that cannot be
/// finished breaks off.
pub fn write(root: &Path, sender: mpsc::Sender<Part>, progress: &Progress) -> Result<()> {
    let parts = Parts {
        sender: sender.clone(),
        progress: progress.clone(),
    };
    let mut archive = Builder::new(BufWriter::with_capacity(BLOCK, parts));
    let mut directories = vec![PathBuf::new()];
    let written = (|| {
        while let Some(directory) = directories.pop() {
            let path = root.join(&directory);
            let failed = || Error::io(path.display().to_string());
            for entry in fs::read_dir(&path).map_err(failed())? {
                let name = directory.join(entry.map_err(failed())?.file_name());
                add(&mut archive, root, &name, &mut directories)
                    .map_err(Error::io(name.display().to_string()))?;
            }
        }
        archive
            .into_inner()
            .and_then(|mut output| output.flush())
            .map_err(Error::io("the archive"))
    })();
    if written.is_err() {
        let _ = sender.blocking_send(Err(io::Error::other("the archive breaks off")));
    }
    written
}

/// Adds an entry. A directory is added to those that are to be read.
fn add(
    archive: &mut Builder<impl Write>,
    root: &Path,
    name: &Path,
    directories: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let path = root.join(name);
    let metadata = fs::symlink_metadata(&path)?;
    let mut header = Header::new_gnu();
    header.set_metadata_in_mode(&metadata, HeaderMode::Complete);
    if metadata.is_dir() {
        archive.append_data(&mut header, name, io::empty())?;
        directories.push(name.to_owned());
    } else if metadata.is_symlink() {
        header.set_size(0);
        archive.append_link(&mut header, name, fs::read_link(&path)?)?;
    } else if metadata.is_file() {
        let file = File::open(&path)?;
        let size = file.metadata()?.len();
        header.set_size(size);
        // A file that grows meanwhile is cut; one that shrinks makes the archive break off.
        archive.append_data(&mut header, name, ExactSize(file.take(size)))?;
    } else {
        note(&format!(
            "{} is left out: it is no file, directory or link",
            path.display()
        ));
    }
    Ok(())
}

/// The bytes of a file, up to a size that it must have.
struct ExactSize(io::Take<File>);

impl Read for ExactSize {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if self.0.limit() > 0 && !buffer.is_empty() => {
                Err(io::Error::other("it became shorter while it was read"))
            }
            length => Ok(length),
        }
    }
}

/// Sends what is written.
struct Parts {
    sender: mpsc::Sender<Part>,
    progress: Progress,
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = Ok(Bytes::copy_from_slice(bytes));
        self.sender
            .blocking_send(part)
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        self.progress.add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Unpacks an archive into a directory, which is created if it is missing. Nothing of it comes to lie
/// outside, also by links that are there or in the archive: what runs in a sandbox is not trusted.
pub fn unpack(root: &Path, receiver: mpsc::Receiver<Part>, progress: Progress) -> Result<()> {
    let failed = || Error::io(root.display().to_string());
    fs::create_dir_all(root).map_err(failed())?;
    let root = fs::canonicalize(root).map_err(failed())?;
    let reader = Counted {
        reader: Received {
            receiver,
            rest: Bytes::new(),
        },
        progress,
    };
    let mut archive = Archive::new(reader);
    let mut directories = Vec::new();
    for entry in archive.entries().map_err(failed())? {
        let mut entry = entry.map_err(failed())?;
        let name = entry.path().map_err(failed())?.into_owned();
        match entry.header().entry_type() {
            // Only when they are full: files cannot be added to a read-only one.
            EntryType::Directory => directories.push((name, entry)),
            EntryType::Regular | EntryType::Symlink => {
                unpack_entry(&mut entry, &root, &name)?;
            }
            _ => {
                return Err(Error::Answer(format!(
                    "{} has a type that no file has",
                    name.display()
                )));
            }
        }
    }
    directories.sort_by(|(a, _), (b, _)| b.cmp(a));
    for (name, mut entry) in directories {
        unpack_entry(&mut entry, &root, &name)?;
    }
    Ok(())
}

fn unpack_entry(entry: &mut tar::Entry<'_, impl Read>, root: &Path, name: &Path) -> Result<()> {
    match entry.unpack_in(root) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Answer(format!(
            "{} leads out of the directory",
            name.display()
        ))),
        Err(error) => Err(Error::io(name.display().to_string())(error)),
    }
}

/// Reads what is received.
struct Received {
    receiver: mpsc::Receiver<Part>,
    rest: Bytes,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.blocking_recv() {
                Some(part) => self.rest = part?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        self.rest
            .copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}
