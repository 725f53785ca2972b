//! The part of the shell grammar in which shells print their own variables: `declare -x A="b"`,
//! `export A='b'`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// One variable as a shell printed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The variable's name.
    pub name: &'a [u8],
    /// Its attributes, as letters; `x` is exported.
    flags: &'a [u8],
    /// The assigned value, quoted; `None` when it is declared without a value.
    assigned: Option<&'a [u8]>,
    /// The whole statement, without its line feed.
    pub text: &'a [u8],
}

impl Statement<'_> {
    /// Whether it is exported to commands, if it has a value.
    pub fn is_exported(&self) -> bool {
        self.flags.contains(&b'x')
    }

    /// The commands that declare it again, even if its attributes do not allow its value: it may be
    /// older than they are.
    pub fn declaration(&self) -> Vec<u8> {
        let Some(assigned) = self.assigned.filter(|_| self.flags.contains(&b'i')) else {
            return self.text.to_vec();
        };
        let list = self.flags.iter().copied().filter(|flag| b"aA".contains(flag));
        let mut declaration = b"declare -".to_vec();
        declaration.extend(list);
        if declaration.ends_with(b"-") {
            declaration.push(b'-');
        }
        declaration.extend([b" ", self.name, b"=", assigned].concat());
        declaration.extend([b"\ndeclare ", self.flags, b" ", self.name].concat());
        declaration
    }

    /// The value that commands get.
    pub fn exported(&self) -> Option<OsString> {
        let is_list = self.flags.iter().any(|flag| b"aA".contains(flag));
        let value = self.assigned.filter(|_| self.is_exported() && !is_list)?;
        Some(OsString::from_vec(unquote(value)))
    }
}

/// The variables that `printed` declares. Other statements are left out.
pub fn statements(printed: &[u8]) -> impl Iterator<Item = Statement<'_>> {
    split(printed).filter_map(parse)
}

/// The statements of `printed`, each without its line feed.
pub fn split(printed: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = printed;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (text, after) = rest.split_at(end_of_statement(rest));
        rest = after.get(1..).unwrap_or_default();
        Some(text)
    })
}

/// Whether `name` is a valid name of a variable.
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

/// The kind of quotes around the next byte.
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

/// The value of a quoted `word`.
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

/// Decodes an escape sequence inside `$'…'`, after its backslash.
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
        // Only the lower eight bits count.
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
mod tests;
