//! Contextual grounding: whether an answer is borne out by its sources, and whether it answers the query.
//!
//! Words are compared by stem and, where none is the same, by meaning. Numbers, names, negation and opposites must agree with the sentence that is
//! nearest, and a number or a name of the sources belongs to what it stands with there. That is no entailment: an answer that says something else with the
//! same words passes.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::model::{DIMENSIONS, Model};
use crate::sentence::{content_words, sentences, stem};

/// Scores from 0 (nothing of it is supported, or it is about something else) to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroundingScores {
    /// How well the weakest part of the answer is supported by the sources; 1 for an answer that says nothing.
    pub grounding: f32,
    /// How well the answer meets the query; `None` without a query.
    pub relevance: Option<f32>,
}

/// Most words of the sources that unknown words are compared with by meaning.
const MEANINGS_MAX: usize = 2_000;
/// Most unknown words of an answer that are compared by meaning.
const UNKNOWN_MAX: usize = 200;
/// Most clauses that a word of the sources leads to.
const CLAUSES_OF_A_WORD_MAX: usize = 64;
/// The likeness from which on a word begins to count for another, and from which on it counts in full.
const LIKENESS: [f32; 2] = [0.45, 0.85];
/// What a word that is only alike counts for at most.
const ALIKE_MOST: f32 = 0.9;
/// What remains of a sentence with a number that the sources do not have.
const WRONG_NUMBER: f32 = 0.4;
/// What remains of a sentence with a name that the sources do not have.
const WRONG_NAME: f32 = 0.6;
/// What remains of a sentence with a number or a name that the sources say of something else.
const MISPLACED: f32 = 0.4;
/// Most sentences of the sources that are looked through for where a number or a name belongs.
const PLACES_MAX: usize = 2_000;
/// Most clauses of an answer, with the numbers and names in them, whose place is looked for.
const CLAIMS_MAX: usize = 200;
/// Most words that tell what such a clause is about.
const CLAUSE_WORDS_MAX: usize = 64;
/// What remains of a sentence that says the contrary of the nearest one.
const CONTRARY: f32 = 0.4;

/// Words that turn a sentence round.
const NEGATIONS: &str = " not no never none nobody nothing neither nor cannot without unable t hardly ";
/// Words and their opposites, by stem: `left/right`.
const OPPOSITES: &str = "rise,rose,increas,grow,grew,up,climb,gain/fall,fell,decreas,declin,drop,down,shrink,shrank,lose,lost open/clos cover,includ,contain/exclud \
    accept,approv,agre/reject,refus,deni,turned,declin allow,permit,may/forbid,forbidden,prohibit,ban above,over/below,under before/after front/back,rear \
    long,longer/short,shorter high,higher,highest/low,lower,lowest more,most/less,fewer,least first/last support/drop,discontinu start,begin,began/end,stop \
    win,won/lose,lost buy,bought,purchas/sell,sold same/differ,different maximum/minimum legal/illegal safe/danger,unsafe enabl/disabl true/fals \
    north,northern/south,southern east,eastern/west,western hot,warm/cold,cool early,earlier/late,later pass/fail inside/outside old,older/new,newer \
    public/privat free/paid,charg import/export add/remov,subtract left/right day/night summer/winter easi/difficult,hard";

static SIDES: LazyLock<HashMap<&'static str, Vec<(usize, bool)>>> = LazyLock::new(|| {
    let mut sides = HashMap::<&str, Vec<(usize, bool)>>::new();
    for (place, pair) in OPPOSITES.split_whitespace().enumerate() {
        let (left, right) = pair.split_once('/').unwrap_or((pair, ""));
        for (words, side) in [(left, false), (right, true)] {
            for word in words.split(',').filter(|word| !word.is_empty()) {
                sides.entry(word).or_default().push((place, side));
            }
        }
    }
    sides
});

/// A part of a sentence that says one thing.
#[derive(Default)]
struct Clause {
    stems: HashSet<String>,
    is_negative: bool,
    sides: Vec<(usize, bool)>,
}

