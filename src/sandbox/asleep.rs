//! Files of a sandbox that does not run and has a snapshot: they are read from the store, and nothing
//! is started. A large file starts the sandbox, as it would be decompressed in the isolate.

use std::rc::Rc;

use sandbox_protocol::file::{DirectoryQuery, ListingEnd, NDJSON};
use sandbox_protocol::query::flag;
use sandbox_protocol::snapshot::{ASLEEP_HEADER, IndexEntry, IndexKind, Manifest};
use sandbox_protocol::{FilePath, Invalid, SnapshotId, sandboxd};
use serde::Serialize;
use web_sys::{Headers, Request, Response};

use super::Core;
use super::lifecycle::NextStep;
use crate::body;
use crate::clock::now_ms;
use crate::error::ApiError;
use crate::response;
use crate::snapshot::index::{self, Damaged, Index, Outside};
use crate::snapshot::{self, Store, archive_key};
use crate::url;

/// The largest file that is read from the store, in bytes.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// The largest index that is read, compressed.
const MAX_INDEX: u64 = 16 * 1024 * 1024;

/// The headers of a request that only a running sandbox answers.
const CONDITIONS: [&str; 4] = ["range", "if-range", "if-none-match", "if-modified-since"];

/// A workspace that is only in the store.
#[derive(Debug)]
pub struct Asleep {
    id: SnapshotId,
    manifest: Manifest,
    index: Index,
}

impl Asleep {
    /// The path below the directory that was saved; `None`: it is not in there.
    fn below<'p>(&self, path: &'p FilePath) -> Option<&'p str> {
        let below = path.as_str().strip_prefix(&self.manifest.dir)?;
        match below.strip_prefix('/') {
            Some(below) => Some(below),
            None => below.is_empty().then_some(below),
        }
    }

    /// The member at a path, if there is one. Error: it is not in the directory that was saved.
    fn find(&self, path: &FilePath, follow: bool) -> Result<Option<&IndexEntry>, Outside> {
        let below = self.below(path).ok_or(Outside)?;
        self.index.find(&self.manifest.dir, below, follow)
    }

    fn owner(&self) -> (u32, u32) {
        (self.manifest.contents.uid, self.manifest.contents.gid)
    }
}

impl Core {
    /// Answers a request for a file, its status or a directory from the store; `None`: the sandbox
    /// runs, or has no snapshot, or the request needs it to run.
    pub async fn asleep(self: &Rc<Self>, request: &Request, url: &str) -> Result<Option<Response>, ApiError> {
        let at = url::path(url);
        let prefixes = [sandboxd::FILE, sandboxd::STAT, sandboxd::DIRECTORY];
        let prefix = prefixes.into_iter().find(|prefix| at.starts_with(prefix));
        let Some(prefix) = prefix else {
            return Ok(None);
        };
        let method = request.method();
        let is_read = method == "GET" || (method == "HEAD" && prefix == sandboxd::FILE);
        if !is_read || !self.may_be_asleep().await? {
            return Ok(None);
        }
        let encoded = at.strip_prefix(prefix).unwrap_or_default();
        let path = FilePath::from_url(encoded, &self.config.file_roots)?;
        let headers = request.headers();
        for name in CONDITIONS {
            if prefix == sandboxd::FILE && headers.has(name)? {
                return Ok(None);
            }
        }
        let asleep = match self.asleep_workspace().await {
            Ok(Some(asleep)) => asleep,
            // A start tells what is wrong.
            Ok(None) | Err(ApiError::NotSupported(_) | ApiError::SnapshotNotFound(_))
                if prefix == sandboxd::FILE =>
            {
                return Ok(None);
            }
            Ok(None) => return self.forward(url::path_and_query(url), request).await.map(Some),
            Err(e) => return Err(ApiError::Snapshot(e.body().error)),
        };
        let query = url::query(url);
        let follow = prefix != sandboxd::STAT || flag(query, "follow")?;
        let found = match asleep.find(&path, follow) {
            Ok(Some(found)) => Ok(found),
            Err(Outside) if prefix == sandboxd::FILE || asleep.below(&path).is_none() => return Ok(None),
            Ok(None) if prefix == sandboxd::FILE => Err(ApiError::WorkspaceFileNotFound(path.to_string())),
            // While the sandbox sleeps, nothing outside of the directory exists.
            Ok(None) | Err(Outside) => Err(ApiError::FileNotFound(path.clone())),
        };
        let answer = async {
            let found = found?;
            match prefix {
                sandboxd::FILE => {
                    if encoded.ends_with('/') && found.1 != IndexKind::Directory {
                        return Err(ApiError::WorkspaceFileNotFound(path.to_string()));
                    }
                    self.asleep_file(&asleep, &path, found, &method).await
                }
                sandboxd::STAT => {
                    let entry = index::describe(found, path.to_string(), asleep.owner());
                    response::json(200, &entry).map(Some)
                }
                _ => {
                    let accept = headers.get("accept")?.unwrap_or_default();
                    let is_lines = sandbox_protocol::file::accepts_ndjson(&accept);
                    list(&asleep, &path, found, DirectoryQuery::parse(query)?, is_lines).map(Some)
                }
            }
        };
        let response = match answer.await {
            Ok(Some(response)) => response,
            Ok(None) => return Ok(None),
            Err(e) => response::error(&e)?,
        };
        response.headers().set(ASLEEP_HEADER, "true")?;
        Ok(Some(response))
    }

