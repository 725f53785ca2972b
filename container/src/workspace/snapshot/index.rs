//! The two frames after the tar: the index and the contents.

use std::io::{self, Write as _};

use sandbox_protocol::snapshot::{CONTENTS_MAGIC, Contents, INDEX_MAGIC, IndexEntry, IndexKind};

use super::list::Record;

/// Paths and numbers repeat: a higher level pays.
const LEVEL: i32 = 3;

/// The bytes of the index for each entry that memory is counted for.
pub(super) const HELD: u64 = 48;

/// The bytes of a skippable frame before its content.
const HEAD: usize = 8;

/// An index that is being written.
pub(super) struct Index {
    lines: zstd::Encoder<'static, Vec<u8>>,
}

impl Index {
    pub(super) fn new() -> io::Result<Self> {
        let mut lines = zstd::Encoder::new(Vec::new(), LEVEL)?;
        lines.include_checksum(true)?;
        Ok(Self { lines })
    }

    /// Adds a member with its place in the archive, unless its name is not UTF-8.
    pub(super) fn push(&mut self, record: &Record, kind: IndexKind, place: (u64, u64)) -> io::Result<()> {
        let Ok(path) = std::str::from_utf8(&record.path) else {
            return Ok(());
        };
        let status = &record.status;
        let size = match kind {
            IndexKind::File => status.size,
            IndexKind::Directory => 0,
            IndexKind::Symlink => record.target.len() as u64,
        };
        let target = match kind {
            IndexKind::Symlink => String::from_utf8(record.target.clone()).ok(),
            _ => None,
        };
        let (frame, offset) = place;
        let entry = IndexEntry(
            path.to_owned(),
            kind,
            status.permissions(),
            size,
            status.mtime,
            frame,
            offset,
            target,
        );
        serde_json::to_writer(&mut self.lines, &entry)?;
        self.lines.write_all(b"\n")
    }

    /// The frame.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        frame(INDEX_MAGIC, &self.lines.finish()?)
    }
}

/// Sets the bytes of the archive in `contents`, of which `before` are there, and returns the last
/// frame.
pub(super) fn contents_frame(contents: &mut Contents, before: u64) -> io::Result<Vec<u8>> {
    loop {
        let json = serde_json::to_vec(contents)?;
        let bytes = before + (HEAD + json.len()) as u64;
        // The number is part of what it counts.
        if contents.archive_bytes == bytes {
            return frame(CONTENTS_MAGIC, &json);
        }
        contents.archive_bytes = bytes;
    }
}

/// The contents in the last frame of an archive that ends with `tail`; `None` when there is no such
/// frame.
pub(super) fn contents_at_end(tail: &[u8]) -> Option<Contents> {
    let mut heads = memchr::memmem::find_iter(tail, &CONTENTS_MAGIC);
    heads.find_map(|at| {
        let (head, json) = tail.get(at..)?.split_first_chunk::<HEAD>()?;
        let [_, _, _, _, length @ ..] = *head;
        let is_last = usize::try_from(u32::from_le_bytes(length)) == Ok(json.len());
        is_last.then(|| serde_json::from_slice(json).ok()).flatten()
    })
}

fn frame(magic: [u8; 4], content: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    Ok([&magic, length.to_le_bytes().as_slice(), content].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contents_count_their_own_bytes() {
        for before in [0, 1, 9, 99, 9_000, 9_999, 99_800, 99_900, 999_999] {
            let mut contents = Contents {
                archive_bytes: 5,
                sha256: "\u{59}*M\u{18}".into(),
                ..Contents::default()
            };
            let frame = contents_frame(&mut contents, before).unwrap();
            assert_eq!(contents.archive_bytes, before + frame.len() as u64);
            let tail = [b"some data", frame.as_slice()].concat();
            assert_eq!(contents_at_end(&tail), Some(contents));
            assert_eq!(contents_at_end(&tail[..tail.len() - 1]), None);
            assert_eq!(contents_at_end(&frame[1..]), None);
        }
    }
}
