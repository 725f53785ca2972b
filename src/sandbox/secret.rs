//! What the Sandbox object and its `sandboxd` alone know: with it, and only with it, `sandboxd` answers. Commands can
//! reach its port, too.
//!
//! The object keeps a random key for as long as it has storage, and makes each boot's secret from that key and the
//! boot's id. So whatever boot is found running, also after the object was evicted, its secret is known, and no secret
//! is good for another boot. A `sandboxd` from before there were secrets takes no notice.

use std::cell::RefCell;
use std::fmt;

use sandbox_protocol::sandboxd::SECRET_HEADER;
use wasm_bindgen::JsValue;
use web_sys::Request;
use worker::Storage;

use crate::auth::sha256;
use crate::error::ApiError;
use crate::new_id::new_id;
use crate::s3::sigv4::hex;

/// Where the key is kept.
const KEY: &str = "secret_key";

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
    /// As `sandboxd` gets it in its environment.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Lets `request` show it.
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
    /// Those of the object with this storage.
    pub fn new(storage: Storage) -> Self {
        Self {
            storage,
            key: RefCell::default(),
        }
    }

    /// The secret of the boot `boot_id`.
    pub async fn of(&self, boot_id: &str) -> Result<Secret, ApiError> {
        // The key at the end: with a digest of this kind, who knows one secret could else make longer ones.
        let digest = sha256(&format!("{boot_id}:{}", self.key().await?)).await?;
        Ok(Secret(hex(&digest)))
    }

    async fn key(&self) -> Result<String, ApiError> {
        if let Some(key) = self.known() {
            return Ok(key);
        }
        let kept = self.storage.get::<String>(KEY).await?;
        // Another request may have asked meanwhile.
        if let Some(key) = self.known().or(kept) {
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
