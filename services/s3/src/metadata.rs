//! The headers of an object that S3 stores and gives back.

use std::collections::BTreeMap;

use plane::ApiError;
use wire::Value;

use crate::record::Metadata;

/// What an object has when its writer says nothing.
pub(crate) const CONTENT_TYPE_DEFAULT: &str = "binary/octet-stream";
/// Names and values of user metadata together.
const USER_BYTES_MAX: usize = 2 * 1024;

/// `metadata_of!(input)`: checked metadata of a write.
macro_rules! metadata_of {
    ($input:expr) => {
        $crate::metadata::check($crate::record::Metadata {
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $input.content_encoding.as_deref().and_then($crate::metadata::stored_encoding),
            content_language: $input.content_language.clone(),
            content_type: $input.content_type.clone(),
            expires: $input.expires.clone(),
            user: $input.metadata.clone().unwrap_or_default(),
        })
    };
}
pub(crate) use metadata_of;

/// `refuse_unsupported!(input)`: settings of a write that this server does not have.
macro_rules! refuse_unsupported {
    ($input:expr) => {
        $crate::metadata::refuse(
            $input.storage_class.as_ref().map(api_s3::StorageClass::as_str),
            &[
                ("x-amz-website-redirect-location", $input.website_redirect_location.is_some()),
                ("x-amz-object-lock-event-hold", $input.object_lock_event_hold.is_some()),
                ("x-amz-object-lock-event-hold-duration-days", $input.object_lock_event_hold_duration_days.is_some()),
                ("x-amz-object-lock-event-hold-duration-years", $input.object_lock_event_hold_duration_years.is_some()),
            ],
        )
    };
}
pub(crate) use refuse_unsupported;

pub(crate) fn refuse(storage_class: Option<&str>, unsupported: &[(&str, bool)]) -> Result<(), ApiError> {
    if let Some(class) = storage_class.filter(|class| *class != "STANDARD") {
        return Err(ApiError::new("InvalidStorageClass", "The storage class you specified is not valid")
            .with_member("StorageClassRequested", Value::Str(class.to_owned())));
    }
    match unsupported.iter().find(|(_, given)| *given) {
        Some((header, _)) => Err(crate::error::not_implemented(header)),
        None => Ok(()),
    }
}

/// `aws-chunked` is the transfer's encoding, not the object's.
pub(crate) fn stored_encoding(header: &str) -> Option<String> {
    let kept: Vec<&str> =
        header.split(',').map(str::trim).filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked")).collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

pub(crate) fn check(mut metadata: Metadata) -> Result<Metadata, ApiError> {
    metadata.user = metadata.user.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect::<BTreeMap<_, _>>();
    let size: usize = metadata.user.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > USER_BYTES_MAX {
        return Err(ApiError::new("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
            .with_member("Size", Value::Str(size.to_string()))
            .with_member("MaxSizeAllowed", Value::Str(USER_BYTES_MAX.to_string())));
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transfer_encoding_is_not_stored() {
        assert_eq!(stored_encoding("aws-chunked"), None);
        assert_eq!(stored_encoding("aws-chunked, gzip").as_deref(), Some("gzip"));
        assert_eq!(stored_encoding("gzip,br").as_deref(), Some("gzip,br"));
    }

    #[test]
    fn user_metadata_has_a_limit() {
        let with = |length: usize| Metadata { user: BTreeMap::from([("K".to_owned(), "v".repeat(length))]), ..Metadata::default() };
        assert_eq!(check(with(2047)).unwrap().user.keys().next().map(String::as_str), Some("k"));
        assert_eq!(check(with(2048)).unwrap_err().code, "MetadataTooLarge");
    }

    #[test]
    fn settings_that_are_not_kept_are_refused() {
        assert!(refuse(Some("STANDARD"), &[("x", false)]).is_ok());
        assert_eq!(refuse(Some("GLACIER"), &[]).unwrap_err().code, "InvalidStorageClass");
        assert_eq!(refuse(None, &[("x-amz-object-lock-event-hold", true)]).unwrap_err().code, "NotImplemented");
    }
}
