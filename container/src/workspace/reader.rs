//! Reads the members of an archive, in one pass and bounded memory.
//!
//! It uses the `tar` crate for the fields of headers only. That crate's reader holds long names and
//! PAX headers of any size in memory, accepts an archive that breaks off between two members as
//! complete, and splits PAX records at line feeds, which names may contain.

use std::io::{self, BufRead};

use sandbox_protocol::Invalid;
use tar::{EntryType, Header};

use super::BLOCK;
use super::error::{damaged, no_tar, printable, truncated};
use super::pax::Pax;
use super::sparse::{Map, Segment};

/// The most bytes of one long name or PAX header.
const MAX_EXTENSION: u64 = 1024 * 1024;

/// The kind of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file, with its bytes in [`Members::data`].
    File,
    /// A sparse file, with its segments in [`Members::data`].
    Sparse {
        /// The segments, in their order.
        segments: Vec<Segment>,
        /// The whole size.
        size: u64,
    },
    Directory,
    /// A symbolic link, with its target.
    Symlink(Vec<u8>),
    /// A hard link, with the name of its target.
    HardLink(Vec<u8>),
}

/// The metadata of a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub name: Vec<u8>,
    pub kind: Kind,
    pub mode: u32,
    /// Seconds since 1970, and nanoseconds to add.
    pub mtime: (i64, u32),
}

