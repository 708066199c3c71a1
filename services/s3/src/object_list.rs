//! ListObjects and ListObjectsV2.

use api_s3::{
    ChecksumAlgorithm, CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    ObjectStorageClass, OptionalObjectAttributes,
};
use plane::{ApiError, Call, page};
use wire::Timestamp;

use crate::checksum_members::type_of;
use crate::error::invalid_argument;
use crate::listing::{Entry, Listing, Step};
use crate::record::{Bucket, Object};
use crate::{acl, bucket, url};

/// Most entries of a page.
const ENTRIES_MAX: usize = 1000;
/// Rows read at a time: a page, and one row to see whether there is more.
const ROWS: u32 = 1001;

async fn fill(cx: &mut Call, bucket: &Bucket, mut listing: Listing<Object>) -> Result<Listing<Object>, ApiError> {
    let prefix = Object::prefix(bucket);
    let Some(mut start) = listing.start() else { return Ok(listing) };
    'scan: loop {
        let rows = cx.tx.scan_from::<Object>(&prefix, &start, ROWS).await?;
        let is_last = rows.len() < ROWS as usize;
        for (key, object) in rows {
            start = key.to_vec();
            let key = std::str::from_utf8(&key).map_err(|error| ApiError::internal(&error))?;
            match listing.offer(key, object) {
                Step::Next => {}
                Step::Seek(to) => {
                    start = to;
                    continue 'scan;
                }
                Step::Done => return Ok(listing),
            }
        }
        if is_last {
            return Ok(listing);
        }
        // Behind the last row that was seen.
        start.push(0);
    }
}

/// At most 1000, whatever was asked.
pub(crate) fn limit(name: &str, wanted: Option<i32>) -> Result<usize, ApiError> {
    let Some(wanted) = wanted else { return Ok(ENTRIES_MAX) };
    let limit = usize::try_from(wanted)
        .map_err(|_| invalid_argument(format!("Argument {name} must be an integer between 0 and 2147483647"), name, &wanted.to_string()))?;
    Ok(limit.min(ENTRIES_MAX))
}

/// Writes keys as the client wants them.
#[derive(Clone, Copy)]
pub(crate) struct Names {
    is_url: bool,
}

impl Names {
    pub(crate) fn new(encoding: Option<&EncodingType>) -> Result<Self, ApiError> {
        match encoding {
            None => Ok(Self { is_url: false }),
            Some(EncodingType::Url) => Ok(Self { is_url: true }),
            Some(EncodingType::Other(other)) => {
                Err(invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", other))
            }
        }
    }

    pub(crate) fn write(self, name: impl Into<String>) -> String {
        let name = name.into();
        if self.is_url { url::encode(&name) } else { name }
    }
}

fn shown(bucket: &Bucket, names: Names, with_owner: bool, entries: Vec<Entry<Object>>) -> (Vec<api_s3::Object>, Vec<CommonPrefix>) {
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Key(key, object) => contents.push(api_s3::Object {
                key: Some(names.write(key)),
                last_modified: Some(Timestamp(object.modified_s() * 1000)),
                etag: Some(format!("\"{}\"", object.etag)),
                checksum_algorithm: object.checksum.as_ref().map(|checksum| vec![ChecksumAlgorithm::from(checksum.algorithm.name())]),
                checksum_type: object.checksum.as_ref().map(type_of),
                size: i64::try_from(object.size).ok(),
                storage_class: Some(ObjectStorageClass::Standard),
                owner: with_owner.then(|| acl::owner(&bucket.account)),
                restore_status: None,
            }),
            Entry::CommonPrefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(names.write(prefix)) }),
        }
    }
    (contents, prefixes)
}

/// `RestoreStatus` is a member of archived objects, and none are here: who asks for it is answered as S3 does. Of another attribute nothing is known.
pub(crate) fn check_attributes(asked: Option<&[OptionalObjectAttributes]>) -> Result<(), ApiError> {
    match asked.unwrap_or_default().iter().find(|attribute| **attribute != OptionalObjectAttributes::RestoreStatus) {
        Some(other) => Err(invalid_argument("Unknown optional object attribute.", "x-amz-optional-object-attributes", other.as_str())),
        None => Ok(()),
    }
}

