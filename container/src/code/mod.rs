//! Code: runs in contexts, each of which is a Jupyter kernel.
//!
//! # Theory of operation
//!
//! There is no Jupyter server. `sandboxd` finds the kernels that are [installed](spec), starts one as a
//! process of the [registry](crate::exec::registry), and speaks [Jupyter's protocol](message) with it over
//! [ZeroMQ's](zmtp), through Unix sockets in a [folder] of the kernel's. So whatever kernel the image has is
//! a language, and nothing here knows one, except for a program that prepares IPython.
//!
//! A [`context`] has a [`kernel`]. A [`run`] is a process of the registry, too, but one without a program:
//! its log has the output, the results and the end of the code, and clients follow it as any other.

mod context;
mod display;
mod exception;
mod execution;
mod folder;
mod images;
mod kernel;
mod known_kernels;
mod message;
mod plan;
mod prewarm;
mod routes;
mod run;
mod spec;
mod start;
mod table;
mod text;
mod zmtp;

pub use routes::router;
pub use table::Contexts;
