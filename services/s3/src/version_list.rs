//! ListObjectVersions.
//!
//! Current objects and the versions beside them are two ranges of rows in the same order; the list is made by going through both at once.
//! Versions come before delete markers in the answer, each in its order.

use std::collections::VecDeque;

use api_s3::{
    ChecksumAlgorithm, CommonPrefix, DeleteMarkerEntry, ListObjectVersionsInput, ListObjectVersionsOutput, ObjectVersion,
    ObjectVersionStorageClass,
};
use plane::{ApiError, Call};
use wire::Timestamp;

use crate::checksum_members::type_of;
use crate::error::invalid_argument;
use crate::listing::{Entry, Listing, Step};
use crate::object_list::{Names, check_attributes, limit};
use crate::record::{Bucket, Object, Version, Versioning};
use crate::version::VersionId;
use crate::{acl, bucket, version};

/// Rows read at a time: a page, and one row to see whether there is more.
const ROWS: u32 = 1001;

/// A version on its way into a page.
struct Listed {
    version: Version,
    is_latest: bool,
}

/// Both ranges, read as far as a page needs. A start of `None`: everything is read.
struct Rows {
    current: VecDeque<(String, Object)>,
    current_start: Option<Vec<u8>>,
    others: VecDeque<(String, Version)>,
    others_start: Option<Vec<u8>>,
    /// The key of the row before: what follows under the same key is not its latest version.
    last: Option<String>,
}

impl Rows {
    /// From the first key that is not less than `start`.
    fn new(bucket: &Bucket, start: Vec<u8>) -> Self {
        let others_start = (bucket.versioning != Versioning::Never).then(|| Version::start_of(&start));
        Self { current: VecDeque::new(), current_start: Some(start), others: VecDeque::new(), others_start, last: None }
    }

    async fn fill(&mut self, cx: &mut Call, bucket: &Bucket) -> Result<(), ApiError> {
        if let (true, Some(start)) = (self.current.is_empty(), &self.current_start) {
            let rows = cx.tx.scan_from::<Object>(&Object::prefix(bucket), start, ROWS).await?;
            self.current_start = behind(rows.last().map(|(row, _)| row), rows.len());
            for (row, object) in rows {
                let key = std::str::from_utf8(&row).map_err(|error| ApiError::internal(&error))?;
                self.current.push_back((key.to_owned(), object));
            }
        }
        if let (true, Some(start)) = (self.others.is_empty(), &self.others_start) {
            let rows = cx.tx.scan_from::<Version>(&Version::prefix(bucket), start, ROWS).await?;
            self.others_start = behind(rows.last().map(|(row, _)| row), rows.len());
            for (row, version) in rows {
                let (key, _) = Version::parse_row(&row).ok_or_else(|| ApiError::internal(&"the key of a version cannot be read"))?;
                self.others.push_back((key, version));
            }
        }
        Ok(())
    }

    /// The next version in order of key and age.
    async fn next(&mut self, cx: &mut Call, bucket: &Bucket) -> Result<Option<(String, Listed)>, ApiError> {
        self.fill(cx, bucket).await?;
        let is_current = match (self.current.front(), self.others.front()) {
            (Some((current, _)), Some((other, _))) => current <= other,
            (current, _) => current.is_some(),
        };
        let found = if is_current {
            self.current.pop_front().map(|(key, object)| (key, Version::Object(Box::new(object))))
        } else {
            self.others.pop_front()
        };
        Ok(found.map(|(key, version)| {
            let is_latest = self.last.as_ref() != Some(&key);
            self.last = Some(key.clone());
            (key, Listed { version, is_latest })
        }))
    }

    /// Leaves out all keys that are less than this.
    fn seek(&mut self, to: &[u8]) {
        while self.current.front().is_some_and(|(key, _)| key.as_bytes() < to) {
            self.current.pop_front();
        }
        while self.others.front().is_some_and(|(key, _)| key.as_bytes() < to) {
            self.others.pop_front();
        }
        let forward = |start: &mut Option<Vec<u8>>, to: Vec<u8>| {
            if let Some(start) = start.as_mut().filter(|start| **start < to) {
                *start = to;
            }
        };
        forward(&mut self.current_start, to.to_vec());
        forward(&mut self.others_start, Version::start_of(to));
    }
}

/// Where to read on, unless that was all.
fn behind(last: Option<&bytes::Bytes>, count: usize) -> Option<Vec<u8>> {
    let mut start = last.filter(|_| count >= ROWS as usize)?.to_vec();
    start.push(0);
    Some(start)
}

/// Begins behind one version of the marker's key: what remains of it comes first.
async fn resume(cx: &mut Call, bucket: &Bucket, key: &str, id: &VersionId, rows: &mut Rows) -> Result<(), ApiError> {
    // A `null` version that is gone leaves no place: the key is listed again, which repeats where skipping would lose.
    let place = version::sequence_of(&mut cx.tx, bucket, key, id).await?.unwrap_or(u64::MAX);
    let current = cx.tx.get::<Object>(&Object::key(bucket, key)).await?.map(|object| object.version.sequence);
    if current.is_some_and(|current| current < place) {
        rows.current_start = Some(key.as_bytes().to_vec());
    }
    let newest = match current {
        Some(current) => Some(current),
        None => version::newest_other(&mut cx.tx, bucket, key).await?.map(|version| version.name().sequence),
    };
    // What was listed before may be gone: then the next one is the latest by now.
    rows.last = newest.filter(|newest| *newest >= place).map(|_| key.to_owned());
    if rows.others_start.is_some() {
        rows.others_start = Some(Version::start_behind(key, place));
    }
    Ok(())
}

