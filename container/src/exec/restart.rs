//! The request of a process that is started again after a sleep.

use sandbox_protocol::{Invalid, json};
use serde_json::value::RawValue;

use crate::Error;
use crate::quota::{BufferPermit, Buffers};

/// A request, held for as long as its process is known.
#[derive(Debug)]
pub struct Restart {
    /// Its body, as it came: the same one with the same id starts nothing twice.
    pub request: Box<RawValue>,
    /// The buffer permit of the body.
    _permit: BufferPermit,
}

impl Restart {
    /// The request with this body, which was parsed. Error: 503 when `buffers` are full.
    pub fn new(body: &[u8], buffers: &Buffers) -> Result<Self, Error> {
        let permit = buffers.take(body.len() as u64)?;
        let request = serde_json::from_slice(json::without_byte_order_mark(body));
        Ok(Self {
            request: request.map_err(|e| Invalid::request(format!("the body: {e}")))?,
            _permit: permit,
        })
    }
}
