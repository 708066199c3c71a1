//! Matrices of weights in the types that files have them in, and their product with a vector.
//!
//! Source: ggml's block formats. A block is 32 weights with a scale (and, in `Q4_1`, an offset). The vector is made of sixteen-bit
//! integers first, so that the inner loop is on small integers, which any processor multiplies many at a time. Eight bits would be faster, but
//! a small model's first choices lie so close together that its answers changed ("What is the capital of France?" among them).

use crate::gguf::{File, FileError, TensorBytes};

/// Weights of a block.
pub(crate) const BLOCK: usize = 32;
const HALF: usize = BLOCK / 2;

const F32: u32 = 0;
const F16: u32 = 1;
const Q4_0: u32 = 2;
const Q4_1: u32 = 3;
const Q8_0: u32 = 8;

/// Weights and bytes of a block of a type.
pub(crate) fn block(kind: u32) -> Option<(usize, usize)> {
    match kind {
        F32 => Some((1, 4)),
        F16 => Some((1, 2)),
        Q4_0 => Some((BLOCK, 18)),
        Q4_1 => Some((BLOCK, 20)),
        Q8_0 => Some((BLOCK, 34)),
        _ => None,
    }
}

/// A number of sixteen bits.
pub(crate) fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let (sign, exponent, fraction) = ((bits & 0x8000) << 16, (bits >> 10) & 0x1F, bits & 0x3FF);
    let bits = match (exponent, fraction) {
        (0, 0) => sign,
        (0, _) => {
            // A subnormal number: its fraction is shifted until it has a leading one.
            let shift = fraction.leading_zeros() - 21;
            sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3FF) << 13)
        }
        (31, _) => sign | 0x7F80_0000 | (fraction << 13),
        _ => sign | ((exponent + 112) << 23) | (fraction << 13),
    };
    f32::from_bits(bits)
}

/// A vector in sixteen bits a number.
pub(crate) struct Quantized {
    blocks: Vec<QuantizedBlock>,
}

struct QuantizedBlock {
    scale: f32,
    /// Of the integers.
    sum: f32,
    numbers: [i16; BLOCK],
}

impl Quantized {
    pub(crate) fn of(vector: &[f32]) -> Self {
        Self { blocks: vector.chunks(BLOCK).map(QuantizedBlock::of).collect() }
    }
}

impl QuantizedBlock {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the number is rounded and within 32,767 by construction, their sum below 2^24"
    )]
    fn of(chunk: &[f32]) -> Self {
        let largest = chunk.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
        let scale = largest / 32_767.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut numbers = [0_i16; BLOCK];
        let mut sum = 0_i32;
        for (to, number) in numbers.iter_mut().zip(chunk) {
            *to = (number * inverse).round() as i16;
            sum += i32::from(*to);
        }
        Self { scale, sum: sum as f32, numbers }
    }
}

struct FourBits {
    scale: f32,
    offset: f32,
    /// The first half of the block is in the low halves of the bytes.
    packed: [u8; HALF],
}

struct EightBits {
    scale: f32,
    numbers: [i8; BLOCK],
}

enum Rows {
    Floats(Vec<f32>),
    Four(Vec<FourBits>),
    Eight(Vec<EightBits>),
}

/// A matrix: `rows` vectors of `columns` weights.
pub(crate) struct Matrix {
    rows: usize,
    columns: usize,
    weights: Rows,
}

