//! The objects of a store.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{ContentType, ETag, Metadata, Timestamp};

/// Objects by key.
pub type Bucket = BTreeMap<String, Object>;

/// An object.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its bytes.
    pub content: Bytes,
    /// The metadata from its writer.
    pub metadata: Option<Metadata>,
    /// Their type.
    pub content_type: Option<ContentType>,
    /// When it was written.
    pub modified: Timestamp,
    /// The MD5 of its bytes, in hex.
    md5: String,
}

impl Object {
    /// An object that is written now.
    pub fn new(content: Bytes, metadata: Option<Metadata>, content_type: Option<ContentType>) -> Self {
        Self {
            md5: md5(&content),
            content,
            metadata,
            content_type,
            modified: SystemTime::now().into(),
        }
    }

    /// Its entity tag.
    pub fn etag(&self) -> ETag {
        ETag::Strong(self.md5.clone())
    }

    /// Its size in bytes.
    pub fn size(&self) -> i64 {
        self.content.len() as i64
    }
}

/// The MD5 of `content`, in hex.
pub fn md5(content: &[u8]) -> String {
    let mut hash = Md5::new();
    hash.update(content);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
