//! The search for a request: inside one rule, outside of others.
//!
//! A cube is a conjunction of literals, kept with a request that satisfies it. While that request matches a rule that is
//! to be avoided, the cube is split: in each part one clause of the rule fails. A part without any request is dropped. The
//! search ends with a request, or with the proof that there is none; where a step could not be decided, it says so.

use std::collections::BTreeMap;

use crate::caller;
use crate::language::{Alphabet, Flag, Found, SetId};
use crate::pattern::Token;
use crate::space::{FIELDS, Field, Kind, Literal, Rule, Space, Special, Test};
use crate::typed;

/// Cubes that one question may visit.
const CUBES_MAX: usize = 20_000;
/// Rules that one request may have to avoid one after the other.
const DEPTH_MAX: usize = 1_500;

/// One text field: where it must lie, where it must not, and a text that does both.
#[derive(Debug, Clone, Default)]
struct TextField {
    inside: Vec<SetId>,
    outside: Vec<SetId>,
    text: String,
}

/// One condition key: tests that some value must pass, tests that none may pass, and values that do both.
#[derive(Debug, Clone, Default)]
struct KeyField {
    some: Vec<(Test, bool)>,
    none: Vec<(Test, bool)>,
    values: Vec<String>,
}

/// A set of requests of one kind of caller, with one of them.
#[derive(Debug, Clone)]
pub(crate) struct Cube {
    pub(crate) kind: Kind,
    pub(crate) bounded: bool,
    texts: [TextField; FIELDS],
    keys: BTreeMap<usize, KeyField>,
    /// Flags that hold for all requests of the cube.
    assumed: Vec<Flag>,
}

impl Cube {
    pub(crate) fn text(&self, field: Field) -> &str {
        self.texts.get(field.index()).map_or("", |field| &field.text)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = (usize, &[String])> {
        self.keys.iter().map(|(key, field)| (*key, field.values.as_slice()))
    }

    /// Whether something is asked of the field.
    pub(crate) fn constrains(&self, field: Field) -> bool {
        self.texts.get(field.index()).is_some_and(|field| !field.inside.is_empty() || !field.outside.is_empty())
    }
}

/// A question over all requests.
pub(crate) struct Solver<'a> {
    pub(crate) space: &'a mut Space,
    /// Whether callers are part of the question; else the policies are attached to them and name none.
    pub(crate) callers: bool,
    /// Why what was not found may still exist.
    pub(crate) undecided: Option<&'static str>,
    cubes: usize,
}

impl<'a> Solver<'a> {
    pub(crate) fn new(space: &'a mut Space, callers: bool) -> Self {
        Self { space, callers, undecided: None, cubes: 0 }
    }

    /// All requests of a kind of caller.
    pub(crate) fn all(&mut self, kind: Kind, bounded: bool) -> Option<Cube> {
        let mut cube =
            Cube { kind, bounded, texts: std::array::from_fn(|_| TextField::default()), keys: BTreeMap::new(), assumed: Vec::new() };
        let defaults = [
            (Field::Action, "service:action"),
            (Field::Resource, "arn:aws:service:::resource"),
            (Field::Session, "session"),
            (Field::UserId, "AIDAEXAMPLE"),
            (Field::Service, "service.amazonaws.com"),
            (Field::Provider, "provider.example.com"),
        ];
        for (field, text) in defaults {
            if let Some(field) = cube.texts.get_mut(field.index()) {
                text.clone_into(&mut field.text);
            }
        }
        if self.callers
            && let Some(shape) = caller::shape(self.space, kind)
            && !self.add(&mut cube, Literal::Text(Field::Principal, shape, true))
        {
            return None;
        }
        Some(cube)
    }

