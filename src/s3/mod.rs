//! The part of S3 that s3fs uses, without I/O: parsing of requests, forms of responses, signing of
//! requests. A Sandbox object serves it to the s3fs in its sandbox (`sandbox/s3`).

pub mod authorization;
pub mod complete;
pub mod error;
pub mod forward;
pub mod key;
pub mod list;
pub mod operation;
pub mod sigv4;
pub mod token;
pub mod xml;

pub use error::S3Error;
pub use key::{Key, Scope};
pub use operation::Operation;
