//! A convolution over embeddings: filters of two widths, their maximum and the mean of the embeddings, one hidden layer, the heads.

use std::ops::Range;

use super::embedding::DIMENSIONS;
use super::linear::{f32_at, quantised};
use super::{HEADS, Logits};

/// Filters of each width.
pub const FILTERS: usize = 32;
/// Pieces that a filter spans.
pub const WIDTHS: [usize; 2] = [3, 5];
/// Numbers behind the pooling: a maximum for each filter and a mean for each dimension.
pub const POOLED: usize = FILTERS * WIDTHS.len() + DIMENSIONS;
/// Units of the hidden layer.
pub const HIDDEN: usize = 32;

const MAGIC: &[u8; 8] = b"BWCNV001";

/// A layer: `outputs` numbers from each input, by input then output.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// One for each output.
    pub bias: Vec<f32>,
    /// By input, then by output.
    pub weights: Vec<f32>,
}

impl Layer {
    /// Adds the layer's value for an input to `target`, which begins as zero.
    pub fn apply(&self, input: &[f32], target: &mut [f32]) {
        target.copy_from_slice(&self.bias);
        for (value, row) in input.iter().zip(self.weights.chunks_exact(target.len())) {
            for (sum, weight) in target.iter_mut().zip(row) {
                *sum += value * weight;
            }
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let scale = self.weights.iter().fold(1e-6_f32, |most, weight| most.max(weight.abs())) / 127.0;
        out.extend(scale.to_le_bytes());
        out.extend(self.bias.iter().flat_map(|bias| bias.to_le_bytes()));
        out.extend(self.weights.iter().map(|weight| quantised(weight / scale)));
    }

    fn parse(bytes: &mut &[u8], inputs: usize, outputs: usize) -> Option<Self> {
        let scale = f32_at(bytes, 0)?;
        let bias = (0..outputs).map(|at| f32_at(bytes, 4 + at * 4)).collect::<Option<Vec<_>>>()?;
        let from = 4 + outputs * 4;
        let body = bytes.get(from..from + inputs * outputs)?;
        let weights = body.iter().map(|byte| f32::from(byte.cast_signed()) * scale).collect();
        *bytes = bytes.get(from + inputs * outputs..)?;
        Some(Self { bias, weights })
    }
}

/// The weights.
#[derive(Clone, Debug, Default)]
pub struct Convolution {
    /// One for each width.
    pub filters: Vec<Layer>,
    /// From what is pooled to the hidden layer.
    pub hidden: Layer,
    /// From the hidden layer to the heads.
    pub heads: Layer,
}

impl Convolution {
    /// Reads the file form; `None` if it is not one of this build.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let filters = WIDTHS.iter().map(|width| Layer::parse(&mut rest, width * DIMENSIONS, FILTERS)).collect::<Option<Vec<_>>>()?;
        let hidden = Layer::parse(&mut rest, POOLED, HIDDEN)?;
        let heads = Layer::parse(&mut rest, HIDDEN, HEADS)?;
        rest.is_empty().then_some(Self { filters, hidden, heads })
    }

    /// Writes the file form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for layer in self.filters.iter().chain([&self.hidden, &self.heads]) {
            layer.encode(&mut out);
        }
        out
    }

    /// What each filter says at each piece.
    pub fn activations(&self, rows: &[f32]) -> Activations {
        let count = (rows.len() / DIMENSIONS).max(1);
        let widest = WIDTHS.iter().copied().max().unwrap_or(1);
        let mut padded = rows.to_vec();
        padded.resize((count + widest - 1) * DIMENSIONS, 0.0);
        let each = |(layer, width): (&Layer, usize)| {
            let window = |at: usize| padded.get(at * DIMENSIONS..(at + width) * DIMENSIONS).unwrap_or_default();
            (0..count).map(|at| filtered(layer, window(at))).collect()
        };
        Activations { values: self.filters.iter().zip(WIDTHS).map(each).collect(), rows: rows.to_vec() }
    }

    /// What is pooled from rows of embeddings, and for each filter the piece at which its maximum begins.
    pub fn pool(&self, rows: &[f32]) -> (Vec<f32>, Vec<usize>) {
        self.activations(rows).pool(0..(rows.len() / DIMENSIONS).max(1))
    }

    /// Log odds of what is pooled.
    pub fn decide(&self, pooled: &[f32]) -> Logits {
        let mut hidden = [0.0; HIDDEN];
        self.hidden.apply(pooled, &mut hidden);
        for value in &mut hidden {
            *value = value.max(0.0);
        }
        let mut out = [0.0; HEADS];
        self.heads.apply(&hidden, &mut out);
        out
    }

    /// Log odds of rows of embeddings.
    pub fn logits(&self, rows: &[f32]) -> Logits {
        self.decide(&self.pool(rows).0)
    }
}

/// One position of all filters of a width. The sums have a fixed length, so that they stay in registers: this is the hottest loop of the crate.
fn filtered(layer: &Layer, window: &[f32]) -> [f32; FILTERS] {
    let mut sums = [0.0_f32; FILTERS];
    for (sum, bias) in sums.iter_mut().zip(&layer.bias) {
        *sum = *bias;
    }
    for (value, row) in window.iter().zip(layer.weights.as_chunks::<FILTERS>().0) {
        for (sum, weight) in sums.iter_mut().zip(row) {
            *sum += value * weight;
        }
    }
    sums
}

/// What each filter says at each piece of a text, and the embeddings themselves.
#[derive(Clone, Debug)]
pub struct Activations {
    /// By width, then by piece.
    values: Vec<Vec<[f32; FILTERS]>>,
    rows: Vec<f32>,
}

impl Activations {
    /// The maxima of the filters and the mean of the embeddings over a range of pieces, and the piece of each maximum.
    pub fn pool(&self, pieces: Range<usize>) -> (Vec<f32>, Vec<usize>) {
        let mut pooled = Vec::with_capacity(POOLED);
        let mut places = Vec::with_capacity(FILTERS * WIDTHS.len());
        for values in &self.values {
            let mut best = [0.0_f32; FILTERS];
            let mut place = [usize::MAX; FILTERS];
            for (at, value) in values.iter().enumerate().take(pieces.end).skip(pieces.start) {
                for ((best, place), value) in best.iter_mut().zip(&mut place).zip(value) {
                    if value > best {
                        *best = *value;
                        *place = at;
                    }
                }
            }
            pooled.extend(best);
            places.extend(place);
        }
        let mut mean = [0.0_f32; DIMENSIONS];
        let rows = self.rows.as_chunks::<DIMENSIONS>().0;
        for row in rows.iter().take(pieces.end).skip(pieces.start) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += value;
            }
        }
        let norm = super::linear::root(pieces.len()).powi(2);
        pooled.extend(mean.iter().map(|sum| sum / norm));
        (pooled, places)
    }
}
