//! Processes as the kernel has them: how `sandboxd` starts one, and ends it with all of its
//! descendants.
//!
//! [`program`] finds the file to execute. [`spawn`] starts it, with its [`descriptors`] and in its
//! [`directory`], by a [`fork`] that executes an [`image`]; the child is then one of the
//! [`children`]. A [`tree`] is a process with all processes that it has started, which a
//! [`snapshot`] of the process table finds by their parents and by a mark in their environment. A [`stop`]
//! is of all processes.

pub mod children;
pub mod cookie;
pub mod descriptors;
pub mod directory;
mod fork;
mod gate;
mod image;
pub mod listeners;
pub mod open_files;
pub mod pipe;
pub mod program;
pub mod scan;
pub mod shell_error;
mod snapshot;
pub mod spawn;
pub mod status;
pub mod stop;
pub mod tree;
pub mod utf8;
pub mod watched;
