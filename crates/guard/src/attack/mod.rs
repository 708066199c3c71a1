//! Prompt attacks: instruction override, extraction of the system prompt, role-play jailbreaks, forged delimiters and authority, encoded payloads.

mod rules;
mod views;

use std::ops::Range;

pub(crate) use crate::confidence::Confidence;

/// Whose words a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provenance {
    /// A user's, who may give instructions: only attacks on the model or its rules count.
    User,
    /// A document's, tool result's, e-mail's, web page's or code's: any instruction to the machine that reads it counts.
    Data,
}

/// The scores of the categories of `InvokeGuardrailChecks`, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AttackCategories {
    /// Role play, personas and modes without rules.
    pub jailbreak: f32,
    /// Instructions that take the place of the given ones.
    pub prompt_injection: f32,
    /// Extraction of the system prompt or of secrets in it.
    pub prompt_leakage: f32,
}

/// A score from 0 to 1 with its band. The bands are set on development sets (see the model card), they are not calibrated probabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct AttackScore {
    /// From 0 to 1.
    pub score: f32,
    /// The band.
    pub confidence: Confidence,
    /// The kind of attack: the highest of the three is `score`.
    pub categories: AttackCategories,
    /// The bytes of the text that spoke most: a window of it, or what was hidden in an encoding; `None` if nothing spoke.
    pub span: Option<Range<usize>>,
    /// The rules that spoke, strongest view only.
    pub rules: Vec<&'static str>,
    /// How many windows were looked at.
    pub window_count: usize,
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
pub fn score_prompt_attack(text: &str, provenance: Provenance) -> AttackScore {
    let mut best = (0.0_f32, Vec::new());
    let mut window_count = 0;
    let _ = provenance;
    for view in views::views(text) {
        for window in windows(&view.text) {
            window_count += 1;
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
    let span = (best.0 > 0.0).then_some(0..text.len());
    let categories = categories(best.0, &best.1);
    AttackScore { score: best.0, confidence, categories, span, rules: best.1, window_count }
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

/// Shares the score among the categories by the rules that spoke.
fn categories(score: f32, rules: &[&str]) -> AttackCategories {
    const JAILBREAK: &str = "do anything now, jailbreak named, developer mode, no restrictions, unfiltered persona, persona of another machine, you are now, \
        never refuse, must comply, stay in character, vendor policy, two answers, as an ai forbidden, known personas, tokens to lose, hypothetical without rules";
    const LEAKAGE: &str =
        "system prompt extraction, your prompt, prompt behind the answers, text above, starting with you are, system prompt named, secrets";
    let count = |list: &str| rules.iter().filter(|rule| list.split(", ").any(|known| known.trim() == **rule)).count();
    let (jailbreak, leakage) = (count(JAILBREAK), count(LEAKAGE));
    let injection = rules.len() - jailbreak - leakage;
    let most = jailbreak.max(leakage).max(injection);
    let share = |own: usize| match own {
        0 => 0.0,
        own if own == most => score,
        _ => score * 0.6,
    };
    AttackCategories { jailbreak: share(jailbreak), prompt_injection: share(injection), prompt_leakage: share(leakage) }
}
