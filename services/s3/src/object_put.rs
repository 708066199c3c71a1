//! PutObject, and how any new object takes its place.

use api_s3::{ChecksumType, PutObjectInput, PutObjectOutput};
use http::HeaderMap;
use plane::{ApiError, Call, PrincipalKind};

use crate::acl::check_object_acl;
use crate::bucket_name::check_key;
use crate::checksum::{self, Algorithm, Declared, Digests};
use crate::checksum_members::{checksum_members, set_checksum};
use crate::condition::check_write;
use crate::encryption::{self, requested_encryption};
use crate::error::{entity_too_large, invalid_request, not_implemented};
use crate::lock::{self, requested_lock};
use crate::metadata::{metadata_of, refuse_unsupported};
use crate::record::{Bucket, Encryption, Object, StoredChecksum, VersionName};
use crate::storage::{self, INLINE_BYTES_MAX, Staged, UPLOAD_BYTES_MAX};
use crate::{bucket, event, tag, version};

/// Work of a write that a run after a conflict does not do again.
const WRITTEN: &str = "s3 written bytes";

/// Bytes in the vault with all that is known of them.
#[derive(Clone)]
pub(crate) struct Written {
    pub staged: Staged,
    pub etag: String,
    pub encryption: Encryption,
}

/// Keeps the work of this call, so that it is neither repeated nor lost.
pub(crate) fn remember(cx: &mut Call, written: &Written) {
    cx.remember(WRITTEN, written.clone());
}

pub(crate) fn recall(cx: &Call) -> Option<Written> {
    cx.recall(WRITTEN)
}

/// Deletes the bytes of a write that is refused.
pub(crate) async fn undo<T>(cx: &Call, result: Result<T, ApiError>) -> Result<T, ApiError> {
    if result.is_err()
        && let Some(written) = recall(cx)
    {
        storage::discard(cx, &written.staged).await;
    }
    result
}

/// Entity tag of bytes: their MD5 where the encryption is our own, else something that says nothing of them.
pub(crate) fn etag(cx: &Call, encryption: &Encryption, staged: &Staged) -> Result<String, ApiError> {
    if let (Encryption::Managed { .. }, Some(md5)) = (encryption, staged.digested.md5) {
        return Ok(hex::encode(md5));
    }
    let mut opaque = [0_u8; 16];
    cx.random(&mut opaque)?;
    Ok(hex::encode(opaque))
}

/// Length of the body as the client announced it.
pub(crate) fn check_length(headers: &HeaderMap) -> Result<(), ApiError> {
    let number = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).and_then(|value| value.trim().parse::<u64>().ok());
    let length = number("x-amz-decoded-content-length").or_else(|| number("content-length"));
    match length {
        None => Err(ApiError::new("MissingContentLength", "You must provide the Content-Length HTTP header.").with_status(411)),
        Some(length) if length > UPLOAD_BYTES_MAX => Err(entity_too_large(length, UPLOAD_BYTES_MAX)),
        Some(_) => Ok(()),
    }
}

pub(crate) async fn put_object(cx: &mut Call, input: PutObjectInput) -> Result<PutObjectOutput, ApiError> {
    let result = put(cx, &input).await;
    undo(cx, result).await
}

