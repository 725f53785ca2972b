//! The facts known about the kernels of the installation after they were started once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::folder::Transport;

/// The facts, by the names of kernels.
#[derive(Debug, Default)]
pub struct KnownKernels(Mutex<HashMap<String, (Transport, Option<String>)>>);

impl KnownKernels {
    /// The transport to start a kernel with.
    pub fn of(&self, kernel: &str) -> Transport {
        self.known().get(kernel).map_or(Transport::Ipc, |known| known.0)
    }

    /// The version of its language.
    pub fn version(&self, kernel: &str) -> Option<String> {
        self.known().get(kernel).and_then(|known| known.1.clone())
    }

    /// A kernel was started.
    pub fn learned(&self, kernel: &str, transport: Transport, version: Option<String>) {
        self.known().insert(kernel.to_owned(), (transport, version));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Transport, Option<String>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
