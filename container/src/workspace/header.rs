//! Writes the headers of an archive's members: ustar, and before it a PAX header for values that do
//! not fit.
//!
//! PAX and not GNU's long names, as clients refuse those that they do not know.

use tar::{EntryType, Header};

use super::BLOCK;

/// The longest name in a ustar header without a split at a slash.
const NAME: usize = 100;

/// The longest part of a name before the slash of a split.
const PREFIX: usize = 155;

/// The metadata of a member.
#[derive(Debug)]
pub(super) struct Member<'m> {
    /// Begins with `./`; a directory's name ends with `/`.
    pub name: &'m [u8],
    pub kind: EntryType,
    /// The target of a symbolic link.
    pub target: &'m [u8],
    /// The bytes that follow, without their padding.
    pub size: u64,
    pub mode: u32,
    /// Seconds since 1970, and nanoseconds to add.
    pub mtime: (i64, u32),
    pub uid: u32,
    pub gid: u32,
}

impl Member<'_> {
    /// Appends the header's blocks.
    pub(super) fn write_to(&self, wire: &mut Vec<u8>) {
        let mut header = Header::new_ustar();
        let mut records = Vec::new();
        if !set_name(&mut header, self.name) {
            record(&mut records, "path", self.name);
        }
        if !fill(&mut header.as_old_mut().linkname, self.target) {
            record(&mut records, "linkpath", self.target);
        }
        let seconds = u64::try_from(self.mtime.0);
        header.set_mtime(seconds.unwrap_or(0));
        // Build tools compare times to the nanosecond.
        if seconds.is_err() || self.mtime.1 != 0 {
            record(&mut records, "mtime", decimal(self.mtime).as_bytes());
        }
        if std::str::from_utf8(&records).is_err() {
            // Records are UTF-8, unless the first one declares them binary.
            let mut binary = Vec::new();
            record(&mut binary, "hdrcharset", b"BINARY");
            records.splice(..0, binary);
        }
        if !records.is_empty() {
            let mut pax = Header::new_ustar();
            set_name(&mut pax, b"./PaxHeaders/member");
            pax.set_entry_type(EntryType::XHeader);
            pax.set_size(records.len() as u64);
            pax.set_mode(0o644);
            pax.set_cksum();
            wire.extend_from_slice(pax.as_bytes());
            wire.extend_from_slice(&records);
            wire.resize(wire.len().next_multiple_of(BLOCK), 0);
        }
        header.set_entry_type(self.kind);
        header.set_size(self.size);
        header.set_mode(self.mode);
        header.set_uid(self.uid.into());
        header.set_gid(self.gid.into());
        header.set_cksum();
        wire.extend_from_slice(header.as_bytes());
    }
}

/// Sets the name; returns whether it fits. If not, the header has its beginning, for readers
/// without PAX.
fn set_name(header: &mut Header, name: &[u8]) -> bool {
    let Some(ustar) = header.as_ustar_mut() else {
        return false;
    };
    if fill(&mut ustar.name, name) {
        return true;
    }
    // The first slash that leaves a short enough rest; the rest must not be empty.
    let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let mut splits = slashes.filter_map(|(at, _)| name.split_at_checked(at));
    let split = splits.find(|(_, rest)| (2..=NAME + 1).contains(&rest.len()));
    match split {
        Some((prefix, rest)) if (1..=PREFIX).contains(&prefix.len()) => {
            ustar.name = [0; NAME];
            fill(&mut ustar.prefix, prefix) && fill(&mut ustar.name, rest.strip_prefix(b"/").unwrap_or(rest))
        }
        _ => false,
    }
}

/// Fills a field with `text`, cut to its length; returns whether it fits.
fn fill(field: &mut [u8], text: &[u8]) -> bool {
    for (slot, byte) in field.iter_mut().zip(text) {
        *slot = *byte;
    }
    text.len() <= field.len()
}

/// A PAX record: its own length in decimal, the length's digits included, a space, `key=value`, a
/// line feed.
pub(super) fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// A time in PAX form: `SECONDS` or `SECONDS.FRACTION`, negative before 1970.
fn decimal((seconds, nanoseconds): (i64, u32)) -> String {
    match (seconds, nanoseconds) {
        (_, 0) => seconds.to_string(),
        (0.., _) => format!("{seconds}.{nanoseconds:09}"),
        // -2 seconds plus 0.75 is -1.25.
        _ => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn member<'m>(name: &'m [u8], target: &'m [u8], mtime: i64) -> Member<'m> {
        Member {
            name,
            kind: if target.is_empty() {
                EntryType::Regular
            } else {
                EntryType::Symlink
            },
            target,
            size: 0,
            mode: 0o640,
            mtime: (mtime, 0),
            uid: 3_000_000,
            gid: 7,
        }
    }

    #[test]
    fn names_of_all_lengths_read_back() {
        let mut names: Vec<Vec<u8>> = Vec::new();
        for length in [1, 97, 98, 99, 100, 155, 200, 255] {
            names.push([b"./", vec![b'n'; length].as_slice()].concat());
        }
        for depth in [10, 24, 25, 26, 27, 50, 51, 52, 63, 64, 65, 1000] {
            names.push([b"./", b"dir/".repeat(depth).as_slice(), b"leaf"].concat());
            names.push([b"./", b"dir/".repeat(depth).as_slice()].concat());
        }
        names.push(b"./\xff\xfe not UTF-8\n and a new line\n".repeat(9));
        for name in names {
            let mut wire = Vec::new();
            member(&name, b"", 5).write_to(&mut wire);
            assert_eq!(wire.len() % BLOCK, 0);
            assert_eq!(wire.len() > BLOCK, !fits(&name), "{name:?}");
            if !name.contains(&b'\n') {
                // The tar crate's reader splits records at line feeds.
                let mut archive = tar::Archive::new(wire.as_slice());
                let entry = archive.entries().unwrap().next().unwrap().unwrap();
                assert_eq!(entry.path_bytes(), name.as_slice());
                assert_eq!(entry.header().uid().unwrap(), 3_000_000);
            }
        }
    }

    fn fits(name: &[u8]) -> bool {
        set_name(&mut Header::new_ustar(), name)
    }

    #[test]
    fn times_to_the_nanosecond() {
        for (time, expected) in [
            ((0, 0), "0"),
            ((-7, 0), "-7"),
            ((1_700_000_000, 123_456_789), "1700000000.123456789"),
            ((0, 1), "0.000000001"),
            ((-1, 500_000_000), "-0.500000000"),
            ((-2, 750_000_000), "-1.250000000"),
        ] {
            assert_eq!(decimal(time), expected);
        }
    }

    #[test]
    fn links_and_times_that_do_not_fit() {
        let mut wire = Vec::new();
        member(b"./link", &b"t".repeat(101), -7).write_to(&mut wire);
        let mut records = String::new();
        (&wire[BLOCK..]).take(133).read_to_string(&mut records).unwrap();
        assert_eq!(
            records,
            format!("115 linkpath={}\n12 mtime=-7\n", "t".repeat(101)) + &"\0".repeat(6)
        );
        assert_eq!(wire.len(), 3 * BLOCK);
    }
}