pub(crate) async fn list_objects(cx: &mut Call, input: ListObjectsInput) -> Result<ListObjectsOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let names = Names::new(input.encoding_type.as_ref())?;
    let limit = limit("maxKeys", input.max_keys)?;
    check_attributes(input.optional_object_attributes.as_deref())?;
    let (prefix, marker) = (input.prefix.unwrap_or_default(), input.marker.unwrap_or_default());
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let listing = fill(cx, &bucket, Listing::new(&prefix, delimiter.as_deref(), &marker, limit)).await?;
    // Without a delimiter the last key is the next marker, and S3 leaves it to the client to see that.
    let next_marker =
        listing.entries.last().filter(|_| listing.is_truncated && delimiter.is_some()).map(|entry| names.write(entry.place()));
    let is_truncated = listing.is_truncated;
    let (contents, common_prefixes) = shown(&bucket, names, true, listing.entries);
    Ok(ListObjectsOutput {
        is_truncated: Some(is_truncated),
        marker: Some(names.write(marker)),
        next_marker,
        contents: Some(contents),
        name: Some(bucket.name),
        prefix: Some(names.write(prefix)),
        delimiter: delimiter.map(|delimiter| names.write(delimiter)),
        max_keys: i32::try_from(limit).ok(),
        common_prefixes: Some(common_prefixes),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

pub(crate) async fn list_objects_v2(cx: &mut Call, input: ListObjectsV2Input) -> Result<ListObjectsV2Output, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let names = Names::new(input.encoding_type.as_ref())?;
    let limit = limit("max-keys", input.max_keys)?;
    check_attributes(input.optional_object_attributes.as_deref())?;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let filter = format!("{}\0{prefix}\0{}", bucket.id, delimiter.as_deref().unwrap_or_default());
    // A token says where to go on, and wins over the start.
    let after = match &input.continuation_token {
        None => input.start_after.clone().unwrap_or_default(),
        Some(token) => page::open(cx, &cx.plane.keyring, &filter, token)
            .ok()
            .and_then(|place| String::from_utf8(place).ok())
            .ok_or_else(|| invalid_argument("The continuation token provided is incorrect", "continuation-token", token))?,
    };
    let listing = fill(cx, &bucket, Listing::new(&prefix, delimiter.as_deref(), &after, limit)).await?;
    let next = match listing.entries.last().filter(|_| listing.is_truncated) {
        Some(entry) => Some(page::seal(cx, &cx.plane.keyring, &filter, entry.place().as_bytes())?),
        None => None,
    };
    let (is_truncated, key_count) = (listing.is_truncated, i32::try_from(listing.entries.len()).ok());
    let (contents, common_prefixes) = shown(&bucket, names, input.fetch_owner == Some(true), listing.entries);
    Ok(ListObjectsV2Output {
        is_truncated: Some(is_truncated),
        contents: Some(contents),
        name: Some(bucket.name),
        prefix: Some(names.write(prefix)),
        delimiter: delimiter.map(|delimiter| names.write(delimiter)),
        max_keys: i32::try_from(limit).ok(),
        common_prefixes: Some(common_prefixes),
        encoding_type: input.encoding_type,
        key_count,
        continuation_token: input.continuation_token,
        next_continuation_token: next,
        start_after: input.start_after.map(|start| names.write(start)),
        request_charged: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_a_limit() {
        assert_eq!(limit("max-keys", None).unwrap(), 1000);
        assert_eq!(limit("max-keys", Some(5)).unwrap(), 5);
        assert_eq!(limit("max-keys", Some(0)).unwrap(), 0);
        assert_eq!(limit("max-keys", Some(9999)).unwrap(), 1000);
        assert_eq!(limit("max-keys", Some(-1)).unwrap_err().code, "InvalidArgument");
    }
}
