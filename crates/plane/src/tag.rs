//! Tags: the rules that all services share. Each names its own error codes.

/// Most tags on one resource.
pub const LIMIT: usize = 50;

/// A tag set breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagViolation {
    #[error("the tag key `{0}` is given twice")]
    Duplicate(String),
    #[error("the tag key `{0}` begins with the reserved prefix `aws:`")]
    Reserved(String),
    #[error("more than {LIMIT} tags")]
    TooMany,
}

/// Checks tags that a caller gives.
pub fn check(tags: &[(String, String)]) -> Result<(), TagViolation> {
    for (at, (key, _)) in tags.iter().enumerate() {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(TagViolation::Reserved(key.clone()));
        }
        if tags.iter().take(at).any(|(earlier, _)| earlier == key) {
            return Err(TagViolation::Duplicate(key.clone()));
        }
    }
    if tags.len() > LIMIT { Err(TagViolation::TooMany) } else { Ok(()) }
}

/// Adds or replaces tags; the result keeps the rules.
pub fn merge(tags: &mut Vec<(String, String)>, new: Vec<(String, String)>) -> Result<(), TagViolation> {
    check(&new)?;
    let mut merged = tags.clone();
    for (key, value) in new {
        match merged.iter_mut().find(|(existing, _)| *existing == key) {
            Some((_, slot)) => *slot = value,
            None => merged.push((key, value)),
        }
    }
    if merged.len() > LIMIT {
        return Err(TagViolation::TooMany);
    }
    *tags = merged;
    Ok(())
}

/// Removes tags by key; keys that are not there do not matter.
pub fn remove(tags: &mut Vec<(String, String)>, keys: &[String]) {
    tags.retain(|(key, _)| !keys.contains(key));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn tags_merge_by_key_and_keep_their_rules() {
        let mut tags = vec![pair("team", "a")];
        merge(&mut tags, vec![pair("team", "b"), pair("stage", "prod")]).unwrap();
        assert_eq!(tags, vec![pair("team", "b"), pair("stage", "prod")]);
        assert_eq!(merge(&mut tags, vec![pair("x", ""), pair("x", "")]), Err(TagViolation::Duplicate("x".to_owned())));
        assert_eq!(merge(&mut tags, vec![pair("AWS:x", "")]), Err(TagViolation::Reserved("AWS:x".to_owned())));
        let many: Vec<_> = (0..49).map(|number| pair(&number.to_string(), "")).collect();
        assert_eq!(merge(&mut tags, many), Err(TagViolation::TooMany));
        assert_eq!(tags.len(), 2);
        remove(&mut tags, &["team".to_owned()]);
        assert_eq!(tags, vec![pair("stage", "prod")]);
    }
}
