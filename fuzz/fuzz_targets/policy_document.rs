//! Any text as a policy document of each kind, as written and as stored.
#![no_main]

use std::collections::BTreeMap;

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
    // Names are exchanged for ids and back, and nothing else of the text changes.
    let by: BTreeMap<String, String> =
        policy::principal_names(text).into_iter().enumerate().map(|(at, name)| (name, format!("\0{at}"))).collect();
    let back = by.iter().map(|(name, id)| (id.clone(), name.clone())).collect();
    let stored = policy::with_principal_names(text, &by);
    let again = policy::with_principal_names(&stored, &back);
    assert_eq!(policy::principal_names(&again), policy::principal_names(text));
});
