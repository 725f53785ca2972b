//! The maps of sparse files: GNU's own format (`tar -S`) and that of PAX, version 1.0 (bsdtar).

use sandbox_protocol::Invalid;
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::BLOCK;
use super::error::damaged;
use super::pax::number;

/// The most segments of one file, which bounds the memory for a member.
const MAX_SEGMENTS: usize = 256 * 1024;

/// A part of a file that has bytes in the archive; between segments there are zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// A map that is being read.
pub(super) struct Map {
    segments: Vec<Segment>,
    size: u64,
    /// Whether another block of the map follows.
    pub continues: bool,
}

impl Map {
    /// Reads the beginning of the map, in a GNU header.
    pub(super) fn from_header(header: &Header) -> Result<Self, Invalid> {
        let gnu = header.as_gnu().ok_or_else(malformed)?;
        let mut map = Self {
            segments: Vec::new(),
            size: gnu.real_size().map_err(|_| malformed())?,
            continues: gnu.is_extended(),
        };
        map.add(&gnu.sparse)?;
        Ok(map)
    }

    /// Reads the map at the beginning of a member's data, of a file of `size` bytes: lines with
    /// numbers, the first one the number of segments, padded to a whole block. `next_byte` reads
    /// the data.
    pub(super) fn from_data(
        size: u64,
        next_byte: impl FnMut() -> Result<Option<u8>, Invalid>,
    ) -> Result<Self, Invalid> {
        let mut numbers = Numbers { next_byte, read: 0 };
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
        Ok(Self {
            segments,
            size,
            continues: false,
        })
    }

    /// Reads another block.
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

    /// The segments and the whole size, if they are consistent with each other and with `data`
    /// bytes in the archive.
    pub(super) fn checked(self, data: u64) -> Result<(Vec<Segment>, u64), Invalid> {
        check(&self.segments, self.size, data)?;
        Ok((self.segments, self.size))
    }
}

/// Reads the numbers of a map: one a line.
struct Numbers<F> {
    next_byte: F,
    read: usize,
}

impl<F: FnMut() -> Result<Option<u8>, Invalid>> Numbers<F> {
    fn next(&mut self) -> Result<u64, Invalid> {
        let mut digits = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return number(&digits),
                // No 64-bit number has more digits.
                _ if digits.len() == 20 => return Err(malformed()),
                digit => digits.push(digit),
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Invalid> {
        let byte = (self.next_byte)()?.ok_or_else(malformed)?;
        self.read += 1;
        Ok(byte)
    }
}

/// Checks that the segments follow each other, end within the file, and add up to the bytes in the
/// archive.
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
