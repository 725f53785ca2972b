//! `persist`, `hydrate`, saves and restores of a real `sandboxd`: real files, real archives, GNU tar on the other
//! side.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod archive;
mod broken;
mod changing;
mod concurrent;
mod exclude;
mod hook;
mod hydrate;
mod merge;
mod mounts;
mod persist;
mod refused;
mod resources;
mod restore;
mod restore_mounts;
mod save;
mod saved;
mod support;
mod turns;
mod unreadable;
mod volatile_files;
