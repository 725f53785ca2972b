//! Work that goes on when its client leaves, which drops the future of a handler.

use crate::Error;

/// Runs `work` to its end, also when this is dropped. `panicked` makes the error of work that panics.
pub async fn to_its_end<T: Send + 'static>(
    panicked: fn(String) -> Error,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let end = tokio::spawn(work).await;
    end.unwrap_or_else(|e| Err(panicked(e.to_string())))
}
