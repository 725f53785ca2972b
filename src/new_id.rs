//! Ids for new sandboxes.

use sandbox_protocol::SandboxId;
use wasm_bindgen::JsCast;
use web_sys::WorkerGlobalScope;

use crate::error::ApiError;

/// An id that names no other sandbox: 128 bits of the platform's randomness.
pub fn new_id() -> Result<SandboxId, ApiError> {
    let mut bytes = [0; 16];
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    scope.crypto()?.get_random_values_with_u8_array(&mut bytes)?;
    Ok(SandboxId::from_random(bytes))
}
