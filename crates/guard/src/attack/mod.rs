//! Prompt attacks: instruction override, extraction of the system prompt, role-play jailbreaks, forged delimiters and authority, encoded payloads.

mod calibration;
mod decode;
mod material;
mod rules;
mod views;

pub use material::bears_material;
pub(crate) use views::{normalise, normalise_with_places};

use std::ops::Range;

use crate::model::{Head, Model, Reading, windows};
use crate::sentence::sentences;

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

/// Bytes of a window. Longer texts are read in windows that overlap by half.
const WINDOW_BYTES: usize = 600;
/// Most windows that the model reads of one text; the rest is read by the rules alone.
const READ_MAX: usize = 2_000;
/// Longest sentence of a document that is read by itself, bytes.
const SENTENCE_BYTES_MAX: usize = 300;
/// Shortest sentence of a document that is read by itself, bytes.
const SENTENCE_BYTES_MIN: usize = 12;

/// Windows of a text that the transformer stage reads, at most: the surest ones.
const WINDOWS_DEEP: usize = 2;
/// Sentences of a document that it reads, at most.
const SENTENCES_DEEP: usize = 4;

/// Log odds of a text in which nothing can be read.
const LOGIT_MIN: f32 = -12.0;

/// What the best window says.
#[derive(Clone, Debug, Default)]
struct Best {
    logit: f32,
    rules: Vec<&'static str>,
    span: Option<Range<usize>>,
    window_count: usize,
}

/// Scores a text as a prompt attack. Time is linear in the text.
pub fn score_prompt_attack(text: &str, provenance: Provenance) -> AttackScore {
    let best = best_window(Model::shipped(), text, provenance);
    let logit = best.logit - allowance(&best, text, provenance);
    let score = 1.0 / (1.0 + (-logit).exp());
    let confidence = calibration::bands(provenance).of(logit);
    let (categories, rules) = (categories(score, &best.rules), best.rules);
    let span = best.span.filter(|_| confidence > Confidence::None);
    AttackScore { score, confidence, categories, span, rules, window_count: best.window_count }
}

/// How much surer, in log odds, material of others must be of an instruction before a user's message counts as one that brings an injection: the user's
/// own request stands beside it and is one, too.
const MATERIAL_ALLOWANCE: f32 = 1.0;

/// The categories of a user's message that may bring material of others along: an instruction in an e-mail, a table, code, markup or records counts
/// as prompt injection. Where its form shows no material they are those of [`score_prompt_attack`].
///
/// For scores only. A guardrail is told by the request what is whose, and does not guess.
pub fn score_message(text: &str) -> AttackCategories {
    let mut categories = score_prompt_attack(text, Provenance::User).categories;
    if bears_material(text) {
        let probability = score_prompt_attack(text, Provenance::Data).score;
        let injection = probability / (probability + (1.0 - probability) * MATERIAL_ALLOWANCE.exp());
        categories.prompt_injection = categories.prompt_injection.max(injection);
    }
    categories
}

/// The score as log odds before bands, with a model that is not the shipped one. For the trainer.
pub(crate) fn attack_logit(model: &Model, text: &str, provenance: Provenance) -> f32 {
    let best = best_window(Some(model), text, provenance);
    best.logit - allowance(&best, text, provenance)
}

/// What the best part must have more than the bands say: the best of many must be surer, and code with the advice around it sounds like orders.
fn allowance(best: &Best, text: &str, provenance: Provenance) -> f32 {
    let of_code = if provenance == Provenance::Data && material::is_code(text) { calibration::CODE_ALLOWANCE } else { 0.0 };
    calibration::allowance(best.window_count) + of_code
}

/// The log odds at which the bands begin, lowest first.
pub(crate) fn attack_bands(provenance: Provenance) -> [f32; 3] {
    let bands = calibration::bands(provenance);
    [bands.low, bands.medium, bands.high]
}

/// A part of a view that the transformer stage may read.
struct Candidate {
    /// Log odds without it.
    logit: f32,
    view: usize,
    range: Range<usize>,
    rules: Vec<&'static str>,
}

