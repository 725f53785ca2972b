//! Patterns for files to leave out of an archive: those of `tar --exclude ./PATTERN`, matched as
//! GNU tar matches them.
//!
//! A pattern is matched against a whole name like `./a/b`; everything below a name that matches is
//! left out with it. `*` and `?` match slashes too, and a backslash escapes a character. (A pattern
//! that begins with `./` can match only at the beginning, so tar's matching after every slash makes
//! no difference.) One rule is git's: a pattern that ends with a slash, which matches nothing in
//! tar, matches directories only.

use std::collections::HashSet;

/// The patterns of one request.
#[derive(Debug, Default)]
pub(super) struct Excludes {
    any: Patterns,
    /// The patterns that ended with a slash, without it.
    directories: Patterns,
}

#[derive(Debug, Default)]
struct Patterns {
    /// The patterns without wildcards, which are usual: looked up, so that their number does not
    /// matter.
    names: HashSet<Vec<u8>>,
    patterns: Vec<Vec<Token>>,
}

/// A part of a pattern.
#[derive(Debug)]
enum Token {
    Byte(u8),
    /// `?`
    AnyCharacter,
    /// `*`
    AnyText,
    /// `[…]`
    Set {
        negated: bool,
        members: Vec<Member>,
    },
}

/// An element of a set.
#[derive(Debug)]
enum Member {
    Range(char, char),
    Class(fn(&char) -> bool),
}

impl Excludes {
    /// Patterns without their leading `./`.
    pub(super) fn new(patterns: &[String]) -> Self {
        let mut excludes = Self::default();
        for pattern in patterns {
            let mut tokens = parse(pattern);
            let length = tokens.len();
            while let Some(Token::Byte(b'/')) = tokens.last() {
                tokens.pop();
            }
            let excludes = match tokens.len() == length {
                true => &mut excludes.any,
                false => &mut excludes.directories,
            };
            let literal = |token: &Token| match token {
                Token::Byte(byte) => Some(*byte),
                _ => None,
            };
            match tokens.iter().map(literal).collect() {
                Some(name) => drop(excludes.names.insert(name)),
                None => excludes.patterns.push(tokens),
            }
        }
        excludes
    }

    /// Whether `name`, without its leading `./`, is left out whatever its kind.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.any.contains(name)
    }

    /// Whether `name`, without `./` and the slash at its end, is left out as it is a directory.
    pub(super) fn contains_directory(&self, name: &[u8]) -> bool {
        self.directories.contains(name)
    }
}

impl Patterns {
    fn contains(&self, name: &[u8]) -> bool {
        self.names.contains(name) || self.patterns.iter().any(|pattern| matches(pattern, name))
    }
}

fn parse(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let (token, left) = match c {
            '*' => (Some(Token::AnyText), after),
            '?' => (Some(Token::AnyCharacter), after),
            '[' => match parse_set(after) {
                Some((set, left)) => (Some(set), left),
                None => (Some(Token::Byte(b'[')), after),
            },
            _ => (None, after),
        };
        rest = left;
        if let Some(token) = token {
            tokens.push(token);
            continue;
        }
        let mut literal = c;
        if c == '\\' {
            // At the end of a pattern there is nothing to escape: the pattern matches nothing, as
            // no name contains NUL.
            literal = rest.chars().next().unwrap_or('\0');
            rest = rest.get(literal.len_utf8()..).unwrap_or_default();
        }
        let mut buffer = [0; 4];
        tokens.extend(literal.encode_utf8(&mut buffer).bytes().map(Token::Byte));
    }
    tokens
}

/// Parses the text after a `[`; `None` when no `]` ends it: then the `[` is a literal.
fn parse_set(text: &str) -> Option<(Token, &str)> {
    let (negated, mut rest) = match text.strip_prefix(['!', '^']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut members = Vec::new();
    loop {
        if let Some(left) = rest.strip_prefix(']')
            && !members.is_empty()
        {
            return Some((Token::Set { negated, members }, left));
        }
        if let Some((name, left)) = rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) {
            members.push(Member::Class(class(name)?));
            rest = left;
            continue;
        }
        let (first, left) = set_character(rest)?;
        rest = left;
        let mut last = first;
        if let Some(left) = rest.strip_prefix('-')
            && !left.starts_with(']')
        {
            (last, rest) = set_character(left)?;
        }
        members.push(Member::Range(first, last));
    }
}

fn set_character(text: &str) -> Option<(char, &str)> {
    let mut chars = text.strip_prefix('\\').unwrap_or(text).chars();
    let c = chars.next()?;
    Some((c, chars.as_str()))
}

fn class(name: &str) -> Option<fn(&char) -> bool> {
    Some(match name {
        "alpha" => |c| c.is_alphabetic(),
        "digit" => char::is_ascii_digit,
        "alnum" => |c| c.is_alphanumeric(),
        "upper" => |c| c.is_uppercase(),
        "lower" => |c| c.is_lowercase(),
        "space" => |c| c.is_whitespace(),
        "blank" => |c| matches!(c, ' ' | '\t'),
        "punct" => char::is_ascii_punctuation,
        "cntrl" => |c| c.is_control(),
        "xdigit" => char::is_ascii_hexdigit,
        "graph" => |c| !c.is_control() && !c.is_whitespace(),
        "print" => |c| !c.is_control(),
        _ => return None,
    })
}

/// Whether the whole of `name` matches. When the match fails after a `*`, that `*` takes one more
/// byte; only the last `*` needs to be retried, so the time is at most the product of both lengths.
fn matches(pattern: &[Token], name: &[u8]) -> bool {
    let (mut tokens, mut left) = (pattern, name);
    let mut star = None;
    loop {
        match tokens.split_first() {
            Some((Token::AnyText, after)) => {
                star = Some((after, left));
                tokens = after;
                continue;
            }
            Some((token, after)) => {
                if let Some(rest) = token.strip(left) {
                    (tokens, left) = (after, rest);
                    continue;
                }
            }
            None if left.is_empty() => return true,
            None => {}
        }
        let Some((after, from)) = star else {
            return false;
        };
        let Some((_, from)) = from.split_first() else {
            return false;
        };
        star = Some((after, from));
        (tokens, left) = (after, from);
    }
}

impl Token {
    /// The rest of `text` after the part that this token matches.
    fn strip<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        if let Self::Byte(byte) = self {
            return text.strip_prefix(&[*byte]);
        }
        let (c, rest) = first_character(text)?;
        let matched = match self {
            Self::Set { negated, members } => members.iter().any(|member| member.contains(c)) != *negated,
            Self::Byte(_) | Self::AnyCharacter | Self::AnyText => true,
        };
        matched.then_some(rest)
    }
}

impl Member {
    fn contains(&self, c: char) -> bool {
        match self {
            Self::Range(first, last) => (*first..=*last).contains(&c),
            Self::Class(contains) => contains(&c),
        }
    }
}

/// The first character, and the rest; a byte that begins no character counts as one that is in no
/// set.
fn first_character(text: &[u8]) -> Option<(char, &[u8])> {
    let first = text.utf8_chunks().next()?;
    let (c, length) = match first.valid().chars().next() {
        Some(c) => (c, c.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    };
    Some((c, text.get(length..)?))
}

#[cfg(test)]
mod tests;
