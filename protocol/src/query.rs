//! The parameters of a URL's query.

use std::ops::RangeInclusive;

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
    parameters(query, name).next().transpose()
}

/// The values of every parameter called `name`, as those of [`value`].
///
/// # Errors
///
/// 400 when one is not UTF-8.
pub fn values(query: &str, name: &str) -> Result<Vec<String>, Invalid> {
    parameters(query, name).collect()
}

fn parameters<'q>(query: &'q str, name: &'q str) -> impl Iterator<Item = Result<String, Invalid>> + 'q {
    query
        .split('&')
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .filter(move |(found, _)| *found == name)
        .map(move |(_, value)| decode(name, value))
}

/// The parameter `name`: `true` or `false`; false when it is absent.
///
/// # Errors
///
/// 400 for another value.
pub fn flag(text: &str, name: &str) -> Result<bool, Invalid> {
    match value(text, name)?.as_deref() {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(_) => Err(Invalid::request(format!("{name} must be true or false"))),
    }
}

/// The parameter `name`, a whole number within `range`.
///
/// # Errors
///
/// 400 for another value.
pub(crate) fn natural(
    query: &str,
    name: &str,
    range: RangeInclusive<usize>,
) -> Result<Option<usize>, Invalid> {
    let number = |text: String| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (first, last) = (range.start(), range.end());
            Invalid::request(format!("{name} must be a whole number from {first} to {last}"))
        })
    };
    value(query, name)?.map(number).transpose()
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
