//! Timeouts for input from outside: the head of a request, and its body.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http_body::{Frame, SizeHint};
use sandbox_protocol::limits::Limit;
use tokio::time::sleep;

use crate::Error;

/// Long enough for tokio to ask the kernel for I/O once more.
const IO_GRACE: Duration = Duration::from_millis(25);

/// Resolves after `limit`. A process that was stopped, or whose container was frozen, sees its
/// expired timers before the input that has come meanwhile: so this resolves a little later, after
/// I/O.
pub async fn after_io(limit: Duration) {
    sleep(limit).await;
    sleep(IO_GRACE).await;
}

/// Answers `request` by `call`. When its body stands still for longer than `limit` the answer is
/// 408, whatever `call` answers to a body that breaks off.
pub async fn timed<F: Future<Output = Response>>(
    request: Request,
    limit: Limit,
    call: impl FnOnce(Request) -> F,
) -> Response {
    if request.body().is_end_stream() {
        return call(request).await;
    }
    let is_late = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| {
        Body::new(TimedBody {
            body,
            limit: Duration::from_millis(limit.value),
            silence: None,
            is_late: Arc::clone(&is_late),
        })
    });
    let response = call(request).await;
    if is_late.load(Relaxed) {
        return Error::Late(limit).into_response();
    }
    response
}

/// A body that breaks off when a reader waits too long for its next bytes.
struct TimedBody {
    body: Body,
    limit: Duration,
    /// The timeout that runs while no bytes arrive.
    silence: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    is_late: Arc<AtomicBool>,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.silence = None;
            return Poll::Ready(frame);
        }
        let limit = self.limit;
        let silence = self.silence.get_or_insert_with(|| Box::pin(after_io(limit)));
        if silence.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.is_late.store(true, Relaxed);
        let late = io::Error::from(io::ErrorKind::TimedOut);
        Poll::Ready(Some(Err(axum::Error::new(late))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
