//! HMAC-SHA-256 by the platform.

use std::cell::RefCell;

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::error::ApiError;
use crate::new_id::crypto;

#[wasm_bindgen]
extern "C" {
    /// The platform's `SubtleCrypto`, with HMAC.
    type Subtle;

    #[wasm_bindgen(method, catch, js_name = importKey)]
    fn import_key(
        this: &Subtle,
        format: &str,
        key: &Uint8Array,
        algorithm: &Object,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn sign(this: &Subtle, algorithm: &str, key: &JsValue, text: &Uint8Array) -> Result<Promise, JsValue>;
}

/// A key of the platform.
#[derive(Debug, Clone)]
pub struct HmacKey(JsValue);

impl HmacKey {
    /// The key with these bytes.
    pub async fn import(bytes: &[u8]) -> Result<Self, ApiError> {
        let algorithm = Object::new();
        Reflect::set(&algorithm, &"name".into(), &"HMAC".into())?;
        Reflect::set(&algorithm, &"hash".into(), &"SHA-256".into())?;
        let usages = Array::of1(&"sign".into());
        let key = subtle()?.import_key("raw", &Uint8Array::from(bytes), &algorithm, false, &usages)?;
        Ok(Self(JsFuture::from(key).await?))
    }

    /// The HMAC of `text`.
    pub async fn sign(&self, text: &str) -> Result<Vec<u8>, ApiError> {
        let signed = subtle()?.sign("HMAC", &self.0, &Uint8Array::from(text.as_bytes()))?;
        Ok(Uint8Array::new(&JsFuture::from(signed).await?).to_vec())
    }
}

/// The HMAC of `text` under a key that is used once.
pub async fn hmac(key: &[u8], text: &str) -> Result<Vec<u8>, ApiError> {
    HmacKey::import(key).await?.sign(text).await
}

/// The key for one purpose that is derived from a key of the deployment: what it signs tells nothing
/// about that key. Cached: it takes two calls of the platform.
pub async fn derived_key(key: &str, purpose: &'static str) -> Result<HmacKey, ApiError> {
    type Cache = RefCell<Vec<(String, &'static str, HmacKey)>>;
    thread_local! {
        static CACHE: Cache = const { RefCell::new(Vec::new()) };
    }
    let cached = CACHE.with_borrow(|cache| {
        let found = cache.iter().find(|(of, use_, _)| of == key && *use_ == purpose);
        found.map(|(_, _, derived)| derived.clone())
    });
    if let Some(cached) = cached {
        return Ok(cached);
    }
    let derived = HmacKey::import(&hmac(key.as_bytes(), purpose).await?).await?;
    CACHE.with_borrow_mut(|cache| cache.push((key.to_owned(), purpose, derived.clone())));
    Ok(derived)
}

fn subtle() -> Result<Subtle, ApiError> {
    Ok(JsValue::from(crypto()?.subtle()).unchecked_into())
}
