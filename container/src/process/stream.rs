//! The body of a response that is a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use sandbox_protocol::event;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, Sleep, sleep};

/// The longest silence. A little less than what is promised, as a comment takes time to arrive.
const SILENCE: Duration = Duration::from_millis(event::KEEP_ALIVE_SECONDS * 1000 - 500);

/// Events, with comments where they are silent for long. A client that leaves is noticed only by writing to it.
pub struct EventStream {
    events: Receiver<Bytes>,
    last_frame: Instant,
    silence: Pin<Box<Sleep>>,
}

impl EventStream {
    /// The stream of what comes through `events`. It ends when they do.
    pub fn new(events: Receiver<Bytes>) -> Self {
        Self {
            events,
            last_frame: Instant::now(),
            silence: Box::pin(sleep(SILENCE)),
        }
    }
}

impl http_body::Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Poll::Ready(next) = self.events.poll_recv(context) {
            self.last_frame = Instant::now();
            return Poll::Ready(next.map(|events| Ok(Frame::data(events))));
        }
        loop {
            ready!(self.silence.as_mut().poll(context));
            // The timer is not set anew by each event: most streams have many of them and no silence.
            let silent_until = self.last_frame + SILENCE;
            let is_over = silent_until <= Instant::now();
            if is_over {
                self.last_frame = Instant::now();
            }
            let next = self.last_frame + SILENCE;
            self.silence.as_mut().reset(next);
            if is_over {
                let comment = Bytes::from_static(event::KEEP_ALIVE.as_bytes());
                return Poll::Ready(Some(Ok(Frame::data(comment))));
            }
        }
    }
}

/// The response that has `body`, events on the wire.
pub fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(event::CONTENT_TYPE),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
