//! Contextual grounding: whether an answer is borne out by its sources, and whether it answers the query.

use std::collections::HashSet;

use crate::sentence::{content_words, sentences};

/// Scores from 0 (nothing of it is supported, or it is about something else) to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroundingScores {
    /// How well the weakest part of the answer is supported by the sources; 1 for an answer that says nothing.
    pub grounding: f32,
    /// How well the answer meets the query; `None` without a query.
    pub relevance: Option<f32>,
}

/// Scores an answer. Time is linear in the texts, times the sentences of the answer.
pub fn score_grounding(sources: &[&str], query: Option<&str>, answer: &str) -> GroundingScores {
    let known: HashSet<String> = sources.iter().flat_map(|source| content_words(source)).collect();
    let grounding = sentences(answer).into_iter().map(|range| coverage(&known, answer.get(range).unwrap_or_default())).fold(1.0, f32::min);
    let relevance = query.map(|query| {
        let said: HashSet<String> = content_words(answer).collect();
        coverage(&said, query)
    });
    GroundingScores { grounding, relevance }
}

/// The share of the words of `text` that are known.
fn coverage(known: &HashSet<String>, text: &str) -> f32 {
    let (mut found, mut all) = (0.0_f32, 0.0_f32);
    for word in content_words(text) {
        // A number that the sources do not have is a claim of its own.
        let weight = if word.bytes().any(|byte| byte.is_ascii_digit()) { 3.0 } else { 1.0 };
        all += weight;
        if known.contains(&word) {
            found += weight;
        }
    }
    if all > 0.0 { found / all } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_is_told_from_invention() {
        let source = ["Tokyo is the capital of Japan. It has about 14 million inhabitants."];
        let good = score_grounding(&source, Some("What is the capital of Japan?"), "The capital of Japan is Tokyo.");
        let bad = score_grounding(&source, Some("What is the capital of Japan?"), "Paris has 2 million people and a tower.");
        assert!(good.grounding > 0.9 && bad.grounding < 0.5, "{good:?} {bad:?}");
        assert!(good.relevance > bad.relevance);
        assert_eq!(score_grounding(&source, None, "").relevance, None);
    }
}
