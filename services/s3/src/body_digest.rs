//! Digests that a request declares of a body which is a document and not an object.

use plane::{ApiError, Call, body};

use crate::checksum::{self, Algorithm, Digests};
use crate::error::invalid_request;
use plane::pipeline::{BODY_TIMEOUT, body_error};

/// Bodies of documents are limited by the plane before.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Compares `Content-MD5` and `x-amz-checksum-*` with the body of this call. A run after a conflict finds no body, and nothing to compare.
pub(crate) async fn check(cx: &mut Call) -> Result<(), ApiError> {
    let Some(body) = cx.take_body() else { return Ok(()) };
    let declared = checksum::declared(&cx.request.headers)?;
    let content_md5 = checksum::content_md5(cx.request.headers.get("content-md5").and_then(|value| value.to_str().ok()))?;
    if content_md5.is_none() && declared.algorithm().is_none() {
        // The model's trait binds SDKs. S3 takes policies without: s3cmd and minio-go send none.
        if cx.operation.checksum_required && cx.operation.name != "PutBucketPolicy" {
            return Err(invalid_request("Missing required header for this request: Content-MD5 OR x-amz-checksum-*"));
        }
        return Ok(());
    }
    let bytes = body::collect(body, BYTES_MAX, BODY_TIMEOUT).await.map_err(|error| body_error(&error))?;
    let mut digests = Digests::new(content_md5.is_some(), declared.algorithm().unwrap_or(Algorithm::Crc32));
    digests.update(&bytes);
    let trailer = declared.algorithm().and_then(|algorithm| cx.request.trailers.get(algorithm.header()));
    digests.finish().verify(content_md5, &declared, trailer.as_deref())
}
