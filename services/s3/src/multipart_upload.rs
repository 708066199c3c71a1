//! Multipart uploads: begun, aborted, listed.

use api_s3::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType, CommonPrefix, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload, StorageClass,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call};
use wire::Timestamp;

use crate::acl::{self, check_object_acl};
use crate::bucket_name::check_key;
use crate::checksum::Algorithm;
use crate::encryption::{self, requested_encryption};
use crate::error::{invalid_request, no_such_upload, precondition_failed};
use crate::listing::{Entry, Listing, Step};
use crate::lock::requested_lock;
use crate::metadata::{metadata_of, refuse_unsupported};
use crate::object_list::{Names, limit};
use crate::record::{Bucket, Encryption, Part, Upload};
use crate::{bucket, event, storage, tag};

/// Letters of upload ids.
const ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const ID_CHARACTERS: usize = 64;
/// Remembered encryption of an upload whose first commit met a conflict.
const BEGUN: &str = "s3 upload key";

/// The upload of this key, if the id is one.
pub(crate) async fn find_upload(cx: &mut Call, bucket: &Bucket, key: &str, upload_id: &str) -> Result<Upload, ApiError> {
    let upload = cx.tx.get::<Upload>(&Upload::key(bucket, upload_id)).await?;
    upload.filter(|upload| upload.object_key == key).ok_or_else(|| no_such_upload(upload_id))
}

/// All parts, in order of their numbers.
pub(crate) async fn parts(cx: &mut Call, bucket: &Bucket, upload_id: &str) -> Result<Vec<(u16, Part)>, ApiError> {
    // There are at most as many parts as one scan gives.
    let rows = cx.tx.scan::<Part>(&Part::prefix(bucket, upload_id), None, SCAN_LIMIT).await?;
    rows.into_iter()
        .map(|(number, part)| match <[u8; 2]>::try_from(number.as_ref()) {
            Ok(number) => Ok((u16::from_be_bytes(number), part)),
            Err(error) => Err(ApiError::internal(&error)),
        })
        .collect()
}

pub(crate) async fn create_multipart_upload(
    cx: &mut Call,
    input: CreateMultipartUploadInput,
) -> Result<CreateMultipartUploadOutput, ApiError> {
    check_key(&input.key)?;
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    refuse_unsupported!(input)?;
    check_object_acl(input.acl.as_ref(), &[&input.grant_full_control, &input.grant_read, &input.grant_read_acp, &input.grant_write_acp])?;
    let metadata = metadata_of!(input)?;
    let tags = tag::parse_header(input.tagging.as_deref())?;
    let lock = requested_lock!(input).read(&bucket, cx.now.0)?;
    let algorithm = input.checksum_algorithm.as_ref().map(|algorithm| Algorithm::parse(algorithm.as_str())).transpose()?;
    let composite = is_composite(algorithm, input.checksum_type.as_ref())?;
    let encryption = if let Some(encryption) = cx.recall::<Encryption>(BEGUN) {
        encryption
    } else {
        let encryption = encryption::new_key(cx, &bucket, &input.key, &requested_encryption!(input)).await?.encryption;
        cx.remember(BEGUN, encryption.clone());
        encryption
    };
    let shown = encryption::shown(&encryption, input.sse_customer_key_md5.as_deref());
    let upload_id = cx.random_id(ID_ALPHABET, ID_CHARACTERS)?;
    let upload = Upload {
        object_key: input.key.clone(),
        initiated_ms: cx.now.0,
        initiator: cx.principal.arn.clone(),
        encryption,
        checksum_algorithm: algorithm,
        checksum_composite: composite,
        metadata,
        tags,
        lock,
    };
    cx.tx.put(&Upload::key(&bucket, &upload_id), &upload)?;
    event::note(cx, 0, 0);
    Ok(CreateMultipartUploadOutput {
        bucket: Some(bucket.name),
        key: Some(input.key),
        upload_id: Some(upload_id),
        server_side_encryption: shown.server_side_encryption,
        sse_customer_algorithm: shown.customer_algorithm,
        sse_customer_key_md5: shown.customer_key_md5,
        sse_kms_key_id: shown.kms_key_id,
        sse_kms_encryption_context: shown.kms_context,
        bucket_key_enabled: shown.bucket_key_enabled,
        checksum_algorithm: algorithm.map(shown_algorithm),
        checksum_type: algorithm.map(|_| shown_type(composite)),
        ..CreateMultipartUploadOutput::default()
    })
}

