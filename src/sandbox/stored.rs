//! A short list that an object keeps in its storage, as a JSON array: an object can be evicted at any time.

use std::cell::RefCell;

use serde_json::Value;
use worker::Storage;

use crate::error::ApiError;

/// The list stored under `key`.
#[derive(Debug)]
pub struct StoredList<T> {
    key: &'static str,
    /// As it is stored; `None` until somebody asks.
    known: RefCell<Option<Vec<T>>>,
}

impl<T: Clone> StoredList<T> {
    /// The list stored under `key`, which nothing else uses.
    pub fn new(key: &'static str) -> Self {
        Self {
            key,
            known: RefCell::new(None),
        }
    }

    /// Its items now. What `read` cannot read, and what is no list, is left out.
    pub async fn get(&self, storage: &Storage, read: fn(&Value) -> Option<T>) -> Result<Vec<T>, ApiError> {
        if let Some(items) = self.known.borrow().as_ref() {
            return Ok(items.clone());
        }
        let stored: Option<String> = storage.get(self.key).await?;
        let stored: Value = serde_json::from_str(&stored.unwrap_or_default()).unwrap_or_default();
        let stored = stored.as_array().into_iter().flatten().filter_map(read);
        // Another request may have been first, and have changed them.
        let mut known = self.known.borrow_mut();
        Ok(known.get_or_insert_with(|| stored.collect()).clone())
    }

    /// Stores the items that the caller was given and has changed, with no `.await` between the two, so that no change is
    /// lost. `json` is the array that reads back to them.
    pub async fn set(&self, storage: &Storage, items: Vec<T>, json: String) -> Result<(), ApiError> {
        *self.known.borrow_mut() = Some(items);
        Ok(storage.put(self.key, json).await?)
    }
}
