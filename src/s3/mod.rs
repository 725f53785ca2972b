//! The part of S3 that s3fs uses, as far as it is no I/O: what a request means, what an answer looks like, how a request is
//! signed. A Sandbox object serves it to the s3fs in its sandbox (`sandbox/s3`).

pub mod authorization;
pub mod complete;
pub mod error;
pub mod forward;
pub mod key;
pub mod list;
pub mod operation;
pub mod sigv4;
pub mod xml;

pub use error::S3Error;
pub use key::{Key, Scope};
pub use operation::Operation;
