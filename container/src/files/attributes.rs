//! `PATCH /file/{path}`: permissions and time of a file or a directory.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps, UTIME_OMIT, chmodat, utimensat};
use rustix::io::Errno;
use sandbox_protocol::file::{AttributesRequest, Entry, MAX_BODY};
use sandbox_protocol::{FilePath, sandboxd};

use super::stat::of_found;
use super::upload::may_write;
use super::workspace::Workspace;
use super::{blocking, entry_error};
use crate::body;
use crate::error::Error;
use crate::paths::{Last, descriptor_path};

/// Answers with the entry as it is then. A link is followed: it has neither.
pub(super) async fn set(
    State(workspace): State<Arc<Workspace>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Entry>, Error> {
    let path = workspace.requested(&uri, sandboxd::FILE)?;
    let (body, _permit) = body::read(&headers, body, MAX_BODY, &workspace.buffers).await?;
    let request = AttributesRequest::parse(&body)?;
    blocking(Error::Write, move || apply(&workspace, &path, request))
        .await
        .map(Json)
}

fn apply(workspace: &Workspace, path: &FilePath, request: AttributesRequest) -> Result<Entry, Error> {
    let refused = |errno| entry_error(path, errno, Error::Write);
    let found = workspace.roots.find(path, Last::Follow).map_err(refused)?;
    let metadata = found.metadata().map_err(Error::Write)?;
    // It may be a hard link to a file that belongs to somebody else.
    if workspace.owner.is_some_and(|owner| !may_write(owner, &metadata)) {
        return Err(refused(Errno::ACCESS));
    }
    let pinned = descriptor_path(&found);
    if let Some(mode) = request.mode {
        chmodat(CWD, &pinned, Mode::from_raw_mode(mode.bits()), AtFlags::empty()).map_err(refused)?;
    }
    if let Some(time) = request.modified_at {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: since.as_secs() as i64,
                tv_nsec: since.subsec_nanos().into(),
            },
        };
        utimensat(CWD, &pinned, &times, AtFlags::empty()).map_err(refused)?;
    }
    of_found(path, &found)
}
