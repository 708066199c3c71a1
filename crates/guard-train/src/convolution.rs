//! Training of the convolution: Adam, drop-out on what is pooled and on pieces, all heads together.

use guard::model::{Convolution, DIMENSIONS, Embeddings, FILTERS, HEADS, HIDDEN, Layer, PIECES_MAX, POOLED, WIDTHS, WordPieces};

use crate::example::Example;
use crate::linear::sigmoid;
use crate::random::Random;

const BATCH: usize = 16;
const STEP: f32 = 0.002;
const DROP: f32 = 0.25;
const DROP_PIECE: f32 = 0.08;
const DECAY: f32 = 1e-4;

/// A layer with its moments.
struct Trained {
    gradient: Layer,
    first: Layer,
    second: Layer,
}

fn layer(inputs: usize, outputs: usize, random: &mut Random) -> Layer {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let range = (6.0 / (inputs + outputs) as f32).sqrt();
    Layer { bias: vec![0.0; outputs], weights: (0..inputs * outputs).map(|_| (random.unit() * 2.0 - 1.0) * range).collect() }
}

fn zero(like: &Layer) -> Layer {
    Layer { bias: vec![0.0; like.bias.len()], weights: vec![0.0; like.weights.len()] }
}

impl Trained {
    fn new(like: &Layer) -> Self {
        Self { gradient: zero(like), first: zero(like), second: zero(like) }
    }

    fn step(&mut self, layer: &mut Layer, rate: f32, round: i32, decay: f32) {
        let (correct_first, correct_second) = (1.0 - 0.9_f32.powi(round), 1.0 - 0.999_f32.powi(round));
        let update = |value: &mut f32, gradient: &mut f32, first: &mut f32, second: &mut f32, decay: f32| {
            *first = 0.9 * *first + 0.1 * *gradient;
            *second = 0.999 * *second + 0.001 * *gradient * *gradient;
            *value -= rate * ((*first / correct_first) / ((*second / correct_second).sqrt() + 1e-8) + decay * *value);
            *gradient = 0.0;
        };
        for (((value, gradient), first), second) in
            layer.weights.iter_mut().zip(&mut self.gradient.weights).zip(&mut self.first.weights).zip(&mut self.second.weights)
        {
            update(value, gradient, first, second, decay);
        }
        for (((value, gradient), first), second) in
            layer.bias.iter_mut().zip(&mut self.gradient.bias).zip(&mut self.first.bias).zip(&mut self.second.bias)
        {
            update(value, gradient, first, second, 0.0);
        }
    }
}

/// The pieces of each example, computed once.
pub(crate) fn pieces(examples: &[Example], words: &WordPieces) -> Vec<Vec<u32>> {
    let cut = |example: &Example| words.cut(&example.text, PIECES_MAX).iter().map(|piece| u32::try_from(piece.id).unwrap_or(0)).collect();
    examples.iter().map(cut).collect()
}

/// Trains on the examples whose places are given.
#[allow(
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::needless_range_loop,
    reason = "places come from the caller's own range"
)]
pub(crate) fn train(
    examples: &[Example],
    pieces: &[Vec<u32>],
    embeddings: &Embeddings,
    places: &[usize],
    epochs: usize,
    seed: u64,
) -> Convolution {
    let mut random = Random::new(seed);
    let mut model = Convolution {
        filters: WIDTHS.iter().map(|width| layer(width * DIMENSIONS, FILTERS, &mut random)).collect(),
        hidden: layer(POOLED, HIDDEN, &mut random),
        heads: layer(HIDDEN, HEADS, &mut random),
    };
    let mut filters: Vec<Trained> = model.filters.iter().map(Trained::new).collect();
    let (mut hidden, mut heads) = (Trained::new(&model.hidden), Trained::new(&model.heads));
    let mut order = places.to_vec();
    let rounds = order.len().div_ceil(BATCH) * epochs;
    let mut round = 0_i32;
    for _ in 0..epochs {
        random.shuffle(&mut order);
        for batch in order.chunks(BATCH) {
            for place in batch {
                let example = &examples[*place];
                let ids = pieces[*place].iter().map(|id| if random.chance(DROP_PIECE) { usize::MAX / 1024 } else { *id as usize });
                let rows = embeddings.rows(ids);
                let (mut pooled, at) = model.pool(&rows);
                let keep: Vec<f32> = (0..POOLED).map(|_| if random.chance(DROP) { 0.0 } else { 1.0 / (1.0 - DROP) }).collect();
                for (value, keep) in pooled.iter_mut().zip(&keep) {
                    *value *= keep;
                }
                let mut inner = vec![0.0; HIDDEN];
                model.hidden.apply(&pooled, &mut inner);
                for value in &mut inner {
                    *value = value.max(0.0);
                }
                let mut logits = [0.0; HEADS];
                model.heads.apply(&inner, &mut logits);
                let mut slope = [0.0_f32; HEADS];
                for head in 0..HEADS {
                    if let Some(label) = example.labels[head] {
                        slope[head] = (sigmoid(logits[head]) - label) * example.weight / BATCH as f32;
                    }
                }
                let mut inner_slope = vec![0.0_f32; HIDDEN];
                for unit in 0..HIDDEN {
                    for head in 0..HEADS {
                        heads.gradient.weights[unit * HEADS + head] += inner[unit] * slope[head];
                        inner_slope[unit] += model.heads.weights[unit * HEADS + head] * slope[head];
                    }
                    if inner[unit] <= 0.0 {
                        inner_slope[unit] = 0.0;
                    }
                }
                for head in 0..HEADS {
                    heads.gradient.bias[head] += slope[head];
                }
                let mut pooled_slope = vec![0.0_f32; FILTERS * WIDTHS.len()];
                for input in 0..POOLED {
                    let row = &mut hidden.gradient.weights[input * HIDDEN..(input + 1) * HIDDEN];
                    for (target, slope) in row.iter_mut().zip(&inner_slope) {
                        *target += pooled[input] * slope;
                    }
                    if input < pooled_slope.len() && keep[input] > 0.0 {
                        let weights = &model.hidden.weights[input * HIDDEN..(input + 1) * HIDDEN];
                        pooled_slope[input] =
                            keep[input] * weights.iter().zip(&inner_slope).map(|(weight, slope)| weight * slope).sum::<f32>();
                    }
                }
                for (target, slope) in hidden.gradient.bias.iter_mut().zip(&inner_slope) {
                    *target += slope;
                }
                for (which, width) in WIDTHS.iter().enumerate() {
                    for filter in 0..FILTERS {
                        let (own, start) = (pooled_slope[which * FILTERS + filter], at[which * FILTERS + filter]);
                        if own == 0.0 || start == usize::MAX {
                            continue;
                        }
                        filters[which].gradient.bias[filter] += own;
                        let from = start * DIMENSIONS;
                        let window = rows.get(from..rows.len().min(from + width * DIMENSIONS)).unwrap_or_default();
                        for (input, value) in window.iter().enumerate() {
                            filters[which].gradient.weights[input * FILTERS + filter] += own * value;
                        }
                    }
                }
            }
            round += 1;
            let rate = STEP * (1.0 - round as f32 / (rounds as f32 + 1.0)).max(0.02);
            for (layer, trained) in model.filters.iter_mut().zip(&mut filters) {
                trained.step(layer, rate, round, DECAY);
            }
            hidden.step(&mut model.hidden, rate, round, DECAY);
            heads.step(&mut model.heads, rate, round, DECAY);
        }
    }
    model
}
