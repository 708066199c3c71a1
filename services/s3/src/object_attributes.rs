//! GetObjectAttributes.

use api_s3::{
    Checksum, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts, ObjectAttributes, ObjectPart, StorageClass,
};
use plane::{ApiError, Call};
use wire::Timestamp;

use crate::checksum_members::{set_checksum, type_of};
use crate::encryption::{self, customer_headers};
use crate::error::invalid_argument;
use crate::object_list::limit;
use crate::record::{Object, StoredChecksum};
use crate::version::VersionId;
use crate::{bucket, version};

pub(crate) async fn get_object_attributes(cx: &mut Call, input: GetObjectAttributesInput) -> Result<GetObjectAttributesOutput, ApiError> {
    if let Some(unknown) = input.object_attributes.iter().find(|attribute| matches!(attribute, ObjectAttributes::Other(_))) {
        return Err(invalid_argument("Invalid attribute name specified.", "x-amz-object-attributes", unknown.as_str()));
    }
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let id = VersionId::of(input.version_id.as_deref())?;
    let object = version::find(cx, &bucket, &input.key, id.as_ref()).await?.object;
    let wants = |attribute: &ObjectAttributes| input.object_attributes.contains(attribute);
    if wants(&ObjectAttributes::Checksum) || wants(&ObjectAttributes::ObjectParts) {
        // Checksums say something of the content: who asks must be able to open it.
        encryption::open_key(cx, &bucket, &object.encryption, customer_headers!(input)).await?;
    } else {
        encryption::check_customer(cx, &object.encryption, customer_headers!(input))?;
    }
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(Timestamp(object.modified_s() * 1000)),
        version_id: version::shown(&bucket, &object.version),
        ..GetObjectAttributesOutput::default()
    };
    if wants(&ObjectAttributes::ETag) {
        // Without quotation marks, unlike everywhere else.
        output.etag = Some(object.etag.clone());
    }
    if wants(&ObjectAttributes::Checksum) {
        output.checksum = object.checksum.as_ref().map(shown);
    }
    if wants(&ObjectAttributes::StorageClass) {
        output.storage_class = Some(StorageClass::Standard);
    }
    if wants(&ObjectAttributes::ObjectSize) {
        output.object_size = i64::try_from(object.size).ok();
    }
    if wants(&ObjectAttributes::ObjectParts) && object.multipart {
        output.object_parts = Some(parts(&object, limit("max-parts", input.max_parts)?, input.part_number_marker.unwrap_or_default()));
    }
    Ok(output)
}

fn shown(stored: &StoredChecksum) -> Checksum {
    let mut checksum = Checksum { checksum_type: Some(type_of(stored)), ..Checksum::default() };
    set_checksum!(checksum, stored.algorithm, stored.value.clone());
    checksum
}

fn parts(object: &Object, limit: usize, marker: i32) -> GetObjectAttributesParts {
    let behind: Vec<_> = object.pieces.iter().filter(|piece| i32::from(piece.number) > marker).collect();
    let is_truncated = behind.len() > limit;
    let shown: Vec<ObjectPart> = behind
        .into_iter()
        .take(limit)
        .map(|piece| {
            let mut part =
                ObjectPart { part_number: Some(piece.number.into()), size: i64::try_from(piece.size).ok(), ..ObjectPart::default() };
            if let (Some(checksum), Some(value)) = (&object.checksum, &piece.checksum) {
                set_checksum!(part, checksum.algorithm, value.clone());
            }
            part
        })
        .collect();
    GetObjectAttributesParts {
        total_parts_count: i32::try_from(object.pieces.len()).ok(),
        part_number_marker: Some(marker),
        next_part_number_marker: Some(shown.last().and_then(|part| part.part_number).unwrap_or_default()),
        max_parts: i32::try_from(limit).ok(),
        is_truncated: Some(is_truncated),
        parts: Some(shown),
    }
}
