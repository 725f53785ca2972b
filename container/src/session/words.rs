//! The little of a shell's grammar in which shells print their own variables: `declare -x A="b"`, `export A='b'`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// One variable as a shell printed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The variable's name.
    pub name: &'a [u8],
    /// Its attributes, as letters; `x` is exported.
    flags: &'a [u8],
    /// What is assigned to it, quoted; `None` when it is declared without a value.
    assigned: Option<&'a [u8]>,
    /// The whole statement, without its line feed.
    pub text: &'a [u8],
}

impl Statement<'_> {
    /// Whether commands get it, if it has a value.
    pub fn is_exported(&self) -> bool {
        self.flags.contains(&b'x')
    }

    /// What commands get as its value.
    pub fn exported(&self) -> Option<OsString> {
        let is_list = self.flags.iter().any(|flag| b"aA".contains(flag));
        let value = self.assigned.filter(|_| self.is_exported() && !is_list)?;
        Some(OsString::from_vec(unquote(value)))
    }
}

/// The variables that `printed` declares. Whatever else there is, is left out.
pub fn statements(printed: &[u8]) -> impl Iterator<Item = Statement<'_>> {
    let mut rest = printed;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (text, after) = rest.split_at(end_of_statement(rest));
            rest = after.get(1..).unwrap_or_default();
            if let Some(statement) = parse(text) {
                return Some(statement);
            }
        }
    })
}

/// Whether a shell takes `name` for a variable's.
pub fn is_name(name: &[u8]) -> bool {
    name.first()
        .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// `value` as one word of any shell.
pub fn quote(value: &[u8]) -> Vec<u8> {
    let mut word = Vec::with_capacity(value.len() + 2);
    word.push(b'\'');
    for byte in value {
        match byte {
            b'\'' => word.extend_from_slice(b"'\\''"),
            byte => word.push(*byte),
        }
    }
    word.push(b'\'');
    word
}

fn parse(text: &[u8]) -> Option<Statement<'_>> {
    let (command, mut rest) = word(text)?;
    let mut flags: &[u8] = match command {
        b"declare" | b"typeset" => b"",
        b"export" => b"x",
        _ => return None,
    };
    while let Some((word, after)) = word(rest).filter(|(word, _)| word.starts_with(b"-")) {
        if command != b"export" {
            flags = word;
        }
        rest = after;
    }
    let (name, assigned) = match rest.iter().position(|byte| *byte == b'=') {
        Some(at) => (rest.get(..at)?, rest.get(at + 1..)),
        None => (rest, None),
    };
    is_name(name).then_some(Statement {
        name,
        flags,
        assigned,
        text,
    })
}

/// The first word of `text`, which has no quotes, and what follows it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b' ')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Where the next byte stands with respect to quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
    /// `$'…'`
    Ansi,
}

impl Quotes {
    /// After `byte`, which is not escaped and follows `before`.
    fn after(self, byte: u8, before: Option<u8>) -> Self {
        match (self, byte) {
            (Self::None, b'\'') if before == Some(b'$') => Self::Ansi,
            (Self::None, b'\'') => Self::Single,
            (Self::None, b'"') => Self::Double,
            (Self::Single | Self::Ansi, b'\'') | (Self::Double, b'"') => Self::None,
            (quotes, _) => quotes,
        }
    }
}

/// The length of the first statement of `text`: a line feed ends it, unless it is quoted.
fn end_of_statement(text: &[u8]) -> usize {
    let mut quotes = Quotes::None;
    let mut before = None;
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\n' if quotes == Quotes::None => return at,
            b'\\' if quotes != Quotes::Single => {
                bytes.next();
                before = None;
            }
            byte => {
                quotes = quotes.after(*byte, before);
                before = Some(*byte);
            }
        }
    }
    text.len()
}

/// What a shell makes of a `word`.
fn unquote(word: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(word.len());
    let mut quotes = Quotes::None;
    let mut bytes = word.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (quotes, byte) {
            (Quotes::None, b'$') if bytes.next_if_eq(&b'\'').is_some() => quotes = Quotes::Ansi,
            (Quotes::Ansi, b'\\') => unescape(&mut bytes, &mut value),
            (Quotes::None | Quotes::Double, b'\\') => match bytes.next() {
                Some(b'\n') | None => {}
                Some(escaped) => {
                    if quotes == Quotes::Double && !b"$`\"\\".contains(&escaped) {
                        value.push(b'\\');
                    }
                    value.push(escaped);
                }
            },
            _ => {
                let after = quotes.after(byte, None);
                if after == quotes {
                    value.push(byte);
                }
                quotes = after;
            }
        }
    }
    value
}

