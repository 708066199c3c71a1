//! GetObject and HeadObject.

use std::ops::Range;

use api_s3::{ChecksumMode, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, ObjectLockLegalHoldStatus, ObjectLockMode};
use plane::service::Streaming;
use plane::{ApiError, Call, authorize, body};
use wire::{Timestamp, Value};

use crate::checksum_members::{set_checksum, type_of};
use crate::condition::{Conditions, Verdict};
use crate::encryption::{self, CustomerHeaders, Shown, customer_headers};
use crate::error::{invalid_argument, invalid_range, invalid_request, precondition_failed};
use crate::metadata::CONTENT_TYPE_DEFAULT;
use crate::record::{Bucket, Lock, Metadata, Object, RetentionMode, StoredChecksum};
use crate::version::VersionId;
use crate::{bucket, event, range, storage, version};

/// What GET and HEAD have in common.
struct ReadRequest<'a> {
    bucket: &'a str,
    key: &'a str,
    version_id: Option<&'a str>,
    expected_owner: Option<&'a str>,
    conditions: Conditions<'a>,
    range: Option<&'a str>,
    part_number: Option<i32>,
    customer: CustomerHeaders<'a>,
    with_checksum: bool,
    overrides: Metadata,
}

macro_rules! read_request {
    ($input:expr) => {
        ReadRequest {
            bucket: &$input.bucket,
            key: &$input.key,
            version_id: $input.version_id.as_deref(),
            expected_owner: $input.expected_bucket_owner.as_deref(),
            conditions: Conditions {
                matches: $input.if_match.as_deref(),
                none_matches: $input.if_none_match.as_deref(),
                modified_since: $input.if_modified_since,
                unmodified_since: $input.if_unmodified_since,
            },
            range: $input.range.as_deref(),
            part_number: $input.part_number,
            customer: customer_headers!($input),
            with_checksum: $input.checksum_mode == Some(ChecksumMode::Enabled),
            overrides: Metadata {
                cache_control: $input.response_cache_control.clone(),
                content_disposition: $input.response_content_disposition.clone(),
                content_encoding: $input.response_content_encoding.clone(),
                content_language: $input.response_content_language.clone(),
                content_type: $input.response_content_type.clone(),
                expires: $input.response_expires.map(http_date),
                ..Metadata::default()
            },
        }
    };
}

/// What is to be sent.
struct Selected {
    bucket: Bucket,
    object: Object,
    /// `None`: the object did not change since the client last saw it.
    range: Option<Range<u64>>,
    is_part: bool,
    parts_count: Option<i32>,
    tag_count: Option<i32>,
    /// As far as the caller may know.
    lock: Lock,
    version_id: Option<String>,
    shown: Shown,
    metadata: Metadata,
    checksum: Option<StoredChecksum>,
}

async fn select(cx: &mut Call, request: &ReadRequest<'_>) -> Result<Selected, ApiError> {
    if request.range.is_some() && request.part_number.is_some() {
        return Err(invalid_request("Cannot specify both Range header and partNumber query parameter"));
    }
    let metadata_given = &request.overrides;
    if *metadata_given != Metadata::default() && cx.principal.is_anonymous() {
        return Err(invalid_request("Request specific response headers cannot be used for anonymous GET requests."));
    }
    let bucket = bucket::load(cx, request.bucket, request.expected_owner).await?;
    let id = VersionId::of(request.version_id)?;
    let object = version::find(cx, &bucket, request.key, id.as_ref()).await?.object;
    let customer = encryption::check_customer(cx, &object.encryption, request.customer)?;
    let shown = encryption::shown(&object.encryption, customer.as_ref().map(|customer| customer.md5.as_str()));
    let mut selected = Selected {
        range: Some(0..object.size),
        is_part: false,
        parts_count: None,
        tag_count: tag_count(cx, &bucket, request, &object).await?,
        lock: shown_lock(cx, &bucket, request, &object).await?,
        version_id: version::shown(&bucket, &object.version),
        shown,
        metadata: overridden(object.metadata.clone(), metadata_given),
        checksum: None,
        bucket,
        object,
    };
    match request.conditions.verdict(&selected.object.etag, selected.object.modified_s(), cx.now.0.div_euclid(1000)) {
        Verdict::Pass => {}
        Verdict::Failed(condition) => return Err(precondition_failed(condition)),
        Verdict::NotModified(_) => {
            selected.range = None;
            return Ok(selected);
        }
    }
    let size = selected.object.size;
    if let Some(header) = request.range {
        match range::parse(header, size) {
            range::Wanted::Whole => {}
            range::Wanted::Unsatisfiable => return Err(invalid_range(header, size)),
            range::Wanted::Part(part) => {
                selected.range = Some(part);
                selected.is_part = true;
            }
        }
    }
    if let Some(number) = request.part_number {
        selected.range = Some(part(&selected.object, number)?);
        selected.is_part = true;
        selected.parts_count = selected.object.multipart.then(|| i32::try_from(selected.object.pieces.len()).unwrap_or(i32::MAX));
    }
    if request.with_checksum {
        selected.checksum = match &selected.range {
            Some(range) if selected.is_part => part_checksum(&selected.object, range),
            _ => selected.object.checksum.clone(),
        };
    }
    Ok(selected)
}

