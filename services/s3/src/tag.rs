//! Tags of buckets and objects.
//!
//! Source: S3 API Reference, "PutObjectTagging"; S3 User Guide, "Categorizing your objects using tags".

use api_s3::Tag;
use plane::ApiError;
use wire::Value;

use crate::error::invalid_argument;
use crate::url;

pub(crate) const OBJECT_TAGS_MAX: usize = 10;
pub(crate) const BUCKET_TAGS_MAX: usize = 50;
const KEY_CHARACTERS_MAX: usize = 128;
const VALUE_CHARACTERS_MAX: usize = 256;

/// Tags as they are kept.
pub(crate) type Tags = Vec<(String, String)>;

fn invalid(message: &str, key: &str, value: Option<&str>) -> ApiError {
    let error = ApiError::new("InvalidTag", message).with_member("TagKey", Value::Str(key.to_owned()));
    match value {
        Some(value) => error.with_member("TagValue", Value::Str(value.to_owned())),
        None => error,
    }
}

fn is_tag_text(text: &str) -> bool {
    text.chars().all(|character| character.is_alphanumeric() || character.is_whitespace() || "_.:/=+-@".contains(character))
}

/// Checks tags that a caller gives.
pub(crate) fn check(tags: &[(String, String)], limit: usize) -> Result<(), ApiError> {
    if tags.len() > limit {
        let what = if limit == OBJECT_TAGS_MAX { "Object tags" } else { "Bucket tag count" };
        return Err(ApiError::new("BadRequest", format!("{what} cannot be greater than {limit}")));
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > KEY_CHARACTERS_MAX || !is_tag_text(key) {
            return Err(invalid("The TagKey you have provided is invalid", key, None));
        }
        if value.chars().count() > VALUE_CHARACTERS_MAX || !is_tag_text(value) {
            return Err(invalid("The TagValue you have provided is invalid", key, Some(value)));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid("System tags cannot be added/updated by requester", key, None));
        }
        if tags.iter().take(at).any(|(earlier, _)| earlier == key) {
            return Err(invalid("Cannot provide multiple Tags with the same key", key, None));
        }
    }
    Ok(())
}

/// Reads `x-amz-tagging`: a query string.
pub(crate) fn parse_header(header: Option<&str>) -> Result<Tags, ApiError> {
    let Some(header) = header else { return Ok(Vec::new()) };
    let message = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.";
    let tags = pairs(header).ok_or_else(|| invalid_argument(message, "x-amz-tagging", header))?;
    if tags.iter().enumerate().any(|(at, (key, _))| tags.iter().take(at).any(|(earlier, _)| earlier == key)) {
        return Err(invalid_argument(message, "x-amz-tagging", header));
    }
    check(&tags, OBJECT_TAGS_MAX)?;
    Ok(tags)
}

fn pairs(header: &str) -> Option<Tags> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((url::decode_form(key)?, url::decode_form(value)?))
    };
    header.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

/// The object tags in an input, for condition keys: nothing is checked yet.
pub(crate) fn of_input(input: &Value) -> Tags {
    match input.member("Tagging") {
        Some(Value::Str(header)) => pairs(header).unwrap_or_default(),
        Some(tagging) => match tagging.member("TagSet") {
            Some(Value::List(tags)) => tags
                .iter()
                .filter_map(|tag| Some((tag.member("Key")?.as_str()?.to_owned(), tag.member("Value")?.as_str()?.to_owned())))
                .collect(),
            _ => Vec::new(),
        },
        None => Vec::new(),
    }
}

pub(crate) fn from_api(tags: Vec<Tag>) -> Tags {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

pub(crate) fn to_api(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn headers_are_query_strings() {
        assert_eq!(parse_header(Some("a=1&b=x%20y&c")).unwrap(), tags(&[("a", "1"), ("b", "x y"), ("c", "")]));
        assert_eq!(parse_header(None).unwrap(), Tags::new());
        assert_eq!(parse_header(Some("a=1&a=2")).unwrap_err().code, "InvalidArgument");
        assert_eq!(parse_header(Some("a=%zz")).unwrap_err().code, "InvalidArgument");
    }

    #[test]
    fn rules_of_tags() {
        assert!(check(&tags(&[("Größe", "a b:c/d=e+f-g@h.i_j")]), OBJECT_TAGS_MAX).is_ok());
        let code = |pairs: &[(&str, &str)]| check(&tags(pairs), OBJECT_TAGS_MAX).unwrap_err().code;
        assert_eq!(code(&[("", "")]), "InvalidTag");
        assert_eq!(code(&[("a", "<")]), "InvalidTag");
        assert_eq!(code(&[("aws:a", "")]), "InvalidTag");
        assert_eq!(code(&[("a", ""), ("a", "")]), "InvalidTag");
        assert_eq!(code(&[(&"k".repeat(129), "")]), "InvalidTag");
        assert_eq!(code(&[("k", &"v".repeat(257))]), "InvalidTag");
        let many: Tags = (0..11).map(|number| (number.to_string(), String::new())).collect();
        assert_eq!(check(&many, OBJECT_TAGS_MAX).unwrap_err().code, "BadRequest");
    }
}
