//! The trained part: hashed n-grams with linear heads, and a convolution over static word-piece embeddings with the same heads.
//!
//! Public for the trainer (`crates/guard-train`) and for measurements; a server uses [`crate::score_prompt_attack`] and [`crate::score_content`].
//! Weights are compiled in (`weights/`), made by `cargo xtask train`, and described in `MODEL_CARD.md` beside them.

#[expect(clippy::inline_always, reason = "see `wide`: what is not inlined is compiled for the oldest processor")]
mod convolution;
mod embedding;
mod linear;
mod ngram;
mod recent;
#[expect(clippy::inline_always, reason = "see `wide`")]
mod transformer;
#[expect(clippy::inline_always, reason = "it is what makes it wide")]
mod wide;
mod wordpiece;

use std::ops::Range;
use std::rc::Rc;
use std::sync::LazyLock;

pub use convolution::{Activations, Convolution, FILTERS, HIDDEN, Layer, POOLED, WIDTHS};
pub use embedding::{DIMENSIONS, Embeddings};
pub use linear::Linear;
pub use ngram::{BUCKETS, ngrams};
pub use transformer::Transformer;
pub use wordpiece::{Piece, WordPieces};

/// What is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Head {
    UserAttack,
    DataAttack,
    Hate,
    Insults,
    Sexual,
    Violence,
    Misconduct,
}

/// How many heads there are.
pub const HEADS: usize = 7;

impl Head {
    /// All, in the order of the scores.
    pub const ALL: [Self; HEADS] =
        [Self::UserAttack, Self::DataAttack, Self::Hate, Self::Insults, Self::Sexual, Self::Violence, Self::Misconduct];
}

/// Log odds by head.
pub type Logits = [f32; HEADS];

/// Most pieces of a window that the convolution reads.
pub const PIECES_MAX: usize = 256;

/// The shipped model.
pub struct Model {
    pieces: WordPieces,
    embeddings: Embeddings,
    linear: Linear,
    convolution: Convolution,
    transformer: Option<&'static Transformer>,
}

/// What the model says about a window.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Log odds of the n-grams.
    pub linear: Logits,
    /// Log odds of the convolution.
    pub convolution: Logits,
}

static MODEL: LazyLock<Option<Model>> = LazyLock::new(|| {
    let pieces = WordPieces::parse(include_str!("../../weights/vocabulary.txt"));
    let embeddings = Embeddings::parse(include_bytes!("../../weights/embeddings.bin"))?;
    let linear = Linear::parse(include_bytes!("../../weights/linear.bin"))?;
    let convolution = Convolution::parse(include_bytes!("../../weights/convolution.bin"))?;
    Some(Model { pieces, embeddings, linear, convolution, transformer: Transformer::shipped() })
});

