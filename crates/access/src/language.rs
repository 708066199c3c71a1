//! Sets of texts: unions of intersections of patterns, and whether a text lies in some and outside of others.
//!
//! The search walks the product of the automata breadth first, so the text it finds is a shortest one. It is exact: it
//! ends with a text, with the proof that there is none, or because its budget ends.

use std::collections::VecDeque;

use foldhash::{HashMap, HashSet};

use crate::pattern::{Automaton, DEAD, State, TOKENS_MAX, Token, folded};

/// Parts from which on a set's plain texts are looked up instead of compared one by one.
const INDEXED_PARTS: usize = 16;

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
/// Automata that one search may run side by side. Few of them outlive the first characters.
const AUTOMATA_MAX: usize = 16_384;

/// All sets of one comparison; equal sets have equal numbers.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    automata: Vec<Automaton>,
    by_tokens: HashMap<Vec<Token>, usize>,
    list: Vec<Vec<Part>>,
    by_parts: HashMap<Vec<Part>, SetId>,
    /// Of the sets with many parts.
    indexes: HashMap<SetId, Index>,
    flags: HashMap<String, Flag>,
    searched: HashMap<(Vec<SetId>, Vec<SetId>, Alphabet), Found>,
}

/// The parts of a large set: plain texts, and the places of the others.
#[derive(Debug, Default)]
struct Index {
    texts: HashSet<Box<str>>,
    others: Vec<usize>,
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
        if parts.len() >= INDEXED_PARTS {
            self.indexes.insert(id, self.index(&parts));
        }
        self.list.push(parts.clone());
        self.by_parts.insert(parts, id);
        id
    }

    fn index(&self, parts: &[Part]) -> Index {
        let mut index = Index::default();
        for (place, part) in parts.iter().enumerate() {
            match self.text_of(part) {
                Some(text) => {
                    index.texts.insert(text.into());
                }
                None => index.others.push(place),
            }
        }
        index
    }

    pub(crate) fn parts(&self, set: SetId) -> &[Part] {
        self.list.get(set).map_or(&[], Vec::as_slice)
    }

    /// Whether every part of the one set is a part of the other, so that all its texts lie there too.
    pub(crate) fn is_part_of(&self, set: SetId, other: SetId) -> bool {
        let parts = self.parts(other);
        set == other
            || self.parts(set).len() <= parts.len()
                && self.parts(set).iter().all(|part| parts.binary_search_by(|known| order(known, part)).is_ok())
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

    /// The one text of a part that is a plain text.
    fn text_of(&self, part: &Part) -> Option<&str> {
        match (part.patterns.as_slice(), part.flag) {
            ([pattern], None) => self.automata.get(*pattern)?.only_text(),
            _ => None,
        }
    }

    /// The texts of a set that lists them, shortest first. Sets with flags elsewhere in a question are for the search.
    fn only_texts(&self, set: SetId) -> Option<Vec<String>> {
        let mut texts: Vec<String> = self.parts(set).iter().map(|part| self.text_of(part).map(str::to_owned)).collect::<Option<_>>()?;
        texts.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
        Some(texts)
    }

    pub(crate) fn has_flags(&self, set: SetId) -> bool {
        self.parts(set).iter().any(|part| part.flag.is_some())
    }

    /// Whether a text lies in the set. Parts with a flag count where the flag is assumed to hold.
    pub(crate) fn contains(&mut self, set: SetId, text: &str, assumed: &[Flag]) -> bool {
        let Self { list, automata, indexes, .. } = self;
        let Some(parts) = list.get(set) else { return false };
        let mut holds = |part: &Part| {
            part.flag.is_none_or(|flag| assumed.contains(&flag))
                && part.patterns.iter().all(|pattern| automata.get_mut(*pattern).is_some_and(|automaton| automaton.matches(text)))
        };
        match indexes.get(&set) {
            Some(index) => index.texts.contains(text) || index.others.iter().filter_map(|place| parts.get(*place)).any(holds),
            None => parts.iter().any(&mut holds),
        }
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
        let has_flags = question.0.iter().chain(&question.1).any(|set| self.has_flags(*set));
        if let Some(texts) = question.0.iter().find_map(|set| self.only_texts(*set)).filter(|_| !has_flags) {
            let fitting = texts.into_iter().find(|text| {
                question.0.iter().all(|set| self.contains(*set, text, &[])) && !question.1.iter().any(|set| self.contains(*set, text, &[]))
            });
            let found = fitting.map_or(Found::Nothing, Found::Text);
            self.searched.insert(question, found.clone());
            return found;
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

/// The automata that may still accept, by lane, with their states.
type Product = Box<[(usize, State)]>;

/// Parts of which one must hold: of one set that is wanted, or of all that are not.
#[derive(Default)]
struct Group {
    /// How many automata each part has.
    sizes: Vec<usize>,
    /// One of its parts has none: it holds everything.
    is_everything: bool,
}

struct Search<'a> {
    automata: &'a mut Vec<Automaton>,
    /// The automaton of each lane of the product.
    lanes: Vec<usize>,
    /// The first holds what is not wanted, each other one a set that is.
    groups: Vec<Group>,
    /// For each lane, the parts that it belongs to: group and place in it.
    parts: Vec<Vec<(usize, usize)>>,
    alphabet: Alphabet,
}

impl<'a> Search<'a> {
    fn new(sets: &'a mut Sets, inside: &[SetId], outside: &[SetId], alphabet: Alphabet) -> Option<Self> {
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
        let unwanted = outside
            .iter()
            .flat_map(|set| sets.parts(*set))
            .filter(|part| part.flag.is_none_or(|flag| assumed.contains(&flag)) && !apart(part))
            .collect();
        let wanted = inside.iter().map(|set| sets.parts(*set).iter().collect());
        let (mut lanes, mut parts, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let mut by_pattern: HashMap<usize, usize> = HashMap::default();
        for list in std::iter::once(unwanted).chain(wanted) {
            let list: Vec<&Part> = list;
            let mut group = Group::default();
            for part in list {
                let mut own: Vec<usize> = Vec::new();
                for pattern in &part.patterns {
                    let lane = *by_pattern.entry(*pattern).or_insert_with(|| {
                        lanes.push(*pattern);
                        parts.push(Vec::new());
                        lanes.len() - 1
                    });
                    if !own.contains(&lane) {
                        own.push(lane);
                    }
                }
                for lane in &own {
                    if let Some(of_lane) = parts.get_mut(*lane) {
                        of_lane.push((groups.len(), group.sizes.len()));
                    }
                }
                group.is_everything |= own.is_empty();
                group.sizes.push(own.len());
            }
            groups.push(group);
        }
        (lanes.len() <= AUTOMATA_MAX).then_some(Self { automata: &mut sets.automata, lanes, groups, parts, alphabet })
    }

    fn automaton(&self, lane: usize) -> Option<&Automaton> {
        self.automata.get(*self.lanes.get(lane)?)
    }

    /// For each group, whether all automata of some part of it pass the test.
    fn groups_that(&self, product: &[(usize, State)], test: fn(&Automaton, State) -> bool) -> Vec<bool> {
        let mut met: Vec<bool> = self.groups.iter().map(|group| group.is_everything).collect();
        let mut counts: HashMap<(usize, usize), usize> = HashMap::default();
        for (lane, state) in product {
            if !self.automaton(*lane).is_some_and(|automaton| test(automaton, *state)) {
                continue;
            }
            for (group, part) in self.parts.get(*lane).into_iter().flatten() {
                let size = self.groups.get(*group).and_then(|group| group.sizes.get(*part)).copied().unwrap_or_default();
                let passed = if size == 1 { 1 } else { *counts.entry((*group, *part)).and_modify(|count| *count += 1).or_insert(1) };
                if passed == size
                    && let Some(met) = met.get_mut(*group)
                {
                    *met = true;
                }
            }
        }
        met
    }

    fn accepts(&self, product: &[(usize, State)]) -> bool {
        let met = self.groups_that(product, Automaton::accepts);
        met.split_first().is_some_and(|(unwanted, wanted)| !unwanted && wanted.iter().all(|met| *met))
    }

    /// Whether something that follows may still be accepted.
    fn is_alive(&self, product: &[(usize, State)]) -> bool {
        self.groups_that(product, |_, _| true).iter().skip(1).all(|met| *met)
            && self.groups_that(product, Automaton::is_universal).first() == Some(&false)
    }

    /// Characters that the automata tell apart in this state, one for all others among them.
    fn characters(&self, product: &[(usize, State)]) -> Vec<char> {
        let mut named: Vec<char> = Vec::new();
        let (mut digits, mut segments) = (false, false);
        for (lane, state) in product {
            let Some(automaton) = self.automaton(*lane) else { continue };
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
        let first = |pattern: &usize| self.automata.get(*pattern).map_or(DEAD, Automaton::start);
        let start: Product = self.lanes.iter().map(first).enumerate().filter(|(_, state)| *state != DEAD).collect();
        if !self.is_alive(&start) {
            return Found::Nothing;
        }
        if self.accepts(&start) {
            return Found::Text(String::new());
        }
        let mut seen: HashSet<Product> = [start.clone()].into_iter().collect();
        let mut steps: Vec<(usize, char)> = Vec::new();
        let mut queue: VecDeque<(Product, usize)> = VecDeque::from([(start, usize::MAX)]);
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

    fn step(&mut self, product: &[(usize, State)], character: char) -> Product {
        let Self { automata, lanes, .. } = self;
        let step = |(lane, state): &(usize, State)| {
            let next = automata.get_mut(*lanes.get(*lane)?)?.step(*state, character);
            (next != DEAD).then_some((*lane, next))
        };
        product.iter().filter_map(step).collect()
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
