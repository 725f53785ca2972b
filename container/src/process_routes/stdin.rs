//! `POST /process/{pid}/stdin`: bytes for the standard input of a process.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use sandbox_protocol::Invalid;
use sandbox_protocol::process::{STDIN_OFFSET_HEADER, StdinWritten, stdin_offset};
use sandbox_protocol::query::flag;

use crate::exec::Commands;
use crate::exec::process::Process;
use crate::exec::stdin::Rejected;
use crate::{Error, body, heartbeat};

/// The most bytes of a body that are held: those that wait for the pipe.
const HELD: usize = 2 * body::PIECE;

/// Writes the body as it comes. Answers `{"offset"}` once the pipe has taken all of it.
pub(super) async fn write(
    State(commands): State<Arc<Commands>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let mut upload = body::Upload::new(body, commands.buffers().clone(), HELD);
    let begun = async {
        let process = commands.registry.find(&id)?;
        upload.announced(&headers)?;
        let close = flag(uri.query().unwrap_or_default(), "close")?;
        Ok((process, close, offset(&headers)?))
    };
    let (process, close, offset) = match begun.await {
        Ok(begun) => begun,
        Err(e) => {
            upload.refuse(&headers);
            return Err(e);
        }
    };
    Ok(heartbeat::json(async move {
        match pass(&process, &mut upload, offset, close).await {
            Ok(offset) => Ok(StdinWritten { offset }),
            Err(e) => {
                upload.refuse(&headers);
                Err(e)
            }
        }
    })
    .await)
}

/// The header `Stdin-Offset`.
fn offset(headers: &HeaderMap) -> Result<Option<u64>, Invalid> {
    let offset = headers.get(STDIN_OFFSET_HEADER);
    offset
        .map(|offset| stdin_offset(&String::from_utf8_lossy(offset.as_bytes())))
        .transpose()
}

async fn pass(
    process: &Process,
    upload: &mut body::Upload,
    offset: Option<u64>,
    close: bool,
) -> Result<u64, Error> {
    let writer = process.stdin.writer(offset).await?;
    loop {
        let piece = tokio::select! {
            biased;
            piece = upload.next_piece() => piece?,
            // Its client has sent the rest again, with its offset.
            () = writer.repeated() => return Err(Error::StdinOffset(writer.offset())),
        };
        match piece {
            Some(piece) => writer.write(&piece).await?,
            None => break,
        }
    }
    let offset = writer.offset();
    if close {
        writer.close();
    }
    Ok(offset)
}

impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Offset(offset) => Self::StdinOffset(offset),
            Rejected::Closed(offset) => Self::StdinClosed(offset),
        }
    }
}
