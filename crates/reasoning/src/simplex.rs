//! Whether linear constraints hold together: the general simplex method over exact fractions, with an infinitesimal for strict bounds, and
//! branching for integers.
//!
//! Source: Dutertre and de Moura, "A fast linear-arithmetic solver for DPLL(T)", 2006.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::rational::{Overflow, Rational};

/// A sum of variables with coefficients.
pub(crate) type Sum = BTreeMap<usize, Rational>;

/// `sum <= bound`, or `sum < bound` if it is strict.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Constraint {
    pub(crate) sum: Vec<(usize, Rational)>,
    pub(crate) bound: Rational,
    pub(crate) is_strict: bool,
}

/// A value with a multiple of an infinitesimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    real: Rational,
    tiny: Rational,
}

impl Value {
    const ZERO: Self = Self { real: Rational::ZERO, tiny: Rational::ZERO };

    fn compare(self, other: Self) -> Result<Ordering, Overflow> {
        Ok(self.real.compare(other.real)?.then(self.tiny.compare(other.tiny)?))
    }

    fn plus(self, other: Self, factor: Rational) -> Result<Self, Overflow> {
        Ok(Self { real: self.real.add(other.real.multiply(factor)?)?, tiny: self.tiny.add(other.tiny.multiply(factor)?)? })
    }

    fn minus(self, other: Self) -> Result<Self, Overflow> {
        self.plus(other, Rational::integer(-1))
    }

    fn over(self, divisor: Rational) -> Result<Self, Overflow> {
        Ok(Self { real: self.real.divide(divisor)?, tiny: self.tiny.divide(divisor)? })
    }
}

/// The answer for a set of constraints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Feasibility {
    /// They hold together; values of the variables.
    Feasible(Vec<Rational>),
    /// They do not; the numbers of constraints that contradict each other (all of them when integers were needed to see it).
    Infeasible(Vec<usize>),
    /// Too many steps or too large numbers.
    Unknown,
}

/// Pivots in one question.
const PIVOTS_MAX: usize = 4_000;
/// Branches on integers.
const BRANCHES_MAX: usize = 200;

/// Variables are 0 to `count`; each constraint has a slack variable behind them, whose upper bound it is.
struct Tableau {
    rows: BTreeMap<usize, Sum>,
    values: Vec<Value>,
    upper: Vec<Option<(Value, usize)>>,
}

impl Tableau {
    fn new(count: usize, constraints: &[Constraint]) -> Result<Self, Overflow> {
        let mut made = Self { rows: BTreeMap::new(), values: vec![Value::ZERO; count], upper: vec![None; count] };
        for (number, constraint) in constraints.iter().enumerate() {
            let tiny = if constraint.is_strict { Rational::integer(-1) } else { Rational::ZERO };
            let slack = made.values.len();
            made.values.push(Value::ZERO);
            made.upper.push(Some((Value { real: constraint.bound, tiny }, number)));
            let mut row = Sum::new();
            for (variable, factor) in &constraint.sum {
                add(&mut row, *variable, *factor)?;
            }
            made.rows.insert(slack, row);
        }
        Ok(made)
    }

    /// A basic variable above its bound; the smallest, so that the method ends (Bland's rule).
    fn violated(&self) -> Result<Option<usize>, Overflow> {
        for basic in self.rows.keys() {
            if let (Some(value), Some(Some((bound, _)))) = (self.values.get(*basic), self.upper.get(*basic))
                && value.compare(*bound)? == Ordering::Greater
            {
                return Ok(Some(*basic));
            }
        }
        Ok(None)
    }

    /// Whether a variable may grow.
    fn can_grow(&self, variable: usize) -> Result<bool, Overflow> {
        match (self.values.get(variable), self.upper.get(variable)) {
            (Some(value), Some(Some((bound, _)))) => Ok(value.compare(*bound)? == Ordering::Less),
            _ => Ok(true),
        }
    }

    fn solve(&mut self, pivots: &mut usize) -> Result<Option<Vec<usize>>, Overflow> {
        while let Some(basic) = self.violated()? {
            *pivots += 1;
            if *pivots > PIVOTS_MAX {
                return Err(Overflow);
            }
            let row = self.rows.get(&basic).cloned().unwrap_or_default();
            // The basic variable must fall: one with a positive factor falls (no lower bounds exist), or one with a negative factor grows.
            let mut entering = None;
            for (variable, factor) in &row {
                if factor.is_positive() || self.can_grow(*variable)? {
                    entering = Some((*variable, *factor));
                    break;
                }
            }
            let Some((variable, factor)) = entering else {
                let number = |variable: &usize| self.upper.get(*variable).and_then(|bound| bound.map(|(_, number)| number));
                return Ok(Some(std::iter::once(&basic).chain(row.keys()).filter_map(number).collect()));
            };
            let bound = self.upper.get(basic).copied().flatten().map_or(Value::ZERO, |(bound, _)| bound);
            self.pivot(basic, variable, factor, bound)?;
        }
        Ok(None)
    }

