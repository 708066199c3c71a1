//! CopyObject.
//!
//! The source is read and the target written with the caller's rights, also at KMS. Source and target are in the region of the call.

use api_s3::{AnnotationDirective, CopyObjectInput, CopyObjectOutput, CopyObjectResult, MetadataDirective, TaggingDirective};
use plane::{ApiError, Call, authorize};
use wire::Timestamp;

use crate::acl::check_object_acl;
use crate::bucket_name::check_key;
use crate::checksum::{Algorithm, Digests};
use crate::checksum_members::{set_checksum, type_of};
use crate::condition::{Conditions, check_write};
use crate::copy_source::CopySource;
use crate::encryption::{self, CustomerHeaders, requested_encryption};
use crate::error::{invalid_argument, invalid_request, not_implemented};
use crate::lock::{self, requested_lock};
use crate::metadata::{metadata_of, refuse_unsupported};
use crate::object_put::{Written, etag, recall, remember, undo};
use crate::record::{Bucket, Encryption, Metadata, Object, StoredChecksum, VersionName};
use crate::storage::{self, INLINE_BYTES_MAX, UPLOAD_BYTES_MAX};
use crate::tag::{self, Tags};
use crate::version::{self, VersionId};
use crate::{bucket, event};

/// The SSE-C headers for the source of a copy.
macro_rules! source_headers {
    ($input:expr) => {
        $crate::encryption::CustomerHeaders {
            algorithm: $input.copy_source_sse_customer_algorithm.as_deref(),
            key: $input.copy_source_sse_customer_key.as_deref().map(String::as_str),
            key_md5: $input.copy_source_sse_customer_key_md5.as_deref(),
        }
    };
}
pub(crate) use source_headers;

/// The preconditions on the source of a copy.
macro_rules! source_conditions {
    ($input:expr) => {
        $crate::condition::Conditions {
            matches: $input.copy_source_if_match.as_deref(),
            none_matches: $input.copy_source_if_none_match.as_deref(),
            modified_since: $input.copy_source_if_modified_since,
            unmodified_since: $input.copy_source_if_unmodified_since,
        }
    };
}
pub(crate) use source_conditions;

/// The object that a copy reads.
pub(crate) struct Source {
    pub bucket: Bucket,
    pub key: String,
    /// As the client named it.
    pub version_id: Option<String>,
    pub object: Object,
    pub is_current: bool,
}

impl Source {
    /// The version that was read, as the answer says it.
    pub(crate) fn shown_version(&self) -> Option<String> {
        version::shown(&self.bucket, &self.object.version)
    }
}

pub(crate) async fn find_source(
    cx: &mut Call,
    header: &str,
    expected_owner: Option<&str>,
    conditions: &Conditions<'_>,
) -> Result<Source, ApiError> {
    let source = CopySource::parse(header)?;
    let bucket = bucket::load(cx, &source.bucket, expected_owner).await?;
    let id = VersionId::of(source.version_id.as_deref())?;
    let found = match version::find(cx, &bucket, &source.key, id.as_ref()).await {
        Err(error) if error.code == "MethodNotAllowed" => {
            return Err(invalid_request("The source of a copy request may not specifically refer to a delete marker by version id."));
        }
        found => found?,
    };
    conditions.check_source(&found.object, cx.now.0)?;
    Ok(Source { bucket, key: source.key, version_id: source.version_id, object: found.object, is_current: found.is_current })
}

pub(crate) async fn copy_object(cx: &mut Call, input: CopyObjectInput) -> Result<CopyObjectOutput, ApiError> {
    let result = copy(cx, &input).await;
    undo(cx, result).await
}

