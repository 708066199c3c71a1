//! Sets of texts: unions of intersections of patterns, and whether a text lies in some and outside of others.
//!
//! The search walks the product of the automata breadth first, so the text it finds is a shortest one. It is exact: it
//! ends with a text, with the proof that there is none, or because its budget ends.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::pattern::{Automaton, DEAD, State, TOKENS_MAX, Token, folded};

/// Number of an interned set of texts.
pub(crate) type SetId = usize;
/// Number of a variable's pattern whose meaning depends on a value of the request.
pub(crate) type Flag = usize;

/// Texts that match all patterns. With a flag: those of them for which the flag holds, which is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Part {
    pub(crate) patterns: Vec<usize>,
    pub(crate) flag: Option<Flag>,
}

/// Which texts there are at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Alphabet {
    /// Any text.
    All,
    /// Texts that are their own lower case: action names as the engine compares them.
    Lower,
}

/// How a search ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Text(String),
    Nothing,
    /// The budget ended first.
    Unknown,
}

/// Product states that one search may visit.
const STATES_MAX: usize = 20_000;
/// Automata that one search may run side by side.
const AUTOMATA_MAX: usize = 4_096;

/// All sets of one comparison; equal sets have equal numbers.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    automata: Vec<Automaton>,
    by_tokens: HashMap<Vec<Token>, usize>,
    list: Vec<Vec<Part>>,
    by_parts: HashMap<Vec<Part>, SetId>,
    flags: HashMap<String, Flag>,
    searched: HashMap<(Vec<SetId>, Vec<SetId>, Alphabet), Found>,
}

impl Sets {
    /// The number of a pattern; `None` if it is too long.
    pub(crate) fn pattern(&mut self, tokens: Vec<Token>) -> Option<usize> {
        if tokens.len() > TOKENS_MAX {
            return None;
        }
        if let Some(known) = self.by_tokens.get(&tokens) {
            return Some(*known);
        }
        let id = self.automata.len();
        self.automata.push(Automaton::new(tokens.clone()));
        self.by_tokens.insert(tokens, id);
        Some(id)
    }

    /// The flag of a text with variables.
    pub(crate) fn flag(&mut self, text: &str) -> Flag {
        let next = self.flags.len();
        *self.flags.entry(text.to_owned()).or_insert(next)
    }

    pub(crate) fn set(&mut self, mut parts: Vec<Part>) -> SetId {
        parts.sort_by(order);
        parts.dedup();
        if let Some(known) = self.by_parts.get(&parts) {
            return *known;
        }
        let id = self.list.len();
        self.list.push(parts.clone());
        self.by_parts.insert(parts, id);
        id
    }

    pub(crate) fn parts(&self, set: SetId) -> &[Part] {
        self.list.get(set).map_or(&[], Vec::as_slice)
    }

    /// Whether every part of the one set is a part of the other, so that all its texts lie there too.
    pub(crate) fn is_part_of(&self, set: SetId, other: SetId) -> bool {
        let parts = self.parts(other);
        set == other || self.parts(set).iter().all(|part| parts.binary_search_by(|known| order(known, part)).is_ok())
    }

    pub(crate) fn tokens(&self, pattern: usize) -> &[Token] {
        self.automata.get(pattern).map_or(&[], Automaton::tokens)
    }

    /// The flag that must hold for any text of the set, if there is one.
    pub(crate) fn only_flag(&self, set: SetId) -> Option<Flag> {
        match self.parts(set) {
            [part] => part.flag,
            _ => None,
        }
    }

    pub(crate) fn has_flags(&self, set: SetId) -> bool {
        self.parts(set).iter().any(|part| part.flag.is_some())
    }

    /// Whether a text lies in the set. Parts with a flag count where the flag is assumed to hold.
    pub(crate) fn contains(&mut self, set: SetId, text: &str, assumed: &[Flag]) -> bool {
        let Self { list, automata, .. } = self;
        let Some(parts) = list.get(set) else { return false };
        parts.iter().any(|part| {
            part.flag.is_none_or(|flag| assumed.contains(&flag))
                && part.patterns.iter().all(|pattern| automata.get_mut(*pattern).is_some_and(|automaton| automaton.matches(text)))
        })
    }

    /// A text that lies in all `inside` and in none of `outside`. Flags count as they help the search, but the flag of
    /// an inside part counts as set outside too.
    pub(crate) fn find(&mut self, inside: &[SetId], outside: &[SetId], alphabet: Alphabet) -> Found {
        let (inside, outside) = (sorted(inside), sorted(outside));
        if inside.iter().any(|set| outside.iter().any(|other| self.is_part_of(*set, *other))) {
            return Found::Nothing;
        }
        let question = (inside, outside, alphabet);
        if let Some(known) = self.searched.get(&question) {
            return known.clone();
        }
        let found = Search::new(self, &question.0, &question.1, alphabet).map_or(Found::Unknown, |mut search| search.run());
        self.searched.insert(question, found.clone());
        found
    }
}

