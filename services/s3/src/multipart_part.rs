//! Parts of multipart uploads: sent, copied, listed.

use api_s3::{
    CopyPartResult, ListPartsInput, ListPartsOutput, Part as ApiPart, StorageClass, UploadPartCopyInput, UploadPartCopyOutput,
    UploadPartInput, UploadPartOutput,
};
use plane::{ApiError, Call};
use wire::Timestamp;

use crate::bucket_name::check_key;
use crate::checksum::{self, Digests};
use crate::checksum_members::{checksum_members, set_checksum};
use crate::encryption::{self, customer_headers};
use crate::error::{invalid_argument, invalid_request};
use crate::multipart_upload::{find_upload, initiator, parts, shown_algorithm, shown_type};
use crate::object_copy::{find_source, source_conditions, source_headers};
use crate::object_list::limit;
use crate::object_put::{Written, check_digest, check_length, etag, recall, remember, undo};
use crate::record::{Bucket, Encryption, Part, Upload};
use crate::storage::{self, UPLOAD_BYTES_MAX};
use crate::{acl, bucket, event, lock, range};

/// Version of the source that a part was copied from; a run after a conflict does not read it again.
const COPIED: &str = "s3 copied version";
/// Largest part number.
pub(crate) const PART_NUMBER_MAX: u16 = 10_000;

pub(crate) fn part_number(number: i32) -> Result<u16, ApiError> {
    let message = "Part number must be an integer between 1 and 10000, inclusive";
    u16::try_from(number)
        .ok()
        .filter(|number| (1..=PART_NUMBER_MAX).contains(number))
        .ok_or_else(|| invalid_argument(message, "partNumber", &number.to_string()))
}

pub(crate) async fn upload_part(cx: &mut Call, input: UploadPartInput) -> Result<UploadPartOutput, ApiError> {
    let result = upload(cx, &input).await;
    undo(cx, result).await
}

async fn upload(cx: &mut Call, input: &UploadPartInput) -> Result<UploadPartOutput, ApiError> {
    check_key(&input.key)?;
    let number = part_number(input.part_number)?;
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let upload = find_upload(cx, &bucket, &input.key, &input.upload_id).await?;
    checksum_members!(input).given()?;
    let written = match recall(cx) {
        Some(written) => written,
        None => receive(cx, &bucket, &upload, input).await?,
    };
    let part = place(cx, &bucket, &input.upload_id, number, &written).await?;
    event::note(cx, part.size, 0);
    let shown = encryption::shown(&upload.encryption, input.sse_customer_key_md5.as_deref());
    let mut output = UploadPartOutput {
        server_side_encryption: shown.server_side_encryption,
        etag: Some(format!("\"{}\"", part.etag)),
        sse_customer_algorithm: shown.customer_algorithm,
        sse_customer_key_md5: shown.customer_key_md5,
        sse_kms_key_id: shown.kms_key_id,
        bucket_key_enabled: shown.bucket_key_enabled,
        ..UploadPartOutput::default()
    };
    set_checksum!(output, upload.algorithm(), part.checksum);
    Ok(output)
}

async fn receive(cx: &mut Call, bucket: &Bucket, upload: &Upload, input: &UploadPartInput) -> Result<Written, ApiError> {
    check_length(&cx.request.headers)?;
    let declared = checksum::declared(&cx.request.headers)?;
    let content_md5 = checksum::content_md5(input.content_md5.as_deref())?;
    if lock::is_holding(&upload.lock, bucket) {
        check_digest(cx, &declared, content_md5.is_some(), "Part")?;
    }
    let algorithm = match (declared.algorithm(), upload.checksum_algorithm) {
        (Some(given), Some(expected)) if given != expected => {
            let name = |algorithm: checksum::Algorithm| algorithm.name().to_ascii_lowercase();
            let message = format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                name(expected),
                name(given)
            );
            return Err(invalid_request(message));
        }
        _ => upload.algorithm(),
    };
    let key = encryption::open_key(cx, bucket, &upload.encryption, customer_headers!(input)).await?;
    let with_md5 = content_md5.is_some() || matches!(upload.encryption, Encryption::Managed { .. });
    let mut digests = Digests::new(with_md5, algorithm);
    // An upload without an algorithm takes any checksum: it is compared, and the upload's own is kept.
    digests.also(declared.algorithm().filter(|declared| *declared != algorithm));
    let source = storage::chunks(cx.take_body());
    let staged = storage::stage(cx, bucket, &key, source, 0, digests).await?;
    let trailer = declared.algorithm().and_then(|algorithm| cx.request.trailers.get(algorithm.header()));
    if let Err(error) = staged.digested.verify(content_md5, &declared, trailer.as_deref()) {
        storage::discard(cx, &staged).await;
        return Err(error);
    }
    let written = Written { etag: etag(cx, &upload.encryption, &staged)?, staged, encryption: upload.encryption.clone() };
    remember(cx, &written);
    Ok(written)
}

/// Writes the part; an earlier one of the same number goes.
async fn place(cx: &mut Call, bucket: &Bucket, upload_id: &str, number: u16, written: &Written) -> Result<Part, ApiError> {
    let key = Part::key(bucket, upload_id, number);
    if let Some(earlier) = cx.tx.get::<Part>(&key).await? {
        storage::release(cx, bucket, &earlier.blob)?;
    }
    let staged = &written.staged;
    let part = Part {
        blob: staged.blob.clone(),
        size: staged.size,
        etag: written.etag.clone(),
        modified_ms: cx.now.0,
        checksum: staged.digested.checksum.clone(),
    };
    storage::keep(cx, bucket, &part.blob)?;
    cx.tx.put(&key, &part)?;
    Ok(part)
}

