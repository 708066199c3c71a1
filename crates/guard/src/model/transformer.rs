//! A small transformer: three layers over word pieces, the last of them for the first piece only, with the heads of the other models.
//!
//! The file form (`weights/transformer.bin`) is written by `crates/guard-train/scripts/train_transformer.py`: for each piece of the vocabulary
//! its row, the rows as four-bit numbers with a scale for each 48 of them, places, then matrices as signed bytes with a scale for each output.
//! They stay bytes: what is multiplied with them is rounded to whole numbers, row by row ([`product`]). Training multiplies floats; the tests hold how far
//! the log odds may be from those of floats (some hundredths).
//!
//! A reading runs in the pool of threads that multiplies: else it would wait for another thread at each of its products.

mod product;
#[cfg(test)]
mod reference;

use std::cell::Cell;
use std::sync::LazyLock;

use rten_gemm::{GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;

use product::{Dense, Products, Rounded, Written};

use super::linear::f32_at;
use super::wide::wide;
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

struct Norm {
    scale: Vec<f32>,
    bias: Vec<f32>,
}

struct Layer {
    /// Queries, keys and values beside each other.
    asked: Dense,
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

    fn written(&mut self, inputs: usize, outputs: usize) -> Option<Written> {
        let scales = self.floats(outputs)?;
        let bytes = self.bytes(inputs * outputs)?.iter().map(|byte| byte.cast_signed()).collect();
        Some(Written { scales, bytes, bias: self.floats(outputs)? })
    }

    fn dense(&mut self, products: &Products, inputs: usize, outputs: usize) -> Option<Dense> {
        Dense::new(products, &self.written(inputs, outputs)?, inputs)
    }

    /// A matrix of floats by output and input, and the bias.
    fn matrix(&mut self) -> Option<(Vec<f32>, Vec<f32>)> {
        let Written { scales, bytes, bias } = self.written(WIDTH, WIDTH)?;
        let rows = bytes.chunks_exact(WIDTH).zip(scales);
        Some((rows.flat_map(|(row, scale)| row.iter().map(move |byte| f32::from(*byte) * scale)).collect(), bias))
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

impl Norm {
    fn apply(&self, rows: &mut [f32]) {
        wide(
            #[inline(always)]
            || {
                for row in rows.as_chunks_mut::<WIDTH>().0 {
                    self.apply_to(row);
                }
            },
        );
    }

    #[inline(always)]
    fn apply_to(&self, row: &mut [f32; WIDTH]) {
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

#[expect(clippy::cast_precision_loss, reason = "counts of some hundreds")]
#[inline(always)]
fn width(count: usize) -> f32 {
    count as f32
}

/// Eight sums beside each other, so that the processor adds them at once.
#[inline(always)]
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
#[inline(always)]
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
#[inline(always)]
fn activate(values: &mut [f32]) {
    for value in values {
        let inner = 1.595_769 * (*value + 0.044_715 * *value * *value * *value);
        *value /= 1.0 + exponential(-inner);
    }
}

#[inline(always)]
fn add(rows: &mut [f32], more: &[f32]) {
    for (value, more) in rows.iter_mut().zip(more) {
        *value += more;
    }
}

/// Room for what a reading computes, kept for the next one.
#[derive(Default)]
struct Room {
    rounded: Rounded,
    asked: Vec<f32>,
    mixed: Vec<f32>,
    inner: Vec<f32>,
    out: Vec<f32>,
    shares: Vec<f32>,
    part: Vec<f32>,
}

thread_local! {
    /// A reading takes it away, so that one which begins while another waits has its own.
    static ROOM: Cell<Room> = Cell::default();
}

impl After {
    fn parse(rest: &mut Rest<'_>, products: &Products) -> Option<Self> {
        Some(Self {
            mixed: rest.dense(products, WIDTH, WIDTH)?,
            inner: rest.dense(products, WIDTH, INNER)?,
            outer: rest.dense(products, INNER, WIDTH)?,
            norms: [rest.norm()?, rest.norm()?],
        })
    }

    /// Changes the rows by what the attention mixed for them.
    fn apply(&self, products: &Products, rows: &mut [f32], room: &mut Room) -> Option<()> {
        let Room { rounded, mixed, inner, out, .. } = room;
        let [first, second] = &self.norms;
        self.mixed.apply(products, mixed, rounded, out)?;
        add(rows, out);
        first.apply(rows);
        self.inner.apply(products, rows, rounded, inner)?;
        wide(
            #[inline(always)]
            || activate(inner),
        );
        self.outer.apply(products, inner, rounded, out)?;
        add(rows, out);
        second.apply(rows);
        Some(())
    }
}

impl Layer {
    fn parse(rest: &mut Rest<'_>, products: &Products) -> Option<Self> {
        let mut asked = Written::default();
        for _ in 0..3 {
            asked.extend(rest.written(WIDTH, WIDTH)?);
        }
        Some(Self { asked: Dense::new(products, &asked, WIDTH)?, rest: After::parse(rest, products)? })
    }

    fn apply(&self, products: &Products, rows: &mut [f32], room: &mut Room) -> Option<()> {
        self.asked.apply(products, rows, &mut room.rounded, &mut room.asked)?;
        attend(products, room)?;
        self.rest.apply(products, rows, room)
    }
}

impl Last {
    fn parse(rest: &mut Rest<'_>, products: &Products) -> Option<Self> {
        let query = rest.dense(products, WIDTH, WIDTH)?;
        // A bias of the keys would add the same to all shares.
        let (key, _) = rest.matrix()?;
        let (value, value_bias) = rest.matrix()?;
        Some(Self { query, key, value, value_bias, rest: After::parse(rest, products)? })
    }

    /// The first row after the layer.
    fn apply(&self, products: &Products, rows: &[f32], room: &mut Room) -> Option<Vec<f32>> {
        let mut first = rows.get(..WIDTH)?.to_vec();
        let Room { rounded, asked, mixed, .. } = room;
        self.query.apply(products, &first, rounded, asked)?;
        let rows = rows.as_chunks::<WIDTH>().0;
        mixed.clone_from(&self.value_bias);
        let heads = asked.chunks_exact(PART).zip(mixed.chunks_exact_mut(PART));
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
        self.rest.apply(products, &mut first, room)?;
        Some(first)
    }
}

#[inline(always)]
fn add_scaled(target: &mut [f32; WIDTH], row: &[f32; WIDTH], scale: f32) {
    for (target, value) in target.iter_mut().zip(row) {
        *target += value * scale;
    }
}

#[inline(always)]
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
#[inline(always)]
fn into_shares(row: &mut [f32]) {
    let mut tops = [f32::MIN; 8];
    let (parts, rest) = row.as_chunks_mut::<8>();
    for part in parts.iter() {
        for (top, value) in tops.iter_mut().zip(part) {
            *top = if value > top { *value } else { *top };
        }
    }
    let most = tops.iter().chain(rest.iter()).copied().fold(f32::MIN, f32::max);
    let mut sums = [0.0_f32; 8];
    for part in parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            *value = exponential(*value - most);
            *sum += *value;
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *value = exponential(*value - most);
        *sum += *value;
    }
    let share = sums.iter().sum::<f32>().recip();
    for value in row {
        *value *= share;
    }
}

/// Each head of the attention mixes the values by how much query and key agree.
fn attend(products: &Products, room: &mut Room) -> Option<()> {
    let Room { asked, mixed, shares, part, .. } = room;
    let count = asked.len() / WIDTH / 3;
    mixed.resize(count * WIDTH, 0.0);
    shares.resize(count * count, 0.0);
    part.resize(count * PART, 0.0);
    for head in 0..ATTENTION {
        let strided = |of: usize| {
            NdTensorView::from_slice_with_strides([count, PART], <[f32]>::get(asked, of * WIDTH + head * PART..)?, [3 * WIDTH, 1]).ok()
        };
        let (query, key, value) = (strided(0)?, strided(1)?, strided(2)?);
        let options = GemmOptions { alpha: SHARPNESS, ..GemmOptions::default() };
        products.floats.gemm(shares, GemmInputA::Unpacked(query), GemmInputB::Unpacked(key.transposed()), options).ok()?;
        wide(
            #[inline(always)]
            || {
                for row in shares.chunks_exact_mut(count) {
                    into_shares(row);
                }
            },
        );
        let view = NdTensorView::try_from_data([count, count], shares.as_slice()).ok()?;
        products.floats.gemm(part, GemmInputA::Unpacked(view), GemmInputB::Unpacked(value), GemmOptions::default()).ok()?;
        for (target, source) in mixed.chunks_exact_mut(WIDTH).zip(part.chunks_exact(PART)) {
            target.get_mut(head * PART..(head + 1) * PART)?.copy_from_slice(source);
        }
    }
    Some(())
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
        let products = Products::new();
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
        rayon::scope(|_| {
            let mut room = ROOM.take();
            let logits = self.read(&Products::new(), pieces, &mut room);
            ROOM.set(room);
            logits
        })
    }

    fn read(&self, products: &Products, pieces: &[usize], room: &mut Room) -> Option<Logits> {
        let pieces = pieces.get(..pieces.len().min(WINDOW_PIECES_MAX))?;
        let count = pieces.len() + 2;
        let mut rows = self.positions.get(..count * WIDTH)?.to_vec();
        let marked = std::iter::once(&START).chain(pieces).chain(std::iter::once(&END));
        for (piece, target) in marked.zip(rows.chunks_exact_mut(WIDTH)) {
            self.embed(*piece, target)?;
        }
        self.norm.apply(&mut rows);
        for layer in &self.layers {
            layer.apply(products, &mut rows, room)?;
        }
        let mut pooled = self.last.apply(products, &rows, room)?;
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

    /// How far log odds may be from those of floats, and where the processor wants smaller numbers.
    const FINE: f32 = 0.25;
    const COARSE: f32 = 0.5;

    #[test]
    fn the_exponential_function_is_near_enough() {
        for step in -700..700_i16 {
            let value = f32::from(step) / 10.0;
            assert!((exponential(value) / value.exp() - 1.0).abs() < 1e-4, "{value}");
        }
    }

    #[test]
    fn shares_are_one_together() {
        let mut row: Vec<f32> = (0..21_u8).map(|at| f32::from(at % 7)).collect();
        into_shares(&mut row);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((row[20] / row[19] - std::f32::consts::E).abs() < 1e-3);
        let mut alone = [-3.0];
        into_shares(&mut alone);
        assert!((alone[0] - 1.0).abs() < 1e-5);
    }

    /// Pieces of windows; what they say does not matter.
    fn windows() -> impl Iterator<Item = Vec<usize>> {
        [1, 5, 14, 40, 90].into_iter().map(|count| (0..count).map(|at| 1_996 + at * at * 131 % 9_000).collect())
    }

    #[test]
    fn log_odds_are_near_those_of_floats() {
        let floats = reference::Reference::shipped().unwrap();
        let shipped = Transformer::shipped().unwrap();
        for pieces in windows() {
            let exact = floats.logits(&pieces);
            let coarse = shipped.read(&Products::coarse(), &pieces, &mut Room::default()).unwrap();
            let most_here = if Products::new().are_coarse() { COARSE } else { FINE };
            for (logits, most) in [(shipped.logits(&pieces).unwrap(), most_here), (coarse, COARSE)] {
                let worst = exact.iter().zip(logits).map(|(exact, logit)| (exact - logit).abs()).fold(0.0, f32::max);
                assert!(worst < most, "{} pieces: {worst}", pieces.len());
            }
        }
    }

    #[test]
    fn room_that_was_used_changes_nothing() {
        let shipped = Transformer::shipped().unwrap();
        let mut room = Room::default();
        for pieces in windows().chain([vec![2_040, 3_000]]) {
            let used = shipped.read(&Products::new(), &pieces, &mut room).unwrap();
            let new = shipped.read(&Products::new(), &pieces, &mut Room::default()).unwrap();
            assert_eq!(used.map(f32::to_bits), new.map(f32::to_bits));
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
