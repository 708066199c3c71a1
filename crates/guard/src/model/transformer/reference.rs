//! The same model in floats, as plainly as it can be written: what the tests compare with.

use super::{
    ATTENTION, END, GROUP, HEADS, INNER, LAYERS, Logits, MAGIC, Norm, PART, POSITIONS, ROWS, Rest, START, Transformer, VOCABULARY, WIDTH,
    Written, width,
};

struct Matrix(Written);

struct Layer {
    query: Matrix,
    key: Matrix,
    value: Matrix,
    mixed: Matrix,
    inner: Matrix,
    outer: Matrix,
    norms: [Norm; 2],
}

/// Rows of numbers.
type Table = Vec<Vec<f32>>;

pub(super) struct Reference {
    shipped: &'static Transformer,
    layers: Vec<Layer>,
}

impl Matrix {
    fn apply(&self, row: &[f32]) -> Vec<f32> {
        let by_output = self.0.bytes.chunks_exact(row.len()).zip(&self.0.scales).zip(&self.0.bias);
        by_output
            .map(|((bytes, scale), bias)| bytes.iter().zip(row).map(|(byte, value)| f32::from(*byte) * value).sum::<f32>() * scale + bias)
            .collect()
    }
}

fn norm(norm: &Norm, row: &mut [f32]) {
    let mean = row.iter().sum::<f32>() / width(WIDTH);
    let spread = row.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / width(WIDTH);
    for ((value, scale), bias) in row.iter_mut().zip(&norm.scale).zip(&norm.bias) {
        *value = (*value - mean) / (spread + 1e-12).sqrt() * scale + bias;
    }
}

fn sum(left: &[f32], right: &[f32]) -> Vec<f32> {
    left.iter().zip(right).map(|(left, right)| left + right).collect()
}

impl Layer {
    fn parse(rest: &mut Rest<'_>) -> Option<Self> {
        let mut square = || rest.written(WIDTH, WIDTH).map(Matrix);
        let (query, key, value, mixed) = (square()?, square()?, square()?, square()?);
        let inner = Matrix(rest.written(WIDTH, INNER)?);
        let outer = Matrix(rest.written(INNER, WIDTH)?);
        Some(Self { query, key, value, mixed, inner, outer, norms: [rest.norm()?, rest.norm()?] })
    }

    fn apply(&self, rows: &Table) -> Table {
        let all = |matrix: &Matrix| rows.iter().map(|row| matrix.apply(row)).collect::<Table>();
        let (queries, keys, values) = (all(&self.query), all(&self.key), all(&self.value));
        rows.iter().zip(queries).map(|(row, query)| self.after(row, &mixed(&query, &keys, &values))).collect()
    }

    fn after(&self, row: &[f32], mixed: &[f32]) -> Vec<f32> {
        let mut own = sum(row, &self.mixed.apply(mixed));
        norm(&self.norms[0], &mut own);
        let half = (2.0 / std::f32::consts::PI).sqrt();
        let activate = |value: f32| 0.5 * value * (1.0 + (half * (value + 0.044_715 * value.powi(3))).tanh());
        let inner: Vec<f32> = self.inner.apply(&own).into_iter().map(activate).collect();
        let mut out = sum(&own, &self.outer.apply(&inner));
        norm(&self.norms[1], &mut out);
        out
    }
}

/// The values, mixed by how much query and keys agree, head by head.
fn mixed(query: &[f32], keys: &Table, values: &Table) -> Vec<f32> {
    let mut out = Vec::new();
    for head in 0..ATTENTION {
        let part = head * PART..(head + 1) * PART;
        let agree = |key: &Vec<f32>| key[part.clone()].iter().zip(&query[part.clone()]).map(|(key, query)| key * query).sum::<f32>();
        let shares: Vec<f32> = keys.iter().map(|key| (agree(key) / width(PART).sqrt()).exp()).collect();
        let total: f32 = shares.iter().sum();
        out.extend(part.map(|place| values.iter().zip(&shares).map(|(value, share)| value[place] * share).sum::<f32>() / total));
    }
    out
}

impl Reference {
    pub(super) fn shipped() -> Option<Self> {
        let mut rest = Rest(include_bytes!("../../../weights/transformer.bin").strip_prefix(MAGIC)?);
        rest.bytes(VOCABULARY * 2 + ROWS * (WIDTH / GROUP) * 2 + ROWS * WIDTH / 2 + POSITIONS * WIDTH * 4 + 2 * WIDTH * 4)?;
        let layers = (0..=LAYERS).map(|_| Layer::parse(&mut rest)).collect::<Option<_>>()?;
        Some(Self { shipped: Transformer::shipped()?, layers })
    }

    pub(super) fn logits(&self, pieces: &[usize]) -> Logits {
        let marked = std::iter::once(&START).chain(pieces).chain(std::iter::once(&END));
        let places = self.shipped.positions.chunks_exact(WIDTH);
        let embed = |(piece, place): (&usize, &[f32])| {
            let mut row = place.to_vec();
            self.shipped.embed(*piece, &mut row).unwrap();
            norm(&self.shipped.norm, &mut row);
            row
        };
        let mut rows: Table = marked.zip(places).map(embed).collect();
        let (last, before) = self.layers.split_last().unwrap();
        for layer in before {
            rows = layer.apply(&rows);
        }
        let mut pooled = last.apply(&rows).swap_remove(0);
        let mean = rows.iter().fold(vec![0.0; WIDTH], |mean, row| sum(&mean, row));
        pooled.extend(mean.iter().map(|value| value / width(rows.len())));
        let of = |head: usize| pooled.iter().zip(self.shipped.heads.chunks_exact(HEADS)).map(|(value, row)| value * row[head]).sum::<f32>();
        std::array::from_fn(|head| of(head) + self.shipped.bias[head])
    }
}
