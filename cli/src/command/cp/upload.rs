//! Copies to a sandbox.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Method, RequestBuilder};
use sandbox_protocol::file::EntryType;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::archive;
use super::location::{Location, Remote};
use crate::error::{Error, Result};
use crate::http::{Bridge, check, query, retry_if_lost};
use crate::input;
use crate::progress::Progress;

/// The bytes of one read.
const BLOCK: usize = 256 * 1024;

/// Copies a file, a directory or the standard input.
pub async fn copy(bridge: &Bridge, source: Location, destination: &Remote) -> Result<()> {
    let (path, is_content) = match source {
        Location::Local(path, is_content) => (path, is_content),
        _ => return standard_input(bridge, destination).await,
    };
    let failed = || Error::io(path.display().to_string());
    let metadata = std::fs::metadata(&path).map_err(failed())?;
    // `.` and `..` have a name, too. What `/dev/fd` leads to may have none.
    let whole = std::fs::canonicalize(&path).unwrap_or_default();
    let name = path
        .file_name()
        .or_else(|| whole.file_name())
        .and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::Usage(format!("{}: the name is not UTF-8", path.display())));
    if metadata.is_dir() {
        let target = if is_content || !is_directory(bridge, destination).await? {
            destination.clone()
        } else {
            destination.join(name?)
        };
        return directory(bridge, &path, &target).await;
    }
    let is_into = destination.is_directory || is_directory(bridge, destination).await?;
    let target = if is_into {
        destination.join(name?)
    } else {
        destination.clone()
    };
    if metadata.is_file() && metadata.len() > 0 {
        return file(bridge, &path, &target, metadata.permissions().mode()).await;
    }
    // A pipe, a device or a file of /proc, whose size is not known before its end.
    let source = std::fs::File::open(&path).map_err(failed())?;
    let mode = metadata.is_file().then(|| metadata.permissions().mode());
    finish(put(bridge, &target, mode).body(body_from(input::read_from(source)))).await
}

async fn is_directory(bridge: &Bridge, remote: &Remote) -> Result<bool> {
    let entry = remote.stat(bridge).await?;
    Ok(entry.is_some_and(|entry| entry.entry_type == EntryType::Directory))
}

fn put(bridge: &Bridge, target: &Remote, mode: Option<u32>) -> RequestBuilder {
    let mode = mode.map(|mode| format!("{:04o}", mode & 0o777));
    let fields: Vec<_> = mode.iter().map(|mode| ("mode", mode.as_str())).collect();
    let request = bridge.sandbox(Method::PUT, &target.id, &target.route("file", &fields));
    request.header("Content-Type", "application/octet-stream")
}

async fn finish(request: RequestBuilder) -> Result<()> {
    check(request.send().await.map_err(Error::from_transport)?).await?;
    Ok(())
}

/// Uploads a file. One that breaks off has changed nothing, so it is sent again.
async fn file(bridge: &Bridge, path: &Path, target: &Remote, mode: u32) -> Result<()> {
    retry_if_lost(async || {
        let failed = || Error::io(path.display().to_string());
        let file = File::open(path).await.map_err(failed())?;
        let size = file.metadata().await.map_err(failed())?.len();
        let progress = Progress::new(target.name(), Some(size));
        let failure = Arc::default();
        let body = Body::wrap_stream(blocks(file, size, progress.clone(), Arc::clone(&failure)));
        let request = put(bridge, target, Some(mode)).header(CONTENT_LENGTH, size);
        let result = finish(request.body(body)).await;
        progress.finish();
        let failure = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(result, |error| Err(failed()(error)))
    })
    .await
}

/// The first `size` bytes of a file. An error of the file is in `failure`, too, where the error of the
/// request does not hide it.
fn blocks(
    file: File,
    size: u64,
    progress: Progress,
    failure: Arc<Mutex<Option<std::io::Error>>>,
) -> impl Stream<Item = std::io::Result<Bytes>> {
    stream::try_unfold((file.take(size), size), move |(mut file, rest)| {
        let (progress, failure) = (progress.clone(), Arc::clone(&failure));
        async move {
            if rest == 0 {
                return Ok(None);
            }
            let mut block = BytesMut::with_capacity(BLOCK);
            let length = match file.read_buf(&mut block).await {
                Ok(0) => Err(std::io::Error::other("it became shorter while it was read")),
                result => result,
            };
            let length = length.map_err(|error| {
                let text = error.to_string();
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                std::io::Error::other(text)
            })?;
            progress.add(length);
            Ok(Some((block.freeze(), (file, rest - length as u64))))
        }
    })
}

async fn standard_input(bridge: &Bridge, target: &Remote) -> Result<()> {
    if target.is_directory {
        return Err(Error::Usage(
            "the standard input needs the path of a file".to_owned(),
        ));
    }
    finish(put(bridge, target, None).body(body_from(input::read()))).await
}

fn body_from(receiver: mpsc::Receiver<std::io::Result<Bytes>>) -> Body {
    let next =
        |mut receiver: mpsc::Receiver<_>| async { receiver.recv().await.map(|block| (block, receiver)) };
    Body::wrap_stream(stream::unfold(receiver, next))
}

/// Sends a directory as an archive, which is unpacked as a whole or not at all.
async fn directory(bridge: &Bridge, path: &Path, target: &Remote) -> Result<()> {
    retry_if_lost(async || {
        let progress = Progress::new(target.name(), None);
        let (sender, receiver) = mpsc::channel(8);
        let (root, counter) = (path.to_owned(), progress.clone());
        let writing = tokio::task::spawn_blocking(move || archive::write(&root, sender, &counter));
        let route = format!("/hydrate{}", query(&[("path", &target.path)]));
        let request = bridge.sandbox(Method::POST, &target.id, &route);
        let request = request
            .header("Content-Type", "application/x-tar")
            .body(body_from(receiver));
        let result = finish(request).await;
        progress.finish();
        match writing.await {
            // The bridge did not want all of it: it has said why.
            Ok(Err(error)) if error.is_broken_pipe() => result,
            Ok(Err(error)) => Err(error),
            _ => result,
        }
    })
    .await
}
