//! Signs requests with the credentials of a mount. The key of a day is cached: it takes four hashes
//! to derive.

use std::cell::RefCell;

use js_sys::Date;
use sandbox_protocol::hex::hex;
use sandbox_protocol::mount::Credentials;

use crate::auth::sha256;
use crate::error::ApiError;
use crate::hmac::hmac;
use crate::s3::sigv4::{Request, Validity};

/// Makes signatures, and caches the key of the day.
#[derive(Debug, Default)]
pub struct Signer {
    day: RefCell<Option<Day>>,
}

/// The signing key of a day in a region.
#[derive(Clone)]
struct Day {
    credentials: Credentials,
    day: String,
    region: String,
    key: Vec<u8>,
}

impl std::fmt::Debug for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Day(…)")
    }
}

impl Signer {
    /// The header `Authorization` for `request`.
    pub async fn authorization(
        &self,
        credentials: &Credentials,
        validity: &Validity,
        request: &Request<'_>,
    ) -> Result<String, ApiError> {
        let hash = hex(&sha256(&request.canonical()).await?);
        let key = self.key(credentials, validity).await?;
        let signature = hex(&hmac(&key, &validity.to_sign(&hash)).await?);
        Ok(validity.authorization(credentials.id(), request, &signature))
    }

    async fn key(&self, credentials: &Credentials, validity: &Validity) -> Result<Vec<u8>, ApiError> {
        if let Some(day) = &*self.day.borrow()
            && day.credentials == *credentials
            && day.day == validity.day()
            && day.region == validity.region
        {
            return Ok(day.key.clone());
        }
        let mut key = format!("AWS4{}", credentials.secret()).into_bytes();
        for step in validity.steps() {
            key = hmac(&key, step).await?;
        }
        *self.day.borrow_mut() = Some(Day {
            credentials: credentials.clone(),
            day: validity.day().to_owned(),
            region: validity.region.clone(),
            key: key.clone(),
        });
        Ok(key)
    }
}

/// The validity of a signature made now, in `region`.
pub fn now(region: &str) -> Validity {
    Validity::new(&String::from(Date::new_0().to_iso_string()), region)
}
