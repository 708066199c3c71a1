//! Prompt attacks: instruction override, extraction of the system prompt, role-play jailbreaks, forged delimiters and authority, encoded payloads.

mod rules;
mod views;

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Confidence {
    None,
    Low,
    Medium,
    High,
}

/// A score from 0 to 1 with its band. The bands are set on development sets (see the crate's report), not calibrated probabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct AttackScore {
    /// From 0 to 1.
    pub score: f32,
    /// The band.
    pub confidence: Confidence,
    /// The rules that spoke, strongest view only.
    pub rules: Vec<&'static str>,
}

/// From here on a score is of high confidence.
const HIGH: f32 = 0.8;
/// From here on a score is of medium confidence.
const MEDIUM: f32 = 0.6;
/// From here on a score is of low confidence.
const LOW: f32 = 0.4;
/// Window of text whose evidence is joined, characters. A long document does not add up to an attack.
const WINDOW_CHARACTERS: usize = 1_500;

/// Scores a text as a prompt attack. Time is linear in the text.
pub fn score_prompt_attack(text: &str) -> AttackScore {
    let mut best = (0.0_f32, Vec::new());
    for view in views::views(text) {
        for window in windows(&view.text) {
            let (score, rules) = rules::score(window, view.is_decoded);
            if score > best.0 {
                best = (score, rules);
            }
        }
    }
    let confidence = match best.0 {
        score if score >= HIGH => Confidence::High,
        score if score >= MEDIUM => Confidence::Medium,
        score if score >= LOW => Confidence::Low,
        _ => Confidence::None,
    };
    AttackScore { score: best.0, confidence, rules: best.1 }
}

/// Windows that overlap by half.
fn windows(text: &str) -> impl Iterator<Item = &str> {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(WINDOW_CHARACTERS / 2).collect();
    let ends: Vec<usize> = starts.iter().skip(2).copied().chain([text.len(), text.len()]).collect();
    let single = starts.len() <= 2;
    starts
        .into_iter()
        .zip(ends)
        .take(if single { 1 } else { usize::MAX })
        .filter_map(move |(start, end)| text.get(start..if single { text.len() } else { end }))
}
