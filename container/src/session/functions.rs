//! The functions and aliases of bash, as it prints them.

use std::collections::BTreeMap;

use super::syntax;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its definition from the opening brace on, with redirections.
    pub body: &'a [u8],
    /// Its attributes, as letters; `x` is exported.
    pub flags: &'a [u8],
}

/// The functions that `declare -f` printed, and `declare -F` their attributes; `None` when they
/// cannot be told apart.
pub fn functions<'a>(
    definitions: &'a [u8],
    attributes: &'a [u8],
) -> Option<BTreeMap<&'a [u8], Function<'a>>> {
    let mut attributes = attributes
        .split(|byte| *byte == b'\n')
        .filter_map(attribute)
        .peekable();
    let mut rest = definitions;
    let mut functions = BTreeMap::new();
    while let Some((flags, name)) = attributes.next() {
        // The keyword is printed before names that are keywords themselves.
        let definition = rest.strip_prefix(b"function ").unwrap_or(rest);
        let definition = definition.strip_prefix(&*header(name))?;
        let end = match attributes.peek() {
            Some((_, next)) => end_before(definition, next)?,
            None => definition.len().checked_sub(1)?,
        };
        let body = definition.get(..end)?;
        rest = definition.get(end + 1..)?;
        // Uncommon attributes are printed here as well.
        let declared = [b"\ndeclare -", flags, b" ", name].concat();
        let body = body.strip_suffix(&*declared).unwrap_or(body);
        functions.insert(name, Function { body, flags });
    }
    Some(functions)
}

/// The values of the aliases that `alias -p` printed, quoted.
pub fn aliases(printed: &[u8]) -> BTreeMap<&[u8], &[u8]> {
    syntax::split(printed)
        .filter_map(|statement| {
            let alias = statement.strip_prefix(b"alias ")?;
            let alias = alias.strip_prefix(b"-- ").unwrap_or(alias);
            let at = alias.iter().position(|byte| *byte == b'=')?;
            Some((alias.get(..at)?, alias.get(at + 1..)?))
        })
        .collect()
}

/// The first line of a definition.
fn header(name: &[u8]) -> Vec<u8> {
    [name, b" () \n"].concat()
}

/// The length of the text before the definition of `next`. A here-document inside a function may
/// look like a definition, but does not follow the end of another.
fn end_before(definitions: &[u8], next: &[u8]) -> Option<usize> {
    let header = header(next);
    let mut line_before: &[u8] = b"";
    let mut start = 0;
    for line in definitions.split_inclusive(|byte| *byte == b'\n') {
        let rest = definitions.get(start..)?;
        let rest = rest.strip_prefix(b"function ").unwrap_or(rest);
        let follows_end = line_before.starts_with(b"}") || attribute(line_before).is_some();
        if follows_end && rest.starts_with(&header) {
            return start.checked_sub(1);
        }
        start += line.len();
        line_before = line;
    }
    None
}

/// The attributes and the name in `declare -fx NAME`.
fn attribute(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.strip_prefix(b"declare -")?;
    let at = line.iter().position(|byte| *byte == b' ')?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn printed(script: &str) -> Vec<u8> {
        let output = Command::new("bash").args(["-c", script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        output.stdout
    }

    #[test]
    fn functions_of_any_name_and_body() {
        let define = "my-func() { :; }; function if { :; }; function a=b { :; } >/dev/null; @x() (cd /; ls)\n\
                      z() { cat <<END\nmy-func\n}\nEND\n}; export -f if z; readonly -f z; declare ";
        let definitions = printed(&format!("{define} -f"));
        let attributes = printed(&format!("{define} -F"));
        let functions = functions(&definitions, &attributes).unwrap();
        let names: Vec<_> = functions
            .keys()
            .map(|name| String::from_utf8_lossy(name))
            .collect();
        assert_eq!(names, ["@x", "a=b", "if", "my-func", "z"]);
        assert_eq!(functions[&b"a=b"[..]].body, b"{ \n    :\n} > /dev/null");
        let empty = |flags: &'static [u8]| Function {
            body: b"{ \n    :\n}",
            flags,
        };
        assert_eq!(functions[&b"my-func"[..]], empty(b"f"));
        assert_eq!(functions[&b"if"[..]], empty(b"fx"));
        let z = functions[&b"z"[..]];
        assert!(z.body.ends_with(b"\nEND\n\n}") && z.flags == b"frx", "{z:?}");
    }

    #[test]
    fn no_functions_and_invalid_ones() {
        assert_eq!(functions(b"", b""), Some(BTreeMap::new()));
        assert_eq!(functions(b"f () \n{ \n:\n}\n", b"declare -f g\n"), None);
        assert_eq!(functions(b"", b"declare -f g\n"), None);
    }

    #[test]
    fn aliases_of_any_name_and_value() {
        let text = printed("alias -- -x=1 a=\"it's\nb\" 'c=d e'; alias -p");
        let aliases = aliases(&text);
        let expected: [(&[u8], &[u8]); 3] = [(b"-x", b"'1'"), (b"a", b"'it'\\''s\nb'"), (b"c", b"'d e'")];
        assert_eq!(aliases, BTreeMap::from(expected));
    }
}
