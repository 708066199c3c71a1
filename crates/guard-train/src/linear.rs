//! Training of the linear heads: stochastic gradient with one step size for each weight (Adagrad), L2 by decay at each use.

use guard::model::{BUCKETS, HEADS, Logits, ngrams};

use crate::example::Example;
use crate::random::Random;

pub(crate) struct LinearWeights {
    pub(crate) bias: Logits,
    pub(crate) weights: Vec<Logits>,
}

const EPOCHS: usize = 5;
const STEP: f32 = 0.35;
const DECAY: f32 = 2e-4;

pub(crate) fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// Features of each example, computed once, in order: sums of floats come out the same each time.
pub(crate) fn features(examples: &[Example]) -> Vec<Vec<u32>> {
    let sorted = |example: &Example| {
        let mut buckets = ngrams(&example.text);
        buckets.sort_unstable();
        buckets
    };
    examples.iter().map(sorted).collect()
}

/// Trains on the examples whose places are given.
#[allow(clippy::indexing_slicing, clippy::cast_precision_loss, reason = "places come from the caller's own range")]
pub(crate) fn train(examples: &[Example], features: &[Vec<u32>], places: &[usize], seed: u64) -> LinearWeights {
    let size = usize::try_from(BUCKETS).unwrap_or(0);
    let mut out = LinearWeights { bias: [0.0; HEADS], weights: vec![[0.0; HEADS]; size] };
    let mut squares = vec![[1e-2_f32; HEADS]; size];
    let mut bias_squares = [1e-2_f32; HEADS];
    let mut order = places.to_vec();
    let mut random = Random::new(seed);
    for _ in 0..EPOCHS {
        random.shuffle(&mut order);
        for place in &order {
            let (example, buckets) = (&examples[*place], &features[*place]);
            let norm = 1.0 / (buckets.len().max(1) as f32).sqrt();
            let mut logits = out.bias;
            for bucket in buckets {
                let row = &out.weights[*bucket as usize];
                for head in 0..HEADS {
                    logits[head] += row[head] * norm;
                }
            }
            let mut gradient = [0.0_f32; HEADS];
            for head in 0..HEADS {
                if let Some(label) = example.labels[head] {
                    gradient[head] = (sigmoid(logits[head]) - label) * example.weight;
                }
            }
            for head in 0..HEADS {
                if gradient[head] != 0.0 {
                    bias_squares[head] += gradient[head] * gradient[head];
                    out.bias[head] -= STEP * 0.3 * gradient[head] / bias_squares[head].sqrt();
                }
            }
            for bucket in buckets {
                let (row, square) = (&mut out.weights[*bucket as usize], &mut squares[*bucket as usize]);
                for head in 0..HEADS {
                    if example.labels[head].is_some() {
                        let slope = gradient[head] * norm + DECAY * row[head] * norm;
                        square[head] += slope * slope;
                        row[head] -= STEP * slope / square[head].sqrt();
                    }
                }
            }
        }
    }
    out
}