impl Model {
    /// The shipped model. It is `None` only if the files in `weights/` do not fit the code, which a test excludes.
    pub fn shipped() -> Option<&'static Self> {
        MODEL.as_ref()
    }

    /// Puts a model together.
    pub fn new(pieces: WordPieces, embeddings: Embeddings, linear: Linear, convolution: Convolution) -> Self {
        Self { pieces, embeddings, linear, convolution, transformer: None }
    }

    /// The same with another transformer stage, or without one.
    #[must_use]
    pub fn with_transformer(self, transformer: Option<&'static Transformer>) -> Self {
        Self { transformer, ..self }
    }

    /// The log odds of the transformer stage for a window of normalised text; `None` if there is no such stage. It takes milliseconds: only
    /// windows of which the other models are not sure are worth it.
    pub fn read_deeply(&self, window: &str) -> Option<Logits> {
        let transformer = self.transformer?;
        let pieces: Vec<usize> = self.pieces.cut(window, transformer::WINDOW_PIECES_MAX).iter().map(|piece| piece.id).collect();
        recent::of(&pieces, transformer)
    }

    /// The word pieces.
    pub fn pieces(&self) -> &WordPieces {
        &self.pieces
    }

    /// The embeddings.
    pub fn embeddings(&self) -> &Embeddings {
        &self.embeddings
    }

    /// Reads a window of normalised text.
    pub fn read(&self, window: &str) -> Reading {
        let linear = self.linear.logits(&ngrams(window));
        let pieces = self.pieces.cut(window, PIECES_MAX);
        let rows = self.embeddings.rows(pieces.iter().map(|piece| piece.id));
        Reading { linear, convolution: self.convolution.logits(&rows) }
    }

    /// Reads windows that follow each other and overlap: what they share is read once. Filters may look over the end of a window.
    pub fn read_windows(&self, text: &str, windows: &[Range<usize>]) -> Rc<[Reading]> {
        recent::readings((self, text, windows), || windows.chunks(BLOCK_WINDOWS).flat_map(|block| self.read_block(text, block)).collect())
    }

    fn read_block(&self, text: &str, windows: &[Range<usize>]) -> Vec<Reading> {
        let (start, end) = (windows.first().map_or(0, |first| first.start), windows.last().map_or(0, |last| last.end));
        let pieces = self.pieces.cut(text.get(start..end).unwrap_or_default(), PIECES_MAX * BLOCK_WINDOWS);
        let activations = self.convolution.activations(&self.embeddings.rows(pieces.iter().map(|piece| piece.id)));
        let read = |window: &Range<usize>| {
            let first = pieces.partition_point(|piece| piece.range.start + start < window.start);
            let last = pieces.partition_point(|piece| piece.range.end + start <= window.end);
            let pooled = activations.pool(first..last.clamp(first, first + PIECES_MAX));
            let linear = self.linear.logits(&ngrams(text.get(window.clone()).unwrap_or_default()));
            Reading { linear, convolution: self.convolution.decide(&pooled) }
        };
        windows.iter().map(read).collect()
    }
}

/// Windows whose pieces are in memory at a time.
const BLOCK_WINDOWS: usize = 16;

/// Normalises a text as the model reads it.
pub fn normalise(text: &str) -> String {
    crate::attack::normalise(text)
}

/// The log odds of a prompt attack with any model, as [`crate::score_prompt_attack`] reads a text. For the trainer.
pub fn attack_logit(model: &Model, text: &str, provenance: crate::Provenance) -> f32 {
    crate::attack::attack_logit(model, text, provenance)
}

/// The log odds from which on an attack is of low, medium and high confidence.
pub fn attack_bands(provenance: crate::Provenance) -> [f32; 3] {
    crate::attack::attack_bands(provenance)
}

/// The log odds of the five content categories with any model. For the trainer.
pub fn content_logits(model: &Model, text: &str) -> [f32; 5] {
    crate::content::content_logits(model, text)
}

/// Windows of about `length` bytes that overlap by half and begin and end between words.
pub fn windows(text: &str, length: usize) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    if text.len() <= length + length / 4 {
        out.push(0..text.len());
        return out;
    }
    let mut start = 0;
    while start < text.len() {
        let end = border(text, start + length);
        out.push(start..end);
        if end >= text.len() {
            break;
        }
        start = border(text, start + length / 2).max(start + 1);
        while !text.is_char_boundary(start) {
            start += 1;
        }
    }
    out
}

/// How far the end of a word is looked for.
const WORD_CHARACTERS_MAX: usize = 40;

/// The end of the word at `at`, if it is near.
fn border(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    let rest = text.get(at..).unwrap_or_default();
    // Only a little further: a text without blanks must not be searched to its end for each window.
    let mut near = rest.char_indices().take(WORD_CHARACTERS_MAX);
    match near.find(|(_, character)| character.is_whitespace()) {
        Some((place, _)) => at + place,
        None if rest.len() <= WORD_CHARACTERS_MAX => text.len(),
        None => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_weights_fit() {
        assert!(Model::shipped().is_some());
    }

    #[test]
    fn windows_cover_the_text() {
        let text = "word and öther ".repeat(300);
        let parts = windows(&text, 600);
        assert_eq!((parts[0].start, parts.last().unwrap().end), (0, text.len()));
        for pair in parts.windows(2) {
            assert!(pair[1].start > pair[0].start && pair[1].start < pair[0].end);
            assert!(text.get(pair[1].clone()).is_some());
        }
        assert_eq!(windows("short", 600).first(), Some(&(0..5)));
        assert!(windows(&"x".repeat(10_000), 600).len() < 40);
    }
}
