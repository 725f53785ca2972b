//! The state that a shell prints, before and after a script: see [`restore`](super::restore) for the
//! commands.

use std::collections::{BTreeMap, BTreeSet};

use super::functions::{self, Function};
use super::syntax::{self, Statement};

/// The end mark of a complete dump.
pub const END: &[u8] = b"\0sandbox-end\0";

/// The state of a shell at one time.
#[derive(Debug, Default)]
pub struct Dump<'a> {
    /// The number of functions on its call stack.
    pub depth: usize,
    /// The local variables of the innermost one.
    pub locals: BTreeSet<&'a [u8]>,
    /// Its options, each with the command that restores it. Empty for a shell that is not bash.
    pub options: BTreeMap<&'a [u8], &'a [u8]>,
    /// Its working directory as the shell calls it; empty when that is deleted.
    pub cwd: &'a [u8],
    /// Its variables; for a shell that is not bash only the exported ones.
    pub variables: BTreeMap<&'a [u8], Statement<'a>>,
    /// The umask, as octal digits.
    pub umask: &'a [u8],
    /// Its functions; `None` when they cannot be told apart in the output.
    pub functions: Option<BTreeMap<&'a [u8], Function<'a>>>,
    /// The values of its aliases, quoted.
    pub aliases: BTreeMap<&'a [u8], &'a [u8]>,
}

/// The first and the last complete dump in `text`; `None` when there is none after the first.
pub fn first_and_last(text: &[u8]) -> Option<(Dump<'_>, Dump<'_>)> {
    let mut complete = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(END.len()).position(|window| window == END) {
        complete.push(rest.get(..at)?);
        rest = rest.get(at + END.len()..)?;
    }
    match complete.as_slice() {
        [first, .., last] => Some((Dump::parse(first)?, Dump::parse(last)?)),
        _ => None,
    }
}

impl<'a> Dump<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut sections = text.split(|byte| *byte == 0);
        let cwd = sections.next()?;
        let mut dump = Self {
            cwd: cwd.strip_suffix(b"\n").unwrap_or(cwd),
            umask: sections.next()?.trim_ascii(),
            variables: syntax::statements(sections.next()?)
                .map(|s| (s.name, s))
                .collect(),
            ..Self::default()
        };
        let Some(depth) = sections.next() else {
            return Some(dump);
        };
        // Empty outside of functions.
        dump.depth = std::str::from_utf8(depth).ok()?.parse().unwrap_or_default();
        dump.locals = syntax::statements(sections.next()?).map(|s| s.name).collect();
        dump.options = lines(sections.next()?)
            .filter_map(|line| Some((option(line)?, line)))
            .collect();
        dump.functions = functions::functions(sections.next()?, sections.next()?);
        dump.aliases = functions::aliases(sections.next()?);
        Some(dump)
    }
}

impl Dump<'_> {
    /// Whether bash printed it.
    pub fn is_bash(&self) -> bool {
        !self.options.is_empty()
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The name in `set -o NAME` or `shopt -u NAME`.
pub fn option(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(|byte| *byte == b' ');
    let command = words.next()?;
    let name = words.nth(1)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    ((command == b"set" || command == b"shopt") && name.iter().all(is_plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_dumps_count() {
        let dump = |cwd: &str| format!("{cwd}\n\x000027\n\0export A='{cwd}'\n\0sandbox-end\0");
        let text = format!("{}{}/half\n\0exp", dump("/a"), dump("/b"));
        let (first, last) = first_and_last(text.as_bytes()).unwrap();
        assert_eq!((first.cwd, last.cwd), (&b"/a"[..], &b"/b"[..]));
        assert_eq!(last.variables[&b"A"[..]].exported().unwrap(), "/b");
        for nothing in [dump("/a"), format!("{}/b\n", dump("/a")), String::new()] {
            assert!(first_and_last(nothing.as_bytes()).is_none());
        }
    }

    #[test]
    fn all_of_bash() {
        let one = "/a\nb\n\x000022\n\0declare -- A=\"1\"\n\x002\0declare -- L=\"\"\n\0set +o errexit\nset -o pipefail\nshopt -s extglob\nrm -rf x\n\0f () \n{ \n:\n}\n\0declare -f f\n\0alias a='b'\n\0sandbox-end\0";
        let text = format!("{one}{one}");
        let (_, dump) = first_and_last(text.as_bytes()).unwrap();
        assert_eq!((dump.cwd, dump.depth), (&b"/a\nb"[..], 2));
        assert!(dump.locals.contains(&b"L"[..]));
        assert_eq!(dump.options.len(), 3);
        assert_eq!(dump.options[&b"pipefail"[..]], b"set -o pipefail");
        assert_eq!(dump.functions.unwrap()[&b"f"[..]].body, b"{ \n:\n}");
        assert_eq!((dump.aliases[&b"a"[..]], dump.umask), (&b"'b'"[..], &b"0022"[..]));
    }
}
