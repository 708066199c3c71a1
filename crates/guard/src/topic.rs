//! Denied topics: how near a text is to a definition and its examples, for topics that were never seen.

use std::collections::HashMap;
use std::ops::Range;

use crate::confidence::{Bands, Confidence};
use crate::sentence::sentences;

/// Most examples of a topic (Bedrock: 5).
const EXAMPLES_MAX: usize = 5;
const BANDS: Bands = Bands { low: 0.45, medium: 0.55, high: 0.65 };

/// A topic that is ready to compare with.
#[derive(Clone, Debug)]
pub struct Topic {
    name: String,
    definition: Terms,
    examples: Vec<Terms>,
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

/// Weighted terms of unit length.
#[derive(Clone, Debug, Default)]
struct Terms(HashMap<String, f32>);

impl Terms {
    fn new(text: &str) -> Self {
        let mut terms = HashMap::new();
        for word in crate::sentence::content_words(text) {
            *terms.entry(word).or_insert(0.0) += 1.0_f32;
        }
        let length = terms.values().map(|weight| weight * weight).sum::<f32>().sqrt();
        if length > 0.0 {
            for weight in terms.values_mut() {
                *weight /= length;
            }
        }
        Self(terms)
    }

    fn cosine(&self, other: &Self) -> f32 {
        self.0.iter().filter_map(|(term, weight)| other.0.get(term).map(|own| own * weight)).sum()
    }
}

impl Topic {
    /// Prepares a topic. Examples after the fifth are left out.
    pub fn compile(name: &str, definition: &str, examples: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            definition: Terms::new(&format!("{name}. {definition}")),
            examples: examples.iter().take(EXAMPLES_MAX).map(|example| Terms::new(example)).collect(),
        }
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compares a text. Time is linear in the text.
    pub fn score(&self, text: &str) -> TopicScore {
        let mut best = TopicScore { score: 0.0, confidence: Confidence::None, span: None };
        for range in sentences(text) {
            let terms = Terms::new(text.get(range.clone()).unwrap_or_default());
            let near =
                self.examples.iter().map(|example| example.cosine(&terms)).fold(self.definition.cosine(&terms) * 1.2, f32::max).min(1.0);
            if near > best.score {
                best = TopicScore { score: near, confidence: BANDS.of(near), span: Some(range) };
            }
        }
        best
    }
}
