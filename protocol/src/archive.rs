//! The options of `persist`: the query of its URL.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::workspace_path::WORKSPACE;
use crate::{FilePath, FileRoots, Invalid, query};

/// How the archive of a workspace is packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A tar as it is.
    #[default]
    Tar,
    /// A tar in gzip.
    TarGz,
    /// A tar in Zstandard.
    TarZst,
}

impl ArchiveFormat {
    const ALL: [Self; 3] = [Self::Tar, Self::TarGz, Self::TarZst];

    /// The name in the query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarZst => "tar.zst",
        }
    }
}

/// The checked query of `…/persist`. Parameters that it does not know are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersistOptions {
    /// The directory to archive. Absent: the workspace.
    pub path: Option<FilePath>,
    /// The patterns to leave out, as `tar --exclude` takes them, each from the archived directory on. One
    /// that ends with a slash matches directories only. None is empty, begins with a slash, or has
    /// a `..` or a NUL.
    pub excludes: Vec<String>,
    /// How the archive is packed.
    pub format: ArchiveFormat,
}

impl PersistOptions {
    /// Parses a query without its `?`: `excludes=a,b`, `format=tar`, `tar.gz` or `tar.zst`, and
    /// `path`, each optional.
    ///
    /// # Errors
    ///
    /// 400 for an exclude with `..` or a NUL, an unknown format, and text that is not UTF-8; 403 for
    /// a path that leads out of the roots.
    pub fn from_query(query: &str, roots: &FileRoots) -> Result<Self, Invalid> {
        let mut options = Self {
            path: archive_path(query, roots)?,
            ..Self::default()
        };
        for parameter in query.split('&') {
            match parameter.split_once('=') {
                Some(("excludes", list)) => {
                    let list = query::decode("excludes", list)?;
                    for exclude in list.split(',') {
                        options.excludes.extend(parse_exclude(exclude)?);
                    }
                }
                Some(("format", name)) => {
                    let name = query::decode("format", name)?;
                    options.format = ArchiveFormat::ALL
                        .into_iter()
                        .find(|format| format.as_str() == name)
                        .ok_or_else(|| Invalid::request("format must be tar, tar.gz or tar.zst"))?;
                }
                _ => {}
            }
        }
        Ok(options)
    }

    /// The query that [`PersistOptions::from_query`] reads back.
    pub fn to_query(&self) -> String {
        let excludes = self.excludes.join(",");
        let excludes = utf8_percent_encode(&excludes, NON_ALPHANUMERIC);
        let query = format!("format={}&excludes={excludes}", self.format.as_str());
        match &self.path {
            Some(path) => format!("{query}&{}", path_parameter(path)),
            None => query,
        }
    }
}

/// The parameter `path` of `…/persist` and `…/hydrate`; `None` when it is absent or empty.
///
/// # Errors
///
/// 400 when it is malformed, 403 when it leads out of the roots.
pub fn archive_path(query: &str, roots: &FileRoots) -> Result<Option<FilePath>, Invalid> {
    let path = query::value(query, "path")?.filter(|path| !path.is_empty());
    path.map(|path| FilePath::parse("path", &path, roots)).transpose()
}

/// The parameter that [`archive_path`] reads back.
pub fn path_parameter(path: &FilePath) -> String {
    format!("path={}", utf8_percent_encode(path.as_str(), NON_ALPHANUMERIC))
}

/// One pattern of the list; `None` when it is empty. Removes blanks around it and the workspace's
/// name at its beginning: with them it would match nothing.
pub(crate) fn parse_exclude(exclude: &str) -> Result<Option<String>, Invalid> {
    let exclude = exclude.trim();
    if exclude.contains("..") {
        return Err(Invalid::request("exclude paths must not contain \"..\""));
    }
    if exclude.contains('\0') {
        return Err(Invalid::request("exclude paths must not contain NUL"));
    }
    let below = [WORKSPACE, "."]
        .iter()
        .filter_map(|root| exclude.strip_prefix(root))
        .find(|below| below.starts_with('/'));
    let pattern = below.unwrap_or(exclude).trim_start_matches('/');
    Ok((!pattern.is_empty()).then(|| pattern.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<PersistOptions, Invalid> {
        PersistOptions::from_query(query, &FileRoots::default())
    }

    fn excludes(query: &str) -> Vec<String> {
        parse(query).unwrap().excludes
    }

    #[test]
    fn excludes_are_split_at_commas_after_decoding() {
        assert_eq!(
            excludes("excludes=a,b%2Cc,,./d,x+y%20z,%C3%A9%2B"),
            ["a", "b", "c", "d", "x y z", "é+"]
        );
        assert_eq!(excludes("other=..&excludes=a&excludes=b/c"), ["a", "b/c"]);
        for none in ["", "excludes", "excludes=", "excludes=,", "a=b"] {
            assert_eq!(parse(none).unwrap(), PersistOptions::default());
        }
    }

    #[test]
    fn excludes_match_however_they_are_written() {
        for (query, expected) in [
            ("excludes=node_modules/", &["node_modules/"][..]),
            ("excludes=%20a%20,%20b", &["a", "b"]),
            ("excludes=+a+,\tb%0A", &["a", "b"]),
            ("excludes=/a,.//b,/workspace/c/", &["a", "b", "c/"]),
            (
                "excludes=/workspacex,.d,workspace/e",
                &["workspacex", ".d", "workspace/e"],
            ),
            ("excludes=/,./,%20,/workspace/", &[]),
        ] {
            assert_eq!(excludes(query), expected, "{query}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (query, word) in [
            ("excludes=../a", "must not contain \"..\""),
            ("excludes=ok,a%2F%2e%2e", "must not contain \"..\""),
            ("excludes=a%00", "NUL"),
            ("excludes=%FF", "UTF-8"),
            ("format=zip", "tar.zst"),
            ("format=", "tar.zst"),
        ] {
            let refused = parse(query).unwrap_err();
            assert_eq!(refused.status(), 400, "{query}");
            assert!(refused.message().contains(word), "{query}: {refused}");
        }
    }

    #[test]
    fn the_query_reads_back() {
        for query in [
            "",
            "format=tar.gz",
            "path=a%20b/%26&excludes=c",
            "format=tar.zst&excludes=a%20b%26c%3D%2B,%E6%97%A5%25/*.[ch]",
        ] {
            let options = parse(query).unwrap();
            assert!(options.to_query().is_ascii());
            assert_eq!(parse(&options.to_query()).unwrap(), options);
        }
    }
}
