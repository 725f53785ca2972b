//! `POST /v1/token`

use sandbox_protocol::token::{Claims, MAX_BODY, TokenCreated, TokenRequest};
use wasm_bindgen::JsValue;
use web_sys::{Request, Response};

use crate::config::Config;
use crate::error::ApiError;
use crate::{body, response, token};

/// 200 `{"token","expiresAt"}`. Error: 503 for a deployment without a key.
pub async fn create(config: &Config, request: &Request) -> Result<Response, ApiError> {
    let wanted = TokenRequest::parse(&body::read(request, MAX_BODY).await?)?;
    let key = config.api_keys.first().ok_or_else(|| {
        ApiError::NotConfigured("SANDBOX_API_KEY is not set: without a key there are no tokens".into())
    })?;
    let claims = Claims {
        sandbox: wanted.sandbox,
        scopes: wanted.scopes,
        // Whole seconds, rounded up: a token lives at least as long as was asked for.
        expires_at: token::now() + wanted.expires_in.as_millis().div_ceil(1000) as u64 + 1,
    };
    let expires_at = js_sys::Date::new(&JsValue::from_f64(claims.expires_at as f64 * 1000.0));
    let created = TokenCreated {
        token: token::sign(key, &claims).await?,
        expires_at: String::from(expires_at.to_iso_string()),
    };
    response::json(200, &created)
}