async fn fill(
    cx: &mut Call,
    bucket: &Bucket,
    mut listing: Listing<Listed>,
    marker: Option<(&str, VersionId)>,
) -> Result<Listing<Listed>, ApiError> {
    let Some(start) = listing.start() else { return Ok(listing) };
    let mut rows = Rows::new(bucket, start);
    let resumed = marker.filter(|(key, _)| listing.shows(key));
    if let Some((key, id)) = &resumed {
        resume(cx, bucket, key, id, &mut rows).await?;
    }
    while let Some((key, listed)) = rows.next(cx, bucket).await? {
        let step = match &resumed {
            Some((marker, _)) if *marker == key => listing.offer_rest(&key, listed),
            _ => listing.offer(&key, listed),
        };
        match step {
            Step::Next => {}
            Step::Seek(to) => rows.seek(&to),
            Step::Done => break,
        }
    }
    Ok(listing)
}

fn read_marker<'a>(key_marker: &'a str, version_id_marker: Option<&str>) -> Result<Option<(&'a str, VersionId)>, ApiError> {
    const NAME: &str = "version-id-marker";
    let Some(marker) = version_id_marker else { return Ok(None) };
    if key_marker.is_empty() {
        return Err(invalid_argument("A version-id marker cannot be specified without a key marker.", NAME, marker));
    }
    if marker.is_empty() {
        return Err(invalid_argument("A version-id marker cannot be empty.", NAME, marker));
    }
    Ok(Some((key_marker, VersionId::parse(marker, NAME)?)))
}

/// See <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>.
pub(crate) async fn list_object_versions(cx: &mut Call, input: ListObjectVersionsInput) -> Result<ListObjectVersionsOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let names = Names::new(input.encoding_type.as_ref())?;
    let limit = limit("max-keys", input.max_keys)?;
    check_attributes(input.optional_object_attributes.as_deref())?;
    let (prefix, key_marker) = (input.prefix.unwrap_or_default(), input.key_marker.unwrap_or_default());
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let marker = read_marker(&key_marker, input.version_id_marker.as_deref())?;
    let listing = fill(cx, &bucket, Listing::new(&prefix, delimiter.as_deref(), &key_marker, limit), marker).await?;
    let (next_key_marker, next_version_id_marker) = match listing.entries.last().filter(|_| listing.is_truncated) {
        Some(Entry::Key(key, listed)) => (Some(names.write(key.clone())), Some(listed.version.name().shown())),
        Some(Entry::CommonPrefix(common)) => (Some(names.write(common.clone())), None),
        None => (None, None),
    };
    let is_truncated = listing.is_truncated;
    let (mut versions, mut delete_markers, mut common_prefixes) = (Vec::new(), Vec::new(), Vec::new());
    for entry in listing.entries {
        match entry {
            Entry::Key(key, Listed { version: Version::Object(object), is_latest }) => {
                versions.push(shown(&bucket, names.write(key), &object, is_latest));
            }
            Entry::Key(key, Listed { version: Version::DeleteMarker(marker), is_latest }) => delete_markers.push(DeleteMarkerEntry {
                owner: Some(acl::owner(&bucket.account)),
                key: Some(names.write(key)),
                version_id: Some(marker.version.shown()),
                is_latest: Some(is_latest),
                last_modified: Some(Timestamp(marker.modified_ms.div_euclid(1000) * 1000)),
            }),
            Entry::CommonPrefix(common) => common_prefixes.push(CommonPrefix { prefix: Some(names.write(common)) }),
        }
    }
    Ok(ListObjectVersionsOutput {
        is_truncated: Some(is_truncated),
        key_marker: Some(names.write(key_marker)),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        next_key_marker,
        next_version_id_marker,
        versions: Some(versions),
        delete_markers: Some(delete_markers),
        name: Some(bucket.name),
        prefix: Some(names.write(prefix)),
        delimiter: delimiter.map(|delimiter| names.write(delimiter)),
        max_keys: i32::try_from(limit).ok(),
        common_prefixes: Some(common_prefixes),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

fn shown(bucket: &Bucket, key: String, object: &Object, is_latest: bool) -> ObjectVersion {
    ObjectVersion {
        etag: Some(format!("\"{}\"", object.etag)),
        checksum_algorithm: object.checksum.as_ref().map(|checksum| vec![ChecksumAlgorithm::from(checksum.algorithm.name())]),
        checksum_type: object.checksum.as_ref().map(type_of),
        size: i64::try_from(object.size).ok(),
        storage_class: Some(ObjectVersionStorageClass::Standard),
        key: Some(key),
        version_id: Some(object.version.shown()),
        is_latest: Some(is_latest),
        last_modified: Some(Timestamp(object.modified_s() * 1000)),
        owner: Some(acl::owner(&bucket.account)),
        restore_status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_marker_needs_its_key() {
        let message = |key, id| read_marker(key, id).unwrap_err().message;
        assert_eq!(read_marker("k", None).unwrap(), None);
        assert_eq!(read_marker("k", Some("null")).unwrap(), Some(("k", VersionId::Null)));
        assert_eq!(message("", Some("null")), "A version-id marker cannot be specified without a key marker.");
        assert_eq!(message("", Some("")), "A version-id marker cannot be specified without a key marker.");
        assert_eq!(message("k", Some("")), "A version-id marker cannot be empty.");
        assert_eq!(message("k", Some("x")), "Invalid version id specified");
    }
}