fn order(left: &Part, right: &Part) -> std::cmp::Ordering {
    (&left.patterns, left.flag).cmp(&(&right.patterns, right.flag))
}

fn sorted(list: &[SetId]) -> Vec<SetId> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list.dedup();
    list
}

/// A part with the places of its patterns in the product.
type Lanes = Vec<usize>;

struct Search<'a> {
    automata: &'a mut Vec<Automaton>,
    /// The automaton of each lane of the product.
    lanes: Vec<usize>,
    inside: Vec<Vec<Lanes>>,
    outside: Vec<Lanes>,
    alphabet: Alphabet,
}

impl<'a> Search<'a> {
    fn new(sets: &'a mut Sets, inside: &[SetId], outside: &[SetId], alphabet: Alphabet) -> Option<Self> {
        let mut lanes: Vec<usize> = Vec::new();
        let mut by_pattern: HashMap<usize, usize> = HashMap::new();
        let mut lane = |pattern: &usize| {
            *by_pattern.entry(*pattern).or_insert_with(|| {
                lanes.push(*pattern);
                lanes.len() - 1
            })
        };
        let assumed: HashSet<Flag> = inside
            .iter()
            .map(|set| sets.parts(*set))
            .filter(|parts| parts.len() == 1)
            .flat_map(|parts| parts.iter().filter_map(|part| part.flag))
            .collect();
        // What begins otherwise than all that is wanted need not be kept out.
        let only: Vec<usize> = inside
            .iter()
            .filter_map(|set| <&[Part; 1]>::try_from(sets.parts(*set)).ok())
            .flat_map(|[part]| part.patterns.clone())
            .collect();
        let apart = |part: &Part| {
            part.patterns.iter().any(|pattern| {
                only.iter().any(|wanted| match (sets.automata.get(*pattern), sets.automata.get(*wanted)) {
                    (Some(pattern), Some(wanted)) => pattern.begins_apart(wanted),
                    _ => false,
                })
            })
        };
        let wanted: Vec<Vec<Lanes>> =
            inside.iter().map(|set| sets.parts(*set).iter().map(|part| part.patterns.iter().map(&mut lane).collect()).collect()).collect();
        let unwanted: Vec<Lanes> = outside
            .iter()
            .flat_map(|set| sets.parts(*set))
            .filter(|part| part.flag.is_none_or(|flag| assumed.contains(&flag)) && !apart(part))
            .map(|part| part.patterns.iter().map(&mut lane).collect())
            .collect();
        (lanes.len() <= AUTOMATA_MAX).then_some(Self { automata: &mut sets.automata, lanes, inside: wanted, outside: unwanted, alphabet })
    }

    fn automaton(&self, lane: usize) -> Option<&Automaton> {
        self.automata.get(*self.lanes.get(lane)?)
    }

    fn is(&self, product: &[State], lane: usize, test: fn(&Automaton, State) -> bool) -> bool {
        product.get(lane).zip(self.automaton(lane)).is_some_and(|(state, automaton)| test(automaton, *state))
    }

    fn accepts(&self, product: &[State]) -> bool {
        let all = |part: &Lanes| part.iter().all(|lane| self.is(product, *lane, Automaton::accepts));
        self.inside.iter().all(|parts| parts.iter().any(all)) && !self.outside.iter().any(all)
    }

    /// Whether something that follows may still be accepted.
    fn is_alive(&self, product: &[State]) -> bool {
        let live = |part: &Lanes| part.iter().all(|lane| product.get(*lane).is_some_and(|state| *state != DEAD));
        let covers = |part: &Lanes| part.iter().all(|lane| self.is(product, *lane, Automaton::is_universal));
        self.inside.iter().all(|parts| parts.iter().any(live)) && !self.outside.iter().any(covers)
    }

    /// Characters that the automata tell apart in this state, one for all others among them.
    fn characters(&self, product: &[State]) -> Vec<char> {
        let mut named: Vec<char> = Vec::new();
        let (mut digits, mut segments) = (false, false);
        for (lane, state) in product.iter().enumerate() {
            let Some(automaton) = self.automaton(lane) else { continue };
            if automaton.is_universal(*state) {
                continue;
            }
            for token in automaton.awaited(*state) {
                match token {
                    Token::Char(character) => named.push(character),
                    Token::Fold(character) => named.extend(cases(character)),
                    Token::Digit => digits = true,
                    Token::ManyInSegment | Token::OneInSegment => segments = true,
                    Token::Many | Token::One => {}
                }
            }
        }
        if segments {
            named.push(':');
        }
        named.sort_unstable();
        named.dedup();
        if digits {
            let other = ('0'..='9').rev().find(|digit| !named.contains(digit));
            named.extend(other);
        }
        let is_other =
            |character: &char| !character.is_ascii_digit() && folded(*character) == Some(*character) && !named.contains(character);
        let other = ('a'..='z').chain("-_./ !".chars()).chain('\u{a1}'..='\u{2fff}').find(is_other);
        named.extend(other);
        if self.alphabet == Alphabet::Lower {
            named.retain(|character| folded(*character) == Some(*character));
        }
        named
    }

