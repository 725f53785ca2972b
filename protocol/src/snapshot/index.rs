//! The archive of a snapshot and its index.
//!
//! The archive is a `tar.zst` that any program reads: a sequence of Zstandard frames that can be
//! decompressed one by one, each with its checksum. Together they are the bytes of a tar. A frame
//! ends at the first member after [`FRAME_BYTES`], and within the content of a file after exactly
//! that number of bytes. After them come two skippable frames: the index ([`INDEX_MAGIC`]), compressed, and the
//! contents ([`CONTENTS_MAGIC`]) as JSON, see [`super::Contents`].
//!
//! The index has one line of JSON for each member, in the order of the tar:
//! `["path","file",420,123,[seconds,nanoseconds],frame,offset,"target"]`. The path is relative to
//! the directory that was saved, and empty for itself. `frame` is the offset of a frame in the
//! archive, and `offset` that of the file's first byte in this frame, decompressed; the content of a
//! file may go on in the next frames. Holes are zeros in the tar, so the content is contiguous. Of
//! an empty file, a directory or a link, both are those of what follows its header. Members whose
//! names are not UTF-8 have no line.

use serde::{Deserialize, Serialize};

/// The number of bytes of the tar after which a frame of the archive ends. More would compress
/// better; a client that wants one small file reads one frame.
pub const FRAME_BYTES: usize = 1024 * 1024;

/// The first bytes of the skippable frame with the index. Four bytes of its length follow, the lowest
/// first.
pub const INDEX_MAGIC: [u8; 4] = [0x58, 0x2a, 0x4d, 0x18];

/// The first bytes of the skippable frame with the contents, the last one of the archive.
pub const CONTENTS_MAGIC: [u8; 4] = [0x59, 0x2a, 0x4d, 0x18];

/// The type of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// A line of the index. A further name of a file with several (a hard link) has the frame and the
/// offset of the first one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry(
    /// The path, relative to the directory that was saved.
    pub String,
    /// The type.
    pub IndexKind,
    /// The permissions, the set-id and sticky bits included.
    pub u32,
    /// The size in bytes; of a link, the length of its target.
    pub u64,
    /// The time of the last change: seconds since 1970 and nanoseconds.
    pub (i64, u32),
    /// The offset of the first frame in the archive.
    pub u64,
    /// The offset of the content in that frame, decompressed.
    pub u64,
    /// The target of a symbolic link, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub Option<String>,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back() {
        let file = IndexEntry("a b".into(), IndexKind::File, 0o644, 5, (-1, 7), 100, 512, None);
        let line = serde_json::to_string(&file).unwrap();
        assert_eq!(line, r#"["a b","file",420,5,[-1,7],100,512]"#);
        let link = r#"["l","symlink",511,3,[1,0],0,0,"a b"]"#;
        for text in [line.as_str(), link] {
            let entry: IndexEntry = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        }
    }
}
