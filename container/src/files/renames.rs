//! The renames that finish uploads, copies and edits, for watches: a watch sees that a temporary
//! name became the name of a file, and not whether a file had that name before.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// The most renames that are known. A watch sees them within milliseconds.
const KNOWN: usize = 4096;

/// The last renames: the temporary name, and whether something was replaced.
#[derive(Debug, Default)]
pub(super) struct Renames(Mutex<VecDeque<(String, bool)>>);

impl Renames {
    /// Notes a rename that is about to happen.
    pub(super) fn note(&self, temporary: &str, replaces: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == KNOWN {
            known.pop_front();
        }
        known.push_back((temporary.to_owned(), replaces));
    }

    /// Whether the rename of this name has replaced something.
    pub(super) fn replaced(&self, temporary: &[u8]) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rename = known.iter().rev().find(|(name, _)| name.as_bytes() == temporary);
        rename.is_some_and(|(_, replaces)| *replaces)
    }
}
