//! From compiled policies to rules in the space of requests.

use policy::{Condition, OperatorFamily, PatternPart, Policy, PrincipalElement, SetOperator, Statement, pattern_parts};

use crate::caller;
use crate::language::{Part, SetId};
use crate::pattern::{Token, folded};
use crate::space::{Clause, Field, Literal, Rule, Space, Test};
use crate::typed;

/// What a policy variable stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variables {
    /// Something that is not known: patterns that have one are sets of their own within what any value would allow.
    Open,
    /// A value that is made up for each key.
    Fixed,
    /// Nothing: the keys are absent.
    Absent,
}

/// The value that [`Variables::Fixed`] makes up for a key.
pub(crate) fn made_up(lower: &str) -> String {
    if lower.ends_with("account") {
        return "111122223333".to_owned();
    }
    let name = lower.rsplit([':', '/']).next().unwrap_or_default();
    format!("{name}-example")
}

/// A problem with a pattern: it has no certain meaning here.
pub(crate) struct Reader<'a> {
    pub(crate) space: &'a mut Space,
    pub(crate) variables: Variables,
    /// Keys that stand in variables, in lower case.
    pub(crate) variable_keys: Vec<String>,
}

/// The rules of a policy. An unreadable one denies everything.
pub(crate) fn rules(reader: &mut Reader<'_>, policy: &Policy) -> Vec<Rule> {
    if policy.problem().is_some() {
        return vec![Rule { effect: policy::Effect::Deny, statement: 0, clauses: Vec::new() }];
    }
    let mut rules = Vec::new();
    for (at, statement) in policy.statements().iter().enumerate() {
        let mut clauses = vec![vec![reader.actions(statement)]];
        clauses.extend(reader.resources(statement, policy.has_variables()).map(|literal| vec![literal]));
        for condition in statement.conditions() {
            clauses.extend(reader.condition(condition, policy.has_variables()));
        }
        let mut add = |principal: Vec<Clause>| {
            let clauses = principal.into_iter().chain(clauses.clone()).collect();
            rules.push(Rule { effect: statement.effect(), statement: at, clauses });
        };
        match statement.principals() {
            PrincipalElement::Implied => add(Vec::new()),
            PrincipalElement::Only(entries) => {
                for entry in entries {
                    add(caller::named(reader.space, entry).into_iter().map(|literal| vec![literal]).collect());
                }
            }
            PrincipalElement::Except(entries) => add(caller::all_but(reader.space, entries)),
        }
    }
    rules
}

/// How the characters of a pattern compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `*` and `?` are wildcards over everything.
    Glob,
    /// As `Glob`, with both sides in lower case.
    LowerGlob,
    /// `*` and `?` are themselves.
    Plain,
    /// As `Plain`, without case.
    PlainFolded,
}

/// A pattern read: tokens, and the text of its variables if it has any that are open.
struct Read {
    tokens: Vec<Token>,
    open: bool,
}

