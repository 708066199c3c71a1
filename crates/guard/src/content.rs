//! Harmful content: HATE, INSULTS, SEXUAL, VIOLENCE, MISCONDUCT.

use std::ops::Range;
use std::sync::LazyLock;

use regex_automata::meta::Regex;

use crate::attack::normalise_with_places;
use crate::confidence::{Bands, Confidence};
use crate::definition::ContentCategory;
use crate::model::{Model, Reading, windows};

/// One category's score.
#[derive(Clone, Debug, PartialEq)]
pub struct ContentScore {
    /// The category.
    pub category: ContentCategory,
    /// From 0 to 1.
    pub score: f32,
    /// The band.
    pub confidence: Confidence,
    /// The bytes of the text that spoke most, if any did.
    pub span: Option<Range<usize>>,
}

/// The scores of all five categories, in the order of [`CATEGORIES`].
#[derive(Clone, Debug, PartialEq)]
pub struct ContentScores([ContentScore; 5]);

/// The categories that [`score_content`] scores.
pub const CATEGORIES: [ContentCategory; 5] =
    [ContentCategory::Hate, ContentCategory::Insults, ContentCategory::Sexual, ContentCategory::Violence, ContentCategory::Misconduct];

impl ContentScores {
    /// All scores.
    pub fn iter(&self) -> impl Iterator<Item = &ContentScore> {
        self.0.iter()
    }

    /// The score of a category; `None` for prompt attacks, which [`crate::score_prompt_attack`] scores.
    pub fn get(&self, category: ContentCategory) -> Option<&ContentScore> {
        self.0.iter().find(|score| score.category == category)
    }
}

const BANDS: Bands = Bands { low: 0.3, medium: 1.5, high: 3.0 };

static RULES: LazyLock<Vec<(ContentCategory, f32, Regex)>> = LazyLock::new(|| {
    let compile = |(category, weight, pattern): &(ContentCategory, f32, &str)| {
        Regex::new(&format!("(?i){pattern}")).ok().map(|regex| (*category, *weight, regex))
    };
    rows().iter().filter_map(compile).collect()
});

#[rustfmt::skip]
fn rows() -> Vec<(ContentCategory, f32, &'static str)> {
    use ContentCategory::{Hate, Insults, Misconduct, Sexual, Violence};
    vec![
        (Hate, 0.7, r"\b(?:hate|despise|get rid of|deport|exterminate|gas) (?:all )?(?:the )?(?:jews|muslims|blacks|gays|immigrants|women|trans people|christians|refugees|mexicans|asians|foreigners)\b"),
        (Hate, 0.7, r"\b(?:jews|muslims|blacks|gays|immigrants|women|refugees|mexicans|foreigners) (?:are|should) (?:all )?(?:vermin|animals|subhuman|inferior|filth|scum|parasites|be (?:shot|killed|deported|exterminated))\b"),
        (Insults, 0.7, r"\byou(?:'re| are)? (?:such )?(?:an? )?(?:fucking |stupid |complete |total |worthless |pathetic )*(?:idiot|moron|loser|imbecile|scumbag|piece of (?:shit|trash|garbage)|bastard|asshole|bitch|dumbass)s?\b"),
        (Sexual, 0.7, r"\b(?:blow ?job|cum(?:ming)? (?:on|in)|fuck(?:ed|ing)? (?:her|him|me) (?:hard|raw)|her (?:wet )?pussy|his (?:hard )?cock|explicit sex scene|porn(?:ographic)? story)\b"),
        (Violence, 0.7, r"\b(?:i(?:'ll| will| want to|'m going to)|we should) (?:kill|murder|stab|shoot|behead|slaughter|torture|beat) (?:him|her|them|you|everyone|my (?:wife|husband|boss|neighbo[u]?r))\b"),
        (Misconduct, 0.7, r"\bhow (?:to|do i|can i) (?:make|build|cook|synthesi[sz]e|hack into|steal|launder|forge|counterfeit|smuggle) (?:an? |some )?(?:bomb|pipe bomb|meth\w*|explosives?|someone's|money|passports?|credit cards?|drugs?|ransomware|malware)\b"),
    ]
}

/// Bytes of a window.
const WINDOW_BYTES: usize = 600;
/// Log odds of the cheap models between which the transformer stage is asked, too.
const GREY: Range<f32> = -6.0..7.0;
/// Weight of the cheap models where it is.
const DEEP_CHEAP: f32 = 0.2;
/// Weight of the transformer stage.
const DEEP: f32 = 0.8;
/// Weight of a rule that matches, log odds.
const RULE: f32 = 3.0;

