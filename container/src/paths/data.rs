//! The data of files, without their holes.

use std::fs::File;
use std::io;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// The most bytes that are copied before the copy can be given up.
const PIECE: u64 = 16 << 20;

/// The next range of data in a file, from `at` on and before `size`.
pub(crate) fn next_data(file: &File, at: u64, size: u64) -> Option<(u64, u64)> {
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return None,
        // The file system has no holes.
        Err(_) => return (at < size).then_some((at, size)),
    };
    let end = seek(file, SeekFrom::Hole(start)).unwrap_or(size).min(size);
    (start < end).then_some((start, end))
}

/// Copies the data of a file to an empty one. Its holes stay holes. The copy has the size that the
/// file had at the beginning. When the file is truncated meanwhile, the copy ends where the file did.
/// Fails with [`io::ErrorKind::Interrupted`] when the copy `is_cancelled`.
pub(crate) fn copy(mut from: &File, mut to: &File, is_cancelled: &dyn Fn() -> bool) -> io::Result<()> {
    let mut size = from.metadata()?.len();
    let mut at = 0;
    while at < size {
        if is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let Some((start, end)) = next_data(from, at, size) else {
            // Either the rest is a hole, or the file is shorter now.
            let now = from.metadata()?.len();
            if now < size {
                size = at.max(now);
            } else if next_data(from, at, size).is_some() {
                // It was shorter, and has grown again.
                continue;
            }
            break;
        };
        let end = end.min(start + PIECE);
        seek(from, SeekFrom::Start(start))?;
        seek(to, SeekFrom::Start(start))?;
        let copied = io::copy(&mut io::Read::take(&mut from, end - start), &mut to)?;
        at = start + copied;
        if at < end {
            size = at;
        }
    }
    to.set_len(size)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// A file of `data`, its copy, and what `change` does to the file before the second piece.
    fn copied(data: &[u8], change: impl Fn(&File)) -> (Vec<u8>, File) {
        let mut from = tempfile::tempfile().unwrap();
        from.write_all(data).unwrap();
        let to = tempfile::tempfile().unwrap();
        let pieces = Cell::new(0);
        let is_cancelled = || {
            pieces.set(pieces.get() + 1);
            if pieces.get() == 2 {
                change(&from);
            }
            false
        };
        copy(&from, &to, &is_cancelled).unwrap();
        let mut copy = vec![0; to.metadata().unwrap().len() as usize];
        to.read_exact_at(&mut copy, 0).unwrap();
        (copy, to)
    }

    #[test]
    fn a_copy_has_no_bytes_that_the_file_never_had() {
        let piece = PIECE as usize;
        let data = vec![b'x'; piece + 1000];
        let is = |copy: &[u8], length: usize| copy.len() == length && copy.iter().all(|byte| *byte == b'x');
        let (copy, _) = copied(&data, |_| ());
        assert!(is(&copy, piece + 1000));
        let (copy, _) = copied(&data, |file| {
            file.write_all_at(b"more", data.len() as u64).unwrap()
        });
        assert!(is(&copy, piece + 1000), "what is appended is left out");
        for length in [0, 10, piece] {
            let (copy, _) = copied(&data, |file| file.set_len(length as u64).unwrap());
            assert!(is(&copy, piece), "{} bytes of {length}", copy.len());
        }
        let (copy, _) = copied(&data, |file| file.set_len(PIECE + 7).unwrap());
        assert!(is(&copy, piece + 7));
    }

    #[test]
    fn holes_at_the_end_stay_holes() {
        use std::os::unix::fs::MetadataExt as _;
        let (copy, file) = copied(&[], |_| ());
        assert!(copy.is_empty() && file.metadata().unwrap().blocks() == 0);
        let from = tempfile::tempfile().unwrap();
        from.write_all_at(b"x", 1 << 20).unwrap();
        from.set_len(1 << 30).unwrap();
        let to = tempfile::tempfile().unwrap();
        super::copy(&from, &to, &|| false).unwrap();
        let metadata = to.metadata().unwrap();
        assert_eq!(metadata.len(), 1 << 30);
        assert!(metadata.blocks() < 2048, "{} blocks", metadata.blocks());
    }
}