    fn pivot(&mut self, basic: usize, variable: usize, factor: Rational, bound: Value) -> Result<(), Overflow> {
        let before = self.values.get(basic).copied().unwrap_or(Value::ZERO);
        let step = bound.minus(before)?.over(factor)?;
        let mut row = self.rows.remove(&basic).unwrap_or_default();
        row.remove(&variable);
        // variable = (basic - rest) / factor
        let mut turned = Sum::new();
        add(&mut turned, basic, Rational::ONE.divide(factor)?)?;
        for (other, share) in row {
            add(&mut turned, other, share.divide(factor)?.negate()?)?;
        }
        if let Some(value) = self.values.get_mut(basic) {
            *value = bound;
        }
        if let Some(value) = self.values.get_mut(variable) {
            *value = value.plus(step, Rational::ONE)?;
        }
        for (other, row) in &mut self.rows {
            let Some(share) = row.remove(&variable) else { continue };
            if let Some(value) = self.values.get_mut(*other) {
                *value = value.plus(step, share)?;
            }
            for (inner, amount) in &turned {
                add(row, *inner, amount.multiply(share)?)?;
            }
        }
        self.rows.insert(variable, turned);
        Ok(())
    }

    /// Values with a real number in place of the infinitesimal, small enough for every bound.
    fn real_values(&self, count: usize) -> Result<Vec<Rational>, Overflow> {
        let mut tiny = Rational::ONE;
        for (value, bound) in self.values.iter().zip(&self.upper) {
            let Some((bound, _)) = bound else { continue };
            let slope = value.tiny.subtract(bound.tiny)?;
            if slope.is_positive() {
                let room = bound.real.subtract(value.real)?.divide(slope)?;
                if room.compare(tiny)? == Ordering::Less {
                    tiny = room;
                }
            }
        }
        self.values.iter().take(count).map(|value| value.real.add(value.tiny.multiply(tiny)?)).collect()
    }
}

fn add(sum: &mut Sum, variable: usize, factor: Rational) -> Result<(), Overflow> {
    let total = sum.get(&variable).copied().unwrap_or(Rational::ZERO).add(factor)?;
    if total.is_zero() {
        sum.remove(&variable);
    } else {
        sum.insert(variable, total);
    }
    Ok(())
}

/// Whether constraints hold together. `integers` are the variables that must be whole; there are `count` variables.
pub(crate) fn check(count: usize, integers: &[usize], constraints: &[Constraint]) -> Feasibility {
    let (mut pivots, mut branches) = (0, 0);
    let mut waiting = vec![constraints.to_vec()];
    let mut core: Option<Vec<usize>> = None;
    while let Some(constraints_here) = waiting.pop() {
        branches += 1;
        if branches > BRANCHES_MAX {
            return Feasibility::Unknown;
        }
        let solved = Tableau::new(count, &constraints_here).and_then(|mut tableau| match tableau.solve(&mut pivots)? {
            Some(conflict) => Ok(Err(conflict)),
            None => tableau.real_values(count).map(Ok),
        });
        let values = match solved {
            Err(Overflow) => return Feasibility::Unknown,
            Ok(Err(conflict)) => {
                let is_root = branches == 1;
                core = Some(if is_root { conflict } else { (0..constraints.len()).collect() });
                continue;
            }
            Ok(Ok(values)) => values,
        };
        let fraction =
            integers.iter().find_map(|variable| values.get(*variable).filter(|value| !value.is_integer()).map(|value| (*variable, *value)));
        let Some((variable, value)) = fraction else { return Feasibility::Feasible(values) };
        let floor = value.floor();
        let mut below = constraints_here.clone();
        below.push(Constraint { sum: vec![(variable, Rational::ONE)], bound: Rational::integer(floor), is_strict: false });
        let mut above = constraints_here;
        let bound = Rational::integer(floor.saturating_add(1).saturating_neg());
        above.push(Constraint { sum: vec![(variable, Rational::integer(-1))], bound, is_strict: false });
        waiting.push(below);
        waiting.push(above);
    }
    Feasibility::Infeasible(core.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_most(sum: &[(usize, i128)], bound: i128, is_strict: bool) -> Constraint {
        let sum = sum.iter().map(|(variable, factor)| (*variable, Rational::integer(*factor))).collect();
        Constraint { sum, bound: Rational::integer(bound), is_strict }
    }

    #[test]
    fn finds_values_or_the_contradiction() {
        let fine = [at_most(&[(0, 1), (1, 1)], 10, false), at_most(&[(0, -1)], -3, true), at_most(&[(1, -1)], -4, false)];
        let Feasibility::Feasible(values) = check(2, &[], &fine) else { panic!("they hold together") };
        assert!(values[0].compare(Rational::integer(3)).unwrap() == Ordering::Greater);
        let mut wrong = fine.to_vec();
        wrong.push(at_most(&[(0, -1)], -7, false));
        let Feasibility::Infeasible(mut core) = check(2, &[], &wrong) else { panic!("they contradict each other") };
        core.sort_unstable();
        assert_eq!(core, [0, 2, 3]);
        assert!(matches!(check(1, &[], &[at_most(&[(0, 1)], 3, true), at_most(&[(0, -1)], -3, false)]), Feasibility::Infeasible(_)));
    }

    #[test]
    fn integers_have_no_room_between_neighbours() {
        let between = [at_most(&[(0, 1)], 4, true), at_most(&[(0, -1)], -3, true)];
        assert!(matches!(check(1, &[], &between), Feasibility::Feasible(_)));
        assert_eq!(check(1, &[0], &between), Feasibility::Infeasible(vec![0, 1]));
        // 2x = 2y + 1 has no whole solution, and no bounds: the search ends without an answer.
        let odd = [at_most(&[(0, 2), (1, -2)], 1, false), at_most(&[(0, -2), (1, 2)], -1, false)];
        assert_eq!(check(2, &[0, 1], &odd), Feasibility::Unknown);
    }
}
