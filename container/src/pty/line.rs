//! Input lines longer than the kernel's line buffer.
//!
//! In canonical mode a program reads whole lines, and the line discipline discards whatever comes
//! after the first 4095 bytes of one. Its end-of-file character (`VEOF`, usually Ctrl-D) makes the
//! part of a line that has been received available to the program, and adds nothing to it: only on
//! an empty line does it mean the end of the file. So a long line is written in parts with a `VEOF`
//! after each, and `read` returns these parts one after another.

use rustix::termios::{InputModes, LocalModes, SpecialCodeIndex, SpecialCodes, Termios};

/// The length from which on a line is divided, in bytes: the kernel's limit, less a margin, as it
/// is divided only behind an [ordinary](Modes::is_ordinary) byte.
const LINE_LIMIT: usize = 3800;

/// The input that is examined for one `write`, in bytes. The kernel takes less.
const WRITE_LIMIT: usize = 64 * 1024;

/// The characters that end a line, besides LF.
const LINE_ENDS: [SpecialCodeIndex; 3] = [
    SpecialCodeIndex::VEOF,
    SpecialCodeIndex::VEOL,
    SpecialCodeIndex::VEOL2,
];

/// The characters that edit or discard a line, or signal. They count as parts of a line: to
/// overestimate its length only divides it earlier.
const FUNCTIONS: [SpecialCodeIndex; 10] = [
    SpecialCodeIndex::VERASE,
    SpecialCodeIndex::VWERASE,
    SpecialCodeIndex::VKILL,
    SpecialCodeIndex::VREPRINT,
    SpecialCodeIndex::VLNEXT,
    SpecialCodeIndex::VINTR,
    SpecialCodeIndex::VQUIT,
    SpecialCodeIndex::VSUSP,
    SpecialCodeIndex::VSTART,
    SpecialCodeIndex::VSTOP,
];

/// A line of which the terminal has received the beginning.
#[derive(Debug, Default, Clone, Copy)]
pub struct PendingLine {
    /// Its length so far, in bytes.
    length: usize,
    /// Whether its last byte is ordinary: the line is not empty then, and a `VEOF` is not quoted.
    is_divisible: bool,
    /// Whether its last byte quotes the next one, which then ends no line.
    is_quoting: bool,
}

/// The input modes of the line discipline.
#[derive(Debug)]
pub struct Modes<'a> {
    input: InputModes,
    codes: &'a SpecialCodes,
    /// `None` when programs read byte by byte, or when there is no such character.
    end_of_file: Option<u8>,
    /// The character that quotes the next one, if there is one.
    quote: Option<u8>,
}

/// One `write`.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The number of bytes of the input in it.
    pub length: usize,
    /// The end-of-file character that is written after them.
    pub end_of_file: Option<u8>,
}

impl<'a> Modes<'a> {
    /// The modes of a terminal.
    pub fn new(termios: &'a Termios) -> Self {
        let codes = &termios.special_codes;
        let end_of_file = Some(codes[SpecialCodeIndex::VEOF]);
        let is_canonical = termios.local_modes.contains(LocalModes::ICANON);
        Self {
            input: termios.input_modes,
            codes,
            end_of_file: end_of_file.filter(|code| is_canonical && *code != 0),
            quote: Some(codes[SpecialCodeIndex::VLNEXT])
                .filter(|code| termios.local_modes.contains(LocalModes::IEXTEN) && *code != 0),
        }
    }

    /// Whether `byte` has no special function.
    fn is_ordinary(&self, byte: u8) -> bool {
        let has_function = |index: &SpecialCodeIndex| self.codes[*index] == byte;
        byte >= b' ' && !FUNCTIONS.iter().chain(&LINE_ENDS).any(has_function)
    }

    fn ends_line(&self, byte: u8) -> bool {
        byte == b'\n'
            || (byte == b'\r' && self.input.contains(InputModes::ICRNL))
            || (byte != 0 && LINE_ENDS.iter().any(|index| self.codes[*index] == byte))
    }
}

impl PendingLine {
    /// The next part of `input` to write.
    pub fn next_part(&self, input: &[u8], modes: &Modes<'_>) -> Part {
        let input = input.get(..WRITE_LIMIT).unwrap_or(input);
        let whole = Part {
            length: input.len(),
            end_of_file: None,
        };
        if modes.end_of_file.is_none() {
            return whole;
        }
        let mut line = *self;
        for (at, byte) in input.iter().enumerate() {
            // Not at the end of the line, where it is of no use.
            if line.length >= LINE_LIMIT && line.is_divisible && !modes.ends_line(*byte) {
                return Part {
                    length: at,
                    end_of_file: modes.end_of_file,
                };
            }
            line.receive(*byte, modes);
        }
        whole
    }

    /// Records that the first `count` bytes of `part` of `input` were written; returns how many
    /// bytes of `input` they are.
    pub fn written(&mut self, part: &Part, input: &[u8], count: usize, modes: &Modes<'_>) -> usize {
        let of_input = count.min(part.length);
        if modes.end_of_file.is_none() || count > part.length {
            *self = Self::default();
        } else {
            let written = input.iter().take(of_input);
            written.for_each(|byte| self.receive(*byte, modes));
        }
        of_input
    }

    fn receive(&mut self, byte: u8, modes: &Modes<'_>) {
        *self = if modes.ends_line(byte) && !self.is_quoting {
            Self::default()
        } else {
            Self {
                length: self.length + 1,
                is_divisible: self.is_quoting || modes.is_ordinary(byte),
                is_quoting: !self.is_quoting && modes.quote == Some(byte),
            }
        };
    }
}