/// The members of an archive.
pub(super) struct Members<R> {
    source: R,
    /// The unread bytes of the current member, and the padding after them.
    data: u64,
    padding: u64,
    /// Whether there was a header.
    begun: bool,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            data: 0,
            padding: 0,
            begun: false,
        }
    }

    /// The next member; `None` at the end of the archive. Skips the unread bytes of the last one.
    ///
    /// Fails when the archive is not a tar, is damaged or broke off, and for kinds of members that
    /// a workspace cannot have.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Invalid> {
        let mut long_name = None;
        let mut long_target = None;
        let mut pax = Pax::default();
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            self.begin(entry_size(&header)?);
            match header.entry_type() {
                EntryType::GNULongName => long_name = Some(until_nul(self.extension()?)),
                EntryType::GNULongLink => long_target = Some(until_nul(self.extension()?)),
                EntryType::XHeader => pax = Pax::parse(&self.extension()?)?,
                // git writes one, with a comment. One that applies to all members is refused.
                EntryType::XGlobalHeader => Pax::parse(&self.extension()?)?.refuse_names()?,
                // The name of a volume (`tar --label`).
                kind if kind.as_byte() == b'V' => {}
                kind => {
                    let names = Names {
                        name: pax.path.take().or(long_name),
                        target: pax.target.take().or(long_target),
                    };
                    return self.member(&header, kind, names, pax).map(Some);
                }
            }
        }
    }

    /// The next bytes of the current member; empty at its end.
    pub(super) fn data(&mut self) -> Result<&[u8], Invalid> {
        if self.data == 0 {
            return Ok(&[]);
        }
        let block = self.source.fill_buf().map_err(unreadable)?;
        if block.is_empty() {
            return Err(truncated());
        }
        let left = usize::try_from(self.data).unwrap_or(usize::MAX);
        Ok(block.get(..left).unwrap_or(block))
    }

    /// Marks this number of the bytes from [`Members::data`] as read.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.source.consume(bytes);
        self.data -= bytes as u64;
    }

    /// The number of unread bytes of the current member.
    pub(super) fn left(&self) -> u64 {
        self.data
    }

    /// Reads to the end of the source: the archive is followed by padding, or by a checksum that
    /// must be right.
    pub(super) fn finish(mut self) -> Result<(), Invalid> {
        loop {
            let block = self.source.fill_buf().map_err(unreadable)?.len();
            if block == 0 {
                return Ok(());
            }
            self.source.consume(block);
        }
    }

    fn begin(&mut self, size: u64) {
        self.data = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip_rest(&mut self) -> Result<(), Invalid> {
        loop {
            while self.data > 0 {
                let skipped = self.data()?.len();
                self.consume(skipped);
            }
            if self.padding == 0 {
                return Ok(());
            }
            self.data = std::mem::take(&mut self.padding);
        }
    }

    /// The next header; `None` for the zeros at the end.
    fn header(&mut self) -> Result<Option<Header>, Invalid> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        match self.source.read_exact(block) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && !self.begun => return Err(no_tar()),
            read => read.map_err(unreadable)?,
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if checksum(&header) != header.cksum().ok() {
            return Err(if self.begun {
                damaged("a header's checksum is wrong")
            } else {
                no_tar()
            });
        }
        self.begun = true;
        Ok(Some(header))
    }

    fn extension(&mut self) -> Result<Vec<u8>, Invalid> {
        if self.data > MAX_EXTENSION {
            return Err(damaged("a member's name or attributes are too long"));
        }
        let mut extension = Vec::new();
        while self.data > 0 {
            let block = self.data()?;
            let length = block.len();
            extension.extend_from_slice(block);
            self.consume(length);
        }
        Ok(extension)
    }

    fn member(
        &mut self,
        header: &Header,
        kind: EntryType,
        names: Names,
        pax: Pax,
    ) -> Result<Member, Invalid> {
        let name = names.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = || {
            let in_header = || header.link_name_bytes().unwrap_or_default().into_owned();
            names.target.unwrap_or_else(in_header)
        };
        if let Some(size) = pax.size
            && has_data(kind)
        {
            self.begin(size);
        }
        let refused = |why: &str| Invalid::request(format!("{}: {why}", printable(&name)));
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => match pax.sparse {
                None => Kind::File,
                Some(size) => {
                    let map = Map::from_data(size, || self.byte());
                    self.sparse(map).map_err(|e| refused(e.message()))?
                }
            },
            EntryType::GNUSparse => {
                let mut map = Map::from_header(header).map_err(|e| refused(e.message()))?;
                while map.continues {
                    let mut block = [0; BLOCK];
                    self.source.read_exact(&mut block).map_err(unreadable)?;
                    map.extend(&block).map_err(|e| refused(e.message()))?;
                }
                self.sparse(Ok(map)).map_err(|e| refused(e.message()))?
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(target()),
            EntryType::Link => Kind::HardLink(target()),
            EntryType::Char | EntryType::Block => return Err(refused("devices are not allowed")),
            EntryType::Fifo => return Err(refused("FIFOs are not allowed")),
            _ => return Err(refused("this kind of member is not supported")),
        };
        let usual = if kind == Kind::Directory { 0o755 } else { 0o644 };
        // The field holds times before 1970 in two's complement.
        let mtime = (header.mtime().unwrap_or(0).cast_signed(), 0);
        Ok(Member {
            name,
            kind,
            // Some archives leave it out.
            mode: header.mode().unwrap_or(usual),
            mtime: pax.mtime.unwrap_or(mtime),
        })
    }

    /// The sparse file of a map and the rest of the member's data.
    fn sparse(&self, map: Result<Map, Invalid>) -> Result<Kind, Invalid> {
        let (segments, size) = map?.checked(self.data)?;
        Ok(Kind::Sparse { segments, size })
    }

    /// The next byte of the current member; `None` at its end.
    fn byte(&mut self) -> Result<Option<u8>, Invalid> {
        let byte = self.data()?.first().copied();
        self.consume(usize::from(byte.is_some()));
        Ok(byte)
    }
}

/// The names of a member from the extension members before it.
struct Names {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

fn entry_size(header: &Header) -> Result<u64, Invalid> {
    if !has_data(header.entry_type()) {
        return Ok(0);
    }
    header
        .entry_size()
        .map_err(|_| damaged("a header's size is no number"))
}

/// Whether a header of this kind is followed by as many bytes as its size says.
fn has_data(kind: EntryType) -> bool {
    !matches!(kind, EntryType::Directory | EntryType::Symlink | EntryType::Link)
}

/// GNU's long names end with a NUL.
fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    let end = name.iter().position(|byte| *byte == 0);
    name.truncate(end.unwrap_or(name.len()));
    name
}

/// The sum of a header's bytes, with its own field as spaces.
fn checksum(header: &Header) -> Option<u32> {
    let field = header.as_old().cksum;
    let all: u32 = header.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = field.iter().map(|byte| u32::from(*byte)).sum();
    Some(all - own + 8 * u32::from(b' '))
}

/// An error of the source.
fn unreadable(e: io::Error) -> Invalid {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => truncated(),
        _ => damaged(&e.to_string()),
    }
}
