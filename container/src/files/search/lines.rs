//! The matching lines of one file.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

use grep_matcher::Matcher as _;
use grep_regex::RegexMatcher;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};
use sandbox_protocol::file::{MAX_LINE, SearchMatch};

use super::size_of_match;

/// The size at which matches are sent, in bytes.
pub(super) const PART: usize = 64 << 10;

/// The longest line that is searched, in bytes. A file with a longer one is left out from there on.
const MAX_SEARCHED_LINE: usize = 8 << 20;

/// A searcher for one thread. It skips binary files: those with a NUL.
pub(super) fn searcher(context: usize) -> Searcher {
    SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(b'\0'))
        .line_number(true)
        .before_context(context)
        .after_context(context)
        .heap_limit(Some(MAX_SEARCHED_LINE))
        .build()
}

/// Searches a file. `send` gets its matches, a part at a time; false ends the search.
pub(super) fn search_file(
    searcher: &mut Searcher,
    matcher: &RegexMatcher,
    file: &File,
    path: &str,
    context: usize,
    send: &dyn Fn(Vec<SearchMatch>) -> bool,
) {
    let mut lines = Lines {
        matcher,
        path,
        context: context as u64,
        send,
        size: 0,
        recent: VecDeque::new(),
        matches: Vec::new(),
        is_binary: false,
    };
    // An error is that of a file that cannot be read, or of a line that is too long. What was found
    // before counts.
    let _ = searcher.search_file(matcher, file, &mut lines);
    if !lines.is_binary && !lines.matches.is_empty() {
        send(lines.matches);
    }
}

struct Lines<'l> {
    matcher: &'l RegexMatcher,
    path: &'l str,
    context: u64,
    send: &'l dyn Fn(Vec<SearchMatch>) -> bool,
    /// About the bytes of the matches.
    size: usize,
    /// The last lines, with their numbers.
    recent: VecDeque<(u64, String)>,
    matches: Vec<SearchMatch>,
    is_binary: bool,
}

impl Lines<'_> {
    /// Notes a line as the context of the matches around it. Returns its text.
    fn note(&mut self, number: u64, line: &[u8]) -> String {
        let text = text(line);
        if self.context > 0 {
            let near = self.matches.iter_mut().rev();
            let near = near.take_while(|found| found.line + self.context >= number);
            near.filter(|found| found.line < number)
                .for_each(|found| found.after.push(text.clone()));
            if self.recent.len() as u64 == self.context {
                self.recent.pop_front();
            }
        }
        text
    }

    /// Sends the matches when they are many, but for those whose context is not complete. Returns
    /// whether the search goes on.
    fn flush(&mut self, number: u64) -> bool {
        if self.size < PART {
            return true;
        }
        let complete = self.matches.iter();
        let complete = complete.take_while(|found| found.line + self.context < number);
        let complete = complete.count();
        let rest = self.matches.split_off(complete);
        self.size = rest.iter().map(size_of_match).sum();
        let part = std::mem::replace(&mut self.matches, rest);
        part.is_empty() || (self.send)(part)
    }

    fn remember(&mut self, number: u64, text: String) {
        if self.context > 0 {
            self.recent.push_back((number, text));
        }
    }
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        let first = found.line_number().unwrap_or_default();
        if !self.flush(first) {
            return Ok(false);
        }
        for (number, line) in (first..).zip(found.lines()) {
            let column = self.matcher.find(without_end(line)).ok().flatten();
            let column = column.map_or(1, |place| place.start() as u64 + 1);
            let before = self.recent.iter();
            let before = before.filter(|(known, _)| known + self.context >= number);
            let before = before.map(|(_, text)| text.clone()).collect();
            let text = self.note(number, line);
            let found = SearchMatch {
                path: self.path.to_owned(),
                line: number,
                column,
                text: text.clone(),
                before,
                after: Vec::new(),
            };
            self.size += size_of_match(&found);
            self.matches.push(found);
            self.remember(number, text);
        }
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> Result<bool, io::Error> {
        let number = context.line_number().unwrap_or_default();
        let text = self.note(number, context.bytes());
        self.remember(number, text);
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, finish: &SinkFinish) -> Result<(), io::Error> {
        self.is_binary = finish.binary_byte_offset().is_some();
        Ok(())
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// A line without its end, cut to [`MAX_LINE`] bytes.
fn text(line: &[u8]) -> String {
    let line = without_end(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let cut = line.get(..MAX_LINE).unwrap_or(line);
    // A character that is cut is left out.
    let whole = match std::str::from_utf8(cut) {
        Err(e) if cut.len() < line.len() && e.error_len().is_none() => cut.get(..e.valid_up_to()),
        _ => Some(cut),
    };
    String::from_utf8_lossy(whole.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn found(content: &[u8], pattern: &str, context: usize) -> Vec<SearchMatch> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let matcher = grep_regex::RegexMatcherBuilder::new()
            .line_terminator(Some(b'\n'))
            .build(pattern)
            .unwrap();
        let found = std::cell::RefCell::new(Vec::new());
        let send = |part: Vec<SearchMatch>| {
            found.borrow_mut().extend(part);
            true
        };
        search_file(&mut searcher(context), &matcher, &file, "/f", context, &send);
        found.into_inner()
    }

    #[test]
    fn many_matches_come_in_parts_with_their_context() {
        let content: String = (1..=20_000).map(|i| format!("{i} x\n")).collect();
        let found = found(content.as_bytes(), "x", 2);
        assert_eq!(found.len(), 20_000);
        for (i, found) in found.iter().enumerate() {
            assert_eq!(found.line, i as u64 + 1);
            assert_eq!(
                (found.before.len(), found.after.len()),
                (i.min(2), (19_999 - i).min(2))
            );
        }
    }

    #[test]
    fn each_match_has_its_own_context() {
        let found = found(b"1\n2 x\n3 yx\r\n4\n5\n6 x", "x", 1);
        let parts: Vec<_> = found
            .iter()
            .map(|found| {
                let texts = (found.text.as_str(), found.before.join("|"), found.after.join("|"));
                (found.line, found.column, texts)
            })
            .collect();
        assert_eq!(
            parts,
            [
                (2, 3, ("2 x", "1".into(), "3 yx".into())),
                (3, 4, ("3 yx", "2 x".into(), "4".into())),
                (6, 3, ("6 x", "5".into(), String::new())),
            ]
        );
    }

    #[test]
    fn binary_files_have_no_matches_and_long_lines_are_cut() {
        assert!(found(b"x\n\0x\n", "x", 0).is_empty());
        let long = ["é".repeat(2000).as_bytes(), b"x\n"].concat();
        let [found] = found(&long, "x", 0).try_into().unwrap();
        assert_eq!((found.text.len(), found.column), (MAX_LINE, 4001));
        assert_eq!(found.text, "é".repeat(MAX_LINE / 2));
    }
}
