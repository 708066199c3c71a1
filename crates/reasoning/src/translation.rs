//! Reads statements about a policy's variables out of plain text, where the form allows it.
//!
//! It is no language model. A sentence is read when it names a variable (by its name with spaces for underscores, or by a phrase that stands in
//! quotation marks in the variable's description) and says its value in one of a few forms: `the tenure is at least 12`, `the level is senior`, `the
//! employee is not full time`, `if .., then ..`. A sentence that names a variable but hedges (`may`, `probably`, `or`) is ambiguous; everything
//! else is not translated. What is read wrongly would be decided wrongly, so doubt means "not translated".

use crate::check::{Statement, quoted};
use crate::policy::{Policy, Sort};

/// Text that is read at most, bytes; the rest is not translated.
const TEXT_BYTES_MAX: usize = 20_000;
/// Sentences that are read at most.
const SENTENCES_MAX: usize = 200;

/// What a text is in the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Its questions state nothing.
    Question,
    Answer,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) statements: Vec<Statement>,
    /// What an ambiguous sentence may mean; empty when there is none.
    pub(crate) options: Vec<Statement>,
    pub(crate) untranslated: Vec<String>,
}

/// A phrase that names something.
struct Phrase {
    words: Vec<String>,
    variable: usize,
}

/// Words that make a statement uncertain.
const HEDGES: [&str; 23] = [
    "may",
    "might",
    "could",
    "maybe",
    "perhaps",
    "probably",
    "possibly",
    "likely",
    "unless",
    "or",
    "either",
    "sometimes",
    "usually",
    "depends",
    "unclear",
    "except",
    // Somebody says it, or it is said of what was said.
    "told",
    "said",
    "wrong",
    "incorrect",
    "untrue",
    "mistaken",
    "neither",
];
const NEGATIONS: [&str; 9] = ["not", "no", "never", "isn't", "aren't", "doesn't", "don't", "cannot", "without"];
/// Words of names that say nothing.
const FILLERS: [&str; 8] = ["is", "has", "are", "the", "a", "an", "of", "was"];

/// Reads a text.
pub(crate) fn read(policy: &Policy, text: &str, role: Role) -> Reading {
    let phrases = phrases(policy);
    let mut reading = Reading::default();
    let text = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
    for sentence in sentences(text).take(SENTENCES_MAX) {
        if role == Role::Question && sentence.ends_with('?') {
            continue;
        }
        match clause(policy, &phrases, sentence) {
            Read::Logic(logic) => reading.statements.push(Statement { logic, text: sentence.to_owned() }),
            Read::Ambiguous(options) => {
                reading.options.extend(options.into_iter().map(|logic| Statement { logic, text: sentence.to_owned() }));
            }
            Read::Nothing => reading.untranslated.push(sentence.to_owned()),
        }
    }
    reading
}

/// What a sentence was read as.
enum Read {
    Logic(String),
    Ambiguous(Vec<String>),
    Nothing,
}

/// Sentences, with their closing sign. A point between digits ends none.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut ends = Vec::new();
    let mut previous = ' ';
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next_is_space = characters.peek().is_none_or(|(_, next)| next.is_whitespace());
        let ends_here = matches!(character, '!' | '?' | ';' | '\n') || (character == '.' && (next_is_space || !previous.is_ascii_digit()));
        if ends_here {
            ends.push(at + character.len_utf8());
        }
        previous = character;
    }
    ends.push(text.len());
    let mut from = 0;
    ends.into_iter().filter_map(move |end| {
        let sentence = text.get(from..end).unwrap_or_default().trim();
        from = end;
        (!sentence.is_empty()).then_some(sentence)
    })
}

/// Words in small letters; numbers keep their points, comparison signs stand alone.
fn words(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut previous = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next_is_digit = characters.peek().is_some_and(char::is_ascii_digit);
        let inside_number = matches!(character, '.' | ',') && previous.is_ascii_digit() && next_is_digit;
        if inside_number {
            if character == '.' {
                word.push('.');
            }
        } else if character.is_alphanumeric() || character == '\'' || character == '’' {
            word.extend(if character == '’' { '\''.to_lowercase() } else { character.to_lowercase() });
        } else {
            if !word.is_empty() {
                found.push(std::mem::take(&mut word));
            }
            if "<>=≤≥".contains(character) {
                match (found.last_mut(), character) {
                    (Some(last), '=') if matches!(last.as_str(), "<" | ">" | "=") => last.push('='),
                    _ => found.push(character.to_string()),
                }
            }
        }
        previous = character;
    }
    if !word.is_empty() {
        found.push(word);
    }
    found
}