pub(crate) fn shown_algorithm(algorithm: Algorithm) -> ChecksumAlgorithm {
    ChecksumAlgorithm::from(algorithm.name())
}

pub(crate) fn shown_type(composite: bool) -> ChecksumType {
    if composite { ChecksumType::Composite } else { ChecksumType::FullObject }
}

/// Which type an algorithm can have: hashes cannot be combined, CRC-64/NVME always is.
fn is_composite(algorithm: Option<Algorithm>, wanted: Option<&ChecksumType>) -> Result<bool, ApiError> {
    let Some(algorithm) = algorithm else {
        return match wanted {
            None => Ok(false),
            Some(_) => Err(invalid_request("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")),
        };
    };
    let refused = |wanted: &ChecksumType| {
        let name = algorithm.name().to_ascii_lowercase();
        Err(invalid_request(format!("The {wanted} checksum type cannot be used with the {name} checksum algorithm.")))
    };
    match wanted {
        Some(wanted @ ChecksumType::Composite) if algorithm == Algorithm::Crc64nvme => refused(wanted),
        Some(wanted @ ChecksumType::FullObject) if !algorithm.is_crc() => refused(wanted),
        Some(ChecksumType::Other(other)) => Err(invalid_request(format!("Value for x-amz-checksum-type header is invalid: `{other}`."))),
        Some(ChecksumType::Composite) => Ok(true),
        Some(ChecksumType::FullObject) => Ok(false),
        None => Ok(algorithm != Algorithm::Crc64nvme),
    }
}

pub(crate) async fn abort_multipart_upload(
    cx: &mut Call,
    input: AbortMultipartUploadInput,
) -> Result<AbortMultipartUploadOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let upload = find_upload(cx, &bucket, &input.key, &input.upload_id).await?;
    if input.if_match_initiated_time.is_some_and(|time| time.0.div_euclid(1000) != upload.initiated_ms.div_euclid(1000)) {
        return Err(precondition_failed("x-amz-if-match-initiated-time"));
    }
    for (number, part) in parts(cx, &bucket, &input.upload_id).await? {
        storage::release(cx, &bucket, &part.blob)?;
        cx.tx.delete::<Part>(&Part::key(&bucket, &input.upload_id, number));
    }
    cx.tx.delete::<Upload>(&Upload::key(&bucket, &input.upload_id));
    Ok(AbortMultipartUploadOutput::default())
}

pub(crate) fn initiator(upload: &Upload) -> Initiator {
    Initiator { id: Some(upload.initiator.clone()), display_name: None }
}

