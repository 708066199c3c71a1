//! SPDX licence expressions, as far as packages use them.
//!
//! Source: SPDX Specification 2.3, annex D.

/// Whether the expression can be satisfied with the allowed licences alone.
pub(super) fn is_satisfied(expression: &str, allowed: &[String]) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = text.split_whitespace().peekable();
    let result = any(&mut words, allowed);
    result.unwrap_or(false) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// Alternatives. `None`: not an expression.
fn any(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let mut result = all(words, allowed)?;
    while words.next_if(|word| word.eq_ignore_ascii_case("or")).is_some() {
        result |= all(words, allowed)?;
    }
    Some(result)
}

fn all(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let mut result = one(words, allowed)?;
    while words.next_if(|word| word.eq_ignore_ascii_case("and")).is_some() {
        result &= one(words, allowed)?;
    }
    Some(result)
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let result = any(words, allowed)?;
        return (words.next()? == ")").then_some(result);
    }
    let mut licence = word.to_owned();
    if words.next_if(|word| word.eq_ignore_ascii_case("with")).is_some() {
        licence = format!("{licence} WITH {}", words.next()?);
    }
    Some(allowed.contains(&licence))
}

#[cfg(test)]
mod tests {
    use super::is_satisfied;

    #[test]
    fn expressions() {
        let allowed = ["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
        for good in ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR MIT", "(MIT OR X) AND ISC", "Apache-2.0 WITH LLVM-exception OR Y"] {
            assert!(is_satisfied(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "", "MIT MIT", "(MIT", "MIT AND"] {
            assert!(!is_satisfied(bad, &allowed), "{bad}");
        }
    }
}
