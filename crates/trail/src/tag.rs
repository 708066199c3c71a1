//! Tags: keyed hashes of what lookups ask for. They stand outside the seal, so that an index can be made and searched without opening events,
//! and tell who has no key only which events share a value.

use siphasher::sip::SipHasher24;

use crate::event::Event;
use crate::lookup::resource_name;

/// The secret that tags are made with.
pub type TagKey = [u8; 16];
/// A tag. Two values may share one: what an index finds is compared with the event.
pub type Tag = u32;

/// Resources of one event that get tags.
const RESOURCES: usize = 16;
/// Attribute of the tag that every event of an account has.
pub(crate) const ACCOUNT: &str = "Account";
pub(crate) const DENIED: &str = "Denied";
pub(crate) const INSIGHT: &str = "Insight";

/// The tag of one attribute's value in one account.
pub fn tag(key: &TagKey, account: &str, attribute: &str, value: &str) -> Tag {
    AccountTags::new(key, account).tag(attribute, value)
}

/// Ends each part of what is hashed: no text has this byte.
const END_OF_PART: u8 = 0xFF;

/// Makes the tags of one account. Account, attribute and value are hashed as one run of bytes, which takes half the time that three parts do.
struct AccountTags {
    hasher: SipHasher24,
    /// Account, attribute and value, each with its end.
    text: Vec<u8>,
    account_length: usize,
}

impl AccountTags {
    fn new(key: &TagKey, account: &str) -> Self {
        let mut text = Vec::with_capacity(256);
        text.extend_from_slice(account.as_bytes());
        text.push(END_OF_PART);
        Self { hasher: SipHasher24::new_with_key(key), account_length: text.len(), text }
    }

    fn tag(&mut self, attribute: &str, value: &str) -> Tag {
        self.text.truncate(self.account_length);
        for part in [attribute, value] {
            self.text.extend_from_slice(part.as_bytes());
            self.text.push(END_OF_PART);
        }
        let [_, _, _, _, a, b, c, d] = self.hasher.hash(&self.text).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

/// All tags of an event, each once.
pub(crate) fn tags(key: &TagKey, event: &Event, denied: bool) -> Vec<Tag> {
    let mut account = AccountTags::new(key, &event.recipient_account_id);
    let mut of = |attribute: &str, value: &str| account.tag(attribute, value);
    let mut tags = Vec::with_capacity(12);
    // An event of the insights is apart from the calls: no lookup finds both.
    tags.push(of(if event.event_category == INSIGHT { INSIGHT } else { ACCOUNT }, ""));
    tags.push(of("EventName", &event.event_name));
    tags.push(of("EventSource", &event.event_source));
    tags.push(of("EventId", &event.event_id));
    tags.push(of("ReadOnly", if event.read_only { "true" } else { "false" }));
    if !event.request_id.is_empty() {
        tags.push(of("RequestId", &event.request_id));
    }
    if let Some(name) = event.user_name() {
        tags.push(of("Username", name));
    }
    if let Some(id) = &event.user_identity.access_key_id {
        tags.push(of("AccessKeyId", id));
    }
    for resource in event.resources.iter().take(RESOURCES) {
        if let Some(resource_type) = &resource.resource_type {
            tags.push(of("ResourceType", resource_type));
        }
        tags.push(of("ResourceName", &resource.arn));
        tags.push(of("ResourceName", resource_name(&resource.arn)));
    }
    if denied {
        tags.push(of(DENIED, ""));
    }
    tags.sort_unstable();
    tags.dedup();
    tags
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As the first indexes were made: part by part. What stands in stores is found by these values.
        #[test]
        fn a_tag_is_the_hash_of_its_parts(key: TagKey, account in "[0-9]{12}", attribute in "[A-Za-z]{0,20}", value in ".{0,300}") {
            let mut hasher = SipHasher24::new_with_key(&key);
            for part in [&account, &attribute, &value] {
                hasher.write(part.as_bytes());
                hasher.write(&[0xFF]);
            }
            let expected = u32::try_from(hasher.finish() & u64::from(u32::MAX)).unwrap();
            let mut tags = AccountTags::new(&key, &account);
            tags.tag("Other", "value");
            prop_assert_eq!(tags.tag(&attribute, &value), expected);
        }
    }
}
