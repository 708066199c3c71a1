//! CompleteMultipartUpload: only records change, no byte moves.

use api_s3::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use md5::{Digest as _, Md5};
use plane::{ApiError, Call};
use wire::Value;

use crate::bucket;
use crate::bucket_name::check_key;
use crate::checksum::{self, Algorithm};
use crate::checksum_members::{checksum_members, set_checksum, type_of};
use crate::condition::check_write;
use crate::encryption::{self, customer_headers};
use crate::error::{invalid_request, malformed_xml};
use crate::multipart_part::PART_NUMBER_MAX;
use crate::multipart_upload::{find_upload, parts};
use crate::record::{Object, Part, Piece, StoredChecksum, Upload, VersionName};
use crate::{event, lock, storage, version};

/// Least size of every part but the last.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// An upload's data key was found usable for this caller.
const OPENED: &str = "s3 upload key opened";

pub(crate) async fn complete_multipart_upload(
    cx: &mut Call,
    input: CompleteMultipartUploadInput,
) -> Result<CompleteMultipartUploadOutput, ApiError> {
    check_key(&input.key)?;
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let upload = find_upload(cx, &bucket, &input.key, &input.upload_id).await?;
    // The caller must be able to open what it completes; customers' keys need not be given again.
    let customer = customer_headers!(input);
    let is_customer = matches!(upload.encryption, crate::record::Encryption::Customer { .. });
    if is_customer && customer.key.is_some() {
        encryption::check_customer(cx, &upload.encryption, customer)?;
    } else if !is_customer && cx.recall::<()>(OPENED).is_none() {
        encryption::open_key(cx, &bucket, &upload.encryption, customer).await?;
        cx.remember(OPENED, ());
    }
    let wanted = input
        .multipart_upload
        .as_ref()
        .and_then(|upload| upload.parts.as_deref())
        .filter(|parts| !parts.is_empty())
        .ok_or_else(malformed_xml)?;
    let sent = parts(cx, &bucket, &input.upload_id).await?;
    let chosen = choose(&input.upload_id, &upload, wanted, &sent)?;
    let size: u64 = chosen.iter().map(|(_, part)| part.size).sum();
    if let Some(expected) = input.mpu_object_size
        && u64::try_from(expected) != Ok(size)
    {
        return Err(invalid_request(format!(
            "The provided 'x-amz-mp-object-size' header value {expected} does not match what was computed: {size}"
        )));
    }
    let checksum = sum(&upload, &chosen)?;
    check_checksum(&input, &checksum)?;
    let existing = cx.tx.get::<Object>(&Object::key(&bucket, &input.key)).await?;
    check_write(cx, &bucket, &input.key, input.if_match.as_deref(), input.if_none_match.as_deref(), existing.as_ref()).await?;
    let object = Object {
        size,
        etag: etag(&chosen)?,
        modified_ms: cx.now.0,
        pieces: chosen
            .iter()
            .map(|(number, part)| Piece {
                blob: part.blob.clone(),
                size: part.size,
                number: *number,
                checksum: Some(part.checksum.clone()),
                inline: false,
            })
            .collect(),
        multipart: true,
        encryption: upload.encryption.clone(),
        checksum: Some(checksum.clone()),
        metadata: upload.metadata.clone(),
        tags: upload.tags.clone(),
        version: VersionName::default(),
        lock: lock::of_new_object(upload.lock, &bucket, cx.now.0)?,
    };
    for (number, part) in &sent {
        if !chosen.iter().any(|(kept, _)| kept == number) {
            storage::release(cx, &bucket, &part.blob)?;
        }
        cx.tx.delete::<Part>(&Part::key(&bucket, &input.upload_id, *number));
    }
    cx.tx.delete::<Upload>(&Upload::key(&bucket, &input.upload_id));
    let object = version::place(cx, &bucket, &input.key, object, existing).await?;
    event::note(cx, 0, 0);
    let shown = encryption::shown(&object.encryption, None);
    let mut output = CompleteMultipartUploadOutput {
        version_id: version::shown_to_writer(&bucket, &object.version),
        location: Some(format!("/{}/{}", bucket.name, crate::url::encode(&input.key))),
        bucket: Some(bucket.name),
        key: Some(input.key),
        etag: Some(format!("\"{}\"", object.etag)),
        checksum_type: Some(type_of(&checksum)),
        server_side_encryption: shown.server_side_encryption,
        sse_kms_key_id: shown.kms_key_id,
        bucket_key_enabled: shown.bucket_key_enabled,
        ..CompleteMultipartUploadOutput::default()
    };
    set_checksum!(output, checksum.algorithm, checksum.value);
    Ok(output)
}

