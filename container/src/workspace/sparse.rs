//! Where the data of a sparse file belongs: GNU's own form (`tar -S`) and that of PAX, version 1.0 (bsdtar).

use std::io::BufRead;

use sandbox_protocol::Invalid;
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::BLOCK;
use super::pax::number;
use super::reader::{Members, damaged};

/// The most parts of one file. More would take more memory than a member is worth.
const MAX_SEGMENTS: usize = 256 * 1024;

/// A part of a file that has bytes in the archive; between the parts there are zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// A map that is being read.
pub(super) struct Map {
    segments: Vec<Segment>,
    size: u64,
    /// Whether a further block of it follows.
    pub continues: bool,
}

impl Map {
    /// The beginning, in a GNU header.
    pub(super) fn of(header: &Header) -> Result<Self, Invalid> {
        let gnu = header.as_gnu().ok_or_else(malformed)?;
        let mut map = Self {
            segments: Vec::new(),
            size: gnu.real_size().map_err(|_| malformed())?,
            continues: gnu.is_extended(),
        };
        map.add(&gnu.sparse)?;
        Ok(map)
    }

    /// A further block.
    pub(super) fn extend(&mut self, block: &[u8; BLOCK]) -> Result<(), Invalid> {
        let mut header = GnuExtSparseHeader::new();
        header.as_mut_bytes().copy_from_slice(block);
        self.continues = header.is_extended();
        self.add(header.sparse())
    }

    fn add(&mut self, parts: &[GnuSparseHeader]) -> Result<(), Invalid> {
        for part in parts.iter().filter(|part| !part.is_empty()) {
            self.segments.push(Segment {
                offset: part.offset().map_err(|_| malformed())?,
                length: part.length().map_err(|_| malformed())?,
            });
        }
        if self.segments.len() > MAX_SEGMENTS {
            return Err(malformed());
        }
        Ok(())
    }

    /// The parts and the whole size, when they fit together and to `data` bytes in the archive.
    pub(super) fn checked(self, data: u64) -> Result<(Vec<Segment>, u64), Invalid> {
        check(&self.segments, self.size, data)?;
        Ok((self.segments, self.size))
    }
}

/// The map at the beginning of a member's data, of a file of `size` bytes: lines with numbers, the first how many parts
/// there are, filled up to a whole block.
pub(super) fn read_pax_map<R: BufRead>(members: &mut Members<R>, size: u64) -> Result<Vec<Segment>, Invalid> {
    let mut numbers = Numbers { members, read: 0 };
    let count = numbers.next()?;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= MAX_SEGMENTS)
        .ok_or_else(malformed)?;
    let mut segments = Vec::new();
    for _ in 0..count {
        segments.push(Segment {
            offset: numbers.next()?,
            length: numbers.next()?,
        });
    }
    while !numbers.read.is_multiple_of(BLOCK) {
        numbers.byte()?;
    }
    check(&segments, size, members.left())?;
    Ok(segments)
}

struct Numbers<'m, R> {
    members: &'m mut Members<R>,
    read: usize,
}

impl<R: BufRead> Numbers<'_, R> {
    fn next(&mut self) -> Result<u64, Invalid> {
        let mut digits = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return number(&digits),
                // More than any number has.
                _ if digits.len() == 20 => return Err(malformed()),
                digit => digits.push(digit),
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Invalid> {
        let byte = *self.members.data()?.first().ok_or_else(malformed)?;
        self.members.consume(1);
        self.read += 1;
        Ok(byte)
    }
}

/// The parts must follow each other, end before the file does, and be what the archive has bytes of.
fn check(segments: &[Segment], size: u64, data: u64) -> Result<(), Invalid> {
    let mut end = 0;
    let mut bytes = 0;
    for segment in segments {
        if segment.offset < end {
            return Err(malformed());
        }
        end = segment.offset.checked_add(segment.length).ok_or_else(malformed)?;
        bytes += segment.length;
    }
    if end > size || bytes != data {
        return Err(malformed());
    }
    Ok(())
}

fn malformed() -> Invalid {
    damaged("the map of a sparse file is malformed")
}
