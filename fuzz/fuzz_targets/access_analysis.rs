//! Two policies, parted by a NUL: what is found must hold, and every text is validated and read as an export in peace.
#![no_main]

use access::estate::Estate;
use access::validation::{ValidatedType, validate};
use libfuzzer_sys::fuzz_target;
use policy::{Policy, PolicyKind, ResourceKind};

fuzz_target!(|text: &str| {
    let (new_text, old_text) = text.split_once('\0').unwrap_or((text, ""));
    for kind in [PolicyKind::Identity, PolicyKind::Resource(ResourceKind::Standard)] {
        let (new, old) = (Policy::parse_stored(new_text, kind), Policy::parse_stored(old_text, kind));
        for finding in access::new_access(&new, &old, &[]).findings {
            assert!(finding.witness.is_allowed_by(&new) && !finding.witness.is_allowed_by(&old));
        }
    }
    let _ = validate(new_text, ValidatedType::Resource);
    let _ = Estate::parse(new_text);
});