/// The surest parts of a text, surest first.
#[derive(Default)]
struct Candidates {
    chosen: Vec<Candidate>,
    /// The surest of those that there was no room for.
    left_out: Option<Candidate>,
}

impl Candidates {
    fn take(&mut self, candidate: Candidate, most: usize) {
        let place = self.chosen.partition_point(|other| other.logit >= candidate.logit);
        self.chosen.insert(place, candidate);
        if self.chosen.len() > most {
            let last = self.chosen.pop().filter(|last| self.left_out.as_ref().is_none_or(|left| left.logit < last.logit));
            self.left_out = last.or(self.left_out.take());
        }
    }
}

fn best_window(model: Option<&Model>, text: &str, provenance: Provenance) -> Best {
    let mut best = Best { logit: LOGIT_MIN, ..Best::default() };
    let views = views::views(text);
    let mut turned = Best { logit: LOGIT_MIN, ..Best::default() };
    let (mut parts_to_read, mut sentences_to_read) = (Candidates::default(), Candidates::default());
    for (number, view) in views.iter().enumerate() {
        let parts = windows(&view.text, WINDOW_BYTES);
        let may_read = !view.is_turned && best.window_count < READ_MAX;
        let readings = model.filter(|_| may_read).map(|model| model.read_windows(&view.text, &parts));
        let mut readings = readings.iter().flat_map(|readings| readings.iter());
        for range in parts {
            let Some(window) = view.text.get(range.clone()) else { continue };
            let (weight, rules) = rules::score(window, view.is_decoded, provenance);
            let reading = readings.next();
            best.window_count += usize::from(!view.is_turned);
            if !view.is_turned || weight >= 0.5 {
                let logit = fuse(reading, weight, provenance);
                if view.is_turned || reading.is_none() {
                    turned.take(logit, rules.clone(), view, range.clone());
                } else {
                    parts_to_read.take(Candidate { logit, view: number, range: range.clone(), rules: rules.clone() }, WINDOWS_DEEP);
                }
                best.take(logit, rules, view, range);
            }
        }
        if let (Provenance::Data, true, Some(model)) = (provenance, may_read, model) {
            read_sentences(model, (view, number), &mut best, &mut sentences_to_read);
        }
    }
    let is_grey = calibration::grey(provenance).contains(&best.logit);
    let left_out = [parts_to_read.left_out, sentences_to_read.left_out];
    let candidates: Vec<Candidate> = parts_to_read.chosen.into_iter().chain(sentences_to_read.chosen).collect();
    let mut best = match model {
        Some(model) if is_grey => read_deeply(model, &views, candidates, provenance, turned, best),
        _ => return best,
    };
    // What nobody read deeply counts as it was read: else suspicious padding would hide an attack behind it.
    for Candidate { logit, view, range, rules } in left_out.into_iter().flatten() {
        if let Some(view) = views.get(view).filter(|_| logit >= calibration::bands(provenance).low) {
            best.take(logit, rules, view, range);
        }
    }
    best
}

/// Reads the sentences of a document: an instruction between rows of a table is seen by itself. Of the rules only those for data read them.
fn read_sentences(model: &Model, (view, number): (&views::View, usize), best: &mut Best, candidates: &mut Candidates) {
    for range in sentences(&view.text).into_iter().take(READ_MAX * 4) {
        let is_read = range.len() < view.text.len() && (SENTENCE_BYTES_MIN..=SENTENCE_BYTES_MAX).contains(&range.len());
        if let (Some(sentence), true) = (view.text.get(range.clone()), is_read) {
            best.window_count += 1;
            let (weight, rules) = rules::score_sentence(sentence);
            let logit = fuse(Some(&model.read(sentence)), weight, Provenance::Data);
            candidates.take(Candidate { logit, view: number, range: range.clone(), rules: rules.clone() }, SENTENCES_DEEP);
            best.take(logit, rules, view, range);
        }
    }
}

