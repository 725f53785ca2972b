//! The buckets, and the uploads to them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use s3s::dto::{ContentType, CopySource, Metadata};
use s3s::{S3Result, s3_error};

use crate::objects::{Bucket, Object};

/// An upload in parts that is not complete.
#[derive(Debug)]
struct Upload {
    metadata: Option<Metadata>,
    content_type: Option<ContentType>,
    parts: BTreeMap<i32, Bytes>,
}

/// Buckets, and uploads to them.
#[derive(Debug)]
pub struct Store {
    buckets: Arc<Mutex<BTreeMap<String, Bucket>>>,
    uploads: Mutex<BTreeMap<String, Upload>>,
    last_upload: AtomicU64,
}

impl Store {
    /// Serves these buckets.
    pub fn new(buckets: Arc<Mutex<BTreeMap<String, Bucket>>>) -> Self {
        Self {
            buckets,
            uploads: Mutex::default(),
            last_upload: AtomicU64::new(0),
        }
    }

    /// Works on the objects of a bucket.
    pub fn bucket<T>(&self, name: &str, work: impl FnOnce(&mut Bucket) -> S3Result<T>) -> S3Result<T> {
        let mut buckets = lock(&self.buckets);
        work(buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket))?)
    }

    /// An object.
    pub fn object(&self, bucket: &str, key: &str) -> S3Result<Object> {
        self.bucket(bucket, |objects| {
            objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
        })
    }

    /// The object to copy.
    pub fn source(&self, source: &CopySource) -> S3Result<Object> {
        match source {
            CopySource::Bucket { bucket, key, .. } => self.object(bucket, key),
            _ => Err(s3_error!(NotImplemented)),
        }
    }

    /// Begins an upload in parts, and returns its id.
    pub fn begin_upload(&self, metadata: Option<Metadata>, content_type: Option<ContentType>) -> String {
        let id = format!("upload-{}", self.last_upload.fetch_add(1, Ordering::Relaxed));
        let upload = Upload {
            metadata,
            content_type,
            parts: BTreeMap::new(),
        };
        lock(&self.uploads).insert(id.clone(), upload);
        id
    }

    /// Adds a part to an upload.
    pub fn add_part(&self, upload: &str, number: i32, content: Bytes) -> S3Result<()> {
        let mut uploads = lock(&self.uploads);
        let upload = uploads.get_mut(upload).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(number, content);
        Ok(())
    }

    /// The object of an upload, which ends with that.
    pub fn end_upload(&self, upload: &str) -> S3Result<Object> {
        let upload = lock(&self.uploads).remove(upload);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
        let parts: Vec<_> = upload.parts.into_values().collect();
        Ok(Object::new(
            parts.concat().into(),
            upload.metadata,
            upload.content_type,
        ))
    }

    /// Drops an upload.
    pub fn abort_upload(&self, upload: &str) {
        lock(&self.uploads).remove(upload);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
