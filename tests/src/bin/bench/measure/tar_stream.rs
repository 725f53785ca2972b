//! A tar archive that is made while it is sent.

use bytes::{Bytes, BytesMut};
use tar::Header;

use crate::series::Miss;

/// The size of tar's blocks.
const BLOCK: usize = 512;

/// A workspace: a number of files of one size, in directories of a thousand at most.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many files.
    pub files: usize,
    /// How many bytes each has.
    pub size: usize,
}

impl Shape {
    /// How many bytes the files have together.
    pub fn bytes(self) -> usize {
        self.files * self.size
    }

    fn directories(self) -> usize {
        self.files.div_ceil(1_000)
    }

    /// Makes such files in the working directory, of bytes that cannot be compressed.
    pub fn script(self) -> String {
        let (directories, size) = (self.directories(), self.size);
        let each = self.files / directories * size;
        format!(
            "for i in $(seq {directories}); do mkdir -p made$i && \
             head -c {each} /dev/urandom | split -b {size} -a 3 - made$i/f || exit; done"
        )
    }

    /// How many bytes the archive has.
    pub fn archive_bytes(self) -> usize {
        self.files * (BLOCK + self.size.next_multiple_of(BLOCK)) + 2 * BLOCK
    }

    /// The archive, piece by piece.
    pub fn archive(self) -> Result<impl Iterator<Item = Bytes> + Send + Sync + 'static, Miss> {
        let content = noise(self.size.next_multiple_of(BLOCK), self.size);
        let headers: Result<Vec<Bytes>, Miss> = (0..self.files).map(|i| self.header(i)).collect();
        let files = headers?
            .into_iter()
            .flat_map(move |header| [header, content.clone()]);
        Ok(files.chain([Bytes::from_static(&[0; 2 * BLOCK])]))
    }

    fn header(self, file: usize) -> Result<Bytes, Miss> {
        let mut header = Header::new_ustar();
        let name = format!("sent{}/f{file}", file % self.directories());
        header.set_path(name).map_err(Miss::failed)?;
        header.set_size(self.size as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_cksum();
        Ok(Bytes::copy_from_slice(header.as_bytes()))
    }
}

/// Bytes without a pattern (xorshift), and after them zeros.
fn noise(length: usize, until: usize) -> Bytes {
    let mut bytes = BytesMut::zeroed(length);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for byte in &mut bytes[..until] {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::io::Read;
    use std::process::Command;

    const SHAPE: Shape = Shape {
        files: 2_000,
        size: 700,
    };

    #[test]
    fn an_archive_holds_what_its_shape_says() {
        let pieces: Vec<Bytes> = SHAPE.archive().unwrap().collect();
        let bytes = pieces.concat();
        assert_eq!(bytes.len(), SHAPE.archive_bytes());
        let mut names = HashSet::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert_eq!(content.len(), SHAPE.size);
            names.insert(entry.path().unwrap().into_owned());
        }
        assert_eq!(names.len(), SHAPE.files);
    }

    #[test]
    fn the_script_makes_the_same_shape() {
        let directory = std::env::temp_dir().join(format!("sandbar-bench-shape-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let made = Command::new("sh")
            .args(["-c", &SHAPE.script()])
            .current_dir(&directory)
            .status();
        assert!(made.unwrap().success());
        let (mut files, mut bytes) = (0, 0);
        for sub in std::fs::read_dir(&directory).unwrap() {
            for file in std::fs::read_dir(sub.unwrap().path()).unwrap() {
                files += 1;
                bytes += file.unwrap().metadata().unwrap().len() as usize;
            }
        }
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!((files, bytes), (SHAPE.files, SHAPE.bytes()));
    }
}
