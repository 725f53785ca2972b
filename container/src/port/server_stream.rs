//! The connection to an HTTP server, which may answer and close before it has read the request.
//!
//! hyper gives up at the first error of a write, though the answer may already be there to read. So
//! bytes that the server does not take any more are dropped.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP connection. Writes succeed, without an effect, after the server has closed.
#[derive(Debug)]
pub struct ServerStream {
    stream: TcpStream,
    is_closed: bool,
}

impl ServerStream {
    /// The stream of a connection.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            is_closed: false,
        }
    }

    /// The result of a write of `length` bytes.
    fn written<T>(&mut self, result: Poll<io::Result<T>>, length: T) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match result {
            Poll::Ready(Err(e)) if matches!(e.kind(), BrokenPipe | ConnectionReset) => {
                self.is_closed = true;
                Poll::Ready(Ok(length))
            }
            result => result,
        }
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_closed {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(result, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.is_closed {
            return Poll::Ready(Ok(length));
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(result, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.written(result, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_answer_of_a_server_that_has_closed_is_read_whatever_is_written() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut client = ServerStream::new(client.unwrap());
        client.write_all(b"request").await.unwrap();
        let (mut server, _) = accepted.unwrap();
        server.readable().await.unwrap();
        server.write_all(b"answer").await.unwrap();
        // Resets the connection, as the request has not been read.
        drop(server);
        while !client.is_closed {
            client.write_all(b"more").await.unwrap();
            tokio::task::yield_now().await;
        }
        client.write_all(&[0; 1 << 20]).await.unwrap();
        client.flush().await.unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }
}
