//! Copies from a sandbox.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use reqwest::header::{ETAG, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Method, StatusCode};
use sandbox_protocol::file::{Entry, EntryType};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::archive;
use super::location::{Location, Remote};
use crate::error::{Error, Result};
use crate::http::{Bridge, backoff, query, retry_if_lost, send};
use crate::progress::Progress;
use crate::signals::Signals;

/// How often a download is continued without a byte between.
const MAX_FAILURES: u32 = 6;

/// Copies a file or a directory.
pub async fn copy(bridge: &Bridge, source: &Remote, destination: Location) -> Result<()> {
    let missing = || Error::Usage(format!("{}: no such file or directory", source.path));
    let entry = source.stat(bridge).await?.ok_or_else(missing)?;
    match (entry.entry_type, destination) {
        (EntryType::Directory, Location::Local(path, _)) => {
            let target = if path.is_dir() && !source.is_content {
                path.join(source.name())
            } else {
                path
            };
            directory(bridge, source, &target).await
        }
        (EntryType::File, Location::Local(path, _)) => {
            let is_into = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
            let target = if is_into { path.join(source.name()) } else { path };
            file(bridge, source, &entry, &target).await
        }
        (EntryType::File, _) => {
            let progress = Progress::new(source.name(), Some(entry.size));
            let mut output = AppendOnly(io::stdout());
            let result = fetch(bridge, source, &mut output, &progress).await;
            progress.finish();
            result
        }
        _ => Err(Error::Usage(format!("{} is not a file", source.path))),
    }
}

/// Downloads a file. It takes its name when it is complete.
async fn file(bridge: &Bridge, source: &Remote, entry: &Entry, target: &Path) -> Result<()> {
    let failed = || Error::io(target.display().to_string());
    let progress = Progress::new(source.name(), Some(entry.size));
    let existing = std::fs::canonicalize(target).ok();
    if let Some(existing) = existing.as_deref().filter(|existing| !existing.is_file()) {
        // A device or a FIFO.
        let mut output = AppendOnly(OpenOptions::new().write(true).open(existing).map_err(failed())?);
        let result = fetch(bridge, source, &mut output, &progress).await;
        progress.finish();
        return result;
    }
    let target = existing.as_deref().unwrap_or(target);
    // After a signal, the part is removed first.
    let mut signals = Signals::new()?;
    let (part, mut output) = beside(target, entry).map_err(failed())?;
    let result = tokio::select! {
        result = fetch(bridge, source, &mut output, &progress) => result,
        signal = signals.next() => Err(Error::Signal(signal.number)),
    };
    progress.finish();
    let finished = result.and_then(|()| {
        if existing.is_some() {
            let permissions = std::fs::metadata(target).map_err(failed())?.permissions();
            output.set_permissions(permissions).map_err(failed())?;
        }
        std::fs::rename(&part, target).map_err(failed())
    });
    if finished.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    finished
}

/// A new file beside another one, with the permissions that a copy has.
fn beside(target: &Path, entry: &Entry) -> io::Result<(PathBuf, std::fs::File)> {
    let number = getrandom::u32().map_err(|e| io::Error::other(e.to_string()))?;
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".{number:08x}"));
    let path = target.with_file_name(name);
    let mode = u32::from_str_radix(&entry.mode, 8).unwrap_or(0o644) & 0o777;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&path)?;
    Ok((path, file))
}

/// An output of bytes. That of a file can be emptied.
trait Output: Write + Send {
    /// Forgets what was written.
    fn restart(&mut self) -> io::Result<()>;
}

impl Output for std::fs::File {
    fn restart(&mut self) -> io::Result<()> {
        use std::io::Seek as _;
        self.set_len(0)?;
        self.rewind()
    }
}

/// An output whose bytes cannot be taken back.
struct AppendOnly<W>(W);

impl<W: Write> Write for AppendOnly<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write + Send> Output for AppendOnly<W> {
    fn restart(&mut self) -> io::Result<()> {
        Err(io::Error::other("the file was changed while it was read"))
    }
}

/// Downloads the bytes of a file. One whose connection breaks continues where it was.
async fn fetch(
    bridge: &Bridge,
    source: &Remote,
    output: &mut impl Output,
    progress: &Progress,
) -> Result<()> {
    let failed = || Error::io("the copy cannot be written");
    let route = source.route("file", &[]);
    let (mut offset, mut etag, mut failures) = (0, None::<HeaderValue>, 0);
    loop {
        let mut request = bridge.sandbox(Method::GET, &source.id, &route);
        if let Some(etag) = etag.as_ref().filter(|_| offset > 0) {
            request = request
                .header(RANGE, format!("bytes={offset}-"))
                .header(IF_RANGE, etag);
        }
        let error = match send(request).await {
            Ok(mut response) => {
                if offset > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                    output.restart().map_err(failed())?;
                    offset = 0;
                    progress.set(0);
                }
                etag = response.headers().get(ETAG).cloned();
                loop {
                    match response.chunk().await {
                        Ok(Some(bytes)) => {
                            output.write_all(&bytes).map_err(failed())?;
                            progress.add(bytes.len());
                            (offset, failures) = (offset + bytes.len() as u64, 0);
                        }
                        Ok(None) => return output.flush().map_err(failed()),
                        Err(error) => break Error::from_transport(error),
                    }
                }
            }
            Err(error) => error,
        };
        if !error.is_lost() || failures == MAX_FAILURES {
            return Err(error);
        }
        sleep(backoff(failures)).await;
        failures += 1;
    }
}

/// Unpacks an archive of a directory. An attempt that breaks off is repeated, over what is there.
async fn directory(bridge: &Bridge, source: &Remote, target: &Path) -> Result<()> {
    retry_if_lost(async || {
        let progress = Progress::new(source.name(), None);
        let route = format!("/persist{}", query(&[("path", &source.path)]));
        let mut response = send(bridge.sandbox(Method::GET, &source.id, &route)).await?;
        let (sender, receiver) = mpsc::channel(8);
        let (root, counter) = (target.to_owned(), progress.clone());
        let unpacking = tokio::task::spawn_blocking(move || archive::unpack(&root, receiver, counter));
        let result = loop {
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    if sender.send(Ok(bytes)).await.is_err() {
                        // The unpacking has failed, and says why.
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => {
                    let _ = sender
                        .send(Err(io::Error::other("the connection was lost")))
                        .await;
                    break Err(Error::from_transport(error));
                }
            }
        };
        drop(sender);
        let unpacked = unpacking.await.map_err(|e| Error::io("unpacking")(e.into()))?;
        progress.finish();
        result.and(unpacked)
    })
    .await
}
