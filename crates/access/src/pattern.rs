//! Patterns over characters, and automata that read them.
//!
//! A pattern is a list of tokens. Its automaton is made deterministic step by step, only as far as somebody reads: a
//! state is the set of places in the pattern that may have been reached.

use foldhash::HashMap;

/// One element of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Token {
    /// Exactly this character.
    Char(char),
    /// This character in either case; the character is in lower case.
    Fold(char),
    /// Any one character.
    One,
    /// Any one character but a colon.
    OneInSegment,
    /// One of `0` to `9`.
    Digit,
    /// Any run of characters.
    Many,
    /// Any run of characters without a colon.
    ManyInSegment,
}

impl Token {
    fn is_run(self) -> bool {
        matches!(self, Self::Many | Self::ManyInSegment)
    }

    fn takes(self, character: char) -> bool {
        match self {
            Self::Many | Self::One => true,
            Self::ManyInSegment | Self::OneInSegment => character != ':',
            Self::Digit => character.is_ascii_digit(),
            Self::Char(wanted) => wanted == character,
            Self::Fold(wanted) => wanted == character || folded(character) == Some(wanted),
        }
    }
}

/// The one lower-case character of a character, if its lower case is one character.
pub(crate) fn folded(character: char) -> Option<char> {
    let mut lower = character.to_lowercase();
    let first = lower.next()?;
    lower.next().is_none().then_some(first)
}

/// A state of an automaton.
pub(crate) type State = u32;
/// Nothing that follows can be accepted.
pub(crate) const DEAD: State = 0;

/// A deterministic automaton in the making.
#[derive(Debug)]
pub(crate) struct Automaton {
    tokens: Box<[Token]>,
    /// The characters that every match begins with.
    prefix: Box<str>,
    states: Vec<Places>,
    by_places: HashMap<Box<[u16]>, State>,
    steps: HashMap<(State, char), State>,
    start: State,
}

#[derive(Debug)]
struct Places {
    /// Ascending; the length of the pattern is the place of acceptance.
    list: Box<[u16]>,
    accepts: bool,
    /// Everything that follows is accepted.
    universal: bool,
}

/// Longest pattern that is decided, in tokens; policies can hold no longer ones.
pub(crate) const TOKENS_MAX: usize = 8_192;

impl Automaton {
    pub(crate) fn new(tokens: Vec<Token>) -> Self {
        let fixed = |token: &Token| match token {
            Token::Char(character) => Some(*character),
            _ => None,
        };
        let prefix: String = tokens.iter().map_while(fixed).collect();
        let mut automaton = Self {
            tokens: tokens.into(),
            prefix: prefix.into(),
            states: Vec::new(),
            by_places: HashMap::default(),
            steps: HashMap::default(),
            start: DEAD,
        };
        automaton.intern(Vec::new());
        let mut first = Vec::new();
        automaton.enter(0, &mut first);
        automaton.start = automaton.intern(first);
        automaton
    }

    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The one text that matches, if the pattern has no wildcard.
    pub(crate) fn only_text(&self) -> Option<&str> {
        self.tokens.iter().all(|token| matches!(token, Token::Char(_))).then_some(&*self.prefix)
    }

    /// Whether no text can match both patterns because they begin differently.
    pub(crate) fn begins_apart(&self, other: &Self) -> bool {
        let shorter = self.prefix.len().min(other.prefix.len());
        self.prefix.as_bytes().get(..shorter) != other.prefix.as_bytes().get(..shorter)
    }

    pub(crate) fn start(&self) -> State {
        self.start
    }

    pub(crate) fn accepts(&self, state: State) -> bool {
        self.at(state).is_some_and(|places| places.accepts)
    }

    pub(crate) fn is_universal(&self, state: State) -> bool {
        self.at(state).is_some_and(|places| places.universal)
    }

    fn at(&self, state: State) -> Option<&Places> {
        self.states.get(usize::try_from(state).ok()?)
    }

    /// The tokens that the next character may meet.
    pub(crate) fn awaited(&self, state: State) -> impl Iterator<Item = Token> {
        let places = self.at(state).map_or(&[][..], |places| &places.list);
        places.iter().filter_map(|place| self.tokens.get(usize::from(*place)).copied())
    }

