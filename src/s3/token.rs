//! The tokens of mounts. Each is random; the object knows its grant. Requests of a sandbox of this
//! machine arrive like those of any client, so its token is signed for its sandbox with the
//! deployment's first key: the Worker rejects forged tokens before it calls an object, because a call
//! with any id creates an object. Requests of a container arrive with its sandbox's id.
//!
//! A deployment without a key signs with an empty key: a client that reaches it may do everything
//! anyway.

use sandbox_protocol::SandboxId;
use sandbox_protocol::hex::hex;

use crate::auth::{constant_time_eq, sha256};
use crate::config::Config;
use crate::error::ApiError;
use crate::new_id::new_id;

/// The number of random characters of a token: two ids.
const RANDOM_LENGTH: usize = 52;
/// The number of characters of the signature in a token: 128 bits.
const SIGNATURE_LENGTH: usize = 32;

/// A new token.
pub fn random() -> Result<String, ApiError> {
    Ok(format!("{}{}", new_id()?, new_id()?))
}

/// A new token for the sandbox `id`, signed.
pub async fn signed(config: &Config, id: &SandboxId) -> Result<String, ApiError> {
    let random = random()?;
    let key = config.api_keys.first().map_or("", |key| key.text.as_str());
    let signature = signature(key, id, &random).await?;
    Ok(random + &signature)
}

/// Whether `token` was signed for the sandbox `id`.
pub async fn is_signed(config: &Config, id: &SandboxId, token: &str) -> Result<bool, ApiError> {
    let Some((random, given)) = token.split_at_checked(RANDOM_LENGTH) else {
        return Ok(false);
    };
    let mut keys: Vec<&str> = config.api_keys.iter().map(|key| key.text.as_str()).collect();
    if keys.is_empty() {
        keys.push("");
    }
    for key in keys {
        let signature = signature(key, id, random).await?;
        if constant_time_eq(signature.as_bytes(), given.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The key is at the end because of length extension: a client that knows one signature could
/// otherwise make others.
async fn signature(key: &str, id: &SandboxId, random: &str) -> Result<String, ApiError> {
    let mut signature = hex(&sha256(&format!("{random}:{id}:{key}")).await?);
    signature.truncate(SIGNATURE_LENGTH);
    Ok(signature)
}
