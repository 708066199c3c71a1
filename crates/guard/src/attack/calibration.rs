//! Numbers that were set on development data; `weights/MODEL_CARD.md` has the operating points.

use std::ops::Range;

use super::Provenance;
use crate::confidence::Bands;

/// Weight of the n-grams' log odds.
pub(super) const LINEAR: f32 = 0.5;
/// Weight of the convolution's log odds.
pub(super) const CONVOLUTION: f32 = 0.5;
/// Added to all.
pub(super) const BIAS: f32 = -0.5;
/// Weight of the rules where no model reads.
pub(super) const RULES_ONLY: f32 = 8.0;
/// Added where no model reads.
pub(super) const RULES_BIAS: f32 = -4.0;

/// Weight of the rules' evidence (0 to 1) in log odds.
pub(super) fn rules(provenance: Provenance) -> f32 {
    match provenance {
        Provenance::User => 2.5,
        Provenance::Data => 2.0,
    }
}

/// Log odds of the cheap models between which the transformer stage is asked, too. Below them no text of the development sets came to be acted on; in
/// data it cannot, whatever the transformer says.
pub(super) fn grey(provenance: Provenance) -> Range<f32> {
    match provenance {
        Provenance::User => -2.5..6.0,
        Provenance::Data => -1.8..7.0,
    }
}

/// The transformer stage's log odds count up to here.
const DEEP_MOST: f32 = 8.0;

/// Log odds of all together.
pub(super) fn deep(provenance: Provenance, cheap: f32, deep: f32) -> f32 {
    let deep = deep.clamp(-DEEP_MOST, DEEP_MOST);
    match provenance {
        Provenance::User => 0.4 * cheap + 0.6 * deep,
        Provenance::Data => 0.7 * cheap + 0.35 * deep,
    }
}

/// The most that they can come to, whatever the transformer stage says.
pub(super) fn deep_most(provenance: Provenance, cheap: f32) -> f32 {
    deep(provenance, cheap, DEEP_MOST)
}

/// What the best of many windows must have more than a single one, in log odds.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^24")]
pub(super) fn allowance(window_count: usize) -> f32 {
    0.15 * (window_count.max(1) as f32).ln()
}

/// What code in data must have more than other data, in log odds.
pub(super) const CODE_ALLOWANCE: f32 = 1.0;

/// The log odds of the bands.
pub(super) fn bands(provenance: Provenance) -> Bands {
    match provenance {
        Provenance::User => USER,
        Provenance::Data => DATA,
    }
}

const USER: Bands = Bands { low: 0.8, medium: 2.0, high: 4.0 };
const DATA: Bands = Bands { low: 1.5, medium: 2.5, high: 4.0 };
