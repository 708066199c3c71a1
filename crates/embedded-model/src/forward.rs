//! The Llama architecture: what a token does to the state, and which token is likely next.

use crate::gguf::{File, FileError};
use crate::tensor::{Matrix, Quantized, vector};

/// Limits of what a model may be.
const LAYERS_MAX: usize = 256;
const LENGTH_MAX: usize = 65_536;

/// Sizes of a model.
#[derive(Clone, Copy, Debug)]
struct Shape {
    layers: usize,
    /// Of the state.
    length: usize,
    inner: usize,
    heads: usize,
    key_heads: usize,
    head_length: usize,
    vocabulary: usize,
    context: usize,
}

struct Layer {
    attention_norm: Vec<f32>,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    output: Matrix,
    feed_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// The weights of a model.
pub(crate) struct Weights {
    shape: Shape,
    epsilon: f32,
    rope_base: f32,
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// When it is not the embedding.
    head: Option<Matrix>,
}

impl Shape {
    fn read(file: &File<'_>) -> Result<Self, FileError> {
        let length = file.number("llama.embedding_length")?;
        let heads = file.number("llama.attention.head_count")?;
        let key_heads = file.number("llama.attention.head_count_kv").unwrap_or(heads);
        let shape = Self {
            layers: file.number("llama.block_count")?,
            length,
            inner: file.number("llama.feed_forward_length")?,
            heads,
            key_heads,
            head_length: length.checked_div(heads).unwrap_or_default(),
            vocabulary: file.texts("tokenizer.ggml.tokens")?.len(),
            context: file.number("llama.context_length")?,
        };
        let fits = (1..=LAYERS_MAX).contains(&shape.layers)
            && (1..=LENGTH_MAX).contains(&length)
            && (1..=LENGTH_MAX).contains(&shape.inner)
            && shape.head_length > 0
            && shape.head_length.is_multiple_of(2)
            && heads * shape.head_length == length
            && (1..=heads).contains(&key_heads)
            && heads.is_multiple_of(key_heads);
        let rotated = file.number("llama.rope.dimension_count").unwrap_or(shape.head_length);
        if fits && rotated == shape.head_length { Ok(shape) } else { Err(FileError::Value("llama.attention.head_count")) }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a model's constants are floats of 32 bits in every file")]
fn constant(file: &File<'_>, name: &'static str, default: f64) -> f32 {
    file.float(name).unwrap_or(default) as f32
}

impl Weights {
    pub(crate) fn read(file: &File<'_>) -> Result<Self, FileError> {
        let architecture = file.text("general.architecture").unwrap_or_default();
        if architecture != "llama" {
            return Err(FileError::Architecture(architecture.to_owned()));
        }
        let shape = Shape::read(file)?;
        let key_length = shape.key_heads * shape.head_length;
        let layer = |at: usize| {
            let matrix = |name: &str, rows, columns| Matrix::read(file, &format!("blk.{at}.{name}.weight"), rows, columns);
            Ok(Layer {
                attention_norm: vector(file, &format!("blk.{at}.attn_norm.weight"), shape.length)?,
                query: matrix("attn_q", shape.length, shape.length)?,
                key: matrix("attn_k", key_length, shape.length)?,
                value: matrix("attn_v", key_length, shape.length)?,
                output: matrix("attn_output", shape.length, shape.length)?,
                feed_norm: vector(file, &format!("blk.{at}.ffn_norm.weight"), shape.length)?,
                gate: matrix("ffn_gate", shape.inner, shape.length)?,
                up: matrix("ffn_up", shape.inner, shape.length)?,
                down: matrix("ffn_down", shape.length, shape.inner)?,
            })
        };
        let head = if file.has_tensor("output.weight") {
            Some(Matrix::read(file, "output.weight", shape.vocabulary, shape.length)?)
        } else {
            None
        };
        Ok(Self {
            epsilon: constant(file, "llama.attention.layer_norm_rms_epsilon", 1e-5),
            rope_base: constant(file, "llama.rope.freq_base", 10_000.0),
            embedding: Matrix::read(file, "token_embd.weight", shape.vocabulary, shape.length)?,
            layers: (0..shape.layers).map(layer).collect::<Result<_, FileError>>()?,
            norm: vector(file, "output_norm.weight", shape.length)?,
            head,
            shape,
        })
    }

    pub(crate) fn vocabulary(&self) -> usize {
        self.embedding.rows()
    }

    pub(crate) fn context_tokens(&self) -> usize {
        self.shape.context
    }
}

/// Keys and values of the tokens so far, of one layer.
#[derive(Default)]
struct Memory {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// A text that is being read or written.
pub(crate) struct State {
    memories: Vec<Memory>,
    position: u16,
    /// Turns of a position's pairs: cosine and sine of each.
    turns: Vec<(f32, f32)>,
    x: Vec<f32>,
    normed: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    mixed: Vec<f32>,
    projected: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    scores: Vec<f32>,
    logits: Vec<f32>,
}

fn normalize(x: &[f32], weights: &[f32], epsilon: f32, out: &mut Vec<f32>) {
    let count = u16::try_from(x.len()).map_or(65_535.0, f32::from);
    let scale = 1.0 / (x.iter().map(|number| number * number).sum::<f32>() / count + epsilon).sqrt();
    out.clear();
    out.extend(x.iter().zip(weights).map(|(number, weight)| number * scale * weight));
}

fn add(to: &mut [f32], more: &[f32]) {
    for (to, more) in to.iter_mut().zip(more) {
        *to += more;
    }
}

impl State {
    pub(crate) fn new(weights: &Weights) -> Self {
        let memories = (0..weights.shape.layers).map(|_| Memory::default()).collect();
        Self {
            memories,
            position: 0,
            turns: Vec::new(),
            x: Vec::new(),
            normed: Vec::new(),
            query: Vec::new(),
            key: Vec::new(),
            value: Vec::new(),
            mixed: Vec::new(),
            projected: Vec::new(),
            gate: Vec::new(),
            up: Vec::new(),
            scores: Vec::new(),
            logits: Vec::new(),
        }
    }

    /// Takes a token; gives how likely each token is next, when that is wanted.
    pub(crate) fn step(&mut self, weights: &Weights, token: u32, wants_logits: bool) -> &[f32] {
        let shape = weights.shape;
        self.turn_for(shape, weights.rope_base);
        weights.embedding.row(usize::try_from(token).unwrap_or_default().min(weights.vocabulary().saturating_sub(1)), &mut self.x);
        for (layer, memory) in weights.layers.iter().zip(&mut self.memories) {
            normalize(&self.x, &layer.attention_norm, weights.epsilon, &mut self.normed);
            let quantized = Quantized::of(&self.normed);
            layer.query.times(&self.normed, &quantized, &mut self.query);
            layer.key.times(&self.normed, &quantized, &mut self.key);
            layer.value.times(&self.normed, &quantized, &mut self.value);
            rotate(&mut self.query, &self.turns, shape.head_length);
            rotate(&mut self.key, &self.turns, shape.head_length);
            memory.keys.extend_from_slice(&self.key);
            memory.values.extend_from_slice(&self.value);
            attend(shape, memory, &self.query, &mut self.scores, &mut self.mixed);
            layer.output.times(&self.mixed, &Quantized::of(&self.mixed), &mut self.projected);
            add(&mut self.x, &self.projected);
            normalize(&self.x, &layer.feed_norm, weights.epsilon, &mut self.normed);
            let quantized = Quantized::of(&self.normed);
            layer.gate.times(&self.normed, &quantized, &mut self.gate);
            layer.up.times(&self.normed, &quantized, &mut self.up);
            for (gate, up) in self.gate.iter_mut().zip(&self.up) {
                *gate = *gate / (1.0 + (-*gate).exp()) * up;
            }
            layer.down.times(&self.gate, &Quantized::of(&self.gate), &mut self.projected);
            add(&mut self.x, &self.projected);
        }
        self.position = self.position.saturating_add(1);
        if wants_logits {
            normalize(&self.x, &weights.norm, weights.epsilon, &mut self.normed);
            let head = weights.head.as_ref().unwrap_or(&weights.embedding);
            head.times(&self.normed, &Quantized::of(&self.normed), &mut self.logits);
        }
        &self.logits
    }

    fn turn_for(&mut self, shape: Shape, base: f32) {
        let position = f32::from(self.position);
        let length = u16::try_from(shape.head_length).map_or(65_535.0, f32::from);
        self.turns.clear();
        self.turns.extend((0_u16..).step_by(2).take(shape.head_length / 2).map(|pair| {
            let angle = position * base.powf(-f32::from(pair) / length);
            (angle.cos(), angle.sin())
        }));
    }
}

/// Turns each pair of numbers of each head by the position.
fn rotate(vector: &mut [f32], turns: &[(f32, f32)], head_length: usize) {
    for head in vector.chunks_exact_mut(head_length) {
        for (pair, (cosine, sine)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
            let [first, second] = *pair;
            *pair = [first * cosine - second * sine, first * sine + second * cosine];
        }
    }
}

/// Each head's mixture of the values so far, by how well their keys answer its query.
fn attend(shape: Shape, memory: &Memory, query: &[f32], scores: &mut Vec<f32>, out: &mut Vec<f32>) {
    let key_length = shape.key_heads * shape.head_length;
    let scale = 1.0 / u16::try_from(shape.head_length).map_or(1.0, f32::from).sqrt();
    out.clear();
    out.resize(shape.length, 0.0);
    let sharing = shape.heads / shape.key_heads;
    let heads = query.chunks_exact(shape.head_length).zip(out.chunks_exact_mut(shape.head_length)).enumerate();
    for (head, (query, out)) in heads {
        let from = head / sharing * shape.head_length;
        scores.clear();
        scores.extend(memory.keys.chunks_exact(key_length).map(|key| {
            let key = key.iter().skip(from);
            key.zip(query).map(|(key, query)| key * query).sum::<f32>() * scale
        }));
        let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut total = 0.0;
        for score in scores.iter_mut() {
            *score = (*score - highest).exp();
            total += *score;
        }
        for (score, value) in scores.iter().zip(memory.values.chunks_exact(key_length)) {
            let weight = score / total;
            for (out, value) in out.iter_mut().zip(value.iter().skip(from)) {
                *out += weight * value;
            }
        }
    }
}
