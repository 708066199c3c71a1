//! Listing keys with prefix, delimiter and page limit: the pure part. It is offered keys in order and says where to go on.
//!
//! Source: S3 User Guide, "Listing object keys programmatically", "Organizing objects using prefixes". Keys are ordered by their UTF-8 bytes.

/// What a list shows, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry<T> {
    Key(String, T),
    /// All keys that begin with this and go on behind the delimiter.
    CommonPrefix(String),
}

impl<T> Entry<T> {
    /// Where the entry stands in the order; the next page begins behind it.
    pub(crate) fn place(&self) -> &str {
        match self {
            Self::Key(key, _) => key,
            Self::CommonPrefix(prefix) => prefix,
        }
    }
}

/// What to do after a key was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Next,
    /// Go on at the first key that is not less than this.
    Seek(Vec<u8>),
    /// Nothing more is to be seen.
    Done,
}

/// Collects one page.
pub(crate) struct Listing<T> {
    prefix: String,
    delimiter: Option<String>,
    after: String,
    limit: usize,
    pub entries: Vec<Entry<T>>,
    pub is_truncated: bool,
}

impl<T> Listing<T> {
    /// A page of at most `limit` entries behind `after`.
    pub(crate) fn new(prefix: &str, delimiter: Option<&str>, after: &str, limit: usize) -> Self {
        let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty()).map(str::to_owned);
        Self { prefix: prefix.to_owned(), delimiter, after: after.to_owned(), limit, entries: Vec::new(), is_truncated: false }
    }

    /// Where the first key can be. `None`: the page is empty whatever there is.
    pub(crate) fn start(&self) -> Option<Vec<u8>> {
        if self.limit == 0 {
            return None;
        }
        if self.after.as_str() < self.prefix.as_str() {
            return Some(self.prefix.clone().into_bytes());
        }
        // A page that ended with a common prefix goes on behind everything under it.
        if let Some(common) = self.common_prefix(&self.after)
            && common == self.after
        {
            return end_of(common.as_bytes());
        }
        let mut start = self.after.clone().into_bytes();
        if !start.is_empty() {
            start.push(0);
        }
        Some(start)
    }

    fn common_prefix(&self, key: &str) -> Option<String> {
        let delimiter = self.delimiter.as_deref()?;
        let rest = key.strip_prefix(&self.prefix)?;
        let end = self.prefix.len() + rest.find(delimiter)? + delimiter.len();
        key.get(..end).map(str::to_owned)
    }

    /// Takes the next key in order.
    pub(crate) fn offer(&mut self, key: &str, value: T) -> Step {
        if !key.starts_with(&self.prefix) {
            return if key < self.prefix.as_str() { Step::Seek(self.prefix.clone().into_bytes()) } else { Step::Done };
        }
        if key <= self.after.as_str() {
            return Step::Next;
        }
        let common = self.common_prefix(key);
        // The page before ended within or with this common prefix.
        if let Some(common) = common.as_ref().filter(|common| common.as_str() <= self.after.as_str()) {
            return end_of(common.as_bytes()).map_or(Step::Done, Step::Seek);
        }
        if self.entries.len() >= self.limit {
            self.is_truncated = true;
            return Step::Done;
        }
        let Some(common) = common else {
            self.entries.push(Entry::Key(key.to_owned(), value));
            return Step::Next;
        };
        let next = end_of(common.as_bytes()).map_or(Step::Done, Step::Seek);
        self.entries.push(Entry::CommonPrefix(common));
        next
    }

    /// Whether the key would be an entry of its own, and not part of a common prefix or left out.
    pub(crate) fn shows(&self, key: &str) -> bool {
        key.starts_with(&self.prefix) && self.common_prefix(key).is_none()
    }

    /// Takes what is left of the key that the page before ended with.
    pub(crate) fn offer_rest(&mut self, key: &str, value: T) -> Step {
        if self.entries.len() >= self.limit {
            self.is_truncated = true;
            return Step::Done;
        }
        self.entries.push(Entry::Key(key.to_owned(), value));
        Step::Next
    }

    /// As [`Listing::offer`], for lists in which a key can come more than once and that are not sought in.
    pub(crate) fn offer_again(&mut self, key: &str, value: T) -> Step {
        let is_seen = matches!(self.entries.last(), Some(Entry::CommonPrefix(common)) if key.starts_with(common.as_str()));
        if is_seen {
            return Step::Next;
        }
        match self.offer(key, value) {
            Step::Seek(_) => Step::Next,
            step => step,
        }
    }
}

