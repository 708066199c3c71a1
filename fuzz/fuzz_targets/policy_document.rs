//! Any text as a policy document of each kind, as written and as stored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::{Policy, PolicyKind, ResourceKind};

fuzz_target!(|text: &str| {
    for kind in [
        PolicyKind::Identity,
        PolicyKind::Boundary,
        PolicyKind::Session,
        PolicyKind::Resource(ResourceKind::S3Bucket),
        PolicyKind::Trust,
        PolicyKind::KeyPolicy,
        PolicyKind::ServiceControl,
        PolicyKind::ResourceControl,
        PolicyKind::VpcEndpoint,
    ] {
        let _ = Policy::parse(text, kind);
        let _ = Policy::parse_stored(text, kind).keys_mentioned();
    }
});
