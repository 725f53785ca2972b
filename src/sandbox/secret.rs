//! The secret that only the Sandbox object and its `sandboxd` know. `sandboxd` answers only
//! requests with the secret, because commands can reach its port, too.
//!
//! The object stores a random key, and derives each boot's secret from that key and the boot's id.
//! So the object knows the secret of any boot that it finds running, also after it was evicted, and
//! no secret is valid for another boot. A `sandboxd` from before there were secrets ignores it.

use std::cell::RefCell;
use std::fmt;

use sandbox_protocol::hex::hex;
use sandbox_protocol::sandboxd::SECRET_HEADER;
use wasm_bindgen::JsValue;
use web_sys::Request;
use worker::Storage;

use crate::auth::sha256;
use crate::error::ApiError;
use crate::new_id::new_id;

/// The storage key of that key.
pub const KEY: &str = "secret_key";

/// The secret of one boot.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

/// The secrets of all boots of a sandbox.
#[derive(Debug)]
pub struct Secrets {
    storage: Storage,
    key: RefCell<Option<String>>,
}

impl Secret {
    /// The value in the environment of `sandboxd`.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Adds the secret to the headers of `request`.
    pub fn sign(&self, request: &Request) -> Result<(), JsValue> {
        request.headers().set(SECRET_HEADER, &self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secrets {
    /// The secrets of the object with this storage.
    pub fn new(storage: Storage) -> Self {
        Self {
            storage,
            key: RefCell::default(),
        }
    }

    /// The secret of the boot `boot_id`.
    pub async fn for_boot(&self, boot_id: &str) -> Result<Secret, ApiError> {
        // The key is at the end because of length extension: a client that knows one secret could
        // otherwise derive others.
        let digest = sha256(&format!("{boot_id}:{}", self.key().await?)).await?;
        Ok(Secret(hex(&digest)))
    }

    /// Forgets the key, which the caller deletes. No boot whose secret was derived from it may run.
    pub fn forget(&self) {
        *self.key.borrow_mut() = None;
    }

    async fn key(&self) -> Result<String, ApiError> {
        if let Some(key) = self.known() {
            return Ok(key);
        }
        let stored = self.storage.get::<String>(KEY).await?;
        // Another request may have been faster.
        if let Some(key) = self.known().or(stored) {
            *self.key.borrow_mut() = Some(key.clone());
            return Ok(key);
        }
        let key = format!("{}{}", new_id()?, new_id()?);
        *self.key.borrow_mut() = Some(key.clone());
        if let Err(e) = self.storage.put(KEY, &key).await {
            *self.key.borrow_mut() = None;
            return Err(e.into());
        }
        Ok(key)
    }

    fn known(&self) -> Option<String> {
        self.key.borrow().clone()
    }
}
