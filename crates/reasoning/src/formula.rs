//! Typed formulas: what expressions mean over the variables of a policy.

use std::collections::BTreeMap;

use crate::expression::Expression;
use crate::policy::{Policy, Sort};
use crate::rational::Rational;
use crate::{PolicyError, simplex::Constraint};

/// A formula over numbered atoms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Formula {
    True,
    False,
    /// A truth value, or that a variable has one value of its type.
    Proposition(Proposition),
    /// `sum <= bound` or `sum < bound`.
    Linear(Constraint),
    Not(Box<Formula>),
    And(Vec<Formula>),
    Or(Vec<Formula>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Proposition {
    Boolean(usize),
    /// Variable and place of the value in its type.
    Value(usize, usize),
}

/// What an expression is.
enum Typed {
    Truth(Formula),
    /// A sum and a constant.
    Number(BTreeMap<usize, Rational>, Rational),
    /// A variable of an enumeration.
    Choice(usize, usize),
    /// A value: type and place.
    Constant(usize, usize),
}

pub(crate) fn not(formula: Formula) -> Formula {
    match formula {
        Formula::True => Formula::False,
        Formula::False => Formula::True,
        Formula::Not(inner) => *inner,
        other => Formula::Not(Box::new(other)),
    }
}

pub(crate) fn and(formulas: Vec<Formula>) -> Formula {
    Formula::And(formulas)
}

fn implies(left: Formula, right: Formula) -> Formula {
    Formula::Or(vec![not(left), right])
}

fn wrong(expression: &Expression, problem: &str) -> PolicyError {
    PolicyError::Expression(format!("{problem} in `{}`", expression.to_string().chars().take(120).collect::<String>()))
}

fn overflow(expression: &Expression) -> PolicyError {
    wrong(expression, "a number is too large")
}

/// The formula that an expression states.
pub(crate) fn truth(policy: &Policy, expression: &Expression) -> Result<Formula, PolicyError> {
    match typed(policy, expression)? {
        Typed::Truth(formula) => Ok(formula),
        _ => Err(wrong(expression, "a statement that is true or false is expected")),
    }
}

fn typed(policy: &Policy, expression: &Expression) -> Result<Typed, PolicyError> {
    match expression {
        Expression::Atom(name) => atom(policy, name).ok_or_else(|| wrong(expression, "a name that is no variable, value or number")),
        Expression::List(items) => {
            let (Some(Expression::Atom(operator)), operands) = (items.first(), items.get(1..).unwrap_or_default()) else {
                return Err(wrong(expression, "an operator is missing"));
            };
            list(policy, expression, operator, operands)
        }
    }
}

fn atom(policy: &Policy, name: &str) -> Option<Typed> {
    match name {
        "true" => return Some(Typed::Truth(Formula::True)),
        "false" => return Some(Typed::Truth(Formula::False)),
        _ => {}
    }
    if let Some(variable) = policy.variable(name) {
        return Some(match policy.sort(variable)? {
            Sort::Boolean => Typed::Truth(Formula::Proposition(Proposition::Boolean(variable))),
            Sort::Integer | Sort::Real => Typed::Number(BTreeMap::from([(variable, Rational::ONE)]), Rational::ZERO),
            Sort::Enumeration(kind) => Typed::Choice(variable, kind),
        });
    }
    if let Some((kind, value)) = policy.value(name) {
        return Some(Typed::Constant(kind, value));
    }
    Rational::parse(name).map(|number| Typed::Number(BTreeMap::new(), number))
}

fn list(policy: &Policy, whole: &Expression, operator: &str, operands: &[Expression]) -> Result<Typed, PolicyError> {
    let truths = || operands.iter().map(|operand| truth(policy, operand)).collect::<Result<Vec<_>, _>>();
    let formula = match operator {
        "and" => Formula::And(truths()?),
        "or" => Formula::Or(truths()?),
        "not" => match operands {
            [operand] => not(truth(policy, operand)?),
            _ => return Err(wrong(whole, "`not` has one operand")),
        },
        "=>" | "implies" => {
            let mut parts = truths()?;
            let conclusion = parts.pop().filter(|_| !parts.is_empty()).ok_or_else(|| wrong(whole, "`=>` has two operands"))?;
            implies(and(parts), conclusion)
        }
        "xor" => match truths()?.as_slice() {
            [left, right] => not(same(left.clone(), right.clone())),
            _ => return Err(wrong(whole, "`xor` has two operands")),
        },
        "iff" | "<=>" | "=" | "==" => pairs(policy, whole, operands)?,
        "!=" | "distinct" => match operands {
            [left, right] => not(equal(policy, whole, left, right)?),
            _ => return Err(wrong(whole, "`distinct` has two operands here")),
        },
        "<" | "<=" | ">" | ">=" => comparison(policy, whole, operator, operands)?,
        "ite" | "if" => match operands {
            [condition, then, otherwise] => {
                let condition = truth(policy, condition)?;
                let (then, otherwise) = (truth(policy, then)?, truth(policy, otherwise)?);
                and(vec![implies(condition.clone(), then), Formula::Or(vec![condition, otherwise])])
            }
            _ => return Err(wrong(whole, "`ite` has three operands")),
        },
        "+" | "-" | "*" => return arithmetic(policy, whole, operator, operands),
        _ => return Err(wrong(whole, "an operator that is not known")),
    };
    Ok(Typed::Truth(formula))
}

fn pairs(policy: &Policy, whole: &Expression, operands: &[Expression]) -> Result<Formula, PolicyError> {
    if operands.len() < 2 {
        return Err(wrong(whole, "`=` has at least two operands"));
    }
    let equal = operands.windows(2).map(|pair| match pair {
        [left, right] => equal(policy, whole, left, right),
        _ => Err(wrong(whole, "an operand is missing")),
    });
    equal.collect::<Result<_, _>>().map(and)
}

fn same(left: Formula, right: Formula) -> Formula {
    and(vec![implies(left.clone(), right.clone()), implies(right, left)])
}

fn equal(policy: &Policy, whole: &Expression, left: &Expression, right: &Expression) -> Result<Formula, PolicyError> {
    Ok(match (typed(policy, left)?, typed(policy, right)?) {
        (Typed::Truth(left), Typed::Truth(right)) => same(left, right),
        (left @ Typed::Number(..), right @ Typed::Number(..)) => {
            and(vec![at_most(whole, &left, &right, false)?, at_most(whole, &right, &left, false)?])
        }
        (Typed::Choice(variable, kind), Typed::Constant(of, value)) | (Typed::Constant(of, value), Typed::Choice(variable, kind)) => {
            if kind == of {
                Formula::Proposition(Proposition::Value(variable, value))
            } else {
                // The value may stand in several types: the one of the variable counts.
                let name = policy.value_name(of, value).unwrap_or_default();
                let value = policy.value_of(kind, name).ok_or_else(|| wrong(whole, "a value of another type"))?;
                Formula::Proposition(Proposition::Value(variable, value))
            }
        }
        (Typed::Choice(left, kind), Typed::Choice(right, other)) if kind == other => {
            let has = |variable, value| Formula::Proposition(Proposition::Value(variable, value));
            Formula::Or((0..policy.value_count(kind)).map(|value| and(vec![has(left, value), has(right, value)])).collect())
        }
        _ => return Err(wrong(whole, "things of different types are compared")),
    })
}

/// `left <= right`.
fn at_most(whole: &Expression, left: &Typed, right: &Typed, is_strict: bool) -> Result<Formula, PolicyError> {
    let (Typed::Number(left, left_constant), Typed::Number(right, right_constant)) = (left, right) else {
        return Err(wrong(whole, "numbers are expected"));
    };
    let mut sum = left.clone();
    for (variable, factor) in right {
        let total = sum.get(variable).copied().unwrap_or(Rational::ZERO).subtract(*factor).map_err(|_| overflow(whole))?;
        sum.insert(*variable, total);
    }
    let bound = right_constant.subtract(*left_constant).map_err(|_| overflow(whole))?;
    let sum: Vec<_> = sum.into_iter().filter(|(_, factor)| !factor.is_zero()).collect();
    if sum.is_empty() {
        let holds = bound.is_positive() || (bound.is_zero() && !is_strict);
        return Ok(if holds { Formula::True } else { Formula::False });
    }
    Ok(Formula::Linear(Constraint { sum, bound, is_strict }))
}

fn comparison(policy: &Policy, whole: &Expression, operator: &str, operands: &[Expression]) -> Result<Formula, PolicyError> {
    let [left, right] = operands else { return Err(wrong(whole, "a comparison has two operands")) };
    let (left, right) = (typed(policy, left)?, typed(policy, right)?);
    match operator {
        "<" => at_most(whole, &left, &right, true),
        "<=" => at_most(whole, &left, &right, false),
        ">" => at_most(whole, &right, &left, true),
        _ => at_most(whole, &right, &left, false),
    }
}

fn arithmetic(policy: &Policy, whole: &Expression, operator: &str, operands: &[Expression]) -> Result<Typed, PolicyError> {
    let mut numbers = Vec::new();
    for operand in operands {
        match typed(policy, operand)? {
            Typed::Number(sum, constant) => numbers.push((sum, constant)),
            _ => return Err(wrong(whole, "numbers are expected")),
        }
    }
    let mut rest = numbers.into_iter();
    let (mut sum, mut constant) = rest.next().ok_or_else(|| wrong(whole, "an operand is missing"))?;
    let is_alone = rest.len() == 0;
    let scaled = |sum: BTreeMap<usize, Rational>, by: Rational| {
        sum.into_iter().map(|(variable, factor)| Ok((variable, factor.multiply(by)?))).collect::<Result<BTreeMap<_, _>, _>>()
    };
    let minus = Rational::integer(-1);
    let too_large = |_: crate::rational::Overflow| overflow(whole);
    if operator == "-" && is_alone {
        return Ok(Typed::Number(scaled(sum, minus).map_err(too_large)?, constant.negate().map_err(too_large)?));
    }
    for (other, number) in rest {
        if operator == "*" {
            let (factor, of) = match (sum.is_empty(), other.is_empty()) {
                (_, true) => (number, sum),
                (true, false) => (constant, other),
                (false, false) => return Err(wrong(whole, "a product of two variables, which is not linear,")),
            };
            constant = constant.multiply(number).map_err(too_large)?;
            sum = scaled(of, factor).map_err(too_large)?;
            continue;
        }
        let factor = if operator == "+" { Rational::ONE } else { minus };
        for (variable, share) in scaled(other, factor).map_err(too_large)? {
            let total = sum.get(&variable).copied().unwrap_or(Rational::ZERO).add(share).map_err(too_large)?;
            sum.insert(variable, total);
        }
        constant = number.multiply(factor).and_then(|number| constant.add(number)).map_err(too_large)?;
    }
    Ok(Typed::Number(sum, constant))
}