/// The least byte string behind all that begin with `prefix`.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    plane::record::prefix_end(prefix).map(|end| end.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn page(keys: &BTreeSet<String>, prefix: &str, delimiter: Option<&str>, after: &str, limit: usize) -> Listing<()> {
        let mut listing = Listing::new(prefix, delimiter, after, limit);
        let Some(mut start) = listing.start() else { return listing };
        'scan: loop {
            for key in keys.iter().filter(|key| key.as_bytes() >= start.as_slice()) {
                match listing.offer(key, ()) {
                    Step::Next => {}
                    Step::Seek(to) => {
                        assert!(to.as_slice() > key.as_bytes() || key.as_str() < prefix, "a seek goes forward");
                        start = to;
                        continue 'scan;
                    }
                    Step::Done => break 'scan,
                }
            }
            break;
        }
        listing
    }

    /// The definition: all entries of the whole list.
    fn model(keys: &BTreeSet<String>, prefix: &str, delimiter: Option<&str>) -> Vec<String> {
        let mut entries = BTreeSet::new();
        for key in keys.iter().filter(|key| key.starts_with(prefix)) {
            let rest = &key[prefix.len()..];
            let common = delimiter
                .filter(|delimiter| !delimiter.is_empty())
                .and_then(|delimiter| rest.find(delimiter).map(|at| at + delimiter.len()));
            entries.insert(common.map_or(key.clone(), |end| key[..prefix.len() + end].to_owned()));
        }
        entries.into_iter().collect()
    }

    fn key() -> impl Strategy<Value = String> {
        prop::string::string_regex("[ab/ü\u{10FFFF}]{1,6}").unwrap()
    }

    proptest! {
        #[test]
        fn pages_make_up_the_whole_list(keys in prop::collection::btree_set(key(), 0..40), prefix in "[ab/]{0,2}", delimiter in prop::option::of("/|a|b/|"), limit in 1_usize..6) {
            let mut seen: Vec<String> = Vec::new();
            let mut after = String::new();
            loop {
                let listing = page(&keys, &prefix, delimiter.as_deref(), &after, limit);
                prop_assert!(listing.entries.len() <= limit);
                seen.extend(listing.entries.iter().map(|entry| entry.place().to_owned()));
                if !listing.is_truncated {
                    break;
                }
                prop_assert_eq!(listing.entries.len(), limit);
                after = seen.last().cloned().unwrap();
            }
            prop_assert_eq!(seen, model(&keys, &prefix, delimiter.as_deref()));
        }

        #[test]
        fn a_page_begins_behind_any_place(keys in prop::collection::btree_set(key(), 0..40), after in "[ab/]{0,4}", delimiter in prop::option::of("/")) {
            let listing = page(&keys, "", delimiter.as_deref(), &after, 1000);
            let expected: Vec<String> = model(&keys, "", delimiter.as_deref()).into_iter().filter(|entry| *entry > after).collect();
            prop_assert_eq!(listing.entries.iter().map(|entry| entry.place().to_owned()).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_common_prefix_is_skipped_in_one_seek() {
        let mut listing = Listing::new("", Some("/"), "", 10);
        assert_eq!(listing.offer("a/1", ()), Step::Seek(b"a0".to_vec()));
        assert_eq!(listing.offer("b", ()), Step::Next);
        assert_eq!(listing.entries, [Entry::CommonPrefix("a/".to_owned()), Entry::Key("b".to_owned(), ())]);
    }

    #[test]
    fn no_keys_are_asked_for() {
        assert_eq!(Listing::<()>::new("", None, "", 0).start(), None);
    }
}
