//! Any text passes all detectors of `guard` without a panic, and every span is a piece of it.
#![no_main]

use guard::{Provenance, output_risks, score_content, score_grounding, score_prompt_attack};

libfuzzer_sys::fuzz_target!(|text: &str| {
    for provenance in [Provenance::User, Provenance::Data] {
        if let Some(span) = score_prompt_attack(text, provenance).span {
            assert!(text.get(span).is_some());
        }
    }
    for score in score_content(text).iter() {
        if let Some(span) = &score.span {
            assert!(text.get(span.clone()).is_some());
        }
    }
    for risk in output_risks(text, Some(text), &[text]) {
        assert!(text.get(risk.span).is_some());
    }
    let _ = score_grounding(&[text], Some(text), text);
});
