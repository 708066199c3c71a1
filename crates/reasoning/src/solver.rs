//! Decides whether formulas hold together: clauses by Tseitin's transformation, search with unit propagation, linear constraints by simplex.

use std::collections::HashMap;

use crate::formula::{Formula, Proposition};
use crate::policy::{Policy, Sort};
use crate::rational::Rational;
use crate::simplex::{self, Constraint, Feasibility};

/// Assignments that one question may take.
const STEPS_MAX: usize = 400_000;
/// Clauses of one question.
const CLAUSES_MAX: usize = 200_000;

/// A variable of the clauses with its sign: `2 n` is positive, `2 n + 1` negative.
type Literal = usize;

/// Values of the policy's variables that make formulas true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) propositions: HashMap<Proposition, bool>,
    pub(crate) numbers: HashMap<usize, Rational>,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Satisfiable(Model),
    Unsatisfiable,
    /// The question is too complex.
    Unknown,
}

fn negate(literal: Literal) -> Literal {
    literal ^ 1
}

#[derive(Default)]
struct Clauses {
    count: usize,
    all: Vec<Vec<Literal>>,
    propositions: HashMap<Proposition, usize>,
    linear: HashMap<Constraint, usize>,
}

impl Clauses {
    fn fresh(&mut self) -> usize {
        self.count += 1;
        self.count - 1
    }

    fn proposition(&mut self, proposition: Proposition) -> usize {
        if let Some(known) = self.propositions.get(&proposition) {
            return *known;
        }
        let made = self.fresh();
        self.propositions.insert(proposition, made);
        made
    }

    /// A literal that is true when the formula is, and false when it is not.
    fn literal(&mut self, formula: &Formula) -> Literal {
        match formula {
            Formula::True | Formula::False => {
                let made = self.fresh();
                let literal = 2 * made + usize::from(*formula == Formula::False);
                self.all.push(vec![2 * made]);
                literal
            }
            Formula::Proposition(proposition) => 2 * self.proposition(*proposition),
            Formula::Linear(constraint) => {
                if let Some(known) = self.linear.get(constraint) {
                    return 2 * known;
                }
                let made = self.fresh();
                self.linear.insert(constraint.clone(), made);
                2 * made
            }
            Formula::Not(inner) => negate(self.literal(inner)),
            Formula::And(parts) => {
                let inner: Vec<Literal> = parts.iter().map(|part| negate(self.literal(part))).collect();
                negate(self.any(inner))
            }
            Formula::Or(parts) => {
                let inner: Vec<Literal> = parts.iter().map(|part| self.literal(part)).collect();
                self.any(inner)
            }
        }
    }

    /// A literal that is true when one of the given ones is.
    fn any(&mut self, literals: Vec<Literal>) -> Literal {
        let made = 2 * self.fresh();
        for literal in &literals {
            self.all.push(vec![made, negate(*literal)]);
        }
        let mut back = literals;
        back.push(negate(made));
        self.all.push(back);
        made
    }

    /// Each variable of an enumeration has exactly one value.
    fn choices(&mut self, policy: &Policy) {
        for (variable, sort) in policy.sorts().iter().enumerate() {
            let Sort::Enumeration(kind) = sort else { continue };
            let is_mentioned = self.propositions.keys().any(|known| matches!(known, Proposition::Value(of, _) if *of == variable));
            if !is_mentioned {
                continue;
            }
            let values: Vec<Literal> =
                (0..policy.value_count(*kind)).map(|value| 2 * self.proposition(Proposition::Value(variable, value))).collect();
            for (place, left) in values.iter().enumerate() {
                for right in values.iter().skip(place + 1) {
                    self.all.push(vec![negate(*left), negate(*right)]);
                }
            }
            self.all.push(values);
        }
    }
}

/// The search: a trail of literals, the decisions among them, and clauses that grow by what the arithmetic refuses.
struct Search {
    clauses: Vec<Vec<Literal>>,
    /// Clauses by the literals that they watch.
    watches: Vec<Vec<usize>>,
    values: Vec<Option<bool>>,
    trail: Vec<Literal>,
    /// Length of the trail at each decision, and whether the other side was tried.
    decisions: Vec<(usize, bool)>,
    head: usize,
    steps: usize,
}

