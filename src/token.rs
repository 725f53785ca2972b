//! Signs and verifies tokens, see [`sandbox_protocol::token`].
//!
//! The key of the signatures is derived from a key of the deployment, so a token ends when that key
//! is removed, and a token tells nothing about it. The scope that each operation needs is in the route
//! table, `protocol/src/route_table.rs`.

use sandbox_protocol::token::{Claims, Unverified, join};

use crate::auth::constant_time_eq;
use crate::config::{ApiKey, ApiKeys};
use crate::error::ApiError;
use crate::hmac::derived_key;

/// The text from which the key of the signatures is derived.
const PURPOSE: &str = "sandbar token";

/// The token of these claims, signed by `key`.
pub async fn sign(key: &ApiKey, claims: &Claims) -> Result<String, ApiError> {
    let signed = claims.to_signed_part();
    let signature = derived_key(&key.text, PURPOSE).await?.sign(&signed).await?;
    Ok(join(&signed, &signature))
}

/// The claims of a token that one of `keys` has signed. Error: 401, it is none, or it has expired.
pub async fn verify(keys: &ApiKeys, token: &str) -> Result<Claims, ApiError> {
    let token = Unverified::parse(token).ok_or(ApiError::Unauthorized)?;
    for key in keys.iter() {
        let signature = derived_key(&key.text, PURPOSE).await?.sign(token.signed).await?;
        if constant_time_eq(&signature, &token.signature) {
            return token.claims(now()).ok_or(ApiError::Unauthorized);
        }
    }
    Err(ApiError::Unauthorized)
}

/// The time in seconds since 1970.
pub fn now() -> u64 {
    (js_sys::Date::now() / 1000.0) as u64
}