impl Reader<'_> {
    fn actions(&mut self, statement: &Statement) -> Literal {
        let (negated, patterns) = statement.actions();
        let mut parts = Vec::new();
        for text in patterns {
            if let Some(read) = self.read(&text.to_lowercase(), false, Style::LowerGlob) {
                parts.extend(self.part("action", text, read));
            }
        }
        Literal::Text(Field::Action, self.space.sets.set(parts), !negated)
    }

    fn resources(&mut self, statement: &Statement, variables: bool) -> Option<Literal> {
        if statement.implies_resource() {
            return None;
        }
        let (negated, patterns) = statement.resources();
        let mut parts = Vec::new();
        for text in patterns {
            if variables && has_early_variable(text) {
                continue;
            }
            parts.extend(self.arn_part("resource", text, variables));
        }
        Some(Literal::Text(Field::Resource, self.space.sets.set(parts), !negated))
    }

    /// The tokens of a text; `None` if it matches nothing.
    fn read(&mut self, text: &str, variables: bool, style: Style) -> Option<Read> {
        let mut read = Read { tokens: Vec::new(), open: false };
        for part in pattern_parts(text, variables) {
            match part {
                PatternPart::Literal(text) => literal(&text, style, &mut read),
                PatternPart::One if matches!(style, Style::Glob | Style::LowerGlob) => read.tokens.push(Token::One),
                PatternPart::Many if matches!(style, Style::Glob | Style::LowerGlob) => read.tokens.push(Token::Many),
                PatternPart::One => read.tokens.push(Token::Char('?')),
                PatternPart::Many => read.tokens.push(Token::Char('*')),
                PatternPart::Variable { key, default } => {
                    let lower = key.to_lowercase();
                    if !self.variable_keys.contains(&lower) {
                        self.variable_keys.push(lower.clone());
                    }
                    match self.variables {
                        Variables::Open => {
                            read.open = true;
                            read.tokens.extend([Token::One, Token::Many]);
                        }
                        Variables::Fixed => literal(&made_up(&lower), style, &mut read),
                        Variables::Absent => literal(&default?, style, &mut read),
                    }
                }
            }
        }
        Some(read)
    }

    fn part(&mut self, place: &str, text: &str, read: Read) -> Option<Part> {
        let pattern = self.space.sets.pattern(read.tokens)?;
        let flag = read.open.then(|| self.space.sets.flag(&format!("{place} {text}")));
        Some(Part { patterns: vec![pattern], flag })
    }

    /// A pattern that is compared segment by segment, as the engine compares ARNs.
    pub(crate) fn arn_part(&mut self, place: &str, text: &str, variables: bool) -> Option<Part> {
        let read = self.read(text, variables, Style::Glob)?;
        if !read.tokens.is_empty() && !read.open && read.tokens.iter().all(|token| *token == Token::Many) {
            return Some(Part { patterns: Vec::new(), flag: None });
        }
        if read.open && has_early_variable(text) {
            let flag = Some(self.space.sets.flag(&format!("{place} {text}")));
            return Some(Part { patterns: Vec::new(), flag });
        }
        let segments: Vec<&[Token]> = read.tokens.splitn(6, |token| *token == Token::Char(':')).collect();
        let (last, first) = segments.split_last()?;
        let mut tokens = Vec::with_capacity(read.tokens.len());
        for segment in first {
            tokens.extend(segment.iter().map(|token| match token {
                Token::Many => Token::ManyInSegment,
                Token::One => Token::OneInSegment,
                other => *other,
            }));
            tokens.push(Token::Char(':'));
        }
        tokens.extend_from_slice(last);
        let mut patterns = Vec::new();
        if segments.len() < 6 {
            if last.last() != Some(&Token::Many) {
                return None;
            }
            patterns.push(self.space.sets.pattern(six_segments())?);
        }
        patterns.insert(0, self.space.sets.pattern(tokens)?);
        let flag = read.open.then(|| self.space.sets.flag(&format!("{place} {text}")));
        Some(Part { patterns, flag })
    }

    /// A condition as clauses that must all hold.
    fn condition(&mut self, condition: &Condition, variables: bool) -> Vec<Clause> {
        let operator = condition.operator();
        let key = self.space.key(condition.key());
        let value = |test, passes, exists| Literal::Value { key, test, passes, exists };
        let present = Test::Set(self.space.everything());
        let filled = Test::Set(self.space.not_empty());
        if operator.set.is_some()
            && let Some(known) = self.space.keys.get_mut(key)
        {
            known.multivalued = true;
        }
        if operator.family == OperatorFamily::Null {
            let lists = |word: &str| condition.values().any(|value| value.eq_ignore_ascii_case(word));
            return match (lists("true"), lists("false")) {
                (true, true) => Vec::new(),
                (true, false) => vec![vec![value(filled, true, false)]],
                (false, true) => vec![vec![value(filled, true, true)]],
                (false, false) => vec![vec![Literal::Never]],
            };
        }
        let test = self.test(condition, key, variables);
        let mut clause = match operator.set {
            None => vec![value(test, true, !operator.negated)],
            Some(SetOperator::ForAnyValue) => vec![value(test, !operator.negated, true)],
            Some(SetOperator::ForAllValues) => vec![value(test, operator.negated, false), value(filled, true, false)],
        };
        if operator.if_exists {
            clause.push(value(present, true, false));
        }
        vec![clause]
    }

    fn test(&mut self, condition: &Condition, key: usize, variables: bool) -> Test {
        let family = condition.operator().family;
        let style = match family {
            OperatorFamily::StringEquals => Style::Plain,
            OperatorFamily::StringEqualsIgnoreCase => Style::PlainFolded,
            OperatorFamily::StringLike | OperatorFamily::Arn => Style::Glob,
            _ => return typed::test(self.space, condition, key, variables),
        };
        let place = format!("{} {}", condition.key_lower(), if family == OperatorFamily::Arn { "arn" } else { condition.operator_name() });
        let mut parts = Vec::new();
        for text in condition.values() {
            if family == OperatorFamily::Arn {
                parts.extend(self.arn_part(&place, text, variables));
            } else if let Some(read) = self.read(text, variables, style) {
                parts.extend(self.part(&place, text, read));
            }
        }
        let set = self.space.sets.set(parts);
        typed::note_texts(self.space, key, set);
        Test::Set(set)
    }

    /// What the variables' keys are in every request that is looked at.
    pub(crate) fn assumptions(&mut self) -> Vec<Literal> {
        let mut literals = Vec::new();
        for lower in self.variable_keys.clone() {
            let key = self.space.key(&lower);
            match self.variables {
                Variables::Open => {}
                Variables::Fixed => {
                    let set = self.space.texts([made_up(&lower).as_str()]);
                    typed::note_texts(self.space, key, set);
                    literals.push(Literal::Value { key, test: Test::Set(set), passes: true, exists: true });
                    literals.push(Literal::Value { key, test: Test::Set(set), passes: false, exists: false });
                }
                Variables::Absent => {
                    let set: SetId = self.space.everything();
                    literals.push(Literal::Value { key, test: Test::Set(set), passes: true, exists: false });
                }
            }
        }
        literals
    }
}

/// Appends a text that stands for itself.
fn literal(text: &str, style: Style, read: &mut Read) {
    for character in text.chars() {
        if style != Style::PlainFolded {
            read.tokens.push(Token::Char(character));
        } else if let Some(lower) = folded(character).filter(|_| character != '\u{307}') {
            read.tokens.push(Token::Fold(lower));
        } else {
            // A character whose lower case is several: what it equals without case is left open.
            read.open = true;
            read.tokens.push(Token::Many);
        }
    }
}

/// Five colons with anything between and behind: what the engine takes for an ARN.
fn six_segments() -> Vec<Token> {
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.extend([Token::ManyInSegment, Token::Char(':')]);
    }
    tokens.push(Token::Many);
    tokens
}

/// Whether a variable stands before the fifth colon, where none may be in a `Resource`.
fn has_early_variable(text: &str) -> bool {
    let Some((before, rest)) = text.split_once("${") else { return false };
    let Some((inside, _)) = rest.split_once('}') else { return false };
    !matches!(inside, "*" | "?" | "$") && before.matches(':').count() < 5
}