impl Clause {
    fn new(text: &str) -> Self {
        let mut clause = Self::default();
        for word in text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let lower = word.to_lowercase();
            clause.is_negative ^= NEGATIONS.contains(&format!(" {lower} "));
            let sides = SIDES.get(lower.as_str()).or_else(|| SIDES.get(stem(&lower).as_str()));
            clause.sides.extend(sides.into_iter().flatten());
            // What has an opposite does not tell what a clause is about.
            if sides.is_none() && !is_number(&lower) {
                clause.stems.extend(content_words(word));
            }
        }
        clause
    }

    /// Whether it says the contrary of another clause about the same: one of them is turned round, by a negation or by an opposite.
    fn contradicts(&self, other: &Self) -> bool {
        let has = |sides: &[(usize, bool)], wanted: (usize, bool)| sides.contains(&wanted);
        let is_opposed = self.sides.iter().any(|(place, side)| {
            has(&other.sides, (*place, !side)) && !has(&other.sides, (*place, *side)) && !has(&self.sides, (*place, !side))
        });
        is_opposed ^ (self.is_negative != other.is_negative)
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
}

/// The clauses of a sentence: between commas and the words that join sentences.
fn clauses(sentence: &str) -> Vec<String> {
    const JOINTS: &str = " and but while because although whereas however since so which who if unless until ";
    let mut out = vec![String::new()];
    for word in sentence.split_whitespace() {
        if JOINTS.contains(&format!(" {} ", word.to_lowercase())) && out.last().is_some_and(|clause| !clause.is_empty()) {
            out.push(String::new());
        }
        if let Some(clause) = out.last_mut() {
            clause.push(' ');
            clause.push_str(word);
        }
        if word.ends_with([',', ';', ':']) {
            out.push(String::new());
        }
    }
    out.retain(|clause| !clause.is_empty());
    out
}

/// The numbers of a text in one form: "4.2 million", "4,200,000" and "12 percent", "12 %", "twelve" meet.
fn numbers(text: &str) -> HashSet<String> {
    const WORDS: [&str; 19] = [
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    const TENS: [&str; 7] = ["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    const ORDINALS: [&str; 9] = ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
    let mut out = HashSet::new();
    let mut words = text
        .split(|character: char| character.is_whitespace() || "()/%€$£-–".contains(character))
        .filter(|word| !word.is_empty())
        .peekable();
    while let Some(word) = words.next() {
        let bare = word.trim_matches(|character: char| !character.is_alphanumeric()).to_lowercase();
        let place = |list: &[&str]| list.iter().position(|known| *known == bare);
        let value = if bare.starts_with(|first: char| first.is_ascii_digit()) {
            let digits: String = bare.chars().filter(|character| character.is_ascii_digit() || *character == '.').collect();
            digits.trim_end_matches('.').parse::<f64>().ok()
        } else {
            let number = |place: usize, first: u32, step: u32| u32::try_from(place).ok().map(|place| f64::from(first + place * step));
            place(&WORDS)
                .and_then(|place| number(place, 2, 1))
                .or_else(|| place(&TENS).and_then(|place| number(place, 30, 10)))
                .or_else(|| place(&ORDINALS).and_then(|place| number(place, 2, 1)))
        };
        let Some(value) = value else { continue };
        let factor =
            match words.peek().map(|next| next.trim_matches(|character: char| !character.is_alphanumeric()).to_lowercase()).as_deref() {
                Some("thousand") => 1e3,
                Some("million" | "millions" | "m") => 1e6,
                Some("billion" | "billions" | "bn") => 1e9,
                Some("dozen") => 12.0,
                Some("hundred") => 100.0,
                _ => 1.0,
            };
        out.insert(format!("{}", (value * factor * 1e4).round() / 1e4));
    }
    out
}

/// A sentence of the sources, and what it names: a number or a name belongs to what it stands with.
struct Stated {
    stems: HashSet<String>,
    numbers: HashSet<String>,
    names: HashSet<String>,
}

impl Stated {
    /// A sentence that begins with a pronoun, or that has no name of its own, goes on about what stood in the one before it.
    fn new(sentence: &str, lower: &HashSet<String>, before: Option<&Self>) -> Self {
        const PRONOUNS: &str = " it its he his she her they their this these that those both ";
        let mut stems: HashSet<String> = content_words(sentence).filter(|stem| !is_number(stem)).collect();
        let mut names = names(sentence, lower);
        let first = sentence.split_whitespace().next().unwrap_or_default().to_lowercase();
        if let Some(before) = before {
            let goes_on = PRONOUNS.contains(&format!(" {first} "));
            stems.extend(before.stems.iter().filter(|stem| goes_on || names.is_empty() && before.names.contains(*stem)).cloned());
            if goes_on || names.is_empty() {
                names.extend(before.names.iter().cloned());
            }
        }
        Self { stems, numbers: numbers(sentence), names }
    }
}

/// The stems of words that are written with a capital letter and nowhere in `lower`, where they stand without.
fn names(text: &str, lower: &HashSet<String>) -> HashSet<String> {
    let words = text.split(|character: char| !character.is_alphanumeric()).filter(|word| word.starts_with(char::is_uppercase));
    words.filter_map(|word| content_words(word).next()).filter(|stem| !is_number(stem) && !lower.contains(stem)).collect()
}

/// What the sources say.
struct Known {
    stems: HashSet<String>,
    /// Stems of words that are written small somewhere.
    lower: HashSet<String>,
    stated: Vec<Stated>,
    numbers: HashSet<String>,
    clauses: Vec<Clause>,
    of_word: HashMap<String, Vec<usize>>,
    meanings: Vec<[f32; DIMENSIONS]>,
}

fn meaning(word: &str) -> Option<[f32; DIMENSIONS]> {
    let model = Model::shipped()?;
    Some(model.embeddings().mean(model.pieces().cut(word, 8).into_iter().map(|piece| piece.id)))
}

/// The words that carry meaning, as written in lower case, without those that are numbers.
fn meant_words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| word.len() > 2 && !is_number(word))
        .map(str::to_lowercase)
        .filter(|word| content_words(word).next().is_some())
}

