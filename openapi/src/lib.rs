//! The OpenAPI document of the bridge.
//!
//! Each file of `resource` describes the operations of one resource. [`operations`] collects them,
//! and [`document`] makes the document. The schemas of bodies come from the types of
//! `sandbox-protocol` that parse and write them, and the curl examples from docs/api.md. Tests
//! compare the rest with the Worker's routes, both tables of errors and the contract: they fail
//! when an operation, a field or a code is missing here.
//!
//! This crate runs when the Worker is built, never in the Worker: the document is a static file.

mod answer;
mod api_examples;
mod document;
mod failure;
mod operation;
mod resource;
mod schema;

pub use answer::{Answer, Content, Header};
pub use api_examples::{Example, examples};
pub use document::document;
pub use failure::Failure;
pub use operation::{Body, Operation, Parse, Required};

/// Every operation, in the order of the document.
pub fn operations() -> Vec<Operation> {
    [
        resource::sandbox::operations(),
        resource::exec::operations(),
        resource::process::operations(),
        resource::code::operations(),
        resource::session::operations(),
        resource::terminal::operations(),
        resource::file::operations(),
        resource::directory::operations(),
        resource::transfer::operations(),
        resource::watch::operations(),
        resource::workspace::operations(),
        resource::snapshot::operations(),
        resource::git::operations(),
        resource::mount::operations(),
        resource::port::operations(),
        resource::tunnel::operations(),
        resource::mcp::operations(),
        resource::token::operations(),
        resource::pool::operations(),
        resource::service::operations(),
    ]
    .concat()
}
