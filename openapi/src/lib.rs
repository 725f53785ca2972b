//! The OpenAPI document of the bridge.
//!
//! Each file of `resource` describes the operations of one resource; [`operations`] gathers them, and [`document`] writes
//! them down. The schemas of bodies are those of the very types of `sandbox-protocol` that parse and write them, and the
//! curl lines are those of docs/api.md. Tests hold the rest against the Worker's routes, both tables of errors and the
//! contract: an operation, a field or a code that is missing here fails them.
//!
//! This runs where the Worker is built, never in it: the document is a static file.

mod answer;
mod document;
mod failure;
mod guide;
mod operation;
mod resource;
mod schema;

pub use answer::{Answer, Content, Header};
pub use document::document;
pub use failure::Failure;
pub use guide::{Example, examples};
pub use operation::{Body, Method, Operation, Parse, Required};

/// Every operation, in the order of the document.
pub fn operations() -> Vec<Operation> {
    [
        resource::sandbox::operations(),
        resource::exec::operations(),
        resource::session::operations(),
        resource::terminal::operations(),
        resource::file::operations(),
        resource::workspace::operations(),
        resource::mount::operations(),
        resource::tunnel::operations(),
        resource::pool::operations(),
        resource::service::operations(),
    ]
    .concat()
}