impl Search {
    fn value(&self, literal: Literal) -> Option<bool> {
        self.values.get(literal / 2).copied().flatten().map(|value| value != (literal % 2 == 1))
    }

    fn assign(&mut self, literal: Literal) {
        if let Some(value) = self.values.get_mut(literal / 2) {
            *value = Some(literal.is_multiple_of(2));
        }
        self.trail.push(literal);
        self.steps += 1;
    }

    /// Adds a clause; `false` when it is empty.
    fn add(&mut self, mut clause: Vec<Literal>) -> bool {
        // Watch what is not false, else what became false last, so that the clause is seen when it matters.
        let became_false = |literal: &Literal| self.trail.iter().position(|assigned| *assigned == negate(*literal));
        clause.sort_by_key(|literal| std::cmp::Reverse(became_false(literal).unwrap_or(usize::MAX)));
        let number = self.clauses.len();
        let is_empty = clause.is_empty();
        for literal in clause.iter().take(2) {
            if let Some(watch) = self.watches.get_mut(*literal) {
                watch.push(number);
            }
        }
        self.clauses.push(clause);
        !is_empty
    }

    /// Assigns what follows; `false` on a contradiction.
    fn propagate(&mut self) -> bool {
        while let Some(literal) = self.trail.get(self.head).copied() {
            self.head += 1;
            let falsified = negate(literal);
            let watching = self.watches.get_mut(falsified).map(std::mem::take).unwrap_or_default();
            let mut kept = Vec::with_capacity(watching.len());
            let mut is_contradicted = false;
            for number in watching {
                if is_contradicted {
                    kept.push(number);
                    continue;
                }
                match self.visit(number, falsified) {
                    Visit::Moved(to) => {
                        if let Some(watch) = self.watches.get_mut(to) {
                            watch.push(number);
                        }
                    }
                    Visit::Kept => kept.push(number),
                    Visit::Unit(unit) => {
                        kept.push(number);
                        self.assign(unit);
                    }
                    Visit::Contradiction => {
                        kept.push(number);
                        is_contradicted = true;
                    }
                }
            }
            if let Some(watch) = self.watches.get_mut(falsified) {
                watch.extend(kept);
            }
            if is_contradicted {
                return false;
            }
        }
        true
    }

    fn visit(&mut self, number: usize, falsified: Literal) -> Visit {
        let values = &self.values;
        let value = |literal: Literal| values.get(literal / 2).copied().flatten().map(|value| value != (literal % 2 == 1));
        let Some(clause) = self.clauses.get_mut(number) else { return Visit::Kept };
        if clause.first() == Some(&falsified) && clause.len() > 1 {
            clause.swap(0, 1);
        }
        let first = clause.first().copied().unwrap_or(falsified);
        if value(first) == Some(true) {
            return Visit::Kept;
        }
        let other = clause.iter().skip(2).position(|literal| value(*literal) != Some(false)).map(|place| place + 2);
        if let Some(place) = other {
            clause.swap(1, place);
            return clause.get(1).map_or(Visit::Kept, |literal| Visit::Moved(*literal));
        }
        if first == falsified || value(first) == Some(false) { Visit::Contradiction } else { Visit::Unit(first) }
    }

    /// Goes back to the last decision whose other side is not tried, and tries it. `false`: there is none.
    fn back(&mut self) -> bool {
        while let Some((length, tried)) = self.decisions.pop() {
            let decided = self.trail.get(length).copied();
            for literal in self.trail.drain(length..) {
                if let Some(value) = self.values.get_mut(literal / 2) {
                    *value = None;
                }
            }
            self.head = length;
            if !tried && let Some(decided) = decided {
                self.decisions.push((length, true));
                self.assign(negate(decided));
                return true;
            }
        }
        false
    }
}

enum Visit {
    Moved(Literal),
    Kept,
    Unit(Literal),
    Contradiction,
}