/// Scores a text in all categories. Time is linear in the text.
pub fn score_content(text: &str) -> ContentScores {
    let best = best_windows(Model::shipped(), text);
    let mut best = best.into_iter();
    ContentScores(CATEGORIES.map(|category| {
        let (logit, span) = best.next().unwrap_or((-6.0, 0..0));
        let confidence = BANDS.of(logit);
        let span = Some(span).filter(|_| confidence > Confidence::None);
        ContentScore { category, score: 1.0 / (1.0 + (-logit).exp()), confidence, span }
    }))
}

pub(crate) fn content_logits(model: &Model, text: &str) -> [f32; 5] {
    best_windows(Some(model), text).map(|(logit, _)| logit)
}

/// The highest log odds of each category with the bytes of the window.
fn best_windows(model: Option<&Model>, text: &str) -> [(f32, Range<usize>); 5] {
    let (plain, places) = normalise_with_places(text);
    let parts = windows(&plain, WINDOW_BYTES);
    let readings = model.map(|model| model.read_windows(&plain, &parts));
    let mut readings = readings.iter().flat_map(|readings| readings.iter());
    let scored: Vec<([f32; 5], Range<usize>)> =
        parts.into_iter().map(|window| (cheap_logits(readings.next(), plain.get(window.clone()).unwrap_or_default()), window)).collect();
    let mut best = highest(scored.iter().map(|(logits, window)| (*logits, window)));
    if let (Some(model), true) = (model, best.iter().any(|(logit, _)| GREY.contains(logit))) {
        let chosen = surest(&best);
        let deep: Option<Vec<_>> = scored
            .iter()
            .filter(|(_, window)| chosen.contains(window))
            .map(|(cheap, window)| {
                let deep = model.read_deeply(plain.get(window.clone())?)?;
                let mut logits = *cheap;
                for (target, deep) in logits.iter_mut().zip(deep.iter().skip(2)) {
                    *target = DEEP_CHEAP * *target + DEEP * deep.clamp(-8.0, 8.0);
                }
                Some((logits, window))
            })
            .collect();
        if let Some(deep) = deep {
            best = highest(deep.iter().map(|(logits, window)| (*logits, *window)));
        }
    }
    let place = |at: usize| places.get(at).and_then(|byte| usize::try_from(*byte).ok()).unwrap_or(text.len());
    best.map(|(logit, window)| (logit, place(window.start)..place(window.end)))
}

/// The windows that are worth a deep reading: the two surest ones, and each that a category would act on.
fn surest(best: &[(f32, Range<usize>); 5]) -> Vec<Range<usize>> {
    let mut ranked: Vec<&(f32, Range<usize>)> = best.iter().filter(|(logit, _)| *logit >= GREY.start).collect();
    ranked.sort_by(|left, right| right.0.total_cmp(&left.0));
    let mut chosen: Vec<Range<usize>> = Vec::new();
    for (logit, window) in ranked {
        if !chosen.contains(window) && (chosen.len() < 2 || *logit >= BANDS.low) {
            chosen.push(window.clone());
        }
    }
    chosen
}

/// The log odds of the cheap models and the rules for a window.
fn cheap_logits(reading: Option<&Reading>, window: &str) -> [f32; 5] {
    let mut out = [0.0; 5];
    for ((target, category), head) in out.iter_mut().zip(CATEGORIES).zip(2_usize..) {
        let of = |logits: &[f32; 7]| logits.get(head).copied().unwrap_or(0.0).clamp(-8.0, 8.0);
        let read = reading.map_or(-2.0, |reading| 0.4 * of(&reading.linear) + 0.6 * of(&reading.convolution));
        let rules =
            RULES.iter().filter(|(of, _, regex)| *of == category && regex.is_match(window)).map(|(_, weight, _)| weight).sum::<f32>();
        *target = read + RULE * rules;
    }
    out
}

/// The highest log odds of each category and their windows.
fn highest<'w>(scored: impl Iterator<Item = ([f32; 5], &'w Range<usize>)>) -> [(f32, Range<usize>); 5] {
    let mut best = CATEGORIES.map(|_| (-8.0_f32, 0..0));
    for (logits, window) in scored {
        for (target, logit) in best.iter_mut().zip(logits) {
            if logit > target.0 || target.1.is_empty() {
                *target = (logit, window.clone());
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(RULES.len(), rows().len());
    }
}