/// The words of a name: `isFullTime` and `is_full_time` are `full time`.
fn name_words(name: &str) -> Vec<String> {
    let mut spaced = String::new();
    let mut previous = ' ';
    for character in name.chars() {
        if character.is_uppercase() && previous.is_lowercase() {
            spaced.push(' ');
        }
        spaced.push(if character == '_' { ' ' } else { character });
        previous = character;
    }
    let words = words(&spaced);
    let kept: Vec<String> = words.iter().filter(|word| !FILLERS.contains(&word.as_str())).cloned().collect();
    if kept.is_empty() { words } else { kept }
}

/// Phrases in quotation marks of a description.
fn quoted_phrases(description: &str) -> impl Iterator<Item = Vec<String>> {
    description.split(['"', '“', '”']).skip(1).step_by(2).map(words).filter(|words| !words.is_empty())
}

fn phrases(policy: &Policy) -> Vec<Phrase> {
    let mut found = Vec::new();
    for (variable, definition) in policy.definition().variables.iter().enumerate() {
        let all = std::iter::once(name_words(&definition.name)).chain(quoted_phrases(&definition.description));
        found.extend(all.filter(|words| !words.is_empty()).map(|words| Phrase { words, variable }));
    }
    found
}

/// Where a phrase stands in a sentence, as words.
fn find(sentence: &[String], phrase: &[String]) -> Option<std::ops::Range<usize>> {
    sentence.windows(phrase.len().max(1)).position(|window| window == phrase).map(|at| at..at + phrase.len())
}

fn clause(policy: &Policy, phrases: &[Phrase], sentence: &str) -> Read {
    let all = words(sentence);
    if all.first().is_some_and(|word| word == "if")
        && let Some((condition, conclusion)) = split_condition(sentence)
    {
        return match (simple(policy, phrases, &words(condition)), simple(policy, phrases, &words(conclusion))) {
            (Read::Logic(condition), Read::Logic(conclusion)) => Read::Logic(format!("(=> {condition} {conclusion})")),
            (Read::Ambiguous(options), _) | (_, Read::Ambiguous(options)) => Read::Ambiguous(options),
            _ => Read::Nothing,
        };
    }
    simple(policy, phrases, &all)
}

/// `If A, then B`.
fn split_condition(sentence: &str) -> Option<(&str, &str)> {
    let rest = sentence.get(2..)?;
    let (condition, conclusion) = rest.split_once(',').or_else(|| rest.split_once(" then "))?;
    Some((condition, conclusion.trim_start().strip_prefix("then ").unwrap_or(conclusion)))
}

/// A clause without a condition: one statement, or several joined by `and`.
fn simple(policy: &Policy, phrases: &[Phrase], all: &[String]) -> Read {
    let mut named: Vec<(std::ops::Range<usize>, usize)> =
        phrases.iter().filter_map(|phrase| Some((find(all, &phrase.words)?, phrase.variable))).collect();
    // The longest name counts; a shorter one inside it is a part of it.
    named.sort_by_key(|(range, _)| (std::cmp::Reverse(range.len()), range.start));
    let mut chosen: Vec<(std::ops::Range<usize>, usize)> = Vec::new();
    let mut is_tied = false;
    for (range, variable) in named {
        match chosen.iter().find(|(taken, _)| taken.start < range.end && range.start < taken.end) {
            Some((taken, other)) => is_tied |= *taken == range && *other != variable,
            None => chosen.push((range, variable)),
        }
    }
    chosen.sort_by_key(|(range, _)| range.start);
    let mut statements = Vec::new();
    for (place, (range, variable)) in chosen.iter().enumerate() {
        let from = if place == 0 { 0 } else { chosen.get(place - 1).map_or(0, |(before, _)| before.end) };
        let until = chosen.get(place + 1).map_or(all.len(), |(next, _)| boundary(all, range.end, next.start));
        let before = all.get(from..range.start).unwrap_or_default();
        let after = all.get(range.end..until).unwrap_or_default();
        match value(policy, *variable, before, after) {
            Some(logic) => statements.push(logic),
            // A variable is named, but what is said of it is not understood.
            None => return Read::Nothing,
        }
    }
    if statements.is_empty() {
        return Read::Nothing;
    }
    let hedged = all.iter().any(|word| HEDGES.contains(&word.as_str()));
    if hedged || is_tied {
        let options = statements.iter().flat_map(|logic| [logic.clone(), format!("(not {logic})")]);
        return Read::Ambiguous(options.take(2).collect());
    }
    match statements.as_slice() {
        [single] => Read::Logic(single.clone()),
        many => Read::Logic(format!("(and {})", many.join(" "))),
    }
}

