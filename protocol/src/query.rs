//! The parameters of a URL's query.

use percent_encoding::percent_decode_str;

use crate::Invalid;

/// The value of the first parameter called `name` in `query`, the part of a URL after its `?`.
/// `None` when it is absent.
///
/// `+` means a blank and `%XX` a byte, as in every form. Names are compared as they stand.
///
/// # Errors
///
/// 400 when its value is not UTF-8.
pub fn value(query: &str, name: &str) -> Result<Option<String>, Invalid> {
    let mut parameters = query
        .split('&')
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
    let Some((_, value)) = parameters.find(|(found, _)| *found == name) else {
        return Ok(None);
    };
    decode(name, value).map(Some)
}

/// The decoded value of the parameter `name`. Errors: 400 when it is not UTF-8.
pub(crate) fn decode(name: &str, value: &str) -> Result<String, Invalid> {
    let spaced = value.replace('+', " ");
    let decoded = percent_decode_str(&spaced)
        .decode_utf8()
        .map_err(|_| Invalid::request(format!("{name} must be UTF-8, percent-encoded")))?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        for (query, found) in [
            ("", None),
            ("b=1", None),
            ("aa=1&ba=2", None),
            ("a", Some("")),
            ("a=", Some("")),
            ("b=1&a=2&a=3", Some("2")),
            ("a=Bearer%20k", Some("Bearer k")),
            ("a=Bearer+k%2Bl", Some("Bearer k+l")),
            ("a=b=c", Some("b=c")),
            ("a=%C3%A9%zz%", Some("é%zz%")),
        ] {
            assert_eq!(value(query, "a").unwrap().as_deref(), found, "{query}");
        }
        assert_eq!(value("a=%FF", "a").unwrap_err().status(), 400);
        assert_eq!(value("b=%FF", "a"), Ok(None));
    }
}
