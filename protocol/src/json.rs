//! JSON bodies of requests.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::Invalid;

/// The byte order mark that some writers put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A JSON body without its byte order mark, if it has one.
pub fn without_byte_order_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// The fields of a body that is a JSON object. Errors: 400.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, Invalid> {
    match serde_json::from_slice(without_byte_order_mark(body)) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(invalid("must be an object")),
        Err(e) => Err(invalid(e)),
    }
}

/// The fields of a body; none for an empty one. A byte order mark alone is no JSON. Errors: 400.
pub(crate) fn optional_object(body: &[u8]) -> Result<Map<String, Value>, Invalid> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    object(body)
}

/// Whether a number is zero, and so left out of an answer.
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Reading of a value whose form is not checked.
pub trait Fields {
    /// The field of this name; `null` where there is none.
    fn at(&self, name: &str) -> &Value;
}

impl Fields for Value {
    fn at(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }
}

/// Sets a field of a value that is an object.
pub fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value.into());
    }
}

/// A field, unless it is absent or `null`.
pub(crate) fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

/// The field `name`, which must be a string.
pub(crate) fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, Invalid> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(Invalid::request(format!("{name} must be a string"))),
    };
    field(fields, name).map(text).transpose()
}

/// The field `name`: a boolean, or `default` if it is absent. Errors: 400.
pub(crate) fn flag(fields: &Map<String, Value>, name: &str, default: bool) -> Result<bool, Invalid> {
    field(fields, name).map_or(Ok(default), |value| {
        value
            .as_bool()
            .ok_or_else(|| Invalid::request(format!("{name} must be a boolean")))
    })
}

/// A whole number. Some JSON writers write the integer 1000 as 1000.0.
pub(crate) fn whole(value: &Value) -> Option<u64> {
    let whole = |f: f64| (f.fract() == 0.0 && f >= 0.0 && f < u64::MAX as f64).then_some(f as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(whole))
}

/// The field `name`, a whole number within `range`.
pub(crate) fn natural(
    fields: &Map<String, Value>,
    name: &str,
    range: RangeInclusive<u64>,
) -> Result<Option<u64>, Invalid> {
    let number = |value| {
        let number = whole(value).filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (first, last) = (range.start(), range.end());
            Invalid::request(format!("{name} must be a whole number from {first} to {last}"))
        })
    };
    field(fields, name).map(number).transpose()
}

pub(crate) fn invalid(why: impl Display) -> Invalid {
    Invalid::request(format!("Invalid JSON body: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_order_mark_is_taken() {
        assert_eq!(object(b"\xef\xbb\xbf{\"a\":1}").unwrap().len(), 1);
        assert_eq!(optional_object(b" \n").unwrap().len(), 0);
        let mark_alone = optional_object(b"\xef\xbb\xbf");
        assert_eq!(mark_alone.unwrap_err().status(), 400);
        for body in [
            &b"\xef\xbb{}"[..],
            b"\xef\xbb\xbf\xef\xbb\xbf{}",
            b"{}\xef\xbb\xbf",
        ] {
            assert_eq!(object(body).unwrap_err().status(), 400);
        }
    }
}
