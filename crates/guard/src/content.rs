//! Harmful content: HATE, INSULTS, SEXUAL, VIOLENCE, MISCONDUCT.

use std::ops::Range;
use std::sync::LazyLock;

use regex_automata::meta::Regex;

use crate::confidence::{Bands, Confidence};
use crate::definition::ContentCategory;

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

const BANDS: Bands = Bands { low: 0.5, medium: 0.7, high: 0.85 };

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

/// Scores a text in all categories. Time is linear in the text.
pub fn score_content(text: &str) -> ContentScores {
    ContentScores(CATEGORIES.map(|category| {
        let mut doubt = 1.0_f32;
        let mut span = None;
        for (_, weight, regex) in RULES.iter().filter(|(of, ..)| *of == category) {
            if let Some(found) = regex.find(text) {
                doubt *= 1.0 - weight;
                span = span.or(Some(found.range()));
            }
        }
        let score = 1.0 - doubt;
        ContentScore { category, score, confidence: BANDS.of(score), span }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(RULES.len(), rows().len());
    }
}