/// Tags are counted for those who may read them.
async fn tag_count(cx: &mut Call, bucket: &Bucket, request: &ReadRequest<'_>, object: &Object) -> Result<Option<i32>, ApiError> {
    let action = if request.version_id.is_some() { "s3:GetObjectVersionTagging" } else { "s3:GetObjectTagging" };
    if object.tags.is_empty() || !may(cx, bucket, request, action).await? {
        return Ok(None);
    }
    Ok(i32::try_from(object.tags.len()).ok())
}

/// What holds the version is told to those who may ask for it.
async fn shown_lock(cx: &mut Call, bucket: &Bucket, request: &ReadRequest<'_>, object: &Object) -> Result<Lock, ApiError> {
    let mut shown = object.lock;
    if shown.retention.is_some() && !may(cx, bucket, request, "s3:GetObjectRetention").await? {
        shown.retention = None;
    }
    if shown.legal_hold.is_some() && !may(cx, bucket, request, "s3:GetObjectLegalHold").await? {
        shown.legal_hold = None;
    }
    Ok(shown)
}

async fn may(cx: &mut Call, bucket: &Bucket, request: &ReadRequest<'_>, action: &str) -> Result<bool, ApiError> {
    let input = version::question(request.version_id);
    Ok(authorize::check_with(cx, action, &bucket.object_arn(request.key), &input).await?.is_none())
}

/// The checksum of the part that a range of the object is, if it is one. Source: S3 User Guide, "Checking object integrity".
fn part_checksum(object: &Object, range: &Range<u64>) -> Option<StoredChecksum> {
    let whole = object.checksum.as_ref()?;
    if !object.multipart {
        let is_all = object.pieces.len() == 1 && range.start == 0 && object.pieces.first().is_some_and(|piece| piece.size == range.end);
        return is_all.then(|| whole.clone());
    }
    let mut start = 0;
    for piece in &object.pieces {
        let end = start + piece.size;
        if *range == (start..end) {
            return piece.checksum.clone().map(|value| StoredChecksum { value, ..whole.clone() });
        }
        start = end;
    }
    None
}

/// Bytes of a part by its position; an object of one upload has one part.
fn part(object: &Object, number: i32) -> Result<Range<u64>, ApiError> {
    let at = usize::try_from(number).ok().filter(|number| (1..=10_000).contains(number));
    let at = at.ok_or_else(|| {
        invalid_argument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", &number.to_string())
    })?;
    let start: u64 = object.pieces.iter().take(at - 1).map(|piece| piece.size).sum();
    let piece = object.pieces.get(at - 1).ok_or_else(|| {
        ApiError::new("InvalidPartNumber", "The requested partnumber is not satisfiable")
            .with_status(416)
            .with_member("PartNumberRequested", Value::Str(number.to_string()))
            .with_member("ActualPartCount", Value::Str(object.pieces.len().to_string()))
    })?;
    Ok(start..start + piece.size)
}