    /// Whether no boot runs and the record has a snapshot. Asks the runtime only if it has.
    async fn may_be_asleep(&self) -> Result<bool, ApiError> {
        if matches!(self.lifecycle.borrow().next_step(), NextStep::Use(_)) {
            return Ok(false);
        }
        let record = self.record().await?;
        if record.is_none_or(|record| record.snapshot_to_restore().is_none()) {
            return Ok(false);
        }
        Ok(self.running_boot().await?.is_none())
    }

    /// The workspace in the store. It is kept in memory until the object is evicted, or has another
    /// snapshot. `None`: its index is too large.
    async fn asleep_workspace(&self) -> Result<Option<Rc<Asleep>>, ApiError> {
        let record = self.record().await?;
        let Some(id) = record.and_then(|record| record.snapshot_to_restore().cloned()) else {
            return Ok(None);
        };
        if let Some(cached) = self.asleep.borrow().as_ref().filter(|cached| cached.id == id) {
            return Ok(Some(cached.clone()));
        }
        let store = self.store()?;
        let manifest = snapshot::manifest(&store, &id, now_ms()).await?;
        let (offset, length) = (manifest.contents.index_offset, manifest.contents.index_length);
        if length == 0 || length > MAX_INDEX {
            return Ok(None);
        }
        let frame = self.range(&store, &id, (offset, offset + length - 1)).await?;
        let Some(index) = Index::parse(&frame, offset).map_err(refused)? else {
            return Ok(None);
        };
        let asleep = Rc::new(Asleep { id, manifest, index });
        *self.asleep.borrow_mut() = Some(asleep.clone());
        Ok(Some(asleep))
    }

    async fn range(&self, store: &Store, id: &SnapshotId, range: (u64, u64)) -> Result<Vec<u8>, ApiError> {
        let response = store.get(&archive_key(id), Some(range)).await?;
        let response = response
            .ok_or_else(|| ApiError::Snapshot(format!("the archive of the snapshot {id} is gone")))?;
        let length = usize::try_from(range.1 - range.0 + 1).unwrap_or(usize::MAX);
        body::read_stream(response.body(), length).await
    }

    async fn asleep_file(
        &self,
        asleep: &Asleep,
        path: &FilePath,
        file: &IndexEntry,
        method: &str,
    ) -> Result<Option<Response>, ApiError> {
        if file.1 == IndexKind::Directory {
            return Err(ApiError::IsDirectory(path.to_string()));
        }
        if file.3 > MAX_FILE {
            return Ok(None);
        }
        let headers = Headers::new()?;
        headers.set("content-type", "application/octet-stream")?;
        headers.set("content-length", &file.3.to_string())?;
        let init = response::init(200, &headers);
        if method == "HEAD" {
            return Ok(Some(Response::new_with_opt_str_and_init(None, &init)?));
        }
        let range = asleep.index.range(file).filter(|_| file.3 > 0);
        let mut content = match range {
            None => Vec::new(),
            Some(range) => {
                let store = self.store()?;
                let frames = self.range(&store, &asleep.id, range).await?;
                index::content(file, &frames).map_err(refused)?
            }
        };
        let response = Response::new_with_opt_u8_array_and_init(Some(&mut content), &init)?;
        Ok(Some(response))
    }
}

fn refused(Damaged(text): Damaged) -> ApiError {
    ApiError::Snapshot(text)
}

fn list(
    asleep: &Asleep,
    path: &FilePath,
    directory: &IndexEntry,
    mut query: DirectoryQuery,
    is_lines: bool,
) -> Result<Response, ApiError> {
    if directory.1 != IndexKind::Directory {
        return Err(Invalid::request(format!("{path} is not a directory")).into());
    }
    if is_lines {
        query.limit = usize::MAX;
    }
    let page = asleep.index.list(&directory.0, path, &query, asleep.owner());
    if !is_lines {
        return response::json(200, &page);
    }
    let mut lines = String::new();
    for entry in &page.entries {
        add_line(&mut lines, entry)?;
    }
    let end = ListingEnd {
        entries: page.entries.len() as u64,
        ..ListingEnd::default()
    };
    add_line(&mut lines, &end)?;
    response::text(NDJSON, &lines)
}

fn add_line(lines: &mut String, value: &impl Serialize) -> Result<(), ApiError> {
    lines.push_str(&serde_json::to_string(value)?);
    lines.push('\n');
    Ok(())
}