    /// What a literal means for callers of a kind: keys that follow from the caller become literals about it.
    fn resolve(&mut self, literal: Literal, cube: &Cube) -> Literal {
        let truth = |holds: bool| if holds { Literal::Always } else { Literal::Never };
        match literal {
            Literal::Kinds(kinds) => truth(!self.callers || kinds & cube.kind.bit() != 0),
            Literal::Bounded(bounded) => truth(cube.bounded == bounded),
            Literal::Value { key, test, passes, exists } if self.callers => {
                let special = self.space.keys.get(key).map_or(Special::Free, |key| key.special);
                let value = match special {
                    Special::Free | Special::SecureTransport | Special::ResourceAccount => return literal,
                    Special::UserName if cube.kind == Kind::User => return literal,
                    Special::PrincipalArn if cube.kind.has_account() => return as_text(literal, Field::Principal),
                    Special::PrincipalServiceName if cube.kind == Kind::Service => return as_text(literal, Field::Service),
                    Special::UserId if cube.kind != Kind::Service => return as_text(literal, Field::UserId),
                    Special::PrincipalAccount if cube.kind.has_account() => {
                        return match test {
                            Test::Set(set) => {
                                let arns = self.space.arns_of_accounts(set);
                                Literal::Text(Field::Principal, arns, passes == exists)
                            }
                            Test::Typed(_) => literal,
                        };
                    }
                    Special::PrincipalAccount => (cube.kind == Kind::Anonymous).then_some("anonymous"),
                    Special::PrincipalType => caller::type_name(cube.kind),
                    Special::PrincipalIsAwsService if cube.kind == Kind::Service => Some("true"),
                    Special::PrincipalIsAwsService => cube.kind.has_account().then_some("false"),
                    _ => None,
                };
                let found = value.is_some_and(|value| self.passes(test, value) == passes);
                truth(found == exists)
            }
            other => other,
        }
    }

    fn passes(&mut self, test: Test, value: &str) -> bool {
        match test {
            Test::Set(set) => self.space.sets.contains(set, value, &[]),
            Test::Typed(condition) => self.space.conditions.get(condition).is_some_and(|condition| condition.lists_value(value)),
        }
    }

    /// Adds a literal to the cube; `false` if no request is left, or none that could be found.
    pub(crate) fn add(&mut self, cube: &mut Cube, literal: Literal) -> bool {
        match self.resolve(literal, cube) {
            Literal::Always => true,
            Literal::Text(field, set, inside) => self.add_text(cube, field, set, inside),
            Literal::Value { key, test, passes, exists } => self.add_value(cube, key, (test, passes), exists),
            Literal::Never | Literal::Kinds(_) | Literal::Bounded(_) => false,
        }
    }

    fn add_text(&mut self, cube: &mut Cube, field: Field, set: SetId, inside: bool) -> bool {
        let Some(known) = cube.texts.get_mut(field.index()) else { return false };
        let (list, other) = if inside { (&mut known.inside, &known.outside) } else { (&mut known.outside, &known.inside) };
        let sets = &self.space.sets;
        if other.iter().any(|other| if inside { sets.is_part_of(set, *other) } else { sets.is_part_of(*other, set) }) {
            return false;
        }
        if list.contains(&set) {
            return true;
        }
        list.push(set);
        if inside {
            cube.assumed.extend(self.space.sets.only_flag(set));
        }
        if !self.space.sets.has_flags(set) && self.space.sets.contains(set, &known.text, &[]) == inside {
            return true;
        }
        let alphabet = if field == Field::Action { Alphabet::Lower } else { Alphabet::All };
        match self.space.sets.find(&known.inside, &known.outside, alphabet) {
            Found::Text(text) => {
                known.text = text;
                true
            }
            Found::Nothing => false,
            Found::Unknown => {
                self.undecided = Some("a combination of wildcards that is too large");
                false
            }
        }
    }

    fn add_value(&mut self, cube: &mut Cube, key: usize, test: (Test, bool), exists: bool) -> bool {
        let mut known = cube.keys.remove(&key).unwrap_or_else(|| self.untested(key, cube));
        if exists
            && let Test::Set(set) = test.0
            && test.1
        {
            cube.assumed.extend(self.space.sets.only_flag(set));
        }
        if (if exists { &known.none } else { &known.some }).contains(&test) {
            return false;
        }
        let list = if exists { &mut known.some } else { &mut known.none };
        if !list.contains(&test) {
            list.push(test);
            let has_flags = matches!(test.0, Test::Set(set) if self.space.sets.has_flags(set));
            let values = known.values.clone();
            if has_flags || values.iter().any(|value| self.passes(test.0, value) == test.1) != exists {
                let Some(values) = self.solve_key(key, &known, cube) else { return false };
                known.values = values;
            }
        }
        cube.keys.insert(key, known);
        true
    }