pub(crate) async fn list_multipart_uploads(
    cx: &mut Call,
    input: ListMultipartUploadsInput,
) -> Result<ListMultipartUploadsOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let names = Names::new(input.encoding_type.as_ref())?;
    let limit = limit("max-uploads", input.max_uploads)?;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let key_marker = input.key_marker.unwrap_or_default();
    // An upload id counts only beside a key.
    let id_marker = input.upload_id_marker.filter(|_| !key_marker.is_empty());
    let all = uploads(cx, &bucket).await?;
    let page = cut(all, &prefix, delimiter.as_deref(), &key_marker, id_marker.as_deref(), limit);
    let last = page.entries.last().filter(|_| page.is_truncated);
    let (next_key_marker, next_upload_id_marker) = match last {
        Some(Entry::Key(key, (upload_id, _))) => (Some(names.write(key.clone())), Some(upload_id.clone())),
        Some(Entry::CommonPrefix(common)) => (Some(names.write(common.clone())), None),
        None => (None, None),
    };
    let is_truncated = page.is_truncated;
    let (mut uploads, mut common_prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            Entry::Key(key, (upload_id, upload)) => uploads.push(MultipartUpload {
                upload_id: Some(upload_id),
                key: Some(names.write(key)),
                initiated: Some(Timestamp(upload.initiated_ms)),
                storage_class: Some(StorageClass::Standard),
                owner: Some(acl::owner(&bucket.account)),
                initiator: Some(initiator(&upload)),
                checksum_algorithm: upload.checksum_algorithm.map(shown_algorithm),
                checksum_type: upload.checksum_algorithm.map(|_| shown_type(upload.checksum_composite)),
                version_id: None,
            }),
            Entry::CommonPrefix(common) => common_prefixes.push(CommonPrefix { prefix: Some(names.write(common)) }),
        }
    }
    Ok(ListMultipartUploadsOutput {
        bucket: Some(bucket.name),
        key_marker: Some(names.write(key_marker)),
        upload_id_marker: Some(id_marker.unwrap_or_default()),
        next_key_marker,
        prefix: Some(names.write(prefix)),
        delimiter: delimiter.map(|delimiter| names.write(delimiter)),
        next_upload_id_marker,
        max_uploads: i32::try_from(limit).ok(),
        is_truncated: Some(is_truncated),
        uploads: Some(uploads),
        common_prefixes: Some(common_prefixes),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

/// All uploads of a bucket in order of key and id.
async fn uploads(cx: &mut Call, bucket: &Bucket) -> Result<Vec<(String, String, Upload)>, ApiError> {
    let mut found = Vec::new();
    let mut after: Option<bytes::Bytes> = None;
    loop {
        let rows = cx.tx.scan::<Upload>(&Upload::prefix(bucket), after.as_deref(), SCAN_LIMIT).await?;
        let is_last = rows.len() < SCAN_LIMIT as usize;
        after = rows.last().map(|(id, _)| id.clone());
        found.extend(rows.into_iter().map(|(id, upload)| (upload.object_key.clone(), String::from_utf8_lossy(&id).into_owned(), upload)));
        if is_last {
            break;
        }
    }
    found.sort_by(|left, right| (&left.0, left.2.initiated_ms, &left.1).cmp(&(&right.0, right.2.initiated_ms, &right.1)));
    Ok(found)
}

/// One page. Uploads of one key follow each other by their age; with an id marker the page begins behind that upload.
fn cut<T>(
    all: Vec<(String, String, T)>,
    prefix: &str,
    delimiter: Option<&str>,
    key_marker: &str,
    id_marker: Option<&str>,
    limit: usize,
) -> Listing<(String, T)> {
    let mut listing = Listing::new(prefix, delimiter, key_marker, limit);
    let Some(_) = listing.start() else { return listing };
    // The rest of the marker's own key comes first, if the marker names an upload of it.
    let position = id_marker.and_then(|marker| all.iter().position(|(key, id, _)| key == key_marker && id == marker));
    for (at, (key, id, value)) in all.into_iter().enumerate() {
        let step = match position {
            Some(position) if key == key_marker && at > position => listing.offer_rest(&key, (id, value)),
            _ => listing.offer_again(&key, (id, value)),
        };
        if step == Step::Done {
            break;
        }
    }
    listing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uploads_of(keys: &[(&str, &str)]) -> Vec<(String, String, ())> {
        keys.iter().map(|(key, id)| ((*key).to_owned(), (*id).to_owned(), ())).collect()
    }

    fn shown(listing: &Listing<(String, ())>) -> Vec<String> {
        listing
            .entries
            .iter()
            .map(|entry| match entry {
                Entry::Key(key, (id, ())) => format!("{key}#{id}"),
                Entry::CommonPrefix(common) => common.clone(),
            })
            .collect()
    }

    #[test]
    fn uploads_of_one_key_are_paged_by_their_ids() {
        let all = || uploads_of(&[("a", "2"), ("a", "1"), ("b/x", "3"), ("b/y", "4"), ("c", "5")]);
        let first = cut(all(), "", None, "", None, 1);
        assert_eq!((shown(&first), first.is_truncated), (vec!["a#2".to_owned()], true));
        let second = cut(all(), "", None, "a", Some("2"), 2);
        assert_eq!((shown(&second), second.is_truncated), (vec!["a#1".to_owned(), "b/x#3".to_owned()], true));
        let folded = cut(all(), "", Some("/"), "a", None, 10);
        assert_eq!((shown(&folded), folded.is_truncated), (vec!["b/".to_owned(), "c#5".to_owned()], false));
        assert_eq!(shown(&cut(all(), "b/", None, "", None, 10)), ["b/x#3", "b/y#4"]);
        assert!(shown(&cut(all(), "", None, "", None, 0)).is_empty());
    }

    #[test]
    fn types_of_checksums() {
        assert!(is_composite(Some(Algorithm::Sha256), None).unwrap());
        assert!(!is_composite(Some(Algorithm::Crc64nvme), None).unwrap());
        assert!(is_composite(Some(Algorithm::Crc32), None).unwrap());
        assert!(!is_composite(Some(Algorithm::Crc32), Some(&ChecksumType::FullObject)).unwrap());
        assert!(is_composite(Some(Algorithm::Sha1), Some(&ChecksumType::FullObject)).is_err());
        assert!(is_composite(Some(Algorithm::Crc64nvme), Some(&ChecksumType::Composite)).is_err());
        assert!(is_composite(None, Some(&ChecksumType::Composite)).is_err());
    }
}