/// What follows a backslash inside `$'…'`.
fn unescape(bytes: &mut std::iter::Peekable<impl Iterator<Item = u8>>, value: &mut Vec<u8>) {
    let Some(escape) = bytes.next() else { return };
    let mut digits = |first: u32, radix: u32, most: usize| {
        let mut number = first;
        for _ in 0..most {
            let digit = bytes.peek().and_then(|byte| char::from(*byte).to_digit(radix));
            let Some(digit) = digit else { break };
            number = number * radix + digit;
            bytes.next();
        }
        number
    };
    match escape {
        b'a' => value.push(7),
        b'b' => value.push(8),
        b'e' | b'E' => value.push(0x1b),
        b'f' => value.push(0x0c),
        b'n' => value.push(b'\n'),
        b'r' => value.push(b'\r'),
        b't' => value.push(b'\t'),
        b'v' => value.push(0x0b),
        // A byte has eight bits, whatever the digits say.
        b'0'..=b'7' => value.push(digits(u32::from(escape - b'0'), 8, 2) as u8),
        b'x' => value.push(digits(0, 16, 2) as u8),
        b'u' | b'U' => {
            let most = if escape == b'u' { 4 } else { 8 };
            let character = char::from_u32(digits(0, 16, most)).unwrap_or(char::REPLACEMENT_CHARACTER);
            value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        other => value.push(other),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::process::Command;

    use super::*;

    fn parsed(printed: &str) -> Vec<(String, Option<String>)> {
        statements(printed.as_bytes())
            .map(|statement| {
                let name = String::from_utf8(statement.name.to_vec()).unwrap();
                (
                    name,
                    statement.exported().map(|value| value.into_string().unwrap()),
                )
            })
            .collect()
    }

    #[test]
    fn statements_end_where_a_shell_ends_them() {
        let printed = "declare -x A=\"a\nb\\\"\nc\"\nnoise\ndeclare -- B='x\ny'\ndeclare -ax C=([0]=\"1\n2\")\nexport D='it'\\''s\n'\ndeclare -rx E=$'\\'\\n'\ndeclare -x F\n";
        let value = |text: &str| Some(text.to_owned());
        assert_eq!(
            parsed(printed),
            [
                ("A".into(), value("a\nb\"\nc")),
                ("B".into(), None),
                ("C".into(), None),
                ("D".into(), value("it's\n")),
                ("E".into(), value("'\n")),
                ("F".into(), None),
            ]
        );
        let texts: Vec<_> = statements(b"declare -i A=\"\n\"\nexport B")
            .map(|s| s.text.to_vec())
            .collect();
        assert_eq!(texts, [&b"declare -i A=\"\n\""[..], b"export B"]);
    }

    #[test]
    fn what_is_no_variable_is_left_out() {
        assert_eq!(
            parsed("declare -x\ndeclare -x A-B=\"1\"\ndeclare -x =\"\"\nset -o x\n\n"),
            []
        );
    }

    /// Every byte, and what is special in quotes.
    fn values() -> Vec<Vec<u8>> {
        let mut values: Vec<Vec<u8>> = (1..=255).map(|byte| vec![b'a', byte, b'7']).collect();
        values.push((1..=255).collect());
        for text in [
            "",
            " ",
            "é€🦀",
            "\u{85}",
            "$HOME `x` \\ \" ' $'a' \\n",
            "\n\n",
            "a=b",
            "\\",
            "'",
            "$'",
        ] {
            values.push(text.into());
        }
        values
    }

    #[test]
    fn shells_print_every_value_so_that_it_reads_back() {
        for (shell, print) in [
            ("bash", "export -p"),
            ("bash", "set -o posix; export -p"),
            ("sh", "export -p"),
        ] {
            for locale in ["C", "C.UTF-8"] {
                let mut command = Command::new(shell);
                command.args(["-c", print]).env("LC_ALL", locale);
                for (i, value) in values().iter().enumerate() {
                    command.env(format!("V{i}"), OsStr::from_bytes(value));
                }
                let printed = command.output().unwrap().stdout;
                for (i, value) in values().into_iter().enumerate() {
                    let name = format!("V{i}");
                    let found = statements(&printed).find(|statement| statement.name == name.as_bytes());
                    let exported = found.expect("it is printed").exported().unwrap();
                    assert_eq!(exported, OsString::from_vec(value), "{shell} {locale} {print}");
                }
            }
        }
    }

    #[test]
    fn shells_read_what_was_quoted() {
        for shell in ["bash", "sh"] {
            for value in values() {
                let script = [&b"printf %s "[..], &quote(&value)].concat();
                let output = Command::new(shell)
                    .arg("-c")
                    .arg(OsStr::from_bytes(&script))
                    .output()
                    .unwrap();
                assert_eq!(output.stdout, value, "{shell}");
            }
        }
    }
}
