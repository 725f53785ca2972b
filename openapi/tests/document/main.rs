//! Holds the document against everything that it speaks of.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod api_examples;
mod bodies;
mod contract;
mod errors;
mod form;
mod links;
mod routes;
mod scale;
