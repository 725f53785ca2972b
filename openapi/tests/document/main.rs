//! Holds the document against everything that it speaks of.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod bodies;
mod contract;
mod errors;
mod form;
mod guide;
mod routes;

/// The parts of a path that a client fills in, filled in.
fn fill_in(path: &str) -> String {
    let filled = path.replace("{path}", "workspace/a").replace("{port}", "8080");
    filled.replace("{id}", "abc").replace("{sid}", "s")
}
