//! What a request says about itself: condition keys and their values.

use std::borrow::Cow;

/// The values of one condition key. Whether a key is single-valued matters: only single-valued keys may stand in
/// a policy variable, and a list without members is a key without value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values<'a> {
    /// A single-valued key.
    One(Cow<'a, str>),
    /// A multi-valued key that the caller keeps.
    List(&'a [String]),
    /// A multi-valued key that was computed.
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Values<'a> {
    /// A single value that the caller keeps.
    pub fn one(value: &'a str) -> Self {
        Self::One(Cow::Borrowed(value))
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::List(list) => list.len(),
            Self::Many(list) => list.len(),
        }
    }

    /// Whether the key has an empty list of values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the values are what the documentation calls a null data set: none at all, or only empty strings.
    pub fn is_null(&self) -> bool {
        self.iter().all(str::is_empty)
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (one, list, many): (_, &[String], &[Cow<'_, str>]) = match self {
            Self::One(value) => (Some(value.as_ref()), &[], &[]),
            Self::List(list) => (None, list, &[]),
            Self::Many(list) => (None, &[], list),
        };
        one.into_iter().chain(list.iter().map(String::as_str)).chain(many.iter().map(AsRef::as_ref))
    }
}

/// Where condition keys come from. Implement it lazily: only the keys that the policies mention are asked for.
pub trait Context {
    /// The values of a key, or `None` if the request does not have it. `lower_name` is in lower case, because
    /// key names (and the tag keys in them) compare without case.
    fn key(&self, lower_name: &str) -> Option<Values<'_>>;
}

impl<F> Context for F
where
    F: for<'k> Fn(&'k str) -> Option<Values<'static>>,
{
    fn key(&self, lower_name: &str) -> Option<Values<'_>> {
        self(lower_name)
    }
}

/// A context that holds its keys in memory. Requests have few keys, so it is a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapContext {
    entries: Vec<(String, Entry)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    One(String),
    Many(Vec<String>),
}

impl MapContext {
    /// A context without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a single-valued key.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.put(name, Entry::One(value.into()))
    }

    /// Sets a multi-valued key.
    pub fn set_many<V: Into<String>>(&mut self, name: &str, values: impl IntoIterator<Item = V>) -> &mut Self {
        self.put(name, Entry::Many(values.into_iter().map(Into::into).collect()))
    }

    fn put(&mut self, name: &str, entry: Entry) -> &mut Self {
        let lower = name.to_lowercase();
        self.entries.retain(|(present, _)| *present != lower);
        self.entries.push((lower, entry));
        self
    }

    /// The names of the keys, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }
}

impl Context for MapContext {
    fn key(&self, lower_name: &str) -> Option<Values<'_>> {
        let (_, entry) = self.entries.iter().find(|(name, _)| name == lower_name)?;
        Some(match entry {
            Entry::One(value) => Values::one(value),
            Entry::Many(values) => Values::List(values),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case_and_the_last_setting_wins() {
        let mut context = MapContext::new();
        context.set("aws:SourceIp", "1").set("AWS:sourceip", "2");
        assert_eq!(context.key("aws:sourceip"), Some(Values::one("2")));
        assert_eq!(context.key("aws:username"), None);
    }

    #[test]
    fn null_data_sets() {
        assert!(Values::one("").is_null());
        assert!(Values::List(&[]).is_null());
        assert!(!Values::List(&[String::new(), "a".to_owned()]).is_null());
        assert_eq!(Values::List(&["a".to_owned()]).iter().collect::<Vec<_>>(), ["a"]);
    }
}
