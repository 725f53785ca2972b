//! A short list in an object's storage, as a JSON array: an object can be evicted at any time.

use std::cell::RefCell;

use serde_json::Value;
use worker::Storage;

use crate::error::ApiError;

/// The list stored under `key`.
#[derive(Debug)]
pub struct StoredList<T> {
    key: &'static str,
    /// The stored items; `None` until they are first read.
    cached: RefCell<Option<Vec<T>>>,
}

impl<T: Clone> StoredList<T> {
    /// The list stored under `key`, which no other code uses.
    pub fn new(key: &'static str) -> Self {
        Self {
            key,
            cached: RefCell::new(None),
        }
    }

    /// Its items. Items that `read` cannot read, and a value that is no list, are left out.
    pub async fn get(&self, storage: &Storage, read: fn(&Value) -> Option<T>) -> Result<Vec<T>, ApiError> {
        if let Some(items) = self.cached.borrow().as_ref() {
            return Ok(items.clone());
        }
        let stored: Option<String> = storage.get(self.key).await?;
        let stored: Value = serde_json::from_str(&stored.unwrap_or_default()).unwrap_or_default();
        let stored = stored.as_array().into_iter().flatten().filter_map(read);
        // Another request may have read them first, and have changed them.
        let mut cached = self.cached.borrow_mut();
        Ok(cached.get_or_insert_with(|| stored.collect()).clone())
    }

    /// Forgets the items, which the caller deletes from the storage.
    pub fn forget(&self) {
        *self.cached.borrow_mut() = Some(Vec::new());
    }

    /// Stores the items, which the caller got from [`get`](Self::get) and has changed, with no
    /// `.await` between the two, so that no change is lost. `json` is the array that reads back to
    /// them.
    pub async fn set(&self, storage: &Storage, items: Vec<T>, json: String) -> Result<(), ApiError> {
        *self.cached.borrow_mut() = Some(items);
        Ok(storage.put(self.key, json).await?)
    }
}