/// The parts that the client names, in ascending order, each as it was sent, all but the last large enough.
fn choose<'a>(
    upload_id: &str,
    upload: &Upload,
    wanted: &[CompletedPart],
    sent: &'a [(u16, Part)],
) -> Result<Vec<(u16, &'a Part)>, ApiError> {
    if wanted.len() > usize::from(PART_NUMBER_MAX) {
        return Err(malformed_xml());
    }
    let mut chosen: Vec<(u16, &Part)> = Vec::with_capacity(wanted.len());
    for part in wanted {
        let number = part.part_number.ok_or_else(malformed_xml)?;
        let etag = part.etag.as_deref().ok_or_else(malformed_xml)?.trim_matches('"');
        let invalid = || {
            let message = "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.";
            ApiError::new("InvalidPart", message)
                .with_member("UploadId", Value::Str(upload_id.to_owned()))
                .with_member("PartNumber", Value::Str(number.to_string()))
                .with_member("ETag", Value::Str(etag.to_owned()))
        };
        if chosen.last().is_some_and(|(last, _)| i32::from(*last) >= number) {
            let message = "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(ApiError::new("InvalidPartOrder", message).with_member("UploadId", Value::Str(upload_id.to_owned())));
        }
        let found =
            sent.binary_search_by_key(&number, |(number, _)| i32::from(*number)).ok().and_then(|at| sent.get(at)).ok_or_else(invalid)?;
        if found.1.etag != etag {
            return Err(invalid());
        }
        check_part_checksum(upload, part, number, &found.1, invalid)?;
        chosen.push((found.0, &found.1));
    }
    let small = chosen.split_last().and_then(|(_, others)| others.iter().find(|(_, part)| part.size < PART_BYTES_MIN));
    if let Some((number, part)) = small {
        return Err(ApiError::new("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
            .with_member("ProposedSize", Value::Str(part.size.to_string()))
            .with_member("MinSizeAllowed", Value::Str(PART_BYTES_MIN.to_string()))
            .with_member("PartNumber", Value::Str(number.to_string()))
            .with_member("ETag", Value::Str(part.etag.clone())));
    }
    Ok(chosen)
}

/// A composite checksum is over what both sides know of each part, so each must be named.
fn check_part_checksum(
    upload: &Upload,
    wanted: &CompletedPart,
    number: i32,
    sent: &Part,
    invalid: impl Fn() -> ApiError,
) -> Result<(), ApiError> {
    let given = checksum_members!(wanted).given()?;
    let Some(algorithm) = upload.checksum_algorithm else {
        // Nothing was agreed on: what is of the upload's own algorithm is compared, the rest cannot be.
        return match given.iter().find(|(algorithm, _)| *algorithm == upload.algorithm()) {
            Some((_, value)) if *value != sent.checksum => Err(invalid()),
            _ => Ok(()),
        };
    };
    if let Some((other, _)) = given.iter().find(|(given, _)| *given != algorithm) {
        return Err(ApiError::new(
            "BadDigest",
            format!("The {} you specified for part {number} did not match what we received.", other.name().to_ascii_lowercase()),
        ));
    }
    match given.first() {
        Some((_, value)) if verify_slices_are_equal(value.as_bytes(), sent.checksum.as_bytes()).is_ok() => Ok(()),
        Some(_) => Err(invalid()),
        None if upload.checksum_composite => {
            let name = algorithm.name().to_ascii_lowercase();
            let message = format!(
                "The upload was created using a {name} checksum. The complete request must include the checksum for each part. It was missing for part {number} in the request."
            );
            Err(invalid_request(message))
        }
        None => Ok(()),
    }
}

/// MD5 of the parts' entity tags with their number; says as much or as little of the content as they do.
fn etag(chosen: &[(u16, &Part)]) -> Result<String, ApiError> {
    let mut md5 = Md5::new();
    for (_, part) in chosen {
        md5.update(hex::decode(&part.etag).map_err(|error| ApiError::internal(&error))?);
    }
    Ok(format!("{}-{}", hex::encode(md5.finalize()), chosen.len()))
}

fn sum(upload: &Upload, chosen: &[(u16, &Part)]) -> Result<StoredChecksum, ApiError> {
    let algorithm: Algorithm = upload.algorithm();
    let value = if upload.checksum_composite {
        checksum::composite(algorithm, chosen.iter().map(|(_, part)| part.checksum.as_str()))
    } else {
        checksum::full_object(algorithm, chosen.iter().map(|(_, part)| (part.checksum.as_str(), part.size)))
    };
    let value = value.ok_or_else(|| ApiError::internal(&"the checksums of parts do not combine"))?;
    Ok(StoredChecksum { algorithm, value, composite: upload.checksum_composite })
}

fn check_checksum(input: &CompleteMultipartUploadInput, computed: &StoredChecksum) -> Result<(), ApiError> {
    if let Some(wanted) = &input.checksum_type
        && *wanted != type_of(computed)
    {
        let message = format!(
            "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
            type_of(computed)
        );
        return Err(invalid_request(message));
    }
    for (algorithm, value) in checksum_members!(input).checked()? {
        // A composite value may come without its count.
        let matches = value == computed.value || computed.value.strip_prefix(value).is_some_and(|rest| rest.starts_with('-'));
        if algorithm != computed.algorithm || !matches {
            return Err(checksum::mismatch(algorithm));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Encryption, Lock, Metadata};

    fn upload(algorithm: Option<Algorithm>, composite: bool) -> Upload {
        Upload {
            object_key: "k".to_owned(),
            initiated_ms: 0,
            initiator: String::new(),
            encryption: Encryption::Managed { sealed_key: String::new() },
            checksum_algorithm: algorithm,
            checksum_composite: composite,
            metadata: Metadata::default(),
            tags: Vec::new(),
            lock: Lock::default(),
        }
    }

    fn sent(sizes: &[u64]) -> Vec<(u16, Part)> {
        let part = |size: &u64| Part {
            blob: String::new(),
            size: *size,
            etag: "900150983cd24fb0d6963f7d28e17f72".to_owned(),
            modified_ms: 0,
            checksum: "AAAAAAAAAAA=".to_owned(),
        };
        sizes.iter().zip(1..).map(|(size, number)| (number, part(size))).collect()
    }

    fn wanted(number: i32) -> CompletedPart {
        CompletedPart {
            part_number: Some(number),
            etag: Some("\"900150983cd24fb0d6963f7d28e17f72\"".to_owned()),
            ..CompletedPart::default()
        }
    }

    #[test]
    fn parts_are_named_in_order_as_they_were_sent() {
        let plain = upload(None, false);
        let sent = sent(&[PART_BYTES_MIN, PART_BYTES_MIN - 1, 1]);
        let code = |wanted: &[CompletedPart]| {
            choose("id", &plain, wanted, &sent).map(|chosen| chosen.len()).map_err(|error| error.code.into_owned())
        };
        assert_eq!(code(&[wanted(1), wanted(3)]), Ok(2));
        assert_eq!(code(&[wanted(3), wanted(1)]), Err("InvalidPartOrder".to_owned()));
        assert_eq!(code(&[wanted(1), wanted(1)]), Err("InvalidPartOrder".to_owned()));
        assert_eq!(code(&[wanted(1), wanted(4)]), Err("InvalidPart".to_owned()));
        assert_eq!(code(&[wanted(2), wanted(3)]), Err("EntityTooSmall".to_owned()));
        assert_eq!(code(&[CompletedPart { etag: Some("x".to_owned()), ..wanted(1) }]), Err("InvalidPart".to_owned()));
        assert_eq!(code(&[CompletedPart { part_number: None, ..wanted(1) }]), Err("MalformedXML".to_owned()));
    }

    #[test]
    fn composite_uploads_need_the_checksum_of_each_part() {
        let composite = upload(Some(Algorithm::Crc32), true);
        let mut sent = sent(&[1]);
        sent[0].1.checksum = "y/Q5Jg==".to_owned();
        let code = |wanted: CompletedPart| {
            choose("id", &composite, &[wanted], &sent).map(|chosen| chosen.len()).map_err(|error| error.code.into_owned())
        };
        assert_eq!(code(CompletedPart { checksum_crc32: Some("y/Q5Jg==".to_owned()), ..wanted(1) }), Ok(1));
        assert_eq!(code(CompletedPart { checksum_crc32: Some("AAAAAA==".to_owned()), ..wanted(1) }), Err("InvalidPart".to_owned()));
        assert_eq!(code(CompletedPart { checksum_sha1: Some("AAAA".to_owned()), ..wanted(1) }), Err("BadDigest".to_owned()));
        assert_eq!(code(wanted(1)), Err("InvalidRequest".to_owned()));
    }

    #[test]
    fn the_entity_tag_counts_the_parts() {
        let sent = sent(&[1, 1]);
        let chosen: Vec<(u16, &Part)> = sent.iter().map(|(number, part)| (*number, part)).collect();
        let twice =
            [hex::decode("900150983cd24fb0d6963f7d28e17f72").unwrap(), hex::decode("900150983cd24fb0d6963f7d28e17f72").unwrap()].concat();
        assert_eq!(etag(&chosen).unwrap(), format!("{}-2", hex::encode(Md5::digest(twice))));
    }
}
