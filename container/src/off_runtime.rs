//! Values that must not be dropped on the runtime's threads.

use std::mem::{ManuallyDrop, forget};
use std::ops::Deref;

use crate::threads::PATHS;

/// A value whose drop may block: an open file whose close a bucket is told of, or a file to remove.
/// It is dropped on a thread of [`PATHS`].
#[derive(Debug)]
pub struct OffRuntime<T: Send + 'static>(ManuallyDrop<T>);

impl<T: Send + 'static> OffRuntime<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }

    /// The value, for a thread that may block.
    pub fn into_inner(mut self) -> T {
        // SAFETY: `self` is forgotten, so nothing takes or drops the value again.
        let value = unsafe { ManuallyDrop::take(&mut self.0) };
        forget(self);
        value
    }
}

impl<T: Send + 'static> Deref for OffRuntime<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + 'static> Drop for OffRuntime<T> {
    fn drop(&mut self) {
        // SAFETY: this is the end of `self`, so nothing takes or drops the value again.
        let value = unsafe { ManuallyDrop::take(&mut self.0) };
        PATHS.run_detached(move || drop(value));
    }
}
