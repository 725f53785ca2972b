//! The body of a request for a server.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::HeaderMap;
use http_body::{Frame, SizeHint};
use sandbox_protocol::sandboxd;
use tokio::runtime::Handle;

use crate::discard::discard;
use crate::end_mark::EndMark;

/// A body without the Worker's mark at its end. It fails when the mark is missing: then the request
/// broke off. When the server does not take all of it, the rest is [discarded](discard), so that the
/// client sees the server's answer.
pub struct RequestBody {
    /// `None`: it has ended.
    body: Option<Body>,
    mark: Option<EndMark>,
    /// The second part of the last block.
    next: Bytes,
}

impl RequestBody {
    /// The body of a request with these headers.
    pub fn new(body: Body, headers: &HeaderMap) -> Self {
        let mark = headers.get(sandboxd::END_MARK_HEADER);
        Self {
            body: Some(body),
            mark: mark.map(|mark| EndMark::new(Bytes::copy_from_slice(mark.as_bytes()))),
            next: Bytes::new(),
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if !self.next.is_empty() {
                let next = std::mem::take(&mut self.next);
                return Poll::Ready(Some(Ok(Frame::data(next))));
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            let frame = match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => {
                    self.body = None;
                    let is_whole = self.mark.as_ref().is_none_or(EndMark::is_whole);
                    return Poll::Ready(match end {
                        None if !is_whole => Some(Err(Error::new("the request broke off"))),
                        end => end,
                    });
                }
            };
            let (Some(mark), Some(block)) = (&mut self.mark, frame.data_ref()) else {
                return Poll::Ready(Some(Ok(frame)));
            };
            let [first, next] = mark.pass(block.clone());
            self.next = next;
            if !first.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(first))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // One with a mark is whole only if it has it.
        self.mark.is_none() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) if self.mark.is_none() => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        // There is no runtime when sandboxd ends.
        if let Some(rest) = rest
            && Handle::try_current().is_ok()
        {
            // The Worker has removed `Expect`.
            discard(&HeaderMap::new(), rest.into_data_stream());
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn a_body_without_its_mark_fails() {
        let mut headers = HeaderMap::new();
        headers.insert(sandboxd::END_MARK_HEADER, HeaderValue::from_static("ababc"));
        for (sent, expected) in [("bodyababc", Some("body")), ("bodyabab", None), ("", None)] {
            let body = Body::new(RequestBody::new(Body::from(sent), &headers));
            let read = axum::body::to_bytes(body, usize::MAX).await;
            assert_eq!(read.ok().as_deref(), expected.map(str::as_bytes), "{sent}");
        }
    }
}
