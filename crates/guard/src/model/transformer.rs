//! A small transformer: three layers over word pieces, the last of them for the first piece only, with the heads of the other models.
//!
//! The file form (`weights/transformer.bin`) is written by `crates/guard-train/scripts/train_transformer.py`: for each piece of the vocabulary
//! its row, the rows as four-bit numbers with a scale for each 48 of them, places, then matrices as signed bytes with a scale for each output.
//! They become floats when the model is first used: the products are then exact enough that training and serving cannot differ.

use std::sync::LazyLock;

use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;

use super::linear::f32_at;
use super::{HEADS, Logits};

/// Numbers of a piece.
const WIDTH: usize = 384;
/// Heads of the attention.
const ATTENTION: usize = 12;
/// Numbers of a head of the attention.
const PART: usize = WIDTH / ATTENTION;
/// One over the root of `PART`.
const SHARPNESS: f32 = 0.176_776_7;
/// Numbers between the two halves of a layer.
const INNER: usize = 1_536;
/// Layers before the last one.
const LAYERS: usize = 2;
/// Pieces of the vocabulary.
const VOCABULARY: usize = 30_522;
/// Rows that are left of it.
const ROWS: usize = 16_384;
/// Numbers of a row that share a scale.
const GROUP: usize = 48;
/// Most pieces that are read at once, with the two marks around them.
const POSITIONS: usize = 192;
/// Most pieces of a window.
pub(super) const WINDOW_PIECES_MAX: usize = POSITIONS - 2;

const START: usize = 101;
const END: usize = 102;

const MAGIC: &[u8; 8] = b"BWTRF001";

/// A product with a bias.
struct Dense {
    weights: PackedBMatrix<f32>,
    bias: Vec<f32>,
}

struct Norm {
    scale: Vec<f32>,
    bias: Vec<f32>,
}

struct Layer {
    query: Dense,
    key_value: Dense,
    rest: After,
}

/// The last layer, of which only the first piece is wanted. What a key or value would be is never computed: the query goes through the matrix of the
/// keys once, and what it mixes through the matrix of the values. That is a thirtieth of the work.
struct Last {
    query: Dense,
    /// By output and input.
    key: Vec<f32>,
    /// By output and input.
    value: Vec<f32>,
    value_bias: Vec<f32>,
    rest: After,
}

/// What follows the attention in a layer.
struct After {
    mixed: Dense,
    inner: Dense,
    outer: Dense,
    norms: [Norm; 2],
}

/// The weights.
pub struct Transformer {
    row_of: Vec<u16>,
    scales: Vec<f32>,
    numbers: &'static [u8],
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    last: Last,
    heads: Vec<f32>,
    bias: Vec<f32>,
}

/// What is left of a file.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (own, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(own)
    }

    fn floats(&mut self, count: usize) -> Option<Vec<f32>> {
        let own = self.bytes(count * 4)?;
        (0..count).map(|at| f32_at(own, at * 4)).collect()
    }

    /// Bytes by output and input become columns by output, and the bias follows.
    fn columns(&mut self, inputs: usize, outputs: usize) -> Option<(Vec<f32>, Vec<f32>)> {
        let scales = self.floats(outputs)?;
        let body = self.bytes(inputs * outputs)?;
        let values = body
            .chunks_exact(inputs)
            .zip(&scales)
            .flat_map(|(row, scale)| row.iter().map(move |byte| f32::from(byte.cast_signed()) * scale))
            .collect();
        Some((values, self.floats(outputs)?))
    }

    fn norm(&mut self) -> Option<Norm> {
        Some(Norm { scale: self.floats(WIDTH)?, bias: self.floats(WIDTH)? })
    }
}

/// A float of two bytes. Scales are neither endless nor tiny.
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let (sign, exponent, fraction) = (bits & 0x8000, (bits >> 10) & 0x1F, bits & 0x3FF);
    if exponent == 0 {
        return 0.0;
    }
    f32::from_bits((sign << 16) | ((exponent + 112) << 23) | (fraction << 13))
}

impl Dense {
    /// From weights by output and input.
    fn new(products: &GemmExecutor, by_output: &[f32], bias: Vec<f32>, inputs: usize) -> Option<Self> {
        let view = NdTensorView::try_from_data([bias.len(), inputs], by_output).ok()?;
        Some(Self { weights: products.prepack_b(view.transposed()), bias })
    }