impl Known {
    fn new(sources: &[&str]) -> Self {
        let small = |source: &&str| -> Vec<String> {
            let words = source.split(|character: char| !character.is_alphanumeric()).filter(|word| word.starts_with(char::is_lowercase));
            words.flat_map(content_words).collect()
        };
        let mut known = Self {
            stems: HashSet::new(),
            lower: sources.iter().flat_map(small).collect(),
            stated: Vec::new(),
            numbers: HashSet::new(),
            clauses: Vec::new(),
            of_word: HashMap::new(),
            meanings: Vec::new(),
        };
        let mut seen = HashSet::new();
        for source in sources {
            known.numbers.extend(numbers(source));
            known.stems.extend(content_words(source));
            for range in sentences(source) {
                let sentence = source.get(range).unwrap_or_default();
                if known.stated.len() < PLACES_MAX {
                    let stated = Stated::new(sentence, &known.lower, known.stated.last());
                    known.stated.push(stated);
                }
                for clause in clauses(sentence) {
                    let clause = Clause::new(&clause);
                    for stem in &clause.stems {
                        let places = known.of_word.entry(stem.clone()).or_default();
                        if places.len() < CLAUSES_OF_A_WORD_MAX {
                            places.push(known.clauses.len());
                        }
                    }
                    known.clauses.push(clause);
                }
            }
            for word in meant_words(source) {
                if known.meanings.len() < MEANINGS_MAX && seen.insert(word.clone()) {
                    known.meanings.extend(meaning(&word));
                }
            }
        }
        known
    }

    /// How far some word of the sources means the same, from 0 to 1.
    fn alike(&self, word: &str) -> f32 {
        let Some(own) = meaning(word) else { return 0.0 };
        let nearness = |other: &[f32; DIMENSIONS]| own.iter().zip(other).map(|(left, right)| left * right).sum::<f32>();
        let best = self.meanings.iter().map(nearness).fold(0.0, f32::max);
        let [from, to] = LIKENESS;
        ((best - from) / (to - from)).clamp(0.0, 1.0) * ALIKE_MOST
    }

