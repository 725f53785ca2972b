//! The PAX header before a member.

use sandbox_protocol::Invalid;

use super::error::damaged;

/// The values of a PAX header that are used here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub path: Option<Vec<u8>>,
    /// The target of a link.
    pub target: Option<Vec<u8>>,
    pub size: Option<u64>,
    /// Seconds since 1970, and nanoseconds to add.
    pub mtime: Option<(i64, u32)>,
    /// The whole size of a sparse file (version 1.0), whose data begins with its map.
    pub sparse: Option<u64>,
}

impl Pax {
    /// Reads records of the form `LENGTH KEY=VALUE\n`; unknown keys are ignored.
    pub(super) fn parse(records: &[u8]) -> Result<Self, Invalid> {
        let mut pax = Self::default();
        let mut sparse = Sparse::default();
        let mut rest = records;
        // Zeros at the end are padding.
        while !rest.is_empty() && rest.first() != Some(&0) {
            let (key, value, left) = record(rest).ok_or_else(malformed)?;
            match key {
                b"path" => pax.path = Some(value.to_vec()),
                b"linkpath" => pax.target = Some(value.to_vec()),
                b"size" => pax.size = Some(number(value)?),
                b"mtime" => pax.mtime = Some(time(value)?),
                b"GNU.sparse.major" => sparse.major = Some(number(value)?),
                b"GNU.sparse.minor" => sparse.minor = Some(number(value)?),
                b"GNU.sparse.name" => sparse.name = Some(value.to_vec()),
                b"GNU.sparse.realsize" => pax.sparse = Some(number(value)?),
                key if key.starts_with(b"GNU.sparse.") => sparse.is_old = true,
                _ => {}
            }
            rest = left;
        }
        if (sparse.major, sparse.minor) == (Some(1), Some(0)) && pax.sparse.is_some() {
            // The ordinary name is for readers that do not know sparse files.
            pax.path = sparse.name.or(pax.path);
        } else if sparse.is_old || sparse.major.is_some() || pax.sparse.is_some() {
            return Err(damaged("of PAX's sparse files only version 1.0 is supported"));
        }
        Ok(pax)
    }

    /// Fails when this header, which applies to many members, gives them all a name or a size.
    pub(super) fn refuse_names(&self) -> Result<(), Invalid> {
        match self {
            Self {
                path: None,
                target: None,
                size: None,
                sparse: None,
                ..
            } => Ok(()),
            _ => Err(damaged("a global header gives a name or a size")),
        }
    }
}

#[derive(Default)]
struct Sparse {
    major: Option<u64>,
    minor: Option<u64>,
    name: Option<Vec<u8>>,
    /// Whether there are keys of versions 0.0 and 0.1.
    is_old: bool,
}

/// The key and value of the first record, and what follows it.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let digits = records.iter().position(|byte| *byte == b' ')?;
    let length = number(records.get(..digits)?).ok()?;
    let (record, rest) = records.split_at_checked(usize::try_from(length).ok()?)?;
    let record = record.get(digits + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, rest))
}

/// A number of digits only.
pub(super) fn number(text: &[u8]) -> Result<u64, Invalid> {
    let digits = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(malformed)
}

/// A time: `SECONDS` or `SECONDS.FRACTION`, maybe negative.
fn time(text: &[u8]) -> Result<(i64, u32), Invalid> {
    let text = std::str::from_utf8(text).map_err(|_| malformed())?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (negative, seconds) = match seconds.strip_prefix('-') {
        Some(seconds) => (true, seconds),
        None => (false, seconds),
    };
    let seconds = i64::try_from(number(seconds.as_bytes())?).map_err(|_| malformed())?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds = u32::try_from(number(digits.as_bytes())?).map_err(|_| malformed())?;
    Ok(match (negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        // -1.25 is -2 seconds plus 0.75.
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

fn malformed() -> Invalid {
    damaged("a PAX header is malformed")
}

#[cfg(test)]
mod tests {
    use super::super::header::record;
    use super::{Pax, time};

    fn records(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut wire = Vec::new();
        for (key, value) in records {
            record(&mut wire, key, value);
        }
        wire
    }

    #[test]
    fn records_are_read_by_their_lengths() {
        let mut wire = records(&[
            ("path", b"a\nb=c d\xff"),
            ("unknown", b""),
            ("mtime", b"1.5"),
            ("linkpath", b"target"),
            ("size", b"12"),
        ]);
        wire.extend([0; 40]);
        let expected = Pax {
            path: Some(b"a\nb=c d\xff".to_vec()),
            target: Some(b"target".to_vec()),
            size: Some(12),
            mtime: Some((1, 500_000_000)),
            sparse: None,
        };
        assert_eq!(Pax::parse(&wire).unwrap(), expected);
        for bad in [
            &b"x"[..],
            b"5 a=b\n",
            b"99 path=a\n",
            b"0 a=b\n",
            b"-6 a=b\n",
            b"18446744073709551616 a=b\n",
            b"4 a\n\n",
            &records(&[("size", b"x")]),
            &records(&[("size", b"-1")]),
            &records(&[("mtime", b"1.x5")]),
            &records(&[("mtime", b"")]),
        ] {
            assert!(Pax::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_before_1970() {
        for (text, time_) in [
            ("0", (0, 0)),
            ("-7", (-7, 0)),
            ("-1.25", (-2, 750_000_000)),
            ("-0.5", (-1, 500_000_000)),
            ("1700000000.1234567891", (1_700_000_000, 123_456_789)),
        ] {
            assert_eq!(time(text.as_bytes()).unwrap(), time_, "{text}");
        }
    }

    #[test]
    fn sparse_files_of_version_1_only() {
        let one = records(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"a b"),
            ("path", b"GNUSparseFile.0/a b"),
            ("GNU.sparse.realsize", b"100"),
        ]);
        let pax = Pax::parse(&one).unwrap();
        assert_eq!((pax.path.as_deref(), pax.sparse), (Some(&b"a b"[..]), Some(100)));
        for old in ["GNU.sparse.size", "GNU.sparse.map", "GNU.sparse.realsize"] {
            assert!(Pax::parse(&records(&[(old, b"10")])).is_err(), "{old}");
        }
        assert!(pax.refuse_names().is_err());
        let comment = records(&[("comment", b"0123")]);
        assert!(Pax::parse(&comment).unwrap().refuse_names().is_ok());
    }
}