    fn run(&mut self) -> Found {
        let start: Box<[State]> = self.lanes.iter().map(|pattern| self.automata.get(*pattern).map_or(DEAD, Automaton::start)).collect();
        if !self.is_alive(&start) {
            return Found::Nothing;
        }
        if self.accepts(&start) {
            return Found::Text(String::new());
        }
        let mut seen: HashSet<Box<[State]>> = HashSet::from([start.clone()]);
        let mut steps: Vec<(usize, char)> = Vec::new();
        let mut queue: VecDeque<(Box<[State]>, usize)> = VecDeque::from([(start, usize::MAX)]);
        while let Some((product, from)) = queue.pop_front() {
            for character in self.characters(&product) {
                let next = self.step(&product, character);
                if !self.is_alive(&next) || seen.contains(&next) {
                    continue;
                }
                steps.push((from, character));
                let at = steps.len() - 1;
                if self.accepts(&next) {
                    return Found::Text(spell(&steps, at));
                }
                if seen.len() >= STATES_MAX {
                    return Found::Unknown;
                }
                seen.insert(next.clone());
                queue.push_back((next, at));
            }
        }
        Found::Nothing
    }

    fn step(&mut self, product: &[State], character: char) -> Box<[State]> {
        let Self { automata, lanes, .. } = self;
        lanes
            .iter()
            .zip(product)
            .map(|(pattern, state)| automata.get_mut(*pattern).map_or(DEAD, |automaton| automaton.step(*state, character)))
            .collect()
    }
}

/// The characters whose lower case this is. The Kelvin sign is the one beyond ASCII whose lower case is within.
fn cases(lower: char) -> impl Iterator<Item = char> {
    let upper = lower.to_uppercase().next().filter(|upper| folded(*upper) == Some(lower) && *upper != lower);
    std::iter::once(lower).chain(upper).chain((lower == 'k').then_some('\u{212a}'))
}

/// The text that leads to a step.
fn spell(steps: &[(usize, char)], at: usize) -> String {
    let mut characters = Vec::new();
    let mut at = at;
    while let Some((from, character)) = steps.get(at) {
        characters.push(*character);
        at = *from;
    }
    characters.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(pattern: &str) -> Vec<Token> {
        pattern
            .chars()
            .map(|character| match character {
                '*' => Token::Many,
                '?' => Token::One,
                other => Token::Char(other),
            })
            .collect()
    }

    fn sets(of: &mut Sets, patterns: &[String]) -> Vec<SetId> {
        patterns
            .iter()
            .map(|pattern| {
                let pattern = of.pattern(tokens(pattern)).unwrap();
                of.set(vec![Part { patterns: vec![pattern], flag: None }])
            })
            .collect()
    }

    fn find(inside: &[&str], outside: &[&str]) -> Found {
        let owned = |list: &[&str]| -> Vec<String> { list.iter().map(|text| (*text).to_owned()).collect() };
        let mut all = Sets::default();
        let (inside, outside) = (sets(&mut all, &owned(inside)), sets(&mut all, &owned(outside)));
        all.find(&inside, &outside, Alphabet::All)
    }

    #[test]
    fn intersections_and_complements() {
        assert_eq!(find(&["ab*"], &["a*"]), Found::Nothing);
        assert_eq!(find(&["a*"], &["ab*"]), Found::Text("a".to_owned()));
        assert_eq!(find(&["?b", "a?"], &[]), Found::Text("ab".to_owned()));
        assert_eq!(find(&["?b", "a?"], &["ab"]), Found::Nothing);
        assert_eq!(find(&["*"], &["?*", ""]), Found::Nothing);
        assert_eq!(find(&["?a"], &["aa", "ba"]), Found::Text("ca".to_owned()));
    }

    proptest::proptest! {
        /// What is found lies where it should; where nothing is found, no short text does.
        #[test]
        fn searches_are_exact(
            inside in proptest::collection::vec("[ab*?]{0,5}", 1..3),
            outside in proptest::collection::vec("[ab*?]{0,5}", 0..4),
        ) {
            let mut all = Sets::default();
            let (wanted, unwanted) = (sets(&mut all, &inside), sets(&mut all, &outside));
            let fits = |text: &str| {
                inside.iter().all(|pattern| policy::Glob::new(pattern).matches(text))
                    && !outside.iter().any(|pattern| policy::Glob::new(pattern).matches(text))
            };
            match all.find(&wanted, &unwanted, Alphabet::All) {
                Found::Text(text) => proptest::prop_assert!(fits(&text), "{text}"),
                Found::Nothing => {
                    let mut texts = vec![String::new()];
                    for _ in 0..5 {
                        texts = texts.iter().flat_map(|text| ["a", "b", "z"].map(|next| format!("{text}{next}"))).chain([String::new()]).collect();
                        for text in &texts {
                            proptest::prop_assert!(!fits(text), "{text}");
                        }
                    }
                }
                Found::Unknown => proptest::prop_assert!(false, "too hard"),
            }
        }
    }
}
