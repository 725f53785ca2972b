//! Variables as values.

use crate::error::ApiError;

/// The value of the variable `name`, which `parse` reads. Error: 503, it does not have the `form`.
pub fn parse<T>(
    var: impl Fn(&str) -> Option<String>,
    name: &str,
    form: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let Some(text) = var(name) else {
        return Ok(None);
    };
    match parse(&text) {
        Some(value) => Ok(Some(value)),
        None => Err(ApiError::NotConfigured(format!(
            "{name} must be {form}, not {text:?}"
        ))),
    }
}

/// A whole number.
pub fn whole(text: &str) -> Option<u32> {
    text.parse().ok()
}