/// Where the words about one variable end and those about the next begin: at an `and` between them.
fn boundary(all: &[String], from: usize, to: usize) -> usize {
    let between = all.get(from..to).unwrap_or_default();
    between.iter().position(|word| word == "and" || word == "but").map_or(to, |at| from + at)
}

fn value(policy: &Policy, variable: usize, before: &[String], after: &[String]) -> Option<String> {
    let name = quoted(policy.variable_name(variable));
    let near = before.iter().rev().take_while(|word| *word != "and" && *word != "but").take(4);
    let negated =
        near.chain(after.iter().take(3)).filter(|word| NEGATIONS.contains(&word.as_str()) || word.ends_with("n't")).count() % 2 == 1;
    match policy.sort(variable)? {
        Sort::Boolean => {
            // "It is false that": what is denied stands behind it, at a length that nobody knows.
            if before.iter().any(|word| word == "false") {
                return None;
            }
            let says = |word: &str| after.iter().take(3).any(|other| other == word);
            let stated = !(says("false") || negated) || (says("false") && negated);
            Some(format!("(= {name} {stated})"))
        }
        Sort::Enumeration(kind) => {
            let found: Vec<usize> =
                (0..policy.value_count(kind)).filter(|value| names_value(policy, kind, *value, before, after)).collect();
            match found.as_slice() {
                [single] => {
                    let value = quoted(policy.value_name(kind, *single)?);
                    Some(if negated { format!("(not (= {name} {value}))") } else { format!("(= {name} {value})") })
                }
                _ => None,
            }
        }
        Sort::Integer | Sort::Real => number(&name, before, after, negated),
    }
}

fn names_value(policy: &Policy, kind: usize, value: usize, before: &[String], after: &[String]) -> bool {
    let definition = policy.definition().types.get(kind).and_then(|kind| kind.values.get(value));
    let Some((name, description)) = definition else { return false };
    let phrases = std::iter::once(name_words(name)).chain(quoted_phrases(description.as_deref().unwrap_or_default()));
    phrases.into_iter().any(|words| find(after, &words).is_some() || find(before, &words).is_some())
}

/// Comparisons by their words, the longer ones first.
const COMPARISONS: [(&[&str], &str); 24] = [
    (&["no", "more", "than"], "<="),
    (&["not", "more", "than"], "<="),
    (&["no", "less", "than"], ">="),
    (&["not", "less", "than"], ">="),
    (&["no", "fewer", "than"], ">="),
    (&["greater", "than", "or", "equal", "to"], ">="),
    (&["less", "than", "or", "equal", "to"], "<="),
    (&["at", "least"], ">="),
    (&["at", "most"], "<="),
    (&["more", "than"], ">"),
    (&["greater", "than"], ">"),
    (&["less", "than"], "<"),
    (&["fewer", "than"], "<"),
    (&["up", "to"], "<="),
    (&["over"], ">"),
    (&["above"], ">"),
    (&["under"], "<"),
    (&["below"], "<"),
    (&[">="], ">="),
    (&["≥"], ">="),
    (&["<="], "<="),
    (&["≤"], "<="),
    (&[">"], ">"),
    (&["<"], "<"),
];

fn number(name: &str, before: &[String], after: &[String], negated: bool) -> Option<String> {
    let in_words = if after.iter().any(|word| is_number(word)) { after } else { before };
    let at = in_words.iter().position(|word| is_number(word))?;
    if in_words.iter().filter(|word| is_number(word)).count() > 1 {
        return None;
    }
    let text = in_words.get(at)?;
    let leading = in_words.get(..at).unwrap_or_default();
    let comparison = COMPARISONS.iter().find(|(words, _)| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        leading.ends_with(&words)
    });
    match comparison {
        // The negation may belong to the comparison: only whole forms are read.
        Some((words, sign)) => {
            let says_no = words.iter().any(|word| NEGATIONS.contains(word));
            Some(if negated && !says_no { format!("(not ({sign} {name} {text}))") } else { format!("({sign} {name} {text})") })
        }
        None if negated => Some(format!("(not (= {name} {text}))")),
        None => Some(format!("(= {name} {text})")),
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) && crate::rational::Rational::parse(word).is_some()
}
