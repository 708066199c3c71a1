//! DPoP proofs: any text is read in peace, and what no key signed proves nothing.
#![no_main]

use federation::dpop::Dpop;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(proof) = Dpop::verify(text) {
        assert!(!proof.thumbprint.is_empty() && !proof.identifier.is_empty());
    }
});