    /// The clauses that share most words with one of the answer.
    fn nearest(&self, clause: &Clause) -> Vec<&Clause> {
        let mut shared = HashMap::<usize, usize>::new();
        for place in clause.stems.iter().filter_map(|stem| self.of_word.get(stem)).flatten() {
            *shared.entry(*place).or_default() += 1;
        }
        let most = shared.values().copied().max().unwrap_or(0);
        // One word in common says nothing, unless there are not many.
        if most == 0 || most * 3 < clause.stems.len() {
            return Vec::new();
        }
        shared.into_iter().filter(|(_, count)| *count == most).filter_map(|(place, _)| self.clauses.get(place)).collect()
    }

    /// Whether a clause says a number or a name of something that the sources say another one of: the sentences that are nearest to the rest of the
    /// clause do not have it, and have another one in its place. `claims` counts down what is still looked for.
    fn is_misplaced(&self, clause: &str, claims: &mut usize) -> bool {
        let own_names: HashSet<String> = names(clause, &self.lower).into_iter().filter(|name| self.stems.contains(name)).collect();
        let own_numbers: HashSet<String> = numbers(clause).into_iter().filter(|number| self.numbers.contains(number)).collect();
        let count = own_names.len() + own_numbers.len();
        let stems: HashSet<String> = content_words(clause).filter(|stem| !is_number(stem)).collect();
        if count == 0 || count > *claims || stems.len() > CLAUSE_WORDS_MAX {
            return false;
        }
        *claims -= count;
        let shared: Vec<usize> =
            self.stated.iter().map(|stated| stems.iter().filter(|stem| stated.stems.contains(*stem)).count()).collect();
        // The sentences nearest to the clause, with or without one of its words. One word in common does not tell what a sentence is about.
        let is_wrong = |without: Option<&String>, is_other: &dyn Fn(&Stated) -> bool| {
            let has = |stated: &Stated| without.is_some_and(|word| stated.stems.contains(word));
            let rest = || self.stated.iter().zip(&shared).map(|(stated, shared)| (stated, shared.saturating_sub(usize::from(has(stated)))));
            let most = rest().map(|(_, shared)| shared).max().unwrap_or(0);
            most >= 2 && rest().filter(|(_, shared)| *shared == most).all(|(stated, _)| is_other(stated))
        };
        let is_wrong_name = |name: &String| {
            is_wrong(Some(name), &|stated| !stated.stems.contains(name) && stated.names.iter().any(|other| !own_names.contains(other)))
        };
        let is_wrong_number = |number: &String| {
            is_wrong(None, &|stated| !stated.numbers.contains(number) && stated.numbers.iter().any(|other| !own_numbers.contains(other)))
        };
        own_names.iter().any(is_wrong_name) || own_numbers.iter().any(is_wrong_number)
    }

    /// How well a sentence is supported; `unknown` counts down the words that are still compared by meaning, `claims` the numbers and names whose place
    /// is still looked for.
    fn support(&self, sentence: &str, unknown: &mut usize, claims: &mut usize) -> f32 {
        let (mut found, mut all, mut has_wrong_name) = (0.0_f32, 0.0_f32, false);
        for (place, word) in sentence.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).enumerate() {
            let Some(stem) = content_words(word).next() else { continue };
            if is_number(word) || !numbers(word).is_empty() {
                continue;
            }
            // A name that the sources do not have is a claim of its own.
            let is_name = place > 0 && word.starts_with(char::is_uppercase);
            let weight = if is_name { 2.0 } else { 1.0 };
            all += weight;
            if self.stems.contains(&stem) {
                found += weight;
            } else if is_name {
                has_wrong_name = true;
            } else if *unknown > 0 {
                *unknown -= 1;
                found += weight * self.alike(&word.to_lowercase());
            }
        }
        let claimed = numbers(sentence);
        let count = |numbers: usize| f32::from(u16::try_from(numbers).unwrap_or(u16::MAX));
        let wrong = claimed.difference(&self.numbers).count();
        all += 2.0 * count(claimed.len());
        found += 2.0 * count(claimed.len() - wrong);
        let coverage = if all > 0.0 { found / all } else { 1.0 };
        let is_contrary = clauses(sentence).iter().map(|clause| Clause::new(clause)).any(|clause| {
            let near = self.nearest(&clause);
            !near.is_empty() && near.iter().all(|other| clause.contradicts(other))
        });
        // Clauses end at "and", which also joins what belongs together: the sentence must say so, too.
        let is_misplaced = self.stated.len() > 1
            && clauses(sentence).iter().any(|clause| self.is_misplaced(clause, claims))
            && self.is_misplaced(sentence, claims);
        let factors = [(wrong > 0, WRONG_NUMBER), (has_wrong_name, WRONG_NAME), (is_contrary, CONTRARY), (is_misplaced, MISPLACED)];
        factors.into_iter().filter(|(is_so, _)| *is_so).fold(coverage, |score, (_, factor)| score * factor)
    }
}

