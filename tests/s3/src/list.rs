//! Listings.

use std::collections::BTreeSet;

use s3s::dto::CommonPrefix;

use crate::objects::Bucket;

/// The query of a listing.
pub struct Query<'a> {
    pub prefix: &'a str,
    pub delimiter: Option<&'a str>,
    pub after: &'a str,
    pub limit: usize,
}

/// A page of a listing.
#[derive(Default)]
pub struct Page {
    pub contents: Vec<s3s::dto::Object>,
    pub prefixes: Vec<CommonPrefix>,
    pub last: Option<String>,
    pub is_truncated: bool,
}

impl Query<'_> {
    /// The first page of what is asked for.
    pub fn page(&self, objects: &Bucket) -> Page {
        let (mut page, mut prefixes) = (Page::default(), BTreeSet::new());
        for (key, object) in objects.range(self.prefix.to_owned()..) {
            let Some(rest) = key.strip_prefix(self.prefix) else {
                break;
            };
            let end = self.delimiter.filter(|d| !d.is_empty());
            let end = end.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()));
            let entry = end.map_or(key.as_str(), |end| &key[..self.prefix.len() + end]);
            if entry <= self.after || prefixes.contains(entry) {
                continue;
            }
            if page.contents.len() + prefixes.len() == self.limit {
                page.is_truncated = true;
                break;
            }
            page.last = Some(entry.to_owned());
            if end.is_some() {
                prefixes.insert(entry.to_owned());
            } else {
                page.contents.push(s3s::dto::Object {
                    key: Some(key.clone()),
                    size: Some(object.size()),
                    e_tag: Some(object.etag()),
                    last_modified: Some(object.modified.clone()),
                    ..Default::default()
                });
            }
        }
        let prefix = |prefix| CommonPrefix { prefix: Some(prefix) };
        page.prefixes = prefixes.into_iter().map(prefix).collect();
        page
    }
}
