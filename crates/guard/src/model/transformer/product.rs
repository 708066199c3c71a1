//! Products of rows of floats with matrices of signed bytes.
//!
//! Each row is rounded to whole numbers from 0 on with a scale and a zero of its own, the whole numbers are multiplied exactly, and the sums become
//! floats again. The zero is taken off here: the library mixes the zeros of rows up where there are more rows than it multiplies at once.

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;

use crate::model::wide::wide;

/// Numbers that are compared beside each other, so that the processor compares them at once.
const LANES: usize = 8;
/// Adding it rounds to a whole number, which then stands in the lowest bits.
const ROUNDING: f32 = 12_582_912.0;
/// The least scale: of a row of zeros.
const SCALE_MIN: f32 = 1e-12;

/// What multiplies. Finding out what the processor can do takes no time, and the library's types cannot be shared between threads.
pub(super) struct Products {
    bytes: GemmExecutor<u8, i8, i32>,
    pub(super) floats: GemmExecutor,
    /// The highest whole number of a row.
    levels: f32,
}

impl Products {
    pub(super) fn new() -> Self {
        let bytes = GemmExecutor::<u8, i8, i32>::new();
        // Where the processor adds two products in 16 bits, they must fit: twice 127 by 127 does.
        let levels = if bytes.may_saturate() { 127.0 } else { 255.0 };
        Self { bytes, floats: GemmExecutor::new(), levels }
    }

    /// Whether this processor adds in 16 bits.
    #[cfg(test)]
    pub(super) fn are_coarse(&self) -> bool {
        self.bytes.may_saturate()
    }

    /// As on a processor that adds in 16 bits.
    #[cfg(test)]
    pub(super) fn coarse() -> Self {
        Self { levels: 127.0, ..Self::new() }
    }
}

/// Rows as whole numbers, and room for their products.
#[derive(Default)]
pub(super) struct Rounded {
    numbers: Vec<u8>,
    /// By row: its scale, and the whole number that stands for zero.
    rows: Vec<(f32, f32)>,
    sums: Vec<i32>,
}

impl Rounded {
    #[inline(always)]
    fn take(&mut self, rows: &[f32], inputs: usize, levels: f32) {
        self.rows.clear();
        self.numbers.resize(rows.len(), 0);
        for (row, numbers) in rows.chunks_exact(inputs).zip(self.numbers.chunks_exact_mut(inputs)) {
            let (least, most) = span(row);
            let scale = ((most - least) / levels).max(SCALE_MIN);
            let inverse = scale.recip();
            let zero = (-least * inverse).round();
            for (target, value) in numbers.iter_mut().zip(row) {
                // The zero is rounded, so the ends may lie half a number outside, and would come out at the other end.
                let number = (value * inverse + zero).clamp(0.0, levels);
                let [low, ..] = (number + ROUNDING).to_le_bytes();
                *target = low;
            }
            self.rows.push((scale, zero));
        }
    }
}

/// The least and the highest number of a row and zero.
#[inline(always)]
fn span(row: &[f32]) -> (f32, f32) {
    let (mut least, mut most) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (parts, rest) = row.as_chunks::<LANES>();
    for part in parts {
        for ((least, most), value) in least.iter_mut().zip(&mut most).zip(part) {
            *least = if value < least { *value } else { *least };
            *most = if value > most { *value } else { *most };
        }
    }
    (least.iter().chain(rest).copied().fold(0.0, f32::min), most.iter().chain(rest).copied().fold(0.0, f32::max))
}

/// A matrix of signed bytes with a scale for each output, and a bias.
pub(super) struct Dense {
    weights: PackedBMatrix<i8>,
    /// By output: the scale, the sum of its bytes, the bias.
    outputs: Vec<Output>,
    inputs: usize,
}

#[derive(Clone, Copy)]
struct Output {
    scale: f32,
    total: f32,
    bias: f32,
}

/// A matrix as the file has it: bytes by output and input, and by output a scale and a bias.
#[derive(Default)]
pub(super) struct Written {
    pub(super) scales: Vec<f32>,
    pub(super) bytes: Vec<i8>,
    pub(super) bias: Vec<f32>,
}

impl Written {
    /// More outputs of the same inputs.
    pub(super) fn extend(&mut self, more: Self) {
        self.scales.extend(more.scales);
        self.bytes.extend(more.bytes);
        self.bias.extend(more.bias);
    }
}

impl Dense {
    pub(super) fn new(products: &Products, written: &Written, inputs: usize) -> Option<Self> {
        let view = NdTensorView::try_from_data([written.bias.len(), inputs], written.bytes.as_slice()).ok()?;
        let totals = written.bytes.chunks_exact(inputs).map(|row| whole(row.iter().map(|byte| i32::from(*byte)).sum()));
        let outputs = written.scales.iter().zip(totals).zip(&written.bias);
        Some(Self {
            weights: products.bytes.prepack_b(view.transposed()),
            outputs: outputs.map(|((scale, total), bias)| Output { scale: *scale, total, bias: *bias }).collect(),
            inputs,
        })
    }

