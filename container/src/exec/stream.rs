//! The body of a response that is a stream of events. They come here encoded: `event_log/chunk.rs` encodes
//! them, in the format of `sandbox_protocol::event`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use http_body::Frame;
use sandbox_protocol::event;
use tokio::time::{Instant, Sleep, sleep};

/// The longest time without a frame. A little less than what is promised, as a comment takes time
/// to arrive.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(event::KEEP_ALIVE_SECONDS * 1000 - 500);

/// A stream of events, with comments when there is none for long: only a write detects that the
/// client has left.
pub struct EventStream<S> {
    events: Pin<Box<S>>,
    last_frame: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S: Stream<Item = Bytes>> EventStream<S> {
    /// The stream of the `events`.
    pub fn new(events: S) -> Self {
        Self {
            events: Box::pin(events),
            last_frame: Instant::now(),
            timer: Box::pin(sleep(KEEP_ALIVE_INTERVAL)),
        }
    }
}

impl<S: Stream<Item = Bytes>> http_body::Body for EventStream<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Poll::Ready(next) = self.events.as_mut().poll_next(context) {
            self.last_frame = Instant::now();
            return Poll::Ready(next.map(|events| Ok(Frame::data(events))));
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            // Not every event resets the timer: most streams have many events and no silence.
            let silent_until = self.last_frame + KEEP_ALIVE_INTERVAL;
            let is_silent = silent_until <= Instant::now();
            if is_silent {
                self.last_frame = Instant::now();
            }
            let next = self.last_frame + KEEP_ALIVE_INTERVAL;
            self.timer.as_mut().reset(next);
            if is_silent {
                let comment = Bytes::from_static(event::KEEP_ALIVE.as_bytes());
                return Poll::Ready(Some(Ok(Frame::data(comment))));
            }
        }
    }
}

/// The response with `body`, events in wire format.
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