    /// Adds a place and those that a run before them lets be reached without a character.
    fn enter(&self, place: usize, places: &mut Vec<u16>) {
        let mut place = place;
        loop {
            let Ok(short) = u16::try_from(place) else { return };
            if places.contains(&short) {
                return;
            }
            places.push(short);
            match self.tokens.get(place) {
                Some(token) if token.is_run() => place += 1,
                _ => return,
            }
        }
    }

    fn intern(&mut self, mut places: Vec<u16>) -> State {
        places.sort_unstable();
        // What a run over everything can still read includes what any earlier place can: those are left out.
        let last_run = places.iter().rposition(|place| self.tokens.get(usize::from(*place)) == Some(&Token::Many));
        if let Some(at) = last_run {
            places.drain(..at);
        }
        let places: Box<[u16]> = places.into();
        if let Some(known) = self.by_places.get(&places) {
            return *known;
        }
        let state = State::try_from(self.states.len()).unwrap_or(DEAD);
        let accepts = places.last().is_some_and(|place| usize::from(*place) == self.tokens.len());
        let universal = places.first().is_some_and(|place| {
            self.tokens.get(usize::from(*place)..).is_some_and(|rest| !rest.is_empty() && rest.iter().all(|token| *token == Token::Many))
        });
        self.by_places.insert(places.clone(), state);
        self.states.push(Places { list: places, accepts, universal });
        state
    }

    /// The state after a character.
    pub(crate) fn step(&mut self, state: State, character: char) -> State {
        if state == DEAD || self.is_universal(state) {
            return state;
        }
        if let Some(next) = self.steps.get(&(state, character)) {
            return *next;
        }
        let mut reached = Vec::new();
        let places = self.at(state).map(|places| places.list.clone()).unwrap_or_default();
        for place in places.iter().map(|place| usize::from(*place)) {
            let Some(token) = self.tokens.get(place) else { continue };
            if token.takes(character) {
                self.enter(if token.is_run() { place } else { place + 1 }, &mut reached);
            }
        }
        let next = self.intern(reached);
        self.steps.insert((state, character), next);
        next
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&mut self, text: &str) -> bool {
        if !text.starts_with(&*self.prefix) {
            return false;
        }
        // A text without wildcards, or one that is open behind its beginning.
        match self.tokens.get(self.prefix.chars().count()..) {
            Some([]) => return text.len() == self.prefix.len(),
            Some([Token::Many]) => return true,
            _ => {}
        }
        let mut state = self.start;
        for character in text.chars() {
            state = self.step(state, character);
            if state == DEAD {
                return false;
            }
        }
        self.accepts(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn tokens(pattern: &str) -> Vec<Token> {
        pattern
            .chars()
            .map(|character| match character {
                '*' => Token::Many,
                '?' => Token::One,
                '#' => Token::ManyInSegment,
                '9' => Token::Digit,
                other => Token::Char(other),
            })
            .collect()
    }

    #[test]
    fn texts() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbcd", false),
            ("*a?c", "xxaabc", true),
            ("a*b*c", "a1b2b3c", true),
            ("?", "é", true),
            ("a:#:c", "a:b:c", true),
            ("a:#:c", "a:b:x:c", false),
            ("#b#b", "abab", true),
            ("99", "12", true),
            ("99", "1x", false),
        ] {
            assert_eq!(Automaton::new(tokens(pattern)).matches(text), expected, "{pattern} {text}");
        }
        assert!(Automaton::new(vec![Token::Fold('k')]).matches("\u{212a}"));
    }

    #[test]
    fn the_states_of_a_hostile_pattern_are_few() {
        let mut automaton = Automaton::new(tokens(&"*a".repeat(2_000)));
        assert!(!automaton.matches(&"ab".repeat(1_500)));
        assert!(automaton.states.len() < 10_000);
    }

    proptest::proptest! {
        #[test]
        fn automata_and_globs_agree(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            proptest::prop_assert_eq!(Automaton::new(tokens(&pattern)).matches(&text), policy::Glob::new(&pattern).matches(&text));
        }
    }
}
