//! Versions of objects: how a key's versions are found, added and taken away.
//!
//! The latest version of a key is its [`Object`], unless that is a delete marker. Everything else is a [`Version`] beside it, the newest first, so
//! lists and reads of current objects are as they are without versions. Each function leaves both in agreement, in the caller's transaction.
//!
//! An id holds the place of its version in the order, so it is found without a search; only the `null` version needs a note of its place.
//!
//! Source: S3 User Guide, "How S3 Versioning works", "Working with objects in a versioning-suspended bucket".

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plane::{ApiError, Call, Transaction, authorize};
use wire::{Struct, Value};

use crate::error::{invalid_argument, method_not_allowed, no_such_key, no_such_version};
use crate::record::{Bucket, DeleteMarker, NullVersion, Object, Version, VersionName, Versioning};
use crate::{lock, storage};

/// Bytes of an id: the place in the order, and what nobody can guess.
const ID_BYTES: usize = 24;
/// What reads say of a delete marker.
const DELETE_MARKER_HEADER: &str = "x-amz-delete-marker";
const VERSION_HEADER: &str = "x-amz-version-id";

/// A version as a client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VersionId {
    Null,
    Assigned { text: String, sequence: u64 },
}

impl VersionId {
    /// `argument`: what the client calls it.
    pub(crate) fn parse(text: &str, argument: &str) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Err(invalid_argument("Version id cannot be the empty string", argument, text));
        }
        if text == "null" {
            return Ok(Self::Null);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; ID_BYTES]>::try_from(bytes).ok());
        let place = bytes.as_ref().and_then(|bytes| bytes.first_chunk::<8>());
        match place {
            Some(place) => Ok(Self::Assigned { text: text.to_owned(), sequence: u64::from_be_bytes(*place) }),
            None => Err(invalid_argument("Invalid version id specified", argument, text)),
        }
    }

    /// As [`VersionId::parse`], of a `versionId` that may be left out.
    pub(crate) fn of(text: Option<&str>) -> Result<Option<Self>, ApiError> {
        text.map(|text| Self::parse(text, "versionId")).transpose()
    }

    fn names(&self, name: &VersionName) -> bool {
        match self {
            Self::Null => name.id.is_none(),
            Self::Assigned { text, .. } => name.id.as_ref() == Some(text),
        }
    }
}

fn new_id(cx: &Call, sequence: u64) -> Result<String, ApiError> {
    let mut bytes = [0_u8; ID_BYTES];
    cx.random(&mut bytes)?;
    if let Some(place) = bytes.first_chunk_mut::<8>() {
        *place = sequence.to_be_bytes();
    }
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Later than every version before, even if the clock stepped back.
fn next_sequence(now_ms: i64, newest: Option<u64>) -> u64 {
    let now = u64::try_from(now_ms).unwrap_or_default();
    newest.map_or(now, |newest| now.max(newest.saturating_add(1)))
}

/// The id that reads of an object say; buckets that never had versions say none.
pub(crate) fn shown(bucket: &Bucket, name: &VersionName) -> Option<String> {
    (bucket.versioning != Versioning::Never).then(|| name.shown())
}

/// The id that a write says: only where it made a version of its own.
pub(crate) fn shown_to_writer(bucket: &Bucket, name: &VersionName) -> Option<String> {
    name.id.clone().filter(|_| bucket.versioning == Versioning::Enabled)
}

/// A version that was found, and where it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub object: Object,
    pub is_current: bool,
}

/// The newest version that is not the key's object.
pub(crate) async fn newest_other(tx: &mut Transaction, bucket: &Bucket, key: &str) -> Result<Option<Version>, ApiError> {
    if bucket.versioning == Versioning::Never {
        return Ok(None);
    }
    Ok(tx.scan::<Version>(&Version::prefix_of(bucket, key), None, 1).await?.pop().map(|(_, version)| version))
}

/// A version that is not the key's object, by its id.
async fn other(tx: &mut Transaction, bucket: &Bucket, key: &str, id: &VersionId) -> Result<Option<Version>, ApiError> {
    let sequence = match id {
        VersionId::Assigned { sequence, .. } => *sequence,
        VersionId::Null => match tx.get::<NullVersion>(&NullVersion::key(bucket, key)).await? {
            Some(null) => null.sequence,
            None => return Ok(None),
        },
    };
    let version = tx.get::<Version>(&Version::key(bucket, key, sequence)).await?;
    Ok(version.filter(|version| id.names(version.name())))
}

/// A version by its id, wherever it is.
pub(crate) async fn by_id(
    tx: &mut Transaction,
    bucket: &Bucket,
    key: &str,
    id: &VersionId,
) -> Result<Option<(Version, /* is current */ bool)>, ApiError> {
    if let Some(object) = tx.get::<Object>(&Object::key(bucket, key)).await?.filter(|object| id.names(&object.version)) {
        return Ok(Some((Version::Object(Box::new(object)), true)));
    }
    Ok(other(tx, bucket, key, id).await?.map(|version| (version, false)))
}

