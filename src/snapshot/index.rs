//! The index of an archive: what a workspace that is only in the store has, and where. Pure.
//!
//! A file is found without the rest of the archive: its frames are one range of bytes.

use std::collections::BTreeMap;

use fast_glob::glob_match;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use sandbox_protocol::FilePath;
use sandbox_protocol::file::{DirectoryPage, DirectoryQuery, Entry, EntryType};
use sandbox_protocol::snapshot::{FRAME_BYTES, INDEX_MAGIC, IndexEntry, IndexKind};
use sandbox_protocol::time::of_file;

/// The most links of a path that are followed, as by the kernel.
const MAX_LINKS: usize = 40;

/// The largest index, in bytes of its lines: it is parsed in the isolate, and kept there.
const MAX_LINES: usize = 16 * 1024 * 1024;

/// The largest frame that is full, compressed: Zstandard adds a little to what it cannot compress.
const MAX_FRAME: u64 = FRAME_BYTES as u64 + 16 * 1024;

/// More than the headers of members that the last frame of a file can have beside its content.
const MAX_HEADERS: u64 = 3 * 1024 * 1024;

/// The index of an archive.
#[derive(Debug, Default)]
pub struct Index {
    /// The members, by their paths below the directory that was saved.
    members: BTreeMap<String, IndexEntry>,
    /// The offsets of all frames with members, and that of the index behind them.
    frames: Vec<u64>,
}

/// Why the bytes of an archive cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged(pub String);

/// A link leads out of the directory that was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outside;

fn damaged(e: impl std::fmt::Display) -> Damaged {
    Damaged(format!("the archive is damaged: {e}"))
}

impl Index {
    /// Reads the index from its skippable frame, which is at `offset` of the archive. `None`: it is too
    /// large for the isolate.
    pub fn parse(frame: &[u8], offset: u64) -> Result<Option<Self>, Damaged> {
        let (header, compressed) = frame
            .split_at_checked(INDEX_MAGIC.len() + 4)
            .ok_or_else(|| damaged("it has no index"))?;
        if !header.starts_with(&INDEX_MAGIC) {
            return Err(damaged("it has no index where one should be"));
        }
        let lines = decompress(compressed, usize::MAX, MAX_LINES)?;
        if lines.len() > MAX_LINES {
            return Ok(None);
        }
        let mut index = Self {
            frames: vec![offset],
            ..Self::default()
        };
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let entry: IndexEntry = serde_json::from_slice(line).map_err(damaged)?;
            index.frames.push(entry.5);
            index.members.insert(entry.0.clone(), entry);
        }
        index.frames.sort_unstable();
        index.frames.dedup();
        Ok(Some(index))
    }

    /// The member at a path, if there is one. Links are followed in its directories, and at its end with
    /// `follow`. Error: a link leads out of the directory `root`, which was saved.
    pub fn find(&self, root: &str, path: &str, follow: bool) -> Result<Option<&IndexEntry>, Outside> {
        let mut rest: Vec<String> = split(path).rev().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "." => continue,
                ".." => {
                    at.pop().ok_or(Outside)?;
                    continue;
                }
                _ => at.push(name),
            }
            let Some(entry) = self.members.get(&at.join("/")) else {
                return Ok(None);
            };
            if entry.1 != IndexKind::Symlink || (rest.is_empty() && !follow) {
                continue;
            }
            links += 1;
            let target = entry.7.as_deref().filter(|_| links <= MAX_LINKS);
            let Some(target) = target else {
                return Ok(None);
            };
            at.pop();
            let target = match target.strip_prefix('/') {
                None => target,
                Some(_) => {
                    at.clear();
                    let below = target.strip_prefix(root).ok_or(Outside)?;
                    (below.is_empty() || below.starts_with('/'))
                        .then_some(below)
                        .ok_or(Outside)?
                }
            };
            rest.extend(split(target).rev().map(str::to_owned));
        }
        Ok(self.members.get(&at.join("/")))
    }

    /// The first and the last byte of the archive that have the content of a file.
    pub fn range(&self, file: &IndexEntry) -> Option<(u64, u64)> {
        let (size, first, offset) = (file.3, file.5, file.6);
        // Frames of the content alone are full.
        let further = offset.checked_add(size)?.saturating_sub(1) / FRAME_BYTES as u64;
        let after = self.frames.iter().filter(|frame| **frame > first);
        let end = match further {
            0 => after.copied().next()?,
            // Members that begin within the content are none, so two frames of others contain its
            // end: the one in which the next begins, and the one behind.
            _ => after.copied().nth(1).or(self.frames.last().copied())?,
        };
        // A file behind this one has frames that no member begins in.
        let most = (further + 1) * MAX_FRAME + MAX_HEADERS;
        Some((first, end.min(first.saturating_add(most)).checked_sub(1)?))
    }

    /// A page of the directory with this path below the one that was saved. `path` is that of the
    /// client.
    pub fn list(
        &self,
        below: &str,
        path: &FilePath,
        query: &DirectoryQuery,
        owner: (u32, u32),
    ) -> DirectoryPage {
        let prefix = if below.is_empty() {
            String::new()
        } else {
            format!("{below}/")
        };
        let of_paths = query.glob.as_ref().is_some_and(|glob| glob.contains('/'));
        let lists = |name: &str| {
            let last = name.rsplit('/').next().unwrap_or_default();
            let subject = if of_paths { name } else { last };
            let hidden = query.hidden || !split(name).any(|part| part.starts_with('.'));
            hidden
                && split(name).count() <= query.depth
                && query.cursor.as_deref().is_none_or(|cursor| name > cursor)
                && query.glob.as_ref().is_none_or(|glob| glob_match(glob, subject))
        };
        let members = self.members.range(prefix.clone()..);
        let members = members.take_while(|(name, _)| name.starts_with(&prefix));
        let mut page = DirectoryPage::empty(path);
        for (name, member) in members {
            let name = name.strip_prefix(&prefix).unwrap_or_default();
            if name.is_empty() || !lists(name) {
                continue;
            }
            if page.entries.len() == query.limit {
                let last = page.entries.last().map(|entry| entry.path.clone());
                let start = format!("{}/", page.path);
                page.cursor = last.and_then(|last| last.strip_prefix(&start).map(str::to_owned));
                break;
            }
            page.entries
                .push(describe(member, format!("{path}/{name}"), owner));
        }
        page
    }
}

