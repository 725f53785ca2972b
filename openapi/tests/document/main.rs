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
mod links;
mod routes;
mod scale;
