//! The bytes of files: the data of a member written, and files read.

use std::fs::File;
use std::io::BufRead;

use rustix::fs::ftruncate;
use rustix::io::{Errno, pwrite};

use super::ZEROS;
use super::error::{Failure, truncated};
use super::reader::{Kind, Members};

/// Writes the data of the current member, of `kind`, to `file`, which is empty. Long zeros become
/// holes, so that a sparse file is sparse again even if the archive does not mark it so.
pub(super) fn write<R: BufRead>(file: &File, kind: &Kind, members: &mut Members<R>) -> Result<(), Failure> {
    let (written, size) = match kind {
        Kind::Sparse { segments, size } => {
            let mut written = 0;
            for segment in segments {
                written = copy_data(file, segment.offset, segment.length, members)?.max(written);
            }
            (written, *size)
        }
        _ => {
            let size = members.left();
            (copy_data(file, 0, size, members)?, size)
        }
    };
    // A hole at the end.
    if written < size {
        ftruncate(file, size)?;
    }
    Ok(())
}

/// Copies the next `length` bytes of the member to `offset`; returns the end of the last write, 0
/// without one.
fn copy_data<R: BufRead>(
    file: &File,
    mut offset: u64,
    mut length: u64,
    members: &mut Members<R>,
) -> Result<u64, Failure> {
    let mut written = 0;
    while length > 0 {
        let block = members.data()?;
        let most = usize::try_from(length).unwrap_or(usize::MAX);
        let block = block.get(..most).unwrap_or(block);
        if block.is_empty() {
            return Err(truncated().into());
        }
        let copied = block.len();
        if !is_hole(block) {
            write_at(file, offset, block)?;
            written = offset + copied as u64;
        }
        members.consume(copied);
        offset += copied as u64;
        length -= copied as u64;
    }
    Ok(written)
}

/// Whether a block, of any length that the sender of the body chose, is all zeros.
fn is_hole(block: &[u8]) -> bool {
    block
        .chunks(ZEROS.len())
        .all(|chunk| ZEROS.get(..chunk.len()) == Some(chunk))
}

fn write_at(file: &File, mut offset: u64, mut block: &[u8]) -> Result<(), Errno> {
    while !block.is_empty() {
        match pwrite(file, block, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                offset += written as u64;
                block = block.get(written..).unwrap_or_default();
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Appends at most `size` bytes to `buffer`, which has the spare capacity.
pub(super) fn read_small(file: &File, size: u64, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    let size = usize::try_from(size).unwrap_or(buffer.capacity());
    while buffer.len() < size {
        match rustix::io::read(file, rustix::buffer::spare_capacity(buffer)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    buffer.truncate(size);
    Ok(())
}
