//! Denied topics: how near a text is to a definition and its examples, for topics that were never seen.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use crate::confidence::{Bands, Confidence};
use crate::model::{DIMENSIONS, Model, normalise, windows};
use crate::sentence::{content_words, sentences};

/// Most examples of a topic (Bedrock: 5).
const EXAMPLES_MAX: usize = 5;
/// Set on CLINC150's intents as topics; see `weights/MODEL_CARD.md`.
const BANDS: Bands = Bands { low: 0.5, medium: 0.6, high: 0.7 };
/// Most sentences of a text that are compared by themselves.
const SENTENCES_MAX: usize = 2_000;
/// Word pieces of a sentence that are read.
const PIECES_MAX: usize = 160;

/// A topic that is ready to compare with.
#[derive(Clone, Debug)]
pub struct Topic {
    name: String,
    definition: Meaning,
    examples: Vec<Meaning>,
}

/// How near a text is.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicScore {
    /// From 0 to 1.
    pub score: f32,
    /// The band.
    pub confidence: Confidence,
    /// The bytes of the sentence that is nearest, if any is near at all.
    pub span: Option<Range<usize>>,
}

/// What a sentence is about: the mean of its embeddings and its stems, each of unit length.
#[derive(Clone, Debug)]
struct Meaning {
    mean: [f32; DIMENSIONS],
    stems: HashMap<String, f32>,
}

impl Meaning {
    fn new(text: &str) -> Self {
        let mut mean = mean(text);
        let common: f32 = mean.iter().zip(COMMON.iter()).map(|(own, common)| own * common).sum();
        for (own, shared) in mean.iter_mut().zip(COMMON.iter()) {
            *own -= common * shared;
        }
        let length = mean.iter().map(|value| value * value).sum::<f32>().sqrt();
        for value in &mut mean {
            *value /= length.max(0.3);
        }
        let mut stems = HashMap::new();
        for word in content_words(text).take(PIECES_MAX) {
            *stems.entry(word).or_insert(0.0) += 1.0_f32;
        }
        let length = stems.values().map(|weight| weight * weight).sum::<f32>().sqrt();
        for weight in stems.values_mut() {
            *weight /= length.max(1.0);
        }
        Self { mean, stems }
    }

    /// From 0 to 1.
    fn nearness(&self, other: &Self) -> f32 {
        let meaning: f32 = self.mean.iter().zip(&other.mean).map(|(left, right)| left * right).sum();
        let words: f32 = self.stems.iter().filter_map(|(stem, weight)| other.stems.get(stem).map(|own| own * weight)).sum();
        (0.75 * meaning + 0.35 * words).clamp(0.0, 1.0)
    }
}

/// What requests have in common whatever they are about; it is taken out of each meaning.
static COMMON: LazyLock<[f32; DIMENSIONS]> = LazyLock::new(|| {
    mean(
        "how do i can you please tell me what is the which should i help me need want my questions requests about would like to know give explain",
    )
});

fn mean(text: &str) -> [f32; DIMENSIONS] {
    Model::shipped().map_or([0.0; DIMENSIONS], |model| {
        let plain = normalise(text);
        model.embeddings().mean(model.pieces().cut(&plain, PIECES_MAX).into_iter().map(|piece| piece.id))
    })
}

impl Topic {
    /// Prepares a topic. Examples after the fifth are left out.
    pub fn compile(name: &str, definition: &str, examples: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            definition: Meaning::new(&format!("{name}. {definition}")),
            examples: examples.iter().take(EXAMPLES_MAX).map(|example| Meaning::new(example)).collect(),
        }
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compares a text, sentence by sentence and as a whole. Time is linear in the text.
    pub fn score(&self, text: &str) -> TopicScore {
        let mut best = TopicScore { score: 0.0, confidence: Confidence::None, span: None };
        let mut parts: Vec<Range<usize>> = sentences(text).into_iter().take(SENTENCES_MAX).collect();
        if parts.len() > 1 {
            parts.extend(windows(text, 600));
        }
        for range in parts {
            let meaning = Meaning::new(text.get(range.clone()).unwrap_or_default());
            let nearest = self.examples.iter().map(|example| example.nearness(&meaning)).fold(0.0, f32::max);
            let defined = self.definition.nearness(&meaning);
            let near = nearest.max(defined * DEFINITION).max(f32::midpoint(nearest, defined));
            if near > best.score {
                best = TopicScore { score: near, confidence: BANDS.of(near), span: Some(range) };
            }
        }
        best
    }
}

/// What a definition weighs beside an example: it speaks of the topic, an example is of it.
const DEFINITION: f32 = 1.05;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_was_never_seen() {
        let topic = Topic::compile(
            "Investment advice",
            "Recommendations about buying or selling stocks, funds, bonds or crypto coins",
            &["Should I buy shares of this company?", "Where do I invest 5000 dollars?", "Is gold better than a savings account?"],
        );
        for text in [
            "Which stocks should I purchase this year?",
            "Is it smart to put my savings in bitcoin?",
            "hello there. what funds do you recommend for retirement?",
        ] {
            assert!(topic.score(text).confidence > Confidence::None, "{text} {:?}", topic.score(text));
        }
        for text in ["How do I bake a chocolate cake?", "The weather is lovely today.", "Please reset my password.", ""] {
            assert_eq!(topic.score(text).confidence, Confidence::None, "{text} {:?}", topic.score(text));
        }
        assert_eq!(topic.name(), "Investment advice");
    }
}