/// Place of a version in the order of its key, as far as its id tells.
pub(crate) async fn sequence_of(tx: &mut Transaction, bucket: &Bucket, key: &str, id: &VersionId) -> Result<Option<u64>, ApiError> {
    if let VersionId::Assigned { sequence, .. } = id {
        return Ok(Some(*sequence));
    }
    Ok(by_id(tx, bucket, key, id).await?.map(|(version, _)| version.name().sequence))
}

/// The object of this version, or the error that the caller may know of: who may not list the bucket does not learn what is not there.
pub(crate) async fn find(cx: &mut Call, bucket: &Bucket, key: &str, id: Option<&VersionId>) -> Result<Found, ApiError> {
    let Some(id) = id else {
        if let Some(object) = cx.tx.get::<Object>(&Object::key(bucket, key)).await? {
            return Ok(Found { object, is_current: true });
        }
        check_may_list(cx, bucket).await?;
        return Err(match newest_other(&mut cx.tx, bucket, key).await? {
            Some(marker) => as_delete_marker(no_such_key(key), marker.name()),
            None => no_such_key(key),
        });
    };
    match by_id(&mut cx.tx, bucket, key, id).await? {
        Some((Version::Object(object), is_current)) => Ok(Found { object: *object, is_current }),
        Some((Version::DeleteMarker(marker), _)) => {
            let error = method_not_allowed(&cx.request.method, "DeleteMarker")
                .with_header("allow", "DELETE")
                .with_header("last-modified", crate::object_get::http_date(wire::Timestamp(marker.modified_ms)));
            Err(as_delete_marker(error, &marker.version))
        }
        None => {
            check_may_list(cx, bucket).await?;
            let text = match id {
                VersionId::Null => "null",
                VersionId::Assigned { text, .. } => text,
            };
            Err(no_such_version(key, text))
        }
    }
}

async fn check_may_list(cx: &mut Call, bucket: &Bucket) -> Result<(), ApiError> {
    authorize::check(cx, "s3:ListBucket", &bucket.arn()).await?.map_or(Ok(()), Err)
}

fn as_delete_marker(error: ApiError, name: &VersionName) -> ApiError {
    error.with_header(DELETE_MARKER_HEADER, "true").with_header(VERSION_HEADER, name.shown())
}

/// The input of a question about one version, as condition keys look at it.
pub(crate) fn question(version_id: Option<&str>) -> Value {
    let mut input = Struct::new();
    if let Some(version_id) = version_id {
        input.set("VersionId", Value::Str(version_id.to_owned()));
    }
    Value::Struct(input)
}

/// Writes what was changed of a version.
pub(crate) fn update(cx: &mut Call, bucket: &Bucket, key: &str, found: Found) -> Result<(), ApiError> {
    if found.is_current {
        return cx.tx.put(&Object::key(bucket, key), &found.object);
    }
    let row = Version::key(bucket, key, found.object.version.sequence);
    cx.tx.put(&row, &Version::Object(Box::new(found.object)))
}

/// Writes a new object and gives it as it is kept. What was there before becomes an earlier version, or goes.
pub(crate) async fn place(
    cx: &mut Call,
    bucket: &Bucket,
    key: &str,
    mut object: Object,
    existing: Option<Object>,
) -> Result<Object, ApiError> {
    object.version = make_room(cx, bucket, key, existing).await?;
    for piece in &object.pieces {
        storage::keep_piece(cx, bucket, piece)?;
    }
    cx.tx.put(&Object::key(bucket, key), &object)?;
    Ok(object)
}

/// Names a new version. What it follows becomes an earlier one, or goes where the bucket keeps none.
async fn make_room(cx: &mut Call, bucket: &Bucket, key: &str, existing: Option<Object>) -> Result<VersionName, ApiError> {
    let newest = match &existing {
        Some(existing) => Some(existing.version.sequence),
        None => newest_other(&mut cx.tx, bucket, key).await?.map(|version| version.name().sequence),
    };
    let sequence = next_sequence(cx.now.0, newest);
    let id = match bucket.versioning {
        Versioning::Enabled => Some(new_id(cx, sequence)?),
        Versioning::Never | Versioning::Suspended => None,
    };
    match existing {
        Some(existing) if id.is_none() && existing.version.id.is_none() => drop_bytes(cx, bucket, &existing, false)?,
        Some(existing) => shelve(cx, bucket, key, Version::Object(Box::new(existing)))?,
        None => {}
    }
    if bucket.versioning == Versioning::Suspended
        && let Some(version) = other(&mut cx.tx, bucket, key, &VersionId::Null).await?
    {
        take_off(cx, bucket, key, &version, false)?;
    }
    Ok(VersionName { id, sequence })
}

/// Puts a version beside its key's object.
fn shelve(cx: &mut Call, bucket: &Bucket, key: &str, version: Version) -> Result<(), ApiError> {
    let name = version.name();
    if name.id.is_none() {
        cx.tx.put(&NullVersion::key(bucket, key), &NullVersion { sequence: name.sequence })?;
    }
    cx.tx.put(&Version::key(bucket, key, name.sequence), &version)
}

