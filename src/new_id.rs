//! Random ids.

use sandbox_protocol::SandboxId;
use wasm_bindgen::JsCast;
use web_sys::{Crypto, WorkerGlobalScope};

use crate::error::ApiError;

/// A unique sandbox id: 128 bits of the platform's randomness.
pub fn new_id() -> Result<SandboxId, ApiError> {
    let mut bytes = [0; 16];
    crypto()?.get_random_values_with_u8_array(&mut bytes)?;
    Ok(SandboxId::from_random(bytes))
}

/// A random UUID, for names that are used once and never parsed.
pub fn new_uuid() -> Result<String, ApiError> {
    Ok(crypto()?.random_uuid())
}

/// The platform's `crypto` object.
pub fn crypto() -> Result<Crypto, ApiError> {
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    Ok(scope.crypto()?)
}