pub(crate) async fn upload_part_copy(cx: &mut Call, input: UploadPartCopyInput) -> Result<UploadPartCopyOutput, ApiError> {
    let result = copy(cx, &input).await;
    undo(cx, result).await
}

async fn copy(cx: &mut Call, input: &UploadPartCopyInput) -> Result<UploadPartCopyOutput, ApiError> {
    check_key(&input.key)?;
    let number = part_number(input.part_number)?;
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let upload = find_upload(cx, &bucket, &input.key, &input.upload_id).await?;
    let written = match recall(cx) {
        Some(written) => written,
        None => transfer(cx, &bucket, &upload, input).await?,
    };
    let part = place(cx, &bucket, &input.upload_id, number, &written).await?;
    event::note(cx, 0, 0);
    let shown = encryption::shown(&upload.encryption, input.sse_customer_key_md5.as_deref());
    let mut result = CopyPartResult {
        etag: Some(format!("\"{}\"", part.etag)),
        last_modified: Some(Timestamp(part.modified_ms.div_euclid(1000) * 1000)),
        ..CopyPartResult::default()
    };
    if let Some(algorithm) = upload.checksum_algorithm {
        set_checksum!(result, algorithm, part.checksum);
    }
    Ok(UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: cx.recall::<Option<String>>(COPIED).flatten(),
        server_side_encryption: shown.server_side_encryption,
        sse_customer_algorithm: shown.customer_algorithm,
        sse_customer_key_md5: shown.customer_key_md5,
        sse_kms_key_id: shown.kms_key_id,
        bucket_key_enabled: shown.bucket_key_enabled,
        ..UploadPartCopyOutput::default()
    })
}

async fn transfer(cx: &mut Call, bucket: &Bucket, upload: &Upload, input: &UploadPartCopyInput) -> Result<Written, ApiError> {
    let source = find_source(cx, &input.copy_source, input.expected_source_bucket_owner.as_deref(), &source_conditions!(input)).await?;
    let size = source.object.size;
    let range = match input.copy_source_range.as_deref() {
        None => 0..size,
        Some(header) => {
            let form = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
            let range = range::parse_copy(header).ok_or_else(|| invalid_argument(form, "x-amz-copy-source-range", header))?;
            if range.end > size {
                return Err(invalid_argument(
                    format!("Range specified is not valid for source object of size: {size}"),
                    "x-amz-copy-source-range",
                    header,
                ));
            }
            range
        }
    };
    if range.end - range.start > UPLOAD_BYTES_MAX {
        return Err(invalid_request(format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {UPLOAD_BYTES_MAX}"
        )));
    }
    let source_key = encryption::open_key(cx, &source.bucket, &source.object.encryption, source_headers!(input)).await?;
    let key = encryption::open_key(cx, bucket, &upload.encryption, customer_headers!(input)).await?;
    let bytes = storage::read(cx, &source.bucket, source_key, &source.object.pieces, range).await?;
    let digests = Digests::new(matches!(upload.encryption, Encryption::Managed { .. }), upload.algorithm());
    let staged = storage::stage(cx, bucket, &key, bytes, 0, digests).await?;
    let written = Written { etag: etag(cx, &upload.encryption, &staged)?, staged, encryption: upload.encryption.clone() };
    remember(cx, &written);
    cx.remember(COPIED, source.shown_version());
    Ok(written)
}

pub(crate) async fn list_parts(cx: &mut Call, input: ListPartsInput) -> Result<ListPartsOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let upload = find_upload(cx, &bucket, &input.key, &input.upload_id).await?;
    let limit = limit("max-parts", input.max_parts)?;
    let marker = input.part_number_marker.unwrap_or_default();
    let behind: Vec<(u16, Part)> =
        parts(cx, &bucket, &input.upload_id).await?.into_iter().filter(|(number, _)| i32::from(*number) > marker).collect();
    let is_truncated = behind.len() > limit;
    let parts: Vec<ApiPart> = behind
        .into_iter()
        .take(limit)
        .map(|(number, part)| {
            let mut shown = ApiPart {
                part_number: Some(number.into()),
                last_modified: Some(Timestamp(part.modified_ms)),
                etag: Some(format!("\"{}\"", part.etag)),
                size: i64::try_from(part.size).ok(),
                ..ApiPart::default()
            };
            if let Some(algorithm) = upload.checksum_algorithm {
                set_checksum!(shown, algorithm, part.checksum);
            }
            shown
        })
        .collect();
    Ok(ListPartsOutput {
        bucket: Some(bucket.name),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        part_number_marker: Some(marker),
        next_part_number_marker: Some(parts.last().and_then(|part| part.part_number).unwrap_or_default()),
        max_parts: i32::try_from(limit).ok(),
        is_truncated: Some(is_truncated),
        parts: Some(parts),
        initiator: Some(initiator(&upload)),
        owner: Some(acl::owner(&bucket.account)),
        storage_class: Some(StorageClass::Standard),
        checksum_algorithm: upload.checksum_algorithm.map(shown_algorithm),
        checksum_type: upload.checksum_algorithm.map(|_| shown_type(upload.checksum_composite)),
        ..ListPartsOutput::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_numbers_are_limited() {
        assert_eq!(part_number(1).unwrap(), 1);
        assert_eq!(part_number(10_000).unwrap(), 10_000);
        for bad in [0, -1, 10_001, i32::MAX] {
            assert_eq!(part_number(bad).unwrap_err().code, "InvalidArgument");
        }
    }
}