    /// Rows of `inputs` numbers become rows of `bias.len()` numbers.
    fn apply(&self, products: &GemmExecutor, rows: &[f32], inputs: usize) -> Option<Vec<f32>> {
        let count = rows.len() / inputs;
        let mut out = vec![0.0; count * self.bias.len()];
        let view = NdTensorView::try_from_data([count, inputs], rows).ok()?;
        let options = GemmOptions { bias: Some(BiasVector::Row(&self.bias)), ..GemmOptions::default() };
        products.gemm(&mut out, GemmInputA::Unpacked(view), GemmInputB::Packed(&self.weights), options).ok()?;
        Some(out)
    }
}

impl Norm {
    fn apply(&self, rows: &mut [f32]) {
        for row in rows.as_chunks_mut::<WIDTH>().0 {
            let mean = sum(row) / width(WIDTH);
            for value in row.iter_mut() {
                *value -= mean;
            }
            let spread = (product(row, row) / width(WIDTH) + 1e-12).sqrt().recip();
            for ((value, scale), bias) in row.iter_mut().zip(&self.scale).zip(&self.bias) {
                *value = *value * spread * scale + bias;
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of some hundreds")]
fn width(count: usize) -> f32 {
    count as f32
}

/// Eight sums beside each other, so that the processor adds them at once.
fn sum(row: &[f32; WIDTH]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for part in row.as_chunks::<8>().0 {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums.iter().sum()
}

/// The exponential function to about seven digits, without a call: a power of two in the exponent's bits times a polynomial.
fn exponential(value: f32) -> f32 {
    // Adding it rounds to a whole number, which then stands in the lowest bits.
    const ROUNDING: f32 = 12_582_912.0;
    let power = value.clamp(-80.0, 80.0) * std::f32::consts::LOG2_E;
    let rounded = power + ROUNDING;
    let rest = power - (rounded - ROUNDING);
    let polynomial =
        1.0 + rest * (std::f32::consts::LN_2 + rest * (0.240_226_5 + rest * (0.055_504_1 + rest * (0.009_618_1 + rest * 0.001_333_4))));
    f32::from_bits(polynomial.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// The activation between the halves of a layer (GELU, by the hyperbolic tangent).
fn activate(values: &mut [f32]) {
    for value in values {
        let inner = 1.595_769 * (*value + 0.044_715 * *value * *value * *value);
        *value /= 1.0 + exponential(-inner);
    }
}

fn add(rows: &mut [f32], more: &[f32]) {
    for (value, more) in rows.iter_mut().zip(more) {
        *value += more;
    }
}

impl After {
    fn parse(rest: &mut Rest<'_>, products: &GemmExecutor) -> Option<Self> {
        let (mixed, mixed_bias) = rest.columns(WIDTH, WIDTH)?;
        let (inner, inner_bias) = rest.columns(WIDTH, INNER)?;
        let (outer, outer_bias) = rest.columns(INNER, WIDTH)?;
        Some(Self {
            mixed: Dense::new(products, &mixed, mixed_bias, WIDTH)?,
            inner: Dense::new(products, &inner, inner_bias, WIDTH)?,
            outer: Dense::new(products, &outer, outer_bias, INNER)?,
            norms: [rest.norm()?, rest.norm()?],
        })
    }

    /// Changes the rows by what the attention mixed for them.
    fn apply(&self, products: &GemmExecutor, rows: &mut [f32], mixed: &[f32]) -> Option<()> {
        let [first, second] = &self.norms;
        add(rows, &self.mixed.apply(products, mixed, WIDTH)?);
        first.apply(rows);
        let mut inner = self.inner.apply(products, rows, WIDTH)?;
        activate(&mut inner);
        add(rows, &self.outer.apply(products, &inner, INNER)?);
        second.apply(rows);
        Some(())
    }
}

impl Layer {
    fn parse(rest: &mut Rest<'_>, products: &GemmExecutor) -> Option<Self> {
        let (query, query_bias) = rest.columns(WIDTH, WIDTH)?;
        let (mut key_value, mut key_value_bias) = rest.columns(WIDTH, WIDTH)?;
        let (value, value_bias) = rest.columns(WIDTH, WIDTH)?;
        key_value.extend(value);
        key_value_bias.extend(value_bias);
        Some(Self {
            query: Dense::new(products, &query, query_bias, WIDTH)?,
            key_value: Dense::new(products, &key_value, key_value_bias, WIDTH)?,
            rest: After::parse(rest, products)?,
        })
    }

    fn apply(&self, products: &GemmExecutor, rows: &mut [f32]) -> Option<()> {
        let queries = self.query.apply(products, rows, WIDTH)?;
        let key_values = self.key_value.apply(products, rows, WIDTH)?;
        let mixed = attend(products, &queries, &key_values)?;
        self.rest.apply(products, rows, &mixed)
    }
}

impl Last {
    fn parse(rest: &mut Rest<'_>, products: &GemmExecutor) -> Option<Self> {
        let (query, query_bias) = rest.columns(WIDTH, WIDTH)?;
        // A bias of the keys would add the same to all shares.
        let (key, _) = rest.columns(WIDTH, WIDTH)?;
        let (value, value_bias) = rest.columns(WIDTH, WIDTH)?;
        let query = Dense::new(products, &query, query_bias, WIDTH)?;
        Some(Self { query, key, value, value_bias, rest: After::parse(rest, products)? })
    }

    /// The first row after the layer.
    fn apply(&self, products: &GemmExecutor, rows: &[f32]) -> Option<Vec<f32>> {
        let mut first = rows.get(..WIDTH)?.to_vec();
        let query = self.query.apply(products, &first, WIDTH)?;
        let rows = rows.as_chunks::<WIDTH>().0;
        let mut mixed = self.value_bias.clone();
        let heads = query.chunks_exact(PART).zip(mixed.chunks_exact_mut(PART));
        let matrices = self.key.as_chunks::<WIDTH>().0.chunks_exact(PART).zip(self.value.as_chunks::<WIDTH>().0.chunks_exact(PART));
        for ((query, mixed), (key, value)) in heads.zip(matrices) {
            let mut asking = [0.0_f32; WIDTH];
            for (share, row) in query.iter().zip(key) {
                add_scaled(&mut asking, row, *share);
            }
            let mut shares: Vec<f32> = rows.iter().map(|row| product(&asking, row) * SHARPNESS).collect();
            into_shares(&mut shares);
            let mut sum = [0.0_f32; WIDTH];
            for (share, row) in shares.iter().zip(rows) {
                add_scaled(&mut sum, row, *share);
            }
            for (target, row) in mixed.iter_mut().zip(value) {
                *target += product(&sum, row);
            }
        }
        self.rest.apply(products, &mut first, &mixed)?;
        Some(first)
    }
}

fn add_scaled(target: &mut [f32; WIDTH], row: &[f32; WIDTH], scale: f32) {
    for (target, value) in target.iter_mut().zip(row) {
        *target += value * scale;
    }
}

fn product(left: &[f32; WIDTH], right: &[f32; WIDTH]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (left, right) in left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    sums.iter().sum()
}

/// What is higher gets a larger share; together they are one.
fn into_shares(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::MIN, f32::max);
    for value in row.iter_mut() {
        *value = exponential(*value - most);
    }
    let total: f32 = row.iter().sum();
    for value in row.iter_mut() {
        *value /= total;
    }
}

/// Each head of the attention mixes the values by how much query and key agree.
fn attend(products: &GemmExecutor, queries: &[f32], key_values: &[f32]) -> Option<Vec<f32>> {
    let (asking, asked) = (queries.len() / WIDTH, key_values.len() / WIDTH / 2);
    let mut mixed = vec![0.0; queries.len()];
    let mut shares = vec![0.0; asking * asked];
    let mut part = vec![0.0; asking * PART];
    for head in 0..ATTENTION {
        let strided = |data, from: usize, count: usize, step: usize| {
            NdTensorView::from_slice_with_strides([count, PART], <[f32]>::get(data, from..)?, [step, 1]).ok()
        };
        let query = strided(queries, head * PART, asking, WIDTH)?;
        let key = strided(key_values, head * PART, asked, 2 * WIDTH)?;
        let value = strided(key_values, WIDTH + head * PART, asked, 2 * WIDTH)?;
        let options = GemmOptions { alpha: SHARPNESS, ..GemmOptions::default() };
        products.gemm(&mut shares, GemmInputA::Unpacked(query), GemmInputB::Unpacked(key.transposed()), options).ok()?;
        for row in shares.chunks_exact_mut(asked) {
            into_shares(row);
        }
        let view = NdTensorView::try_from_data([asking, asked], shares.as_slice()).ok()?;
        products.gemm(&mut part, GemmInputA::Unpacked(view), GemmInputB::Unpacked(value), GemmOptions::default()).ok()?;
        for (target, source) in mixed.chunks_exact_mut(WIDTH).zip(part.chunks_exact(PART)) {
            target.get_mut(head * PART..(head + 1) * PART)?.copy_from_slice(source);
        }
    }
    Some(mixed)
}

static SHIPPED: LazyLock<Option<Transformer>> = LazyLock::new(|| Transformer::parse(include_bytes!("../../weights/transformer.bin")));

impl Transformer {
    /// The shipped one. It is made ready when it is first asked for.
    pub fn shipped() -> Option<&'static Self> {
        SHIPPED.as_ref()
    }

    /// Reads the file form; `None` if it is not one of this build.
    pub fn parse(bytes: &'static [u8]) -> Option<Self> {
        let mut rest = Rest(bytes.strip_prefix(MAGIC)?);
        let products = GemmExecutor::new();
        let row_of: Vec<u16> = rest.bytes(VOCABULARY * 2)?.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        let scales = rest.bytes(ROWS * (WIDTH / GROUP) * 2)?.as_chunks::<2>().0.iter().map(|pair| half(*pair)).collect();
        let numbers = rest.bytes(ROWS * WIDTH / 2)?;
        let positions = rest.floats(POSITIONS * WIDTH)?;
        let norm = rest.norm()?;
        let layers = (0..LAYERS).map(|_| Layer::parse(&mut rest, &products)).collect::<Option<Vec<_>>>()?;
        let last = Last::parse(&mut rest, &products)?;
        let heads = rest.floats(2 * WIDTH * HEADS)?;
        let bias = rest.floats(HEADS)?;
        let fits = rest.0.is_empty() && row_of.iter().all(|row| usize::from(*row) < ROWS);
        fits.then_some(Self { row_of, scales, numbers, positions, norm, layers, last, heads, bias })
    }

    /// Adds the numbers of a piece to `target`.
    fn embed(&self, piece: usize, target: &mut [f32]) -> Option<()> {
        let row = usize::from(*self.row_of.get(piece)?);
        let numbers = self.numbers.get(row * WIDTH / 2..(row + 1) * WIDTH / 2)?;
        let scales = self.scales.get(row * (WIDTH / GROUP)..(row + 1) * (WIDTH / GROUP))?;
        let groups = target.chunks_exact_mut(GROUP).zip(numbers.chunks_exact(GROUP / 2)).zip(scales);
        for ((target, bytes), scale) in groups {
            for (pair, byte) in target.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
                let [low, high] = pair;
                *low += (f32::from(byte & 15) - 8.0) * scale;
                *high += (f32::from(byte >> 4) - 8.0) * scale;
            }
        }
        Some(())
    }

    /// The log odds of some pieces; what is beyond the longest window is left out.
    pub fn logits(&self, pieces: &[usize]) -> Option<Logits> {
        // Finding out what the processor can do takes no time, and the library's type cannot be shared between threads.
        let products = &GemmExecutor::new();
        let pieces = pieces.get(..pieces.len().min(WINDOW_PIECES_MAX))?;
        let count = pieces.len() + 2;
        let mut rows = self.positions.get(..count * WIDTH)?.to_vec();
        let marked = std::iter::once(&START).chain(pieces).chain(std::iter::once(&END));
        for (piece, target) in marked.zip(rows.chunks_exact_mut(WIDTH)) {
            self.embed(*piece, target)?;
        }
        self.norm.apply(&mut rows);
        for layer in &self.layers {
            layer.apply(products, &mut rows)?;
        }
        let mut pooled = self.last.apply(products, &rows)?;
        let mut mean = [0.0_f32; WIDTH];
        for row in rows.chunks_exact(WIDTH) {
            add(&mut mean, row);
        }
        pooled.extend(mean.iter().map(|value| value / width(count)));
        let mut out = [0.0; HEADS];
        out.copy_from_slice(self.bias.get(..HEADS)?);
        for (value, row) in pooled.iter().zip(self.heads.as_chunks::<HEADS>().0) {
            for (sum, weight) in out.iter_mut().zip(row) {
                *sum += value * weight;
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_function_is_near_enough() {
        for step in -700..700_i16 {
            let value = f32::from(step) / 10.0;
            assert!((exponential(value) / value.exp() - 1.0).abs() < 1e-4, "{value}");
        }
    }

    #[test]
    fn halves_are_read() {
        assert!((half([0x00, 0x3C]) - 1.0).abs() < 1e-9);
        assert!((half([0x00, 0xB8]) + 0.5).abs() < 1e-9);
        assert!((half([0x66, 0x2E]) - 0.1).abs() < 1e-4);
    }

    #[test]
    fn other_files_are_refused() {
        assert!(Transformer::parse(b"BWTRF001").is_none());
        assert!(Transformer::parse(b"other").is_none());
    }
}