    /// Rows of inputs become rows of outputs, which replace what is in `out`.
    pub(super) fn apply(&self, products: &Products, rows: &[f32], rounded: &mut Rounded, out: &mut Vec<f32>) -> Option<()> {
        wide(
            #[inline(always)]
            || rounded.take(rows, self.inputs, products.levels),
        );
        let count = rounded.rows.len();
        let numbers = count * self.outputs.len();
        rounded.sums.resize(numbers, 0);
        out.resize(numbers, 0.0);
        let view = NdTensorView::try_from_data([count, self.inputs], rounded.numbers.as_slice()).ok()?;
        let matrix = GemmInputB::Packed(&self.weights);
        products.bytes.gemm(&mut rounded.sums, GemmInputA::Unpacked(view), matrix, GemmOptions::default()).ok()?;
        wide(
            #[inline(always)]
            || self.floats(rounded, out),
        );
        Some(())
    }

    /// Makes floats of the sums.
    #[inline(always)]
    fn floats(&self, rounded: &Rounded, out: &mut [f32]) {
        let sums = rounded.sums.chunks_exact(self.outputs.len());
        for ((out, sums), (scale, zero)) in out.chunks_exact_mut(self.outputs.len()).zip(sums).zip(&rounded.rows) {
            for ((out, sum), of) in out.iter_mut().zip(sums).zip(&self.outputs) {
                *out = (whole(*sum) - zero * of.total) * (of.scale * scale) + of.bias;
            }
        }
    }
}

/// A sum of products of bytes: where it has more than 24 bits, what is cut off is far below the rounding of its inputs.
#[expect(clippy::cast_precision_loss, reason = "see above")]
#[inline(always)]
fn whole(sum: i32) -> f32 {
    sum as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without order, the same each time.
    fn numbers(count: usize, seed: u64) -> impl Iterator<Item = i16> {
        (0..count as u64).map(move |at| {
            let mixed = (at + seed * 7_919 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            i16::try_from(mixed % 255).unwrap() - 127
        })
    }

    /// The largest difference from the product of floats, in shares of the largest output.
    fn worst(products: &Products, count: usize, inputs: usize, outputs: usize) -> f32 {
        let written = Written {
            scales: numbers(outputs, 4).map(|number| 0.002 + f32::from(number) * 0.000_01).collect(),
            bytes: numbers(inputs * outputs, 1).map(|number| i8::try_from(number).unwrap()).collect(),
            bias: numbers(outputs, 2).map(|number| f32::from(number) / 100.0).collect(),
        };
        // Rows of another middle and width each: a zero of another row would show.
        let (mut rows, mut middle) = (Vec::new(), 0.0);
        for row in numbers(count * inputs, 3).collect::<Vec<_>>().chunks(inputs) {
            rows.extend(row.iter().map(|number| f32::from(*number) / 50.0 * (middle + 1.0) - middle));
            middle += 1.0;
        }
        let (mut rounded, mut out) = (Rounded::default(), vec![9.0; 3]);
        Dense::new(products, &written, inputs).unwrap().apply(products, &rows, &mut rounded, &mut out).unwrap();
        let (mut difference, mut most) = (0.0_f32, 0.0_f32);
        for (row, out) in rows.chunks_exact(inputs).zip(out.chunks_exact(outputs)) {
            for (place, out) in out.iter().enumerate() {
                let weights = &written.bytes[place * inputs..(place + 1) * inputs];
                let exact = row.iter().zip(weights).map(|(value, byte)| value * f32::from(*byte)).sum::<f32>() * written.scales[place]
                    + written.bias[place];
                difference = difference.max((exact - out).abs());
                most = most.max(exact.abs());
            }
        }
        difference / most
    }

    #[test]
    fn products_are_near_those_of_floats() {
        for (count, inputs, outputs) in [(1, 384, 384), (9, 384, 1_152), (70, 384, 96), (20, 1_536, 384)] {
            let fine = worst(&Products::new(), count, inputs, outputs);
            assert!(fine < 0.02, "{count} {inputs} {outputs}: {fine}");
            let coarse = worst(&Products::coarse(), count, inputs, outputs);
            assert!(coarse < 0.03, "{count} {inputs} {outputs}: {coarse}");
        }
    }

    #[test]
    fn the_ends_of_a_row_stay_at_their_ends() {
        for step in 0..4_000_u16 {
            let least = -f32::from(step) / 4_000.0;
            for levels in [127.0, 255.0] {
                let mut rounded = Rounded::default();
                rounded.take(&[least, 0.0, 1.0], 3, levels);
                let [low, zero, high] = rounded.numbers[..] else { panic!("three numbers") };
                assert!(low <= zero && f32::from(high) >= levels - 1.0 && low <= 1, "{least} of {levels}: {low} {zero} {high}");
            }
        }
    }

    #[test]
    fn a_row_of_zeros_gives_the_bias() {
        let written = Written { scales: vec![1.0; 2], bytes: vec![5; 8], bias: vec![0.5, -2.0] };
        let products = Products::new();
        let mut out = Vec::new();
        Dense::new(&products, &written, 4).unwrap().apply(&products, &[0.0; 12], &mut Rounded::default(), &mut out).unwrap();
        assert_eq!(out, [0.5, -2.0, 0.5, -2.0, 0.5, -2.0]);
    }
}