/// Whether the formulas hold together.
pub(crate) fn solve(policy: &Policy, formulas: &[&Formula]) -> Answer {
    let mut clauses = Clauses::default();
    for formula in formulas {
        let literal = clauses.literal(formula);
        clauses.all.push(vec![literal]);
    }
    clauses.choices(policy);
    if clauses.all.len() > CLAUSES_MAX {
        return Answer::Unknown;
    }
    let mut search = Search {
        clauses: Vec::new(),
        watches: vec![Vec::new(); 2 * clauses.count],
        values: vec![None; clauses.count],
        trail: Vec::new(),
        decisions: Vec::new(),
        head: 0,
        steps: 0,
    };
    for clause in std::mem::take(&mut clauses.all) {
        match clause.as_slice() {
            [] => return Answer::Unsatisfiable,
            [single] => match search.value(*single) {
                Some(false) => return Answer::Unsatisfiable,
                Some(true) => {}
                None => search.assign(*single),
            },
            _ => {
                search.add(clause);
            }
        }
    }
    // Clauses were added while units were already assigned: all of them are looked at from the beginning of the trail.
    run(policy, &clauses, &mut search)
}

fn run(policy: &Policy, clauses: &Clauses, search: &mut Search) -> Answer {
    loop {
        if search.steps > STEPS_MAX {
            return Answer::Unknown;
        }
        if !search.propagate() {
            if !search.back() {
                return Answer::Unsatisfiable;
            }
            continue;
        }
        if let Some(open) = search.values.iter().position(Option::is_none) {
            let length = search.trail.len();
            search.decisions.push((length, false));
            // False first: most rules are implications, which are then satisfied.
            search.assign(2 * open + 1);
            continue;
        }
        match arithmetic(policy, clauses, search) {
            Feasibility::Feasible(numbers) => return Answer::Satisfiable(model(clauses, search, numbers)),
            Feasibility::Unknown => return Answer::Unknown,
            Feasibility::Infeasible(_) => {
                if !search.back() {
                    return Answer::Unsatisfiable;
                }
            }
        }
    }
}

/// The linear constraints of an assignment, and whether they hold together. What they refuse becomes a clause.
fn arithmetic(policy: &Policy, clauses: &Clauses, search: &mut Search) -> Feasibility {
    let integers: Vec<usize> =
        policy.sorts().iter().enumerate().filter(|(_, sort)| **sort == Sort::Integer).map(|(variable, _)| variable).collect();
    let mut constraints = Vec::new();
    let mut literals = Vec::new();
    let mut known: Vec<(&Constraint, usize)> = clauses.linear.iter().map(|(constraint, variable)| (constraint, *variable)).collect();
    known.sort_by_key(|(_, variable)| *variable);
    for (constraint, variable) in known {
        let is_true = search.value(2 * variable) == Some(true);
        literals.push(2 * variable + usize::from(!is_true));
        if is_true {
            constraints.push(constraint.clone());
            continue;
        }
        // Not `sum <= bound` is `-sum < -bound`.
        let Ok(bound) = constraint.bound.negate() else { return Feasibility::Unknown };
        let turned: Result<Vec<_>, _> =
            constraint.sum.iter().map(|(variable, factor)| factor.negate().map(|factor| (*variable, factor))).collect();
        let Ok(sum) = turned else { return Feasibility::Unknown };
        constraints.push(Constraint { sum, bound, is_strict: !constraint.is_strict });
    }
    let answer = simplex::check(policy.sorts().len(), &integers, &constraints);
    if let Feasibility::Infeasible(core) = &answer {
        let clause: Vec<Literal> = core.iter().filter_map(|number| literals.get(*number).map(|literal| negate(*literal))).collect();
        search.add(clause);
    }
    answer
}

fn model(clauses: &Clauses, search: &Search, numbers: Vec<Rational>) -> Model {
    let propositions =
        clauses.propositions.iter().map(|(proposition, variable)| (*proposition, search.value(2 * variable) == Some(true))).collect();
    let mentioned = clauses.linear.keys().flat_map(|constraint| constraint.sum.iter().map(|(variable, _)| *variable));
    let numbers = mentioned.filter_map(|variable| Some((variable, *numbers.get(variable)?))).collect();
    Model { propositions, numbers }
}