impl Matrix {
    pub(crate) fn read(file: &File<'_>, name: &str, rows: usize, columns: usize) -> Result<Self, FileError> {
        let tensor = file.tensor(name)?;
        if tensor.dimensions != [columns, rows] || !columns.is_multiple_of(BLOCK) {
            return Err(FileError::Tensor(name.to_owned()));
        }
        Ok(Self { rows, columns, weights: weights(&tensor) })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The row at a position, as numbers.
    pub(crate) fn row(&self, at: usize, out: &mut Vec<f32>) {
        out.clear();
        let blocks = self.columns / BLOCK;
        match &self.weights {
            Rows::Floats(all) => out.extend(all.iter().skip(at * self.columns).take(self.columns)),
            Rows::Four(all) => {
                for block in all.iter().skip(at * blocks).take(blocks) {
                    out.extend(block.packed.iter().map(|byte| block.scale * f32::from(byte & 15) + block.offset));
                    out.extend(block.packed.iter().map(|byte| block.scale * f32::from(byte >> 4) + block.offset));
                }
            }
            Rows::Eight(all) => {
                for block in all.iter().skip(at * blocks).take(blocks) {
                    out.extend(block.numbers.iter().map(|number| block.scale * f32::from(*number)));
                }
            }
        }
    }

    /// The product with a vector, which is given in both forms.
    pub(crate) fn times(&self, vector: &[f32], quantized: &Quantized, out: &mut Vec<f32>) {
        out.clear();
        let blocks = self.columns / BLOCK;
        match &self.weights {
            Rows::Floats(all) => {
                out.extend(all.chunks_exact(self.columns).map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>()));
            }
            Rows::Four(all) => out.extend(all.chunks_exact(blocks).map(|row| dot_four(row, &quantized.blocks))),
            Rows::Eight(all) => out.extend(all.chunks_exact(blocks).map(|row| dot_eight(row, &quantized.blocks))),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a block's products sum up to less than 2^24")]
fn dot_four(row: &[FourBits], vector: &[QuantizedBlock]) -> f32 {
    let mut sum = 0.0;
    for (weights, numbers) in row.iter().zip(vector) {
        let (low, high) = numbers.numbers.split_at(HALF);
        let mut products = 0_i32;
        for ((byte, first), second) in weights.packed.iter().zip(low).zip(high) {
            products += i32::from(byte & 15) * i32::from(*first) + i32::from(byte >> 4) * i32::from(*second);
        }
        sum += numbers.scale * (weights.scale * products as f32 + weights.offset * numbers.sum);
    }
    sum
}

#[expect(clippy::cast_precision_loss, reason = "of a sum up to 2^27 the last bits are far below what the weights' own eight bits lose")]
fn dot_eight(row: &[EightBits], vector: &[QuantizedBlock]) -> f32 {
    let mut sum = 0.0;
    for (weights, numbers) in row.iter().zip(vector) {
        let products: i32 = weights.numbers.iter().zip(&numbers.numbers).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        sum += numbers.scale * weights.scale * products as f32;
    }
    sum
}

fn weights(tensor: &TensorBytes<'_>) -> Rows {
    match tensor.kind {
        Q4_0 | Q4_1 => Rows::Four(tensor.bytes.chunks_exact(if tensor.kind == Q4_0 { 18 } else { 20 }).filter_map(four_bits).collect()),
        Q8_0 => Rows::Eight(tensor.bytes.chunks_exact(34).filter_map(eight_bits).collect()),
        _ => Rows::Floats(floats(tensor)),
    }
}

fn four_bits(bytes: &[u8]) -> Option<FourBits> {
    let (scale, rest) = bytes.split_first_chunk::<2>()?;
    let scale = half(*scale);
    // Without an offset of its own, a block's numbers are from -8 to 7.
    let (offset, packed) = match rest.len() {
        HALF => (scale * -8.0, rest),
        _ => rest.split_first_chunk::<2>().map(|(offset, packed)| (half(*offset), packed))?,
    };
    Some(FourBits { scale, offset, packed: packed.try_into().ok()? })
}

fn eight_bits(bytes: &[u8]) -> Option<EightBits> {
    let (scale, rest) = bytes.split_first_chunk::<2>()?;
    let numbers: [u8; BLOCK] = rest.try_into().ok()?;
    Some(EightBits { scale: half(*scale), numbers: numbers.map(|byte| i8::from_le_bytes([byte])) })
}

/// Numbers of a tensor that is not in blocks.
fn floats(tensor: &TensorBytes<'_>) -> Vec<f32> {
    if tensor.kind == F16 {
        return tensor.bytes.chunks_exact(2).filter_map(|bytes| bytes.try_into().ok().map(half)).collect();
    }
    tensor.bytes.chunks_exact(4).filter_map(|bytes| bytes.try_into().ok().map(f32::from_le_bytes)).collect()
}

/// A vector of the model.
pub(crate) fn vector(file: &File<'_>, name: &str, length: usize) -> Result<Vec<f32>, FileError> {
    let tensor = file.tensor(name)?;
    if tensor.dimensions != [length] || !matches!(tensor.kind, F32 | F16) {
        return Err(FileError::Tensor(name.to_owned()));
    }
    Ok(floats(&tensor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read() {
        for (bytes, number) in [([0, 0x3C], 1.0), ([0, 0xC0], -2.0), ([0, 0], 0.0), ([1, 0], 5.960_464_5e-8), ([0xFF, 0x7B], 65_504.0)] {
            assert!((half(bytes) - number).abs() <= number.abs() * 1e-6, "{bytes:?}");
        }
        assert!(half([0, 0x7C]).is_infinite());
    }

    #[test]
    fn products_in_blocks_are_near_the_exact_ones() {
        let vector: Vec<f32> = (0..64_u8).map(|number| (f32::from(number) - 31.0) / 7.0).collect();
        let block = |scale: f32, offset: f32| FourBits {
            scale,
            offset,
            packed: std::array::from_fn(|at| u8::try_from(at * 16 + 15 - at).unwrap()),
        };
        let matrix = Matrix { rows: 1, columns: 64, weights: Rows::Four(vec![block(0.5, -3.0), block(0.25, 1.0)]) };
        let mut row = Vec::new();
        matrix.row(0, &mut row);
        let exact: f32 = row.iter().zip(&vector).map(|(a, b)| a * b).sum();
        let mut out = Vec::new();
        matrix.times(&vector, &Quantized::of(&vector), &mut out);
        assert!((out[0] - exact).abs() < exact.abs() * 1e-4 + 1e-3, "{} {exact}", out[0]);
    }
}