/// Scores an answer. Time is linear in the texts, times the sentences of the answer.
pub fn score_grounding(sources: &[&str], query: Option<&str>, answer: &str) -> GroundingScores {
    let known = Known::new(sources);
    let (mut unknown, mut claims) = (UNKNOWN_MAX, CLAIMS_MAX);
    let support = |range| known.support(answer.get(range).unwrap_or_default(), &mut unknown, &mut claims);
    let grounding = sentences(answer).into_iter().map(support).fold(1.0, f32::min);
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
        let weight = if is_number(&word) { 3.0 } else { 1.0 };
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

    #[test]
    fn numbers_meet_in_one_form_and_differ_otherwise() {
        assert_eq!(numbers("4.2 million"), numbers("4,200,000"));
        assert_eq!(numbers("twelve"), numbers("12%"));
        let source = ["Revenue rose by 12 percent to 4.2 million euros."];
        let score = |answer| score_grounding(&source, None, answer).grounding;
        assert!(score("Revenue rose by 12% to 4,200,000 euros.") > 0.9);
        assert!(score("Revenue rose by 21% to 4,200,000 euros.") < 0.4);
    }

    #[test]
    fn numbers_and_names_belong_to_what_they_stand_with() {
        let score = |source: &str, answer| score_grounding(&[source], None, answer).grounding;
        let capitals = "London is the capital of UK. Tokyo is the capital of Japan.";
        assert!(score(capitals, "The capital of Japan is London.") < 0.5);
        assert!(score(capitals, "The capital of Japan is Tokyo.") > 0.9 && score(capitals, "London is the capital of UK.") > 0.9);
        let accounts =
            "The basic account costs 5 euros a month. The premium account costs 12 euros a month. Transfers abroad cost 3 euros each.";
        assert!(score(accounts, "The premium account costs 5 euros a month.") < 0.5);
        assert!(score(accounts, "The premium account costs 12 euros a month, and the basic account costs 5 euros.") > 0.9);
        assert!(score(accounts, "Transfers abroad cost 12 euros each.") < 0.5);
        let team = "Alice manages sales. Bob manages the engineering team. He joined in 2019.";
        assert!(score(team, "Alice manages the engineering team.") < 0.5);
        assert!(score(team, "Bob manages the engineering team and joined in 2019.") > 0.9);
        let offices = "The office in Berlin opened in 2015. The office in Vienna opened in 2019.";
        assert!(score(offices, "The office in Vienna opened in 2015.") < 0.5);
        assert!(score(offices, "The offices in Berlin and Vienna opened in 2015 and 2019.") > 0.6);
        // What is left of an answer whose claims are too many to look for is compared as before.
        let long = "The office in Berlin opened in 2015. ".repeat(CLAIMS_MAX);
        assert!(score(offices, &long) > 0.9 && score(offices, &format!("The office in Vienna opened in 2015. {long}")) < 0.5);
    }

    #[test]
    fn negations_and_opposites_turn_a_sentence_round() {
        let source = ["Water damage is not covered. The shop is closed on Mondays, and dogs are allowed."];
        let score = |answer| score_grounding(&source, None, answer).grounding;
        assert!(score("Water damage is excluded.") > score("Water damage is covered."));
        assert!(score("Water damage is covered.") < 0.5);
        assert!(score("The shop is not open on Mondays.") > 0.6);
        assert!(score("The shop is open on Mondays.") < 0.5);
        assert!(score("Dogs are allowed.") > 0.9 && score("Dogs are forbidden.") < 0.5);
    }
}
