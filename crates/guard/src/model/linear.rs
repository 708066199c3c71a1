//! Linear heads over hashed n-grams.

use super::ngram::BUCKETS;
use super::{HEADS, Logits};

const MAGIC: &[u8; 8] = b"BWLIN001";

/// The heads: a bias, a scale and a signed byte for each bucket.
#[derive(Clone, Debug)]
pub struct Linear {
    heads: Vec<(f32, f32)>,
    /// By bucket, then by head: one place in memory for each n-gram.
    weights: Vec<[i8; 8]>,
}

pub(super) fn f32_at(bytes: &[u8], at: usize) -> Option<f32> {
    bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map(f32::from_le_bytes)
}

impl Linear {
    /// Reads the file form; `None` if it is not one of this build.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let heads = (0..HEADS).map(|head| Some((f32_at(rest, head * 8)?, f32_at(rest, head * 8 + 4)?))).collect::<Option<Vec<_>>>()?;
        let body = rest.get(HEADS * 8..)?;
        let weights: Vec<[i8; 8]> = body
            .chunks_exact(HEADS)
            .map(|row| {
                let mut out = [0_i8; 8];
                for (target, byte) in out.iter_mut().zip(row) {
                    *target = byte.cast_signed();
                }
                out
            })
            .collect();
        let wanted = usize::try_from(BUCKETS).ok()?;
        (weights.len() == wanted && body.len() == wanted * HEADS).then_some(Self { heads, weights })
    }

    /// Writes the file form from full weights, by bucket then head, and a bias for each head.
    pub fn encode(bias: &Logits, weights: &[Logits]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let largest = |head: usize| weights.iter().filter_map(|row| row.get(head)).fold(1e-6_f32, |most, weight| most.max(weight.abs()));
        let scales: Vec<f32> = (0..HEADS).map(|head| largest(head) / 127.0).collect();
        for (bias, scale) in bias.iter().zip(&scales) {
            out.extend(bias.to_le_bytes());
            out.extend(scale.to_le_bytes());
        }
        for row in weights {
            out.extend(row.iter().zip(&scales).map(|(weight, scale)| quantised(weight / scale)));
        }
        out
    }

    /// Log odds of a set of buckets. The sum is divided by the root of their number, so that length says little.
    pub fn logits(&self, buckets: &[u32]) -> Logits {
        let mut sums = [0_i32; 8];
        for row in buckets.iter().filter_map(|bucket| self.weights.get(usize::try_from(*bucket).ok()?)) {
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += i32::from(*weight);
            }
        }
        let norm = root(buckets.len());
        let mut out = [0.0; HEADS];
        for ((target, sum), (bias, scale)) in out.iter_mut().zip(sums).zip(&self.heads) {
            *target = bias + scale * small(sum) / norm;
        }
        out
    }
}

/// The root of a count, at least 1.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^24")]
pub(super) fn root(count: usize) -> f32 {
    (count.max(1) as f32).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "sums of some thousand bytes")]
fn small(sum: i32) -> f32 {
    sum as f32
}

/// A byte from -127 to 127.
#[expect(clippy::cast_possible_truncation, reason = "clamped to the range of the type")]
pub(super) fn quantised(value: f32) -> u8 {
    (value.round().clamp(-127.0, 127.0) as i8).cast_unsigned()
}
