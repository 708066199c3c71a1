//! Exact fractions. An overflow is told, never wrapped: the question is then too complex, not answered wrongly.

use std::cmp::Ordering;

/// A fraction in lowest terms with a positive denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rational {
    numerator: i128,
    denominator: i128,
}

/// A number became larger than can be calculated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

type Calculated = Result<Rational, Overflow>;

fn greatest_common_divisor(mut left: u128, mut right: u128) -> u128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left.max(1)
}

impl Rational {
    pub(crate) const ZERO: Self = Self { numerator: 0, denominator: 1 };
    pub(crate) const ONE: Self = Self { numerator: 1, denominator: 1 };

    pub(crate) fn integer(number: i128) -> Self {
        Self { numerator: number, denominator: 1 }
    }

    fn new(numerator: i128, denominator: i128) -> Calculated {
        if denominator == 0 {
            return Err(Overflow);
        }
        let divisor =
            i128::try_from(greatest_common_divisor(numerator.unsigned_abs(), denominator.unsigned_abs())).map_err(|_| Overflow)?;
        let sign = if denominator < 0 { -1 } else { 1 };
        let scaled = |number: i128| (number / divisor).checked_mul(sign).ok_or(Overflow);
        Ok(Self { numerator: scaled(numerator)?, denominator: scaled(denominator)? })
    }

    pub(crate) fn add(self, other: Self) -> Calculated {
        let left = self.numerator.checked_mul(other.denominator).ok_or(Overflow)?;
        let right = other.numerator.checked_mul(self.denominator).ok_or(Overflow)?;
        let denominator = self.denominator.checked_mul(other.denominator).ok_or(Overflow)?;
        Self::new(left.checked_add(right).ok_or(Overflow)?, denominator)
    }

    pub(crate) fn subtract(self, other: Self) -> Calculated {
        self.add(other.negate()?)
    }

    pub(crate) fn multiply(self, other: Self) -> Calculated {
        let numerator = self.numerator.checked_mul(other.numerator).ok_or(Overflow)?;
        Self::new(numerator, self.denominator.checked_mul(other.denominator).ok_or(Overflow)?)
    }

    pub(crate) fn divide(self, other: Self) -> Calculated {
        let numerator = self.numerator.checked_mul(other.denominator).ok_or(Overflow)?;
        Self::new(numerator, self.denominator.checked_mul(other.numerator).ok_or(Overflow)?)
    }

    pub(crate) fn negate(self) -> Calculated {
        Ok(Self { numerator: self.numerator.checked_neg().ok_or(Overflow)?, denominator: self.denominator })
    }

    pub(crate) fn is_zero(self) -> bool {
        self.numerator == 0
    }

    pub(crate) fn is_positive(self) -> bool {
        self.numerator > 0
    }

    pub(crate) fn is_integer(self) -> bool {
        self.denominator == 1
    }

    /// The greatest integer that is not above it.
    pub(crate) fn floor(self) -> i128 {
        self.numerator.div_euclid(self.denominator)
    }

    pub(crate) fn compare(self, other: Self) -> Result<Ordering, Overflow> {
        let left = self.numerator.checked_mul(other.denominator).ok_or(Overflow)?;
        let right = other.numerator.checked_mul(self.denominator).ok_or(Overflow)?;
        Ok(left.cmp(&right))
    }

    /// From a decimal: digits, at most one point, an optional sign.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(fraction) || whole.len() > 18 || fraction.len() > 12 {
            return None;
        }
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        let numerator = whole.parse::<i128>().ok()?.checked_mul(scale)?.checked_add(fraction)?;
        Self::new(numerator.checked_mul(sign)?, scale).ok()
    }
}

impl std::fmt::Display for Rational {
    /// As SMT-LIB writes it.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, numerator) = (if self.numerator < 0 { "-" } else { "" }, self.numerator.unsigned_abs());
        if self.denominator == 1 {
            write!(formatter, "{sign}{numerator}")
        } else {
            write!(formatter, "{sign}{numerator}/{}", self.denominator)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calculates_exactly() {
        let half = Rational::parse("0.5").unwrap();
        assert_eq!(half.add(half), Ok(Rational::ONE));
        assert_eq!(Rational::parse("-1.25").unwrap().floor(), -2);
        assert_eq!(half.divide(Rational::ZERO), Err(Overflow));
        assert_eq!(Rational::integer(i128::MAX).add(Rational::ONE), Err(Overflow));
        assert_eq!(Rational::parse("1.2.3"), None);
        assert_eq!(Rational::parse(""), None);
        assert_eq!(Rational::parse("-3/4"), None);
    }
}