/// Deletes a version that is not its key's object.
fn take_off(cx: &mut Call, bucket: &Bucket, key: &str, version: &Version, bypass: bool) -> Result<(), ApiError> {
    if let Version::Object(object) = version {
        drop_bytes(cx, bucket, object, bypass)?;
    }
    forget(cx, bucket, key, version.name());
    Ok(())
}

fn forget(cx: &mut Call, bucket: &Bucket, key: &str, name: &VersionName) {
    if name.id.is_none() {
        cx.tx.delete::<NullVersion>(&NullVersion::key(bucket, key));
    }
    cx.tx.delete::<Version>(&Version::key(bucket, key, name.sequence));
}

/// Gives the bytes of a version up: the only way there is, and it does not lead past a lock.
fn drop_bytes(cx: &mut Call, bucket: &Bucket, object: &Object, bypass: bool) -> Result<(), ApiError> {
    lock::check_free(&object.lock, cx.now.0, bypass)?;
    for piece in &object.pieces {
        storage::release_piece(cx, bucket, piece)?;
    }
    Ok(())
}

/// What a deletion did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// The version that was deleted, or the delete marker that was made.
    pub version_id: Option<String>,
    /// One was made, or was what was deleted.
    pub is_delete_marker: bool,
}

/// Deletes the current object: it goes where the bucket keeps no versions, else a delete marker hides it.
pub(crate) async fn delete_current(cx: &mut Call, bucket: &Bucket, key: &str, existing: Option<Object>) -> Result<Deleted, ApiError> {
    let row = Object::key(bucket, key);
    if bucket.versioning == Versioning::Never {
        if let Some(existing) = existing {
            drop_bytes(cx, bucket, &existing, false)?;
            cx.tx.delete::<Object>(&row);
        }
        return Ok(Deleted::default());
    }
    let was_there = existing.is_some();
    let version = make_room(cx, bucket, key, existing).await?;
    if was_there {
        cx.tx.delete::<Object>(&row);
    }
    let version_id = Some(version.shown());
    shelve(cx, bucket, key, Version::DeleteMarker(DeleteMarker { version, modified_ms: cx.now.0 }))?;
    Ok(Deleted { version_id, is_delete_marker: true })
}

/// Deletes one version for good. The one before it comes to light again; what is not there is no error.
pub(crate) async fn delete_version(cx: &mut Call, bucket: &Bucket, key: &str, id: &VersionId, bypass: bool) -> Result<bool, ApiError> {
    let row = Object::key(bucket, key);
    let Some((version, is_current)) = by_id(&mut cx.tx, bucket, key, id).await? else { return Ok(false) };
    if let (Version::Object(object), true) = (&version, is_current) {
        drop_bytes(cx, bucket, object, bypass)?;
        cx.tx.delete::<Object>(&row);
    } else {
        take_off(cx, bucket, key, &version, bypass)?;
    }
    if cx.tx.get::<Object>(&row).await?.is_none()
        && let Some(newest @ Version::Object(_)) = newest_other(&mut cx.tx, bucket, key).await?
    {
        forget(cx, bucket, key, newest.name());
        if let Version::Object(object) = newest {
            cx.tx.put(&row, object.as_ref())?;
        }
    }
    Ok(matches!(version, Version::DeleteMarker(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_their_place() {
        let text = URL_SAFE_NO_PAD.encode([[0, 0, 0, 0, 0, 0, 1, 2].as_slice(), [0xFF; 16].as_slice()].concat());
        assert_eq!(text.len(), 32);
        assert_eq!(VersionId::parse(&text, "versionId").unwrap(), VersionId::Assigned { text: text.clone(), sequence: 258 });
        assert_eq!(VersionId::parse("null", "versionId").unwrap(), VersionId::Null);
        assert_eq!(VersionId::of(None).unwrap(), None);
        for bad in ["x", "NULL", &text[1..], &format!("{text}A"), "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrH"] {
            assert_eq!(VersionId::parse(bad, "versionId").unwrap_err().message, "Invalid version id specified", "{bad}");
        }
        assert_eq!(VersionId::parse("", "versionId").unwrap_err().message, "Version id cannot be the empty string");
    }

    #[test]
    fn an_id_names_one_version() {
        let id = VersionId::Assigned { text: "a".to_owned(), sequence: 3 };
        assert!(id.names(&VersionName { id: Some("a".to_owned()), sequence: 3 }));
        assert!(!id.names(&VersionName { id: Some("b".to_owned()), sequence: 3 }));
        assert!(!id.names(&VersionName::default()));
        assert!(VersionId::Null.names(&VersionName { id: None, sequence: 9 }));
        assert!(!VersionId::Null.names(&VersionName { id: Some("a".to_owned()), sequence: 9 }));
    }

    #[test]
    fn versions_follow_each_other_whatever_the_clock_does() {
        assert_eq!(next_sequence(50, None), 50);
        assert_eq!(next_sequence(50, Some(7)), 50);
        assert_eq!(next_sequence(50, Some(50)), 51);
        assert_eq!(next_sequence(10, Some(50)), 51);
        assert_eq!(next_sequence(-1, None), 0);
    }
}
