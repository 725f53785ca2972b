//! Lists of objects, in both versions of S3. The next page begins after the last name of a page,
//! which is the whole content of a continuation token or a marker: so it cannot name a key outside
//! the mount.

use sandbox_protocol::s3::BUCKET;

use super::error::S3Error;
use super::key::Scope;
use super::sigv4::encode_path;
use super::xml::{self, Xml};

/// The maximum of names of a page.
const MAX_NAMES: u32 = 1000;

/// The request for a list, in the names of s3fs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Whether the request has `list-type=2`.
    pub is_v2: bool,
    /// The prefix of the keys.
    pub prefix: String,
    /// The delimiter at which keys are cut, if any.
    pub delimiter: Option<String>,
    /// The name after which the page begins.
    pub after: Option<String>,
    /// The maximum of names of the page.
    pub limit: u32,
    /// Whether names are percent-encoded in the response.
    pub encodes: bool,
}

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects.
    pub entries: Vec<Entry>,
    /// The common prefixes: keys cut at the delimiter.
    pub prefixes: Vec<String>,
    /// Whether there are more.
    pub is_truncated: bool,
}

/// An object in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// The time at which it was written, in the form of ISO 8601.
    pub modified: String,
    /// Its entity tag, in quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: String,
}

impl Query {
    /// Its query parameters.
    pub const PARAMETERS: &[&str] = &[
        "list-type",
        "prefix",
        "delimiter",
        "marker",
        "start-after",
        "continuation-token",
        "max-keys",
        "encoding-type",
        "fetch-owner",
    ];

    /// Reads the parameters that `get` knows.
    pub fn parse(get: impl Fn(&str) -> Result<Option<String>, S3Error>) -> Result<Self, S3Error> {
        let some = |name| Ok::<_, S3Error>(get(name)?.filter(|value| !value.is_empty()));
        let is_v2 = some("list-type")?.as_deref() == Some("2");
        let limit = match some("max-keys")? {
            None => MAX_NAMES,
            Some(limit) => limit
                .parse::<u32>()
                .map_err(|_| S3Error::InvalidRequest("max-keys is a whole number"))?
                .min(MAX_NAMES),
        };
        Ok(Self {
            is_v2,
            prefix: some("prefix")?.unwrap_or_default(),
            delimiter: some("delimiter")?,
            // s3fs continues a list of the first version with either parameter.
            after: match (some("continuation-token")?, is_v2) {
                (Some(token), _) => Some(token),
                (None, true) => some("start-after")?,
                (None, false) => some("marker")?,
            },
            limit,
            encodes: some("encoding-type")?.as_deref() == Some("url"),
        })
    }

    /// The key after which a store has to begin: after all keys with the common prefix if the last
    /// name is one.
    pub fn start_after(&self) -> Option<String> {
        let after = self.after.as_ref()?;
        let is_cut = self
            .delimiter
            .as_ref()
            .is_some_and(|delimiter| after.ends_with(delimiter.as_str()));
        // The last character of Unicode.
        let end = if is_cut { "\u{10FFFF}" } else { "" };
        Some(format!("{after}{end}"))
    }

    /// The query parameters for another store, sorted by name.
    pub fn parameters(&self, scope: &Scope) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        if let Some(delimiter) = &self.delimiter {
            parameters.push(("delimiter", delimiter.clone()));
        }
        if self.is_v2 {
            parameters.push(("list-type", "2".to_owned()));
        }
        let after = self.start_after().map(|after| scope.with_prefix(&after));
        if let (Some(after), false) = (&after, self.is_v2) {
            parameters.push(("marker", after.clone()));
        }
        parameters.push(("max-keys", self.limit.to_string()));
        parameters.push(("prefix", scope.with_prefix(&self.prefix)));
        if let (Some(after), true) = (after, self.is_v2) {
            parameters.push(("start-after", after));
        }
        parameters
    }

    /// The response with this page.
    pub fn answer(&self, page: &Page) -> String {
        let name = |name: &str| match self.encodes {
            true => encode_path(name),
            false => name.to_owned(),
        };
        let mut xml = Xml::answer("ListBucketResult");
        xml.element("Name", BUCKET);
        xml.element("Prefix", &name(&self.prefix));
        if let Some(delimiter) = &self.delimiter {
            xml.element("Delimiter", &name(delimiter));
        }
        if self.encodes {
            xml.element("EncodingType", "url");
        }
        xml.element("MaxKeys", &self.limit.to_string());
        if self.is_v2 {
            let count = page.entries.len() + page.prefixes.len();
            xml.element("KeyCount", &count.to_string());
        } else {
            xml.element("Marker", &name(self.after.as_deref().unwrap_or_default()));
        }
        xml.element("IsTruncated", if page.is_truncated { "true" } else { "false" });
        if let (Some(last), true) = (page.last(), page.is_truncated) {
            match self.is_v2 {
                true => xml.element("NextContinuationToken", last),
                false => xml.element("NextMarker", &name(last)),
            }
        }
        for entry in &page.entries {
            xml.open("Contents");
            xml.element("Key", &name(&entry.key));
            xml.element("LastModified", &entry.modified);
            xml.element("ETag", &entry.etag);
            xml.element("Size", &entry.size);
            xml.element("StorageClass", "STANDARD");
            xml.close("Contents");
        }
        for prefix in &page.prefixes {
            xml.open("CommonPrefixes");
            xml.element("Prefix", &name(prefix));
            xml.close("CommonPrefixes");
        }
        xml.close("ListBucketResult");
        xml.finish()
    }
}

impl Page {
    /// Reads the list of another store; names outside `scope` are left out.
    pub fn read(text: &str, scope: &Scope) -> Self {
        let entry = |entry: &str| {
            let text = |name| xml::text(entry, name).unwrap_or_default();
            Some(Entry {
                key: scope.without_prefix(&text("Key"))?,
                modified: text("LastModified"),
                etag: text("ETag"),
                size: text("Size"),
            })
        };
        let prefix = |prefix: &str| scope.without_prefix(&xml::text(prefix, "Prefix")?);
        Self {
            entries: xml::elements(text, "Contents").filter_map(entry).collect(),
            prefixes: xml::elements(text, "CommonPrefixes").filter_map(prefix).collect(),
            is_truncated: xml::text(text, "IsTruncated").as_deref() == Some("true"),
        }
    }

    /// The last name, after which the next page begins.
    pub fn last(&self) -> Option<&str> {
        let keys = self.entries.iter().map(|entry| entry.key.as_str());
        keys.chain(self.prefixes.iter().map(String::as_str)).max()
    }
}

#[cfg(test)]
mod tests;
