//! An archive as members, read in one pass and bounded memory.
//!
//! Of the `tar` crate this takes the fields of headers. Its own reader keeps long names and PAX headers of any size in
//! memory, takes an archive that breaks off between two members for a whole one, and splits PAX records at line feeds,
//! which names may have.

use std::io::{self, BufRead};

use sandbox_protocol::Invalid;
use tar::{EntryType, Header};

use super::pax::Pax;
use super::sparse::{self, Segment};
use super::{BLOCK, shown};

/// The most bytes of one long name or PAX header.
const MAX_EXTENSION: u64 = 1024 * 1024;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// With its bytes in [`Members::data`].
    File,
    /// With those of its data in [`Members::data`] that are no zeros.
    Sparse {
        /// Where they belong, in their order.
        segments: Vec<Segment>,
        /// The whole size.
        size: u64,
    },
    Directory,
    /// With its target.
    Symlink(Vec<u8>),
    /// With the name of what it is a link to.
    HardLink(Vec<u8>),
}

/// What the archive says of a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub name: Vec<u8>,
    pub kind: Kind,
    pub mode: u32,
    /// Seconds since 1970, and nanoseconds on top.
    pub mtime: (i64, u32),
}

/// The members of an archive.
pub(super) struct Members<R> {
    source: R,
    /// The bytes of the current member that are not read yet, and the zeros behind them.
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

    /// The next member; `None` at the end of the archive. What was not read of the last one is skipped.
    ///
    /// Errors: what is no tar, is damaged or broke off, and kinds of members that do not belong into a workspace.
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
                // git writes one, with a comment. What would count for all members is not for us.
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

    /// Says that so many of the bytes that [`Members::data`] gave were read.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.source.consume(bytes);
        self.data -= bytes as u64;
    }

    /// How many bytes of the current member were not read yet.
    pub(super) fn left(&self) -> u64 {
        self.data
    }

    /// Reads on to the end of the source: what follows the archive is padding, or a checksum that must be right.
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
        let refused = |why: &str| Invalid::request(format!("{}: {why}", shown(&name)));
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => match pax.sparse {
                None => Kind::File,
                Some(size) => Kind::Sparse {
                    segments: sparse::read_pax_map(self, size).map_err(|e| refused(e.message()))?,
                    size,
                },
            },
            EntryType::GNUSparse => {
                let mut blocks = sparse::Map::of(header).map_err(|e| refused(e.message()))?;
                while blocks.continues {
                    let mut block = [0; BLOCK];
                    self.source.read_exact(&mut block).map_err(unreadable)?;
                    blocks.extend(&block).map_err(|e| refused(e.message()))?;
                }
                let (segments, size) = blocks.checked(self.data).map_err(|e| refused(e.message()))?;
                Kind::Sparse { segments, size }
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(target()),
            EntryType::Link => Kind::HardLink(target()),
            EntryType::Char | EntryType::Block => return Err(refused("devices are not allowed")),
            EntryType::Fifo => return Err(refused("FIFOs are not allowed")),
            _ => return Err(refused("this kind of member is not supported")),
        };
        let usual = if kind == Kind::Directory { 0o755 } else { 0o644 };
        // Before 1970 it is the complement, as the field has it.
        let mtime = (header.mtime().unwrap_or(0).cast_signed(), 0);
        Ok(Member {
            name,
            kind,
            // Some leave it out.
            mode: header.mode().unwrap_or(usual),
            mtime: pax.mtime.unwrap_or(mtime),
        })
    }
}

/// What the members before a member say of its names.
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

/// Whether what a header says of a size is followed by as many bytes.
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

pub(super) fn truncated() -> Invalid {
    Invalid::request("the archive is truncated")
}

pub(super) fn damaged(why: &str) -> Invalid {
    Invalid::request(format!("the archive is damaged: {why}"))
}

fn no_tar() -> Invalid {
    Invalid::request("the body is not a tar archive, plain or in gzip or Zstandard")
}