    /// A key of which nothing is asked yet.
    fn untested(&self, key: usize, cube: &Cube) -> KeyField {
        KeyField { values: self.default_value(key, cube).map(str::to_owned).into_iter().collect(), ..KeyField::default() }
    }

    /// The value that a key has in requests where nothing else is asked; `None` for keys that may be absent.
    fn default_value(&self, key: usize, cube: &Cube) -> Option<&'static str> {
        match self.space.keys.get(key)?.special {
            Special::SecureTransport => Some("true"),
            Special::ResourceAccount => Some("111122223333"),
            Special::UserName if self.callers && cube.kind == Kind::User => Some("someone"),
            _ => None,
        }
    }

    /// Values of a key that satisfy all that is asked of it.
    fn solve_key(&mut self, key: usize, field: &KeyField, cube: &Cube) -> Option<Vec<String>> {
        if field.some.is_empty() {
            return match self.default_value(key, cube) {
                None => Some(Vec::new()),
                Some(_) => self.find_value(key, &[], &field.none).map(|value| vec![value]),
            };
        }
        if !self.space.keys.get(key).is_some_and(|key| key.multivalued) {
            return self.find_value(key, &field.some, &field.none).map(|value| vec![value]);
        }
        let mut values = Vec::new();
        for wanted in &field.some {
            let value = self.find_value(key, std::slice::from_ref(wanted), &field.none)?;
            if !values.contains(&value) {
                values.push(value);
            }
        }
        Some(values)
    }

    fn find_value(&mut self, key: usize, some: &[(Test, bool)], none: &[(Test, bool)]) -> Option<String> {
        let known = self.space.keys.get(key)?;
        if known.typed {
            let (values, undecided, only_booleans) = (known.values.clone(), known.undecided, known.only_booleans);
            let mut found = None;
            for value in values {
                if self.meets(&value, some, none) {
                    found = Some(value);
                    break;
                }
            }
            // A text that the patterns want may do as well, if what is typed takes it.
            if found.is_none() && undecided {
                found = self.find_text(some, none, &[]).filter(|value| self.meets(value, some, none));
            }
            if found.is_none() && undecided && only_booleans {
                return self.find_beside_booleans(some, none);
            }
            // A text out of a finite list is one of the values: then none was left out.
            let finite = |(test, passes): &(Test, bool)| *passes && matches!(test, Test::Set(set) if typed::is_finite(self.space, *set));
            if found.is_none() && undecided && !some.iter().any(finite) {
                self.undecided = Some("a key that is compared both as a text and as a number, date, bytes or address");
            }
            return found;
        }
        self.find_text(some, none, &[])
    }

    /// A value of a key that is compared as a text and as a boolean: a spelling of a boolean, or a text that is none, for which every
    /// `Bool` condition is wrong. No third kind of text is left.
    fn find_beside_booleans(&mut self, some: &[(Test, bool)], none: &[(Test, bool)]) -> Option<String> {
        if let Some(spelling) = typed::spellings().into_iter().find(|spelling| self.meets(spelling, some, none)) {
            return Some(spelling);
        }
        let is_typed = |test: &Test| matches!(test, Test::Typed(_));
        if some.iter().any(|(test, passes)| is_typed(test) && *passes) || none.iter().any(|(test, passes)| is_typed(test) && !*passes) {
            return None;
        }
        let mut booleans = Vec::new();
        for word in typed::BOOLEANS {
            booleans.push(self.space.tokens(word.chars().map(Token::Fold).collect())?);
        }
        self.find_text(some, none, &booleans)
    }

    /// Whether a value passes all tests of the one list and none of the other.
    fn meets(&mut self, value: &str, some: &[(Test, bool)], none: &[(Test, bool)]) -> bool {
        some.iter().all(|(test, passes)| self.passes(*test, value) == *passes)
            && none.iter().all(|(test, passes)| self.passes(*test, value) != *passes)
    }

    /// A shortest text for the tests that are sets of texts, outside of further sets. Other tests are passed over.
    fn find_text(&mut self, some: &[(Test, bool)], none: &[(Test, bool)], besides: &[SetId]) -> Option<String> {
        let (mut inside, mut outside) = (Vec::new(), besides.to_vec());
        let wanted = some.iter().map(|(test, passes)| (test, *passes));
        let unwanted = none.iter().map(|(test, passes)| (test, !*passes));
        for (test, passes) in wanted.chain(unwanted) {
            match test {
                Test::Set(set) if passes => inside.push(*set),
                Test::Set(set) => outside.push(*set),
                Test::Typed(_) => {}
            }
        }
        match self.space.sets.find(&inside, &outside, Alphabet::All) {
            Found::Text(text) => Some(text),
            Found::Nothing => None,
            Found::Unknown => {
                self.undecided = Some("a combination of wildcards that is too large");
                None
            }
        }
    }

    /// Whether the cube's request satisfies a literal. A flag holds where the cube says so.
    fn holds(&mut self, cube: &Cube, literal: Literal) -> bool {
        match self.resolve(literal, cube) {
            Literal::Always => true,
            Literal::Text(field, set, inside) => {
                let Some(known) = cube.texts.get(field.index()) else { return false };
                if known.inside.iter().any(|known| self.space.sets.is_part_of(*known, set)) {
                    return inside;
                }
                self.space.sets.contains(set, &known.text, &cube.assumed) == inside
            }
            Literal::Value { key, test, passes, exists } => {
                let untested = self.untested(key, cube);
                let known = cube.keys.get(&key).unwrap_or(&untested);
                if known.some.contains(&(test, passes)) {
                    return exists;
                }
                known.values.iter().any(|value| self.passes_with(test, value, &cube.assumed) == passes) == exists
            }
            Literal::Never | Literal::Kinds(_) | Literal::Bounded(_) => false,
        }
    }

    fn passes_with(&mut self, test: Test, value: &str, assumed: &[Flag]) -> bool {
        match test {
            Test::Set(set) => self.space.sets.contains(set, value, assumed),
            Test::Typed(_) => self.passes(test, value),
        }
    }

    fn matches(&mut self, rule: &Rule, cube: &Cube) -> bool {
        rule.clauses.iter().all(|clause| clause.iter().any(|literal| self.holds(cube, *literal)))
    }

    /// A request of the cube that matches none of the rules and that `accept` takes.
    pub(crate) fn outside_of(&mut self, cube: Cube, rules: &[&Rule]) -> Option<Cube> {
        self.search(cube, rules, 0)
    }

    fn search(&mut self, mut cube: Cube, rules: &[&Rule], depth: usize) -> Option<Cube> {
        self.cubes += 1;
        if self.cubes > CUBES_MAX || depth > DEPTH_MAX {
            self.undecided = Some("more cases than the search may visit");
            return None;
        }
        let Some(at) = rules.iter().position(|rule| self.matches(rule, &cube)) else { return Some(cube) };
        let (rule, rest) = (rules.get(at)?, rules.get(at + 1..).unwrap_or_default());
        for clause in &rule.clauses {
            let mut part = cube.clone();
            if clause.iter().all(|literal| self.add(&mut part, literal.negated())) {
                // A rule before this one may match the new request: all but the avoided one are looked at again.
                let others: Vec<&Rule> = rules.iter().take(at).chain(rest).copied().collect();
                if let Some(found) = self.search(part, &others, depth + 1) {
                    return Some(found);
                }
            }
            // The parts that follow need only requests for which this clause holds.
            if let [only] = clause.as_slice()
                && !self.add(&mut cube, *only)
            {
                return None;
            }
        }
        None
    }

    /// The cubes of a rule within a cube: one for each choice among the alternatives of its clauses.
    pub(crate) fn within(&mut self, cube: &Cube, clauses: &[Vec<Literal>]) -> Vec<Cube> {
        let mut cubes = vec![cube.clone()];
        for clause in clauses {
            let mut next = Vec::new();
            for cube in &cubes {
                for literal in clause {
                    let mut part = cube.clone();
                    if self.add(&mut part, *literal) {
                        next.push(part);
                    }
                }
                if next.len() > CUBES_MAX {
                    self.undecided = Some("more cases than the search may visit");
                    return Vec::new();
                }
            }
            cubes = next;
        }
        cubes
    }
}

/// A test of a key's value as a test of the field that the value is in.
fn as_text(literal: Literal, field: Field) -> Literal {
    match literal {
        Literal::Value { test: Test::Set(set), passes, exists, .. } => Literal::Text(field, set, passes == exists),
        other => other,
    }
}
