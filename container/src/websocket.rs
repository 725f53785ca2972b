//! The limits of WebSockets.

use axum::extract::ws::WebSocketUpgrade;
use sandbox_protocol::pty::{MAX_MESSAGE, MAX_REPLAY};

/// The size of a read from a client's connection, in bytes.
const READ_SIZE: usize = 16 * 1024;

/// The size of a write to a client's connection, in bytes.
const WRITE_SIZE: usize = 128 * 1024;

/// The maximum number of bytes that wait to be written: the largest message after a full buffer.
/// The library puts its own answers to pings into the same buffer.
const MAX_WRITE_BUFFER: usize = 2 * WRITE_SIZE + MAX_REPLAY;

/// The upgrade to a WebSocket with bounded buffers, whose messages have at most [`MAX_MESSAGE`]
/// bytes.
pub fn bounded(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_SIZE)
        .write_buffer_size(WRITE_SIZE)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
}
