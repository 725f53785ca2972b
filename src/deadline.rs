//! Timeouts for operations that may never complete: a call of the platform, a lock that another
//! request holds.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use worker::Delay;

use crate::error::ApiError;

/// Returns the output of `future`. Error: 503, which names it by `what`, when it takes longer than
/// `limit`. A call of the platform cannot be cancelled: it goes on, and its outcome is ignored.
pub async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> Result<T, ApiError> {
    match select(pin!(future), Delay::from(limit)).await {
        Either::Left((outcome, _)) => Ok(outcome),
        Either::Right(_) => Err(ApiError::Unavailable(format!(
            "{what} has not ended within {} ms",
            limit.as_millis()
        ))),
    }
}
