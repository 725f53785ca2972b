//! The Model Context Protocol over Streamable HTTP: its messages, its revisions, and the tools of the
//! bridge. No state is kept between two requests.

mod arguments;
mod log;
mod message;
mod revision;
#[cfg(feature = "schema")]
mod schema;
mod tool;
mod tools;
mod truncated;

pub use arguments::Arguments;
pub use log::{End, LogReader};
pub use message::{Fault, MAX_BATCH, Message, Request, Sent};
pub use revision::{CURRENT, RequestHeaders, Revision, SUPPORTED};
pub use tool::{Field, Hints, Kind, Tool};
pub use tools::{SANDBOX, TOOLS, tools};
pub use truncated::{LogPosition, Truncated};

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

/// The most bytes of output in the result of a tool, unless it is asked for more.
pub const DEFAULT_OUTPUT: usize = 16 * 1024;

/// The most bytes of output that a tool can be asked for.
pub const MAX_OUTPUT: usize = 256 * 1024;

/// The time after which `run` returns while its command continues, in milliseconds.
pub const DEFAULT_WAIT_MS: u64 = 30_000;

/// The longest time that `run` and `process_output` wait, in milliseconds.
pub const MAX_WAIT_MS: u64 = 600_000;

/// The timeout of `run_code`, in milliseconds. Many clients give up a call after a minute.
pub const CODE_TIMEOUT_MS: u64 = 45_000;
