//! The objects of the store as files.
//!
//! ```text
//! objects/KEY   an object
//! uploads/ID    an upload in parts, or the body of an object that is being received
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range as Span;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::body::{Body, Bytes};
use futures_util::{StreamExt as _, stream};
use sandbox_protocol::snapshot::PART_BYTES;
use tokio::task::spawn_blocking;

use super::request::{Key, ListQuery, Range, StoreError};

/// The bytes of a body that are written at a time, and those of an object that are read.
const BLOCK: usize = 1024 * 1024;

/// The directory of the store.
#[derive(Debug)]
pub struct Disk {
    objects: PathBuf,
    uploads: PathBuf,
    next_upload: AtomicU64,
}

impl Disk {
    /// Opens the store in `directory`, created if it does not exist. Uploads of processes before are
    /// removed.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let disk = Self {
            objects: directory.join("objects"),
            // By process, as another one may use the same directory.
            uploads: directory.join("uploads").join(std::process::id().to_string()),
            next_upload: AtomicU64::new(1),
        };
        fs::create_dir_all(&disk.objects)?;
        for entry in fs::read_dir(directory)?
            .flatten()
            .filter(|e| e.file_name() == "uploads")
        {
            for stale in fs::read_dir(entry.path())?.flatten() {
                let runs = Path::new("/proc").join(stale.file_name()).exists();
                if !runs || stale.path() == disk.uploads {
                    fs::remove_dir_all(stale.path())?;
                }
            }
        }
        fs::create_dir_all(&disk.uploads)?;
        Ok(disk)
    }

    fn object(&self, key: &Key) -> PathBuf {
        self.objects.join(key.as_str())
    }

    fn upload(&self, upload: &Key) -> PathBuf {
        self.uploads.join(upload.as_str())
    }

    fn new_upload(&self) -> Result<Key, StoreError> {
        Key::parse(&format!("u{}", self.next_upload.fetch_add(1, Relaxed)))
    }

    pub(super) async fn put(&self, key: &Key, body: Body) -> Result<(), StoreError> {
        let path = self.upload(&self.new_upload()?);
        let written = async {
            write(&path, 0, body).await?;
            move_to(path.clone(), self.object(key)).await
        };
        let result = written.await;
        if result.is_err() {
            // It may not exist.
            let _ = blocking(move || fs::remove_file(path)).await;
        }
        result
    }

    pub(super) async fn create_upload(&self, _: &Key) -> Result<Key, StoreError> {
        let upload = self.new_upload()?;
        let path = self.upload(&upload);
        blocking(move || create(&path).map(drop)).await?;
        Ok(upload)
    }

    pub(super) async fn write_part(&self, upload: &Key, number: u32, body: Body) -> Result<(), StoreError> {
        let path = self.upload(upload);
        let exists = path.clone();
        blocking(move || fs::metadata(exists).map(drop)).await?;
        write(&path, u64::from(number - 1) * PART_BYTES, body).await
    }

    pub(super) async fn complete(&self, key: &Key, upload: &Key) -> Result<(), StoreError> {
        move_to(self.upload(upload), self.object(key)).await
    }

    pub(super) async fn abort(&self, upload: &Key) -> Result<(), StoreError> {
        remove(self.upload(upload)).await
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        remove(self.object(key)).await
    }

    /// The bytes of an object, its size, and where they are in it.
    pub(super) async fn read(
        &self,
        key: &Key,
        range: Option<Range>,
    ) -> Result<(Body, u64, Span<u64>), StoreError> {
        let path = self.object(key);
        let (file, size) = blocking(move || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            match metadata.is_file() {
                true => Ok((file, metadata.len())),
                false => Err(io::ErrorKind::NotFound.into()),
            }
        })
        .await?;
        let part = match range {
            None => 0..size,
            Some(range) if range.first >= size => return Err(StoreError::Range),
            Some(range) => {
                let last = range.last.unwrap_or(size).min(size - 1);
                if last < range.first {
                    return Err(StoreError::Range);
                }
                range.first..last + 1
            }
        };
        let blocks = stream::try_unfold((file, part.start), {
            let end = part.end;
            move |(file, at)| async move {
                let length = usize::try_from(end - at).map_or(BLOCK, |left| left.min(BLOCK));
                if length == 0 {
                    return Ok::<_, io::Error>(None);
                }
                let read = spawn_blocking(move || {
                    let mut block = vec![0; length];
                    file.read_exact_at(&mut block, at)?;
                    Ok::<_, io::Error>((Bytes::from(block), file))
                });
                let (block, file) = read.await.map_err(io::Error::other)??;
                Ok(Some((block, (file, at + length as u64))))
            }
        });
        Ok((Body::from_stream(blocks), size, part))
    }

    /// The first keys of a list with their sizes, and whether there are more.
    pub(super) async fn list(&self, query: ListQuery) -> Result<(Vec<(String, u64)>, bool), StoreError> {
        let objects = self.objects.clone();
        blocking(move || {
            // Only the directory of the prefix is read.
            let below = query
                .prefix
                .rsplit_once('/')
                .map_or("", |(directory, _)| directory);
            let mut keys = Vec::new();
            collect(&objects.join(below), below, &mut keys)?;
            keys.retain(|(key, _)| key.starts_with(&query.prefix) && *key > query.start_after);
            keys.sort();
            let is_truncated = keys.len() > query.max_keys;
            keys.truncate(query.max_keys);
            Ok((keys, is_truncated))
        })
        .await
    }
}

fn collect(directory: &Path, name: &str, keys: &mut Vec<(String, u64)>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let own = entry.file_name().into_string().unwrap_or_default();
        let key = if name.is_empty() {
            own
        } else {
            format!("{name}/{own}")
        };
        // One that is deleted meanwhile is left out.
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => collect(&entry.path(), &key, keys)?,
            Ok(metadata) => keys.push((key, metadata.len())),
            Err(_) => {}
        }
    }
    Ok(())
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Writes a whole body at an offset of the file.
async fn write(path: &Path, offset: u64, body: Body) -> Result<(), StoreError> {
    let path = path.to_owned();
    let mut file = blocking(move || create(&path)).await?;
    let mut at = offset;
    let mut frames = body.into_data_stream();
    let mut is_open = true;
    while is_open {
        let (mut block, mut length) = (Vec::new(), 0);
        while length < BLOCK {
            let Some(frame) = frames.next().await else {
                is_open = false;
                break;
            };
            let frame = frame.map_err(|_| StoreError::Invalid("the body broke off"))?;
            length += frame.len();
            block.push(frame);
        }
        file = blocking(move || {
            for frame in block {
                file.write_all_at(&frame, at)?;
                at += frame.len() as u64;
            }
            Ok(file)
        })
        .await?;
        at += length as u64;
    }
    Ok(())
}

async fn move_to(from: PathBuf, to: PathBuf) -> Result<(), StoreError> {
    blocking(move || {
        // Before the object has its name: after a crash, it is whole or not there.
        File::open(&from)?.sync_all()?;
        let Some(parent) = to.parent() else {
            return fs::rename(from, to);
        };
        fs::create_dir_all(parent)?;
        fs::rename(from, &to)?;
        File::open(parent)?.sync_all()
    })
    .await
}

async fn remove(path: PathBuf) -> Result<(), StoreError> {
    blocking(move || match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = spawn_blocking(work).await.map_err(io::Error::other)?;
    Ok(done?)
}