fn overridden(stored: Metadata, given: &Metadata) -> Metadata {
    let pick = |given: &Option<String>, stored: Option<String>| given.clone().or(stored);
    Metadata {
        cache_control: pick(&given.cache_control, stored.cache_control),
        content_disposition: pick(&given.content_disposition, stored.content_disposition),
        content_encoding: pick(&given.content_encoding, stored.content_encoding),
        content_language: pick(&given.content_language, stored.content_language),
        content_type: pick(&given.content_type, stored.content_type).or_else(|| Some(CONTENT_TYPE_DEFAULT.to_owned())),
        expires: pick(&given.expires, stored.expires),
        user: stored.user,
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| String::new(), |time| time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

impl Selected {
    fn status(&self) -> Option<u16> {
        match &self.range {
            None => Some(304),
            Some(_) if self.is_part => Some(206),
            Some(_) => None,
        }
    }

    fn length(&self) -> u64 {
        self.range.as_ref().map_or(0, |range| range.end - range.start)
    }

    fn content_range(&self) -> Option<String> {
        let range = self.range.as_ref().filter(|range| self.is_part && !range.is_empty())?;
        Some(format!("bytes {}-{}/{}", range.start, range.end - 1, self.object.size))
    }
}

/// Fills the members that the outputs of GET and HEAD share.
macro_rules! describe {
    ($output:expr, $selected:expr) => {{
        let selected = &$selected;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.last_modified = Some(Timestamp(selected.object.modified_s() * 1000));
        $output.etag = Some(format!("\"{}\"", selected.object.etag));
        if selected.range.is_some() {
            $output.content_length = i64::try_from(selected.length()).ok();
            $output.content_range = selected.content_range();
            $output.content_type.clone_from(&selected.metadata.content_type);
            $output.content_encoding.clone_from(&selected.metadata.content_encoding);
        }
        $output.cache_control.clone_from(&selected.metadata.cache_control);
        $output.content_disposition.clone_from(&selected.metadata.content_disposition);
        $output.content_language.clone_from(&selected.metadata.content_language);
        $output.expires.clone_from(&selected.metadata.expires);
        $output.metadata = Some(selected.metadata.user.clone());
        $output.server_side_encryption.clone_from(&selected.shown.server_side_encryption);
        $output.sse_kms_key_id.clone_from(&selected.shown.kms_key_id);
        $output.bucket_key_enabled = selected.shown.bucket_key_enabled;
        $output.sse_customer_algorithm.clone_from(&selected.shown.customer_algorithm);
        $output.sse_customer_key_md5.clone_from(&selected.shown.customer_key_md5);
        $output.parts_count = selected.parts_count;
        $output.tag_count = selected.tag_count;
        $output.version_id.clone_from(&selected.version_id);
        if let Some(retention) = selected.lock.retention {
            $output.object_lock_mode = Some(match retention.mode {
                RetentionMode::Governance => ObjectLockMode::Governance,
                RetentionMode::Compliance => ObjectLockMode::Compliance,
            });
            $output.object_lock_retain_until_date = Some(Timestamp(retention.until_ms));
        }
        $output.object_lock_legal_hold_status =
            selected.lock.legal_hold.map(|is_on| if is_on { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off });
        if let Some(checksum) = &selected.checksum {
            set_checksum!($output, checksum.algorithm, checksum.value.clone());
            $output.checksum_type = Some(type_of(checksum));
        }
    }};
}

pub(crate) async fn get_object(cx: &mut Call, input: GetObjectInput) -> Result<Streaming<GetObjectOutput>, ApiError> {
    let request = read_request!(input);
    let selected = select(cx, &request).await?;
    let mut output = GetObjectOutput::default();
    describe!(output, selected);
    let bytes = match &selected.range {
        None => body::empty(),
        Some(range) => {
            let key = encryption::open_key(cx, &selected.bucket, &selected.object.encryption, request.customer).await?;
            storage::read_body(cx, &selected.bucket, key, &selected.object.pieces, range.clone()).await?
        }
    };
    event::note(cx, 0, selected.length());
    Ok(Streaming { output, body: bytes, status: selected.status() })
}

/// Reads no bytes, so it needs no data key; only the checksum of an object under SSE-KMS is told to those alone who may open it.
pub(crate) async fn head_object(cx: &mut Call, input: HeadObjectInput) -> Result<Streaming<HeadObjectOutput>, ApiError> {
    let request = read_request!(input);
    let selected = select(cx, &request).await?;
    if selected.checksum.is_some() {
        encryption::open_key(cx, &selected.bucket, &selected.object.encryption, request.customer).await?;
    }
    let mut output = HeadObjectOutput::default();
    describe!(output, selected);
    Ok(Streaming { output, body: body::empty(), status: selected.status() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Encryption, Piece, VersionName};

    fn object(sizes: &[u64]) -> Object {
        Object {
            size: sizes.iter().sum(),
            etag: String::new(),
            modified_ms: 0,
            pieces: sizes.iter().map(|size| Piece { blob: String::new(), size: *size, number: 1, checksum: None, inline: false }).collect(),
            multipart: sizes.len() > 1,
            encryption: Encryption::Managed { sealed_key: String::new() },
            checksum: None,
            metadata: Metadata::default(),
            tags: Vec::new(),
            version: VersionName::default(),
            lock: Lock::default(),
        }
    }

    #[test]
    fn parts_are_ranges() {
        let object = object(&[5, 7, 1]);
        assert_eq!(part(&object, 2).unwrap(), 5..12);
        assert_eq!(part(&object, 4).unwrap_err().code, "InvalidPartNumber");
        assert_eq!(part(&object, 0).unwrap_err().code, "InvalidArgument");
        assert_eq!(part(&object, 10_001).unwrap_err().code, "InvalidArgument");
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(Timestamp(784_111_777_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
