//! The operations of S3 that s3fs uses.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use crate::list::Query;
use crate::objects::{Object, md5};
use crate::store::Store;

fn limit(max_keys: Option<i32>) -> usize {
    max_keys
        .and_then(|keys| usize::try_from(keys).ok())
        .unwrap_or(1000)
}

async fn read(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut content = BytesMut::new();
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            content.extend_from_slice(&chunk.map_err(|_| s3_error!(IncompleteBody))?);
        }
    }
    Ok(content.freeze())
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.bucket(&request.input.bucket, |_| Ok(()))?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = request.input;
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref(),
            after: input.marker.as_deref().unwrap_or_default(),
            limit: limit(input.max_keys),
        };
        let page = self.bucket(&input.bucket, |objects| Ok(query.page(objects)))?;
        Ok(S3Response::new(ListObjectsOutput {
            next_marker: page.last.filter(|_| page.is_truncated),
            is_truncated: Some(page.is_truncated),
            contents: Some(page.contents),
            common_prefixes: Some(page.prefixes),
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            marker: input.marker,
            max_keys: input.max_keys,
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let after = input
            .continuation_token
            .as_deref()
            .or(input.start_after.as_deref());
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref(),
            after: after.unwrap_or_default(),
            limit: limit(input.max_keys),
        };
        let page = self.bucket(&input.bucket, |objects| Ok(query.page(objects)))?;
        Ok(S3Response::new(ListObjectsV2Output {
            next_continuation_token: page.last.filter(|_| page.is_truncated),
            is_truncated: Some(page.is_truncated),
            contents: Some(page.contents),
            common_prefixes: Some(page.prefixes),
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.object(&request.input.bucket, &request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.size()),
            e_tag: Some(object.etag()),
            last_modified: Some(object.modified),
            metadata: object.metadata,
            content_type: object.content_type,
            ..Default::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let object = self.object(&request.input.bucket, &request.input.key)?;
        let (mut content, mut content_range) = (object.content.clone(), None);
        if let Some(range) = &request.input.range {
            let range = range.check(content.len() as u64)?;
            content_range = Some(format!(
                "bytes {}-{}/{}",
                range.start,
                range.end - 1,
                content.len()
            ));
            content = content.slice(range.start as usize..range.end as usize);
        }
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(content.len() as i64),
            body: Some(s3s::Body::from(content).into()),
            content_range,
            e_tag: Some(object.etag()),
            last_modified: Some(object.modified),
            metadata: object.metadata,
            content_type: object.content_type,
            ..Default::default()
        }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let object = Object::new(read(input.body).await?, input.metadata, input.content_type);
        let e_tag = Some(object.etag());
        self.bucket(&input.bucket, |objects| Ok(objects.insert(input.key, object)))?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag,
            ..Default::default()
        }))
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = request.input;
        let source = self.source(&input.copy_source)?;
        let replaces = input
            .metadata_directive
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        let object = if replaces {
            Object::new(source.content, input.metadata, input.content_type)
        } else {
            Object::new(source.content, source.metadata, source.content_type)
        };
        let result = CopyObjectResult {
            e_tag: Some(object.etag()),
            last_modified: Some(object.modified.clone()),
            ..Default::default()
        };
        self.bucket(&input.bucket, |objects| Ok(objects.insert(input.key, object)))?;
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.bucket(&input.bucket, |objects| Ok(objects.remove(&input.key)))?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let id = self.begin_upload(input.metadata, input.content_type);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let content = read(input.body).await?;
        let e_tag = Some(ETag::Strong(md5(&content)));
        self.add_part(&input.upload_id, input.part_number, content)?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag,
            ..Default::default()
        }))
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = request.input;
        let mut content = self.source(&input.copy_source)?.content;
        if let Some(range) = input.copy_source_range {
            let range = Range::parse(&range).map_err(|_| s3_error!(InvalidArgument))?;
            let range = range.check(content.len() as u64)?;
            content = content.slice(range.start as usize..range.end as usize);
        }
        let result = CopyPartResult {
            e_tag: Some(ETag::Strong(md5(&content))),
            ..Default::default()
        };
        self.add_part(&input.upload_id, input.part_number, content)?;
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let object = self.end_upload(&input.upload_id)?;
        let e_tag = Some(object.etag());
        self.bucket(&input.bucket, |objects| {
            Ok(objects.insert(input.key.clone(), object))
        })?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag,
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.abort_upload(&request.input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
