//! What a detector is worth.

/// The chance that an attack scores above a benign text.
#[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
pub(crate) fn auroc(positives: &[f32], negatives: &[f32]) -> f32 {
    let mut all: Vec<(f32, bool)> =
        positives.iter().map(|score| (*score, true)).chain(negatives.iter().map(|score| (*score, false))).collect();
    all.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (mut sum, mut below, mut at) = (0.0_f64, 0.0_f64, 0);
    while let Some((score, _)) = all.get(at) {
        let same: Vec<_> = all.iter().skip(at).take_while(|(other, _)| other.total_cmp(score).is_eq()).collect();
        let benign = same.iter().filter(|(_, is_positive)| !is_positive).count() as f64;
        let attacks = same.len() as f64 - benign;
        sum += attacks * (below + benign / 2.0);
        below += benign;
        at += same.len();
    }
    let pairs = positives.len() as f64 * negatives.len() as f64;
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
    let value = if pairs > 0.0 { (sum / pairs) as f32 } else { f32::NAN };
    value
}

/// The score that a share of the benign texts exceeds.
pub(crate) fn threshold(negatives: &[f32], share: f32) -> f32 {
    let mut sorted = negatives.to_vec();
    sorted.sort_by(|left, right| right.total_cmp(left));
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let place = (sorted.len() as f32 * share) as usize;
    sorted.get(place).copied().unwrap_or(f32::INFINITY)
}

/// The share of scores above a threshold.
#[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
pub(crate) fn above(scores: &[f32], threshold: f32) -> f32 {
    scores.iter().filter(|score| **score > threshold).count() as f32 / scores.len().max(1) as f32
}

/// Average precision.
#[expect(clippy::cast_precision_loss, reason = "counts of some thousands")]
pub(crate) fn average_precision(positives: &[f32], negatives: &[f32]) -> f32 {
    let mut all: Vec<(f32, bool)> =
        positives.iter().map(|score| (*score, true)).chain(negatives.iter().map(|score| (*score, false))).collect();
    all.sort_by(|left, right| right.0.total_cmp(&left.0));
    let (mut found, mut sum) = (0.0_f32, 0.0_f32);
    for (place, (_, is_positive)) in all.iter().enumerate() {
        if *is_positive {
            found += 1.0;
            sum += found / (place + 1) as f32;
        }
    }
    sum / found.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_of_known_lists() {
        assert!((auroc(&[0.9, 0.8], &[0.1, 0.2]) - 1.0).abs() < 1e-6);
        assert!((auroc(&[0.5], &[0.5]) - 0.5).abs() < 1e-6);
        assert!((average_precision(&[0.9, 0.1], &[0.5]) - 5.0 / 6.0).abs() < 1e-6);
        assert!((threshold(&[0.1, 0.2, 0.3, 0.4], 0.25) - 0.3).abs() < 1e-6);
        assert!((above(&[0.1, 0.4], 0.3) - 0.5).abs() < 1e-6);
    }
}