/// A member as clients see it.
pub fn describe(member: &IndexEntry, path: String, (uid, gid): (u32, u32)) -> Entry {
    Entry {
        name: path.rsplit('/').next().unwrap_or_default().to_owned(),
        path,
        entry_type: match member.1 {
            IndexKind::File => EntryType::File,
            IndexKind::Directory => EntryType::Directory,
            IndexKind::Symlink => EntryType::Symlink,
        },
        size: member.3,
        mode: format!("{:04o}", member.2 & 0o7777),
        modified_at: of_file(member.4.0, member.4.1),
        uid,
        gid,
        target: member.7.clone(),
    }
}

/// The content of a file, from the bytes of its [`Index::range`].
pub fn content(file: &IndexEntry, frames: &[u8]) -> Result<Vec<u8>, Damaged> {
    let length = |number: u64| usize::try_from(number).map_err(damaged);
    let (offset, size) = (length(file.6)?, length(file.3)?);
    let end = offset.saturating_add(size);
    let mut bytes = decompress(frames, end, usize::MAX)?;
    bytes.truncate(end);
    if bytes.len() < end {
        return Err(damaged("a file ends too early"));
    }
    bytes.drain(..offset);
    Ok(bytes)
}

/// Decompresses frames until there are at least `enough` bytes, or none are left. Verifies their
/// checksums. Stops a little behind `most` bytes.
fn decompress(mut frames: &[u8], enough: usize, most: usize) -> Result<Vec<u8>, Damaged> {
    let mut decoder = FrameDecoder::new();
    let mut bytes = Vec::new();
    while !frames.is_empty() && bytes.len() < enough {
        decoder.reset(&mut frames).map_err(damaged)?;
        while !decoder.is_finished() {
            if bytes.len() > most {
                return Ok(bytes);
            }
            decoder
                .decode_blocks(&mut frames, BlockDecodingStrategy::UptoBlocks(8))
                .map_err(damaged)?;
            decoder.collect_to_writer(&mut bytes).map_err(damaged)?;
        }
        if decoder.get_checksum_from_data() != decoder.get_calculated_checksum() {
            return Err(damaged("a checksum is wrong"));
        }
    }
    Ok(bytes)
}

fn split(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
