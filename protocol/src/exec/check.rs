//! The check of an exec body without a copy of it.
//!
//! The Worker has little memory, and a body may be 32 MiB of `stdin`. So the `stdin` of a large
//! body is cut out before the rest is parsed, and the bytes are forwarded unchanged. `sandboxd`
//! parses all of them.

use std::ops::Range;

use super::ExecRequest;
use crate::{Invalid, json};

/// The most bytes that are parsed here. The arguments and variables of a command have some
/// megabytes at most.
const MAX_PARSED: usize = 1024 * 1024;

/// Checks a JSON body as [`ExecRequest::parse`] does, with the same errors. In a body over
/// [`MAX_PARSED`] only the kind of `stdin` is checked. A body over [`MAX_PARSED`] even without its
/// `stdin` is not checked at all: `sandboxd` finds its errors.
pub fn check(body: &[u8]) -> Result<(), Invalid> {
    let body = json::without_byte_order_mark(body);
    if body.len() <= MAX_PARSED {
        return ExecRequest::parse(body).map(drop);
    }
    match without_stdin(body) {
        Some(rest) => ExecRequest::parse(&rest).map(drop),
        None => Ok(()),
    }
}

/// The body with a short `stdin` of the same kind in place of its own; `None` if it is longer than
/// [`MAX_PARSED`] even so, or no JSON object.
fn without_stdin(body: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Vec::new();
    let mut end = 0;
    for stdin in values_of(body, br#""stdin""#)? {
        let short: &[u8] = match body.get(stdin.start)? {
            b'"' => br#""""#,
            b'{' => br#"{"base64":""}"#,
            _ => body.get(stdin.clone())?,
        };
        append(&mut rest, body.get(end..stdin.start)?)?;
        append(&mut rest, short)?;
        end = stdin.end;
    }
    append(&mut rest, body.get(end..)?)?;
    Some(rest)
}

fn append(rest: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    (rest.len() + bytes.len() <= MAX_PARSED).then(|| rest.extend_from_slice(bytes))
}

/// The ranges of the values of this field in a JSON object; `key` is in its quotes. `None`: it is
/// not an object.
fn values_of(json: &[u8], key: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut values = Vec::new();
    let mut at = after_spaces(json, 0);
    if *json.get(at)? != b'{' {
        return None;
    }
    loop {
        let name = after_spaces(json, at + 1);
        let name_end = end_of_value(json, name)?;
        let colon = after_spaces(json, name_end);
        let value = after_spaces(json, colon + 1);
        let value_end = end_of_value(json, value)?;
        if json.get(name..name_end)? == key {
            values.push(value..value_end);
        }
        at = after_spaces(json, value_end);
        if *json.get(at)? != b',' {
            return Some(values);
        }
    }
}

fn after_spaces(json: &[u8], start: usize) -> usize {
    let spaces = json
        .iter()
        .skip(start)
        .take_while(|byte| byte.is_ascii_whitespace());
    start + spaces.count()
}

/// The end of the JSON value that begins at `start`. The value is not checked.
fn end_of_value(json: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let (mut in_string, mut is_escaped) = (false, false);
    for (at, byte) in json.iter().enumerate().skip(start) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => continue,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            // The end of a number or a word.
            b',' | b'}' | b']' if depth == 0 => return Some(at),
            _ => continue,
        }
        if depth == 0 && !in_string && matches!(byte, b'"' | b'}' | b']') {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body with this large value as its `stdin`.
    fn body(fields: &str, stdin: &str) -> Vec<u8> {
        format!(r#"{{"x":[{{"stdin":"}}"}}], "stdin" : {stdin} ,{fields}}}"#).into_bytes()
    }

    #[test]
    fn large_bodies_are_checked_without_their_stdin() {
        let text = format!("\"{}\"", "\\\"}\\\\".repeat(MAX_PARSED));
        let base64 = format!(r#"{{"x":"}}","base64":"{}"}}"#, "QUFB".repeat(MAX_PARSED));
        for stdin in [&text, &base64] {
            assert_eq!(check(&body(r#""argv":["a"]"#, stdin)), Ok(()));
            let mut marked = b"\xef\xbb\xbf".to_vec();
            marked.extend(body(r#""argv":["a"]"#, stdin));
            assert_eq!(check(&marked), Ok(()));
            for (fields, message) in [
                (r#""argv":[]"#, "argv must be"),
                (r#""argv":["a\u0000"]"#, "argv[0]"),
                (r#""argv":["a"],"cwd":"/etc""#, "within /workspace"),
                (r#""argv":["a"],"env":{"A":1}"#, "env.A"),
                (r#""argv":["a"],"stdin":5"#, "stdin must be"),
                (r#""argv":["a"] "detached":true"#, "Invalid JSON"),
                (r#""argv":["a"]} x"#, "Invalid JSON"),
            ] {
                let refused = check(&body(fields, stdin)).unwrap_err();
                assert!(refused.message().contains(message), "{fields}: {refused}");
            }
        }
    }

    #[test]
    fn little_memory_is_taken_and_sandboxd_refuses_the_rest() {
        let large = "a".repeat(MAX_PARSED);
        let argv = format!(r#"{{"argv":["{large}"],"stdin":5}}"#);
        assert_eq!(without_stdin(argv.as_bytes()), None);
        for unchecked in [argv, format!("[\"{large}\"]"), format!("{{\"argv\":[\"{large}")] {
            assert_eq!(check(unchecked.as_bytes()), Ok(()));
            assert!(ExecRequest::parse(unchecked.as_bytes()).is_err());
        }
        let rest = without_stdin(&body(r#""argv":["a"]"#, &format!("\"{large}\""))).unwrap();
        assert!(rest.capacity() < 1000, "{}", rest.capacity());
    }
}