async fn put(cx: &mut Call, input: &PutObjectInput) -> Result<PutObjectOutput, ApiError> {
    check_key(&input.key)?;
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    refuse_unsupported!(input)?;
    if input.write_offset_bytes.is_some() {
        return Err(not_implemented("x-amz-write-offset-bytes"));
    }
    check_object_acl(input.acl.as_ref(), &[&input.grant_full_control, &input.grant_read, &input.grant_read_acp, &input.grant_write_acp])?;
    let metadata = metadata_of!(input)?;
    let tags = tag::parse_header(input.tagging.as_deref())?;
    checksum_members!(input).given()?;
    let asked = requested_lock!(input).read(&bucket, cx.now.0)?;
    let existing = cx.tx.get::<Object>(&Object::key(&bucket, &input.key)).await?;
    check_write(cx, &bucket, &input.key, input.if_match.as_deref(), input.if_none_match.as_deref(), existing.as_ref()).await?;
    let written = match recall(cx) {
        Some(written) => written,
        None => receive(cx, &bucket, input, lock::is_holding(&asked, &bucket)).await?,
    };
    let Written { staged, etag, encryption } = written;
    let checksum = StoredChecksum { algorithm: staged.digested.algorithm, value: staged.digested.checksum.clone(), composite: false };
    let shown = encryption::shown(&encryption, input.sse_customer_key_md5.as_deref());
    let object = Object {
        size: staged.size,
        etag: etag.clone(),
        modified_ms: cx.now.0,
        pieces: vec![storage::keep_staged(cx, &bucket, &staged)?],
        multipart: false,
        encryption,
        checksum: Some(checksum.clone()),
        metadata,
        tags,
        version: VersionName::default(),
        lock: lock::of_new_object(asked, &bucket, cx.now.0)?,
    };
    let object = version::place(cx, &bucket, &input.key, object, existing).await?;
    event::note(cx, object.size, 0);
    let mut output = PutObjectOutput {
        etag: Some(format!("\"{etag}\"")),
        version_id: version::shown_to_writer(&bucket, &object.version),
        checksum_type: Some(ChecksumType::FullObject),
        server_side_encryption: shown.server_side_encryption,
        sse_customer_algorithm: shown.customer_algorithm,
        sse_customer_key_md5: shown.customer_key_md5,
        sse_kms_key_id: shown.kms_key_id,
        sse_kms_encryption_context: shown.kms_context,
        bucket_key_enabled: shown.bucket_key_enabled,
        ..PutObjectOutput::default()
    };
    set_checksum!(output, checksum.algorithm, checksum.value);
    Ok(output)
}

async fn receive(cx: &mut Call, bucket: &Bucket, input: &PutObjectInput, is_held: bool) -> Result<Written, ApiError> {
    check_length(&cx.request.headers)?;
    let declared = checksum::declared(&cx.request.headers)?;
    let content_md5 = checksum::content_md5(input.content_md5.as_deref())?;
    if is_held {
        check_digest(cx, &declared, content_md5.is_some(), "Object")?;
    }
    let new = encryption::new_key(cx, bucket, &input.key, &requested_encryption!(input)).await?;
    let with_md5 = content_md5.is_some() || matches!(new.encryption, Encryption::Managed { .. });
    let digests = Digests::new(with_md5, declared.algorithm().unwrap_or(Algorithm::Crc64nvme));
    let source = storage::chunks(cx.take_body());
    let staged = storage::stage(cx, bucket, &new.key, source, INLINE_BYTES_MAX, digests).await?;
    let trailer = declared.algorithm().and_then(|algorithm| cx.request.trailers.get(algorithm.header()));
    if let Err(error) = staged.digested.verify(content_md5, &declared, trailer.as_deref()) {
        storage::discard(cx, &staged).await;
        return Err(error);
    }
    let written = Written { etag: etag(cx, &new.encryption, &staged)?, staged, encryption: new.encryption };
    remember(cx, &written);
    Ok(written)
}

/// What will be held must have arrived as it was sent: its bytes come with a digest. Our own services send it within the process.
pub(crate) fn check_digest(cx: &Call, declared: &Declared, has_md5: bool, what: &str) -> Result<(), ApiError> {
    let is_own = !cx.via.is_empty() || matches!(cx.principal.kind, PrincipalKind::Service { .. });
    if has_md5 || declared.algorithm().is_some() || is_own {
        return Ok(());
    }
    Err(invalid_request(format!(
        "Content-MD5 OR x-amz-checksum- HTTP header is required for Put {what} requests with Object Lock parameters"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn bodies_have_an_announced_and_limited_length() {
        assert!(check_length(&headers(&[("content-length", "5368709120")])).is_ok());
        assert!(check_length(&headers(&[("x-amz-decoded-content-length", "5")])).is_ok());
        assert_eq!(check_length(&headers(&[("content-length", "5368709121")])).unwrap_err().code, "EntityTooLarge");
        // The framing of chunks does not count.
        assert!(check_length(&headers(&[("content-length", "5368709999"), ("x-amz-decoded-content-length", "5368709120")])).is_ok());
        assert_eq!(check_length(&headers(&[])).unwrap_err().code, "MissingContentLength");
    }
}
