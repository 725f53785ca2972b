//! Exceptions, from the content of Jupyter's messages.

use sandbox_protocol::code::Exception;
use serde_json::Value;

/// The exception of an `error` message, or of a reply that reports one.
pub fn from_content(content: &Value) -> Exception {
    let text = |name: &str| content.get(name).and_then(Value::as_str).unwrap_or_default();
    let lines = content.get("traceback").and_then(Value::as_array);
    let lines = lines.into_iter().flatten().filter_map(Value::as_str);
    let mut given: Vec<String> = lines.map(str::to_owned).collect();
    if given.iter().all(|line| line.is_empty()) {
        given.clear();
    }
    let traceback: Vec<String> = given.iter().map(|line| plain(line)).collect();
    let name = match (text("ename"), text("status")) {
        ("", "aborted") => "Aborted",
        ("", _) => "Error",
        (name, _) => name,
    };
    Exception {
        name: name.to_owned(),
        message: plain(text("evalue")),
        line: line(&traceback),
        traceback_ansi: if given == traceback { Vec::new() } else { given },
        traceback,
    }
}

/// Text without the escapes of a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('\u{1b}');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let rest = match part.strip_prefix('[') {
            // Parameters, then one letter.
            Some(rest) => rest
                .trim_start_matches(|c: char| ('\u{20}'..='\u{3f}').contains(&c))
                .get(1..)
                .unwrap_or_default(),
            None => part,
        };
        plain.push_str(rest);
    }
    plain
}

/// The line of the code in which the exception was raised, as IPython's tracebacks have it: that of the
/// last frame in the cell that comes first.
fn line(traceback: &[String]) -> Option<u64> {
    let frame = |line: &str| -> Option<(u64, u64)> {
        let rest = line
            .trim_start()
            .strip_prefix("File ")
            .unwrap_or(line.trim_start());
        let (number, rest) = rest.strip_prefix("Cell In[")?.split_once(']')?;
        let digits = rest.strip_prefix(", line ").or_else(|| rest.strip_prefix(':'))?;
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        Some((number.parse().ok()?, digits.get(..end)?.parse().ok()?))
    };
    let mut frames = traceback
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(frame)
        .peekable();
    let (cell, _) = *frames.peek()?;
    frames.rfind(|(number, _)| *number == cell).map(|(_, line)| line)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_traceback_is_plain_and_names_the_line() {
        let content = json!({
            "ename": "ZeroDivisionError",
            "evalue": "division by zero",
            "traceback": [
                "\u{1b}[0;31m-----\u{1b}[0m",
                "\u{1b}[36mCell\u{1b}[39m\u{1b}[36m \u{1b}[39m\u{1b}[32mIn[3]\u{1b}[39m\u{1b}[32m, line 4\u{1b}[39m\n      1 x",
                "\u{1b}[32mIn[2]\u{1b}[39m Cell In[2], line 9, in f()",
                "Cell In[3], line 2, in g()",
            ],
        });
        let exception = from_content(&content);
        assert_eq!(
            (exception.name.as_str(), exception.line),
            ("ZeroDivisionError", Some(2))
        );
        assert_eq!(exception.traceback[0], "-----");
        assert!(exception.traceback[1].starts_with("Cell In[3], line 4\n"));
        assert_eq!(exception.traceback_ansi.len(), 4);
        let aborted = from_content(&json!({ "status": "aborted" }));
        assert_eq!((aborted.name.as_str(), aborted.line), ("Aborted", None));
        assert!(aborted.traceback_ansi.is_empty());
    }

    #[test]
    fn a_syntax_error_has_a_line() {
        let exception = from_content(&json!({
            "ename": "SyntaxError", "evalue": "bad", "traceback": ["  Cell In[1], line 7\n    x =\n"],
        }));
        assert_eq!(exception.line, Some(7));
    }
}
