//! A convolution over embeddings: filters of two widths, their maximum and the mean of the embeddings, one hidden layer, the heads.

use std::ops::Range;

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

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
        padded.resize((count.next_multiple_of(BESIDE) + widest - 1) * DIMENSIONS, 0.0);
        let each = |(layer, width): (&Layer, usize)| {
            let mut values = vec![[0.0; FILTERS]; count.next_multiple_of(BESIDE)];
            Filtered { layer, padded: &padded, inputs: width * DIMENSIONS, values: &mut values }.dispatch();
            values.truncate(count);
            values
        };
        let values = self.filters.iter().zip(WIDTHS).map(each).collect();
        padded.truncate(rows.len());
        Activations { values, rows: padded }
    }

    /// What is pooled from rows of embeddings, and for each filter the piece at which its maximum begins.
    pub fn pool(&self, rows: &[f32]) -> (Vec<f32>, Vec<usize>) {
        let activations = self.activations(rows);
        let pooled = activations.pool(0..(rows.len() / DIMENSIONS).max(1));
        let places = activations.places(&pooled);
        (pooled, places)
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
        self.decide(&self.activations(rows).pool(0..(rows.len() / DIMENSIONS).max(1)))
    }
}

/// Positions that are computed beside each other: weights that were loaded serve all of them, and their sums stay in registers.
const BESIDE: usize = 4;
/// Registers for the sums of a position.
const REGISTERS: usize = 2;

/// All positions of all filters of a width, with the widest instructions that the processor has: this is the hottest loop of the crate.
struct Filtered<'a> {
    layer: &'a Layer,
    padded: &'a [f32],
    /// Numbers that a filter reads.
    inputs: usize,
    /// By position; a whole number of blocks.
    values: &'a mut [[f32; FILTERS]],
}

impl SimdOp for Filtered<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let ops = isa.f32();
        let lanes = ops.len() * REGISTERS;
        let weights = self.layer.weights.as_chunks::<FILTERS>().0;
        let blocks = self.values.as_chunks_mut::<BESIDE>().0.iter_mut();
        for (block, rows) in blocks.zip(self.padded.windows(self.inputs + (BESIDE - 1) * DIMENSIONS).step_by(BESIDE * DIMENSIONS)) {
            let [first, second, third, fourth] = [0, 1, 2, 3].map(|place| rows.get(place * DIMENSIONS..).unwrap_or_default());
            for from in (0..FILTERS).step_by(lanes) {
                let Some(bias) = self.layer.bias.get(from..from + lanes) else { continue };
                let mut sums = [ops.load_many::<REGISTERS>(bias); BESIDE];
                for ((((first, second), third), fourth), row) in first.iter().zip(second).zip(third).zip(fourth).zip(weights) {
                    let Some(row) = row.get(from..from + lanes) else { continue };
                    let weights = ops.load_many::<REGISTERS>(row);
                    for (sums, value) in sums.iter_mut().zip([first, second, third, fourth]) {
                        let value = ops.splat(*value);
                        for (sum, weight) in sums.iter_mut().zip(weights) {
                            *sum = ops.mul_add(value, weight, *sum);
                        }
                    }
                }
                for (target, sums) in block.iter_mut().zip(sums) {
                    let target = target.get_mut(from..from + lanes).unwrap_or_default();
                    for (target, sum) in target.chunks_exact_mut(ops.len()).zip(sums) {
                        ops.store(sum, target);
                    }
                }
            }
        }
    }
}

/// What each filter says at each piece of a text, and the embeddings themselves.
#[derive(Clone, Debug)]
pub struct Activations {
    /// By width, then by piece.
    values: Vec<Vec<[f32; FILTERS]>>,
    rows: Vec<f32>,
}

impl Activations {
    /// The maxima of the filters and the mean of the embeddings over a range of pieces.
    pub fn pool(&self, pieces: Range<usize>) -> Vec<f32> {
        let mut pooled = Vec::with_capacity(POOLED);
        for values in &self.values {
            let mut best = [0.0_f32; FILTERS];
            for value in values.iter().take(pieces.end).skip(pieces.start) {
                for (best, value) in best.iter_mut().zip(value) {
                    *best = if value > best { *value } else { *best };
                }
            }
            pooled.extend(best);
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
        pooled
    }

    /// The first piece at which each filter says what was pooled of it; `usize::MAX` where it says nothing. For the trainer.
    fn places(&self, pooled: &[f32]) -> Vec<usize> {
        let place = |values: &[[f32; FILTERS]], filter: usize, most: f32| {
            let is_most = |value: &[f32; FILTERS]| value.get(filter).is_some_and(|value| value.total_cmp(&most).is_eq());
            values.iter().position(is_most).filter(|_| most > 0.0).unwrap_or(usize::MAX)
        };
        let by_width = self.values.iter().zip(pooled.as_chunks::<FILTERS>().0);
        by_width.flat_map(|(values, most)| most.iter().enumerate().map(|(filter, most)| place(values, filter, *most))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without order between -1 and 1, the same each time.
    fn numbers(count: usize, seed: u16) -> Vec<f32> {
        let mut state = u32::from(seed) * 2 + 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u16::try_from(state >> 16).map(f32::from).unwrap_or_default() / 32_768.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn every_position_is_the_product_of_its_own_rows() {
        let layer = |inputs: usize, outputs: usize| Layer { bias: numbers(outputs, 3), weights: numbers(inputs * outputs, 5) };
        let model = Convolution {
            filters: WIDTHS.iter().map(|width| layer(width * DIMENSIONS, FILTERS)).collect(),
            hidden: layer(POOLED, HIDDEN),
            heads: layer(HIDDEN, HEADS),
        };
        for count in [0, 1, 2, 3, 4, 5, 7, 8, 33] {
            let rows = numbers(count * DIMENSIONS, 7);
            let activations = model.activations(&rows);
            assert_eq!(activations.rows, rows);
            for ((layer, width), values) in model.filters.iter().zip(WIDTHS).zip(&activations.values) {
                assert_eq!(values.len(), count.max(1));
                for (at, value) in values.iter().enumerate() {
                    let mut window = rows[(at * DIMENSIONS).min(rows.len())..((at + width) * DIMENSIONS).min(rows.len())].to_vec();
                    window.resize(width * DIMENSIONS, 0.0);
                    let mut expected = [0.0; FILTERS];
                    layer.apply(&window, &mut expected);
                    for (value, expected) in value.iter().zip(expected) {
                        assert!((value - expected).abs() < 1e-4, "{count} pieces, position {at}: {value} is not {expected}");
                    }
                }
            }
            let (pooled, places) = model.pool(&rows);
            for (which, (most, place)) in pooled.iter().zip(&places).enumerate() {
                let values = &activations.values[which / FILTERS];
                let highest = values.iter().map(|value| value[which % FILTERS]).fold(0.0, f32::max);
                assert_eq!(most.to_bits(), highest.to_bits());
                assert_eq!(*place == usize::MAX, highest == 0.0);
                assert!(values.get(*place).is_none_or(|value| value[which % FILTERS].to_bits() == most.to_bits()));
            }
        }
    }
}