async fn copy(cx: &mut Call, input: &CopyObjectInput) -> Result<CopyObjectOutput, ApiError> {
    check_key(&input.key)?;
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    refuse_unsupported!(input)?;
    check_object_acl(input.acl.as_ref(), &[&input.grant_full_control, &input.grant_read, &input.grant_read_acp, &input.grant_write_acp])?;
    if matches!(input.annotation_directive, Some(AnnotationDirective::Other(_))) {
        return Err(not_implemented("x-amz-object-annotation-directive"));
    }
    let source = find_source(cx, &input.copy_source, input.expected_source_bucket_owner.as_deref(), &source_conditions!(input)).await?;
    let metadata = choose_metadata(input, &source)?;
    refuse_same(input, &bucket, &source)?;
    if source.object.size > UPLOAD_BYTES_MAX {
        return Err(invalid_request(format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {UPLOAD_BYTES_MAX}"
        )));
    }
    let tags = choose_tags(cx, input, &bucket, &source).await?;
    let asked = requested_lock!(input).read(&bucket, cx.now.0)?;
    let existing = cx.tx.get::<Object>(&Object::key(&bucket, &input.key)).await?;
    check_write(cx, &bucket, &input.key, input.if_match.as_deref(), input.if_none_match.as_deref(), existing.as_ref()).await?;
    let written = match recall(cx) {
        Some(written) => written,
        None => transfer(cx, &bucket, input, &source).await?,
    };
    let Written { staged, etag, encryption } = written;
    let checksum = StoredChecksum { algorithm: staged.digested.algorithm, value: staged.digested.checksum.clone(), composite: false };
    let shown = encryption::shown(&encryption, input.sse_customer_key_md5.as_deref());
    let object = Object {
        size: staged.size,
        etag,
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
    event::note(cx, 0, 0);
    let mut result = CopyObjectResult {
        etag: Some(format!("\"{}\"", object.etag)),
        last_modified: Some(Timestamp(object.modified_s() * 1000)),
        checksum_type: Some(type_of(&checksum)),
        ..CopyObjectResult::default()
    };
    set_checksum!(result, checksum.algorithm, checksum.value);
    Ok(CopyObjectOutput {
        copy_object_result: Some(result),
        version_id: version::shown_to_writer(&bucket, &object.version),
        copy_source_version_id: source.shown_version(),
        server_side_encryption: shown.server_side_encryption,
        sse_customer_algorithm: shown.customer_algorithm,
        sse_customer_key_md5: shown.customer_key_md5,
        sse_kms_key_id: shown.kms_key_id,
        sse_kms_encryption_context: shown.kms_context,
        bucket_key_enabled: shown.bucket_key_enabled,
        ..CopyObjectOutput::default()
    })
}

fn choose_metadata(input: &CopyObjectInput, source: &Source) -> Result<Metadata, ApiError> {
    match &input.metadata_directive {
        None | Some(MetadataDirective::Copy) => Ok(source.object.metadata.clone()),
        Some(MetadataDirective::Replace) => metadata_of!(input),
        Some(MetadataDirective::Other(other)) => Err(invalid_argument("Unknown metadata directive.", "x-amz-metadata-directive", other)),
    }
}

/// An object may be copied to itself only to change something, or to make an earlier version the current one.
fn refuse_same(input: &CopyObjectInput, bucket: &Bucket, source: &Source) -> Result<(), ApiError> {
    let is_same = source.bucket.id == bucket.id && source.key == input.key && source.is_current;
    let changes = input.metadata_directive == Some(MetadataDirective::Replace)
        || input.server_side_encryption.is_some()
        || input.sse_customer_algorithm.is_some()
        || input.storage_class.is_some()
        || input.checksum_algorithm.is_some();
    if is_same && !changes {
        return Err(invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
        ));
    }
    Ok(())
}

/// Tags go with the object for those who may read them there and write them here.
async fn choose_tags(cx: &mut Call, input: &CopyObjectInput, bucket: &Bucket, source: &Source) -> Result<Tags, ApiError> {
    match &input.tagging_directive {
        Some(TaggingDirective::Replace) => return tag::parse_header(input.tagging.as_deref()),
        Some(TaggingDirective::Other(other)) => {
            return Err(invalid_argument("Unknown tagging directive.", "x-amz-tagging-directive", other));
        }
        None | Some(TaggingDirective::Copy) => {}
    }
    // Tags of the request count with the directive REPLACE only.
    if source.object.tags.is_empty() {
        return Ok(Tags::new());
    }
    let read = if source.version_id.is_some() { "s3:GetObjectVersionTagging" } else { "s3:GetObjectTagging" };
    let (of_source, of_target) = (version::question(source.version_id.as_deref()), version::question(None));
    for (action, arn, input) in
        [(read, source.bucket.object_arn(&source.key), of_source), ("s3:PutObjectTagging", bucket.object_arn(&input.key), of_target)]
    {
        if let Some(refusal) = authorize::check_with(cx, action, &arn, &input).await? {
            return Err(refusal);
        }
    }
    Ok(source.object.tags.clone())
}

async fn transfer(cx: &mut Call, bucket: &Bucket, input: &CopyObjectInput, source: &Source) -> Result<Written, ApiError> {
    let algorithm = match &input.checksum_algorithm {
        Some(algorithm) => Algorithm::parse(algorithm.as_str())?,
        None => source.object.checksum.as_ref().map_or(Algorithm::Crc64nvme, |checksum| checksum.algorithm),
    };
    let source_headers: CustomerHeaders<'_> = source_headers!(input);
    let source_key = encryption::open_key(cx, &source.bucket, &source.object.encryption, source_headers).await?;
    let new = encryption::new_key(cx, bucket, &input.key, &requested_encryption!(input)).await?;
    let bytes = storage::read(cx, &source.bucket, source_key, &source.object.pieces, 0..source.object.size).await?;
    let digests = Digests::new(matches!(new.encryption, Encryption::Managed { .. }), algorithm);
    let staged = storage::stage(cx, bucket, &new.key, bytes, INLINE_BYTES_MAX, digests).await?;
    let written = Written { etag: etag(cx, &new.encryption, &staged)?, staged, encryption: new.encryption };
    remember(cx, &written);
    Ok(written)
}
