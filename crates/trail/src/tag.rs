//! Tags: keyed hashes of what lookups ask for. They stand outside the seal, so that an index can be made and searched without opening events,
//! and tell who has no key only which events share a value.

use siphasher::sip::SipHasher24;
use std::hash::Hasher as _;

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

/// Makes the tags of one account.
struct AccountTags {
    /// Has taken the account in.
    begun: SipHasher24,
}

impl AccountTags {
    fn new(key: &TagKey, account: &str) -> Self {
        let mut begun = SipHasher24::new_with_key(key);
        part(&mut begun, account);
        Self { begun }
    }

    fn tag(&self, attribute: &str, value: &str) -> Tag {
        let mut hasher = self.begun;
        part(&mut hasher, attribute);
        part(&mut hasher, value);
        let [_, _, _, _, a, b, c, d] = hasher.finish().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

fn part(hasher: &mut SipHasher24, part: &str) {
    hasher.write(part.as_bytes());
    hasher.write(&[0xFF]);
}

/// All tags of an event, each once.
pub(crate) fn tags(key: &TagKey, event: &Event, denied: bool) -> Vec<Tag> {
    let account = AccountTags::new(key, &event.recipient_account_id);
    let of = |attribute: &str, value: &str| account.tag(attribute, value);
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