/// The transformer stage reads what the other models were surest of and decides with them.
fn read_deeply(
    model: &Model,
    views: &[views::View],
    mut candidates: Vec<Candidate>,
    provenance: Provenance,
    turned: Best,
    shallow: Best,
) -> Best {
    let mut best = Best { window_count: shallow.window_count, ..turned };
    candidates.sort_by(|left, right| right.logit.total_cmp(&left.logit));
    let decided = calibration::bands(provenance).high + calibration::allowance(best.window_count);
    for Candidate { logit, view, range, rules } in candidates {
        // Nothing is above the highest band, and what cannot become the surest part decides nothing.
        if best.logit >= decided || calibration::deep_most(provenance, logit) <= best.logit {
            break;
        }
        let Some(view) = views.get(view) else { continue };
        let deep = view.text.get(range.clone()).and_then(|part| model.read_deeply(part));
        // Without such a stage the others decide alone.
        let Some(deep) = deep.and_then(|logits| logits.get(head(provenance) as usize).copied()) else { return shallow };
        best.take(calibration::deep(provenance, logit, deep), rules, view, range);
    }
    best
}

impl Best {
    fn take(&mut self, logit: f32, rules: Vec<&'static str>, view: &views::View, range: Range<usize>) {
        if logit > self.logit {
            (self.logit, self.rules, self.span) = (logit, rules, Some(view.origin(range)));
        }
    }
}

fn head(provenance: Provenance) -> Head {
    match provenance {
        Provenance::User => Head::UserAttack,
        Provenance::Data => Head::DataAttack,
    }
}

/// Joins the model's log odds with the rules' evidence.
fn fuse(reading: Option<&Reading>, rules: f32, provenance: Provenance) -> f32 {
    let Some(reading) = reading else {
        return calibration::RULES_ONLY * rules + calibration::RULES_BIAS;
    };
    let of = |logits: &[f32; 7]| logits.get(head(provenance) as usize).copied().unwrap_or(0.0).clamp(-8.0, 8.0);
    calibration::LINEAR * of(&reading.linear)
        + calibration::CONVOLUTION * of(&reading.convolution)
        + calibration::rules(provenance) * rules
        + calibration::BIAS
}

/// Shares the score among the categories by the rules that spoke.
fn categories(score: f32, rules: &[&str]) -> AttackCategories {
    const JAILBREAK: &str = "do anything now, jailbreak named, developer mode, no restrictions, unfiltered persona, persona of another machine, you are now, \
        never refuse, must comply, stay in character, vendor policy, two answers, as an ai forbidden, known personas, tokens to lose, hypothetical without rules";
    const LEAKAGE: &str =
        "system prompt extraction, your prompt, prompt behind the answers, text above, starting with you are, system prompt named, secrets";
    let count = |list: &str| rules.iter().filter(|rule| list.split(", ").any(|known| known.trim() == **rule)).count();
    let (jailbreak, leakage) = (count(JAILBREAK), count(LEAKAGE));
    // Where only the model spoke nothing tells the kind: an injection is what the word means most widely.
    let injection = if rules.is_empty() { 1 } else { rules.len() - jailbreak - leakage };
    let most = jailbreak.max(leakage).max(injection);
    let share = |own: usize| match own {
        0 => 0.0,
        own if own == most => score,
        _ => score * 0.6,
    };
    AttackCategories { jailbreak: share(jailbreak), prompt_injection: share(injection), prompt_leakage: share(leakage) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_part_without_room_is_kept() {
        let mut candidates = Candidates::default();
        for logit in [1.0, 5.0, 2.0, 4.0, 3.0] {
            candidates.take(Candidate { logit, view: 0, range: 0..1, rules: Vec::new() }, 2);
        }
        let chosen: Vec<f32> = candidates.chosen.iter().map(|candidate| candidate.logit).collect();
        assert_eq!(chosen, [5.0, 4.0]);
        assert_eq!(candidates.left_out.map(|candidate| candidate.logit), Some(3.0));
    }
}
